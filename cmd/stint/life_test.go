package main

import (
	"errors"
	"fmt"
	"testing"

	"stint/internal/access"
	"stint/internal/api"
)

func TestJudge(t *testing.T) {
	const no = -1 // not settled
	for _, c := range []struct {
		request                api.RequestState
		grant                  api.GrantState // empty: none
		why                    api.EndReason
		decided, ready, ending int
	}{
		{request: api.RequestPending, decided: no, ready: no, ending: no},
		{request: api.RequestDenied, decided: exitDenied, ready: exitDenied, ending: exitDenied},
		{request: api.RequestCancelled, decided: exitExpired, ready: exitExpired, ending: exitExpired},
		{request: api.RequestExpired, decided: exitExpired, ready: exitExpired, ending: exitExpired},
		{request: api.RequestApproved, decided: exitDone, ready: no, ending: no},
		{request: api.RequestApproved, grant: api.GrantScheduled, decided: exitDone, ready: no, ending: no},
		{request: api.RequestApproved, grant: api.GrantProvisioning, decided: exitDone, ready: no, ending: no},
		{request: api.RequestApproved, grant: api.GrantActive, decided: exitDone, ready: exitDone, ending: no},
		{request: api.RequestApproved, grant: api.GrantEnding, why: api.EndExpired, decided: exitDone, ready: exitExpired, ending: no},
		{request: api.RequestApproved, grant: api.GrantEnding, why: api.EndFailed, decided: exitDone, ready: exitSetupFailed, ending: no},
		{request: api.RequestApproved, grant: api.GrantEnded, why: api.EndReturned, decided: exitDone, ready: exitExpired, ending: exitDone},
		{request: api.RequestApproved, grant: api.GrantEnded, why: api.EndRevoked, decided: exitDone, ready: exitDenied, ending: exitDone},
		{request: api.RequestApproved, grant: api.GrantEnded, why: api.EndPolicy, decided: exitDone, ready: exitDenied, ending: exitDone},
		{request: api.RequestApproved, grant: api.GrantFailed, why: api.EndFailed, decided: exitDone, ready: exitSetupFailed, ending: exitSetupFailed},
		{request: "of a newer server", decided: no, ready: no, ending: no},
		{request: api.RequestApproved, grant: "of a newer server", decided: exitDone, ready: no, ending: no},
	} {
		r := api.Request{State: c.request}
		if c.grant != "" {
			r.Grant = &api.Grant{State: c.grant, EndReason: c.why}
		}
		for goal, want := range map[string]int{untilDecided: c.decided, untilReady: c.ready, untilEnded: c.ending} {
			settled, got := judge(goal, r)
			if settled != (want != no) || settled && got != want {
				t.Errorf("%s/%s until %s: settled %v with %d, want %d", c.request, c.grant, goal, settled, got, want)
			}
			// What is not reached says why.
			if what, _, _ := refusal(r); settled && got != exitDone && what == "" {
				t.Errorf("%s/%s: no reason is given", c.request, c.grant)
			}
		}
	}
}

// TestExitCodes holds the table of CONTRACT.md: each kind of error has its code.
func TestExitCodes(t *testing.T) {
	for kind, want := range map[api.Kind]int{
		api.Internal: 1, api.Invalid: 2, api.Denied: 3, api.Unauthenticated: 4, api.NotFound: 5, api.Conflict: 6, api.SetupFailed: 7,
		api.Pending: 8, api.Expired: 9, api.PasskeyNeeded: 10, api.Unavailable: 69, api.TooMany: 1, "of a newer server": 1,
	} {
		err := fmt.Errorf("wrapped: %w", &api.Error{Kind: kind})
		if got := codeOf(err); got != want {
			t.Errorf("%s: got %d, want %d", kind, got, want)
		}
	}
	if got := codeOf(errors.New("any")); got != exitFailure {
		t.Errorf("an error of no kind: got %d", got)
	}
	if got := codeOf(&api.Unreachable{Cause: errors.New("refused")}); got != exitUnreachable {
		t.Errorf("unreachable: got %d", got)
	}
	for k := access.Internal; k <= access.TooMany; k++ {
		if _, ok := exitOf[api.Kind(k.String())]; !ok {
			t.Errorf("the core's kind %s has no exit code", k)
		}
	}
	for _, w := range exitWords {
		if w.text == "" {
			t.Errorf("code %d is not explained", w.code)
		}
	}
}
