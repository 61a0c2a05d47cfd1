package sim

import (
	"context"
	"errors"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/internal/policy"
)

// Stories about what is looked for, or done again, because neither a row nor the
// target's own word is enough.

// unrecorded: a failover takes back that an account was enabled, and the record of the
// state before with it, and all who knew of it die. When its time is up, nobody is told
// that it has ended before the target was looked at.
func unrecorded(w *world) {
	first := &mortal{Store: w.store}
	a := w.process("a", first, nil, &wire{alone: true})
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(a, "mira", "shared", time.Minute) })
	w.in(6*time.Second, "failover", "", func() {
		if w.usable() != 1 {
			w.fail("story", "nothing was enabled")
		}
		first.die()
		for {
			if es := w.store.Entitlements(true); len(es) != 1 {
				w.fail("story", "there are %d entitlements where one was intended", len(es))
				return
			} else if !es[0].Observed {
				return
			}
			w.store.Lose(1)
		}
	})
	w.in(3*time.Minute, "restart", "", func() { w.process("b", w.store, nil, &wire{alone: true}) })
	var look func()
	look = func() {
		if got, _ := w.store.Grant(g); got.Over() && len(w.targets.Privileges()) > 0 {
			w.fail("I-02", "a grant is %s, and its account was not put back", got.State)
		}
		w.in(20*time.Millisecond, "look", "", look)
	}
	w.in(3*time.Minute, "look", "", look)
	w.in(4*time.Minute, "look", "", func() {
		if got, _ := w.store.Grant(g); !got.Over() {
			w.fail("L-01", "the grant is still %s", got.State)
		}
	})
}

// notExtended: a target says that it ends an account later, and does not.
func notExtended(w *world) {
	at := &wire{}
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "mira", "shared", time.Minute) })
	w.in(9*time.Second, "lie", "", func() { at.lie(2, []string{"provision"}) })
	w.soon(10*time.Second, "extend", func() {
		got, _ := w.store.Grant(g)
		_, err := b.Extend(context.Background(), caller1("mira"), string(got.Request), broker.Ask{Duration: 3 * time.Minute, Reason: "longer", Key: "longer", Body: access.Digest{7}})
		w.insist(err)
	})
	w.in(3*time.Minute, "look", "", func() {
		if got, _ := w.store.Grant(g); got.State != access.Active {
			w.fail("story", "what was extended is %s", got.State)
		} else if w.usable() != 1 {
			w.fail("promise", "it was extended, and the target has ended it")
		}
	})
}

// halfSpoilt: one of two who share a credential leaves. A replica that is cut off just
// then does not know that another one has given who stays a new one, makes that useless,
// and never hears how it went. Who stays gets another.
func halfSpoilt(w *world) {
	store := &mortal{Store: w.store}
	here := &wire{journal: &memory{}}
	a := w.process("a", unread{store}, nil, here)
	b := w.process("b", w.store, nil, &wire{})
	w.soon(3*time.Second, "ask", func() { w.submit(a, "mira", "shared", 20*time.Second) })
	w.soon(4*time.Second, "ask", func() { w.submit(b, "noor", "shared", 10*time.Minute) })
	revoked := false
	w.in(22*time.Second, "away", "", func() {
		store.leave(true)
		here.meet(func(call string, _ connector.Order) error {
			revoked = revoked || call == "terminate"
			if call == "terminate" {
				return errors.New("sim: nobody answers")
			}
			return nil
		})
	})
	w.in(27*time.Second, "back", "", func() {
		if !revoked || w.usable() != 0 {
			w.fail("story", "the credential was not made useless")
		}
		store.leave(false)
		here.meet(nil)
	})
	w.in(60*time.Second, "look", "", func() {
		if w.usable() != 1 {
			w.fail("promise", "who stays has no credential that works")
		}
	})
}

// takenFromAnother: two share a membership. A replica that is cut off before it hears of
// the second one takes it away when the first one ends. Who holds it on has it again, and
// their grant does not end for what that replica did not know.
func takenFromAnother(w *world) {
	store := &mortal{Store: w.store}
	taken := false
	here := &wire{journal: &memory{}}
	here.meet(func(call string, _ connector.Order) error { taken = taken || call == "remove"; return nil })
	a := w.process("a", unread{store}, nil, here)
	b := w.process("b", w.store, nil, &wire{})
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { w.submit(a, "paul", "owner", 20*time.Second) })
	w.in(10*time.Second, "away", "", func() { store.leave(true) })
	w.soon(11*time.Second, "ask", func() { g = w.submit(b, "paul", "owner", 10*time.Minute) })
	w.in(40*time.Second, "back", "", func() {
		if !taken || w.usable() != 0 {
			w.fail("story", "the membership was not taken away")
		}
		store.leave(false)
	})
	w.in(70*time.Second, "look", "", func() {
		if got, _ := w.store.Grant(g); got.State != access.Active || w.usable() != 1 {
			w.fail("promise", "a grant is %s (%s), and %d privileges are there, because a replica did not know of it", got.State, got.EndReason, w.usable())
		}
	})
}

