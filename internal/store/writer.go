package store

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/clock"
)

// Limits of one group: a commit is one sync of the disk, shared by all that
// wait for it, but nobody shall wait long for others.
const (
	groupSize = 256
	groupTime = 10 * time.Millisecond
)

// writer is the one goroutine that writes to SQLite. It runs the transactions
// that wait in one transaction of the database, each but the first behind a
// savepoint of its own, and answers all of them after the commit: also those that failed, because
// what they saw might not be committed.
//
//	BEGIN · fn [ ROLLBACK BEGIN ] · [ SAVEPOINT fn RELEASE | ROLLBACK TO ]… · COMMIT · answers
//
// What ends access goes before everything else that waits. After a large one of
// these, the others have one group to themselves, so that a storm of ends delays
// them and does not stop them. Among the others, those on whose behalf it is take
// turns.
//
// After an error of the disk the connection is thrown away and a new one taken
// before anything else is written: what a file says after a sync that failed is
// not to be believed, and neither is what a connection remembers of it.
type writer struct {
	s      *Store
	db     *sqliteSession // owned by loop
	broken bool           // db has met an error of the disk
	reopen func(broken *sqliteSession) (*sqliteSession, error)
	now    func() clock.Reading

	mu         sync.Mutex
	ends, rest line[*job] // waiting
	restNext   bool       // the others lead the next group
	more       chan struct{}

	quit chan struct{}
	once sync.Once
	done chan struct{}
}

// job is one transaction on its way. taken is set by whoever decides its fate
// first: the writer, or the caller who gives up waiting.
type job struct {
	ctx     context.Context
	fn      func(*Tx) error
	taken   atomic.Bool
	answer  chan struct{}
	err     error // read after answer is closed, as are the others
	panic   any
	records int
	ends    bool // ends access
	leads   bool // is known to be large: runs only as the first of a group
	alone   bool // of a convoy: is to run alone
	large   bool // has shown to be large: is to run again, as the first of a group
}

func newWriter(s *Store, db *sqliteSession, reopen func(*sqliteSession) (*sqliteSession, error), now func() clock.Reading) *writer {
	w := &writer{s: s, db: db, reopen: reopen, now: now, more: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	go w.loop()
	return w
}

// do runs fn in a transaction and waits for its commit.
func (w *writer) do(ctx context.Context, fn func(*Tx) error) error {
	things, ends := endsOf(ctx)
	j := &job{ctx: ctx, fn: fn, answer: make(chan struct{}), ends: ends, leads: things > behindSavepoint/writesPerEnd}
	if !w.add(j) {
		return errClosed
	}
	select {
	case <-j.answer:
	case <-w.done: // nothing runs any more; what ran has its answer
		select {
		case <-j.answer:
		default:
			return errClosed
		}
	case <-ctx.Done():
		if j.taken.CompareAndSwap(false, true) {
			return gaveUp(ctx.Err()) // it will not run
		}
		<-j.answer // it runs; the outcome is known in a moment
	}
	if j.panic != nil {
		panic(j.panic)
	}
	return j.err
}

// add lets a job wait for its turn; false once the writer is stopped.
func (w *writer) add(j *job) bool {
	select {
	case <-w.quit:
		return false
	default:
	}
	w.mu.Lock()
	if j.ends {
		w.ends.push("", j) // as they come
	} else {
		w.rest.push(behalfOf(j.ctx), j)
	}
	w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
	return true
}

// take gives the job whose turn it is, or nil. One that has to lead a group is
// given only to lead.
func (w *writer) take(lead bool) *job {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		from := &w.ends
		if w.ends.empty() || w.restNext && !w.rest.empty() {
			from = &w.rest
		}
		if from.empty() || !lead && from.first().leads {
			return nil
		}
		j := from.pop()
		if j.taken.CompareAndSwap(false, true) { // its caller has not given up
			return j
		}
	}
}

// stop waits for the group under way. What still waits is refused.
func (w *writer) stop() {
	w.once.Do(func() { close(w.quit) })
	<-w.done
}

func (w *writer) loop() {
	defer close(w.done)
	for {
		select {
		case <-w.quit:
			return
		case <-w.more:
		}
		for j := w.take(true); j != nil; j = w.take(true) {
			w.group(j, false)
			w.mu.Lock()
			w.restNext = j.leads
			w.mu.Unlock()
			select {
			case <-w.quit:
				return
			default:
			}
		}
	}
}

