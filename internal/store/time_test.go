//go:build unix

package store_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/clock"
	"stint/internal/store"
)

// hands are the clocks of one host that a test moves: time that passes, and what
// the authority says beside it.
type hands struct {
	mu     sync.Mutex
	start  time.Time
	passed time.Duration
	wrong  time.Duration
}

func (h *hands) pass(d time.Duration) { h.mu.Lock(); defer h.mu.Unlock(); h.passed += d }
func (h *hands) step(d time.Duration) { h.mu.Lock(); defer h.mu.Unlock(); h.wrong += d }
func (h *hands) right()               { h.mu.Lock(); defer h.mu.Unlock(); h.wrong = 0 }

func (h *hands) mono() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return 24*time.Hour + h.passed
}

func (h *hands) truth() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.start.Add(h.passed) }

func (h *hands) wall() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.start.Add(h.passed + h.wrong)
}

// withHands lets a database's time be that of hands, which replace PostgreSQL's
// clock as well. There the host's own clock is right.
func withHands(d *database, boot string) *hands {
	h := &hands{start: time.Now().UTC().Truncate(time.Millisecond)}
	d.cfg.Monotonic, d.cfg.Boot = h.mono, boot
	if d.cfg.Path != "" {
		d.cfg.Clock = h.wall
	} else {
		d.cfg.Clock = h.truth
		d.cfg.Bend = func(time.Time) time.Time { return h.wall() }
	}
	return h
}

func reading(t *testing.T, s *store.Store) (now time.Time, unsure error) {
	t.Helper()
	view(t, s, func(tx *store.Tx) error {
		now, unsure = tx.Now(), tx.Certain()
		return nil
	})
	return now, unsure
}

// TestTimeIsNotTakenFromAnybody: a clock that jumps moves nothing, is doubted by
// every transaction, and is believed again when it is right.
func TestTimeIsNotTakenFromAnybody(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		h := withHands(d, "boot-1")
		s := d.open(t)
		if now, unsure := reading(t, s); unsure != nil || !now.Equal(h.truth()) {
			t.Fatalf("now %v, %v", now, unsure)
		}
		for _, step := range []time.Duration{time.Hour, -time.Hour, 10 * 365 * 24 * time.Hour, -10 * 365 * 24 * time.Hour} {
			h.step(step)
			h.pass(2 * time.Second)
			now, unsure := reading(t, s)
			if !now.Equal(h.truth()) {
				t.Errorf("%v: off by %v", step, now.Sub(h.truth()))
			}
			var e *access.Error
			if !errors.As(unsure, &e) || e.Kind != access.Unavailable || e.Code != "clock-unsure" || e.Why == "" || e.Next == "" {
				t.Errorf("%v: %v", step, unsure)
			}
			update(t, s, func(tx *store.Tx) error {
				if tx.Certain() == nil || !tx.Now().Equal(h.truth()) {
					t.Errorf("%v: a transaction that writes sees %v", step, tx.Now())
				}
				return nil
			})
			h.right()
			if now, unsure := reading(t, s); unsure != nil || !now.Equal(h.truth()) {
				t.Errorf("%v, set right: now %v, %v", step, now, unsure)
			}
		}
	})
}

