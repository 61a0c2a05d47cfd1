package apiserver

import (
	"testing"

	"stint/internal/api"
)

// TestWhoRevoked: the holder is told who revoked their access, once the log has it, and
// of other ends nobody is named.
func TestWhoRevoked(t *testing.T) {
	w, admin := populated(t, patient)
	ctx := t.Context()
	mira := w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	for why, end := range map[api.EndReason]func(id string) error{
		api.EndRevoked: func(id string) error {
			_, err := admin.Revoke(ctx, api.RevokeAsk{Grant: id, Why: "laptop stolen"})
			return err
		},
		api.EndReturned: func(id string) error { _, err := mira.End(ctx, id); return err },
	} {
		r, err := mira.Submit(ctx, api.Ask{Resource: "db", Role: "reader", Duration: "5m", Reason: "look at it"}, api.Wait{})
		check(t, err)
		w.until(func() bool {
			r, err = mira.Request(ctx, r.ID, api.Wait{})
			check(t, err)
			return r.Grant != nil && r.Grant.State == api.GrantActive
		})
		if r.Grant.EndedBy != "" {
			t.Errorf("a live one was ended by %q", r.Grant.EndedBy)
		}
		check(t, end(r.ID))
		want := ""
		if why == api.EndRevoked {
			want = "user:root"
		}
		w.until(func() bool {
			r, err = mira.Request(ctx, r.ID, api.Wait{})
			check(t, err)
			return r.Grant.State == api.GrantEnded && r.Grant.EndedBy == want
		})
		if r.Grant.EndReason != why || r.Grant.ExpiresAt.Before(r.Grant.EndedAt.Time) {
			t.Errorf("ended: %+v", r.Grant)
		}
	}
}

// patient lets a test look as often as it likes.
func patient(c *Config) { c.Limits = Limits{ReadsPerSecond: 1e6, Burst: 1e6} }

// TestOffers: what would be allowed comes with what to ask for it.
func TestOffers(t *testing.T) {
	w, admin := populated(t)
	mira := w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	ask := api.Ask{Resource: "db", Role: "reader", Duration: "3h", Reason: "look at it"}
	x, err := mira.Explain(t.Context(), api.ExplainAsk{Ask: ask})
	check(t, err)
	if x.Decision.Outcome != api.OutcomeDeny || len(x.Offers) != 1 || x.Offers[0] != (api.Offer{Role: "reader", Duration: "2h"}) {
		t.Fatalf("%+v", x)
	}
	ask.Role, ask.Duration = x.Offers[0].Role, x.Offers[0].Duration
	if r, err := mira.Submit(t.Context(), ask, api.Wait{}); err != nil || r.State != api.RequestApproved {
		t.Errorf("asked as offered: %s, %v", r.State, err)
	}
}

// TestNearestName: a name that is none is answered with the nearest, or with where to look.
func TestNearestName(t *testing.T) {
	w, admin := populated(t)
	w.as(admin, api.UserAdd{Name: "mira"})
	ctx := t.Context()
	for want, ask := range map[string]func() error{
		`did you mean "reader"?`:                  func() error { _, err := admin.Role(ctx, "raeder"); return err },
		`did you mean "at-once"?`:                 func() error { _, err := admin.Policy(ctx, "at-onec"); return err },
		`did you mean "mira"?`:                    func() error { _, err := admin.User(ctx, "mria"); return err },
		"stint get resources lists what there is": func() error { _, err := admin.Resource(ctx, "nope"); return err },
		"stint get roles lists what there is":     func() error { _, err := admin.Role(ctx, "dragons"); return err },
	} {
		err := ask()
		wantError(t, err, api.NotFound, asError(err).Code)
		if got := asError(err).Next; got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
