package access

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// step is what an input made of a value: its new state and version, the event,
// and whether the value is as it was.
type step struct {
	state   string
	version int64
	same    bool
	ev      Event
	err     error
}

// outcome is the short form that the tables are written in: the new state and
// the event, or kind and code of the error, or "nothing".
func (s step) outcome() string {
	var e *Error
	switch {
	case errors.As(s.err, &e):
		return e.Kind.String() + " " + e.Code
	case s.err != nil:
		return s.err.Error()
	case s.ev.Type == "":
		return "nothing"
	}
	return s.state + " " + string(s.ev.Type)
}

// check holds what is true of every transition whatever its row says: one event
// with the new version on success, the value unchanged otherwise.
func (s step) check(t *testing.T, was int64, entity string) {
	t.Helper()
	switch {
	case s.ev.Type == "":
		if !s.same || !reflect.DeepEqual(s.ev, Event{}) {
			t.Errorf("without an event the value must stay as it is (same: %v, event: %+v)", s.same, s.ev)
		}
	case s.err != nil:
		t.Errorf("an error with an event: %v", s.ev)
	case s.version != was+1 || s.ev.Version != s.version:
		t.Errorf("version %d became %d, and the event says %d", was, s.version, s.ev.Version)
	case s.ev.Entity != entity || s.ev.At.IsZero() || s.ev.Actor.Principal == "":
		t.Errorf("incomplete event: %+v", s.ev)
	}
	for k, v := range s.ev.Facts {
		if k == "" || v == "" {
			t.Errorf("empty fact %q=%q", k, v)
		}
	}
}

// checkTable checks that a table has exactly the states × inputs.
func checkTable[S ~string, F any](t *testing.T, table map[S]map[string]string, inputs map[string]F) {
	t.Helper()
	states := constants[S](t)
	slices.Sort(states)
	if got := keysOf(table); !slices.Equal(got, states) {
		t.Fatalf("the table has rows for %v, the states are %v", got, states)
	}
	for s, row := range table {
		if got, want := keysOf(row), keysOf(inputs); !slices.Equal(got, want) {
			t.Errorf("the row of %s has %v, want %v", s, got, want)
		}
	}
}

// checkMethods checks that every exported method is either an input (the first
// word of one) or named as something that is no transition.
func checkMethods[T, F any](t *testing.T, inputs map[string]F, others ...string) {
	t.Helper()
	known := slices.Clone(others)
	for in := range inputs {
		word, _, _ := strings.Cut(in, " ")
		known = append(known, word)
	}
	for m := range reflect.TypeFor[T]().Methods() {
		if !slices.Contains(known, m.Name) {
			t.Errorf("%s.%s is neither an input of the table nor named as no transition", reflect.TypeFor[T]().Name(), m.Name)
		}
	}
}

