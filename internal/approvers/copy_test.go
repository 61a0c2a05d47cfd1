package approvers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// directory is users whose number of readings is counted.
type directory struct {
	users []access.Principal
	reads int
	gate  chan struct{} // not nil: each reading waits for it
	err   error
}

func (d *directory) read(context.Context) ([]access.Principal, error) {
	d.reads++
	as, err := append([]access.Principal(nil), d.users...), d.err
	if d.gate != nil {
		<-d.gate
	}
	return as, err
}

func user(name string, groups ...access.Group) access.Principal {
	return access.Principal{ID: access.NewPrincipalID(access.User, name), Person: access.Person(name), Groups: groups}
}

// asks is whether one of the group could answer a request of mira's.
func asks(t *testing.T, c *Copy, group access.Subject) error {
	t.Helper()
	set, err := policy.Compile(nil, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := access.Request{State: access.RequestPending, Person: "mira", ExpiresAt: time.Now().Add(time.Hour),
		Decision: access.Decision{Approvals: []access.Requirement{{From: []access.Subject{group}, Count: 1}}}}
	return c.Ask(t.Context(), func(who Known) error { return who.Answerable(r, set, time.Now()) })
}

// An old copy says yes, and is never enough for a no.
func TestNoIsSaidOfWhatWasJustRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &directory{users: []access.Principal{user("mira", "dba"), user("olga", "dba")}}
		c := NewCopy(d.read)
		for range 2 {
			if err := asks(t, c, "group:dba"); err != nil {
				t.Fatal(err)
			}
		}
		if d.reads != 1 {
			t.Fatalf("the users were read %d times for two answers", d.reads)
		}
		d.users = append(d.users, user("omar", "leads")) // nobody told of him
		time.Sleep(sure + time.Millisecond)
		if err := asks(t, c, "group:leads"); err != nil || d.reads != 2 {
			t.Fatalf("after %d readings: %v", d.reads, err)
		}
		for range 2 { // a flood of what nobody can answer reads them once
			if err := asks(t, c, "group:nobody"); access.KindOf(err) != access.Denied || errors.Is(err, ErrNotSure) {
				t.Fatal(err)
			}
		}
		if d.reads != 2 {
			t.Fatalf("%d readings within the time in which a copy is sure", d.reads)
		}
		time.Sleep(good + time.Millisecond)
		if err := asks(t, c, "group:dba"); err != nil || d.reads != 3 {
			t.Fatalf("a copy that is too old for a yes was not read again: %d, %v", d.reads, err)
		}
		d.err = access.Fail(access.Unavailable, "store", "away")
		c.Changed()
		if err := asks(t, c, "group:dba"); !errors.Is(err, d.err) {
			t.Fatalf("users that could not be read answered: %v", err)
		}
	})
}

// What changed while the users were read is not in the copy: it is not kept.
func TestChangedWhileItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &directory{users: []access.Principal{user("olga", "dba")}, gate: make(chan struct{})}
		c := NewCopy(d.read)
		got := make(chan error, 2)
		for range 2 { // the second waits for what the first one reads
			go func() { got <- asks(t, c, "group:dba") }()
		}
		synctest.Wait()
		if d.reads != 1 {
			t.Fatalf("%d read at the same time", d.reads)
		}
		d.users = nil
		c.Changed()
		d.gate <- struct{}{}
		if err := <-got; err != nil {
			t.Fatal(err) // as it was when it was asked
		}
		d.gate <- struct{}{} // the other one reads anew
		if err := <-got; access.KindOf(err) != access.Denied {
			t.Fatalf("who was removed could approve: %v", err)
		}
	})
}
