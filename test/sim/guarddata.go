package sim

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
)

// whoseCredential: a credential is for its holder, on the device that asked, while it is
// of use; and nobody is said to have seen one who has not.
func whoseCredential(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	var g, member access.GrantID
	show := func(c broker.Caller, g access.GrantID) error {
		got, _ := w.store.Grant(g)
		_, err := b.Credential(context.Background(), c, string(got.Request))
		return err
	}
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 20*time.Second) })
	w.soon(3*time.Second, "ask", func() { member = w.submit(b, "mira", "owner", 20*time.Second) })
	w.soon(8*time.Second, "fetch", func() {
		admin, elsewhere := caller1("root"), caller1("mira")
		admin.Source.Device, elsewhere.Source.Device = caller1("mira").Source.Device, "another"
		for _, c := range []broker.Caller{admin, elsewhere, caller1("paul")} {
			if show(c, g) == nil {
				w.fail("I-19", "%s gets the credential of mira on %s", c.Principal.Person, c.Source.Device)
			}
		}
		if show(caller1("mira"), member) == nil {
			w.fail("I-16", "a credential is said to be shown, and there is none")
		}
		if w.logged(access.CredentialShown) {
			w.fail("I-16", "a credential is said to be shown, and nobody got one")
		}
		w.insist(show(caller1("mira"), g))
		if !w.logged(access.CredentialShown) {
			w.fail("I-16", "a credential is shown, and the log does not say so")
		}
	})
	w.soon(30*time.Second, "fetch", func() {
		if show(caller1("mira"), g) == nil {
			w.fail("I-16", "a credential is shown after its end")
		}
	})
}

// begunRestored runs a process, from 10 s on, on data that was restored a moment before,
// with a grant that was live and a request that was open.
func (w *world) begunRestored(s broker.Store, at *wire, begun func(*broker.Broker)) {
	b, stop := w.life("a", w.store, nil, &wire{})
	w.soon(3*time.Second, "ask", func() { w.submit(b, "mira", "reader", time.Hour) })
	w.soon(3*time.Second, "ask", func() {
		_, err := b.Submit(context.Background(), caller1("gus"), broker.Ask{Resource: "db0", Role: "reader", Duration: time.Minute, Reason: "r", Key: "k", Body: access.Digest{1}})
		w.insist(err)
	})
	w.in(9*time.Second, "restore", "", func() {
		stop()
		w.insist(w.store.Update(context.Background(), func(tx broker.Tx) error {
			return broker.BeginRestored(tx, 1, 2, broker.Quarantine{Why: "it was restored", Kept: 5, BackupAt: tx.Now().Add(-time.Hour)}, "root")
		}))
	})
	w.in(10*time.Second, "start", "", func() { begun(w.process("b", s, nil, at)) })
}

// restoredUnseen: as long as one target cannot be compared, a quarantine does not end by
// itself, nor by the word of one person; then, when every witness was asked, it does.
func restoredUnseen(w *world) {
	at := &wire{}
	at.meet(func(call string, _ connector.Order) error {
		if call == "claim" {
			return unavailable("the target does not answer")
		}
		return nil
	})
	var b *broker.Broker
	w.begunRestored(w.store, at, func(now *broker.Broker) { b = now })
	w.soon(20*time.Second, "witness", func() { w.insist(b.Witnessed(context.Background(), 5, 0, "", "w1", true)) })
	w.soon(40*time.Second, "look", func() {
		w.quarantineLasts(b, "a target could not be compared")
		at.meet(nil)
	})
	w.in(60*time.Second, "look", "", w.quarantineIsOver)
}

// restoredLeft: the same as long as something is left to be removed, or the rows do not
// say whether it is.
func restoredLeft(w *world) {
	at, s := &wire{}, &blind{Store: w.store}
	at.stick("app_read")
	var b *broker.Broker
	w.begunRestored(s, at, func(now *broker.Broker) { b = now })
	w.soon(20*time.Second, "witness", func() { w.insist(b.Witnessed(context.Background(), 5, 0, "", "w1", true)) })
	w.soon(60*time.Second, "look", func() {
		w.quarantineLasts(b, "something of ours is left")
		s.closed.Store(true)
		at.stick("")
	})
	w.soon(140*time.Second, "look", func() { // what could not be removed is tried twice a minute
		w.quarantineLasts(b, "nobody knows what is left")
		if w.usable() > 0 {
			w.fail("story", "it is not removed")
		}
		s.closed.Store(false)
	})
	w.in(150*time.Second, "look", "", w.quarantineIsOver)
}

func (w *world) quarantineLasts(b *broker.Broker, why string) {
	if len(w.quarantine()) == 0 {
		w.fail("restored", "it is over although %s", why)
	}
	if over, err := b.AcceptQuarantine(context.Background(), caller1("root"), "I say so", false); over || err == nil {
		w.fail("restored", "one administrator ends it although %s", why)
	}
}

