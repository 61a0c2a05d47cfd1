package broker_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/internal/store"
)

// surveyor is a target that tells who has privileged access there.
type surveyor struct {
	*target
	mu     sync.Mutex
	stands []connector.Stand
	fails  error
	cut    bool
	lent   []string
	n      int
}

func (s *surveyor) Survey(_ context.Context, _ connector.Target, lent []string, most int) ([]connector.Stand, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lent = lent
	s.n++
	return slices.Clone(s.stands[:min(most, len(s.stands))]), s.cut, s.fails
}

func (s *surveyor) set(fails error, cut bool, stands ...connector.Stand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails, s.cut, s.stands = fails, cut, stands
}

func (s *surveyor) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// TestStanding follows what surveys find through a week: since when each is there, what
// came and went, how much there was on each day, what a failure leaves, and who may know.
func TestStanding(t *testing.T) {
	in, err := prepare(t, t.TempDir())
	must(t, err)
	must(t, in.store.Close())
	in.t = t
	// Tomorrow evening: a store goes by no clock that is behind what it has seen.
	now := &clock{now: time.Now().UTC().Truncate(24 * time.Hour).Add(44 * time.Hour)}
	if in.store, err = store.Open(t.Context(), store.Config{Path: in.path, Clock: now.read}); err != nil {
		t.Fatal(err)
	}
	x := &surveyor{target: in.target}
	in.Broker, err = broker.New(broker.Config{
		Store: memory{in.store}, Connectors: map[string]connector.Connector{"fake": x}, Tagger: in.tagger, Vault: in.keys,
		SealTo:       func(_ []byte, _ string, plain []byte) ([]byte, error) { return plain, nil },
		Installation: "test", Epoch: 1, Replica: "one", Alone: true, Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	boss := connector.Stand{Account: "ada", Privilege: "superuser", Kind: access.StandingPower, Undo: "ALTER ROLE ada NOSUPERUSER"}
	member := connector.Stand{Account: "ada", Privilege: "member of app_owner", Kind: access.StandingMember, Right: "app_owner", Undo: "REVOKE app_owner FROM ada"}
	x.set(nil, false, boss, member)

	root := in.as("root")
	s, err := in.Survey(t.Context(), root, "db")
	must(t, err)
	if s.Edges != 2 || s.Accounts != 1 || s.Said != "" || s.At.IsZero() {
		t.Errorf("the survey: %+v", s)
	}
	if !slices.Equal(x.lent, []string{"app_owner", "app_read"}) {
		t.Errorf("asked for the groups %v", x.lent)
	}
	list := func(q access.StandingQuery) []access.Standing {
		t.Helper()
		all, err := in.Standing(t.Context(), root, q)
		must(t, err)
		return all
	}
	first := list(access.StandingQuery{Resource: "db"})
	if len(first) != 2 || first[0].Privilege != "member of app_owner" || first[0].Undo != member.Undo || !first[0].FirstSeen.Equal(first[0].LastSeen) {
		t.Fatalf("found: %+v", first)
	}
	now.forward(24 * time.Hour)
	x.set(nil, false, member)
	_, err = in.Survey(t.Context(), in.as("omar"), "db") // who owns it
	must(t, err)
	second := list(access.StandingQuery{})
	if len(second) != 1 || !second[0].FirstSeen.Equal(first[0].FirstSeen) || second[0].LastSeen.Sub(first[0].LastSeen) < 24*time.Hour {
		t.Errorf("a day later: %+v", second)
	}
	if all := list(access.StandingQuery{Gone: true}); len(all) != 2 || all[1].GoneAt.IsZero() {
		t.Errorf("with what is gone: %+v", all)
	}
	now.forward(24 * time.Hour)
	x.set(nil, true, boss) // an incomplete list proves nothing gone; what came back is there since now
	_, err = in.Survey(t.Context(), root, "db")
	must(t, err)
	if all := list(access.StandingQuery{}); len(all) != 2 || !all[1].FirstSeen.Equal(all[1].LastSeen) || !all[0].FirstSeen.Equal(first[0].FirstSeen) {
		t.Errorf("a list that was cut: %+v", all)
	}
	now.forward(24 * time.Hour)
	x.set(&connector.Error{Message: "nobody answers", Cause: errors.New("a secret of the driver's")}, false)
	if _, err := in.Survey(t.Context(), root, "db"); code(err) != "survey-failed" || !strings.Contains(err.(*access.Error).Why, "nobody answers") {
		t.Errorf("a survey that fails: %v", err)
	}
	states, err := in.ResourceStates(t.Context(), root)
	must(t, err)
	if got := states["db"].Survey; got.Said != "nobody answers" || !got.TriedAt.After(got.At) || got.Edges != 1 || !states["db"].Surveyable {
		t.Errorf("after a failure: %+v", got)
	}
	if len(list(access.StandingQuery{})) != 2 {
		t.Error("what is known was forgotten for a failure")
	}
	days, err := in.StandingDays(t.Context(), root, "", now.read().Add(-7*24*time.Hour), now.read())
	must(t, err)
	var edges []int
	for _, d := range days {
		edges = append(edges, d.Edges)
	}
	if !slices.Equal(edges, []int{2, 1, 1, 1}) {
		t.Errorf("by day: %+v", days)
	}

	for _, name := range []string{"mira", "gus"} {
		if _, err := in.Survey(t.Context(), in.as(name), "db"); code(err) != "not-yours" {
			t.Errorf("%s surveys: %v", name, err)
		}
		if _, err := in.Standing(t.Context(), in.as(name), access.StandingQuery{Resource: "db"}); code(err) != "not-yours" {
			t.Errorf("%s reads it: %v", name, err)
		}
		if _, err := in.StandingDays(t.Context(), in.as(name), "", now.read(), now.read()); code(err) != "not-yours" {
			t.Errorf("%s reads the days: %v", name, err)
		}
		if all, err := in.ResourceStates(t.Context(), in.as(name)); err != nil || len(all) != 0 {
			t.Errorf("%s sees states: %v, %v", name, all, err)
		}
	}
	if _, err := in.Standing(t.Context(), in.as("omar"), access.StandingQuery{}); code(err) != "not-yours" {
		t.Errorf("an owner reads all: %v", err)
	}

	// By itself: some time after the failure, once a day, and nothing of what is no more.
	x.set(nil, false, boss)
	before := x.asked()
	ctx, cancel := context.WithCancel(t.Context())
	var g errgroup.Group
	g.Go(func() error { return in.Run(ctx) })
	defer func() {
		cancel()
		must(t, errors.Join(g.Wait(), in.store.Close()))
	}()
	now.forward(2 * time.Hour)
	in.Poke()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if states, err = in.ResourceStates(t.Context(), root); err == nil && states["db"].Survey.Said == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not surveyed by itself: %+v", states)
		}
		in.Poke()
	}
	if x.asked() != before+1 {
		t.Errorf("surveyed %d times", x.asked()-before)
	}
	rep, err := in.CheckResource(t.Context(), root, "db")
	must(t, err)
	if p, err := in.LastProbe(t.Context(), in.as("omar"), "db"); err != nil || !p.OK || p.By != "user:root" || len(p.Steps) != len(rep.Steps) {
		t.Errorf("the probe: %+v, %v", p, err)
	}
}
