package sim

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
)

// journals are stories about what is done without the store, as the journal tells it, and
// about who revokes then.
var journals = []protection{
	{"a journal that gives its numbers again", 100 * time.Second, true, numbersAgain},
	{"a word of the journal that cannot be read", 40 * time.Second, true, garbled},
	{"what the journal tells comes into the log", 110 * time.Second, true, journalTells},
	{"ended without the store, and extended elsewhere", 80 * time.Second, true, extendedElsewhere},
	{"ended without the store, and nothing is made again", 60 * time.Second, true, endedAndMerged},
	{"a failover takes back what the journal tells of", 60 * time.Second, true, mergedLater},
	{"who revokes without the store, and what", 60 * time.Second, true, revokeUnread},
	{"revoked without the store, and not known ahead", 100 * time.Second, true, revokeUnknown},
	{"a thousand are revoked without the store", 60 * time.Second, true, revokeThousand},
}

func init() { protections = append(protections, journals...) }

// illness is what a store cannot do.
type illness struct {
	changes bool   // takes none
	reads   bool   // nor is it read
	ahead   bool   // a row of what ends next cannot be read
	due     bool   // a row of what is due cannot be read
	login   bool   // nor that of a login
	unheard bool   // commits wait for a standby that is not there
	full    bool   // takes no grants, and what is small
	during  func() // happens once, when somebody was told what ends next and has not heard it yet
	page    int    // of what ends next so many are told; 0: all
}

// ill is a store as a process reaches it, which can do less.
type ill struct {
	broker.Store
	mu  sync.Mutex
	has illness
}

func (s *ill) set(has illness) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has = has
}

func (s *ill) now() illness {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.has
}

func (s *ill) Update(ctx context.Context, fn func(broker.Tx) error) error {
	if s.now().changes {
		return unavailable("the store takes no changes")
	}
	for s.now().unheard {
		if ctx.Err() != nil {
			return access.Fail(access.Unavailable, "commit-unknown", "nobody heard of the commit")
		}
		time.Sleep(10 * time.Millisecond)
	}
	return s.Store.Update(ctx, func(tx broker.Tx) error { return fn(illTx{tx, s.now(), new(bool)}) })
}

func (s *ill) View(ctx context.Context, fn func(broker.Tx) error) error {
	if s.now().reads {
		return unavailable("the store is not there")
	}
	next := false
	err := s.Store.View(ctx, func(tx broker.Tx) error { return fn(illTx{tx, s.now(), &next}) })
	if has := s.now(); has.during != nil && next {
		s.set(illness{})
		has.during()
	}
	return err
}

type illTx struct {
	broker.Tx
	has  illness
	next *bool // it was asked what ends next
}

func (tx illTx) EndingNext(limit int) ([]access.Grant, error) {
	if tx.has.ahead {
		return nil, access.Fail(access.Internal, "bad-row", "a row cannot be read")
	}
	gs, err := tx.Tx.EndingNext(limit)
	if tx.has.page > 0 {
		gs = gs[:min(tx.has.page, len(gs))]
	}
	*tx.next = true
	return gs, err
}

func (tx illTx) SaveGrants(gs ...access.Grant) error {
	if tx.has.full {
		return access.Fail(access.Unavailable, "store-full", "there is no room")
	}
	return tx.Tx.SaveGrants(gs...)
}

func (tx illTx) DueGrants(limit int) ([]access.Grant, error) {
	if tx.has.due {
		return nil, access.Fail(access.Internal, "bad-row", "a row cannot be read")
	}
	return tx.Tx.DueGrants(limit)
}

func (tx illTx) Credential(name string) (access.Credential, error) {
	if tx.has.login {
		return access.Credential{}, access.Fail(access.Internal, "bad-row", "a row cannot be read")
	}
	return tx.Tx.Credential(name)
}

// again lets the journal begin from its first number, as one whose disk had failed does
// after a restart.
func (j *memory) again() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.records, j.first = nil, 0
}

func (w *world) merged(kept *memory) {
	if n, _ := kept.Waiting(); n > 0 {
		w.fail("I-15", "%d words of the journal never came into the log", n)
	}
}

