package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"stint/internal/access"
)

// Limits of one convoy. Nobody shall wait long for others, and the longer a
// transaction lasts, the more others it can meet.
const (
	convoySize   = 64
	convoyTime   = 25 * time.Millisecond // after that nobody joins
	convoyThings = 64                    // one that is about more leads, or goes behind nobody
	// stuckAfter is for how long the database may let one statement of the
	// transaction under way wait before those behind it go alone: its connection may
	// be dead, or it waits for a lock that somebody holds. One that others in the same
	// transaction wait for has no longer than this for all that it does.
	stuckAfter = 2 * time.Second
)

// convoy lets what ends access share transactions on PostgreSQL, as the writer
// does on SQLite: one begin, one mark, one commit, and above all nobody to lose
// against, because identifiers ascend and those who come at one moment meet on the
// same pages of the same indexes.
//
//	BEGIN · fn · fn … · COMMIT · answers
//
// Each fn sees what those before it wrote, and gets its answer after the commit:
// also one that failed, because what it saw might not be committed. There are no
// savepoints. An fn that failed before it sent a write has left nothing, and the
// others go on. In any other case all is taken back: one that failed goes on alone,
// the others again without it, and those who lost against somebody else in halves.
//
// Alone means as any other change runs, in a turn of the two that ends have. So a
// convoy makes ends fast, and no end depends on it: where it is stuck, or its
// commit has no answer, nobody waits for it longer than for a change alone.
type convoy struct {
	e *postgresEngine

	mu      sync.Mutex
	waiting []*job
	running bool      // somebody sees to those who wait
	inside  bool      // a transaction is under way, and has a turn
	heard   time.Time // when it last had an answer, or began
}

// do runs fn with others and waits for the commit. It reports false when fn is to
// be run alone; then nothing of it is in the database, or will be.
func (c *convoy) do(ctx context.Context, things int, fn func(*Tx) error) (done bool, err error) {
	j := &job{ctx: ctx, fn: fn, answer: make(chan struct{}), ends: true, leads: things > convoyThings}
	c.add(j)
	stuck := time.NewTimer(stuckAfter)
	defer stuck.Stop()
	over := ctx.Done()
	for {
		select {
		case <-j.answer:
			if j.panic != nil {
				panic(j.panic)
			}
			return !j.alone, j.err
		case <-over:
			if j.taken.CompareAndSwap(false, true) {
				return true, gaveUp(ctx.Err()) // it will not run
			}
			over = nil // it runs; the outcome is known in a moment
		case <-stuck.C:
			left := c.patience()
			if left <= 0 {
				if j.taken.CompareAndSwap(false, true) {
					return false, nil
				}
				continue
			}
			stuck.Reset(left)
		}
	}
}

func (c *convoy) add(j *job) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, j)
	if !c.running {
		c.running = true
		go c.run()
	}
}

// patience is for how long the transaction under way may go on without an answer
// before it counts as stuck. One that waits for its turn does not: whoever went
// alone would wait for the same.
func (c *convoy) patience() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.inside {
		return stuckAfter
	}
	return stuckAfter - time.Since(c.heard)
}

func (c *convoy) goesOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inside, c.heard = true, time.Now()
}

func (c *convoy) isOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inside = false
}

// run sees to those who wait until nobody does.
func (c *convoy) run() {
	for {
		j := c.take(true)
		if j == nil {
			return
		}
		c.carry([]*job{j}, true)
	}
}

// take gives who is next, or nil. One that has to lead is given only to lead.
func (c *convoy) take(lead bool) *job {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.waiting) > 0 {
		j := c.waiting[0]
		if j.leads && !lead {
			return nil
		}
		c.waiting[0] = nil
		c.waiting = c.waiting[1:]
		if !j.taken.CompareAndSwap(false, true) { // its caller has given up
			continue
		}
		if err := j.ctx.Err(); err != nil {
			j.finish(gaveUp(err))
			continue
		}
		return j
	}
	if lead {
		c.waiting, c.running = nil, false
	}
	return nil
}