// group runs first, which is taken, and, unless it shall be alone, whatever waits
// behind it, and commits.
func (w *writer) group(first *job, alone bool) {
	if w.broken {
		db, err := w.reopen(w.db)
		if err != nil {
			first.finish(err)
			return
		}
		w.db, w.broken = db, false
	}
	if err := w.db.do("BEGIN IMMEDIATE"); err != nil {
		first.finish(w.met(classifySQLite(err)))
		return
	}
	begun := time.Now()
	members := make([]*job, 0, 8)
	var large *job
	for j := first; j != nil; j = w.next(len(members), begun) {
		members = append(members, j)
		run := w.runOne
		if j == first {
			run = w.runFirst
		}
		if err := run(j); err != nil { // the whole transaction is lost
			w.abandon(members, w.met(classifySQLite(err)))
			return
		}
		if j.large {
			large, members = j, members[:len(members)-1]
		}
		if alone || large != nil {
			break
		}
	}
	if large != nil {
		defer w.restart(large)
	}
	if err := w.db.do("COMMIT"); err != nil {
		w.abandon(members, w.met(commitFailed(err)))
		return
	}
	records := 0
	for _, j := range members {
		if j.err == nil {
			records += j.records
		}
	}
	if records > 0 {
		w.s.records.send()
	}
	for _, j := range members {
		close(j.answer)
	}
}

// next gives the job to run in the same group, if one waits and there is room.
func (w *writer) next(size int, begun time.Time) *job {
	if size < groupSize && time.Since(begun) < groupTime {
		return w.take(false)
	}
	return nil
}

// runFirst runs the first job of a group, without a savepoint: if it fails,
// nothing of others is in the transaction, which is taken back and begun anew.
//
// A large transaction behind a savepoint is slow. With each statement SQLite
// goes through a list of all pages that the savepoint has kept: ending a thousand
// grants took five seconds that way. One that turns out to be large behind others
// is taken back and becomes the first of the next group.
func (w *writer) runFirst(j *job) error {
	tx := w.s.newTx(j.ctx, w.db, w.now())
	j.err = w.met(j.run(tx))
	j.records = tx.records
	if j.err == nil && j.panic == nil {
		return nil
	}
	if err := w.db.do("ROLLBACK"); err != nil && !noTransaction(err) {
		return err
	}
	return w.db.do("BEGIN IMMEDIATE")
}

// runOne runs a job behind a savepoint. Its own failure is kept in the job; the
// error returned is one that takes the group down.
func (w *writer) runOne(j *job) error {
	if err := w.db.do("SAVEPOINT fn"); err != nil {
		return err
	}
	tx := w.s.newTx(j.ctx, w.db, w.now())
	tx.budget = behindSavepoint
	j.err = w.met(j.run(tx))
	if j.large = errors.Is(tx.err, errLarge); j.large {
		j.panic = nil // whatever fn made of being stopped, it runs again
	}
	if j.err != nil || j.panic != nil {
		if err := w.db.do("ROLLBACK TO fn"); err != nil {
			return err
		}
	}
	j.records = tx.records
	return w.db.do("RELEASE fn")
}

// behindSavepoint is how many writes make a transaction large, and writesPerEnd
// about how many one end takes.
const (
	behindSavepoint = 200
	writesPerEnd    = 6
)

var errLarge = access.Fail(access.Unavailable, "too-large", "the transaction is too large for a group")

// restart runs a job again, first in a new group.
func (w *writer) restart(j *job) {
	j.err, j.large = nil, false
	w.group(j, false)
}

// run calls fn and catches a panic, which belongs to the caller's goroutine.
func (j *job) run(tx *Tx) error {
	defer func() { j.panic = recover() }()
	return tx.run(j.fn)
}

func (j *job) finish(err error) {
	j.err = err
	close(j.answer)
}

// abandon ends a group whose transaction broke. Where there were several, each
// gets a second chance in a transaction alone: one of them may have been too
// much, like a change that fills the disk.
func (w *writer) abandon(members []*job, cause error) {
	if err := w.db.do("ROLLBACK"); err != nil && !noTransaction(err) {
		cause = errors.Join(cause, err)
	}
	for _, j := range members {
		if len(members) == 1 {
			if access.KindOf(j.err) != access.Unavailable { // else it says what broke
				j.err = cause
			}
			close(j.answer)
			continue
		}
		j.err, j.panic, j.large = nil, nil, false
		w.group(j, true)
	}
}

// met notes an error after which the connection is not used again.
func (w *writer) met(err error) error {
	w.broken = w.broken || diskFailed(err)
	return err
}

// commitFailed is an error of COMMIT. If the disk failed half-way, a crash right
// now could bring the change back to life.
func commitFailed(err error) error {
	if err = classifySQLite(err); diskFailed(err) {
		return unknownCommit(err)
	}
	return err
}

// noTransaction reports that SQLite has rolled back by itself already.
func noTransaction(err error) bool {
	return err != nil && strings.Contains(err.Error(), "no transaction is active")
}
