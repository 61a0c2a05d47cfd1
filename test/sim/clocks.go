package sim

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/clock"
)

// Every replica runs on a host of its own, with two clocks that can be wrong: one that
// tells the date, and can be set to anything or stand still, and a monotonic one, which
// nobody sets and which is off by up to 500 parts in a million. The database has a
// third, the authority. A clock.Keeper in each replica makes one time of them, as in
// the real store (internal/store/time.go), and what it keeps in tables is here.

// What may be off by clocks that are wrong: two walls that are each believed within
// clock.Uncertainty, a line that was drawn to a wall which was Near, and the drift of
// two hours.
const clockSlack = 2*clock.Uncertainty + clock.Near + 4*time.Second

// How often what is seen of clocks is written, and how long others are listened for
// after a start; as in the real store.
const (
	markEvery   = 3 * time.Second
	markInDoubt = time.Second
	listenFor   = markEvery + 2*time.Second
)

// host is what outlives the processes of one replica.
type host struct {
	boot   string
	ppm    int64         // by which the monotonic clock is fast
	offset time.Duration // by which the wall clock is ahead of true time
	frozen time.Time     // what the wall clock says while it stands still; else zero
	row    clockRow
}

// clockRow is what a host last wrote for the others, and for itself after a restart.
type clockRow struct {
	view clock.View
	mark clock.Mark
}

// clocks are the tables of the store that are about time.
type clocks struct {
	mu    sync.Mutex // reads of the store are not in the order of steps
	mark  time.Time  // the latest time that was given while trusted
	hosts []*host
}

// hostClock is the clock of one life of a replica.
type hostClock struct {
	w     *world
	h     *host
	keep  *clock.Keeper
	peers clock.Peers
	views []clock.View // room for what hear reads
	wrote time.Duration
	// doubts says that the last reading was not to be trusted.
	doubts bool
}

// raiseHosts makes the hosts: with clocks that are nearly right.
func (w *world) raiseHosts() {
	for i := range w.swarm.replicas {
		h := &host{boot: fmt.Sprint("host", i)}
		if w.swarm.hostClocks > 0 || w.swarm.clockSteps > 0 {
			h.ppm = w.rng.Int64N(1001) - 500
			h.offset = w.between(-100*time.Millisecond, 100*time.Millisecond)
		}
		w.clocks.hosts = append(w.clocks.hosts, h)
	}
}

func (h *host) mono(w *world) time.Duration {
	up := w.now().Sub(w.began) + time.Hour
	return up + time.Duration(int64(up)/1_000_000*h.ppm)
}

func (h *host) wall(w *world) time.Time {
	if !h.frozen.IsZero() {
		return h.frozen
	}
	return w.now().Add(h.offset)
}

// newClock begins the clock of a process: it goes on from what the store knows.
func (w *world) newClock(id int) *hostClock {
	t := &w.clocks
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &hostClock{w: w, h: t.hosts[id]}
	mono, m := c.h.mono(w), clock.Mark{Now: t.mark}
	others := false
	for _, h := range t.hosts {
		switch r := h.row; {
		case r.view.Beat == 0:
		case h == c.h:
			now := m.Now
			m = r.mark
			m.Now = latest(now, m.Now)
		default:
			others = true
		}
	}
	c.keep = clock.New(m, c.h.boot, mono, false)
	c.keep.Raise(t.mark, mono)
	if others {
		c.keep.Wait(mono + listenFor)
	}
	c.hear(mono)
	return c
}

// read asks the database what time it is, and says what is believed.
func (c *hostClock) read() (time.Time, error) {
	t := &c.w.clocks
	t.mu.Lock()
	defer t.mu.Unlock()
	mono := c.h.mono(c.w)
	every := markEvery
	if c.doubts {
		every = markInDoubt
	}
	meet := c.wrote == 0 || mono-c.wrote >= every
	if meet {
		c.follow(mono)
	}
	at := c.keep.Take(clock.Sample{Wall: c.w.now().Add(c.w.skew), Mono: mono, Width: time.Millisecond, Host: c.h.wall(c.w)})
	c.doubts = !at.Trusted
	if meet {
		c.write(mono, at)
	}
	if at.Trusted {
		return at.Now, nil
	}
	return at.Now, access.Fail(access.Unavailable, "clock-unsure", "nothing new is granted while the clock is in doubt").Because(at.Why)
}

