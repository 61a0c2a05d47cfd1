package sim

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
)

// takeover: another replica takes the work of one that died over at once, and lets one
// that lives alone. What the dead one sent may still land: until then no absence is
// believed, and no password is made that it could spoil.
func (w *world) takeover(dead, revoked bool) {
	here, there := &wire{}, &wire{}
	a, _ := w.life("a", w.store, &peers{vouched: true}, here)
	name := a.Join()
	b, _ := w.life("b", burying{w.store, dead}, &peers{vouched: true}, there)
	w.in(4*time.Second, "hang", "", func() { here.hang() })
	var g, membership access.GrantID
	w.soon(5*time.Second, "ask", func() { g = w.submit(a, "mira", "reader", time.Minute) })
	if !revoked { // its call makes no password, so that it waits for none
		w.soon(5500*time.Millisecond, "ask", func() { membership = w.submit(a, "pia", "owner", time.Minute) })
	}
	var at time.Time
	w.soon(6*time.Second, "bury", func() {
		at = time.Now()
		w.insist(b.Bury(context.Background(), name))
		if revoked {
			there.hang() // so that nothing is confirmed
			_, err := b.Revoke(context.Background(), caller1("root"), broker.Selector{Grant: string(g)}, "an exercise")
			w.insist(err)
		}
	})
	w.in(7900*time.Millisecond, "look", "", func() {
		if !dead && there.tried > 0 {
			w.fail("I-05", "a replica takes over what one that lives is just making")
		}
	})
	w.in(7950*time.Millisecond, "go on", "", func() { here.goOn() })
	w.in(9*time.Second, "look", "", func() {
		if got, _ := w.store.Grant(membership); dead && !revoked && (got.State != access.Active || there.tried == 0) {
			w.fail("takeover", "three seconds after its replica died a grant is %s", got.State)
		}
	})
	w.in(11500*time.Millisecond, "look", "", func() {
		if got, _ := w.store.Grant(g); dead && !revoked && got.State != access.Active {
			w.fail("takeover", "a second after what a dead replica sent can land no more, a grant with a password is %s", got.State)
		}
	})
	w.in(50*time.Second, "look", "", func() {
		got, _ := w.store.Grant(g)
		if !revoked {
			if got.State != access.Active {
				w.fail("story", "the grant is %s", got.State)
			}
			return
		}
		switch {
		case got.State == access.Active || got.State == access.Provisioning || got.State == access.Ending:
			w.fail("L-01", "a grant of a dead replica is still %s", got.State)
		case got.EndedAt.Before(at.Add(connector.Late)):
			w.fail("quarantine", "it is said to be gone %s after its sender died, and may land until %s", got.EndedAt.Sub(at), connector.Late)
		case got.EndedAt.After(at.Add(6 * time.Second)): // the deadline on record, were it left, is a second later
			w.fail("L-01", "it took %s to take over", got.EndedAt.Sub(at))
		}
	})
}

// restarted: the only process dies while a call of it is out, and starts again. What it
// sent may land for a while.
func restarted(w *world) {
	here := &wire{alone: true}
	first := &mortal{Store: w.store}
	a := w.process("a", first, nil, here)
	w.in(4*time.Second, "hang", "", func() { here.hang() })
	var g access.GrantID
	w.soon(5*time.Second, "ask", func() { g = w.submit(a, "mira", "reader", time.Minute) })
	var at time.Time
	w.in(6*time.Second, "restart", "", func() {
		at = w.now()
		first.die()
		a = w.process("b", w.store, nil, &wire{alone: true})
	})
	w.soon(6100*time.Millisecond, "revoke", func() {
		_, err := a.Revoke(context.Background(), caller1("root"), broker.Selector{Grant: string(g)}, "an exercise")
		w.insist(err)
	})
	w.in(50*time.Second, "look", "", func() {
		switch got, _ := w.store.Grant(g); {
		case !got.Over():
			w.fail("L-01", "the grant is still %s", got.State)
		case got.EndedAt.Before(at.Add(connector.Late)):
			w.fail("quarantine", "it is said to be gone %s after its sender died, and may land until %s", got.EndedAt.Sub(at), connector.Late)
		}
	})
}

// revokedAway: a person revokes while the store takes no changes and the target does
// not do as it is told, the process dies, and the next one knows of it by the journal. When the store is back, it is over there
// too, and each word of the journal is in the log once, although it does not forget.
func revokedAway(w *world) {
	kept := &memory{}
	first, second := &mortal{Store: w.store}, &mortal{Store: w.store}
	here := &wire{journal: kept}
	a := w.process("a", first, nil, here)
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(a, "mira", "reader", time.Hour) })
	w.in(20*time.Second, "away", "", func() {
		first.leave(true)
		here.stick("app_read")
	})
	w.soon(25*time.Second, "revoke", func() {
		_, err := a.Revoke(context.Background(), caller1("root"), broker.Selector{User: "mira"}, "an exercise")
		w.insist(err)
	})
	w.in(30*time.Second, "restart", "", func() {
		first.die()
		second.leave(true)
		w.process("b", second, nil, &wire{journal: kept})
	})
	w.in(50*time.Second, "look", "", func() {
		if w.usable() != 0 {
			w.fail("I-02", "a revocation without the store was forgotten when its process died")
		}
		second.leave(false)
	})
	w.in(100*time.Second, "look", "", func() {
		if got, _ := w.store.Grant(g); got.State != access.Ended || got.EndReason != access.ByPerson {
			w.fail("I-35", "what was revoked without the store is %s (%s)", got.State, got.EndReason)
		}
		said := map[string]int{}
		for _, ev := range w.store.Log() {
			if word := ev.Facts["journal"]; word != "" {
				if said[word]++; said[word] > 1 {
					w.fail("I-15", "%s of the journal is in the log twice", word)
				}
			}
		}
		if len(said) == 0 {
			w.fail("I-15", "nothing of the journal is in the log")
		}
	})
}