func (w *world) takes(b *broker.Broker, s broker.Selector) {
	_, err := b.Revoke(context.Background(), caller1("root"), s, "an exercise")
	w.insist(err)
}

// numbersAgain: each life of a process counts the words of its journal for itself. A word
// with a number that was merged before is not taken for the one that had it then.
func numbersAgain(w *world) {
	kept := &memory{}
	first, second := &ill{Store: w.store}, &ill{Store: w.store}
	a, stop := w.life("a", first, nil, &wire{journal: kept})
	var g, h access.GrantID
	w.soon(3*time.Second, "ask", func() { g, h = w.submit(a, "mira", "reader", time.Hour), w.submit(a, "paul", "reader", time.Hour) })
	w.in(20*time.Second, "away", "", func() { first.set(illness{changes: true}) })
	w.soon(21*time.Second, "revoke", func() { w.takes(a, broker.Selector{User: "mira"}) })
	w.in(30*time.Second, "back", "", func() { first.set(illness{}) })
	var b *broker.Broker
	w.in(45*time.Second, "restart", "", func() {
		w.expect("story", g, access.Ended)
		w.merged(kept)
		stop()
		kept.again()
		b = w.process("b", second, nil, &wire{journal: kept})
	})
	w.in(60*time.Second, "away", "", func() { second.set(illness{changes: true}) })
	w.soon(61*time.Second, "revoke", func() { w.takes(b, broker.Selector{User: "paul"}) })
	w.in(70*time.Second, "back", "", func() { second.set(illness{}) })
	w.in(95*time.Second, "look", "", func() {
		w.merged(kept)
		if got, _ := w.store.Grant(h); got.State != access.Ended || got.EndReason != access.ByPerson {
			w.fail("I-35", "what was revoked without the store is %s (%s)", got.State, got.EndReason)
		}
	})
}

// garbled: a word that cannot be read is on record as such, and so is one that a later
// version wrote, before that upgrade was taken back. Neither holds up another.
func garbled(w *world) {
	kept := &memory{records: [][]byte{[]byte("no json"), []byte(`{"did":"bent","account":"mira"}`)}}
	w.process("a", w.store, nil, &wire{journal: kept})
	w.in(20*time.Second, "look", "", func() {
		w.merged(kept)
		if !w.logged(broker.JournalTrouble) {
			w.fail("I-15", "a word of the journal cannot be read, and the log does not say so")
		}
		if n, said := w.times(broker.JournalTrouble), w.said(broker.JournalTrouble, "said"); n != 2 || !strings.Contains(said, "bent") {
			w.fail("I-15", "two words of the journal are not understood, and the log says so %d times, and of the later one: %q", n, said)
		}
	})
}

