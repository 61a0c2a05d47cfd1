package archive

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
)

// memory is a store of one recording. before is called before each change, outside of all locks.
type memory struct {
	before func()

	mu      sync.Mutex
	r       access.Recording
	log     []access.Event
	now     time.Time // zero: the real one
	session access.Session
	host    access.Host // none without a name
}

func (m *memory) Update(_ context.Context, fn func(Tx) error) error {
	if m.before != nil {
		m.before()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return fn(memoryTx{m})
}

func (m *memory) View(_ context.Context, fn func(Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fn(memoryTx{m})
}

type memoryTx struct{ *memory }

func (x memoryTx) Now() time.Time {
	if !x.now.IsZero() {
		return x.now
	}
	return time.Now()
}
func (x memoryTx) Append(evs ...access.Event) error           { x.log = append(x.log, evs...); return nil }
func (x memoryTx) Recording(string) (access.Recording, error) { return x.r, nil }
func (x memoryTx) Recordings(q access.RecordingQuery) (all []access.Recording, err error) {
	if (q.State == "" || x.r.State == q.State) && (q.Begun.IsZero() || x.r.BeganAt.Before(q.Begun) && x.r.HeldAt.IsZero() && x.r.State != access.RecordingGone) {
		all = append(all, x.r)
	}
	return all, nil
}
func (x memoryTx) SaveRecording(r access.Recording) error           { x.r = r; return nil }
func (x memoryTx) Session(access.SessionID) (access.Session, error) { return x.session, nil }
func (memoryTx) SaveTape(access.SessionID, access.Tape) error       { return nil }
func (x memoryTx) Host(name string) (access.Host, error) {
	if x.host.Name != name {
		return access.Host{}, access.Fail(access.NotFound, "none", "there is none")
	}
	return x.host, nil
}

func newTestArchive(before func()) (*Archive, *memory) {
	r, _ := access.Recording{Session: "ses_1", Gateway: "edge", Keys: [][]byte{make([]byte, 32)}}.Begin(time.Now())
	m := &memory{before: before, r: r}
	return &Archive{Config: Config{Store: m, Log: slog.New(slog.DiscardHandler)}, known: map[string]access.Recording{}, views: map[viewKey]*View{}, bells: map[string]*bell{}}, m
}

func (m *memory) of(typ access.EventType) (all []access.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, ev := range m.log {
		if ev.Type == typ {
			all = append(all, ev)
		}
	}
	return all
}

// TestClosedViewIsNotEntered: from when a view is taken from the map nobody goes on with it, even
// who found it before. Otherwise what they see is in no log.
func TestClosedViewIsNotEntered(t *testing.T) {
	var all []*View
	closing, entered := false, 0
	a, _ := newTestArchive(func() {
		for _, v := range all {
			if closing && v.enter() {
				entered++
			}
		}
	})
	for _, login := range []string{"one", "two"} {
		v, err := a.View(t.Context(), access.System, login, "ses_1", "replay")
		if err != nil {
			t.Fatal(err)
		}
		v.Done()
		all = append(all, v)
	}
	closing = true
	a.CloseViews(t.Context())
	if entered > 0 {
		t.Errorf("%d were entered while they were closed", entered)
	}
}

// TestFirstCallsAtOnce: each is in the log with what it is for, when it begins and when it ends.
func TestFirstCallsAtOnce(t *testing.T) {
	var both sync.WaitGroup
	both.Add(2)
	var mu sync.Mutex
	opening := 2
	a, m := newTestArchive(func() {
		mu.Lock()
		mine := opening > 0
		opening--
		mu.Unlock()
		if mine {
			both.Done()
			both.Wait()
		}
	})
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() {
			v, err := a.View(t.Context(), access.System, "login", "ses_1", "replay")
			if err != nil {
				t.Error(err)
				return
			}
			v.Saw(0, time.Second)
			v.Done()
		})
	}
	calls.Wait()
	a.CloseViews(t.Context())
	closed := m.of(access.RecordingClosed)
	if n := len(m.of(access.RecordingOpened)); n != 2 || len(closed) != 2 {
		t.Fatalf("%d were opened, and %d closed", n, len(closed))
	}
	for _, ev := range closed {
		if ev.Facts["what"] != "replay" || ev.Facts["to"] != "1s" {
			t.Errorf("closed: %v", ev.Facts)
		}
	}
}

// TestRecordingOfAView: what is known of a recording is read while other calls of the view learn
// more. It fails under the race detector.
func TestRecordingOfAView(t *testing.T) {
	a, _ := newTestArchive(nil)
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() {
			for range 100 {
				v, err := a.View(t.Context(), access.System, "login", "ses_1", "watch")
				if err != nil {
					t.Error(err)
					return
				}
				if v.Recording().Session != "ses_1" {
					t.Error("another recording")
				}
				v.Done()
			}
		})
	}
	calls.Wait()
	a.CloseViews(t.Context())
}

// TestBell: it rings for all who wait, and nothing is kept for those who do no more.
func TestBell(t *testing.T) {
	a, _ := newTestArchive(nil)
	one, done := a.Bell("ses_1")
	two, doneToo := a.Bell("ses_1")
	done()
	done() // says nothing more
	a.ring("ses_1")
	<-one
	<-two
	again, doneAgain := a.Bell("ses_1")
	doneToo() // of the one that rang
	a.ring("ses_1")
	<-again
	doneAgain()
	_, last := a.Bell("ses_2")
	last()
	if len(a.bells) > 0 {
		t.Errorf("left: %v", a.bells)
	}
}
