package broker

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"stint/internal/access"
	"stint/internal/ahead"
)

// fullTx has more that ends next than is known ahead: one grant, and many removals.
type fullTx struct {
	Tx
	removals int
}

func (tx fullTx) Now() time.Time                               { return time.Unix(1, 0) }
func (tx fullTx) EndingNext(int) ([]access.Grant, error)       { return []access.Grant{onlyGrant}, nil }
func (tx fullTx) Credential(string) (access.Credential, error) { return access.Credential{}, nil }
func (tx fullTx) Removals(int) ([]access.Entitlement, error) {
	return make([]access.Entitlement, tx.removals), nil
}
func (tx fullTx) GrantsOf(...access.GrantID) ([]access.Grant, error) { return nil, nil }
func (tx fullTx) HoldsBy(...access.GrantID) ([]access.Hold, error)   { return tx.HoldsOf() }
func (tx fullTx) HoldsOf(...access.EntitlementID) ([]access.Hold, error) {
	return []access.Hold{{Grant: "grn_1", Entitlement: "ent_1"}}, nil
}
func (tx fullTx) EntitlementsOf(...access.EntitlementID) ([]access.Entitlement, error) {
	return []access.Entitlement{{ID: "ent_1", State: access.Present}}, nil
}

var onlyGrant = access.Grant{ID: "grn_1", Request: "req_1", Person: "mira", Principal: "user:mira", Role: "reader", State: access.Active,
	Targets: []access.Target{{Resource: "db"}}}

// TestNotAllIsKnownAhead: who revokes without the store is told when there is more
// than could be ended; one grant by its id is not "more".
func TestNotAllIsKnownAhead(t *testing.T) {
	for _, c := range []struct {
		s    Selector
		cut  bool
		ids  int
		more bool
	}{
		{Selector{All: true}, false, 1, false},
		{Selector{All: true}, true, 1, true},
		{Selector{User: "mira"}, true, 1, true},
		{Selector{User: "user:mira"}, false, 1, false},
		{Selector{User: "user:noor"}, false, 0, false},
		{Selector{Role: "reader"}, false, 1, false},
		{Selector{Resource: "db"}, false, 1, false},
		{Selector{Resource: "other"}, false, 0, false},
		{Selector{Grant: "grn_1"}, true, 1, false},
		{Selector{Grant: "req_1"}, true, 1, false},
		{Selector{Grant: "grn"}, true, 0, false},
	} {
		tx := fullTx{}
		if c.cut {
			tx.removals = ahead.Most
		}
		a := ahead.New(time.Second)
		next := a.Reading()
		if err := next.Read(tx); err != nil {
			t.Fatal(err)
		}
		next.Keep()
		next.Close()
		if ids, more := c.s.ahead(a); len(ids) != c.ids || more != c.more {
			t.Errorf("%s, cut %t: %v, more %t", c.s, c.cut, ids, more)
		}
	}
}

// hungStore takes a change and says nothing until it is let go, whatever the caller's
// patience.
type hungStore struct {
	Store
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
		b := &Broker{Config: Config{Log: slog.New(slog.DiscardHandler)}, pulse: newPulse(s), ahead: ahead.New(time.Second), alarm: newAlarm(), awake: make(chan struct{}, 1)}
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
	b := &Broker{Config: Config{Journal: j}, ahead: ahead.New(time.Second)}
	known := b.remember("")
	*j = lateJournal{id: "from the disk", bodies: [][]byte{[]byte(`{"did":"revoked","grants":["g1"]}`)}}
	if known = b.remember(known); known != j.id {
		t.Errorf("%q was read", known)
	}
	now := time.Now()
	b.ahead.Follow(ahead.Commit{Now: now,
		Entitlements: []access.Entitlement{{ID: "e1", State: access.Present, Observed: true}, {ID: "e2", State: access.Present, Observed: true}},
		Grants:       []access.Grant{{ID: "g1", State: access.Active, ExpiresAt: now.Add(time.Hour)}, {ID: "g2", State: access.Active, ExpiresAt: now.Add(time.Hour)}},
		Holds:        []access.Hold{{Grant: "g1", Entitlement: "e1"}, {Grant: "g2", Entitlement: "e2"}}})
	if es := b.ahead.Take().Removals; len(es) != 1 || es[0].ID != "e1" {
		t.Errorf("what was revoked before is not what ends at once: %v", es)
	}
}
