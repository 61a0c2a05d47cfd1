package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"stint/internal/policy"
	"stint/internal/provision"
)

// TestPollLoop: at each tick those are asked that have something to fetch, whatever
// became of the others, and a store that is away for a tick loses none.
func TestPollLoop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	tick, asked, done := make(chan time.Time), make(chan string, 10), make(chan struct{})
	signals := func(name, poll string) policy.Integration {
		return policy.Integration{Name: name, Type: provision.Signals, Options: map[string]string{"poll": poll}}
	}
	away := false
	var log strings.Builder
	p := poller{tick: tick, log: slog.New(slog.NewTextHandler(&log, nil)),
		documents: func(context.Context) ([]policy.Integration, error) {
			if away {
				return nil, errors.New("away")
			}
			return []policy.Integration{signals("down", "/poll"), signals("pushes", ""), {Name: "chat", Type: "slack", Options: map[string]string{"poll": "/x"}}, signals("up", "/poll")}, nil
		},
		poll: func(_ context.Context, i policy.Integration) error {
			asked <- i.Name
			if i.Name == "down" {
				return errors.New("it does not answer")
			}
			return nil
		}}
	go func() { p.run(ctx); close(done) }()
	want := func(names string) {
		t.Helper()
		tick <- time.Time{}
		for name := range strings.FieldsSeq(names) {
			select {
			case got := <-asked:
				if got != name {
					t.Errorf("asked %s, want %s", got, name)
				}
			case <-time.After(time.Minute):
				t.Fatalf("%s is not asked", name)
			}
		}
	}
	want("down up")
	want("down up")
	tick <- time.Time{} // taken only when the one before is over
	<-asked
	<-asked
	cancel()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
	if got := strings.Count(log.String(), "could not be fetched"); got != 3 {
		t.Errorf("%d warnings, want 3:\n%s", got, log.String())
	}
	// The store away for a tick.
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	away = true
	go p.run(ctx)
	tick <- time.Time{}
	tick <- time.Time{} // the first was dealt with
	select {
	case name := <-asked:
		t.Errorf("%s is asked while the store is away", name)
	default:
	}
}
