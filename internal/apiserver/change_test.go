package apiserver

import (
	"slices"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
)

// A group that is taken away takes its access along, at once.
func TestChangedUserLosesWhatTheGroupGave(t *testing.T) {
	w, admin := populated(t)
	ctx := t.Context()
	mira := w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	omar := w.as(admin, api.UserAdd{Name: "omar", Groups: []string{"platform"}})
	grant := func(c *api.Client) api.Request {
		r, err := c.Submit(ctx, api.Ask{Resource: "db", Role: "reader", Duration: "1h", Reason: "check order 4711"}, api.Wait{For: api.Ready, Time: 20 * time.Second})
		check(t, err)
		if r.Grant == nil || r.Grant.State != api.GrantActive {
			t.Fatalf("not active: %+v", r)
		}
		return r
	}
	mine, others := grant(mira), grant(omar)
	no, noor := false, "noor"
	w.as(admin, api.UserAdd{Name: noor})

	u, err := admin.SetUser(ctx, "mira", api.UserSet{Groups: []string{}, Manager: &noor})
	check(t, err)
	if u.ID != "user:mira" || len(u.Groups) != 0 || u.Manager != "noor" {
		t.Errorf("changed to %+v", u)
	}
	mine, err = mira.Request(ctx, mine.ID, api.Wait{For: api.Ended, Time: 20 * time.Second})
	check(t, err)
	if mine.Grant.State != api.GrantEnded || mine.Grant.EndReason != api.EndPolicy {
		t.Errorf("her grant is %+v", mine.Grant)
	}
	// What is not given stays, and who keeps the group keeps the access.
	u, err = admin.SetUser(ctx, "user:omar", api.UserSet{Admin: &no, Manager: &noor})
	check(t, err)
	if !slices.Equal(u.Groups, []string{"platform"}) || u.Live != 1 {
		t.Errorf("changed to %+v", u)
	}
	others, err = omar.Request(ctx, others.ID, api.Wait{})
	check(t, err)
	if others.Grant.State != api.GrantActive {
		t.Errorf("his grant is %+v", others.Grant)
	}

	_, err = admin.SetUser(ctx, "root", api.UserSet{Admin: &no})
	wantError(t, err, api.Conflict, "own-account")
	_, err = admin.SetUser(ctx, "mira", api.UserSet{})
	wantError(t, err, api.Invalid, "nothing-to-change")
	_, err = admin.SetUser(ctx, "service:ci", api.UserSet{Enable: true})
	wantError(t, err, api.NotFound, "no-such-user")
	_, err = mira.SetUser(ctx, "mira", api.UserSet{Groups: []string{"platform"}})
	wantError(t, err, api.Denied, "not-yours")
}

// Who was disabled is let in again with a fresh code, which voids older ones.
func TestEnabledAgain(t *testing.T) {
	w, admin := populated(t)
	ctx := t.Context()
	w.as(admin, api.UserAdd{Name: "mira"})
	_, err := admin.DisableUser(ctx, "mira")
	check(t, err)
	u, err := admin.SetUser(ctx, "mira", api.UserSet{Enable: true})
	check(t, err)
	if u.Disabled {
		t.Error("still disabled")
	}
	var codes [2]api.UserAdded
	for i := range codes {
		check(t, admin.Do(ctx, post, "/admin/users/mira/enroll", nil, &codes[i]))
	}
	_, err = w.client().Enroll(ctx, codes[0].EnrollToken, false, "")
	wantError(t, err, api.Unauthenticated, "bad-code")
	_, err = w.enroll(codes[1].EnrollToken.Reveal(), "").Whoami(ctx)
	check(t, err)
}

// The account is said where it is somebody's own, and a detail says more than
// the state does.
func TestGrantOnTheWire(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		state   access.GrantState
		account string
		problem string
		note    string
		detail  string
	}{
		{name: "one's own account", state: access.Active, account: "mira"},
		{name: "an account made for it", state: access.Active},
		{name: "nothing to say", state: access.Provisioning},
		{name: "trouble", state: access.Provisioning, problem: "the target does not answer", detail: "the target does not answer"},
		{name: "being removed", state: access.Ending, note: "laptop stolen", detail: "laptop stolen"},
		{name: "trouble with the removal", state: access.Ending, note: "laptop stolen", problem: "the target does not answer", detail: "the target does not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := access.Grant{ID: "grt_1", State: c.state, EndNote: c.note, Targets: []access.Target{{Resource: "db", Account: c.account}}}
			v := broker.View{Request: access.Request{ID: "req_1", Targets: g.Targets}, Grant: &g, Problem: c.problem, Now: now}
			if got := toRequest(v).Grant; got.Account != c.account || got.Detail != c.detail {
				t.Errorf("got account %q and detail %q, want %q and %q", got.Account, got.Detail, c.account, c.detail)
			}
			if got := toHasRow("db", v).Account; got != c.account {
				t.Errorf("who-has says account %q, want %q", got, c.account)
			}
		})
	}
}
