package connectortest

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// World is one target, with everything that a case needs around it. Methods fail
// the test when they cannot do what they say. None of them uses the connector.
type World interface {
	Connector() connector.Connector

	// Target reaches it with a login that has the documented minimum of
	// privileges.
	Target() connector.Target

	// Order is an order that can be carried out, with a fresh tag and, for
	// mechanisms that act on one, a fresh standing account, at most one session
	// of which is open. Observe has not been called for it. For access.Checkout its Secret
	// opens that account.
	Order(m access.Mechanism) connector.Order

	// Session opens a session under the privilege: with the receipt's credential
	// or, where there is none, as the standing account's owner.
	Session(o connector.Order, r connector.Receipt) (Session, error)

	// State is what the target says about the order.
	State(o connector.Order, r connector.Receipt) State

	// Own makes the session's account own things wherever it can, and gives it
	// privileges of its own: what stands in the way of removing it.
	Own(s Session, o connector.Order)

	// Replace puts another object in the place of what a provision made, under
	// the same name.
	Replace(o connector.Order, r connector.Receipt)

	// Grant gives the order's standing account the order's rights, as somebody
	// else would. Taken reports whether they were touched since.
	Grant(o connector.Order)
	Taken(o connector.Order) bool

	// ForgeClaim writes an installation's claim onto the target, as somebody would
	// who has the privilege and not the installation's key.
	ForgeClaim(installation string, epoch int64)

	// Weaken takes from the login what it needs to end access, and leaves what it
	// needs to begin it.
	Weaken()

	// Restart restarts the target.
	Restart()

	// Faulty reaches the same target through something that breaks on demand.
	Faulty() (connector.Target, Faults)
}

// Session is an open session under a privilege.
type Session interface {
	// Alive asks the target something.
	Alive() bool
	Close()
}

// State is the truth about an order's privilege.
type State struct {
	Exists  bool // there is an object of ours: the account, a mark, a membership
	Usable  bool // somebody could log in with it, or acts with it
	Foreign bool // what has the name is not what was provisioned
	// Ends is the target's own expiry; zero where the mechanism has none.
	Ends time.Time
}

// Faults breaks the connection between connector and target. What is armed
// strikes the next statement that makes a privilege, once.
type Faults interface {
	CutBefore() // failed, and not done
	CutAfter()  // failed, but done
	Hang()      // answers nothing from now on
	Resume()
}

// NewTag makes a tag in the form that connectors are given.
func NewTag() access.Tag {
	b := make([]byte, 26)
	_, _ = rand.Read(b)
	text := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
	return access.Tag(text[:26] + "_" + text[26:42])
}

// scene is a World with the calls that cases make, each of which fails the test
// when it does not go as wanted.
type scene struct {
	testing.TB
	World
	ctx context.Context
}

const within = 3 * time.Minute

func newScene(t *testing.T, w World) *scene {
	ctx, cancel := context.WithTimeout(t.Context(), within)
	t.Cleanup(cancel)
	return &scene{t, w, ctx}
}

func (s *scene) serves(m access.Mechanism) bool {
	return slices.Contains(s.Connector().Capabilities().Mechanisms, m)
}

// lends reports whether a receipt of the mechanism says how to log in.
func (s *scene) lends(m access.Mechanism) bool { return m != access.Member && m != access.Elevate }

// secret reports whether what it says is a secret, so that a fresh one takes the place
// of the one before.
func (s *scene) secret(m access.Mechanism) bool {
	return s.lends(m) && m != access.Checkout && !s.Connector().Capabilities().Certificates
}

// kept reports whether a privilege has no end of the target's own: where sessions open
// with certificates, these have it, and passwords do not.
func (s *scene) kept(m access.Mechanism) bool {
	return m == access.Checkout && s.Connector().Capabilities().Certificates
}

// order is an observed order.
func (s *scene) order(m access.Mechanism) connector.Order {
	s.Helper()
	o := s.Order(m)
	b, err := s.Connector().Observe(s.ctx, s.Target(), o)
	if err != nil {
		s.Fatalf("observe: %v", err)
	}
	o.Before = b.State
	return o
}

// provision carries out an order and returns it as the broker would go on with it.
func (s *scene) provision(o connector.Order) (connector.Order, connector.Receipt) {
	s.Helper()
	r, err := s.Connector().Provision(s.ctx, s.Target(), o)
	if err != nil {
		s.Fatalf("provision: %v", err)
	}
	return with(o, r), r
}

func with(o connector.Order, r connector.Receipt) connector.Order {
	o.Account, o.Creation = r.Account, r.Creation
	return o
}

func (s *scene) session(o connector.Order, r connector.Receipt) Session {
	s.Helper()
	live, err := s.Session(o, r)
	if err != nil {
		s.Fatalf("open a session: %v", err)
	}
	s.Cleanup(live.Close)
	if !live.Alive() {
		s.Fatal("a new session does not answer")
	}
	return live
}

func (s *scene) verify(o connector.Order) connector.Observation {
	return s.Connector().Verify(s.ctx, s.Target(), []connector.Order{o})[0]
}

// wantPresent reads back and compares with the truth.
func (s *scene) wantPresent(o connector.Order, r connector.Receipt, sessions int) {
	s.Helper()
	v := s.verify(o)
	if v.Presence != connector.Present || v.Sessions != sessions || v.Err != nil {
		s.Fatalf("read back %v with %d sessions (%v), want present with %d", v.Presence, v.Sessions, v.Err, sessions)
	}
	if st := s.State(o, r); !st.Exists || !st.Usable {
		s.Fatalf("read back present, and the target says %+v", st)
	}
}

// wantGone reads back and compares with the truth.
func (s *scene) wantGone(o connector.Order, r connector.Receipt) {
	s.Helper()
	if v := s.verify(o); !v.Gone() {
		s.Fatalf("read back %v with %d sessions (%v), want gone", v.Presence, v.Sessions, v.Err)
	}
	if st := s.State(o, r); st.Exists || st.Usable {
		s.Fatalf("read back gone, and the target says %+v", st)
	}
}

// end runs the way out for one order.
func (s *scene) end(o connector.Order) {
	s.Helper()
	s.endAll([]connector.Order{o})
}

func (s *scene) endAll(os []connector.Order) {
	s.Helper()
	c, t := s.Connector(), s.Target()
	for _, step := range []struct {
		name string
		do   func(context.Context, connector.Target, []connector.Order) []connector.Result
	}{{"revoke", c.Revoke}, {"terminate", c.TerminateSessions}, {"remove", c.Remove}} {
		rs := step.do(s.ctx, t, os)
		if len(rs) != len(os) {
			s.Fatalf("%s: %d results for %d orders", step.name, len(rs), len(os))
		}
		for i, r := range rs {
			if r != (connector.Result{Outcome: connector.Done}) {
				s.Fatalf("%s of order %d: %v", step.name, i, describe(r))
			}
		}
	}
}

func describe(r connector.Result) string {
	return fmt.Sprintf("%v, foreign %v, %v", r.Outcome, r.Foreign, r.Err)
}
