//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
)

const glassPolicy = `
kind: Policy
name: orders-emergency
description: Support may break glass when nobody of the platform answers
effect: breakGlass
subjects: [group:support]
roles: [reader]
require: {reason: {minLength: 10}, maxDuration: 30m}
`

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func reviews(t *testing.T, who string) (list []api.Review) {
	t.Helper()
	must(t, set.As(who).JSON(t.Context(), &list, "reviews"))
	return list
}

// TestBreakGlass goes from a no to the review, on a real database.
func TestBreakGlass(t *testing.T) {
	o, ctx := oracle(t), t.Context()
	sam := set.As("sam")
	why := "checkout is down, stuck locks"
	denied := []string{"request", "orders-db", "--as", "reader", "--for", "3h", "--why", why, "--ticket", "INC-1"}

	r := sam.Run(ctx, denied...)
	if r.Code != 3 || strings.Contains(r.Err, "break-glass") {
		t.Errorf("before there is a policy: exit %d\n%s", r.Code, r.Err)
	}
	if r = sam.Run(ctx, "break-glass", "orders-db", "--why", why); r.Code != 3 {
		t.Errorf("nobody breaks glass by default: exit %d\n%s", r.Code, r.Err)
	}
	must(t, set.As("root").Run(ctx, "apply", "-f", file(t, "glass.yaml", glassPolicy)).Failed())
	if r = sam.Run(ctx, denied...); r.Code != 3 || !strings.Contains(r.Err, "in an emergency: stint break-glass orders-db --as reader --why") {
		t.Errorf("a no does not say where it leads: exit %d\n%s", r.Code, r.Err)
	}
	if r = sam.Run(ctx, "break-glass", "orders-db", "--why", why, "--for", "61m"); r.Code != 2 {
		t.Errorf("61 minutes: exit %d\n%s", r.Code, r.Err)
	}
	if r = set.As("mira").Run(ctx, "break-glass", "orders-db", "--why", why, "--as", "reader"); r.Code != 3 {
		t.Errorf("somebody else: exit %d\n%s", r.Code, r.Err)
	}

	r = sam.Run(ctx, "run", "orders-db", "--break-glass", "--why", why, "--", "psql", "-X", "-A", "-t", "-c", "SELECT count(*) FROM orders WHERE state = 'stuck'")
	must(t, r.Failed())
	if strings.TrimSpace(r.Out) == "" || !strings.Contains(r.Err, "the glass is broken") {
		t.Errorf("it said %q, %q", r.Out, r.Err)
	}
	must(t, o.Clean(ctx, 30*time.Second))
	list := reviews(t, "sam")
	if len(list) != 1 || list[0].Yours || list[0].Reason != why || list[0].Drill {
		t.Fatalf("the reviews of sam: %+v", list)
	}
	id := list[0].ID
	if r = sam.Run(ctx, "review", id, "--finding", "justified", "--note", "all was well"); r.Code != 3 || !strings.Contains(r.Err, "own-review") {
		t.Errorf("one's own review: exit %d\n%s", r.Code, r.Err)
	}
	var closed api.Review
	must(t, set.As("omar").JSON(ctx, &closed, "review", id, "--finding", "justified", "--note", "two locks were cleared"))
	if closed.State != "closed" || closed.ClosedBy != "user:omar" {
		t.Errorf("closed: %+v", closed)
	}
	if list = reviews(t, "root"); len(list) != 0 {
		t.Errorf("still open: %+v", list)
	}
	var evs []struct {
		Record struct {
			Type  string            `json:"type"`
			Facts map[string]string `json:"facts"`
		} `json:"record"`
	}
	until(t, "the alarm has its number", func() (bool, error) {
		err := set.As("root").JSON(ctx, &evs, "audit", "search", "--type", "breakglass.opened")
		return len(evs) > 0, err
	})
	if len(evs) != 1 || evs[0].Record.Facts["owners"] != "group:dba" {
		t.Errorf("the alarm: %+v", evs)
	}
	must(t, set.As("root").Run(ctx, "audit", "verify").Failed()) // the digests of emergencies too
}

