package broker_test

import (
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
)

// TestCredentialAnew: who has the newest ciphertext is told so, and nothing is shown, in the
// log either; who has another one, or an older one, is shown it.
func TestCredentialAnew(t *testing.T) {
	in := newInstallation(t)
	v := in.hold("mira", "reader", time.Minute)
	id := string(v.Request.ID)
	first, err := in.Credential(t.Context(), in.as("mira"), id)
	must(t, err)
	shown := first.View.Grant.Version
	var asked access.Sealed
	same, err := in.CredentialAnew(t.Context(), in.as("mira"), id, func(s access.Sealed) bool { asked = s; return true })
	must(t, err)
	if !same.Unchanged || same.View.Request.ID != v.Request.ID || same.View.Grant == nil || same.View.Grant.Version != shown {
		t.Errorf("who has it: %+v", same)
	}
	if string(asked.Blob) != string(first.Newest().Blob) {
		t.Error("another one was compared than is the newest")
	}
	anew, err := in.CredentialAnew(t.Context(), in.as("mira"), id, func(access.Sealed) bool { return false })
	must(t, err)
	if anew.Unchanged || anew.View.Grant.Version <= shown {
		t.Errorf("who has another: %+v", anew)
	}
}

// TestRefusedAnew: who has the newest ciphertext is refused as who has not; and is answered
// without a change, in whoever's name.
func TestRefusedAnew(t *testing.T) {
	var m *behalf
	in := newInstallationOn(t, func(s memory) broker.Store { m = &behalf{memory: s, done: map[access.Person]int{}}; return m })
	v := in.hold("mira", "reader", time.Minute)
	id := string(v.Request.ID)
	has := func(access.Sealed) bool { return true }
	changes := func() int {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.done[in.as("mira").Principal.Person]
	}
	before := changes()
	for range 3 {
		if got, err := in.CredentialAnew(t.Context(), in.as("mira"), id, has); err != nil || !got.Unchanged {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if n := changes(); n != before {
		t.Errorf("%d changes for what is known", n-before)
	}
	other := in.as("mira")
	other.Source.Device = "another"
	for who, c := range map[string]broker.Caller{"somebody else": in.as("noor"), "another device": other} {
		if got, err := in.CredentialAnew(t.Context(), c, id, has); err == nil || len(got.Sealed) > 0 {
			t.Errorf("%s: %+v", who, got)
		}
	}
	_, err := in.End(t.Context(), in.as("mira"), id, "done")
	must(t, err)
	if got, err := in.CredentialAnew(t.Context(), in.as("mira"), id, has); access.KindOf(err) != access.Conflict || len(got.Sealed) > 0 {
		t.Errorf("of a grant that is over: %+v, %v", got, err)
	}
}

func TestNewestSealed(t *testing.T) {
	for _, revs := range [][]int64{{3}, {1, 3, 2}, {3, 1}, {1, 2, 3}} {
		var c broker.Credential
		for _, rev := range revs {
			c.Sealed = append(c.Sealed, access.Sealed{Rev: rev})
		}
		if got := c.Newest().Rev; got != 3 {
			t.Errorf("of %v it is %d", revs, got)
		}
	}
}
