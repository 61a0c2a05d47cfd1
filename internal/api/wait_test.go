package api_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"stint/internal/api"
)

func TestReached(t *testing.T) {
	const no, yes = false, true
	for _, tt := range []struct {
		state                 api.RequestState
		grant                 api.GrantState
		decided, ready, ended bool
	}{
		{api.RequestPending, "", no, no, no},
		{api.RequestDenied, "", yes, yes, yes},
		{api.RequestCancelled, "", yes, yes, yes},
		{api.RequestExpired, "", yes, yes, yes},
		{api.RequestApproved, "", yes, no, no},
		{api.RequestApproved, api.GrantScheduled, yes, no, no},
		{api.RequestApproved, api.GrantProvisioning, yes, no, no},
		{api.RequestApproved, api.GrantActive, yes, yes, no},
		{api.RequestApproved, api.GrantEnding, yes, yes, no},
		{api.RequestApproved, api.GrantEnded, yes, yes, yes},
		{api.RequestApproved, api.GrantFailed, yes, yes, yes},
	} {
		r := request(tt.state, tt.grant)
		for u, want := range map[api.Until]bool{api.Decided: tt.decided, api.Ready: tt.ready, api.Ended: tt.ended} {
			if got := r.Reached(u); got != want {
				t.Errorf("%s/%s reached %s: %v, want %v", tt.state, tt.grant, u, got, want)
			}
		}
		// More time is there as soon as it is approved; its end is that of the grant.
		r.Extends = "grt_1"
		for u, want := range map[api.Until]bool{api.Decided: tt.decided, api.Ready: tt.decided, api.Ended: tt.ended} {
			if got := r.Reached(u); got != want {
				t.Errorf("an extension, %s/%s, reached %s: %v, want %v", tt.state, tt.grant, u, got, want)
			}
		}
	}
}

func request(state api.RequestState, grant api.GrantState) api.Request {
	r := api.Request{ID: "req_1", State: state}
	if grant != "" {
		r.Grant = &api.Grant{ID: "grt_1", State: grant}
	}
	return r
}

// A wait shows each state, outlives a restart of the server, and does not
// hammer a server that does not hold its answers.
func TestWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		n := 0
		c := trip(func(r *http.Request) (*http.Response, error) {
			n++
			switch at := time.Since(start); {
			case at < 10*time.Second:
				return answering(request(api.RequestPending, "")), nil
			case at < 50*time.Second:
				return nil, errRefused
			case at < 60*time.Second:
				return answering(request(api.RequestApproved, api.GrantProvisioning)), nil
			}
			if q := r.URL.RawQuery; q != "for=ready&wait=2s" {
				t.Errorf("asked %s", q)
			}
			return answering(request(api.RequestApproved, api.GrantActive)), nil
		}).client(t)
		var states []string
		r, err := c.WaitFor(background, "req_1", api.Ready, func(r api.Request) {
			s := string(r.State)
			if len(states) == 0 || states[len(states)-1] != s {
				states = append(states, s)
			}
		})
		if err != nil || r.Grant == nil || r.Grant.State != api.GrantActive {
			t.Fatalf("WaitFor = %+v, %v", r, err)
		}
		if diff := cmp.Diff([]string{"pending", "approved"}, states); diff != "" {
			t.Error(diff)
		}
		if n > 200 {
			t.Errorf("%d calls in a minute", n)
		}
	})
}

func TestWaitForFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := trip(func(*http.Request) (*http.Response, error) {
			return refusing(&api.Error{Kind: api.NotFound, Code: "no-request", Message: "no request req_1"}), nil
		}).client(t)
		if _, err := c.WaitFor(background, "req_1", api.Ready, nil); !errors.Is(err, api.NotFound) {
			t.Errorf("no such request: %v", err)
		}
		c = trip(func(*http.Request) (*http.Response, error) { return answering(request(api.RequestPending, "")), nil }).client(t)
		ctx, cancel := context.WithTimeout(background, 5*time.Second)
		defer cancel()
		r, err := c.WaitFor(ctx, "req_1", api.Decided, nil)
		if err != context.DeadlineExceeded || r.State != api.RequestPending {
			t.Errorf("WaitFor = %+v, %v; want the last state and context.DeadlineExceeded", r, err)
		}
	})
}