// carry brings members to their answers, and with more also who waits behind them.
func (c *convoy) carry(members []*job, more bool) {
	if len(members) == 1 && !more {
		members[0].goAlone()
		return
	}
	members, how, apart := c.attempt(members, more)
	switch how {
	case arrived:
		return
	case halved:
		if len(members) > 1 {
			half := len(members) / 2
			c.carry(members[:half], false)
			c.carry(members[half:], false)
			return
		}
	case without:
		apart.goAlone()
		if members = slices.DeleteFunc(members, func(j *job) bool { return j == apart }); len(members) > 0 {
			c.carry(members, false)
		}
		return
	}
	for _, j := range members {
		j.goAlone()
	}
}

// fate is what became of a convoy.
type fate uint8

const (
	arrived   fate = iota // all have their answers
	halved                // it lost against somebody else
	without               // one failed, and what it wrote had to be taken back
	scattered             // nothing is known of why; each for itself
)

// attempt runs members in one transaction. It answers all, or none, and then
// nothing of them is in the database.
func (c *convoy) attempt(members []*job, more bool) (all []*job, how fate, apart *job) {
	e, first := c.e, members[0]
	if err := e.endsTurns.enter(first.ctx); err != nil {
		return members, without, first
	}
	defer e.endsTurns.leave()
	c.goesOn()
	defer c.isOver()
	id, err := e.s.ids.next(e.s.time.read().Now.UnixMilli())
	if err != nil {
		return members, scattered, nil
	}
	when := inTurn
	if !more { // they have lost already
		when = goAhead
	}
	db, at, err := e.begin(first.ctx, "ISOLATION LEVEL SERIALIZABLE", when, id)
	if err != nil {
		return members, scattered, nil
	}
	db.heard = c.goesOn
	begun, records, wrote := time.Now(), 0, false
	var until time.Time // when the time of one of them is up
	for i, now := 0, e.s.time.take(at); ; i, now = i+1, e.s.time.read() {
		if i == len(members) {
			if !more || i == convoySize || time.Since(begun) > convoyTime {
				break
			}
			j := c.take(false)
			if j == nil {
				break
			}
			members = append(members, j)
		}
		j := members[i]
		if end, ok := j.ctx.Deadline(); ok {
			until = sooner(until, end)
		}
		tx := e.s.newTx(j.ctx, db, now)
		end, cancel := until, func() {} // nobody waits longer than he may for the others
		if len(members) > 1 {
			end = sooner(end, time.Now().Add(stuckAfter))
		}
		if !end.IsZero() {
			tx.ctx, cancel = context.WithDeadline(j.ctx, end)
		}
		j.err, j.panic = nil, nil
		j.err = j.run(tx)
		cancel()
		switch {
		case j.err == nil && j.panic == nil:
			records, wrote = records+tx.records, true
		case tx.wrote || db.failed || j.panic != nil:
			db.rollback()
			if db.repeat {
				return members, halved, nil
			}
			return members, without, j
		}
	}
	if !wrote { // all of them failed
		db.rollback()
		return members, c.arrive(members), nil
	}
	result, err := e.commit(first.ctx, db, id)
	switch {
	case err == nil && records > 0:
		e.s.records.send()
	case result == conflict:
		return members, halved, nil
	case err != nil && !unknown(err):
		return members, scattered, nil
	case err != nil: // who wrote nothing may run again; who wrote must not
		for _, j := range members {
			if j.err != nil {
				j.alone = true
			}
			j.err = err
		}
	}
	return members, c.arrive(members), nil
}

// sooner is the first of two times; the zero time is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// arrive gives members their answers.
func (c *convoy) arrive(members []*job) fate {
	for _, j := range members {
		close(j.answer)
	}
	return arrived
}

// goAlone lets the caller run it. Nothing of it may be in the database.
func (j *job) goAlone() {
	j.alone, j.err, j.panic = true, nil, nil
	close(j.answer)
}

// unknown reports whether err says that a commit may have happened.
func unknown(err error) bool {
	var ours *access.Error
	return errors.As(err, &ours) && ours.Code == "commit-unknown"
}
