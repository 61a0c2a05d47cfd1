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

// sign gives a target the claim of an installation that signs, with the means to
// know its own.
func sign(t connector.Target, c connector.Claim) connector.Target {
	proof := func(c connector.Claim) string { return fmt.Sprint("proof of ", c.Installation, " ", c.Epoch) }
	c.Proof = proof(c)
	t.Claim, t.Genuine = c, func(found connector.Claim) bool {
		return found.Installation == c.Installation && found.Proof == proof(found)
	}
	return t
}

// claim: of each two, the second is refused unless it is a later life of the
// same installation, proof or not.
func claim(s *scene) {
	for _, step := range []struct {
		name string
		as   connector.Target
		want error
	}{
		{"the first", sign(s.Target(), connector.Claim{Installation: "one", Epoch: 1}), nil},
		{"the same again", sign(s.Target(), connector.Claim{Installation: "one", Epoch: 1}), nil},
		{"another installation", sign(s.Target(), connector.Claim{Installation: "two", Epoch: 9}), access.Conflict},
		{"a later epoch", sign(s.Target(), connector.Claim{Installation: "one", Epoch: 2}), nil},
		{"an earlier epoch", sign(s.Target(), connector.Claim{Installation: "one", Epoch: 1}), access.Conflict},
		{"nobody", s.Target(), access.Invalid},
	} {
		err := s.Connector().Claim(s.ctx, step.as, step.as.Claim)
		if step.want == nil && err != nil || step.want != nil && !errors.Is(err, step.want) {
			s.Errorf("claim by %s: %v, want %v", step.name, err, step.want)
		}
	}
}

// claimUnsigned: a version that signs and one that does not, of one installation,
// work side by side on one target, and the claim ends up signed.
func claimUnsigned(s *scene) {
	mine := sign(s.Target(), connector.Claim{Installation: "one", Epoch: 2})
	was := connector.Claim{Installation: "one", Epoch: 2}
	plain := s.Target()
	if err := s.Connector().Claim(s.ctx, plain, was); err != nil {
		s.Fatalf("claim without a proof: %v", err)
	}
	if err := s.Connector().Claim(s.ctx, mine, mine.Claim); err != nil {
		s.Fatalf("claim over one's own without a proof: %v", err)
	}
	// From now on an earlier life knows that it is one.
	earlier := sign(s.Target(), connector.Claim{Installation: "one", Epoch: 1})
	if err := s.Connector().Claim(s.ctx, earlier, earlier.Claim); !errors.Is(err, access.Conflict) {
		s.Errorf("an earlier life claims a target: %v", err)
	}
}

// forgedClaim: a claim in our name that we did not write stops neither the end
// of access nor goes unnoticed, and nothing new is made under it.
func forgedClaim(s *scene, m access.Mechanism) {
	mine := sign(s.Target(), connector.Claim{Installation: "mine", Epoch: 3})
	c := s.Connector()
	if err := c.Claim(s.ctx, mine, mine.Claim); err != nil {
		s.Fatalf("claim: %v", err)
	}
	o := s.order(m)
	r, err := c.Provision(s.ctx, mine, o)
	if err != nil {
		s.Fatalf("provision: %v", err)
	}
	o = with(o, r)
	live := s.session(o, r)
	s.ForgeClaim("mine", 9)
	if err := c.Claim(s.ctx, mine, mine.Claim); !errors.Is(err, access.Conflict) {
		s.Errorf("a forged claim is taken for nothing: %v", err)
	}
	if _, err := c.Provision(s.ctx, mine, s.order(m)); outcome(err) != connector.NotDone {
		s.Errorf("provision under a forged claim: %v", err)
	}
	os := []connector.Order{o}
	for _, got := range [][]connector.Result{c.Revoke(s.ctx, mine, os), c.TerminateSessions(s.ctx, mine, os), c.Remove(s.ctx, mine, os)} {
		if got[0].Outcome != connector.Done {
			s.Errorf("the end under a forged claim: %s", describe(got[0]))
		}
	}
	s.wantGone(o, r)
	if live.Alive() {
		s.Error("a session outlives its end under a forged claim")
	}
	// It is still there for somebody to look at.
	if err := c.Claim(s.ctx, mine, mine.Claim); !errors.Is(err, access.Conflict) {
		s.Errorf("a forged claim was overwritten: %v", err)
	}
}

// beats: a beat is swapped by whom the target belongs to, once, and a later life
// begins with none.
func beats(s *scene) {
	beacon, ok := s.Connector().(connector.Beacon)
	if !ok {
		return // this connector's targets keep none
	}
	mine := sign(s.Target(), connector.Claim{Installation: "mine", Epoch: 1})
	swap := func(t connector.Target, old, next connector.Beat, want bool) {
		s.Helper()
		if done, err := beacon.SwapBeat(s.ctx, t, old, next); err != nil || done != want {
			s.Errorf("swap %+v for %+v: %v, %v, want %v", old, next, done, err, want)
		}
	}
	read := func(want connector.Beat) {
		s.Helper()
		if got, err := beacon.ReadBeat(s.ctx, mine); err != nil || got != want {
			s.Errorf("the beat is %+v (%v), want %+v", got, err, want)
		}
	}
	read(connector.Beat{})
	if err := s.Connector().Claim(s.ctx, mine, mine.Claim); err != nil {
		s.Fatal(err)
	}
	read(connector.Beat{})
	first, second := connector.Beat{Of: "t", Last: "1"}, connector.Beat{Of: "t", Last: "2", Rival: "somebody"}
	swap(mine, connector.Beat{}, first, true)
	swap(mine, connector.Beat{}, second, false)
	swap(mine, first, second, true)
	read(second)
	swap(sign(s.Target(), connector.Claim{Installation: "other", Epoch: 1}), second, first, false)
	if err := s.Connector().Claim(s.ctx, mine, mine.Claim); err != nil {
		s.Fatal(err)
	}
	read(second)
	later := sign(s.Target(), connector.Claim{Installation: "mine", Epoch: 2})
	if err := s.Connector().Claim(s.ctx, later, later.Claim); err != nil {
		s.Fatal(err)
	}
	read(connector.Beat{Of: "t"})
	swap(mine, connector.Beat{Of: "t"}, first, false)
	swap(later, connector.Beat{Of: "t"}, first, true)
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
	o, r := s.provision(s.order(s.Connector().Capabilities().Mechanisms[0]))
	s.Connector().Forget(t.Connection)
	s.wantPresent(o, r, 0) // it connects anew
	s.end(o)
}
