package store

import (
	"context"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/clock"
)

// timekeeper is the one clock of a Store: a clock.Keeper behind a lock, the
// readings that it is fed with, and what is kept of it in the database.
//
// The high-water mark is the row "now" in marks: the latest time that a replica
// gave while it trusted its clock. Table clocks has a row for each host, with what
// monotonic time said, so that a restart on the same boot is bound by it, and with
// what the host thinks of the authority's clock, so that hosts can agree on it.
type timekeeper struct {
	host func() time.Time
	mono func() time.Duration
	bend func(time.Time) time.Time
	boot string
	own  bool // the authority is this host: nobody else has a say

	mu    sync.Mutex // guards what follows
	keep  *clock.Keeper
	peers clock.Peers
	wrote time.Duration // mono when it was last written
}

// How often a host writes what it sees: each time costs one commit. In doubt it
// is more often, because others may wait for it.
const (
	markEvery   = 3 * time.Second
	markInDoubt = time.Second
	// listenFor is how long a replica without a bound of its own waits to hear
	// others.
	listenFor = markEvery + 2*time.Second
)

func newTimekeeper(cfg Config) *timekeeper {
	t := &timekeeper{host: cfg.Clock, mono: cfg.Monotonic, bend: cfg.Bend, boot: cfg.Boot, own: cfg.Path != ""}
	switch {
	case t.mono != nil:
	case cfg.Clock != nil:
		t.mono = forward(cfg.Clock)
	default:
		t.mono, t.boot = monotonic, bootID()
	}
	if t.host == nil {
		t.host = time.Now
	}
	if t.bend == nil {
		t.bend = func(wall time.Time) time.Time { return wall }
	}
	return t
}

// forward makes a monotonic clock of one that tests set: what it goes forward by
// has passed.
func forward(now func() time.Time) func() time.Duration {
	var mu sync.Mutex
	last, passed := now(), time.Duration(0)
	return func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		if at := now(); at.After(last) {
			passed, last = passed+at.Sub(last), at
		} else {
			last = at
		}
		return passed
	}
}

// sampled is a sample of a question asked at the given moment and just answered.
// host is this host's clock, where that is not the authority.
func (t *timekeeper) sampled(wall time.Time, asked time.Duration, host time.Time) clock.Sample {
	mono := t.mono()
	return clock.Sample{Wall: t.bend(wall), Mono: mono, Width: max(0, mono-asked), Host: host.Round(0)}
}

// take takes a sample and says what is believed.
func (t *timekeeper) take(s clock.Sample) clock.Reading {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.keep.Take(s)
}

// read says what is believed, without asking the authority.
func (t *timekeeper) read() clock.Reading {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.keep.Read(t.mono())
}

func unsure(why string) error {
	return access.Fail(access.Unavailable, "clock-unsure", "nothing new is granted while the clock is in doubt").Because(why).
		Try("set the clock right, and it goes on by itself; an administrator sees more with: stint admin clock. Ending and revoking work")
}

const saveMark = `INSERT INTO marks (name, value) VALUES ('now', $1)
	ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE excluded.value > marks.value`

// clockRow is what a host last wrote.
type clockRow struct {
	view      clock.View
	now, line time.Time
	mono      time.Duration
	trusted   bool
	suspect   time.Time
}

func (tx *Tx) clocks() ([]clockRow, error) {
	return list(tx, func(row row) (clockRow, error) {
		var r clockRow
		var now, line, wall, mono, skew, trusted int64
		var suspect *int64
		err := row.Scan(&r.view.Host, &r.view.Beat, &now, &line, &mono, &wall, &skew, &trusted, &suspect)
		r.now, r.line, r.mono, r.trusted, r.suspect = instant(now), instant(line), time.Duration(mono), trusted != 0, instantOf(suspect)
		r.view.Wall, r.view.Skew = instant(wall), time.Duration(skew)*time.Millisecond
		return r, err
	}, "SELECT host, beat, now, line, mono, wall, skew, trusted, suspect FROM clocks ORDER BY host")
}

func (tx *Tx) mark() (mark time.Time, err error) {
	err = tx.each("SELECT value FROM marks WHERE name = 'now'", nil, func(row row) error {
		var ms int64
		err := row.Scan(&ms)
		mark = instant(ms)
		return err
	})
	return mark, err
}

