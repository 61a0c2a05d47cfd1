package sim

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
)

// Stories about what is read back from a target because neither a row nor the target's
// own word is enough.

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