func TestRequestTransitions(t *testing.T) {
	plain := func(r Request, f func() (Request, Event, error)) step {
		after, ev, err := f()
		return step{string(after.State), after.Version, reflect.DeepEqual(after, r), ev, err}
	}
	inputs := map[string]func(Request) step{
		"Vote yes": func(r Request) step {
			return plain(r, func() (Request, Event, error) {
				return r.Vote(zoe, actorOf(zoe), Vote{Approve: true, Seen: r.Digest}, t0)
			})
		},
		"Vote no": func(r Request) step {
			return plain(r, func() (Request, Event, error) {
				return r.Vote(zoe, actorOf(zoe), Vote{Note: "no", Seen: r.Digest}, t0)
			})
		},
		"Vote late": func(r Request) step {
			return plain(r, func() (Request, Event, error) {
				return r.Vote(zoe, actorOf(zoe), Vote{Approve: true, Seen: r.Digest}, r.ExpiresAt)
			})
		},
		"Cancel": func(r Request) step {
			return plain(r, func() (Request, Event, error) { return r.Cancel(actorOf(mira), t0) })
		},
		"Reject": func(r Request) step {
			return plain(r, func() (Request, Event, error) { return r.Reject("disabled", System, t0) })
		},
		"Remind": func(r Request) step {
			r.Decision.RemindAfter = time.Hour
			return plain(r, func() (Request, Event, error) { return r.Remind(t0.Add(time.Hour)) })
		},
		"Remind early": func(r Request) step {
			r.Decision.RemindAfter = time.Hour
			return plain(r, func() (Request, Event, error) { return r.Remind(t0.Add(time.Hour - 1)) })
		},
		"Escalate": func(r Request) step {
			r.Decision = escalating(oneDBA)
			return plain(r, func() (Request, Event, error) { return r.Escalate(t0.Add(time.Hour)) })
		},
		"Escalate early": func(r Request) step {
			r.Decision = escalating(oneDBA)
			return plain(r, func() (Request, Event, error) { return r.Escalate(t0.Add(time.Hour - 1)) })
		},
		"Question": func(r Request) step {
			return plain(r, func() (Request, Event, error) { return r.Question(zoe, actorOf(zoe), "why now?", t0) })
		},
		"Question of others": func(r Request) step {
			return plain(r, func() (Request, Event, error) { return r.Question(mira, actorOf(mira), "why not?", t0) })
		},
		"Answer": func(r Request) step {
			r.Remarks = []Remark{{By: zoe.ID, Person: "zoe", Text: "why now?", At: t0}}
			return plain(r, func() (Request, Event, error) { return r.Answer(mira, actorOf(mira), "it hurts", t0) })
		},
		"Answer unasked": func(r Request) step {
			return plain(r, func() (Request, Event, error) { return r.Answer(mira, actorOf(mira), "it hurts", t0) })
		},
		"TimeOut early": func(r Request) step {
			return plain(r, func() (Request, Event, error) { return r.TimeOut(r.ExpiresAt.Add(-1)) })
		},
		"TimeOut": func(r Request) step {
			return plain(r, func() (Request, Event, error) { return r.TimeOut(r.ExpiresAt) })
		},
	}
	decided := map[string]string{
		"Vote yes": "conflict already-decided", "Vote no": "conflict already-decided", "Vote late": "conflict already-decided",
		"Cancel": "conflict already-decided", "Reject": "conflict already-decided", "TimeOut early": "conflict already-decided", "TimeOut": "conflict already-decided",
	}
	for _, in := range []string{"Remind", "Remind early", "Escalate", "Escalate early", "Question", "Question of others", "Answer", "Answer unasked"} {
		decided[in] = "conflict already-decided"
	}
	table := map[RequestState]map[string]string{
		RequestPending: {
			"Vote yes": "approved request.approved", "Vote no": "denied request.denied", "Vote late": "expired request-expired",
			"Cancel": "cancelled request.cancelled", "Reject": "denied request.denied",
			"TimeOut early": "conflict not-due", "TimeOut": "expired request.expired",
			"Remind": "pending request.reminded", "Remind early": "conflict not-due",
			"Escalate": "pending request.escalated", "Escalate early": "conflict not-due",
			"Question": "pending request.questioned", "Question of others": "denied not-an-approver",
			"Answer": "pending request.answered", "Answer unasked": "conflict nothing-asked",
		},
		RequestIsGranted: decided, RequestIsDenied: decided, RequestWithdrawn: decided, RequestTimedOut: decided,
	}
	checkTable(t, table, inputs)
	checkMethods[Request](t, inputs, "Says", "NewGrant", "DueAt", "ChaseAt", "AnsweredIn", "Granted", "Have", "Asks", "Asked", "Asking", "OpenStage", "MayDecide", "Recount", "VotesByChat", "Wants", "Ahead", "BundleText", "LevelFor")
	for s, row := range table {
		for in, want := range row {
			t.Run(string(s)+"/"+in, func(t *testing.T) {
				r := requestIn(t, s)
				got := inputs[in](r)
				if got.outcome() != want {
					t.Errorf("got %s, want %s", got.outcome(), want)
				}
				got.check(t, r.Version, string(r.ID))
			})
		}
	}
}