// TestBreakGlassDrill runs the whole way and says how long each step took.
func TestBreakGlassDrill(t *testing.T) {
	o, ctx := oracle(t), t.Context()
	must(t, set.As("root").Run(ctx, "apply", "-f", file(t, "glass.yaml", glassPolicy)).Failed())
	var rep struct {
		OK     bool
		Review string
		Steps  []struct {
			Name string
			OK   bool
		}
	}
	must(t, set.As("sam").JSON(ctx, &rep, "break-glass", "orders-db", "--drill", "--why", "quarterly drill"))
	if !rep.OK || len(rep.Steps) != 9 {
		t.Errorf("the drill: %+v", rep)
	}
	must(t, o.Clean(ctx, time.Second))
	list := reviews(t, "omar")
	if len(list) != 1 || !list[0].Drill || list[0].ID != rep.Review || !list[0].Yours {
		t.Fatalf("the reviews: %+v", list)
	}
	must(t, set.As("omar").Run(ctx, "review", rep.Review, "--finding", "drill", "--note", "it works").Failed())

	// What fails is said, and the drill with it.
	r := set.As("mira").Run(ctx, "break-glass", "orders-db", "--as", "reader", "--drill", "--why", "quarterly drill", "-o", "json")
	if err := json.Unmarshal([]byte(r.Out), &rep); r.Code != 1 || err != nil || rep.OK || !strings.Contains(r.Err, "drill-failed") {
		t.Errorf("a drill of somebody who may not: exit %d, %v\n%s%s", r.Code, err, r.Out, r.Err)
	}
}

// TestBreakGlassByCodes: sign-in is down, and an envelope is opened on a device that
// nobody knows.
func TestBreakGlassByCodes(t *testing.T) {
	o, ctx := oracle(t), t.Context()
	must(t, set.As("root").Run(ctx, "apply", "-f", file(t, "glass.yaml", glassPolicy)).Failed())
	var made api.GlassCodes
	must(t, set.As("root").JSON(ctx, &made, "admin", "break-glass", "codes", "make", "--user", "sam", "--count", "1", "--resource", "orders-db"))
	envelope := file(t, "envelope.txt", made.Codes[0].Code.Reveal()+"\n")
	spare := set.As("spare-laptop")

	var r api.Request
	must(t, spare.JSON(ctx, &r, "break-glass", "orders-db", "--why", "sign-in is down", "--code-file", envelope))
	if r.Principal != "user:sam" || r.Emergency != api.EmergencyBreakGlass || r.Grant == nil || r.Grant.State != api.GrantActive {
		t.Fatalf("%+v", r)
	}
	must(t, spare.Run(ctx, "db", "orders-db", "--", "-c", "SELECT 1").Failed())
	for _, args := range [][]string{{"request", "orders-db", "--as", "reader", "--for", "5m", "--why", "something else"}, {"approvals"}, {"get", "users"}, {"reviews", "--all"}, {"extend", r.ID, "--for", "5m", "--why", "a little more"}} {
		res := spare.Run(ctx, args...)
		if args[0] == "reviews" { // what it opened itself it sees
			must(t, res.Failed())
		} else if res.Code != 3 {
			t.Errorf("%v: exit %d\n%s", args, res.Code, res.Err)
		}
	}
	if res := set.As("thief").Run(ctx, "break-glass", "orders-db", "--why", "the envelope was open", "--code-file", envelope); res.Code != 4 || !strings.Contains(res.Err, "code-used") {
		t.Errorf("the code again: exit %d\n%s", res.Code, res.Err)
	}
	must(t, spare.Run(ctx, "end", r.ID, "--wait").Failed())
	must(t, o.Clean(ctx, time.Second))
	must(t, spare.Run(ctx, "logout").Failed())
	if res := spare.Run(ctx, "whoami"); res.Code != 4 {
		t.Errorf("after signing out: exit %d\n%s", res.Code, res.Err)
	}
	list := reviews(t, "root")
	if len(list) != 1 || len(list[0].Codes) != 1 || list[0].Codes[0] != made.Codes[0].ID {
		t.Fatalf("the reviews: %+v", list)
	}
	must(t, set.As("root").Run(ctx, "review", list[0].ID, "--finding", "justified", "--note", "sign-in was down").Failed())
}
