package simtarget_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/connectortest"
	"stint/test/sim/simtarget"
)

// suite is a world as the connectors' suite wants it.
type suite struct {
	t      testing.TB
	w      *simtarget.World
	c      *flaky
	people int
}

var groups = []string{"readers", "writers"}

const theirs = "their own password"

func newSuite(t *testing.T) connectortest.World {
	s := &suite{t: t, w: simtarget.New(time.Now)}
	s.c = &flaky{Connector: s.w.Connector()}
	s.w.Groups(s.place(), groups...)
	return s
}

func TestConformance(t *testing.T) { connectortest.Run(t, newSuite) }

func (s *suite) Connector() connector.Connector { return s.c }

func (s *suite) Target() connector.Target {
	return connector.Target{Connection: access.Connection{Type: simtarget.Type, Address: "db1", Credential: "c"}, Username: "stint"}
}

func (s *suite) ForgeClaim(installation string, epoch int64) {
	s.w.Forge(s.place(), connector.Claim{Installation: installation, Epoch: epoch})
}

func (s *suite) place() access.Place { return s.Target().Connection.Place() }

func (s *suite) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *suite) Order(m access.Mechanism) connector.Order {
	s.people++
	o := connector.Order{Tag: connectortest.NewTag(), Mechanism: m, Person: access.Person(fmt.Sprint("ada.l-", s.people)), ExpiresAt: time.Now().Add(time.Hour)}
	var err error
	switch m {
	case access.Account:
		o.Rights = groups
	case access.Member:
		o.Account, o.Rights = fmt.Sprint("ada ", s.people), groups[1:]
		_, err = s.w.Stand(s.place(), simtarget.Standing{Name: o.Account, Password: theirs})
	case access.Enable:
		o.Account = fmt.Sprint("dba ", s.people)
		_, err = s.w.Stand(s.place(), simtarget.Standing{Name: o.Account, Dormant: true, Groups: groups})
	}
	s.must(err)
	return o
}

type open struct {
	w  *simtarget.World
	id int64
}

func (o open) Alive() bool { return o.w.Act(o.id) == nil }
func (o open) Close()      { o.w.SignOut(o.id) }

func (s *suite) Session(o connector.Order, r connector.Receipt) (connectortest.Session, error) {
	c := struct{ Username, Password string }{o.Account, theirs}
	if !r.Credential.Empty() {
		if err := json.Unmarshal(r.Credential.Reveal(), &c); err != nil {
			return nil, err
		}
	}
	id, err := s.w.SignIn(s.place(), c.Username, c.Password)
	return open{s.w, id}, err
}

func (s *suite) State(o connector.Order, r connector.Receipt) (st connectortest.State) {
	switch o.Mechanism {
	case access.Account:
		for _, p := range s.w.Privileges() {
			if p.Tag == o.Tag {
				st.Exists, st.Usable, st.Ends = true, p.Usable, p.Ends
			}
		}
		if a, ok := s.w.Account(s.place(), r.Account); ok && r.Creation != a.Creation {
			st = connectortest.State{Exists: true, Foreign: true, Usable: a.Login || a.Password}
		}
		for _, x := range s.w.Sessions() {
			st.Usable = st.Usable || slices.Contains(x.Tags, o.Tag)
		}
		return st
	case access.Enable:
		a, _ := s.w.Account(s.place(), o.Account)
		st.Exists, st.Usable, st.Ends = slices.Contains(a.Marks, o.Tag), a.Login || a.Password, a.Ends
		return st
	}
	a, _ := s.w.Account(s.place(), o.Account)
	st.Exists = slices.Contains(a.Marks, o.Tag)
	st.Usable = slices.ContainsFunc(o.Rights, func(g string) bool { return slices.Contains(a.Groups, g) })
	return st
}

func (s *suite) Own(x connectortest.Session, _ connector.Order) { s.must(s.w.Own(x.(open).id)) }

func (s *suite) Replace(_ connector.Order, r connector.Receipt) {
	_, err := s.w.Replace(s.place(), r.Account, theirs)
	s.must(err)
}

func (s *suite) Grant(o connector.Order) {
	for _, g := range o.Rights {
		s.must(s.w.Join(s.place(), o.Account, g))
	}
}

func (s *suite) Taken(o connector.Order) bool {
	a, _ := s.w.Account(s.place(), o.Account)
	return slices.ContainsFunc(o.Rights, func(g string) bool { return !slices.Contains(a.Groups, g) }) || len(s.w.Harm()) > 0
}

func (s *suite) Weaken()  { s.w.Weaken(s.place()) }
func (s *suite) Restart() { s.w.Restart(s.place()) }

func (s *suite) Faulty() (connector.Target, connectortest.Faults) {
	t := s.Target()
	t.Connection.Options = maps.Clone(map[string]string{"via": "proxy"})
	return t, s.c
}

// flaky breaks calls of targets that are reached through a proxy.
type flaky struct {
	*simtarget.Connector
	mu            sync.Mutex
	before, after bool
	hung          chan struct{} // closed when the target answers again; nil: it answers
}

var errLost = errors.New("the connection was lost")

func (f *flaky) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *flaky) CutBefore() { f.set(func() { f.before = true }) }
func (f *flaky) CutAfter()  { f.set(func() { f.after = true }) }
func (f *flaky) Hang()      { f.set(func() { f.hung = make(chan struct{}) }) }
func (f *flaky) Resume()    { f.set(func() { close(f.hung); f.hung = nil }) }

// through waits while the target does not answer. An end that an agent was given has a
// deadline of its own, far behind its caller's: it goes on when the target does.
func (f *flaky) through(ctx context.Context, t connector.Target) {
	f.mu.Lock()
	hung := f.hung
	f.mu.Unlock()
	if hung == nil || t.Connection.Options["via"] == "" {
		return
	}
	select {
	case <-hung:
	case <-ctx.Done():
	}
}

func (f *flaky) Provision(ctx context.Context, t connector.Target, o connector.Order) (connector.Receipt, error) {
	f.through(ctx, t)
	f.mu.Lock()
	before, after := f.before, f.after
	if t.Connection.Options["via"] == "" {
		before, after = false, false
	} else {
		f.before, f.after = false, false
	}
	f.mu.Unlock()
	if before {
		return connector.Receipt{}, &connector.Error{Outcome: connector.Unknown, Message: "lost", Cause: errLost}
	}
	r, err := f.Connector.Provision(ctx, t, o)
	if after && err == nil {
		return connector.Receipt{}, &connector.Error{Outcome: connector.Unknown, Message: "lost", Cause: errLost}
	}
	return r, err
}

func (f *flaky) Revoke(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	f.through(ctx, t)
	return f.Connector.Revoke(ctx, t, os)
}

func (f *flaky) TerminateSessions(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	f.through(ctx, t)
	return f.Connector.TerminateSessions(ctx, t, os)
}

func (f *flaky) Remove(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	f.through(ctx, t)
	return f.Connector.Remove(ctx, t, os)
}

func (f *flaky) Verify(ctx context.Context, t connector.Target, os []connector.Order) []connector.Observation {
	f.through(ctx, t)
	return f.Connector.Verify(ctx, t, os)
}
