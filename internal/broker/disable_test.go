package broker_test

import (
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/store"
)

// TestDisableIsForAdministrators: for those who are one still, of others, once; who could
// approve is counted without them at once, and a service goes without its human.
func TestDisableIsForAdministrators(t *testing.T) {
	in := newInstallation(t)
	ctx, root := t.Context(), in.as("root")
	must(t, in.store.Update(ctx, func(tx *store.Tx) error {
		return tx.SavePrincipals(access.Principal{ID: "service:ci", Person: "mira", Version: 1, CreatedAt: tx.Now()})
	}))
	for _, who := range []string{"mira", "omar"} {
		wantCode(t, in.Disable(ctx, in.as(who), "user:noor", "x"), "not-yours")
	}
	wantCode(t, in.Disable(ctx, root, "user:root", "x"), "own-account")
	in.change(func(p *access.Principal) { p.Admin = false }, "root")
	wantCode(t, in.Disable(ctx, root, "user:noor", "x"), "not-yours")
	in.change(func(p *access.Principal) { p.Admin = true }, "root")
	if p := in.principal("user:noor"); p.Disabled {
		t.Fatalf("disabled by who may not: %+v", p)
	}

	must(t, in.Disable(ctx, root, "service:ci", "not needed"))
	if ci, mira := in.principal("service:ci"), in.principal("user:mira"); !ci.Disabled || mira.Disabled {
		t.Errorf("the service: %v, its human: %v", ci.Disabled, mira.Disabled)
	}
	in.apply(guests("{approvals: [{from: [group:dba], count: 2}]}"))
	v, err := in.Submit(ctx, in.as("gus"), ask("reader", time.Minute))
	must(t, err)
	_, err = in.Cancel(ctx, in.as("gus"), string(v.Request.ID))
	must(t, err)
	must(t, in.Disable(ctx, root, "user:olga", "left"))
	wantCode(t, onlyErr(in.Submit(ctx, in.as("gus"), ask("reader", time.Minute))), "nobody-to-approve")
	wantCode(t, in.Disable(ctx, root, "user:olga", "again"), "already-disabled")
}

// TestReconsiderCountsPeople: groups changed, and who could approve with them.
func TestReconsiderCountsPeople(t *testing.T) {
	in := newInstallation(t)
	in.apply(guests("{approvals: [{from: [group:dba], count: 2}]}"))
	gus := in.as("gus")
	v, err := in.Submit(t.Context(), gus, ask("reader", time.Minute))
	must(t, err)
	_, err = in.Cancel(t.Context(), gus, string(v.Request.ID))
	must(t, err)
	must(t, in.store.Update(t.Context(), func(tx *store.Tx) error {
		olga, err := tx.Principal("user:olga")
		if err != nil {
			return err
		}
		olga.Groups = nil
		olga.Version++
		return tx.SavePrincipals(olga)
	}))
	in.Reconsider()
	wantCode(t, onlyErr(in.Submit(t.Context(), gus, ask("reader", time.Minute))), "nobody-to-approve")
}

// TestLastBackup: administrators and auditors hear when one was handed out; others nothing.
func TestLastBackup(t *testing.T) {
	in := newInstallation(t)
	root := in.as("root")
	at, err := in.LastBackup(t.Context(), root)
	if must(t, err); !at.IsZero() {
		t.Errorf("none yet, and the last one was at %s", at)
	}
	want := time.Date(2026, 3, 1, 4, 5, 6, 0, time.UTC)
	must(t, in.store.Update(t.Context(), func(tx *store.Tx) error {
		return tx.SaveSetting(broker.LastBackupSetting, []byte(want.Format(access.Stamp)))
	}))
	if at, err = in.LastBackup(t.Context(), root); err != nil || !at.Equal(want) {
		t.Errorf("the last one was at %s, not %s: %v", at, want, err)
	}
	auditor := in.as("olga")
	auditor.Principal.Auditor = true
	if at, err = in.LastBackup(t.Context(), auditor); err != nil || !at.Equal(want) {
		t.Errorf("an auditor hears %s, %v", at, err)
	}
	wantCode(t, onlyErr(in.LastBackup(t.Context(), in.as("mira"))), "not-yours")
}
