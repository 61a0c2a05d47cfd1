package connectortest

import (
	"context"
	"crypto/rand"
	"errors"

	"stint/internal/access"
	"stint/internal/connector"
)

// SecretMaker is a World whose vault keeps something else of an account than random text.
type SecretMaker interface {
	NewSecret(account string) access.Secret
}

// newSecret is one for an account, as the vault makes them.
func (s *scene) newSecret(o connector.Order) access.Secret {
	if m, ok := s.World.(SecretMaker); ok {
		return m.NewSecret(o.Account)
	}
	return access.NewSecret([]byte(rand.Text() + rand.Text()))
}

// again is an order of its own on the account of another, with what opens it now.
func again(s *scene, o connector.Order, secret access.Secret) connector.Order {
	s.Helper()
	next := o
	next.Tag, next.Creation, next.Before, next.Secret, next.Next = NewTag(), "", "", secret, access.Secret{}
	b, err := s.Connector().Observe(s.ctx, s.Target(), next)
	if err != nil {
		s.Fatalf("observe: %v", err)
	}
	next.Before = b.State
	return next
}

// wantTurned reads back that the next secret opens, and lends it to somebody else.
func wantTurned(s *scene, o connector.Order, r connector.Receipt) {
	s.Helper()
	s.wantGone(o, r)
	if v := s.verify(o); !v.Turned {
		s.Fatalf("read back %+v, want turned", v)
	}
	if !r.Credential.Empty() {
		if live, err := s.Session(o, r); err == nil {
			live.Close()
			s.Fatal("what was lent still opens a session")
		}
	}
	o, r = s.provision(again(s, o, o.Next))
	s.session(o, r)
	s.end(o)
}

// turn: what comes back has another secret, whatever was done with it; the old one and
// the sessions are gone, and the next one is what the next holder gets.
func turn(s *scene, m access.Mechanism) {
	o, r := s.provision(s.order(m))
	live := s.session(o, r)
	s.wantPresent(o, r, 1)
	o.Next = s.newSecret(o)
	s.end(o)
	if live.Alive() {
		s.Error("the session outlived its lending")
	}
	s.end(o)
	wantTurned(s, o, r)
}

// turnAlone is a rotation: the way out of an order that never lent anything.
func turnAlone(s *scene, m access.Mechanism) {
	o := s.order(m)
	o.Next = s.newSecret(o)
	s.end(o)
	wantTurned(s, o, connector.Receipt{})
}

// turnBroken: wherever the way out is broken off, going it again from the beginning with
// the same secrets ends well.
func turnBroken(s *scene, m access.Mechanism) {
	c := s.Connector()
	steps := []func(context.Context, connector.Target, []connector.Order) []connector.Result{c.Revoke, c.TerminateSessions, c.Remove}
	o := s.order(m)
	for n := range len(steps) + 1 {
		lent, r := s.provision(o)
		s.session(lent, r)
		lent.Next = s.newSecret(lent)
		for _, step := range steps[:n] {
			if got := step(s.ctx, s.Target(), []connector.Order{lent})[0]; got.Outcome != connector.Done {
				s.Fatalf("step %d: %s", n, describe(got))
			}
		}
		if v := s.verify(lent); n < len(steps) && v.Gone() {
			s.Fatalf("after %d steps it reads back as gone", n)
		}
		if n%2 == 1 {
			lent.Creation = "" // the row that knew of the receipt was lost with the process
		}
		s.end(lent)
		s.wantGone(lent, connector.Receipt{})
		if v := s.verify(lent); !v.Turned {
			s.Fatalf("broken off after %d steps: %+v", n, v)
		}
		o = again(s, lent, lent.Next)
	}
}

// turnStale: what the vault has and does not open is found, is not lent, and is healed by
// setting the next one.
func turnStale(s *scene, m access.Mechanism) {
	o := s.order(m)
	good := o.Secret
	o.Secret = s.newSecret(o)
	_, err := s.Connector().Provision(s.ctx, s.Target(), o)
	if outcome(err) != connector.NotDone || !errors.Is(err, connector.ErrStale) {
		s.Fatalf("lending a secret that does not open: %v", err)
	}
	o.Next = s.newSecret(o)
	healed, r := s.provision(o)
	if !r.Turned {
		s.Error("the receipt does not say that the next secret was set")
	}
	s.session(healed, r)
	old := healed
	old.Secret = good
	if st := s.State(old, r); st.Usable && !st.Exists {
		s.Error("what somebody had set opens still")
	}
	healed.Secret, healed.Next = healed.Next, s.newSecret(healed)
	s.end(healed)
	wantTurned(s, healed, r)
}
