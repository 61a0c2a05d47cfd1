package broker_test

import (
	"context"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/store"
)

var corp = access.Actor{Principal: "integration:corp"}

func (in *installation) principal(id access.PrincipalID) (p access.Principal) {
	in.t.Helper()
	must(in.t, in.store.View(context.Background(), func(tx *store.Tx) (err error) { p, err = tx.Principal(id); return err }))
	return p
}

// login gives a principal one, and reports later whether it is good.
func (in *installation) login(id access.PrincipalID) (good func() bool) {
	in.t.Helper()
	token := access.Digest{byte(len(id)), 7}
	must(in.t, in.store.Update(context.Background(), func(tx *store.Tx) error {
		return tx.SaveLogin(access.Login{Token: token, Principal: id, Device: "d", SealKey: []byte("k"), CreatedAt: tx.Now(), ExpiresAt: tx.Now().Add(time.Hour)})
	}))
	return func() bool {
		in.t.Helper()
		var l access.Login
		must(in.t, in.store.View(context.Background(), func(tx *store.Tx) (err error) { l, err = tx.Login(token); return err }))
		return !l.Revoked
	}
}

// Who leaves, because a provider says so, loses what an administrator's disabling
// would take, and the provider is noted.
func TestWhoLeavesHoldsNothing(t *testing.T) {
	in := newInstallation(t)
	v, good := in.hold("mira", "reader", time.Minute), in.login("user:mira")
	must(t, in.store.Update(t.Context(), func(tx *store.Tx) error {
		return tx.SavePrincipals(access.Principal{ID: "service:ci", Person: "mira", Version: 1, CreatedAt: tx.Now()})
	}))
	must(t, in.Leave(t.Context(), corp, "user:mira", "corp", "corp says that they left"))
	v = in.until("root", string(v.Request.ID), access.Ended)
	if v.Grant.EndReason != access.ByPolicy || good() {
		t.Errorf("ended as %s, the login is good: %v", v.Grant.EndReason, good())
	}
	in.clean()
	p, ci := in.principal("user:mira"), in.principal("service:ci")
	if !p.Disabled || p.DisabledBy != "corp" || !ci.Disabled || ci.DisabledBy != "" {
		t.Errorf("got %+v and %+v", p, ci)
	}
	must(t, in.Leave(t.Context(), corp, "user:mira", "other", "again"))
	if again := in.principal("user:mira"); again.Version != p.Version || again.DisabledBy != "corp" {
		t.Errorf("who has left leaves again: %+v", again)
	}
	if n := in.Stats().Events[broker.PrincipalDisabled]; n != 2 {
		t.Errorf("%d were disabled in the log, want 2", n)
	}
	if err := in.Leave(t.Context(), corp, "user:nobody", "corp", "x"); access.KindOf(err) != access.NotFound {
		t.Errorf("nobody left: %v", err)
	}
}

// The last administrator loses what they hold, and keeps the account; one of two does
// not.
func TestTheLastAdministratorStays(t *testing.T) {
	in := newInstallation(t)
	good := in.login("user:root")
	must(t, in.Leave(t.Context(), corp, "user:root", "corp", "gone"))
	if p := in.principal("user:root"); p.Disabled || good() || in.Stats().Events[broker.PrincipalKept] != 1 {
		t.Errorf("got %+v, the login is good: %v", p, good())
	}
	must(t, in.store.Update(t.Context(), func(tx *store.Tx) error {
		p, err := tx.Principal("user:olga")
		if err != nil {
			return err
		}
		p.Admin, p.Version = true, p.Version+1
		return tx.SavePrincipals(p)
	}))
	must(t, in.Leave(t.Context(), corp, "user:root", "corp", "gone"))
	if p := in.principal("user:root"); !p.Disabled {
		t.Error("one of two administrators stays")
	}
}

// A doubt ends logins, and grants if it is to; the person asks again afterwards.
func TestDoubtEndsAndDoesNotDisable(t *testing.T) {
	in := newInstallation(t)
	v, good := in.hold("mira", "reader", time.Minute), in.login("user:mira")
	must(t, in.EndFor(t.Context(), corp, "user:mira", "corp", "session revoked", false))
	if got := in.until("root", string(v.Request.ID), access.Active); good() || got.Grant.State != access.Active {
		t.Errorf("the grant is %s, the login is good: %v", got.Grant.State, good())
	}
	must(t, in.EndFor(t.Context(), corp, "user:mira", "corp", "device lost", true))
	in.until("root", string(v.Request.ID), access.Ended)
	in.clean()
	if p := in.principal("user:mira"); p.Disabled || in.Stats().Events[broker.PrincipalEnded] != 2 {
		t.Errorf("got %+v", p)
	}
	in.hold("mira", "reader", time.Minute)
}
