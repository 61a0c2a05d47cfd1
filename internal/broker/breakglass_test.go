package broker_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/policy"
	"stint/internal/store"
)

// overheard is a store that keeps the events of what was committed, and can lose the
// ability to write any.
type overheard struct {
	memory
	deaf atomic.Bool
	mu   sync.Mutex
	evs  []access.Event
}

type heardTx struct {
	broker.Tx
	o   *overheard
	evs *[]access.Event
}

func (tx heardTx) Append(evs ...access.Event) error {
	if tx.o.deaf.Load() {
		return access.Fail(access.Unavailable, "log-unwritable", "injected")
	}
	*tx.evs = append(*tx.evs, evs...)
	return tx.Tx.Append(evs...)
}

func (o *overheard) Update(ctx context.Context, fn func(broker.Tx) error) error {
	var evs []access.Event
	err := o.memory.Update(ctx, func(tx broker.Tx) error { evs = nil; return fn(heardTx{tx, o, &evs}) })
	if err == nil {
		o.mu.Lock()
		o.evs = append(o.evs, evs...)
		o.mu.Unlock()
	}
	return err
}

func (o *overheard) of(t access.EventType) (found []access.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, ev := range o.evs {
		if ev.Type == t {
			found = append(found, ev)
		}
	}
	return found
}

const emergencyPolicy = `
kind: Policy
name: emergency
effect: breakGlass
subjects: [group:guests]
roles: [reader, shared]
`

// glassHouse is an installation in which gus, who otherwise waits for an approval, may
// break glass, and has another login with every right that there is.
type glassHouse struct {
	*installation
	heard *overheard
}

func newGlassHouse(t *testing.T) *glassHouse {
	t.Helper()
	h := &glassHouse{heard: &overheard{}}
	in, err := prepare(t, t.TempDir())
	must(t, err)
	must(t, in.store.Update(t.Context(), func(tx *store.Tx) error { return tx.SavePrincipals(gusAdm, bot, vendor) }))
	must(t, in.store.Close())
	in.t, in.reviewWithin = t, time.Hour
	in.wrap = func(m memory) broker.Store { h.heard.memory = m; return h.heard }
	in.start()
	h.installation = in
	h.apply(emergencyPolicy)
	return h
}

var (
	gusAdm = access.Principal{ID: "user:gus-adm", Person: "gus", Groups: []access.Group{"dba"}, Auditor: true, Version: 1, CreatedAt: time.Unix(1, 0).UTC()}
	bot    = access.Principal{ID: "service:bot", Person: "gus", Groups: []access.Group{"guests"}, Version: 1, CreatedAt: time.Unix(1, 0).UTC()}
	vendor = access.Principal{ID: "user:vendor", Person: "vendor", Groups: []access.Group{"guests"}, Version: 1, CreatedAt: time.Unix(1, 0).UTC(), Until: time.Now().Add(24 * time.Hour).UTC().Truncate(time.Millisecond)}
)

func (h *glassHouse) apply(text string) {
	h.t.Helper()
	_, err := h.Apply(h.t.Context(), h.as("root"), []policy.File{{Name: "glass.yaml", Text: text}}, false)
	must(h.t, err)
}

func (h *glassHouse) caller(p access.Principal) broker.Caller {
	src := access.Source{Device: access.DeviceID("device-of-" + p.ID.Name())}
	return broker.Caller{Principal: p, Source: src, Actor: access.Actor{Principal: p.ID, Person: p.Person, Device: src.Device}, SealKey: h.device[:]}
}

func (h *glassHouse) smash(c broker.Caller, bend ...func(*broker.Glass)) (broker.View, error) {
	g := broker.Glass{Resource: "db", Role: "reader", Reason: "checkout is down"}
	for _, f := range bend {
		f(&g)
	}
	return h.BreakGlass(h.t.Context(), c, g)
}

func (h *glassHouse) review(r access.RequestID) access.Review {
	h.t.Helper()
	vs, _, err := h.Reviews(h.t.Context(), h.as("root"), access.ReviewQuery{})
	must(h.t, err)
	for _, v := range vs {
		if v.Request == r {
			return v.Review
		}
	}
	h.t.Fatalf("there is no review of %s", r)
	panic("unreachable")
}