func (w *world) quarantineIsOver() {
	if len(w.quarantine()) > 0 {
		w.fail("restored", "everything was compared, and it is not over")
	}
	if !w.logged(broker.QuarantineLifted) {
		w.fail("I-15", "a quarantine ended, and the log does not say so")
	}
}

// blind is a store that does not list entitlements while its eyes are closed.
type blind struct {
	broker.Store
	closed atomic.Bool
}

func (s *blind) View(ctx context.Context, fn func(broker.Tx) error) error {
	return s.Store.View(ctx, func(tx broker.Tx) error {
		if s.closed.Load() {
			tx = blindTx{tx}
		}
		return fn(tx)
	})
}

type blindTx struct{ broker.Tx }

func (blindTx) Entitlements(access.EntitlementQuery) ([]access.Entitlement, error) {
	return nil, access.Fail(access.Internal, "bad-row", "a row cannot be read")
}

// restoredAsked: what was open in a backup is refused, and what was live ends.
func restoredAsked(w *world) {
	w.begunRestored(w.store, &wire{}, func(b *broker.Broker) {
		w.soon(20*time.Second, "witness", func() {
			for range 2 { // two witnesses say the same
				w.insist(b.Witnessed(context.Background(), 5, 9, "root", "w1", false))
			}
			if !strings.Contains(string(w.quarantine()), string(broker.Restored)) {
				w.fail("restored", "it was restored, and that is forgotten: %s", w.quarantine())
			}
			if !w.logged(broker.LogGapFound) {
				w.fail("I-15", "records are lost, and the log does not say so")
			}
		})
	})
	w.in(20*time.Second, "look", "", func() {
		for _, r := range w.store.Requests() {
			if r.State == access.RequestPending {
				w.fail("restored", "%s is open, and it may have been decided since the backup", r.ID)
			}
		}
		if n := len(w.store.Grants(true)); n > 0 || w.usable() > 0 {
			w.fail("restored", "%d grants are live, and %d privileges can be used", n, w.usable())
		}
		if !w.logged(broker.InstallationRestored) {
			w.fail("I-15", "it was restored, and the log does not say so")
		}
	})
}

// unreadable: what stops new grants cannot be read. Then nothing is granted.
func unreadable(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	try := func(setting string, value []byte) {
		w.insist(w.store.Update(context.Background(), func(tx broker.Tx) error { return tx.SaveSetting(setting, value) }))
		time.Sleep(3 * time.Second)
		if _, err := w.attempt(b, "mira", "reader", time.Minute); (err == nil) != (value == nil) {
			w.fail("nothing new", "the setting %s is %q, and asking says: %v", setting, value, err)
		}
	}
	w.soon(3*time.Second, "break", func() {
		for _, setting := range []string{broker.QuarantineSetting, "stop"} {
			try(setting, []byte("no json"))
			try(setting, nil)
		}
		try(broker.QuarantineSetting, []byte("{}"))
	})
}

// askedAtOnce: who is asked before they have looked whether the data is in doubt asks the
// store, and says what it says.
func askedAtOnce(w *world) {
	looks := w.process("a", w.store, nil, &wire{})
	asked := w.broker("b", w.store, nil, &wire{}) // and never goes further
	w.soon(3*time.Second, "ask", func() {
		w.submit(asked, "mira", "reader", time.Minute)
		w.insist(looks.Witnessed(context.Background(), 10, 20, "root", "w1", true))
		before := len(w.store.Grants(false))
		if _, err := w.attempt(asked, "paul", "reader", time.Minute); !errors.Is(err, access.Unavailable) || len(w.store.Grants(false)) != before {
			w.fail("nothing new", "the data looks old, and who has not looked yet says: %v", err)
		}
	})
}

// sharedAway: one of two leaves a shared account while the store is away. Their password
// works no more and their session ends; when the store is back, who stays gets another.
func sharedAway(w *world) {
	kept := &memory{}
	s, at := &mortal{Store: w.store}, &wire{journal: kept}
	b := w.process("a", s, nil, at)
	place := w.places[0].Place()
	var g, h access.GrantID
	var old struct{ Username, Password string }
	var session int64
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "mira", "shared", 20*time.Second) })
	w.soon(4*time.Second, "ask", func() { h = w.submit(b, "noor", "shared", 5*time.Minute) })
	w.in(12*time.Second, "away", "", func() {
		old = at.login()
		var err error
		session, err = w.targets.SignIn(place, old.Username, old.Password)
		w.insist(err)
		s.leave(true)
	})
	w.in(40*time.Second, "look", "", func() {
		if _, err := w.targets.SignIn(place, old.Username, old.Password); err == nil || w.targets.Alive(session) {
			w.fail("I-22", "who has left without the store has a password that works, or a session: %t", w.targets.Alive(session))
		}
		s.leave(false)
	})
	w.in(75*time.Second, "look", "", func() {
		w.expect("L-01", g, access.Ended)
		w.expect("promise", h, access.Active)
		if _, err := w.targets.SignIn(place, at.login().Username, at.login().Password); err != nil {
			w.fail("promise", "who stays has no password that works: %v", err)
		}
	})
}