// anotherEdition: a failover takes a version of the documents back, which one of two
// replicas has read, and what is applied next has its number. Both go by that.
func anotherEdition(w *world) {
	a := w.process("a", w.store, nil, &wire{})
	b := w.process("b", w.store, nil, &wire{})
	apply := func(text string) {
		_, err := a.Apply(context.Background(), caller1("root"), []policy.File{{Name: "edit.yaml", Text: text}}, false)
		w.insist(err)
	}
	var lost int64
	w.soon(3*time.Second, "apply", func() {
		apply(needs("guests-ask", "guests", "reader, owner", 2))
		set, err := b.Documents(context.Background())
		w.insist(err)
		lost = set.Version()
	})
	w.in(4*time.Second, "failover", "", func() {
		for w.edition().Version == lost && w.store.Lose(1) > 0 {
		}
	})
	w.soon(4001*time.Millisecond, "apply", func() {
		apply("kind: Policy\nname: freeze\neffect: deny\nsubjects: [group:platform]\nroles: [reader]\n")
		if w.edition().Version != lost {
			w.fail("story", "the documents are version %d, and should be another %d", w.edition().Version, lost)
		}
		if _, err := w.attempt(b, "mira", "reader", time.Minute); err == nil {
			w.fail("T-33", "it was granted by documents that a failover took back")
		}
	})
}

// takenBack: a failover takes the end of a membership back. By its row it is there, and who
// asks for the same thing next has it all the same, and not by the row alone.
func takenBack(w *world) {
	a := w.process("a", w.store, nil, &wire{})
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(a, "paul", "owner", 30*time.Minute) })
	w.soon(6*time.Second, "give back", func() {
		got, _ := w.store.Grant(g)
		_, err := a.End(context.Background(), caller1("paul"), string(got.Request), "done")
		w.insist(err)
	})
	w.in(9*time.Second, "failover", "", func() {
		if n := len(w.targets.Privileges()); n != 0 {
			w.fail("story", "%d privileges are left", n)
		}
		for len(w.store.Grants(true)) == 0 || w.store.Grants(true)[0].State != access.Active {
			if w.store.Lose(1) == 0 {
				w.fail("story", "the end could not be taken back")
				return
			}
		}
	})
	w.soon(10*time.Second, "ask", func() { w.submit(a, "paul", "owner", 20*time.Minute) })
	w.in(13*time.Second, "look", "", func() {
		active := 0
		for _, g := range w.store.Grants(true) {
			if g.State == access.Active {
				active++
			}
		}
		if active != 2 {
			w.fail("story", "%d grants are active, and should be two", active)
		} else if w.usable() != 1 {
			w.fail("promise", "a grant is active by a row, and the target does not have it")
		}
	})
}

func (w *world) edition() (e access.Edition) {
	w.insist(w.store.View(context.Background(), func(tx broker.Tx) (err error) { e, err = tx.DocumentsEdition(); return err }))
	return e
}

// nextInLine: a failover takes the records of a membership and of an account, and somebody
// asks for the first one again. What nobody knows of any more is swept all the same, and
// who asked keeps what they have.
func nextInLine(w *world) {
	a := w.process("a", w.store, nil, &wire{})
	w.soon(3*time.Second, "ask", func() {
		w.submit(a, "paul", "owner", 30*time.Minute)
		w.submit(a, "mira", "reader", 30*time.Minute)
	})
	lost := map[access.Tag]bool{}
	w.in(6*time.Second, "failover", "", func() {
		for _, p := range w.targets.Privileges() {
			lost[p.Tag] = true
		}
		for len(w.store.Entitlements(true)) > 0 && w.store.Lose(1) > 0 {
		}
		if len(lost) != 2 || len(w.store.Entitlements(true)) > 0 {
			w.fail("story", "%d things were made, and %d are still on record", len(lost), len(w.store.Entitlements(true)))
		}
	})
	w.soon(6001*time.Millisecond, "ask", func() { w.submit(a, "paul", "owner", 25*time.Minute) })
	w.in(130*time.Second, "look", "", func() {
		for _, p := range w.targets.Privileges() {
			if lost[p.Tag] {
				w.fail("L-06", "%s of %s has no record, and two sweeps have not removed it", p.Mechanism, p.Account)
			}
		}
		if n := w.usable(); n != 1 {
			w.fail("promise", "%d privileges are there, and should be that of who asked next", n)
		}
	})
}

// unread is a store that is not read either while it is away.
type unread struct{ *mortal }

func (s unread) View(ctx context.Context, fn func(broker.Tx) error) error {
	if err := s.lost(); err != nil {
		return err
	}
	return s.mortal.View(ctx, fn)
}
