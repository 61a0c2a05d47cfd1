package access

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// What a vote says is on record, and no more than that.
func TestVoteIsRecorded(t *testing.T) {
	now := t0.Add(time.Minute)
	two := Requirement{From: []Subject{"group:dba", "user:ada"}, Count: 2}
	r := submit(t, needs(two))
	yes, ev, err := r.Vote(ben, actorOf(ben), Vote{Approve: true, Seen: r.Digest, Note: "until noon", Duration: 30 * time.Minute, Rights: []string{"orders_write", "orders_read"}}, now)
	if err != nil {
		t.Fatal(err)
	}
	a := yes.Approvals[0]
	if a.By != ben.ID || a.Person != "ben" || !a.Approve || a.Note != "until noon" || !a.At.Equal(now) || a.Duration != 30*time.Minute ||
		!slices.Equal(a.Rights, []string{"orders_read", "orders_write"}) || a.Request != r.Digest || a.Digest != approvalDigest(a, r.Permissions) || !slices.Equal(a.Meets, []int{0}) {
		t.Errorf("recorded %+v", a)
	}
	if ev.Type != RequestVoted || ev.Facts["duration"] != "30m0s" || ev.Facts["rights"] != "orders_read,orders_write" || ev.Facts["note"] != "until noon" || ev.Facts["approval_digest"] != a.Digest.String() {
		t.Errorf("event %+v", ev)
	}
	if !yes.DecidedAt.IsZero() || len(r.Approvals) != 0 {
		t.Errorf("one of two decided: %+v", yes)
	}
	done, ev, err := yes.Vote(zoe, actorOf(zoe), Vote{Approve: true, Seen: r.Digest, Rights: []string{"audit_read", "orders_read"}}, now)
	if err != nil || ev.Type != RequestApproved || ev.Facts["duration"] != "30m0s" || ev.Facts["rights"] != "orders_read" || !done.DecidedAt.Equal(now) {
		t.Errorf("event %+v, %v", ev, err)
	}
	no, ev, err := yes.Vote(zoe, actorOf(zoe), Vote{Seen: r.Digest, Note: "freeze", Duration: time.Minute, Rights: []string{"orders_read"}}, now)
	if err != nil || no.State != RequestIsDenied || !no.DecidedAt.Equal(now) || ev.Type != RequestDenied || ev.Facts["note"] != "freeze" {
		t.Fatalf("%+v, %v", ev, err)
	}
	if a := no.Approvals[1]; a.Approve || a.Duration != 0 || a.Rights != nil || a.Digest != approvalDigest(a, r.Permissions) {
		t.Errorf("a no leaves %+v", a)
	}
	if got := no.Have(); !slices.Equal(got, []int{1}) {
		t.Errorf("a no counts: %v", got)
	}
	if d, p := no.Granted(); d != 30*time.Minute || len(p.Rights) != 2 {
		t.Errorf("a no narrows what was left to %s, %v", d, p.Rights)
	}
	_, _, err = r.Vote(Principal{ID: "user:eve", Person: "eve"}, Actor{}, Vote{Approve: true, Seen: r.Digest}, now)
	if err == nil || !strings.Contains(err.Error(), "2 of group:dba, user:ada") {
		t.Errorf("it does not say who is asked: %v", err)
	}
}

// A role without rights of its own, such as a shared account, can be approved.
func TestVoteOnARoleWithoutRights(t *testing.T) {
	r := submit(t, needs(oneDBA), func(r *Request) { r.Permissions = Permissions{Mechanism: Enable, Exclusive: true} })
	for _, rights := range [][]string{nil, {}} {
		if after, _, err := r.Vote(ben, actorOf(ben), Vote{Approve: true, Seen: r.Digest, Rights: rights}, t0); err != nil || after.State != RequestIsGranted {
			t.Errorf("%s, %v", after.State, err)
		}
	}
}

// An approval that is good in itself counts for its own request alone, and one
// by the asking person counts for none, however it came to be there.
func TestApprovalsAreNotMoved(t *testing.T) {
	other := submit(t, needs(oneDBA), func(r *Request) { r.Nonce[0]++ })
	replayed, _, err := other.Vote(ben, actorOf(ben), Vote{Approve: true, Seen: other.Digest}, t0)
	if err != nil {
		t.Fatal(err)
	}
	r := requestIn(t, RequestIsGranted)
	r.Approvals = replayed.Approvals
	_, _, _, err = r.NewGrant("grt_1", t0)
	wantCode(t, err, Conflict, "digest-mismatch")
	voters := map[PrincipalID]Principal{ben.ID: ben, miraAdm.ID: miraAdm}
	wantCode(t, r.Recount([]Requirement{oneDBA}, voters, nil, t0), Conflict, "digest-mismatch")

	own := Approval{By: miraAdm.ID, Person: "mira", Approve: true, Duration: time.Hour, Rights: r.Permissions.Rights, At: t0, Request: r.Digest, Meets: []int{0}}
	own.Digest = approvalDigest(own, r.Permissions)
	r.Approvals = []Approval{own}
	wantCode(t, r.Recount([]Requirement{oneDBA}, voters, nil, t0), Denied, "approvals-lapsed")
}
