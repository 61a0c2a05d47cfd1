package connectortest

import (
	"slices"
	"testing"

	"stint/internal/access"
	"stint/internal/connector"
)

// survey: privilege that somebody else gave is found, with the statement that takes it
// away; what Stint made or lent is not, and nor is its login. It changes nothing.
func survey(t *testing.T, s *scene) {
	v, ok := s.Connector().(connector.Surveyor)
	if !ok {
		return
	}
	served := s.Connector().Capabilities().Mechanisms
	if !slices.Contains(served, access.Member) {
		t.Fatal("a surveyor without memberships has to bring a case of its own")
	}
	theirs, ours := s.Order(access.Member), s.order(access.Member)
	s.Grant(theirs)
	look := func(most int) (found []connector.Stand, cut bool) {
		t.Helper()
		found, cut, err := v.Survey(s.ctx, s.Target(), theirs.Rights, most)
		if err != nil {
			t.Fatalf("survey: %v", err)
		}
		known := map[[2]string]bool{}
		for _, f := range found {
			if f.Account == "" || f.Privilege == "" || f.Kind == "" || f.Undo == "" || (f.Kind == access.StandingMember) != (f.Right != "") {
				t.Errorf("incomplete: %+v", f)
			}
			if f.Account == s.Target().Username {
				t.Errorf("its own login is among it: %+v", f)
			}
			if k := [2]string{f.Account, f.Privilege}; known[k] {
				t.Errorf("twice: %+v", f)
			} else {
				known[k] = true
			}
		}
		if !slices.IsSortedFunc(found, func(a, b connector.Stand) int {
			return slices.Compare([]string{a.Account, a.Privilege}, []string{b.Account, b.Privilege})
		}) {
			t.Errorf("not sorted: %+v", found)
		}
		return found, cut
	}
	has := func(found []connector.Stand, account, right string) bool {
		return slices.ContainsFunc(found, func(f connector.Stand) bool {
			return f.Account == account && (right == "" || f.Right == right)
		})
	}
	before, cut := look(1000)
	if cut {
		t.Fatalf("more than a thousand are there already")
	}
	for _, right := range theirs.Rights {
		if !has(before, theirs.Account, right) {
			t.Errorf("%s in %s is not found: %+v", theirs.Account, right, before)
		}
	}
	lent, r := s.provision(ours)
	var made []connector.Order
	if slices.Contains(served, access.Account) {
		o, _ := s.provision(s.order(access.Account))
		made = append(made, o)
	}
	if slices.Contains(served, access.Enable) {
		o, _ := s.provision(s.order(access.Enable))
		made = append(made, o)
	}
	s.wantPresent(lent, r, 0)
	during, _ := look(1000)
	if !slices.Equal(before, during) {
		t.Errorf("what Stint made is taken for standing privilege:\nbefore %+v\nduring %+v", before, during)
	}
	if one, cut := look(1); len(one) != 1 || len(before) > 1 != cut {
		t.Errorf("a survey of one: %+v, cut %v of %d", one, cut, len(before))
	}
	s.endAll(append(made, lent))
	if !s.Taken(theirs) {
		return
	}
	t.Error("what somebody else granted was taken away")
}
