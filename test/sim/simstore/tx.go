package simstore

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/audit"
	"stint/internal/broker"
)

// Tx is one transaction. After an error other than access.NotFound it will not
// be committed.
type Tx struct {
	s        *Store
	now      time.Time
	unsure   error
	readOnly bool
	undo     []func()
	err      error // the first failure; it dooms the transaction
}

var _ broker.Tx = (*Tx)(nil)

// Now is the store's time.
func (tx *Tx) Now() time.Time { return tx.now }

// Certain is what the clock of the transaction says, and Unsure.
func (tx *Tx) Certain() error { return tx.unsure }

func (tx *Tx) fail(err error) error {
	if tx.err == nil {
		tx.err = err
	}
	var ours *access.Error
	if errors.As(err, &ours) && ours.Code == "rule-broken" {
		tx.s.broken = append(tx.s.broken, ours.Why)
	}
	return err
}

// writes reports why nothing can be written.
func (tx *Tx) writes() error {
	if tx.err == nil && tx.readOnly {
		return tx.fail(access.Fail(access.Internal, "read-only", "a view cannot write"))
	}
	return tx.err
}

func (tx *Tx) undone(fn func()) { tx.undo = append(tx.undo, fn) }

// The errors of the real store.

func taken(what string) error {
	return access.Fail(access.Conflict, "already-there", "somebody else made it already").Because(what).Try("read it again and repeat")
}

func broken(rule string) error {
	return access.Fail(access.Internal, "rule-broken", "the store refused a change that breaks a rule").Because(rule)
}

func changed(noun string, id any, version int64) error {
	return access.Fail(access.Conflict, "changed-meanwhile", fmt.Sprintf("the %s %v was changed meanwhile", noun, id)).
		Because(fmt.Sprintf("version %d does not follow the one that is stored", version)).Try("read it again and repeat")
}

func missing(what string) error {
	return access.Fail(access.NotFound, "no-such-"+what, "there is no such "+what)
}

// never is the time of what is not due.
const never = math.MinInt64

func millis(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return t.UnixMilli()
}

// instant is a time as it is stored: whole milliseconds, UTC.
func instant(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMilli(t.UnixMilli()).UTC()
}

func timeOf(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// limited is the page size for what was asked.
func limited(asked, usual, most int) int {
	if asked <= 0 {
		return usual
	}
	return min(asked, most)
}

// record names an audit record.
type record struct {
	entity  string
	version int64
}

// Append writes events to the audit log, one for each version of an entity.
func (tx *Tx) Append(evs ...access.Event) error {
	if err := tx.writes(); err != nil {
		return err
	}
	s := tx.s
	for _, ev := range evs {
		ev = cloneEvent(ev)
		encoded, err := audit.Append(s.scratch[:0], audit.Record{ID: "rec_00000000000000000000000000", Event: ev})
		if err != nil {
			return tx.fail(err)
		}
		s.scratch = encoded
		key := record{ev.Entity, ev.Version}
		dense := s.versions[ev.Entity]
		switch {
		case ev.Version <= dense, s.odd[key]:
			return tx.fail(taken(fmt.Sprintf("the audit record of %s, version %d", ev.Entity, ev.Version)))
		case ev.Version == dense+1:
			s.versions[ev.Entity] = ev.Version
			tx.undone(func() { s.versions[ev.Entity] = dense })
		default: // one is missing before it
			s.odd[key] = true
			tx.undone(func() { delete(s.odd, key) })
		}
		n := len(s.log)
		if n == cap(s.log) {
			s.log = slices.Grow(s.log, n+1) // the half again that append would take is copied often
		}
		s.log = append(s.log, ev)
		tx.undone(func() { s.log = s.log[:n:n] }) // what was given to readers stays as it is
	}
	return nil
}