// TestTimeOverARestart: the mark and, on the same boot, monotonic time hold over
// a restart; after one of the host the mark alone does.
func TestTimeOverARestart(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		h := withHands(d, "boot-1")
		again := func(s *store.Store) *store.Store {
			t.Helper()
			if err := s.MarkTime(context.Background()); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s, err := store.Open(context.Background(), d.cfg)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s, err := store.Open(context.Background(), d.cfg)
		if err != nil {
			t.Fatal(err)
		}
		h.step(-time.Hour)
		h.pass(time.Minute)
		s = again(s)
		if now, unsure := reading(t, s); unsure == nil || !now.Equal(h.truth()) {
			t.Errorf("set back: off by %v, %v", now.Sub(h.truth()), unsure)
		}
		h.right()
		h.step(time.Hour)
		h.pass(time.Minute)
		s = again(s)
		if now, unsure := reading(t, s); unsure == nil || !now.Equal(h.truth()) {
			t.Errorf("set ahead: off by %v, %v", now.Sub(h.truth()), unsure)
		}
		d.cfg.Boot = "boot-2"
		s = again(s)
		if now, unsure := reading(t, s); unsure == nil || now.After(h.truth()) {
			t.Errorf("a reboot made it believed: %v, %v", now, unsure)
		}
		h.right()
		h.pass(8 * time.Hour)
		d.cfg.Boot = "boot-3"
		s = again(s)
		h.pass(8 * time.Second)
		now, unsure := reading(t, s)
		if unsure != nil || !now.Equal(h.truth()) {
			t.Errorf("right after a night: off by %v, %v", now.Sub(h.truth()), unsure)
		}
		if err := s.MarkTime(context.Background()); err != nil {
			t.Error(err)
		}
		if err := d.raw("UPDATE marks SET value = value - 1 WHERE name = 'now'"); err == nil {
			t.Error("the mark was set back")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestHostsAgreeOnTheDatabasesClock: a jump of the database's clock stops all
// replicas; where their own clocks say the same, it is believed. One whose own
// clock differs goes on doubting, and so does everybody when too few agree.
func TestHostsAgreeOnTheDatabasesClock(t *testing.T) {
	d := postgresDatabase(t)
	truth := &hands{start: time.Now().UTC()}
	// The hosts' own clocks are this machine's, and cannot be bent: instead the
	// database's begins an hour behind, and jumps to where the hosts are.
	var mu sync.Mutex
	off := -time.Hour
	d.cfg.Bend = func(time.Time) time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(truth.passed + off) }
	var stores []*store.Store
	for _, boot := range []string{"host-a", "host-b", "host-c"} {
		cfg := d.cfg
		cfg.Boot = boot
		cfg.Monotonic = func() time.Duration { return 24*time.Hour + time.Since(truth.start) }
		d2 := &database{cfg: cfg}
		stores = append(stores, d2.open(t))
	}
	beat := func(ss ...*store.Store) {
		t.Helper()
		for _, s := range ss {
			if err := s.MarkTime(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	beat(stores...)
	beat(stores...)
	mu.Lock()
	off = 0
	mu.Unlock()
	for _, s := range stores {
		if _, unsure := reading(t, s); unsure == nil {
			t.Fatal("an hour ahead, and nobody doubts it")
		}
	}
	beat(stores[0]) // one says so, of three
	beat(stores[0])
	if st := stores[0].Clock(); st.Trusted || !st.Far || st.Ahead.Round(time.Minute) != time.Hour {
		t.Errorf("one of three is enough: %+v", st)
	}
	beat(stores[1])
	beat(stores[0])
	if now, unsure := reading(t, stores[0]); unsure != nil || time.Since(now).Abs() > time.Second {
		t.Errorf("two of three: %v, %v", now, unsure)
	}
	beat(stores[2]) // who follows the mark
	if now, unsure := reading(t, stores[2]); unsure != nil || time.Since(now).Abs() > time.Second {
		t.Errorf("the third: %v, %v", now, unsure)
	}
}

// TestNewReplicaHearsOthers: one that starts without a bound, while the clock is
// an hour ahead and the others know, does not believe it.
func TestNewReplicaHearsOthers(t *testing.T) {
	d := postgresDatabase(t)
	h := withHands(d, "host-a")
	old := d.open(t)
	for range 3 {
		if err := old.MarkTime(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	h.step(time.Hour)
	d.cfg.Boot = "host-b"
	young := d.open(t)
	if now, unsure := reading(t, young); unsure == nil || now.After(h.truth().Add(time.Second)) {
		t.Errorf("at once: %v, %v", now, unsure)
	}
	for range 4 {
		h.pass(2 * time.Second)
		for _, s := range []*store.Store{old, young} {
			if err := s.MarkTime(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	now, unsure := reading(t, young)
	if unsure == nil || !strings.Contains(unsure.Error(), "clock") || now.Sub(h.truth()).Abs() > time.Second {
		t.Errorf("after having listened: off by %v, %v", now.Sub(h.truth()), unsure)
	}
}

func TestAcceptClock(t *testing.T) {
	d := sqliteDatabase(t)
	h := withHands(d, "boot-1")
	s := d.open(t)
	h.step(time.Hour)
	if _, unsure := reading(t, s); unsure == nil {
		t.Fatal("trusted")
	}
	if s.AcceptClock(2 * time.Hour) {
		t.Error("accepted what it is not")
	}
	if !s.AcceptClock(time.Hour) {
		t.Error("not accepted")
	}
	if now, unsure := reading(t, s); unsure != nil || !now.Equal(h.wall()) {
		t.Errorf("now %v, %v", now, unsure)
	}
}

// TestKeepTime writes the mark by itself, and stops with its context.
func TestKeepTime(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := d.open(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.KeepTime(ctx, func(err error) { t.Error(err) }); close(done) }()
		for d.raw("UPDATE marks SET value = value - 1 WHERE name = 'now'") == nil { // refused once there is one
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
		<-done
		if st := s.Clock(); !st.Trusted || st.Skew.Abs() > clock.Uncertainty {
			t.Errorf("%+v", st)
		}
	})
}
