package simstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"stint/internal/access"
	"stint/internal/store/storetest"
	"stint/test/sim/simstore"
)

// everything is all that a store says, as text.
func everything(t *rapid.T, s *simstore.Store) string {
	text, err := json.Marshal([]any{s.Requests(), s.Grants(false), s.Grants(true), s.Entitlements(false), s.Entitlements(true), s.Holds(false), s.Holds(true), append([]access.Event{}, s.Log()...)})
	if err != nil {
		t.Fatal(err)
	}
	var rest []any
	es := s.Entitlements(false)
	if err := contract(s).View(context.Background(), func(tx storetest.Tx) error {
		next, _ := tx.NextDue()
		work, _ := tx.DueWork()
		people, _ := tx.Principals("")
		value, _ := tx.Setting("stop")
		version, body, _ := tx.Documents()
		rest = []any{next, work, people, value, version, body}
		for _, e := range es {
			for _, owner := range []string{"w1", "w2", "x1"} {
				leased, _ := tx.Leased(owner, e.ID)
				rest = append(rest, len(leased))
			}
			live, err := tx.LiveEntitlement(e.Target.Connection.Place(), e.Key)
			rest = append(rest, live.ID, err == nil)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return string(text) + fmt.Sprint(rest)
}

// TestLose: what is taken back is as if it had never been, and the store goes on
// from there.
func TestLose(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := &pair{t: rt, clock: storetest.NewClock()}
		p.mem = simstore.New(p.clock.Now)
		p.a, p.b, p.close = contract(p.mem), contract(simstore.New(p.clock.Now)), func() {}
		states := []string{everything(rt, p.mem)} // after each commit
		for range rapid.IntRange(1, 30).Draw(rt, "transactions") {
			before := p.mem.Commits()
			o := p.draw()
			_ = p.a.Update(context.Background(), func(tx storetest.Tx) error { _, err := o.call(tx); return err })
			if p.mem.Commits() > before {
				states = append(states, everything(rt, p.mem))
			} else if now := everything(rt, p.mem); now != states[len(states)-1] {
				rt.Fatalf("%s was not committed and left a trace:\n%s\n%s", o.name, states[len(states)-1], now)
			}
			if p.oneOf("failover", 5) {
				n := rapid.IntRange(0, 4).Draw(rt, "lost")
				lost := p.mem.Lose(n)
				if want := min(n, len(states)-1); lost != want {
					rt.Fatalf("lost %d of %d commits, want %d", lost, len(states)-1, want)
				}
				states = states[:len(states)-lost]
				if now := everything(rt, p.mem); now != states[len(states)-1] {
					rt.Fatalf("after %d commits were lost:\n%s\nwant\n%s", lost, now, states[len(states)-1])
				}
			}
		}
	})
}

// TestReadersKeepWhatTheyGot: what an oracle was given stays as it is.
func TestReadersKeepWhatTheyGot(t *testing.T) {
	clock := storetest.NewClock()
	s := simstore.New(clock.Now)
	b := storetest.Active(t, contract(s))
	log, grants, holds := s.Log(), s.Grants(false), s.Holds(false)
	want, err := json.Marshal([]any{log, grants, holds})
	if err != nil {
		t.Fatal(err)
	}
	s.Lose(1)
	storetest.Active(t, contract(s))
	if err := contract(s).Update(context.Background(), func(tx storetest.Tx) error {
		g, err := tx.Grant(b.Grant.ID)
		if err != nil {
			return err
		}
		g.Targets[0].Resource = "changed"
		g.Permissions.Rights[0] = "changed"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if g, _ := s.Grant(b.Grant.ID); slices.Contains(g.Permissions.Rights, "changed") || g.Targets[0].Resource == "changed" {
		t.Error("a caller changed what the store keeps")
	}
	got, err := json.Marshal([]any{log, grants, holds})
	if err != nil || string(got) != string(want) {
		t.Errorf("what was read changed: %v\n%s\n%s", err, want, got)
	}
	if _, ok := s.Grant(b.Grant.ID); !ok {
		t.Error("the grant of the first commit was lost too")
	}
}
