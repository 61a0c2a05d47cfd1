package apiserver

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"stint/internal/api"
)

const emergencyPolicy = "kind: Policy\nname: emergency\neffect: breakGlass\nsubjects: [group:guests]\nroles: [reader]\n"

func glassHouse(t *testing.T) (w *world, admin, gus *api.Client) {
	t.Helper()
	w, admin = populated(t)
	_, err := admin.Apply(t.Context(), api.Apply{Files: []api.File{{Name: "glass.yaml", Text: emergencyPolicy}}})
	check(t, err)
	return w, admin, w.as(admin, api.UserAdd{Name: "gus", Groups: []string{"guests"}, Admin: true})
}

func (w *world) smash(admin *api.Client, a api.GlassCodesAsk) (*api.Client, api.GlassLogin) {
	w.t.Helper()
	made, err := admin.MakeGlassCodes(w.t.Context(), a)
	check(w.t, err)
	var codes []api.Secret
	for _, m := range made.Codes[:max(1, a.Need)] {
		codes = append(codes, m.Code)
	}
	c := w.client()
	l, err := c.GlassLogin(w.t.Context(), codes)
	check(w.t, err)
	c.Token = l.Token
	return c, l
}

// glassMay are the routes that a login by break-glass codes gets into. Written down here a
// second time, on purpose.
var glassMay = []string{"break-glass", "certificate", "credential", "end", "get-request", "get-resource", "get-role", "list-grants", "list-requests", "list-reviews", "logout", "register-database-key", "whoami"}

// TestGlassLoginMatrix calls every route with a login by codes of an administrator.
func TestGlassLoginMatrix(t *testing.T) {
	w, admin, _ := glassHouse(t)
	c, l := w.smash(admin, api.GlassCodesAsk{User: "gus", Count: 1})
	if l.Admin || l.Principal != "user:gus" || len(l.Codes) != 1 {
		t.Errorf("the login is %+v", l)
	}
	names := slices.Sorted(maps.Keys(w.server.routes))
	names = append(slices.DeleteFunc(names, func(n string) bool { return n == "logout" }), "logout")
	for _, name := range names {
		rt := w.server.routes[name]
		if rt.who == public || rt.who == device || rt.who == host || rt.who == gateway {
			continue
		}
		g := w.send(w.raw(c, rt.method, samples[name].path, samples[name].body))
		in := g.error.Code != "break-glass-only" && g.error.Code != "not-yours"
		if want := slices.Contains(glassMay, name); in != want || in && g.status == http.StatusUnauthorized {
			t.Errorf("%s: %d %s, want in: %v", name, g.status, g.error.Code, want)
		}
	}
}

