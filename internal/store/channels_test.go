//go:build unix

package store_test

import (
	"errors"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/store"
)

// TestChannels: one owner at a time, and nothing is noted by another; what is due,
// when, and until when.
func TestChannels(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s, ctx := opened(t, d), t.Context()
		ok := func(t *testing.T, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.TakeTurn(ctx, "hook", "a", time.Minute); !errors.Is(err, access.NotFound) {
			t.Fatalf("a channel that was not begun: %v", err)
		}
		ok(t, s.BeginChannel(ctx, store.Channel{Name: "hook", Seq: 7, Body: []byte("{}")}))
		ok(t, s.BeginChannel(ctx, store.Channel{Name: "hook", Seq: 99}))
		got, err := s.TakeTurn(ctx, "hook", "a", time.Minute)
		ok(t, err)
		if got.Seq != 7 || string(got.Body) != "{}" {
			t.Errorf("got %+v", got)
		}
		if got, err := s.TakeTurn(ctx, "hook", "b", time.Minute); !errors.Is(err, access.Conflict) || got.Seq != 7 {
			t.Errorf("another's turn: %+v, %v", got, err)
		}
		save := func(owner string, seq int64, cs ...store.Concern) error {
			return s.SaveChannel(ctx, owner, store.Channel{Name: "hook", Seq: seq, Body: []byte("x")}, cs)
		}
		if err := save("b", 9); !errors.Is(err, access.Conflict) {
			t.Errorf("saved out of turn: %v", err)
		}
		ok(t, save("a", 12, store.Concern{Subject: "req_1", Seq: 10}, store.Concern{Subject: "req_1", Seq: 11}, store.Concern{Subject: "req_9", Seq: 12, Known: true}))
		due := func(want ...string) []store.ChannelMessage {
			t.Helper()
			ms, _, err := s.DueMessages(ctx, "hook", 10)
			ok(t, err)
			if len(ms) != len(want) {
				t.Fatalf("due are %+v, want %v", ms, want)
			}
			for i := range want {
				if ms[i].Subject != want[i] {
					t.Errorf("due is %+v, want %v", ms, want)
				}
			}
			return ms
		}
		m := due("req_1")[0]
		if m.Want != 11 || m.Have != -1 || len(m.Body) != 0 {
			t.Errorf("got %+v", m)
		}
		// It was refused: due again in two seconds, and not sooner because of news.
		m.Body = []byte(`{"tries":1}`)
		if err := s.SaveMessage(ctx, "b", "hook", m, 0); !errors.Is(err, access.Conflict) {
			t.Errorf("sent out of turn: %v", err)
		}
		ok(t, s.SaveMessage(ctx, "a", "hook", m, 2*time.Second))
		ok(t, save("a", 13, store.Concern{Subject: "req_1", Seq: 13, Known: true}))
		due()
		if _, next, err := s.DueMessages(ctx, "hook", 10); err != nil || next <= 0 || next > 2*time.Second {
			t.Errorf("due in %s, %v", next, err)
		}
		for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			if ms, _, err := s.DueMessages(ctx, "hook", 10); err != nil || time.Now().After(end) {
				t.Fatalf("never due: %v", err)
			} else if len(ms) > 0 {
				break
			}
		}
		m = due("req_1")[0]
		if m.Want != 13 || string(m.Body) != `{"tries":1}` {
			t.Errorf("got %+v", m)
		}
		// It went out, and meanwhile there was more.
		ok(t, save("a", 14, store.Concern{Subject: "req_1", Seq: 14}))
		m.Have, m.Body = 13, []byte("sent")
		ok(t, s.SaveMessage(ctx, "a", "hook", m, 0))
		m = due("req_1")[0]
		if m.Want != 14 || m.Have != 13 || string(m.Body) != "sent" {
			t.Errorf("got %+v", m)
		}
		m.Have = 14
		ok(t, s.SaveMessage(ctx, "a", "hook", m, 0))
		due()
		if _, next, err := s.DueMessages(ctx, "hook", 10); err != nil || next >= 0 {
			t.Errorf("due in %s, %v", next, err)
		}
		ok(t, save("a", 14, store.Concern{Subject: "req_1", Seq: 3})) // read again after a crash
		due()
		// The turn is over.
		if _, err := s.TakeTurn(ctx, "hook", "a", 0); err != nil {
			t.Fatal(err)
		}
		if err := save("a", 20); !errors.Is(err, access.Conflict) {
			t.Errorf("saved when the turn was over: %v", err)
		}
		if got, err := s.TakeTurn(ctx, "hook", "b", time.Minute); err != nil || got.Seq != 14 {
			t.Errorf("the next turn: %+v, %v", got, err)
		}
		ok(t, s.EndTurns(ctx, "b"))
		if _, err := s.TakeTurn(ctx, "hook", "a", time.Minute); err != nil {
			t.Errorf("a turn that was given back: %v", err)
		}
		if all, err := s.Channels(ctx); err != nil || len(all) != 1 || string(all[0].Body) != "x" {
			t.Errorf("all: %+v, %v", all, err)
		}
		if m, err := s.Message(ctx, "hook", "req_1"); err != nil || string(m.Body) != "sent" {
			t.Errorf("the message: %+v, %v", m, err)
		}
		// What is due is never pruned; what was sent is, long after.
		ok(t, save("a", 15, store.Concern{Subject: "req_2", Seq: 15}))
		ok(t, s.Prune(ctx))
		if _, err := s.Message(ctx, "hook", "req_1"); err != nil {
			t.Error(err)
		}
	})
}
