package broker_test

import (
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
)

// TestSweepBesideAnEnd: a membership that ends between the inventory that lists
// it and the judgement is not reported as left behind.
func TestSweepBesideAnEnd(t *testing.T) {
	in := newInstallation(t)
	v := in.hold("mira", "owner", time.Minute)
	over := make(chan struct{})
	in.target.setFault(func(call string, w when, _ connector.Order) error {
		if call != "inventory" || w != after {
			return nil
		}
		in.target.setFault(nil)
		defer close(over)
		if _, err := in.End(t.Context(), in.as("mira"), string(v.Request.ID), "done"); err != nil {
			return err
		}
		in.until("mira", string(v.Request.ID), access.Ended)
		return nil
	})
	found, err := in.Sweep(t.Context(), in.as("root"), "db", 0, "")
	must(t, err)
	<-over
	if len(found.Unwanted) > 0 || in.Stats().Events[broker.SweepFound] > 0 {
		t.Errorf("found %+v", found)
	}
	in.clean()
}

// TestSweepBesideABeginning: what begins after the inventory is not judged by it.
func TestSweepBesideABeginning(t *testing.T) {
	in := newInstallation(t)
	begun := make(chan struct{})
	in.target.setFault(func(call string, w when, _ connector.Order) error {
		if call == "inventory" && w == after { // of this sweep, or of the first one after the start
			in.target.setFault(nil)
			defer close(begun)
			in.hold("mira", "owner", time.Minute)
			in.hold("noor", "reader", time.Minute)
		}
		return nil
	})
	found, err := in.Sweep(t.Context(), in.as("root"), "db", 0, "")
	must(t, err)
	<-begun
	if len(found.Unwanted)+len(found.Foreign) > 0 {
		t.Errorf("found %+v", found)
	}
	if left := in.target.left(); len(left) != 2 {
		t.Errorf("of two there are %v", left)
	}
}

// TestLyingConnector: a connector that lists what is not there, or what is
// somebody else's, under tags that it has seen, takes nobody's access away.
func TestLyingConnector(t *testing.T) {
	in := newInstallation(t)
	v := in.hold("mira", "reader", time.Minute)
	name := in.target.left()[0]
	in.target.mu.Lock()
	tag := in.target.accounts[name].tag
	// The live tag, and one of another target, on accounts of other people.
	in.target.accounts["payroll"] = &account{oid: "2000", tag: tag, login: true}
	elsewhere := access.Tag(in.tagger.Tag("test", "fake://127.0.0.1:2", 1, string(access.NewEntitlementID(1, access.Entropy{1}))))
	in.target.accounts["audit"] = &account{oid: "2001", tag: elsewhere, login: true}
	in.target.mu.Unlock()
	found, err := in.Sweep(t.Context(), in.as("root"), "db", 0, "")
	must(t, err)
	if len(found.Foreign) != 2 || found.Ordered != 0 || in.Stats().Events[broker.ForeignFound] != 2 {
		t.Errorf("found %+v, %d alarms", found, in.Stats().Events[broker.ForeignFound])
	}
	_, err = in.End(t.Context(), in.as("mira"), string(v.Request.ID), "done")
	must(t, err)
	in.until("mira", string(v.Request.ID), access.Ended)
	for _, sweep := range []string{"at once", "and again"} {
		found, err = in.Sweep(t.Context(), in.as("root"), "db", 0, "")
		must(t, err)
		if len(found.Foreign) != 2 || found.Ordered != 0 {
			t.Errorf("after the end, %s: %+v", sweep, found)
		}
	}
	if left := strings.Join(in.target.left(), " "); left != "audit payroll" {
		t.Errorf("left: %s", left)
	}
}

// TestSweepBesideADeletion: what a sweep orders with a login that is deleted in that
// moment can not be taken away, and that is not passed over: it is trouble in the log, is
// never concluded to be gone, and goes once the login is registered again.
func TestSweepBesideADeletion(t *testing.T) {
	in := newInstallation(t)
	await := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not %s: left %v, events %v", what, in.target.left(), in.Stats().Events)
			}
		}
	}
	await("swept at the start", func() bool {
		in.target.mu.Lock()
		defer in.target.mu.Unlock()
		return in.target.calls["inventory"] > 0
	})
	lost := access.NewEntitlementID(time.Now().UnixMilli(), access.Entropy{1})
	tag := access.Tag(in.tagger.Tag("test", "fake://127.0.0.1:1", 1, string(lost)))
	in.target.mu.Lock()
	in.target.accounts["stint_"+string(tag)] = &account{oid: "7", tag: tag, login: true}
	in.target.mu.Unlock()
	var login access.Credential
	deleted := make(chan struct{})
	in.target.setFault(func(call string, w when, _ connector.Order) error {
		if call != "inventory" || w != before {
			return nil
		}
		in.target.setFault(nil)
		defer close(deleted)
		gone := login
		err := in.Store.Update(t.Context(), func(tx broker.Tx) (err error) {
			if login, err = tx.Credential("login"); err != nil {
				return err
			}
			gone = login
			gone.Version, gone.Sealed = login.Version+1, []byte{}
			return tx.SaveCredential(gone)
		})
		in.ForgetLogin(gone)
		return err
	})
	_, err := in.Sweep(t.Context(), in.as("root"), "db", 1, "it is ours")
	must(t, err)
	<-deleted
	await("told", func() bool { return in.Stats().Events[broker.RemovalTrouble] > 0 })
	must(t, in.Store.View(t.Context(), func(tx broker.Tx) error {
		e, err := tx.Entitlement(lost)
		if err == nil && (e.State != access.Removing || !strings.Contains(e.LastError, "the credential login was deleted")) {
			t.Errorf("it is %s, and what is said: %q", e.State, e.LastError)
		}
		return err
	}))
	login.Version += 2
	must(t, in.Store.Update(t.Context(), func(tx broker.Tx) error { return tx.SaveCredential(login) }))
	await("gone", func() bool { return len(in.target.left()) == 0 })
}
