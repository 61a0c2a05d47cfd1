package storetest

import (
	"errors"
	"testing"
	"time"

	"stint/internal/access"
)

// tallies: lines say of each request and grant what it says itself, of the time that was
// asked for and no other, and votes are counted where they were given.
func tallies(t *testing.T, s Store) {
	now := storeNow(t, s)
	q := access.TallyQuery{Since: now.Add(-time.Hour), Limit: 100}
	old := access.NewRequestID(now.Add(-2*time.Hour).UnixMilli(), entropy())
	var at, asked access.Request
	update(t, s, func(tx Tx) (err error) {
		if _, err = Submit(tx, Approve, func(r *access.Request) { r.ID = old }); err != nil {
			return err
		}
		asked, err = Submit(tx, Approve)
		return err
	})
	update(t, s, func(tx Tx) error {
		r, ev, err := asked.Vote(DBA, access.Actor{Principal: DBA.ID, Person: DBA.Person}, access.Vote{Approve: true, Seen: asked.Digest}, tx.Now())
		at = r
		return errors.Join(err, tx.SaveRequests(r), tx.Append(ev))
	})
	b := Active(t, s, func(r *access.Request) { r.Targets = append(r.Targets, TargetNamed("stock-db")) })
	failed := NewGrant(t, s, "w1")

	lines := read(t, s, func(tx Tx) ([]access.RequestLine, error) { return tx.RequestLines(q) })
	of := map[access.RequestID]access.RequestLine{}
	for i, l := range lines {
		of[l.ID] = l
		if i > 0 && lines[i-1].ID <= l.ID {
			t.Errorf("%s comes before %s", lines[i-1].ID, l.ID)
		}
	}
	if _, there := of[old]; there || len(lines) != 3 {
		t.Errorf("lines of %d requests, want 3; the old one is there: %v", len(lines), there)
	}
	diff(t, of[asked.ID], access.RequestLine{ID: asked.ID, Principal: asked.Principal, Resource: "orders-db", Role: asked.Role, State: access.RequestIsGranted,
		Needed: 1, Voted: at.Approvals[0].At, CreatedAt: asked.CreatedAt})
	if l := of[b.Grant.Request]; l.Setup != access.Active || l.Needed != 0 || !l.Voted.IsZero() {
		t.Errorf("one that was granted at once: %+v", l)
	}
	if l := of[failed.Grant.Request]; l.Setup != access.Provisioning {
		t.Errorf("one that is being set up: %+v", l)
	}
	if all := read(t, s, func(tx Tx) ([]access.RequestLine, error) {
		return tx.RequestLines(access.TallyQuery{Since: q.Since, Limit: 2})
	}); len(all) != 2 || all[0].ID != lines[0].ID {
		t.Errorf("two lines: %+v", all)
	}

	counts := func() []access.VoteCount {
		return read(t, s, func(tx Tx) ([]access.VoteCount, error) { return tx.VoteCounts(q) })
	}
	quick := int64(0)
	if at.Approvals[0].At.Sub(asked.CreatedAt) < access.QuickVote {
		quick = 1
	}
	diff(t, counts(), []access.VoteCount{{By: DBA.ID, Day: at.Approvals[0].At.UnixMilli() / 86_400_000, Yes: 1, Quick: quick}})

	grants := func(q access.TallyQuery) map[access.GrantID]access.GrantLine {
		all := map[access.GrantID]access.GrantLine{}
		for _, l := range read(t, s, func(tx Tx) ([]access.GrantLine, error) { return tx.GrantLines(q) }) {
			all[l.ID] = l
		}
		return all
	}
	live := grants(q)
	diff(t, live[b.Grant.ID], b.Grant.Line())
	if l := live[b.Grant.ID]; l.Targets != 2 || l.Resource != "orders-db" || l.Type == "" || l.ActiveAt.IsZero() || !l.DueGone.Equal(b.Grant.ExpiresAt) {
		t.Errorf("the line of an active grant: %+v", l)
	}
	if len(live) != 2 {
		t.Errorf("lines of %d grants, want 2", len(live))
	}
	update(t, s, func(tx Tx) (err error) { b, err = End(tx, b, access.ByHolder); return err })
	diff(t, grants(q)[b.Grant.ID], b.Grant.Line())
	if l := grants(q)[b.Grant.ID]; !l.GoneAt.IsZero() || !l.DueGone.Equal(b.Grant.EndingAt) {
		t.Errorf("the line of one that is ending: %+v", l)
	}
	update(t, s, func(tx Tx) (err error) { b, err = Vanish(tx, b); return err })
	update(t, s, func(tx Tx) error {
		g, ev, err := b.Grant.Finish(tx.Now())
		b.Grant = g
		return errors.Join(err, tx.SaveGrants(g), tx.DropSealed(g.ID), tx.Append(ev))
	})
	diff(t, grants(q)[b.Grant.ID], b.Grant.Line())
	later := access.TallyQuery{Since: b.Grant.ExpiresAt.Add(time.Second), Limit: 100}
	if l, there := grants(later)[b.Grant.ID]; there {
		t.Errorf("one that ended before is counted: %+v", l)
	}
	if _, there := grants(later)[failed.Grant.ID]; !there {
		t.Error("one that is not over is not counted")
	}
}
