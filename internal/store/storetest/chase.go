package storetest

import (
	"errors"
	"testing"
	"time"

	"stint/internal/access"
)

// chase: when a request is next to be called to mind counts from when its stage was
// opened, which a vote says. A store that leaves the votes out has it due again and
// again, with nothing to do.
func chase(t *testing.T, s Store, clock *Clock) {
	stages := access.Decision{Effect: access.Approve, Policy: "orders-read", Documents: 3, MaxDuration: time.Hour, RemindAfter: 20 * time.Minute,
		Approvals: []access.Requirement{{From: []access.Subject{"group:dba"}, Count: 1}, {From: []access.Subject{"group:owners"}, Count: 1, Stage: 2}}}
	var r access.Request
	update(t, s, func(tx Tx) (err error) { r, err = Submit(tx, stages); return err })
	due := func() (ids []access.RequestID) {
		for _, r := range read(t, s, func(tx Tx) ([]access.Request, error) { return tx.DueRequests(10) }) {
			ids = append(ids, r.ID)
		}
		return ids
	}
	clock.Set(clock.Now().Add(5 * time.Minute))
	update(t, s, func(tx Tx) error {
		next, ev, err := r.Vote(DBA, access.Actor{Principal: DBA.ID, Person: DBA.Person}, access.Vote{Approve: true, Seen: r.Digest}, tx.Now())
		r = next
		return errors.Join(err, tx.SaveRequests(next), tx.Append(ev))
	})
	at := clock.Now().Add(20 * time.Minute)
	if next := read(t, s, Tx.NextDue); !next.Equal(at) {
		t.Errorf("next due %v, want %v: twenty minutes after the second stage was opened", next, at)
	}
	clock.Set(at.Add(-time.Millisecond))
	if got := due(); len(got) != 0 {
		t.Errorf("due before its time: %v", got)
	}
	clock.Set(at)
	if got := due(); len(got) != 1 || got[0] != r.ID {
		t.Errorf("due: %v, want %s", got, r.ID)
	}
}