// journalTells: what was done without the store is in the log when it is back: what was
// removed, made useless, and does not go; of whose access; and who revoked what, from where.
func journalTells(w *world) {
	kept, s := &memory{}, &ill{Store: w.store}
	at := &wire{journal: kept}
	b := w.process("a", s, nil, at)
	var over, leaves, stays, sticks, revoked access.GrantID
	w.soon(3*time.Second, "ask", func() {
		over, leaves = w.submit(b, "mira", "reader", 17*time.Second), w.submit(b, "noor", "shared", 20*time.Second)
		stays, sticks = w.submit(b, "pia", "shared", 5*time.Minute), w.submit(b, "paul", "owner", 17*time.Second)
		revoked = w.submit(b, "noor", "reader", time.Hour)
	})
	w.in(12*time.Second, "away", "", func() {
		s.set(illness{changes: true, reads: true})
		at.stick("app_owner")
	})
	w.soon(13*time.Second, "revoke", func() {
		c := caller1("root")
		c.Actor.Address = netip.MustParseAddr("192.0.2.7")
		_, err := b.Revoke(context.Background(), c, broker.Selector{Grant: string(revoked)}, "an exercise")
		w.insist(err)
	})
	w.in(40*time.Second, "free", "", func() { at.stick("") })
	w.in(75*time.Second, "back", "", func() {
		if w.usable() != 0 { // and the password of who stays was known to who left
			w.fail("I-01", "%d privileges can be used after their end without the store", w.usable())
		}
		s.set(illness{due: true}) // so that the journal is the first to say what has ended
	})
	w.in(85*time.Second, "back", "", func() { s.set(illness{}) })
	w.in(105*time.Second, "look", "", func() {
		w.merged(kept)
		for _, x := range []struct {
			t    access.EventType
			what string
			of   access.GrantID
		}{
			{broker.JournalRemoving, "removing", over}, {broker.JournalRemoved, "", over}, {broker.JournalRemoving, "removing", revoked},
			{broker.JournalRemoving, "spoiling", leaves}, {broker.JournalSpoilt, "", leaves}, {broker.JournalTrouble, "", sticks}, {broker.JournalRemoved, "", sticks},
		} {
			n := 0
			for _, ev := range w.store.Log() {
				if ev.Type == x.t && strings.Contains(ev.Facts["grants"], string(x.of)) && (x.what == "" || ev.Facts["what"] == x.what) {
					n++
				}
			}
			if n != 1 {
				w.fail("I-15", "it was done without the store, and the log has %d records of %s %s about %s", n, x.t, x.what, x.of)
			}
		}
		for _, ev := range w.store.Log() {
			if ev.Type == broker.AccessRevoked && (ev.Actor.Person != "root" || ev.Actor.Address.String() != "192.0.2.7" || ev.Facts["what"] != "grant "+string(revoked)) {
				w.fail("I-15", "who revoked what is on record as %v: %v", ev.Actor, ev.Facts)
			}
		}
		if w.times(broker.AccessRevoked) != 1 {
			w.fail("I-15", "somebody revoked without the store, and the log does not say so")
		}
		for _, g := range []access.GrantID{over, leaves, sticks, revoked} {
			w.expect("L-01", g, access.Ended)
		}
		w.expect("promise", stays, access.Active)
	})
}

// extendedElsewhere: a replica that is cut off ends, at the end that it knew, what another
// one has extended. Nobody is told to have what was taken away.
func extendedElsewhere(w *world) {
	s := &ill{Store: w.store}
	a := w.process("a", s, nil, &wire{journal: &memory{}})
	b := w.process("b", w.store, nil, &wire{})
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(a, "mira", "reader", 17*time.Second) })
	w.in(12*time.Second, "away", "", func() { s.set(illness{changes: true, reads: true}) })
	w.soon(13*time.Second, "extend", func() {
		_, err := b.Extend(context.Background(), caller1("mira"), string(g), broker.Ask{Duration: 20 * time.Minute, Reason: "r", Key: "k", Body: access.Digest{7}})
		w.insist(err)
	})
	w.in(40*time.Second, "back", "", func() {
		if w.expect("story", g, access.Active); w.usable() > 0 {
			w.fail("story", "it was not taken away")
		}
		s.set(illness{})
	})
	w.in(70*time.Second, "look", "", func() {
		if got, _ := w.store.Grant(g); got.State != access.Ended || got.EndReason != access.ByPolicy || !strings.Contains(got.EndNote, "out of reach") {
			w.fail("promise", "its access was taken away, and it is %s (%s, %q)", got.State, got.EndReason, got.EndNote)
		}
	})
}

// endedAndMerged: what ended while the store was away is over when the journal is merged,
// also where nobody has written that down yet: it is not made again for a moment.
func endedAndMerged(w *world) {
	s, at := &ill{Store: w.store}, &wire{journal: &memory{}}
	b := w.process("a", s, nil, at)
	var g access.GrantID
	w.soon(3*time.Second, "ask", func() { g = w.submit(b, "mira", "reader", 17*time.Second) })
	w.in(12*time.Second, "away", "", func() { s.set(illness{changes: true, reads: true}) })
	w.in(30*time.Second, "back", "", func() {
		w.expect("story", g, access.Active)
		s.set(illness{due: true})
	})
	w.in(50*time.Second, "look", "", func() {
		if tried, _ := at.count(); tried != 1 {
			w.fail("I-02", "what had ended was made again: %d calls", tried)
		}
		if got, _ := w.store.Grant(g); got.State != access.Ended || got.EndReason != access.ByTime {
			w.fail("L-01", "its time is over, and it is %s (%s)", got.State, got.EndReason)
		}
	})
}