func (c *hostClock) hear(mono time.Duration) {
	c.views = c.views[:0]
	for _, h := range c.w.clocks.hosts {
		if h.row.view.Beat > 0 {
			c.views = append(c.views, h.row.view)
		}
	}
	c.peers.Hear(c.views, mono)
}

// follow takes over what others have trusted, and what the hosts agree on.
func (c *hostClock) follow(mono time.Duration) {
	t := &c.w.clocks
	c.keep.Raise(t.mark, mono)
	c.hear(mono)
	lives := false
	for _, h := range t.hosts {
		if h != c.h && c.peers.Lives(h.boot, mono) && c.keep.Waiting(mono) {
			c.keep.Raise(h.row.mark.Now, mono)
			lives = true
		}
	}
	if lives {
		c.keep.Bind()
	}
	if st := c.keep.State(mono); st.Far && st.Ahead > 0 && c.peers.Agree(st.Wall, mono) {
		c.keep.Accept(st.Ahead, mono)
	}
}

func (c *hostClock) write(mono time.Duration, at clock.Reading) {
	st := c.keep.State(mono)
	c.wrote = mono
	if at.Trusted {
		c.w.clocks.mark = latest(c.w.clocks.mark, at.Now)
	}
	c.h.row = clockRow{view: clock.View{Host: c.h.boot, Beat: c.h.row.view.Beat + 1, Wall: st.Wall, Skew: st.Skew}, mark: c.keep.Mark(c.h.boot)}
}

// The steps of clocks.

// jump draws by how much somebody, or a broken battery, sets a clock wrong.
func (w *world) jump() time.Duration {
	by := w.between(time.Second, 3*time.Minute)
	switch {
	case w.chance(0.3):
		by = w.between(3*time.Minute, 48*time.Hour)
	case w.chance(0.1):
		by = 10 * 365 * 24 * time.Hour
	}
	if w.chance(0.5) {
		return -by
	}
	return by
}

// stepClock sets the database's clock wrong, and a while later right.
func (w *world) stepClock() {
	if w.skew != 0 {
		return
	}
	w.skew = w.jump()
	if w.skew < 0 {
		w.sometimes("the store's clock is set back")
	} else {
		w.sometimes("the store's clock is set ahead")
	}
	w.clockTrouble(func() { w.skew = 0 })
}

// stepHost does so with the clock of one host, or lets it stand still.
func (w *world) stepHost() {
	h := pick(w.sched, w.clocks.hosts)
	if h.offset.Abs() >= time.Second || !h.frozen.IsZero() {
		return
	}
	if w.chance(0.3) {
		h.frozen = h.wall(w)
		w.sometimes("a replica's clock stands still")
	} else {
		h.offset += w.jump()
		w.sometimes("a replica's clock is set wrong")
	}
	right := w.between(-100*time.Millisecond, 100*time.Millisecond)
	w.clockTrouble(func() { h.offset, h.frozen = right, time.Time{} })
}

// clockTrouble is there until somebody sets the clock right. Ends stay where they are;
// only what is being set up may fail.
func (w *world) clockTrouble(right func()) {
	w.oracle.slack = clockSlack
	lasts := w.between(20*time.Second, 8*time.Minute)
	w.disturb("", w.now().Add(lasts))
	w.in(lasts, "clock", "set right", func() {
		right()
		w.disturb("", w.now())
	})
}

// grants are the records of what must not happen while time is in doubt.
var grants = map[access.EventType]bool{access.GrantCreated: true, access.GrantStarted: true, access.GrantExtended: true, access.CredentialShown: true}

// inDoubt looks at a transaction whose time was not to be trusted: it may end
// things, and give nobody anything.
func (w *world) inDoubt(r *replica, before int, doubt, err error) {
	if doubt == nil {
		return
	}
	w.oracle.doubtAt = w.now()
	var e *access.Error
	if errors.As(err, &e) && e.Code == "clock-unsure" {
		w.sometimes("nothing is granted in doubt about time")
	}
	log := w.store.Log()
	for _, ev := range log[min(before, len(log)):] {
		switch {
		case grants[ev.Type]:
			w.fail("clock", "%s: %s of %s although the time is in doubt: %v", r.name(), ev.Type, ev.Entity, doubt)
		case ev.Type == access.GrantEnding:
			w.sometimes("access ends in doubt about time")
		}
	}
}

// driftSlack is by how much the time of a replica may be off although nobody sets a
// clock: by the drift of the longest grant.
func (w *world) driftSlack() time.Duration {
	if w.swarm.hostClocks > 0 || w.swarm.clockSteps > 0 {
		return clock.Uncertainty
	}
	return 0
}
