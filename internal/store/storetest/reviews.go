package storetest

import (
	"context"
	"testing"
	"time"

	"stint/internal/access"
)

// Glass is the decision of a break-glass policy.
var Glass = access.Decision{Effect: access.Allow, Policy: "orders-emergency", Documents: 3, MaxDuration: access.MaxEmergency, Emergency: true}

// NewReview saves a break-glass grant with its review.
func NewReview(tb testing.TB, s Store, bend ...func(*access.Request)) access.Review {
	tb.Helper()
	var v access.Review
	update(tb, s, func(tx Tx) error {
		bend := append([]func(*access.Request){func(r *access.Request) { r.Emergency, r.Ticket = access.BreakGlass, "" }}, bend...)
		r, ev, err := access.Submit(Ask(tx.Now(), bend...), Asker, Glass, tx.Now())
		if err != nil {
			return err
		}
		r, g, made, err := r.NewGrant(access.NewGrantID(tx.Now().UnixMilli(), entropy()), tx.Now())
		if err != nil {
			return err
		}
		if err := tx.SaveRequests(r); err != nil {
			return err
		}
		if err := tx.SaveGrants(g); err != nil {
			return err
		}
		o := access.Opening{Owners: []access.Subject{"group:dba"}, Codes: []string{"code_1", "code_2"}, Openers: []access.Person{"mira", "ben"}, Within: time.Hour}
		alarm := access.Event{}
		if v, alarm, err = access.OpenReview(access.NewReviewID(tx.Now().UnixMilli(), entropy()), r, g, o, Asker, tx.Now()); err != nil {
			return err
		}
		if err := tx.SaveReviews(v); err != nil {
			return err
		}
		return tx.Append(ev, made, alarm)
	})
	return v
}

func reviews(t *testing.T, s Store) {
	a := NewReview(t, s)
	b := NewReview(t, s, func(r *access.Request) {
		r.Principal, r.Person, r.Targets = "user:ben", "ben", []access.Target{TargetNamed("stock-db")}
	})
	find := func(id string) (access.Review, error) {
		return read(t, s, func(tx Tx) (access.Review, error) { return tx.FindReview(id) }), nil
	}
	got, _ := find(string(a.ID))
	diff(t, got, a)
	got, _ = find(string(a.ID[4:]))
	diff(t, got, a)
	view(t, s, func(tx Tx) error {
		r, err := tx.Request(a.Request)
		if r.Emergency != access.BreakGlass || !r.Decision.Emergency {
			t.Errorf("the request is %q, decided as an emergency: %v", r.Emergency, r.Decision.Emergency)
		}
		return err
	})
	view(t, s, func(tx Tx) error {
		for _, id := range []string{"rev_7ZZ", "", "rev_%", "req_01"} {
			if _, err := tx.FindReview(id); access.KindOf(err) != access.NotFound {
				t.Errorf("FindReview(%q): %v", id, err)
			}
		}
		_, err := tx.FindReview("rev_")
		if access.KindOf(err) != access.NotFound {
			t.Errorf("no id: %v", err)
		}
		return nil
	})
	ids := func(q access.ReviewQuery) (out []access.ReviewID) {
		for _, v := range read(t, s, func(tx Tx) ([]access.Review, error) { return tx.Reviews(q) }) {
			out = append(out, v.ID)
		}
		return out
	}
	newest, older := b.ID, a.ID
	if a.ID > b.ID { // made in one millisecond
		newest, older = a.ID, b.ID
	}
	for _, c := range []struct {
		name string
		q    access.ReviewQuery
		want []access.ReviewID
	}{
		{"all", access.ReviewQuery{}, []access.ReviewID{newest, older}},
		{"a page", access.ReviewQuery{Limit: 1}, []access.ReviewID{newest}},
		{"the next", access.ReviewQuery{Limit: 1, Before: newest}, []access.ReviewID{older}},
		{"of a person", access.ReviewQuery{Person: "ben"}, []access.ReviewID{b.ID}},
		{"of a resource", access.ReviewQuery{Resource: "orders-db"}, []access.ReviewID{a.ID}},
		{"closed", access.ReviewQuery{State: access.ReviewClosed}, nil},
	} {
		diff(t, ids(c.q), c.want)
	}
	if due := read(t, s, func(tx Tx) ([]access.Review, error) { return tx.DueReviews(10) }); len(due) != 0 {
		t.Errorf("%d are due", len(due))
	}

	save := func(v access.Review) error {
		return s.Update(context.Background(), func(tx Tx) error { return tx.SaveReviews(v) })
	}
	closed, _, err := a.Close(DBA, Asker, access.Justified, "stuck locks", storeNow(t, s))
	if err != nil {
		t.Fatal(err)
	}
	own := closed
	own.CloserPerson, own.Closer = own.Person, own.Principal
	wantKind(t, save(own), access.Internal)
	nobody := closed
	nobody.CloserPerson = ""
	wantKind(t, save(nobody), access.Internal)
	nothing := closed
	nothing.Finding = ""
	wantKind(t, save(nothing), access.Internal)
	moved := a
	moved.Version, moved.Person = 2, "zoe"
	wantKind(t, save(moved), access.Conflict)
	skipped := a
	skipped.Version = 3
	wantKind(t, save(skipped), access.Conflict)
	born := closed
	born.ID, born.Version = access.NewReviewID(1, entropy()), 1
	wantKind(t, save(born), access.Internal)
	stray := a
	stray.ID, stray.Grant = access.NewReviewID(1, entropy()), "grt_none"
	wantKind(t, save(stray), access.Internal)

	if err := save(closed); err != nil {
		t.Fatal(err)
	}
	got, _ = find(string(a.ID))
	diff(t, got, closed)
	again := closed
	again.Version, again.Note = 3, "something else"
	wantKind(t, save(again), access.Internal)
	if open := ids(access.ReviewQuery{State: access.ReviewOpen}); len(open) != 1 || open[0] != b.ID {
		t.Errorf("open: %v", open)
	}
}

func reviewsDue(t *testing.T, s Store, clock *Clock) {
	v := NewReview(t, s)
	due := func() []access.Review {
		return read(t, s, func(tx Tx) ([]access.Review, error) { return tx.DueReviews(10) })
	}
	clock.Set(v.RemindAt.Add(-time.Millisecond))
	if got := due(); len(got) != 0 {
		t.Errorf("%d are due before their time", len(got))
	}
	clock.Set(v.RemindAt)
	got := due()
	if len(got) != 1 {
		t.Fatalf("%d are due", len(got))
	}
	diff(t, got[0], v)
	update(t, s, func(tx Tx) error {
		next, ev, err := v.Remind(tx.Now())
		if err != nil {
			return err
		}
		v = next
		if err := tx.SaveReviews(next); err != nil {
			return err
		}
		return tx.Append(ev)
	})
	if got := due(); len(got) != 0 {
		t.Errorf("%d are due after they were called to mind", len(got))
	}
	clock.Set(clock.Now().Add(access.ReviewAgain))
	if got := due(); len(got) != 1 || got[0].Reminded != 1 {
		t.Errorf("a day later: %+v", got)
	}
}
