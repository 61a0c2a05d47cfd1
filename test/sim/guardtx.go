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

// transactions are stories about what one transaction does, and what follows it: run again,
// losing against others, and cutting off who is still at work.
var transactions = []protection{
	{"each transaction runs twice", 60 * time.Second, true, runTwice},
	{"many at a time always lose against others", 60 * time.Second, true, crowded},
	{"revoked while the target keeps its answer back", 40 * time.Second, true, answerKept},
	{"the word that it is gone waits for the store", 40 * time.Second, true, wordWaits},
	{"a claim is heard of late, and why was taken back", 40 * time.Second, true, claimHeardLate},
	{"a lost call lands after it was tried again", 40 * time.Second, true, lostCredential},
	{"a call of the process before lands after a restart", 40 * time.Second, true, inheritedCredential},
}

func init() { protections = append(protections, transactions...) }

// repeating is a store that finds each transaction not serializable once.
type repeating struct{ broker.Store }

func (s repeating) Update(ctx context.Context, fn func(broker.Tx) error) error {
	err := s.Store.Update(ctx, func(tx broker.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return errAgain
	})
	if !errors.Is(err, errAgain) {
		return err
	}
	return s.Store.Update(ctx, fn)
}

// runTwice: of what a transaction wanted when it ran the first time, nothing is left.
func runTwice(w *world) {
	b := w.process("a", repeating{w.store}, nil, &wire{})
	var g, h access.GrantID
	w.soon(3*time.Second, "ask", func() {
		g, h = w.submit(b, "mira", "reader", 17*time.Second), w.submit(b, "noor", "shared", 10*time.Minute)
	})
	w.soon(10*time.Second, "ask", func() { w.submit(b, "pia", "shared", 20*time.Second) })
	w.soon(15*time.Second, "revoke", func() { w.revokes(b, h) })
	w.in(50*time.Second, "look", "", func() {
		w.expect("L-01", g, access.Ended)
		if n := len(w.store.Grants(true)); n > 0 || w.usable() > 0 {
			w.fail("I-01", "%d grants are live, and %d privileges can be used", n, w.usable())
		}
	})
}

// jammed is a store on which others are always faster than who changes two grants.
type jammed struct{ broker.Store }

func (s jammed) Update(ctx context.Context, fn func(broker.Tx) error) error {
	for range 30 {
		err := s.Store.Update(ctx, func(tx broker.Tx) error {
			j := &jammedTx{Tx: tx}
			if err := fn(j); err != nil {
				return err
			}
			if j.saved > 1 {
				return errAgain
			}
			return nil
		})
		if !errors.Is(err, errAgain) {
			return err
		}
	}
	return access.Fail(access.Unavailable, "store-contended", "others were faster, again and again")
}

type jammedTx struct {
	broker.Tx
	saved int
}

func (tx *jammedTx) SaveGrants(gs ...access.Grant) error {
	tx.saved += len(gs)
	return tx.Tx.SaveGrants(gs...)
}

// crowded: what ends at one moment is ended one by one where all at once never goes
// through.
func crowded(w *world) {
	b := w.process("a", jammed{w.store}, nil, &wire{})
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() {
		g = w.submit(b, "mira", "reader", 17*time.Second)
		w.submit(b, "paul", "reader", 17*time.Second)
		w.submit(b, "noor", "reader", 17*time.Second)
	})
	w.in(10*time.Second, "look", "", func() { w.expect("story", g, access.Active) })
	w.in(26*time.Second, "look", "", func() {
		if n := w.usable(); n > 0 {
			w.fail("I-01", "%d privileges can be used after their end, because the store takes no more than one end at a time", n)
		}
	})
}

// answerKept: the target has made it, and does not say so. Who waits for that holds a
// revocation up for a second, and not for as long as calls may take.
func answerKept(w *world) {
	at, open := &wire{}, make(chan struct{})
	at.after = func(connector.Order, connector.Receipt) { <-open }
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.soon(6*time.Second, "revoke", func() {
		if w.usable() != 1 {
			w.fail("story", "nothing was made")
		}
		w.revokes(b, g)
	})
	w.in(8*time.Second, "look", "", func() {
		if w.usable() > 0 {
			w.fail("I-02", "two seconds after a revocation the access can be used, because the target keeps an answer back")
		}
		close(open)
	})
	w.in(35*time.Second, "look", "", func() { w.expect("L-01", g, access.Ended, access.Failed) })
}

// holdingBack is a store that lets no verdict on a removal through before open.
type holdingBack struct {
	broker.Store
	open chan struct{}
}

func (s holdingBack) Update(ctx context.Context, fn func(broker.Tx) error) error {
	if _, ends := broker.Ending(ctx); ends && strings.HasPrefix(broker.WorkOf(ctx), "ent_") {
		<-s.open
	}
	return s.Store.Update(ctx, fn)
}

