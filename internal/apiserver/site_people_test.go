package apiserver

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
)

// TestOffboardOnPage sees all that there is to know of somebody, ends what they hold, has
// them gone and lets them in again.
func TestOffboardOnPage(t *testing.T) {
	w, admin := openHouse(t)
	ctx := t.Context()
	mira := w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}, Manager: "root"})
	axel := w.as(admin, api.UserAdd{Name: "axel", Auditor: true})
	w.agent(admin, "fixer", "mira")
	_, err := admin.AddService(ctx, api.ServiceAdd{Name: "ci", Owner: "mira", For: "24h"})
	check(t, err)
	root, auditor, self := w.guest("root"), w.guest("axel"), w.guest("mira")
	hold := func() api.Request {
		t.Helper()
		r, err := mira.Submit(ctx, api.Ask{Resource: resourceOf, Role: "reader", Duration: "30m", Reason: "<b>check</b> order 4711"}, api.Wait{For: api.Ready, Time: 20 * time.Second})
		check(t, err)
		return r
	}
	first := hold()

	root.get("/").want(t, http.StatusOK, `href="/people"`)
	root.get("/people").want(t, http.StatusOK, "/people/user:mira", "holds 1 grant", "platform")
	if p := root.get("/people?q=nobody+like+it").want(t, http.StatusOK, "Nobody matches."); strings.Contains(p.text, "/people/user:mira") {
		t.Error("the search finds whom it should not")
	}
	root.get("/people?tab=services").want(t, http.StatusOK, "/people/service:ci", "Answered for by mira")
	root.get("/people?tab=agents").want(t, http.StatusOK, "/people/agent:fixer", "Acts for mira")
	const at = "/people/user:mira"
	p := root.get(at).want(t, http.StatusOK, "Holds now", "/r/"+first.ID, "data-ends=", "given by administrators", "May ask for", resourceOf, "device", "1 at once",
		"/people/service:ci", "/people/agent:fixer", "/people/user:root", "stint revoke --user mira", "stint admin user disable mira")
	if strings.Contains(p.text, "<b>check</b>") {
		t.Error("a reason is markup")
	}
	root.get("/people/mira").want(t, http.StatusOK, "Holds now")
	root.get("/people/service:ci").want(t, http.StatusOK, "static token", "Answered for by")
	root.get("/people/agent:fixer").want(t, http.StatusOK, "No task is open.", "static token")
	root.get("/people/user:miro").want(t, http.StatusNotFound, "there is no user")

	// Who may: as in the API.
	if p := auditor.get(at).want(t, http.StatusOK, "Holds now", "Acts are for administrators."); strings.Contains(p.text, at+"/end") {
		t.Error("an auditor has a form to end everything")
	}
	self.get("/people").want(t, http.StatusOK, "Vendors and agents that you answer for.", "There is nobody here.")
	self.get("/people?tab=agents").want(t, http.StatusOK, "fixer")
	for _, where := range []string{"/people?tab=people", "/people?tab=services", at} {
		self.get(where).want(t, http.StatusForbidden)
	}
	acts := map[string]url.Values{"/end": {"why": {"laptop stolen"}}, "/offboard": {"typed": {"mira"}}, "/enable": {}}
	for act, form := range acts {
		for _, who := range []*guest{self, auditor} {
			who.post(at+act, form).want(t, http.StatusForbidden)
		}
		root.origin = "https://evil.example"
		root.post(at+act, form).want(t, http.StatusForbidden)
		root.origin = ""
		if got := root.get(at + act).status; got != http.StatusNotFound && got != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", act, got)
		}
	}
	if r, err := admin.Request(ctx, first.ID, api.Wait{}); err != nil || r.Grant.State != api.GrantActive {
		t.Fatalf("something was ended: %+v, %v", r.Grant, err)
	}

	// End all: they stay, and may ask again.
	root.post(at+"/end", nil).want(t, http.StatusUnprocessableEntity, "a revocation needs a reason")
	root.post(at+"/end", url.Values{"why": {"laptop stolen"}}).want(t, http.StatusSeeOther)
	root.until(at, "read back as gone")
	second := hold()

	root.post(at+"/offboard", url.Values{"typed": {"miro"}}).want(t, http.StatusUnprocessableEntity, "this is not mira")
	self.get("/").want(t, http.StatusOK)
	root.post("/people/user:root/offboard", url.Values{"typed": {"root"}}).want(t, http.StatusConflict, "nobody disables themselves")
	if to := root.post(at+"/offboard", url.Values{"typed": {"mira"}}).want(t, http.StatusSeeOther).header.Get("Location"); to != at {
		t.Errorf("sent to %q", to)
	}
	self.get("/").want(t, http.StatusSeeOther) // signed out
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		r, err := admin.Request(ctx, second.ID, api.Wait{})
		check(t, err)
		if !r.Grant.VerifiedGoneAt.IsZero() {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it is not gone: %+v", r.Grant)
		}
	}
	p = root.get(at).want(t, http.StatusOK, "disabled", "0 grants are live", "read back as gone", "Signed in nowhere.", "Enable")
	if strings.Contains(p.text, at+"/offboard") {
		t.Error("who is disabled can be offboarded again")
	}
	root.get("/people/service:ci").want(t, http.StatusOK, "disabled", "does not come back", "stint admin service add NAME --owner mira")
	root.post("/people/service:ci/enable", nil).want(t, http.StatusUnprocessableEntity, "not a user")
	root.post(at+"/enable", nil).want(t, http.StatusSeeOther)
	if u, err := admin.User(ctx, "mira"); err != nil || u.Disabled {
		t.Errorf("enabled: %+v, %v", u, err)
	}
	if _, err := axel.LoginsOf(ctx, "mira"); err != nil {
		t.Error(err)
	}
}