// mergedLater: a failover takes back the records of what the journal tells of. Its words
// come into the log all the same, and none holds up another.
func mergedLater(w *world) {
	kept, s := &memory{}, &ill{Store: w.store}
	b := w.process("a", s, nil, &wire{journal: kept})
	w.soon(3*time.Second, "ask", func() {
		w.submit(b, "paul", "owner", time.Hour)
		w.submit(b, "noor", "shared", 17*time.Second)
		w.submit(b, "mira", "shared", 20*time.Minute)
	})
	w.in(12*time.Second, "away", "", func() { s.set(illness{changes: true, reads: true}) })
	w.soon(13*time.Second, "revoke", func() { w.takes(b, broker.Selector{User: "paul"}) })
	w.in(28*time.Second, "failover", "", func() {
		if n, _ := kept.Waiting(); n < 5 {
			w.fail("story", "the journal has %d words", n)
		}
		for len(w.store.Entitlements(true)) > 0 && w.store.Lose(1) > 0 {
		}
		s.set(illness{})
	})
	w.in(55*time.Second, "look", "", func() {
		w.merged(kept)
		if !w.logged(broker.JournalSpoilt) || !w.logged(broker.AccessRevoked) {
			w.fail("I-15", "what was done without the store is not in the log")
		}
	})
}

// revokeUnread: while the store is not even read, administrators revoke what is known, by
// each name it has, and nothing else; nobody else does, and who revokes what nobody knows
// is told so.
func revokeUnread(w *world) {
	ctx := context.Background()
	s := &ill{Store: w.store}
	b := w.process("a", s, nil, &wire{journal: &memory{}})
	has := map[string]access.GrantID{}
	w.soon(3*time.Second, "ask", func() {
		has["mira"], has["mira too"] = w.submit(b, "mira", "reader", time.Hour), w.submit(b, "mira", "owner", time.Hour)
		has["noor"], has["noor both"] = w.submit(b, "noor", "reader", time.Hour), w.submit(b, "noor", "both", time.Hour)
		has["pia"], has["paul"] = w.submit(b, "pia", "reader", time.Hour), w.submit(b, "paul", "owner", time.Hour)
	})
	w.in(12*time.Second, "away", "", func() { s.set(illness{changes: true, reads: true}) })
	w.soon(13*time.Second, "revoke", func() {
		all := w.usable()
		for _, x := range []struct {
			who string
			s   broker.Selector
		}{
			{"omar", broker.Selector{Resource: "db0"}}, {"mira", broker.Selector{User: "mira"}}, {"root", broker.Selector{User: "mria"}},
			{"root", broker.Selector{Role: "raeder"}}, {"root", broker.Selector{Resource: "db9"}}, {"root", broker.Selector{Grant: "grn_nothing"}},
		} {
			if _, err := b.Revoke(ctx, caller1(x.who), x.s, "x"); !errors.Is(err, access.Unavailable) {
				w.fail("I-19", "%s revokes %s without the store, and is told: %v", x.who, x.s, err)
			}
		}
		time.Sleep(2 * time.Second)
		if n := w.usable(); n != all {
			w.fail("I-19", "%d privileges of %d are left after revocations that nobody may make, or of nothing", n, all)
		}
		asked, _ := w.store.Grant(has["pia"])
		left := []int{all - 1, all - 2, all - 4, all - 5, all - 6, 0}
		for i, x := range []struct {
			s    broker.Selector
			ends []string
		}{
			{broker.Selector{Grant: string(has["mira"])}, []string{"mira"}},
			{broker.Selector{Grant: string(asked.Request)}, []string{"pia"}},
			{broker.Selector{Role: "both"}, []string{"noor both"}},
			{broker.Selector{User: "user:paul"}, []string{"paul"}},
			{broker.Selector{User: "mira"}, []string{"mira", "mira too"}},
			{broker.Selector{Resource: "db0"}, []string{"mira", "mira too", "noor", "noor both", "pia", "paul"}},
		} {
			ids, err := b.Revoke(ctx, caller1("root"), x.s, "an exercise")
			w.insist(err)
			var want []access.GrantID
			for _, name := range x.ends {
				want = append(want, has[name])
			}
			if slices.Sort(want); !slices.Equal(ids, want) {
				w.fail("I-02", "revoking %s without the store is said to end %v, and should end %v", x.s, ids, want)
			}
			time.Sleep(2 * time.Second)
			if n := w.usable(); n != left[i] {
				w.fail("I-02", "%d privileges are left after %s was revoked, and should be %d", n, x.s, left[i])
			}
		}
	})
	w.in(40*time.Second, "back", "", func() { s.set(illness{}) })
	w.in(55*time.Second, "look", "", func() {
		for _, g := range has {
			w.expect("I-35", g, access.Ended)
		}
	})
}