// TestBreakGlassDoor goes the whole way by the door, with codes of two persons of whom it
// takes both, from a device that nobody knows.
func TestBreakGlassDoor(t *testing.T) {
	w, admin, gus := glassHouse(t)
	ctx := t.Context()
	omar := w.as(admin, api.UserAdd{Name: "omar"})
	c, l := w.smash(admin, api.GlassCodesAsk{Sharers: []string{"gus", "omar"}, Need: 2, Resource: "db"})
	if l.Principal != "user:gus" || l.Resource != "db" || len(l.Codes) != 2 {
		t.Fatalf("the login is %+v", l)
	}
	me, err := c.Whoami(ctx)
	check(t, err)
	if !me.BreakGlass || me.Admin {
		t.Errorf("whoami says %+v", me)
	}
	dry, err := c.BreakGlass(ctx, api.GlassAsk{Resource: "db", Why: "checkout is down", DryRun: true}, api.Wait{})
	check(t, err)
	if dry.ID != "" || dry.State != api.RequestApproved || dry.Duration != "1h" || dry.Role != "reader" || dry.Emergency != api.EmergencyBreakGlass {
		t.Errorf("a dry run: %+v", dry)
	}
	r, err := c.BreakGlass(ctx, api.GlassAsk{Resource: "db", Why: "checkout is down"}, api.Wait{})
	check(t, err)
	if r.State != api.RequestApproved || r.Emergency != api.EmergencyBreakGlass {
		t.Fatalf("it is %+v", r)
	}
	r, err = c.WaitFor(ctx, r.ID, api.Ready, nil)
	check(t, err)
	if _, err := c.Credential(ctx, r.ID); err != nil {
		t.Errorf("its credential: %v", err)
	}
	if _, err := gus.Credential(ctx, r.ID); err == nil {
		t.Error("another device reads the credential") // it would be sealed to this one all the same
	}
	_, err = gus.Extend(ctx, r.ID, api.ExtendAsk{For: "5m", Why: "a little more"})
	wantProblem(t, err, "not-renewable")

	page, err := omar.Reviews(ctx, api.ReviewList{State: "open"})
	check(t, err)
	if len(page.Items) != 1 || page.Items[0].Request != r.ID || page.Items[0].Yours || strings.Join(page.Items[0].Openers, ",") != "gus,omar" {
		t.Fatalf("omar sees %+v", page.Items)
	}
	id := page.Items[0].ID
	_, err = omar.CloseReview(ctx, id, api.ReviewClose{Finding: "justified", Note: "fine"}) // owns it, and lent a code
	wantProblem(t, err, "own-review")
	_, err = gus.CloseReview(ctx, id, api.ReviewClose{Finding: "justified", Note: "fine"})
	wantProblem(t, err, "own-review")
	v, err := admin.CloseReview(ctx, id, api.ReviewClose{Finding: "unjustified", Note: "nothing was down"})
	check(t, err)
	if v.State != "closed" || v.ClosedBy != "user:root" || v.Finding != "unjustified" {
		t.Errorf("closed as %+v", v)
	}
	if _, err := c.End(ctx, r.ID); err != nil {
		t.Errorf("giving it back: %v", err)
	}
	check(t, c.Logout(ctx))
	if _, err := c.Whoami(ctx); !errors.Is(err, api.Unauthenticated) {
		t.Errorf("after signing out: %v", err)
	}
	codes, err := admin.GlassCodes(ctx, api.List{})
	check(t, err)
	for _, g := range codes.Items {
		if g.State != "used" || g.Code != "" || g.Need != 2 {
			t.Errorf("the list has %+v", g)
		}
	}
}

// From any no: whom it is open to is told, and nobody else.
func TestEveryNoNamesBreakGlass(t *testing.T) {
	w, admin, gus := glassHouse(t)
	w.as(admin, api.UserAdd{Name: "anna", Groups: []string{"dba"}}) // who could approve
	ctx := t.Context()
	r, err := gus.Submit(ctx, api.Ask{Resource: "db", Role: "reader", Duration: "3h", Reason: "look at it"}, api.Wait{})
	check(t, err)
	if r.State != api.RequestDenied || r.BreakGlass != "reader" {
		t.Errorf("refused by policy: %s, %q", r.State, r.BreakGlass)
	}
	if seen, err := admin.Request(ctx, r.ID, api.Wait{}); err != nil || seen.BreakGlass != "" {
		t.Errorf("to somebody else: %q, %v", seen.BreakGlass, err)
	}
	dry, err := gus.Submit(ctx, api.Ask{Resource: "db", Role: "reader", Duration: "3h", Reason: "look at it", DryRun: true}, api.Wait{})
	if err != nil || dry.BreakGlass != "reader" {
		t.Errorf("a dry run: %q, %v", dry.BreakGlass, err)
	}
	r, err = gus.Submit(ctx, api.Ask{Resource: "db", Role: "reader", Duration: "30m", Reason: "look at it"}, api.Wait{})
	check(t, err)
	if r.BreakGlass != "" {
		t.Error("what waits is no no")
	}
	olga := w.as(admin, api.UserAdd{Name: "olga", Groups: []string{"dba"}})
	_, err = olga.Deny(ctx, r.ID, api.VoteAsk{Note: "not today"})
	check(t, err)
	if r, err = gus.Request(ctx, r.ID, api.Wait{}); err != nil || r.BreakGlass != "reader" {
		t.Errorf("refused by a person: %q, %v", r.BreakGlass, err)
	}
	mira := w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	if r, err = mira.Submit(ctx, api.Ask{Resource: "db", Role: "reader", Duration: "3h", Reason: "look at it"}, api.Wait{}); err != nil || r.BreakGlass != "" {
		t.Errorf("somebody who may not: %q, %v", r.BreakGlass, err)
	}
}

func wantProblem(t *testing.T, err error, code string) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("got %v, want %s", err, code)
	}
}