// recall makes the clock go on from the latest time that the store knows.
func (t *timekeeper) recall(tx *Tx) error {
	var m clock.Mark
	later := func(at time.Time) {
		if at.After(m.Now) {
			m.Now = at
		}
	}
	mark, err := tx.mark()
	if err != nil {
		return err
	}
	later(mark)
	for _, q := range []string{
		"SELECT MAX(at) FROM (SELECT at FROM audit_checkpoints ORDER BY size DESC LIMIT 1) AS newest",
		"SELECT MAX(at) FROM (SELECT at FROM audit_records WHERE seq IS NULL ORDER BY id DESC LIMIT 1) AS newest",
	} {
		if err := tx.each(q, nil, func(row row) error {
			var ms *int64
			err := row.Scan(&ms)
			later(instantOf(ms))
			return err
		}); err != nil {
			return err
		}
	}
	rows, err := tx.clocks()
	if err != nil {
		return err
	}
	others := false
	for _, r := range rows {
		mine := r.view.Host == t.boot
		others = others || !mine
		later(r.now)
		if mine {
			m.Boot, m.Mono, m.Line = r.view.Host, r.mono, r.line
		}
		if !r.suspect.IsZero() && (m.Suspect.IsZero() || r.suspect.Before(m.Suspect)) {
			m.Suspect = r.suspect
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	mono := t.mono()
	t.keep = clock.New(m, t.boot, mono, t.own)
	t.keep.Raise(mark, mono)
	if others && !t.own {
		t.keep.Wait(mono + listenFor)
	}
	t.hear(rows, mono)
	return nil
}

// hear listens to what other hosts write, and does what that asks for.
func (t *timekeeper) hear(rows []clockRow, mono time.Duration) {
	views := make([]clock.View, len(rows))
	for i, r := range rows {
		views[i] = r.view
	}
	t.peers.Hear(views, mono)
}

// follow takes over what other replicas have trusted, and what the hosts agree on.
func (t *timekeeper) follow(mark time.Time, rows []clockRow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mono := t.mono()
	t.keep.Raise(mark, mono)
	t.hear(rows, mono)
	if t.own {
		return
	}
	others := rows[:0:0]
	for _, r := range rows {
		if r.view.Host != t.boot && t.peers.Lives(r.view.Host, mono) {
			others = append(others, r)
		}
	}
	if len(others) > 0 && t.keep.Waiting(mono) {
		for _, r := range others {
			t.keep.Raise(r.now, mono)
		}
		t.keep.Bind()
	}
	if st := t.keep.State(mono); st.Far && st.Ahead > 0 && t.peers.Agree(st.Wall, mono) {
		t.keep.Accept(st.Ahead, mono)
	}
}

// due reports whether it is time to write what this host sees.
func (t *timekeeper) due() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	mono := t.mono()
	every := markEvery
	if !t.keep.Read(mono).Trusted {
		every = markInDoubt
	}
	return t.wrote == 0 || mono-t.wrote >= every
}

// KeepTime compares the clocks with those of other replicas and keeps the
// high-water mark in the store, until ctx ends. Without it time goes on as well;
// a restart then knows less. failed is told when the store refuses it, once until it
// takes it again.
func (s *Store) KeepTime(ctx context.Context, failed func(error)) {
	t := time.NewTicker(markInDoubt)
	defer t.Stop()
	told := false
	for {
		if s.time.due() {
			err := s.MarkTime(ctx)
			if err != nil && !told && ctx.Err() == nil {
				failed(err)
			}
			told = err != nil
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// MarkTime does once what KeepTime does all the time.
func (s *Store) MarkTime(ctx context.Context) error {
	var mark time.Time
	var rows []clockRow
	if err := s.View(ctx, func(tx *Tx) (err error) {
		if mark, err = tx.mark(); err == nil {
			rows, err = tx.clocks()
		}
		return err
	}); err != nil {
		return err
	}
	s.time.follow(mark, rows)
	return s.Update(ctx, func(tx *Tx) error { return s.time.write(tx) })
}

// write writes what this host sees, and raises the mark where it is trusted.
func (t *timekeeper) write(tx *Tx) error {
	t.mu.Lock()
	mono := t.mono()
	st, m := t.keep.State(mono), t.keep.Mark(t.boot)
	t.wrote = mono
	t.mu.Unlock()
	if tx.at.Trusted {
		if _, err := tx.exec(saveMark, tx.now.UnixMilli()); err != nil {
			return err
		}
	}
	if t.boot == "" {
		return nil // there is nothing that another start or host could compare
	}
	var suspect *int64
	if !m.Suspect.IsZero() {
		ms := m.Suspect.UnixMilli()
		suspect = &ms
	}
	trusted := 0
	if st.Trusted {
		trusted = 1
	}
	if _, err := tx.exec(`INSERT INTO clocks (host, beat, now, line, mono, wall, skew, trusted, suspect) VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (host) DO UPDATE SET beat = clocks.beat + 1, now = excluded.now, line = excluded.line, mono = excluded.mono,
		wall = excluded.wall, skew = excluded.skew, trusted = excluded.trusted, suspect = excluded.suspect`,
		t.boot, m.Now.UnixMilli(), m.Line.UnixMilli(), int64(m.Mono), st.Wall.UnixMilli(), st.Skew.Milliseconds(), trusted, suspect); err != nil {
		return err
	}
	if t.own && st.Trusted { // boots of before
		_, err := tx.exec("DELETE FROM clocks WHERE host <> $1", t.boot)
		return err
	}
	return nil
}

// Clock describes the store's time at this moment.
func (s *Store) Clock() clock.State {
	s.time.mu.Lock()
	defer s.time.mu.Unlock()
	return s.time.keep.State(s.time.mono())
}

// AcceptClock takes a clock that is far away for the right one, if it still is
// ahead by about as much (negative: behind); see clock.Keeper. Whoever calls it
// has made sure that enough people have decided so.
func (s *Store) AcceptClock(ahead time.Duration) bool {
	s.time.mu.Lock()
	defer s.time.mu.Unlock()
	return s.time.keep.Accept(ahead, s.time.mono())
}
