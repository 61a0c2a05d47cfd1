package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/audit"
	"stint/internal/store"
)

// TestFind: what a database selects is what audit.Filter selects, the newest first, page by
// page, each once, whatever somebody searches for.
func TestFind(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		ctx := context.Background()
		s := opened(t, d)
		key := newLogKey(t)
		now := storeNow(t, s)
		const nasty = `%_'; DROP TABLE audit_records; -- \ "` + "\x01é"
		var events []access.Event
		actors := []access.Actor{{Principal: "user:mira", Person: "mira", Address: netip.MustParseAddr("192.0.2.7")}, {Principal: "agent:bot", Person: "omar"}, access.System}
		types := []access.EventType{"request.submitted", "request.denied", "grant.ended", "granted.x", "removal.trouble"}
		for i := range 60 {
			e := access.Event{Type: types[i%len(types)], At: now.Add(time.Duration(i-60) * time.Minute), Entity: fmt.Sprintf("req_%d", i), Version: 1, Actor: actors[i%len(actors)],
				Facts: map[string]string{"resource": "db", "person": "mira"}}
			switch i % 4 {
			case 0:
				e.Facts["reason"] = nasty
			case 1:
				e.Facts["state"] = "denied"
			case 2:
				e.Facts["state"], e.Facts["request"] = "failed", "req_4"
			}
			events = append(events, e)
		}
		update(t, s, func(tx *store.Tx) error { return tx.Append(events...) })
		key.sequence(t, s)
		all, err := s.Records(ctx, store.LogQuery{After: -1, Limit: 1000})
		held(t, err)
		for _, f := range []audit.Filter{{}, {Actor: "user:mira"}, {Actor: "agent:bot"}, {Actor: `' OR 1=1 --`}, {Agent: "bot"}, {Agent: "*"}, {Noun: "grant"}, {Noun: "%"}, {Noun: "gran_"}, {Address: netip.MustParseAddr("192.0.2.7")},
			{About: []string{"req_4"}}, {About: []string{"req_4", nasty}}, {Result: audit.Refused}, {Result: audit.Trouble}, {Result: audit.Fine}, {Text: nasty}, {Text: "DROP"}, {Text: "'"}, {Text: "%"}, {Actor: "user:mira", Result: audit.Refused, Text: "db"}} {
			var want, got []int64
			for i := len(all) - 1; i >= 0; i-- {
				rec, err := audit.Decode(all[i].Body)
				held(t, err)
				if f.Match(rec.Event.Type, all[i].Body) {
					want = append(want, all[i].Seq)
				}
			}
			for before := int64(0); ; {
				page, err := s.Search(ctx, store.LogQuery{After: -1, Before: before, Limit: 7, Where: f, Since: now.Add(-24 * time.Hour), Until: now.Add(time.Hour)})
				held(t, err)
				for _, r := range page.Records {
					got = append(got, r.Seq)
				}
				if before = page.Next; before == 0 {
					break
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%+v: got %v, want %v", f, got, want)
			}
			tally, err := s.Tally(ctx, store.LogQuery{After: -1, Where: f, Since: now.Add(-2 * time.Hour), Until: now}, 24)
			held(t, err)
			sum := int64(0)
			for _, n := range tally.Counts {
				sum += n
			}
			if sum != int64(len(want)) || tally.Total != sum || tally.Looked != 60 || tally.Of != 60 {
				t.Errorf("%+v: %+v counted, want %d", f, tally, len(want))
			}
		}
		// A look that is too short says where to go on, and not that there is nothing.
		page, err := s.Search(ctx, store.LogQuery{After: -1, Look: 1, Limit: 7, Where: audit.Filter{Text: "nothing has this"}})
		held(t, err)
		if len(page.Records) != 0 || page.Next != 0 { // one stretch covers all
			t.Errorf("%+v", page)
		}
		short, err := s.Tally(ctx, store.LogQuery{After: -1, Look: 10, Since: now.Add(-2 * time.Hour), Until: now}, 12)
		held(t, err)
		if short.Looked != 10 || short.Of != 60 || short.Total != 10 || short.Oldest.IsZero() {
			t.Errorf("a short look: %+v", short)
		}
		for _, q := range []store.LogQuery{{}, {Since: now, Until: now}, {Since: now, Until: now.Add(-time.Hour)}} {
			if _, err := s.Tally(ctx, q, 10); access.KindOf(err) != access.Invalid {
				t.Errorf("%+v: %v", q, err)
			}
		}
		// Each record is proven by the newest checkpoint, and none that there is not.
		for _, seq := range []int64{0, 31, 59} {
			p, err := s.Prove(ctx, seq)
			held(t, err)
			if err := audit.CheckRecord(p.Proof, audit.Checkpoint{Size: p.Head.Size, Root: p.Head.Root}, seq, p.Record.Body); err != nil {
				t.Errorf("record %d: %v", seq, err)
			}
			if audit.CheckRecord(p.Proof, audit.Checkpoint{Size: p.Head.Size, Root: p.Head.Root}, seq, append([]byte(" "), p.Record.Body...)) == nil {
				t.Errorf("record %d: another one is proven as well", seq)
			}
		}
		for _, seq := range []int64{-1, 60, 1 << 40} {
			if _, err := s.Prove(ctx, seq); access.KindOf(err) != access.NotFound {
				t.Errorf("record %d: %v", seq, err)
			}
		}
	})
}

func held(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestTallyTwice: what is counted from what is known is what the database counts, also after
// more was written, and from further back; and what is known is not believed where the log
// has another record in that place.
func TestTallyTwice(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s, key := opened(t, d), newLogKey(t)
		now, n := storeNow(t, s), 0
		write := func(count int) {
			var events []access.Event
			for range count {
				n++
				events = append(events, access.Event{Type: "request.submitted", At: now.Add(-time.Duration(n*7%120) * time.Minute), Entity: fmt.Sprintf("req_%d", n), Version: 1, Actor: access.System})
			}
			update(t, s, func(tx *store.Tx) error { return tx.Append(events...) })
			key.sequence(t, s)
		}
		tally := func(since time.Duration, look int64, where audit.Filter) store.Tally {
			t.Helper()
			got, err := s.Tally(t.Context(), store.LogQuery{After: -1, Look: look, Where: where, Since: now.Add(-since), Until: now.Add(-3 * time.Minute)}, 7)
			held(t, err)
			return got
		}
		same := func(since time.Duration, look int64) {
			t.Helper()
			got, want := tally(since, look, audit.Filter{}), tally(since, look, audit.Filter{Noun: "request"}) // which the database counts
			if fmt.Sprint(got) != fmt.Sprint(want) || got.Total == 0 {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
		write(60)
		same(2*time.Hour, 0)
		same(2*time.Hour, 0)
		write(5)
		same(2*time.Hour, 0)
		same(2*time.Hour, 20)
		write(1)
		same(time.Hour, 30)
		same(3*time.Hour, 0)
		if known := s.Spoil(true); known != 66 {
			t.Errorf("%d records are known, of 66", known)
		}
		if got := tally(2*time.Hour, 0, audit.Filter{}); got.Total != 0 {
			t.Errorf("what is known is read again: %+v", got)
		}
		s.Spoil(false)
		same(2*time.Hour, 0)
	})
}