func code(err error) string {
	var e *access.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// TestBreakGlass goes the whole way: at once, loud, an hour at most, gone, and reviewed
// by somebody else. (I-31)
func TestBreakGlass(t *testing.T) {
	h := newGlassHouse(t)
	v, err := h.smash(h.as("gus"))
	must(t, err)
	if v.Request.State != access.RequestIsGranted || v.Request.Emergency != access.BreakGlass || v.Request.Duration != access.MaxEmergency {
		t.Fatalf("the request is %s, %q, for %s: %v", v.Request.State, v.Request.Emergency, v.Request.Duration, v.Request.Decision.Reasons)
	}
	id := string(v.Request.ID)
	v = h.until("gus", id, access.Active)
	if left := v.Grant.ExpiresAt.Sub(v.Grant.ActiveAt); left > access.MaxEmergency || v.Grant.Emergency != access.BreakGlass {
		t.Errorf("it lasts %s", left)
	}
	alarms := h.heard.of(access.BreakGlassOpened)
	if len(alarms) != 1 {
		t.Fatalf("%d alarms", len(alarms))
	}
	for name, want := range map[string]string{"owners": "user:omar", "page": "owners", "request": id, "principal": "user:gus", "reason": "checkout is down", "drill": "",
		"obligations": "recording=none,page=owners,review=other-person", "resource": "db", "role": "reader"} {
		if got := alarms[0].Facts[name]; got != want {
			t.Errorf("the alarm's %s is %q, want %q", name, got, want)
		}
	}
	rev := h.review(v.Request.ID)
	if rev.State != access.ReviewOpen || string(rev.ID) != alarms[0].Entity || rev.Grant != v.Grant.ID {
		t.Fatalf("the review is %+v", rev)
	}

	_, err = h.Extend(t.Context(), h.as("gus"), id, broker.Ask{Duration: time.Minute, Reason: "checkout is still down"})
	wantCode(t, err, "not-renewable")
	_, err = h.End(t.Context(), h.as("gus"), id, "")
	must(t, err)
	h.until("gus", id, access.Ended)
	h.clean()

	found := func(c broker.Caller, f access.Finding) error {
		_, err := h.CloseReview(t.Context(), c, string(rev.ID), f, "two stuck locks were cleared")
		return err
	}
	for _, x := range []struct {
		name string
		by   broker.Caller
		code string
	}{
		{"gus himself", h.as("gus"), "own-review"},
		{"gus by his other login, an auditor", h.caller(gusAdm), "own-review"},
		{"his service", h.caller(bot), "own-review"},
		{"somebody without a say", h.as("mira"), "not-found"},
	} {
		if got := code(found(x.by, access.Justified)); got != x.code && !(x.by.Principal.ID.Kind() != access.User && got == "not-a-person") {
			t.Errorf("%s: got %q, want %q", x.name, got, x.code)
		}
	}
	if got := code(found(h.as("root"), access.FoundDrill)); got != "no-drill" {
		t.Errorf("called a drill: %q", got)
	}
	must(t, found(h.as("omar"), access.Justified)) // who owns it
	if rev = h.review(v.Request.ID); rev.State != access.ReviewClosed || rev.CloserPerson != "omar" {
		t.Errorf("the review is %+v", rev)
	}
	if got := code(found(h.as("root"), access.Unjustified)); got != "already-closed" {
		t.Errorf("closed twice: %q", got)
	}
	if n := len(h.heard.of(access.ReviewDone)); n != 1 {
		t.Errorf("%d events of the close", n)
	}
	must(t, h.verifyLog())
}

// TestBreakGlassAttacks is the table of what does not work, and what the log keeps of it.
func TestBreakGlassAttacks(t *testing.T) {
	h := newGlassHouse(t)
	ctx := t.Context()
	for _, x := range []struct {
		name string
		do   func() (broker.View, error)
		code string // of the error; empty: it is on record as denied
	}{
		{"61 minutes", func() (broker.View, error) {
			return h.smash(h.as("gus"), func(g *broker.Glass) { g.Duration = 61 * time.Minute })
		}, "break-glass-too-long"},
		{"less than nothing", func() (broker.View, error) { return h.smash(h.as("gus"), func(g *broker.Glass) { g.Duration = -1 }) }, "bad-duration"},
		{"no reason", func() (broker.View, error) { return h.smash(h.as("gus"), func(g *broker.Glass) { g.Reason = " " }) }, "no-reason"},
		{"somebody whom no policy names", func() (broker.View, error) { return h.smash(h.as("mira")) }, ""},
		{"an administrator", func() (broker.View, error) { return h.smash(h.as("root")) }, ""},
		{"a role that the policy does not name", func() (broker.View, error) { return h.smash(h.as("gus"), func(g *broker.Glass) { g.Role = "admin" }) }, ""},
		{"a service in the group", func() (broker.View, error) { return h.smash(h.caller(bot)) }, "not-a-person"},
		{"a vendor in the group", func() (broker.View, error) { return h.smash(h.caller(vendor)) }, ""},
		{"an ordinary call that says it is an emergency", func() (broker.View, error) {
			a := ask("reader", time.Hour)
			a.Emergency = access.BreakGlass
			return h.Submit(ctx, h.as("gus"), a)
		}, ""},
		{"a resource that is none", func() (broker.View, error) {
			return h.smash(h.as("gus"), func(g *broker.Glass) { g.Resource = "nowhere" })
		}, "no-such-resource"},
		{"two roles, and none said", func() (broker.View, error) { return h.smash(h.as("gus"), func(g *broker.Glass) { g.Role = "" }) }, "which-role"},
	} {
		v, err := x.do()
		switch {
		case x.code == "" && (err != nil || v.Request.State != access.RequestIsDenied || v.Grant != nil):
			t.Errorf("%s: %s, %v", x.name, v.Request.State, err)
		case x.code != "" && code(err) != x.code:
			t.Errorf("%s: got %v, want %s", x.name, err, x.code)
		}
	}
	if n := len(h.heard.of(access.BreakGlassOpened)) + len(h.heard.of(access.GrantCreated)); n != 0 {
		t.Errorf("%d alarms and grants", n)
	}
	open, _, err := h.ReviewCounts(ctx)
	if open != 0 || err != nil {
		t.Errorf("%d reviews, %v", open, err)
	}

	// What lives is not extended, not even where an ordinary policy would let it.
	h.apply("kind: Policy\nname: for-guests\nsubjects: [group:guests]\nroles: [reader]\n")
	v, err := h.smash(h.as("gus"))
	must(t, err)
	id := string(v.Request.ID)
	h.until("gus", id, access.Active)
	_, err = h.Extend(ctx, h.as("gus"), id, broker.Ask{Duration: time.Minute, Reason: "a little more"})
	if code(err) != "not-renewable" {
		t.Errorf("an extension: %v", err)
	}

	// Without its policy it ends, although an ordinary one would now allow the same.
	must(t, second2(h.Delete(ctx, h.as("root"), policy.KindPolicy, "emergency", false)))
	if v = h.until("gus", id, access.Ended); v.Grant.EndReason != access.ByPolicy {
		t.Errorf("ended as %s", v.Grant.EndReason)
	}
	h.clean()
}

// A stop that an administrator ordered wins, and so does a deny that does not yield.
func TestBreakGlassYieldsToStopAndDeny(t *testing.T) {
	h := newGlassHouse(t)
	must(t, h.SetStop(t.Context(), h.as("root"), true, "incident 77"))
	if _, err := h.smash(h.as("gus")); code(err) != "stopped" {
		t.Errorf("while stopped: %v", err)
	}
	must(t, h.SetStop(t.Context(), h.as("root"), false, "over"))
	h.apply("kind: Policy\nname: freeze\neffect: deny\nsubjects: [\"*\"]\nroles: [\"*\"]\n")
	v, err := h.smash(h.as("gus"))
	must(t, err)
	if v.Request.State != access.RequestIsDenied || v.Request.Decision.Policy != "freeze" {
		t.Errorf("frozen: %s by %s", v.Request.State, v.Request.Decision.Policy)
	}
	h.apply("kind: Policy\nname: freeze\neffect: deny\nunless: breakGlass\nsubjects: [\"*\"]\nroles: [\"*\"]\n")
	if v, err = h.smash(h.as("gus")); err != nil || v.Request.State != access.RequestIsGranted {
		t.Errorf("a freeze that yields: %s, %v", v.Request.State, err)
	}
	if v, err = h.Submit(t.Context(), h.as("mira"), ask("reader", time.Minute)); err != nil || v.Request.State != access.RequestIsDenied {
		t.Errorf("to an emergency alone: %s, %v", v.Request.State, err)
	}
}

// Without the alarm in the log there is no access.
func TestBreakGlassNeedsTheLog(t *testing.T) {
	h := newGlassHouse(t)
	h.heard.deaf.Store(true)
	ctx, done := context.WithTimeout(t.Context(), 2*time.Second)
	defer done()
	if v, err := h.BreakGlass(ctx, h.as("gus"), broker.Glass{Resource: "db", Role: "reader", Reason: "checkout is down"}); err == nil {
		t.Fatalf("granted: %s", v.Request.State)
	}
	if left := h.target.left(); len(left) > 0 {
		t.Errorf("on the target: %s", strings.Join(left, ", "))
	}
	h.heard.deaf.Store(false)
	rs, err := h.Requests(t.Context(), h.as("root"), access.RequestQuery{})
	if len(rs) != 0 || err != nil {
		t.Errorf("%d requests are on record, %v", len(rs), err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err = h.smash(h.as("gus")); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("with the log back: %v", err)
		}
	}
}

// A repeat finds the first one's access, and opens no second review.
func TestBreakGlassRepeated(t *testing.T) {
	h := newGlassHouse(t)
	again := func(g *broker.Glass) { g.Key, g.Body = "k1", access.Digest{1} }
	a, err := h.smash(h.as("gus"), again)
	must(t, err)
	b, err := h.smash(h.as("gus"), again)
	must(t, err)
	if a.Request.ID != b.Request.ID || len(h.heard.of(access.BreakGlassOpened)) != 1 {
		t.Errorf("%s, then %s", a.Request.ID, b.Request.ID)
	}
	if _, err = h.smash(h.as("gus"), func(g *broker.Glass) { g.Key, g.Body = "k1", access.Digest{2} }); code(err) != "key-reused" {
		t.Errorf("another call with the key: %v", err)
	}
}

// From any no there is a way, for those whom it is open to.
func TestGlassFor(t *testing.T) {
	h := newGlassHouse(t)
	ctx := t.Context()
	v, err := h.Submit(ctx, h.as("gus"), ask("shared", 20*time.Minute))
	must(t, err)
	if v.Request.State != access.RequestIsDenied {
		t.Fatal(v.Request.State)
	}
	open, err := h.GlassFor(ctx, h.as("gus"), v.Request)
	must(t, err)
	if len(open) != 2 || open[0].Role != "shared" || open[0].Duration != 30*time.Minute || open[1].Role != "reader" {
		t.Errorf("gus could break glass for %v", open)
	}
	for name, who := range map[string]broker.Caller{"somebody who only sees the request": h.as("root"), "his other login": h.caller(gusAdm)} {
		if open, err := h.GlassFor(ctx, who, v.Request); err != nil || len(open) != 0 {
			t.Errorf("%s: %v, %v", name, open, err)
		}
	}
	v, err = h.Submit(ctx, h.as("mira"), ask("reader", 3*time.Hour))
	must(t, err)
	if open, err := h.GlassFor(ctx, h.as("mira"), v.Request); err != nil || len(open) != 0 {
		t.Errorf("mira: %v, %v", open, err)
	}
	a, x, err := h.PreviewGlass(ctx, h.as("gus"), broker.Glass{Resource: "db", Role: "shared", Reason: "a fire"})
	if err != nil || x.Decision.Effect != access.Allow || a.Duration != 30*time.Minute {
		t.Errorf("a preview: %+v, %v", x.Decision, err)
	}
}

// TestGlassLogin: a login by one-time codes does nothing but break glass, and sees what it
// opened itself on its device.
func TestGlassLogin(t *testing.T) {
	h := newGlassHouse(t)
	ctx := t.Context()
	before, err := h.smash(h.as("gus")) // by an ordinary login, on another device
	must(t, err)
	h.until("gus", string(before.Request.ID), access.Active)
	c := h.as("gus")
	c.Source.Device, c.Actor.Device = "borrowed", "borrowed"
	c.Glass = &access.Glass{Codes: []string{"code_1", "code_2"}, Persons: []access.Person{"gus", "olga"}, Resource: "db"}

	v, err := h.smash(c)
	must(t, err)
	alarms := h.heard.of(access.BreakGlassOpened)
	if last := alarms[len(alarms)-1]; last.Facts["codes"] != "code_1,code_2" || last.Facts["page"] != "owners,administrators" {
		t.Errorf("the alarm says %v", last.Facts)
	}
	rev := h.review(v.Request.ID)
	for name, err := range map[string]error{
		"an ordinary request":    errOf(h.Submit(ctx, c, ask("reader", time.Minute))),
		"closing a review":       errOf(h.CloseReview(ctx, c, string(rev.ID), access.Justified, "fine")),
		"another resource":       errOf(h.smash(c, func(g *broker.Glass) { g.Resource = "other" })),
		"what was opened before": errOf(h.View(ctx, c, string(before.Request.ID))),
		"ending that":            errOf(h.End(ctx, c, string(before.Request.ID), "")),
		"its credential":         errOf(h.Credential(ctx, c, string(before.Request.ID))),
	} {
		if access.KindOf(err) != access.Denied && access.KindOf(err) != access.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	rs, err := h.Requests(ctx, c, access.RequestQuery{})
	if len(rs) != 1 || rs[0].Request.ID != v.Request.ID || err != nil {
		t.Errorf("it lists %d requests, %v", len(rs), err)
	}
	gs, err := h.Grants(ctx, c, access.GrantQuery{Resource: "db"})
	if len(gs) != 1 || gs[0].Request.ID != v.Request.ID || err != nil {
		t.Errorf("it lists %d grants, %v", len(gs), err)
	}
	vs, _, err := h.Reviews(ctx, c, access.ReviewQuery{})
	if len(vs) != 1 || vs[0].ID != rev.ID || vs[0].Mine || err != nil {
		t.Errorf("it lists %d reviews, %v", len(vs), err)
	}
	// Who lent a code reviews nothing of it, even as an owner.
	_, err = h.CloseReview(ctx, h.as("olga"), string(rev.ID), access.Justified, "fine")
	if got := code(err); got != "not-found" && got != "own-review" {
		t.Errorf("who lent a code: %v", err)
	}
	must(t, errOf(h.CloseReview(ctx, h.as("omar"), string(rev.ID), access.Unjustified, "no need for it")))
	must(t, errOf(h.End(ctx, c, string(v.Request.ID), "")))
}

func errOf[T any](_ T, err error) error { return err }

// TestOverdueReviews: a review that nobody closes is called to mind, once whichever
// replica does it, and makes the next emergency of that person louder, not impossible.
func TestOverdueReviews(t *testing.T) {
	h := newGlassHouse(t)
	h.stop()
	h.reviewWithin = time.Millisecond
	h.start()
	v, err := h.smash(h.as("gus"), func(g *broker.Glass) { g.Drill = true })
	must(t, err)
	if rev := h.review(v.Request.ID); !rev.Drill || v.Request.Emergency != access.Drill || v.Request.Duration != 5*time.Minute {
		t.Errorf("a drill is %+v, %q", rev, v.Request.Emergency)
	}
	if alarm := h.heard.of(access.BreakGlassOpened); len(alarm) != 1 || alarm[0].Facts["drill"] != "true" {
		t.Errorf("the alarm of a drill is %+v", alarm)
	}
	time.Sleep(5 * time.Millisecond)
	if open, overdue, err := h.ReviewCounts(t.Context()); open != 1 || overdue != 1 || err != nil {
		t.Errorf("%d open, %d overdue, %v", open, overdue, err)
	}
	// Several begin to look at the same moment.
	ctx, cancel := context.WithCancel(t.Context())
	var g errgroup.Group
	for _, name := range []string{"two", "three"} {
		b, err := h.shared(h.heard, name, slog.New(slog.DiscardHandler))
		must(t, err)
		g.Go(func() error { return b.Run(ctx) })
	}
	for end := time.Now().Add(30 * time.Second); len(h.heard.of(access.ReviewOverdue)) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nobody called it to mind")
		}
	}
	time.Sleep(200 * time.Millisecond)
	cancel()
	must(t, g.Wait())
	if n := len(h.heard.of(access.ReviewOverdue)); n != 1 {
		t.Errorf("it was called to mind %d times", n)
	}
	must(t, errOf(h.smash(h.as("gus"))))
	alarms := h.heard.of(access.BreakGlassOpened)
	if last := alarms[len(alarms)-1]; last.Facts["overdue_reviews"] != "1" || last.Facts["page"] != "owners,administrators" {
		t.Errorf("the next alarm says %v", last.Facts)
	}
	must(t, errOf(h.CloseReview(t.Context(), h.as("root"), string(h.review(v.Request.ID).ID), access.FoundDrill, "it works")))
}
