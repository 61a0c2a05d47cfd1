package broker_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/store"
)

// restart stops the installation, does something to its store, and starts it.
func (in *installation) restart(change func(*store.Tx) error) {
	in.t.Helper()
	in.stop()
	in.restartWith(change)
}

func setQuarantine(q broker.Quarantine) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		text, err := json.Marshal(q)
		if err != nil {
			return err
		}
		return tx.SaveSetting(broker.QuarantineSetting, text)
	}
}

func (in *installation) state() (broker.Quarantine, broker.Reconciliation) {
	in.t.Helper()
	q, r, err := in.QuarantineState(in.t.Context())
	must(in.t, err)
	return q, r
}

// eventually waits for what takes a look or two.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
	}
}

func refusedAs(t *testing.T, err error, code string) {
	t.Helper()
	var e *access.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
}

// TestQuarantine: what was live in restored data ends, what was open is refused,
// nothing is granted, and a person ends it when every target is clean. (T-25, I-33)
func TestQuarantine(t *testing.T) {
	in := newInstallation(t)
	ctx := t.Context()
	v := in.hold("mira", "reader", time.Hour)
	w := in.hold("noor", "owner", time.Hour)
	open, err := in.Submit(ctx, in.as("gus"), ask("reader", time.Minute))
	must(t, err)
	in.restart(func(tx *store.Tx) error {
		return broker.BeginRestored(tx, 1, 2, broker.Quarantine{Why: "a test", BackupAt: time.Unix(1, 0), Kept: 7}, "")
	})
	_, err = in.Submit(ctx, in.as("mira"), ask("reader", time.Minute))
	refusedAs(t, err, "quarantined")
	_, err = in.Credential(ctx, in.as("mira"), string(v.Request.ID))
	if err == nil {
		t.Error("a credential was shown in quarantine")
	}
	for name, id := range map[string]string{"mira": string(v.Request.ID), "noor": string(w.Request.ID)} {
		if got := in.until(name, id, access.Ended); got.Grant.EndReason != access.ByPolicy || got.Grant.EndNote == "" {
			t.Errorf("%s's grant ended by %s (%q)", name, got.Grant.EndReason, got.Grant.EndNote)
		}
	}
	got, err := in.View(ctx, in.as("gus"), string(open.Request.ID))
	must(t, err)
	if got.Request.State != access.RequestIsDenied {
		t.Errorf("an open request of the backup is %s", got.Request.State)
	}
	if _, err := in.AcceptQuarantine(ctx, in.as("mira"), "please", true); !errors.Is(err, access.Denied) {
		t.Errorf("accepted by somebody: %v", err)
	}
	eventually(t, "clean", func() bool { q, r := in.state(); return q.Settled && r.Clean() })
	in.clean()
	if q, _ := in.state(); q.Kind != broker.Restored {
		t.Fatal("the quarantine ended by itself, and no witness was asked")
	}
	if _, err := in.AcceptQuarantine(ctx, in.as("root"), " ", false); !errors.Is(err, access.Invalid) {
		t.Errorf("without a reason: %v", err)
	}
	if over, err := in.AcceptQuarantine(ctx, in.as("root"), "looked at all of it", false); err != nil || !over {
		t.Fatalf("accept: %v, %v", over, err)
	}
	in.hold("mira", "reader", time.Hour)
	if gap, err := in.LogGap(ctx); err != nil || gap.Kept != 7 {
		t.Errorf("the gap that was accepted: %+v, %v", gap, err)
	}
}

// TestQuarantineEndsByItself when all is clean and every witness knows this log,
// and not when one knows more.
func TestQuarantineEndsByItself(t *testing.T) {
	t.Parallel() // it waits
	in := newInstallation(t)
	for _, lost := range []int64{0, 40} {
		in.restart(func(tx *store.Tx) error {
			return broker.BeginRestored(tx, 1, 2, broker.Quarantine{Why: "a test", Kept: 7}, "")
		})
		must(t, in.Witnessed(t.Context(), 7, lost, "root", "w.test", true))
		if lost == 0 {
			eventually(t, "the end", func() bool { q, _ := in.state(); return q.Kind == "" })
			in.hold("mira", "reader", time.Hour)
			continue
		}
		eventually(t, "clean", func() bool { q, r := in.state(); return q.Settled && r.Clean() })
		time.Sleep(1500 * time.Millisecond) // longer than it takes between two looks
		if q, _ := in.state(); q.Kind != broker.Restored || q.Lost != 40 {
			t.Errorf("records are lost, and the quarantine is %+v", q)
		}
	}
}