// revokedOnBothSides: one replica revokes twice without the store, while another has
// revoked it there. When the store is back, what the first one did comes into the log, and
// what has ended is no reason against it.
func revokedOnBothSides(w *world) {
	kept := &memory{}
	s := &mortal{Store: w.store}
	a := w.process("a", s, nil, &wire{journal: kept})
	b := w.process("b", w.store, nil, &wire{})
	var g, other access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(a, "mira", "reader", 10*time.Minute) })
	w.soon(3*time.Second, "ask", func() { other = w.submit(a, "paul", "reader", 10*time.Minute) })
	w.in(15*time.Second, "away", "", func() { s.leave(true) })
	w.soon(16*time.Second, "revoke", func() {
		for range 2 {
			for _, who := range []string{"mira", "paul"} {
				_, err := a.Revoke(context.Background(), caller1("root"), broker.Selector{User: who}, "an exercise")
				w.insist(err)
			}
		}
	})
	w.soon(20*time.Second, "revoke", func() { w.revokes(b, g) })
	w.in(30*time.Second, "back", "", func() {
		w.expect("L-01", g, access.Ended)
		s.leave(false)
	})
	w.in(80*time.Second, "look", "", func() {
		w.expect("I-35", other, access.Ended)
		if n, _ := kept.Waiting(); n > 0 {
			w.fail("I-15", "%d words of the journal never came into the log", n)
		}
	})
}

// takenEarly: a replica that is cut off from the store takes away what was extended
// elsewhere, and before it knows how that went the store is back. Then nobody goes on with
// it, and nobody is told to have what cannot be used.
func takenEarly(w *world) {
	s, at := &ill{Store: w.store}, &wire{journal: &memory{}}
	a := w.process("a", w.store, nil, &wire{})
	w.process("b", s, nil, at)
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(a, "mira", "reader", 30*time.Second) })
	w.in(15*time.Second, "away", "", func() { s.set(illness{changes: true, reads: true}) })
	w.soon(17*time.Second, "extend", func() {
		_, err := a.Extend(context.Background(), caller1("mira"), string(g), broker.Ask{Duration: 20 * time.Minute, Reason: "r", Key: "k", Body: access.Digest{7}})
		w.insist(err)
	})
	at.meet(func(call string, o connector.Order) error {
		if call != "remove" {
			return nil
		}
		at.meet(nil)
		s.set(illness{})
		time.Sleep(5 * time.Second) // it is noticed meanwhile
		return refusal
	})
	w.in(60*time.Second, "look", "", func() {
		if got, _ := w.store.Grant(g); got.State != access.Ended || w.usable() != 0 {
			w.fail("promise", "what was taken away without the store is %s, and %d privileges can be used", got.State, w.usable())
		}
	})
}

// takenFromOne: a replica that is cut off from the store takes a shared account away, which
// somebody else has joined elsewhere. The store is back before the target has done it: who
// joined is given it anew, and once more when that has become useless too.
func takenFromOne(w *world) {
	s, at := &ill{Store: w.store}, &wire{journal: &memory{}}
	here := &wire{}
	a := w.process("a", w.store, nil, here)
	w.process("b", s, nil, at)
	var stays access.GrantID
	w.soon(3*time.Second, "ask", func() { w.submit(a, "mira", "shared", 30*time.Second) })
	w.in(15*time.Second, "away", "", func() { s.set(illness{changes: true, reads: true}) })
	w.soon(17*time.Second, "ask", func() { stays = w.submit(a, "noor", "shared", 20*time.Minute) })
	at.meet(func(call string, o connector.Order) error {
		switch call {
		case "revoke":
			s.set(illness{})
			time.Sleep(5 * time.Second) // what was begun is in the log, and others have put it right
			return nil
		case "remove":
			at.meet(nil)
			return refusal
		}
		return nil
	})
	w.in(80*time.Second, "look", "", func() {
		w.expect("promise", stays, access.Active)
		for _, made := range []*wire{here, at} { // one of them made it last
			if _, err := w.targets.SignIn(w.places[0].Place(), made.login().Username, made.login().Password); err == nil {
				return
			}
		}
		w.fail("promise", "who joined elsewhere has no password that works")
	})
}