// revokeUnknown: the store takes no changes, and what ends next cannot be read ahead.
// What somebody revokes is read just then, and ends, also when the store is not read
// either by the time the target does as it is told.
func revokeUnknown(w *world) {
	ctx := context.Background()
	s, at := &ill{Store: w.store, has: illness{ahead: true}}, &wire{journal: &memory{}}
	a := w.process("a", s, nil, at)
	b, stop := w.life("b", w.store, nil, &wire{})
	var other access.GrantID
	w.soon(3*time.Second, "ask", func() {
		w.submit(b, "mira", "reader", time.Hour)
		w.submit(b, "mira", "owner", time.Hour)
		other = w.submit(b, "paul", "reader", time.Hour)
	})
	w.in(10*time.Second, "stop", "", func() { stop() })
	w.in(20*time.Second, "away", "", func() {
		s.set(illness{ahead: true, changes: true})
		at.meet(func(string, connector.Order) error { return errors.New("sim: not now") })
	})
	w.soon(21*time.Second, "revoke", func() {
		if _, err := a.Revoke(ctx, caller1("root"), broker.Selector{User: "mria"}, "x"); !errors.Is(err, access.NotFound) {
			w.fail("I-19", "who revokes what is not there is told: %v", err)
		}
		if ids, err := a.Revoke(ctx, caller1("root"), broker.Selector{User: "gil"}, "x"); len(ids) > 0 || err != nil {
			w.fail("I-19", "who revokes nothing is told: %v, %v", ids, err)
		}
		ids, err := a.Revoke(ctx, caller1("root"), broker.Selector{User: "mira"}, "an exercise")
		if w.insist(err); len(ids) != 2 {
			w.fail("I-02", "%d grants are revoked, and should be two", len(ids))
		}
	})
	w.in(26*time.Second, "away", "", func() { s.set(illness{ahead: true, changes: true, reads: true}) })
	w.in(27*time.Second, "go on", "", func() { at.meet(nil) })
	w.in(65*time.Second, "look", "", func() {
		if w.usable() != 1 {
			w.fail("I-02", "%d privileges can be used, and one was not revoked", w.usable())
		}
		s.set(illness{})
	})
	w.in(90*time.Second, "look", "", func() {
		w.expect("promise", other, access.Active)
		if n := len(w.store.Grants(true)); n != 1 {
			w.fail("I-35", "%d grants are live", n)
		}
	})
}

// revokeThousand: more than a page is revoked while the store takes no changes, all of it
// and each once.
func revokeThousand(w *world) {
	ctx := context.Background()
	s := &ill{Store: w.store}
	b := w.process("a", s, nil, &wire{journal: &memory{refused: 3}})
	w.soon(3*time.Second, "ask", func() {
		for i := range 1001 {
			_, err := b.Submit(ctx, caller1("mira"), broker.Ask{Resource: "db0", Role: "reader", Duration: time.Minute, Start: w.store.Now().Add(time.Hour), Reason: "r", Key: fmt.Sprint(i), Body: access.Digest{1}})
			w.insist(err)
		}
		s.set(illness{changes: true})
		ids, err := b.Revoke(ctx, caller1("root"), broker.Selector{User: "mira"}, "an exercise")
		w.insist(err)
		slices.Sort(ids)
		if n := len(slices.Compact(ids)); n != 1001 || len(ids) != n {
			w.fail("I-02", "%d grants of 1001 are said to be revoked, %d of them different", len(ids), n)
		}
	})
	w.in(20*time.Second, "back", "", func() { s.set(illness{}) })
	w.in(50*time.Second, "look", "", func() {
		if n := len(w.store.Grants(true)); n > 0 {
			w.fail("I-35", "%d grants are live", n)
		}
	})
}
