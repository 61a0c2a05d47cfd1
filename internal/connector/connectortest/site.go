package connectortest

import (
	"errors"
	"fmt"
	"sync"

	"stint/internal/access"
	"stint/internal/connector"
)

func check(s *scene) {
	rep := s.Connector().Check(s.ctx, s.Target())
	for _, st := range rep.Steps {
		if !st.OK {
			s.Errorf("%s: %s (%s)", st.Name, st.Detail, st.Fix)
		}
	}
	if !rep.OK() {
		s.Error("a target that is as it should be does not pass")
	}
	for a, err := range s.Connector().Inventory(s.ctx, s.Target()) {
		if err != nil || a.Ours {
			s.Errorf("the check left %+v (%v)", a, err)
		}
	}
}

func checkWeak(s *scene) {
	s.Weaken()
	rep := s.Connector().Check(s.ctx, s.Target())
	if rep.OK() {
		s.Error("a login that cannot end access passes")
	}
	for _, st := range rep.Steps {
		if !st.OK && st.Fix == "" {
			s.Errorf("%q failed (%s) and names no remedy", st.Name, st.Detail)
		}
	}
}

func claim(s *scene) {
	c, t := s.Connector(), s.Target()
	for _, step := range []struct {
		name string
		as   connector.Claim
		want error
	}{
		{"the first", connector.Claim{Installation: "one", Epoch: 1}, nil},
		{"the same again", connector.Claim{Installation: "one", Epoch: 1}, nil},
		{"another installation", connector.Claim{Installation: "two", Epoch: 9}, access.Conflict},
		{"a later epoch", connector.Claim{Installation: "one", Epoch: 2}, nil},
		{"an earlier epoch", connector.Claim{Installation: "one", Epoch: 1}, access.Conflict},
		{"nobody", connector.Claim{}, access.Invalid},
	} {
		err := c.Claim(s.ctx, t, step.as)
		if step.want == nil && err != nil || step.want != nil && !errors.Is(err, step.want) {
			s.Errorf("claim by %s: %v, want %v", step.name, err, step.want)
		}
	}
}

// claimRace: of many that claim at once one wins, and all agree on which.
func claimRace(s *scene) {
	const n = 8
	won := make([]bool, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			won[i] = s.Connector().Claim(s.ctx, s.Target(), connector.Claim{Installation: fmt.Sprint("racer", i), Epoch: 1}) == nil
		})
	}
	wg.Wait()
	winners := 0
	for i := range n {
		if won[i] {
			winners++
		}
	}
	if winners != 1 {
		s.Errorf("%d of %d claimed the target at once", winners, n)
	}
}

func forget(s *scene) {
	t := s.Target()
	o, r := s.provision(s.order(access.Account))
	s.Connector().Forget(t.Connection)
	s.wantPresent(o, r, 0) // it connects anew
	s.end(o)
}
