package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"stint/internal/access"
)

// delegations are kept whole, are bounded whatever a program does, and give nobody a
// second vote.
func delegations(t *testing.T, s Store) {
	ada, bea := access.Principal{ID: "user:ada", Person: "ada"}, access.Principal{ID: "user:bea", Person: "bea"}
	by := access.Actor{Principal: ada.ID, Person: ada.Person}
	var d access.Delegation
	update(t, s, func(tx Tx) error {
		var ev access.Event
		var err error
		d, ev, err = access.Delegate(access.Delegation{ID: access.NewDelegationID(tx.Now().UnixMilli(), entropy()), Why: "on leave", EndsAt: tx.Now().Add(48 * time.Hour)},
			ada, bea, nil, access.MaxDelegation, by, tx.Now())
		return errors.Join(err, tx.SaveDelegations(d), tx.Append(ev))
	})
	found := func(q access.DelegationQuery) []access.Delegation {
		return read(t, s, func(tx Tx) ([]access.Delegation, error) { return tx.Delegations(q) })
	}
	diff(t, found(access.DelegationQuery{To: bea.ID, Open: true}), []access.Delegation{d})
	diff(t, found(access.DelegationQuery{Principal: ada.ID, Prefix: string(d.ID)}), []access.Delegation{d})
	for _, q := range []access.DelegationQuery{{To: ada.ID}, {Principal: bea.ID}, {Prefix: "dlg_ZZZZ"}, {Before: d.ID}} {
		if none := found(q); len(none) != 0 {
			t.Errorf("%+v finds %v", q, none)
		}
	}
	change := func(bend func(*access.Delegation)) error {
		return s.Update(context.Background(), func(tx Tx) error {
			q := d
			bend(&q)
			return tx.SaveDelegations(q)
		})
	}
	for name, bend := range map[string]func(*access.Delegation){
		"longer":            func(q *access.Delegation) { q.Version, q.EndsAt = 2, q.EndsAt.Add(time.Hour) },
		"to somebody else":  func(q *access.Delegation) { q.Version, q.To, q.ToPerson = 2, "user:cem", "cem" },
		"from another":      func(q *access.Delegation) { q.Version, q.Principal, q.Person = 2, "user:cem", "cem" },
		"a version skipped": func(q *access.Delegation) { q.Version, q.Why = 3, "x" },
		"for ever": func(q *access.Delegation) {
			q.ID, q.EndsAt = "dlg_01A", q.StartsAt.Add(access.MaxDelegation+time.Millisecond)
		},
		"to themselves": func(q *access.Delegation) { q.ID, q.To, q.ToPerson = "dlg_01A", "user:ada2", "ada" },
	} {
		if err := change(bend); err == nil {
			t.Errorf("%s: the store takes it", name)
		}
	}
	update(t, s, func(tx Tx) error {
		ended, ev, err := d.End(bea, access.Actor{Principal: bea.ID, Person: bea.Person}, tx.Now())
		d = ended
		return errors.Join(err, tx.SaveDelegations(d), tx.Append(ev))
	})
	diff(t, found(access.DelegationQuery{Principal: ada.ID}), []access.Delegation{d})
	if open := found(access.DelegationQuery{Principal: ada.ID, Open: true}); len(open) != 0 {
		t.Errorf("ended, and open: %v", open)
	}
	if err := change(func(q *access.Delegation) { q.Version, q.EndedAt = 3, time.Time{} }); err == nil {
		t.Error("a delegation that was ended holds again")
	}
	votesForOthers(t, s)
}

// votesForOthers: of two persons one vote counts, in whichever order they come.
func votesForOthers(t *testing.T, s Store) {
	vote := func(by, person, forPerson string) func(*access.Request) {
		return func(r *access.Request) {
			a := access.Approval{By: access.PrincipalID("user:" + by), Person: access.Person(person), Approve: true, Duration: r.Duration, Rights: r.Permissions.Rights,
				At: r.CreatedAt, Request: r.Digest, Meets: []int{0}, ForPerson: access.Person(forPerson)}
			if forPerson != "" {
				a.For = access.PrincipalID("user:" + forPerson)
			}
			a.Digest = access.ApprovalDigest(a, r.Permissions)
			r.Approvals = append(r.Approvals, a)
			r.Version++
		}
	}
	three := access.Decision{Effect: access.Approve, Policy: "orders-read", Documents: 3, MaxDuration: time.Hour,
		Approvals: []access.Requirement{{From: []access.Subject{"group:dba"}, Count: 3}}}
	cast := func(votes ...func(*access.Request)) (err error) {
		var r access.Request
		update(t, s, func(tx Tx) error {
			var ev access.Event
			var err error
			r, ev, err = access.Submit(Ask(tx.Now()), Asker, three, tx.Now())
			return errors.Join(err, tx.SaveRequests(r), tx.Append(ev))
		})
		for _, v := range votes {
			v(&r)
			if err = s.Update(context.Background(), func(tx Tx) error { return tx.SaveRequests(r) }); err != nil {
				return err
			}
		}
		back := read(t, s, func(tx Tx) (access.Request, error) { return tx.Request(r.ID) })
		diff(t, back.Approvals, r.Approvals)
		return nil
	}
	if err := cast(vote("omar", "omar", "olga"), vote("noor", "noor", ""), vote("zoe", "zoe", "lea")); err != nil {
		t.Errorf("votes of five persons: %v", err)
	}
	mine := read(t, s, func(tx Tx) ([]access.Request, error) { return tx.Requests(access.RequestQuery{Voter: "user:zoe"}) })
	if len(mine) != 1 || len(mine[0].Approvals) != 3 {
		t.Fatalf("zoe voted on %+v", mine)
	}
	if other := read(t, s, func(tx Tx) ([]access.Request, error) { return tx.Requests(access.RequestQuery{Voter: "user:lea"}) }); len(other) != 0 {
		t.Errorf("lea, for whom zoe voted, voted on %+v", other)
	}
	diff(t, read(t, s, func(tx Tx) ([]access.Request, error) {
		return tx.RequestsOf(mine[0].ID, "req_00000000000000000000000000", mine[0].ID)
	}), mine)
	for name, votes := range map[string][]func(*access.Request){
		"then the one it was for":       {vote("omar", "omar", "olga"), vote("olga", "olga", "")},
		"after the one it is for":       {vote("olga", "olga", ""), vote("omar", "omar", "olga")},
		"twice for one":                 {vote("omar", "omar", "olga"), vote("noor", "noor", "olga")},
		"for who voted for another":     {vote("omar", "omar", "olga"), vote("noor", "noor", "omar")},
		"for themselves":                {vote("omar", "omar", "omar")},
		"for who asks":                  {vote("omar", "omar", string(Asker.Person))},
		"the delegate votes once again": {vote("omar", "omar", "olga"), vote("omar2", "omar", "")},
	} {
		if err := cast(votes...); err == nil {
			t.Errorf("%s: the store takes it", name)
		}
	}
}