// TestLockOnPage locks somebody on their page and lets them in again: they are out at once,
// lose what they hold and nothing else, and it is said who did it and why.
func TestLockOnPage(t *testing.T) {
	w, admin := openHouse(t)
	ctx := t.Context()
	mira := w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	w.agent(admin, "fixer", "mira")
	root, self := w.guest("root"), w.guest("mira")
	r, err := mira.Submit(ctx, api.Ask{Resource: resourceOf, Role: "reader", Duration: "30m", Reason: "check order 4711"}, api.Wait{For: api.Ready, Time: 20 * time.Second})
	check(t, err)
	const at = "/people/user:mira"
	root.get(at).want(t, http.StatusOK, "Lock now", at+"/lock", "stint admin user lock mira --why")
	root.post(at+"/lock", nil).want(t, http.StatusUnprocessableEntity, "needs a reason")
	if p := root.post(at+"/lock", url.Values{"why": {strings.Repeat("x", 1001)}}); p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text, strings.Repeat("x", 1001)) {
		t.Errorf("a long reason: %d, and what was typed is lost", p.status)
	}
	self.get("/").want(t, http.StatusOK)
	root.post(at+"/lock", url.Values{"why": {"<b>laptop</b> stolen"}}).want(t, http.StatusSeeOther)
	self.get("/").want(t, http.StatusSeeOther) // signed out
	if _, err := mira.Whoami(ctx); problemOf(err, "").Kind != api.Unauthenticated {
		t.Errorf("who is locked is answered: %v", err)
	}
	root.until(at, "0 grants are live")
	p := root.get(at).want(t, http.StatusOK, "locked", "&lt;b&gt;laptop&lt;/b&gt; stolen", "by root", at+"/unlock", "Signed in nowhere.")
	if strings.Contains(p.text, at+"/lock\"") {
		t.Error("who is locked can be locked again")
	}
	root.get("/people/agent:fixer").want(t, http.StatusOK, "with mira, who answers for it", "static token")
	root.post("/people/agent:fixer/unlock", url.Values{"why": {"x"}}).want(t, http.StatusConflict, "is locked with user:mira")
	if done, err := admin.Request(ctx, r.ID, api.Wait{}); err != nil || done.Grant.State == api.GrantActive {
		t.Errorf("what they held goes on: %+v, %v", done.Grant, err)
	}
	root.post(at+"/unlock", url.Values{"why": {"found again"}}).want(t, http.StatusSeeOther)
	u, err := admin.User(ctx, "mira")
	check(t, err)
	if u.Lock != nil || u.Disabled || len(u.Groups) != 1 {
		t.Errorf("unlocked: %+v", u)
	}
	w.guest("mira").get("/").want(t, http.StatusOK)
	root.get("/people/agent:fixer").want(t, http.StatusOK, "static token")
}

