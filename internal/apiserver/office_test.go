package apiserver

import (
	"fmt"
	"sync"
	"testing"

	"stint/internal/api"
)

// TestOfficesAtOnce: an administrator who is alone and gives offices by many calls at the
// same moment gives one alone, and no more: whether it takes two persons is found out in
// the transaction that gives.
func TestOfficesAtOnce(t *testing.T) {
	w := begin(t)
	root := w.first()
	const users = 6
	for n := range users {
		_, err := root.AddUser(t.Context(), api.UserAdd{Name: fmt.Sprintf("set%d", n)})
		check(t, err)
	}
	yes := true
	waits := make([]bool, 2*users)
	var all sync.WaitGroup
	start := make(chan struct{})
	for n := range users {
		all.Go(func() {
			<-start
			u, err := root.SetUser(t.Context(), fmt.Sprintf("set%d", n), api.UserSet{Admin: &yes})
			if err != nil {
				t.Errorf("to set one: %v", err)
				return
			}
			waits[n] = u.Proposal != nil
		})
		all.Go(func() {
			<-start
			u, err := root.AddUser(t.Context(), api.UserAdd{Name: fmt.Sprintf("add%d", n), Admin: true})
			if err != nil {
				t.Errorf("to add one: %v", err)
				return
			}
			waits[users+n] = u.Proposal != nil
		})
	}
	close(start)
	all.Wait()
	wait, admins := 0, 0
	for _, is := range waits {
		if is {
			wait++
		}
	}
	page, err := root.ListUsers(t.Context(), api.List{Limit: 100})
	check(t, err)
	for _, u := range page.Items {
		if u.Admin {
			admins++
		}
	}
	if admins != 2 || wait != 2*users-1 {
		t.Errorf("%d administer now, and %d wait for another person; want 2 and %d", admins, wait, 2*users-1)
	}
}