// neverMade: who asks for what the target can never do is told at once, and why.
func neverMade(w *world) {
	at := &wire{}
	at.meet(func(call string, _ connector.Order) error {
		if call == "provision" {
			return &connector.Error{Outcome: connector.NotDone, Permanent: true, Message: "there is no such thing"}
		}
		return nil
	})
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.in(8*time.Second, "look", "", func() {
		w.expect("L-02", g, access.Failed)
		if got, _ := w.store.Grant(g); got.SetupError != "there is no such thing" {
			w.fail("L-02", "it failed, and nobody is told why: %q", got.SetupError)
		}
	})
}

// mayNotAccept: only administrators say of the data what it is, with a reason, and only
// while there is something to say. A backup is on record before it is handed out.
func mayNotAccept(w *world) {
	ctx := context.Background()
	b := w.process("a", w.store, nil, &wire{})
	w.soon(3*time.Second, "say", func() {
		if _, err := b.AcceptQuarantine(ctx, caller1("root"), "I say so", true); err == nil || len(w.quarantine()) > 0 {
			w.fail("quarantine", "an administrator accepts what is in no doubt, and now it says %q", w.quarantine())
		}
		if b.BackupHandedOut(ctx, caller1("mira"), 1, 1, "sum") == nil || w.logged(broker.BackupTaken) {
			w.fail("I-19", "mira is handed a backup")
		}
		w.insist(b.BackupHandedOut(ctx, caller1("root"), 1, 1, "sum"))
		if !w.logged(broker.BackupTaken) || len(w.setting(broker.LastBackupSetting)) == 0 {
			w.fail("I-15", "a backup was handed out, and that is not on record")
		}
		w.insist(b.Witnessed(ctx, 10, 20, "root", "w1", true))
		for _, who := range []string{"mira", "omar"} {
			if _, err := b.AcceptQuarantine(ctx, caller1(who), "I say so", true); err == nil {
				w.fail("quarantine", "%s accepts data that looks old, and is no administrator", who)
			}
		}
		if _, err := b.AcceptQuarantine(ctx, caller1("root"), " ", true); err == nil {
			w.fail("quarantine", "data that looks old is accepted without a reason")
		}
		if len(w.quarantine()) == 0 {
			w.fail("quarantine", "it is over")
		}
	})
}

func (w *world) setting(name string) (v []byte) {
	w.insist(w.store.View(context.Background(), func(tx broker.Tx) (err error) { v, err = tx.Setting(name); return err }))
	return v
}

// oldNotSwept: data that looks old may be a copy, and what it does not know another's.
func oldNotSwept(w *world) {
	b := w.process("a", w.store, nil, &wire{})
	w.soon(5*time.Second, "witness", func() { w.insist(b.Witnessed(context.Background(), 10, 20, "root", "w1", true)) })
	w.in(10*time.Second, "leftover", "", func() {
		id := access.NewEntitlementID(w.now().UnixMilli(), access.Entropy{7, 77})
		_, err := w.targets.Connector().Provision(context.Background(), w.target(), connector.Order{Entitlement: id, Mechanism: access.Account, Person: "mira",
			Tag: access.Tag(w.tagger.Tag("sim", string(w.places[0].Place()), 1, string(id))), Rights: []string{"app_read"}, ExpiresAt: w.now().Add(time.Hour)})
		w.insist(err)
	})
	w.in(145*time.Second, "look", "", func() {
		if w.usable() != 1 {
			w.fail("I-23", "data that looks old does not know it, and removed it")
		}
	})
}

// maySweep: a target is swept for its owners and administrators; to remove more than a
// sweep may is for administrators, with a reason, and goes on record.
func maySweep(w *world) {
	ctx := context.Background()
	b := w.process("a", w.store, nil, &wire{})
	w.soon(10*time.Second, "sweep", func() {
		for _, no := range []struct {
			who    string
			at     access.ResourceName
			remove int
			why    string
		}{
			{"mira", "db0", 0, ""}, {"omar", "db0", 30, "I looked"}, {"root", "db0", 30, " "}, {"root", "db0", -1, "I looked"}, {"root", "db9", 0, ""},
		} {
			if _, err := b.Sweep(ctx, caller1(no.who), no.at, no.remove, no.why); err == nil {
				w.fail("I-23", "%s sweeps %s, to remove %d, because %q", no.who, no.at, no.remove, no.why)
			}
		}
		if w.logged(broker.SweepAllowed) {
			w.fail("I-15", "it is on record that somebody allowed a sweep to remove more, and nobody did")
		}
		_, err := b.Sweep(ctx, caller1("omar"), "db0", 0, "")
		w.insist(err)
		_, err = b.Sweep(ctx, caller1("root"), "db0", 30, "I looked")
		w.insist(err)
		if !w.logged(broker.SweepAllowed) {
			w.fail("I-15", "an administrator allowed a sweep to remove more, and the log does not say so")
		}
	})
}
