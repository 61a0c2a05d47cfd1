package apiserver

import (
	"errors"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
)

// One request through the door, from the question to the proof that it is gone.
func TestStory(t *testing.T) {
	w, admin := populated(t)
	gus := w.as(admin, api.UserAdd{Name: "gus", Groups: []string{"guests"}})
	omar := w.as(admin, api.UserAdd{Name: "omar", Groups: []string{"dba"}})
	ctx := t.Context()
	ask := api.Ask{Resource: "db", Role: "reader", Duration: "30m", Reason: "check order 4711"}

	dry := ask
	dry.DryRun = true
	r, err := gus.Submit(ctx, dry, api.Wait{})
	check(t, err)
	if r.ID != "" || !r.DryRun || r.State != api.RequestPending || r.Decision.Outcome != api.OutcomeApprove {
		t.Errorf("dry run: %+v", r)
	}
	r, err = gus.Submit(ctx, ask, api.Wait{})
	check(t, err)
	if r.State != api.RequestPending || len(r.Decision.Approvals) != 1 || r.Decision.Approvals[0].From[0] != "group:dba" || r.Duration != "30m" {
		t.Fatalf("submitted: %+v", r)
	}
	inbox, err := omar.Approvals(ctx, api.List{})
	check(t, err)
	if len(inbox.Items) != 1 || inbox.Items[0].ID != r.ID {
		t.Fatalf("omar is asked %+v", inbox)
	}
	if _, err := gus.Approve(ctx, r.ID, api.VoteAsk{}); !errors.Is(err, api.Denied) {
		t.Errorf("gus approves himself: %v", err)
	}
	_, err = omar.Approve(ctx, r.ID, api.VoteAsk{Digest: r.Digest, For: "10m", Note: "shorter is fine"})
	check(t, err)
	r, err = gus.Request(ctx, r.ID[:14], api.Wait{For: api.Ready, Time: 20 * time.Second})
	check(t, err)
	if r.Grant == nil || r.Grant.State != api.GrantActive || r.Granted != "10m" || r.Votes[0].For != "10m" {
		t.Fatalf("ready: %+v, %+v", r, r.Grant)
	}
	if got := r.Grant.ExpiresAt.Sub(r.Grant.ActiveAt.Time); got != 10*time.Minute {
		t.Errorf("the grant lasts %v", got)
	}
	cred, err := gus.Credential(ctx, r.Grant.ID)
	check(t, err)
	if cred.Password.Reveal() != "s3cret" || !strings.HasPrefix(cred.Username, "stint_") {
		t.Errorf("credential of %q", cred.Username)
	}
	if _, err := omar.Credential(ctx, r.ID); !errors.Is(err, api.Denied) {
		t.Errorf("the approver gets the credential: %v", err)
	}
	_, err = gus.End(ctx, r.ID)
	check(t, err)
	r, err = gus.Request(ctx, r.ID, api.Wait{For: api.Ended, Time: 20 * time.Second})
	check(t, err)
	if r.Grant.State != api.GrantEnded || r.Grant.EndReason != api.EndReturned || r.Grant.VerifiedGoneAt.IsZero() {
		t.Errorf("ended: %+v", r.Grant)
	}
	for _, secret := range []string{"s3cret", gus.Token.Reveal(), "hunter2"} {
		if strings.Contains(w.log.String(), secret) {
			t.Error("the log holds a secret")
		}
	}
}