// TestUnlockTakesTwo: who holds an office is let in again by two administrators.
func TestUnlockTakesTwo(t *testing.T) {
	w, admin := openHouse(t)
	ada := w.as(admin, api.UserAdd{Name: "ada", Admin: true})
	w.as(admin, api.UserAdd{Name: "axel", Auditor: true})
	root := w.guest("root")
	root.post("/people/user:axel/lock", url.Values{"why": {"odd sign-ins"}}).want(t, http.StatusSeeOther)
	root.post("/people/user:axel/unlock", url.Values{"why": {"it was axel"}}).want(t, http.StatusSeeOther)
	root.get("/people/user:axel").want(t, http.StatusOK, "locked", "Another administrator has to agree", "prp_")
	waits, err := ada.Proposals(t.Context(), "pending", api.List{})
	check(t, err)
	if len(waits.Items) != 1 || !strings.Contains(waits.Items[0].Summary, "it was axel") {
		t.Fatalf("what waits: %+v", waits.Items)
	}
	if _, err := admin.DecideProposal(t.Context(), waits.Items[0].ID, true, api.ProposalVote{Digest: waits.Items[0].Digest}); err == nil {
		t.Error("who proposed it approved it")
	}
	_, err = ada.DecideProposal(t.Context(), waits.Items[0].ID, true, api.ProposalVote{Digest: waits.Items[0].Digest})
	check(t, err)
	if u, err := admin.User(t.Context(), "axel"); err != nil || u.Lock != nil {
		t.Errorf("two agreed: %+v, %v", u.Lock, err)
	}
}

// TestEnableTakesTwo: who holds an office comes back by the word of two administrators.
func TestEnableTakesTwo(t *testing.T) {
	w, admin := openHouse(t)
	w.as(admin, api.UserAdd{Name: "ada", Admin: true})
	w.as(admin, api.UserAdd{Name: "axel", Auditor: true})
	root := w.guest("root")
	root.post("/people/user:axel/offboard", url.Values{"typed": {"axel"}}).want(t, http.StatusSeeOther)
	root.post("/people/user:axel/enable", nil).want(t, http.StatusSeeOther)
	root.get("/people/user:axel").want(t, http.StatusOK, "disabled", "Another administrator has to agree", "prp_")
	if u, err := admin.User(t.Context(), "axel"); err != nil || !u.Disabled {
		t.Errorf("one administrator let an auditor in again: %+v, %v", u, err)
	}
}

// TestManyPeople: a page holds few, and the next one the others.
func TestManyPeople(t *testing.T) {
	w, admin := openHouse(t)
	for i := range shownPeople + 3 {
		_, err := admin.AddUser(t.Context(), api.UserAdd{Name: fmt.Sprintf("p%03d", i), Groups: []string{fmt.Sprintf("team%d", i%7)}})
		check(t, err)
	}
	root := w.guest("root")
	p := root.get("/people").want(t, http.StatusOK, fmt.Sprintf("1–%d of %d", shownPeople, shownPeople+4), "from=50")
	if strings.Count(p.text, "data-item=") != shownPeople || strings.Contains(p.text, "/people/user:p052") {
		t.Errorf("%d rows", strings.Count(p.text, "data-item="))
	}
	root.get("/people?tab=people&from=50").want(t, http.StatusOK, "/people/user:p052", "Previous")
	root.get("/people?q=team3+p010").want(t, http.StatusOK, "/people/user:p010")
	for _, from := range []string{"-1", "x", "99999999999999999999", "7000"} {
		root.get("/people?from="+from).want(t, http.StatusOK)
	}
}
