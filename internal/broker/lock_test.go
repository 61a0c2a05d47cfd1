package broker_test

import (
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/store"
)

// TestLockEndsAndKeeps: who is locked holds nothing, asks for nothing and is signed in
// nowhere, nor do those they answer for; and when they are unlocked they are who they were.
func TestLockEndsAndKeeps(t *testing.T) {
	in := newInstallation(t)
	v, good := in.hold("mira", "reader", time.Minute), in.login("user:mira")
	must(t, in.store.Update(t.Context(), func(tx *store.Tx) error {
		return tx.SavePrincipals(access.Principal{ID: "service:ci", Person: "mira", Version: 1, CreatedAt: tx.Now()}, access.Principal{ID: "service:own", Person: "mira", Version: 1, CreatedAt: tx.Now()})
	}))
	token := in.login("service:ci")
	was, root := in.principal("user:mira"), in.as("root")
	must(t, in.Lock(t.Context(), root, "service:own", "for itself"))
	must(t, in.Lock(t.Context(), root, "user:mira", "  laptop stolen "))
	v = in.until("root", string(v.Request.ID), access.Ended)
	if v.Grant.EndReason != access.ByPolicy || good() || !token() {
		t.Errorf("ended as %s; the login is good: %v, the token: %v", v.Grant.EndReason, good(), token())
	}
	p, ci := in.principal("user:mira"), in.principal("service:ci")
	if p.Lock.With != "user:mira" || p.Lock.By != "user:root" || p.Lock.Why != "laptop stolen" || p.Lock.At.IsZero() || p.Disabled || ci.Lock.With != "user:mira" || ci.Disabled {
		t.Errorf("locked: %+v and %+v", p, ci)
	}
	if own := in.principal("service:own"); own.Lock.With != "service:own" {
		t.Errorf("what was locked for itself: %+v", own.Lock)
	}
	wantCode(t, onlyErr(in.Submit(t.Context(), in.as("mira"), broker.Ask{Resource: "orders-db", Role: "reader", Duration: time.Minute, Reason: "order 4711 hangs"})), "principal-locked")
	// A provider's word neither lets them in nor is lost.
	must(t, in.Leave(t.Context(), corp, "user:mira", "corp", "corp says that they left"))
	if p := in.principal("user:mira"); !p.Disabled || p.DisabledBy != "corp" || !p.Lock.Is() {
		t.Errorf("left while locked: %+v", p)
	}
	must(t, in.store.Update(t.Context(), func(tx *store.Tx) error {
		for _, id := range []access.PrincipalID{"user:mira", "service:ci", "service:own"} { // they come back there
			q, err := tx.Principal(id)
			if err != nil {
				return err
			}
			q.Disabled, q.DisabledBy = false, ""
			q.Version++
			if err := tx.SavePrincipals(q); err != nil {
				return err
			}
		}
		return nil
	}))
	wantCode(t, onlyErr(in.Unlock(t.Context(), root, "service:ci", "x")), "locked-with")
	waits, err := in.Unlock(t.Context(), root, "user:mira", "found again")
	must(t, err)
	if waits != nil {
		t.Error("it takes two to unlock somebody without an office")
	}
	if p := in.principal("user:mira"); p.Lock.Is() || p.Usable(time.Now()) != nil || strings.Join(groupNames(p), ",") != strings.Join(groupNames(was), ",") || p.Manager != was.Manager {
		t.Errorf("unlocked: %+v, was %+v", p, was)
	}
	if ci, own := in.principal("service:ci"), in.principal("service:own"); ci.Lock.Is() || !own.Lock.Is() {
		t.Errorf("unlocked with them: %+v; and for itself: %+v", ci.Lock, own.Lock)
	}
	wantCode(t, onlyErr(in.Unlock(t.Context(), root, "user:mira", "again")), "not-locked")
	if e := in.Stats().Events; e[broker.PrincipalLocked] != 3 || e[broker.PrincipalUnlocked] != 2 {
		t.Errorf("%d were locked and %d unlocked in the log", e[broker.PrincipalLocked], e[broker.PrincipalUnlocked])
	}
	in.clean()
	in.hold("mira", "reader", time.Minute) // and may ask again
}

// TestLockIsForAdministrators: nobody else locks or unlocks, nobody themselves, nobody twice,
// and nobody without a reason; who is offboarded is no longer locked, but disabled.
func TestLockIsForAdministrators(t *testing.T) {
	in := newInstallation(t)
	root := in.as("root")
	for _, who := range []string{"mira", "omar"} {
		wantCode(t, in.Lock(t.Context(), in.as(who), "user:mira", "x"), "not-yours")
		wantCode(t, onlyErr(in.Unlock(t.Context(), in.as(who), "user:mira", "x")), "not-yours")
	}
	wantCode(t, in.Lock(t.Context(), root, "user:root", "x"), "own-account")
	wantCode(t, in.Lock(t.Context(), root, "user:mira", " \n"), "no-reason")
	wantCode(t, in.Lock(t.Context(), root, "user:mira", strings.Repeat("x", 1001)), "long-reason")
	if err := in.Lock(t.Context(), root, "user:none", "x"); access.KindOf(err) != access.NotFound {
		t.Errorf("nobody was locked: %v", err)
	}
	must(t, in.Lock(t.Context(), root, "user:mira", "bad \xff\x00 bytes"))
	wantCode(t, in.Lock(t.Context(), root, "user:mira", "again"), "already-locked")
	must(t, in.Disable(t.Context(), root, "user:mira", "left"))
	if p := in.principal("user:mira"); !p.Disabled || p.Lock.Is() {
		t.Errorf("offboarded: %+v", p)
	}
}

func onlyErr[T any](_ T, err error) error { return err }

func groupNames(p access.Principal) (all []string) {
	for _, g := range p.Groups {
		all = append(all, string(g))
	}
	return all
}

// TestShutOutAtOnce: of two administrators who shut each other out at the same moment, one
// stays: what counts is who they are when it is done, and not when they came in.
func TestShutOutAtOnce(t *testing.T) {
	in := newInstallation(t)
	root, rita := in.as("root"), in.as("root")
	rita.Principal.ID, rita.Principal.Person, rita.Principal.Version = "user:rita", "rita", 1
	must(t, in.store.Update(t.Context(), func(tx *store.Tx) error { return tx.SavePrincipals(rita.Principal) }))
	must(t, in.Lock(t.Context(), root, "user:rita", "an exercise"))
	wantCode(t, in.Lock(t.Context(), rita, "user:root", "an exercise"), "principal-locked")
	wantCode(t, in.Disable(t.Context(), rita, "user:root", "an exercise"), "principal-locked")
	if p := in.principal("user:root"); p.Lock.Is() || p.Disabled {
		t.Errorf("nobody is left: %+v", p)
	}
}