// A grant is made of an approved request and of no other, once.
func TestNewGrantTransitions(t *testing.T) {
	want := map[RequestState]string{
		RequestPending: "conflict not-approved", RequestIsGranted: "provisioning grant.created", RequestIsDenied: "conflict not-approved",
		RequestWithdrawn: "conflict not-approved", RequestTimedOut: "conflict not-approved",
	}
	for _, s := range constants[RequestState](t) {
		r := requestIn(t, s)
		after, g, ev, err := r.NewGrant("grt_1", t0)
		got := step{state: string(g.State), version: g.Version, same: reflect.DeepEqual(r, after) && reflect.DeepEqual(g, Grant{}), ev: ev, err: err}
		if got.outcome() != want[s] {
			t.Errorf("%s: got %s, want %s", s, got.outcome(), want[s])
		}
		got.check(t, 0, "grt_1")
		if err != nil {
			continue
		}
		if after.Grant != g.ID || after.Version != r.Version || after.State != r.State {
			t.Errorf("the request became %+v", after)
		}
		_, _, _, err = after.NewGrant("grt_2", t0)
		wantCode(t, err, Conflict, "already-granted")
	}
}

func TestGrantTransitions(t *testing.T) {
	late := func(g Grant) time.Time { return g.ExpiresAt.Add(time.Hour) }
	plain := func(f func(Grant) (Grant, Event, error)) func(*testing.T, Grant) step {
		return func(_ *testing.T, g Grant) step {
			after, ev, err := f(g)
			return step{string(after.State), after.Version, reflect.DeepEqual(after, g), ev, err}
		}
	}
	end := func(why EndReason, at func(Grant) time.Time) func(*testing.T, Grant) step {
		return func(t *testing.T, g Grant) step {
			after, ev, did, err := g.End(why, "note", actorOf(mira), at(g))
			if did != (ev.Type != "") {
				t.Errorf("did is %v, and the event %q", did, ev.Type)
			}
			return step{string(after.State), after.Version, reflect.DeepEqual(after, g), ev, err}
		}
	}
	extend := func(at time.Duration) func(*testing.T, Grant) step {
		return func(t *testing.T, g Grant) step {
			ext := extension(t, g, allow())
			after, used, ev, err := g.Extend(ext, g.ExpiresAt.Add(at))
			if (err == nil) != (used.Grant == g.ID) || (err != nil) != reflect.DeepEqual(used, ext) {
				t.Errorf("the extension became %+v with %v", used, err)
			}
			return step{string(after.State), after.Version, reflect.DeepEqual(after, g), ev, err}
		}
	}
	due := func(g Grant) time.Time {
		if d := g.DueAt(); !d.IsZero() {
			return d
		}
		return late(g)
	}
	inputs := map[string]func(*testing.T, Grant) step{
		"Begin early":       plain(func(g Grant) (Grant, Event, error) { return g.Begin(g.StartsAt.Add(-1)) }),
		"Begin":             plain(func(g Grant) (Grant, Event, error) { return g.Begin(g.StartsAt) }),
		"Activate":          plain(func(g Grant) (Grant, Event, error) { return g.Activate(g.StartsAt) }),
		"Activate in time":  plain(func(g Grant) (Grant, Event, error) { return g.Activate(g.SetupBy) }),
		"Activate late":     plain(func(g Grant) (Grant, Event, error) { return g.Activate(g.SetupBy.Add(1)) }),
		"Extend":            extend(-1),
		"Extend late":       extend(0),
		"Finish":            plain(func(g Grant) (Grant, Event, error) { return g.Finish(late(g)) }),
		"Show":              plain(func(g Grant) (Grant, Event, error) { return g.Show(actorOf(mira), g.ExpiresAt.Add(-1)) }),
		"Show late":         plain(func(g Grant) (Grant, Event, error) { return g.Show(actorOf(mira), g.ExpiresAt) }),
		"End returned":      end(ByHolder, func(g Grant) time.Time { return g.StartsAt }),
		"End revoked":       end(ByPerson, func(g Grant) time.Time { return g.StartsAt }),
		"End policy":        end(ByPolicy, func(g Grant) time.Time { return g.StartsAt }),
		"End failed":        end(BySetup, func(g Grant) time.Time { return g.StartsAt }),
		"End expired early": end(ByTime, func(g Grant) time.Time { return due(g).Add(-1) }),
		"End expired":       end(ByTime, due),
	}
	row := func(usual string, but map[string]string) map[string]string {
		m := map[string]string{}
		for in := range inputs {
			m[in] = usual
			if strings.HasPrefix(in, "End ") {
				m[in] = "ending grant.ending"
			}
		}
		for in, x := range but {
			m[in] = x
		}
		return m
	}
	over := map[string]string{}
	for in := range inputs {
		if strings.HasPrefix(in, "End ") {
			over[in] = "conflict already-ended"
		}
	}
	table := map[GrantState]map[string]string{
		Scheduled: row("conflict wrong-state", map[string]string{
			"Begin early": "conflict not-due", "Begin": "provisioning grant.started",
			"End returned": "ended grant.ended", "End revoked": "ended grant.ended", "End policy": "ended grant.ended", "End failed": "ended grant.ended",
			"End expired early": "conflict not-due", "End expired": "conflict not-due",
		}),
		Provisioning: row("conflict wrong-state", map[string]string{
			"Activate": "active grant.active", "Activate in time": "active grant.active", "Activate late": "expired set-up-too-late",
			"End expired early": "conflict not-due",
		}),
		Active: row("conflict wrong-state", map[string]string{
			"Extend": "active grant.extended", "Extend late": "expired grant-ended",
			"Show": "active credential.shown", "Show late": "expired grant-ended",
			"End expired early": "conflict not-due",
		}),
		Ending: row("conflict wrong-state", map[string]string{
			"Finish": "ended grant.ended", "End returned": "nothing", "End revoked": "nothing", "End policy": "nothing", "End failed": "nothing",
			"End expired early": "nothing", "End expired": "nothing",
		}),
		Ended:  row("conflict wrong-state", over),
		Failed: row("conflict wrong-state", over),
	}
	checkTable(t, table, inputs)
	checkMethods[Grant](t, inputs, "DueAt", "Live", "Over", "Overdue", "Left", "Plan", "Defer", "Seen", "Depends", "WorthNoting", "Renewable", "Within", "Line")
	for s, row := range table {
		for in, want := range row {
			t.Run(string(s)+"/"+in, func(t *testing.T) {
				g := grantIn(t, s)
				got := inputs[in](t, g)
				if got.outcome() != want {
					t.Errorf("got %s, want %s", got.outcome(), want)
				}
				got.check(t, g.Version, string(g.ID))
			})
		}
	}
}

// Deferring and seeing are no events, and neither wakes what is over.
func TestGrantBookkeeping(t *testing.T) {
	now := t0.Add(3 * time.Hour)
	for _, s := range constants[GrantState](t) {
		g := grantIn(t, s)
		want := g
		if s == Scheduled || s == Provisioning {
			want.State, want.StartsAt = Scheduled, now.Add(deferFor)
		}
		if got := g.Defer(now); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: Defer gave %+v", s, got)
		}
		if early := g.Defer(g.StartsAt.Add(-time.Minute)); early.StartsAt != g.StartsAt {
			t.Errorf("%s: Defer moved the start from %v to %v", s, g.StartsAt, early.StartsAt)
		}
		want = g
		want.SeenAt = now
		if got := g.Seen(now); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: Seen gave %+v", s, got)
		}
		live, over := s == Scheduled || s == Provisioning || s == Active, s == Ended || s == Failed
		if g.Live() != live || g.Over() != over {
			t.Errorf("%s: Live() = %v, Over() = %v", s, g.Live(), g.Over())
		}
		if g.DueAt().IsZero() == live {
			t.Errorf("%s: DueAt() = %v", s, g.DueAt())
		}
	}
}
