package broker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"stint/internal/access"
)

// A glance tells the loops that look for what nearly never is there whether it is
// there: in the snapshot in which the due loop found nothing due, instead of in one
// snapshot for each of them. It only ever saves a look. Where there is none, or an old
// one, as with a store that is busy or away, each loop looks for itself.
type glance struct {
	at         time.Time // the host's, before it was read
	documents  access.Edition
	quarantine Quarantine
	watched    bool // a grant ends on logout or idle
	lasting    bool // a grant has lasting conditions
	residues   bool // an answer about residue is due
	before     *glance
}

// glanceAgain is how long none is taken after one failed: what is due must not
// wait for what is only looked at in passing.
const glanceAgain = 10 * time.Second

// says reports whether two glances say the same.
func (g *glance) says(o *glance) bool {
	return o != nil && g.documents == o.documents && g.quarantine.Kind == o.quarantine.Kind && g.watched == o.watched && g.lasting == o.lasting && g.residues == o.residues
}

// glances keeps the newest glance.
type glances struct {
	each   time.Duration // how long an idle due loop sleeps
	newest atomic.Pointer[glance]
	failed atomic.Int64 // the host's time in ns; 0: never

	mu    sync.Mutex
	moved chan struct{} // closed when the next glance says something else, or does not come
	old   *time.Timer   // closes it when the newest is too old to rely on
}

// news gives a channel that is closed once a glance says something else than the
// one before, or none has come for so long that the newest is not good any more.
func (s *glances) news() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.moved == nil {
		s.moved = make(chan struct{})
	}
	return s.moved
}

func (s *glances) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.moved != nil {
		close(s.moved)
		s.moved = nil
	}
}

// keep makes a glance the newest one. Only the due loop calls it.
func (s *glances) keep(g *glance) {
	was := s.newest.Load()
	if g.before = was; was != nil {
		old := *was
		old.before, g.before = nil, &old
	}
	s.newest.Store(g)
	if good := s.lasts() - time.Since(g.at); s.old == nil {
		s.old = time.AfterFunc(good, s.tell)
	} else {
		s.old.Reset(good)
	}
	if !g.says(was) {
		s.tell()
	}
}

// unless calls f at once and then each d until ctx ends, as every does, but for the
// times at which the glances of the moment say that it is idle: those it sleeps
// through. What they do not say, because none comes, is looked for each d as ever.
func (s *glances) unless(ctx context.Context, d time.Duration, idle func(*glance) bool, f func()) {
	last := time.Now()
	t := time.NewTimer(d)
	defer t.Stop()
	for ctx.Err() == nil {
		news := s.news() // before the look: what moves after it is not missed
		switch g := s.good(); {
		case g == nil || !idle(g):
			f()
			if late := time.Since(last); late >= d {
				last = last.Add(late.Truncate(d))
				continue
			}
		case idle(s.newest.Load()):
			select {
			case <-ctx.Done():
				return
			case <-news:
			}
		}
		last = last.Add(time.Since(last).Truncate(d))
		t.Reset(time.Until(last.Add(d)))
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			last = last.Add(d)
		}
	}
}

// lasts is how old one may be: no look of an idle loop comes later than the next one.
// What began since is seen then.
func (s *glances) lasts() time.Duration { return s.each * 11 / 10 }

// due reports whether it is time for another one. Each look of an idle loop takes one.
func (s *glances) due(now time.Time) bool {
	last := s.newest.Load()
	return (last == nil || now.Sub(last.at) >= s.each*9/10) && now.Sub(time.Unix(0, s.failed.Load())) >= glanceAgain
}

// good gives the newest one; nil if that is too old to rely on. One that was taken
// this moment does not count yet, but the one before it: loops that wake together see
// the same, whichever is first.
func (s *glances) good() *glance {
	g := s.newest.Load()
	if g != nil && time.Since(g.at) < time.Millisecond {
		g = g.before
	}
	if g != nil && time.Since(g.at) <= s.lasts() {
		return g
	}
	return nil
}

// glanceAt reads one in a snapshot that is there anyway.
func (b *Broker) glanceAt(tx Tx, now time.Time) (*glance, error) {
	g := &glance{at: now}
	var err error
	if g.documents, err = tx.DocumentsEdition(); err != nil {
		return nil, err
	}
	if g.quarantine, err = readQuarantine(tx, QuarantineSetting); err != nil {
		return nil, err
	}
	some := func(q access.GrantQuery) (bool, error) {
		q.Limit = 1
		gs, err := tx.Grants(q)
		return len(gs) > 0, err
	}
	if g.watched, err = some(access.GrantQuery{Watched: true, States: []access.GrantState{access.Active}}); err != nil {
		return nil, err
	}
	if g.lasting, err = some(access.GrantQuery{Conditional: true, States: []access.GrantState{access.Provisioning, access.Active}}); err != nil {
		return nil, err
	}
	rs, err := tx.DueResidues(1)
	g.residues = len(rs) > 0
	return g, err
}

// glanced keeps a glance and wakes who would find it late: grants are decided again
// under new documents, and where conditions have come to last.
func (b *Broker) glanced(g *glance) {
	was := b.glances.newest.Load()
	b.glances.keep(g)
	if was != nil && was.documents != g.documents && was.documents.Version == g.documents.Version {
		b.again.Store(true) // a failover took those back, and these have their number
	}
	if was == nil || was.documents != g.documents || g.lasting && !was.lasting {
		b.nudge()
	}
}
