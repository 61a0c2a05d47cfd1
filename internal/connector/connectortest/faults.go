package connectortest

import (
	"context"
	"errors"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// failedNotDone: the connection breaks before the target has seen anything.
func failedNotDone(s *scene, m access.Mechanism) {
	t, faults := s.Faulty()
	s.warm(t, m)
	o := s.order(m)
	faults.CutBefore()
	_, err := s.Connector().Provision(s.ctx, t, o)
	wantUncertain(s, err)
	if err != nil {
		s.wantGone(o, connector.Receipt{})
	}
	s.end(o)
	s.wantGone(o, connector.Receipt{})
}

// failedButDone: the target did it, and nobody heard.
func failedButDone(s *scene, m access.Mechanism) {
	t, faults := s.Faulty()
	s.warm(t, m)
	o := s.order(m)
	faults.CutAfter()
	_, err := s.Connector().Provision(s.ctx, t, o)
	wantUncertain(s, err)
	o2, r := s.provision(o) // a repeat finds it
	s.wantPresent(o2, r, 0)
	live := s.session(o2, r)
	s.end(o) // as the broker that never got a receipt
	if live.Alive() {
		s.Error("the session outlived its privilege")
	}
	s.wantGone(o, r)
}

// wantUncertain: after a broken connection only success or "we do not know" is
// honest, and a connector that can repeat by itself may succeed.
func wantUncertain(s *scene, err error) {
	s.Helper()
	if got := outcome(err); got == connector.NotDone {
		s.Errorf("a connection that broke in mid-call counts as %v: %v", got, err)
	}
}

// silent: a target that does not answer costs a call its deadline, not more, and
// nothing is taken for known.
func silent(s *scene, m access.Mechanism) {
	t, faults := s.Faulty()
	s.warm(t, m)
	o, r := s.provision(s.order(m))
	faults.Hang()
	ctx, cancel := context.WithTimeout(s.ctx, 300*time.Millisecond)
	defer cancel()
	os := []connector.Order{o}
	began := time.Now()
	v := s.Connector().Verify(ctx, t, os)[0]
	if v.Presence != connector.NotKnown || v.Sessions != -1 || v.Gone() || !errors.Is(v.Err, context.DeadlineExceeded) {
		s.Errorf("reading back from a silent target: %+v", v)
	}
	for _, got := range [][]connector.Result{s.Connector().Revoke(ctx, t, os), s.Connector().TerminateSessions(ctx, t, os), s.Connector().Remove(ctx, t, os)} {
		if got[0].Outcome == connector.Done {
			s.Errorf("a silent target: %s", describe(got[0]))
		}
	}
	if _, err := s.Connector().Provision(ctx, t, s.Order(m)); err == nil {
		s.Error("a silent target made something")
	}
	if took := time.Since(began); took > 5*time.Second {
		s.Errorf("calls with a deadline of 300 ms took %v", took)
	}
	faults.Resume()
	s.end(o)
	s.wantGone(o, r)
}

// warm opens the connections that a fault is to break.
func (s *scene) warm(t connector.Target, m access.Mechanism) {
	s.Helper()
	if s.serves(access.Account) {
		m = access.Account
	}
	o := s.order(m)
	r, err := s.Connector().Provision(s.ctx, t, o)
	if err != nil {
		s.Fatalf("provision through the fault proxy: %v", err)
	}
	s.end(with(o, r))
}
