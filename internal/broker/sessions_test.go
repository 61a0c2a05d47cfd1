package broker_test

import (
	"context"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/policy"
)

const visits = `
kind: Role
name: visit
resources: {type: fake}
mechanism: account
fake: {memberOf: [app_read]}
maxDuration: 1h
endOn: {logout: true}
---
kind: Role
name: watch
resources: {type: fake}
mechanism: account
fake: {memberOf: [app_read]}
maxDuration: 1h
endOn: {idle: 3s}
---
kind: Policy
name: visitors
subjects: [group:platform]
roles: [visit, watch]
`

// connect opens, or with n = 0 closes, sessions of the one account that was made.
func (in *installation) connect(n int) {
	in.target.mu.Lock()
	defer in.target.mu.Unlock()
	for _, a := range in.target.accounts {
		if a.tag != "" {
			a.sessions, a.active = n, time.Now()
		}
	}
}

// seen waits until the broker has noted a session of the grant.
func (in *installation) seen(id string) {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(in.t.Context(), 60*time.Second)
	defer cancel()
	v, err := in.Wait(ctx, in.as("mira"), id, func(v broker.View) bool { return !v.Grant.SeenAt.IsZero() })
	must(in.t, err)
	if v.Grant.SeenAt.IsZero() || v.Grant.State != access.Active {
		in.t.Fatalf("the grant is %s, a session seen at %s", v.Grant.State, v.Grant.SeenAt)
	}
}

func TestLogoutEndsTheGrant(t *testing.T) {
	t.Parallel() // it waits
	in := newInstallation(t)
	_, err := in.Apply(t.Context(), in.as("root"), []policy.File{{Name: "visits.yaml", Text: visits}}, false)
	must(t, err)
	id := string(in.hold("mira", "visit", time.Hour).Request.ID)
	in.connect(1)
	in.seen(id)
	in.connect(0)
	v := in.until("mira", id, access.Ended)
	if v.Grant.EndReason != access.ByHolder || v.Grant.EndNote != "the last session was closed" {
		t.Errorf("ended as %s: %s", v.Grant.EndReason, v.Grant.EndNote)
	}
	in.clean()
}

// TestIdleCountsFromTheLastSession: who worked a moment ago and closed the
// session was not idle since the beginning.
func TestIdleCountsFromTheLastSession(t *testing.T) {
	t.Parallel() // it waits
	in := newInstallation(t)
	_, err := in.Apply(t.Context(), in.as("root"), []policy.File{{Name: "visits.yaml", Text: visits}}, false)
	must(t, err)
	v := in.hold("mira", "watch", time.Hour)
	id := string(v.Request.ID)
	in.connect(1)
	in.seen(id)
	in.connect(0)
	active := time.Now()
	v = in.until("mira", id, access.Ended)
	if v.Grant.EndReason != access.ByHolder || v.Grant.EndNote != "nothing was done for 3s" {
		t.Errorf("ended as %s: %s", v.Grant.EndReason, v.Grant.EndNote)
	}
	// A look is each second, and the broker notes activity to a tenth of the limit.
	if idle := v.Grant.EndingAt.Sub(v.Grant.SeenAt); idle < 3*time.Second || v.Grant.SeenAt.Before(v.Grant.ActiveAt) || active.Before(v.Grant.SeenAt) {
		t.Errorf("active at %s, last seen at %s, ended at %s", v.Grant.ActiveAt, v.Grant.SeenAt, v.Grant.EndingAt)
	}
	in.clean()
}