// wordWaits: nothing is there when it is read back, a call of which nobody heard lands
// then, and only after its time the store takes the word that nothing is there. What was
// read before the call was over proves nothing, whenever it is written down.
func wordWaits(w *world) {
	store := holdingBack{w.store, make(chan struct{})}
	at := &wire{}
	var lost atomic.Pointer[connector.Order]
	at.meet(func(call string, o connector.Order) error {
		if call == "provision" {
			lost.CompareAndSwap(nil, &o)
			return errors.New("sim: no answer")
		}
		return nil
	})
	b := w.process("a", store, nil, at)
	var g access.GrantID
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.soon(5100*time.Millisecond, "revoke", func() { w.revokes(b, g) })
	w.in(7*time.Second, "land", "", func() {
		o := lost.Load()
		if o == nil {
			w.fail("story", "nothing was called")
			return
		}
		_, err := w.targets.Connector().Provision(context.Background(), w.target(), *o)
		w.insist(err)
		if w.usable() != 1 {
			w.fail("story", "the call did not land")
		}
	})
	w.in(20*time.Second, "take the word", "", func() {
		if w.is(g, access.Ended) || w.is(g, access.Failed) {
			w.fail("story", "the word did not wait")
		}
		close(store.open)
	})
	w.in(25*time.Second, "look", "", func() {
		if w.expect("L-01", g, access.Ended, access.Failed); w.usable() > 0 {
			w.fail("I-01", "it was read back before the call landed, and counts as gone")
		}
	})
}

// lateWord is a store whose first claim of removals, once it is armed, is heard of only
// when the word is let through.
type lateWord struct {
	broker.Store
	armed atomic.Bool
	word  chan struct{}
}

type claimingTx struct {
	broker.Tx
	claimed int
}

func (tx *claimingTx) Claim(w access.Work, owner string, until time.Time, limit int) ([]access.Entitlement, error) {
	es, err := tx.Tx.Claim(w, owner, until, limit)
	if w.Removals {
		tx.claimed += len(es)
	}
	return es, err
}

func (s *lateWord) Update(ctx context.Context, fn func(broker.Tx) error) error {
	var claimed int
	err := s.Store.Update(ctx, func(tx broker.Tx) error {
		c := &claimingTx{Tx: tx}
		err := fn(c)
		claimed = c.claimed
		return err
	})
	if err == nil && claimed > 0 && s.armed.CompareAndSwap(true, false) {
		<-s.word
	}
	return err
}

// claimHeardLate: a replica hears of a claim of removals when its lease is long over, and
// when a failover has taken the revocation back. By what the store says, and what they were
// told, somebody has the access again; it stays.
func claimHeardLate(w *world) {
	s := &lateWord{Store: w.store, word: make(chan struct{})}
	b := w.process("a", s, nil, &wire{})
	var g access.GrantID
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.soon(8*time.Second, "revoke", func() {
		s.armed.Store(true)
		w.revokes(b, g)
	})
	w.in(9*time.Second, "failover", "", func() {
		if s.armed.Load() || !w.is(g, access.Ending) || w.usable() != 1 {
			w.fail("story", "no claim waits for its word")
		}
		for !w.is(g, access.Active) && w.store.Lose(1) > 0 {
		}
	})
	w.in(20*time.Second, "word", "", func() { close(s.word) })
	w.in(30*time.Second, "look", "", func() {
		if w.expect("promise", g, access.Active); w.usable() != 1 {
			w.fail("promise", "a grant is active, and its access was taken away by a claim of which the store knows nothing any more")
		}
	})
}

// landsLate lets an order land on the target by itself, and looks at last whether the
// credential works that the given process was told of.
func (w *world) landsLate(after time.Duration, lost *atomic.Pointer[connector.Order], at *wire, g *access.GrantID) {
	w.in(after, "land", "", func() {
		o := lost.Load()
		if o == nil {
			w.fail("story", "nothing was called")
			return
		}
		_, err := w.targets.Connector().Provision(context.Background(), w.target(), *o)
		w.insist(err)
	})
	w.in(30*time.Second, "look", "", func() {
		w.expect("promise", *g, access.Active)
		l := at.login()
		if _, err := w.targets.SignIn(w.places[0].Place(), l.Username, l.Password); err != nil {
			w.fail("promise", "a grant is active, and its credential does not work: %v", err)
		}
	})
}

// lostCredential: a call of which nobody heard lands after the next one would have been
// made. Whichever is last says what the password is, and nobody knows that of the lost one.
func lostCredential(w *world) {
	at, lost := &wire{}, &atomic.Pointer[connector.Order]{}
	at.meet(func(call string, o connector.Order) error {
		if call == "provision" && lost.CompareAndSwap(nil, &o) {
			return &connector.Error{Outcome: connector.Unknown, Message: "sim: no answer"}
		}
		return nil
	})
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	w.soon(5*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 10*time.Minute) })
	w.landsLate(7*time.Second, lost, at, &g)
}

// inheritedCredential: the same of a call whose process died, where the next one takes up
// what it was doing.
func inheritedCredential(w *world) {
	lost, over := &atomic.Pointer[connector.Order]{}, make(chan struct{})
	here, next := &wire{alone: true}, &wire{alone: true}
	here.meet(func(call string, o connector.Order) error {
		if call == "provision" && lost.CompareAndSwap(nil, &o) {
			<-over
			return errors.New("sim: the process is dead")
		}
		return nil
	})
	first := &mortal{Store: w.store}
	a := w.process("a", first, nil, here)
	var g access.GrantID
	w.soon(5*time.Second, "ask", func() { g = w.submit(a, "mira", "reader", 10*time.Minute) })
	w.in(6*time.Second, "restart", "", func() {
		first.die()
		w.process("b", w.store, nil, next)
	})
	w.landsLate(8*time.Second, lost, next, &g)
	w.in(12*time.Second, "over", "", func() { close(over) })
}