// TestLooksOld: data that a witness knows to be older grants nothing and removes
// nothing by sweep, and ends what is due; it takes two to go on all the same.
func TestLooksOld(t *testing.T) {
	in := newInstallation(t)
	ctx := t.Context()
	v := in.hold("mira", "reader", time.Hour)
	stray := in.hold("noor", "reader", time.Hour)
	must(t, in.Witnessed(ctx, 12, 0, "", "", true)) // all is well
	if q, _ := in.state(); q.Kind != "" {
		t.Fatalf("in quarantine for nothing: %+v", q)
	}
	must(t, in.Witnessed(ctx, 12, 50, "root", "w.test", true))
	_, err := in.Submit(ctx, in.as("mira"), ask("reader", time.Minute))
	refusedAs(t, err, "quarantined")
	must(t, in.Witnessed(ctx, 12, 0, "", "", true)) // what was seen is not forgotten
	if q, _ := in.state(); q.Kind != broker.LooksOld || q.Lost != 50 {
		t.Fatalf("it is %+v", q)
	}
	// Revoking works; a sweep lists.
	_, err = in.Revoke(ctx, in.as("root"), broker.Selector{Grant: string(v.Request.ID)}, "in quarantine")
	must(t, err)
	in.until("mira", string(v.Request.ID), access.Ended)
	_ = stray
	must(t, in.store.Update(ctx, func(tx *store.Tx) error {
		return tx.SavePrincipals(access.Principal{ID: "user:rita", Person: "rita", Admin: true, Version: 1, CreatedAt: tx.Now()})
	}))
	rita := in.as("root")
	rita.Principal.ID, rita.Principal.Person, rita.Actor.Principal, rita.Actor.Person = "user:rita", "rita", "user:rita", "rita"
	_, err = in.AcceptQuarantine(ctx, rita, "it is fine", false)
	refusedAs(t, err, "not-reconciled")
	// The word of somebody who is no administrator any more is nobody's.
	sue := access.Principal{ID: "user:sue", Person: "sue", Admin: true, Version: 1, CreatedAt: time.Unix(1, 0).UTC()}
	must(t, in.store.Update(ctx, func(tx *store.Tx) error { return tx.SavePrincipals(sue) }))
	former := rita
	former.Principal, former.Actor.Principal, former.Actor.Person = sue, sue.ID, sue.Person
	if over, err := in.AcceptQuarantine(ctx, former, "it is fine", true); err != nil || over {
		t.Fatalf("the first of two: over %v, %v", over, err)
	}
	sue.Disabled, sue.Version = true, 2
	must(t, in.store.Update(ctx, func(tx *store.Tx) error { return tx.SavePrincipals(sue) }))
	for i, step := range []struct {
		who  broker.Caller
		over bool
	}{{rita, false}, {rita, false}, {in.as("root"), true}} {
		if over, err := in.AcceptQuarantine(ctx, step.who, "it is fine", true); err != nil || over != step.over {
			t.Fatalf("step %d: over %v, %v", i, over, err)
		}
	}
	in.hold("mira", "reader", time.Hour)
	must(t, in.Witnessed(ctx, 14, 50, "root", "w.test", true)) // accepted: the witness's operator is next
	if q, _ := in.state(); q.Kind != "" {
		t.Error("what was accepted begins again")
	}
	must(t, in.Witnessed(ctx, 14, 60, "root", "w.test", true)) // this is news
	if q, _ := in.state(); q.Kind != broker.LooksOld {
		t.Error("a second rollback was taken for the first")
	}
}

// TestLooksOldSweepsNothing: a copy of the data does not remove what the original
// made meanwhile.
func TestLooksOldSweepsNothing(t *testing.T) {
	in := newInstallation(t)
	ctx := t.Context()
	copied := filepath.Join(t.TempDir(), "copy.db")
	in.stop()
	original := in.path
	must(t, copyFile(original, copied))
	in.start()
	v := in.hold("mira", "reader", time.Hour) // by the original; the copy knows nothing of it
	in.stop()
	in.path = copied
	in.restartWith(setQuarantine(broker.Quarantine{Kind: broker.LooksOld, Why: "a test"}))
	found, err := in.Sweep(ctx, in.as("root"), "db", 0, "")
	must(t, err)
	if len(found.Unwanted) != 1 || found.Ordered != 0 {
		t.Errorf("the copy's sweep found %d and ordered %d", len(found.Unwanted), found.Ordered)
	}
	in.stop()
	in.path = original
	in.start()
	in.until("mira", string(v.Request.ID), access.Active)
	if len(in.target.left()) != 1 {
		t.Errorf("left on the target: %v", in.target.left())
	}
}

// TestQuarantineUnreadable: in doubt, nothing new.
func TestQuarantineUnreadable(t *testing.T) {
	in := newInstallation(t)
	in.restart(func(tx *store.Tx) error { return tx.SaveSetting(broker.QuarantineSetting, []byte("{")) })
	_, err := in.Submit(t.Context(), in.as("mira"), ask("reader", time.Minute))
	refusedAs(t, err, "quarantined")
}

// restartWith is restart of an installation that is stopped.
func (in *installation) restartWith(change func(*store.Tx) error) {
	in.t.Helper()
	s, err := store.Open(in.t.Context(), store.Config{Path: in.path})
	must(in.t, err)
	must(in.t, errors.Join(s.Update(in.t.Context(), change), s.Close()))
	in.start()
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}
