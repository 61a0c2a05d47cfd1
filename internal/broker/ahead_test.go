package broker

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"stint/internal/access"
)

// TestNotAllIsKnownAhead: who revokes without the store is told when there is more
// than could be ended; one grant by its id is not "more".
func TestNotAllIsKnownAhead(t *testing.T) {
	a := newAhead()
	a.add(access.Entitlement{ID: "ent_1"}, "grn_1", holder{request: "req_1", person: "mira"})
	for _, c := range []struct {
		s    Selector
		cut  bool
		more bool
	}{
		{Selector{All: true}, false, false},
		{Selector{All: true}, true, true},
		{Selector{User: "mira"}, true, true},
		{Selector{Grant: "grn_1"}, true, false},
	} {
		a.cut = c.cut
		if ids, more := a.matching(c.s); len(ids) != 1 || more != c.more {
			t.Errorf("%s, cut %t: %v, more %t", c.s, c.cut, ids, more)
		}
	}
}

// rowsTx answers what readAhead asks, with one shared entitlement.
type rowsTx struct {
	Tx
	e  access.Entitlement
	gs []access.Grant
}

func (tx rowsTx) Now() time.Time                                     { return time.Unix(1, 0) }
func (tx rowsTx) EndingNext(int) ([]access.Grant, error)             { return tx.gs, nil }
func (tx rowsTx) Removals(int) ([]access.Entitlement, error)         { return nil, nil }
func (tx rowsTx) Credential(string) (access.Credential, error)       { return access.Credential{}, nil }
func (tx rowsTx) GrantsOf(...access.GrantID) ([]access.Grant, error) { return nil, nil }
func (tx rowsTx) HoldsBy(...access.GrantID) ([]access.Hold, error)   { return tx.HoldsOf() }
func (tx rowsTx) EntitlementsOf(...access.EntitlementID) ([]access.Entitlement, error) {
	return []access.Entitlement{tx.e}, nil
}

func (tx rowsTx) HoldsOf(...access.EntitlementID) (hs []access.Hold, err error) {
	for _, g := range tx.gs {
		hs = append(hs, access.Hold{Grant: g.ID, Entitlement: tx.e.ID})
	}
	return hs, nil
}

type rowsStore struct{ tx rowsTx }

func (s *rowsStore) View(_ context.Context, fn func(Tx) error) error   { return fn(s.tx) }
func (s *rowsStore) Update(_ context.Context, fn func(Tx) error) error { return fn(s.tx) }

// TestSpoiltOnceIsNotSpoiltForEver: a shared credential that was made useless in one
// outage and replaced by another replica since is made useless in the next one too.
func TestSpoiltOnceIsNotSpoiltForEver(t *testing.T) {
	s := &rowsStore{rowsTx{e: access.Entitlement{ID: "ent_1", State: access.Present, Mechanism: access.Enable, Observed: true, Rev: 1, Confirmed: 1},
		gs: []access.Grant{{ID: "grn_1", State: access.Active, ExpiresAt: time.Unix(1, 0)}, {ID: "grn_2", State: access.Active, ExpiresAt: time.Unix(3600, 0)}}}}
	b := &Broker{Config: Config{Store: s, Log: slog.New(slog.DiscardHandler)}, ahead: newAhead()}
	spoil := func() []access.Entitlement {
		t.Helper()
		if err := b.readAhead(t.Context()); err != nil {
			t.Fatal(err)
		}
		spoilings := b.ahead.take().spoilings
		return spoilings
	}
	es := spoil()
	if len(es) != 1 {
		t.Fatalf("%d are made useless at the first end", len(es))
	}
	b.ahead.done([]removal{{es[0], verdict{gone: true}}}, true)
	if es := spoil(); len(es) != 0 {
		t.Fatalf("%d are made useless once more", len(es))
	}
	s.tx.e.Rev, s.tx.e.Confirmed, s.tx.e.Version = 2, 2, 2
	if es := spoil(); len(es) != 1 {
		t.Errorf("%d are made useless after another replica has given a new one", len(es))
	}
}

// hungStore takes a change and says nothing until it is let go, whatever the caller's
// patience.
type hungStore struct {
	rowsStore
	out   atomic.Int64
	letGo chan struct{}
}

func (s *hungStore) Update(context.Context, func(Tx) error) error {
	s.out.Add(1)
	<-s.letGo
	s.out.Add(-1)
	return nil
}

// TestOneProbeIsOut: a store that outlasts every call is asked once, and not again
// until it has answered: its turns are for what ends access.
func TestOneProbeIsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &hungStore{letGo: make(chan struct{})}
		b := &Broker{Config: Config{Log: slog.New(slog.DiscardHandler)}, pulse: newPulse(s), ahead: newAhead(), alarm: newAlarm(), awake: make(chan struct{}, 1)}
		var p probes
		for range 5 {
			b.probe(t.Context(), &p)
			if n := s.out.Load(); n != 1 {
				t.Errorf("%d probes are out", n)
			}
		}
		if !b.pulse.isAway() {
			t.Error("silence is taken for an answer")
		}
		close(s.letGo)
		b.probe(t.Context(), &p)
		if p.calls.Wait(); b.pulse.isAway() || p.out != nil {
			t.Error("it answers again, and is not believed")
		}
	})
}

// lateJournal is one whose disk may not be there yet.
type lateJournal struct {
	Journal
	id     string
	bodies [][]byte
}

func (j *lateJournal) ID() string                     { return j.id }
func (j *lateJournal) Waiting() (int, error)          { return len(j.bodies), nil }
func (j *lateJournal) Entries(int) (uint64, [][]byte) { return 1, j.bodies }

// TestJournalIsRememberedWhenItComes: what was revoked before a restart is known also
// where the disk with the journal is there only later.
func TestJournalIsRememberedWhenItComes(t *testing.T) {
	j := &lateJournal{id: "made up"}
	b := &Broker{Config: Config{Journal: j}, ahead: newAhead()}
	known := b.remember("")
	*j = lateJournal{id: "from the disk", bodies: [][]byte{[]byte(`{"did":"revoked","grants":["g1"]}`)}}
	if known = b.remember(known); known != j.id || !b.ahead.revoked["g1"] {
		t.Errorf("%q: what was revoked is not known: %v", known, b.ahead.revoked)
	}
}
