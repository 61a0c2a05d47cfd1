package apiserver

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"stint/internal/api"
)

// editing are the fields of the page on which a policy is changed, with what it says.
func (p shown) editing(text string) url.Values {
	f := p.fields()
	f.Set("text", text)
	return f
}

// fields are the hidden ones, without that of the frame.
func (p shown) fields() url.Values {
	f := p.form()
	f.Del("back")
	return f
}

var checkedField = regexp.MustCompile(`name="checked" value="([0-9a-f]{64})"`)

// agreed is the form with what was checked, sent to be put in force.
func (p shown) agreed(t *testing.T, f url.Values) url.Values {
	t.Helper()
	m := checkedField.FindStringSubmatch(p.text)
	if m == nil {
		t.Fatalf("nothing was checked: %s", p.text)
	}
	for _, name := range []string{"base", "was"} {
		f.Set(name, p.form().Get(name))
	}
	f.Set("checked", m[1])
	f.Set("act", "apply")
	return f
}

const slower = "kind: Policy\nname: at-once\nsubjects: [group:platform]\nroles: [reader]\nrequire: {approvals: [{from: [group:dba]}], maxDuration: 2h}\n"

// TestPolicyProposal: ada changes a policy on pages, which takes a second person; bea sees
// what would change and approves exactly that.
func TestPolicyProposal(t *testing.T) {
	w, root := openHouse(t)
	w.as(root, api.UserAdd{Name: "ada", Admin: true})
	w.as(root, api.UserAdd{Name: "bea", Admin: true})
	w.as(root, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	ada, bea, mira := w.guest("ada"), w.guest("bea"), w.guest("mira")

	ada.get("/policies").want(t, http.StatusOK, "at-once", "Group platform may have reader on every resource that the role covers, at once", "all.yaml")
	ada.get("/policies?q=guests").want(t, http.StatusOK, "with-approval")
	ada.get("/policies?q=none+such").want(t, http.StatusOK, "No policy matches.")
	ada.get("/policies?q=subjects").want(t, http.StatusOK, "with-approval")
	mira.get("/policies?q=subjects").want(t, http.StatusOK, "No policy matches.") // who reads no source finds nothing by it
	mira.get("/policies?q=guests").want(t, http.StatusOK, "with-approval")
	ada.get("/policies/at-once").want(t, http.StatusOK, "At most 2 h")
	ada.get("/policies/none").want(t, http.StatusNotFound)
	page := ada.get("/policies/at-once?view=source").want(t, http.StatusOK, "subjects: [group:platform]", "Check what changes")

	// What is wrong names its line, in the file that it stands in, and nothing is lost.
	f := page.editing(strings.Replace(slower, "subjects", "subjekts", 1))
	f.Set("act", "check")
	ada.post("/policies/at-once", f).want(t, http.StatusUnprocessableEntity, "subjekts: [group:platform]", "did you mean", "<strong>line 19:</strong>")
	f.Set("text", "a: &x [1]\nb: [*x, *x]\n")
	ada.post("/policies/at-once", f).want(t, http.StatusUnprocessableEntity, "anchors and aliases are not accepted")
	f.Set("text", slower+"---\nkind: Role\nname: y\n")
	ada.post("/policies/at-once", f).want(t, http.StatusUnprocessableEntity)
	f.Set("text", strings.Replace(slower, "name: at-once", "name: other", 1))
	ada.post("/policies/at-once", f).want(t, http.StatusUnprocessableEntity, "this page changes the policy at-once", "name: other")

	f.Set("text", slower)
	p := ada.post("/policies/at-once", f).want(t, http.StatusOK, "What would change", "mira: reader on db", "This takes a second person", "Propose it to a second person", "The last 30 days")
	// Not what was checked: shown again, and not sent.
	other := p.agreed(t, page.editing(slower+"# and a comment\n"))
	ada.post("/policies/at-once", other).want(t, http.StatusConflict, "another than the one that was checked", "# and a comment")
	to := ada.post("/policies/at-once", p.agreed(t, page.editing(slower))).want(t, http.StatusSeeOther).header.Get("Location")
	if !strings.HasPrefix(to, "/proposals/prp_") {
		t.Fatalf("sent to %q", to)
	}
	ada.get(to).want(t, http.StatusOK, "You proposed this", "Withdraw")
	if strings.Contains(ada.get(to).text, `value="approve"`) {
		t.Error("who proposed it may approve it")
	}
	ada.post(to, url.Values{"answer": {"approve"}, "digest": {ada.get(to).form().Get("digest")}}).want(t, http.StatusForbidden)
	mira.get(to).want(t, http.StatusNotFound)
	mira.post(to, url.Values{"answer": {"deny"}, "note": {"no"}}).want(t, http.StatusNotFound)

	bea.get("/proposals").want(t, http.StatusOK, "Update Policy at-once", "yours to decide")
	seen := bea.get(to).want(t, http.StatusOK, "mira: reader on db", "dl came", "Approve and put it in force")
	bea.post(to, url.Values{"answer": {"approve"}, "digest": {"sha256:" + strings.Repeat("0", 64)}}).want(t, http.StatusConflict)
	bea.post(to, url.Values{"answer": {"deny"}}).want(t, http.StatusUnprocessableEntity)
	bea.post(to, url.Values{"answer": {"approve"}, "digest": {seen.form().Get("digest")}}).want(t, http.StatusSeeOther)
	bea.get(to).want(t, http.StatusOK, "in force")
	bea.get("/proposals?tab=done").want(t, http.StatusOK, "Updated Policy at-once")
	bea.get("/policies/at-once").want(t, http.StatusOK, "after 1 approval from group dba", "all.yaml:17")

	// Whoever had it open is told, with what they typed.
	f = page.editing(slower + "# mine\n")
	f.Set("act", "apply")
	ada.post("/policies/at-once", f).want(t, http.StatusConflict, "Somebody changed this policy since you opened it", "# mine")
	if again := ada.get("/proposals/none"); again.status != http.StatusNotFound {
		t.Errorf("a proposal that there is not: %d", again.status)
	}
}

// TestPolicyForm makes policies by the form, as what they are, and reads them back.
func TestPolicyForm(t *testing.T) {
	w, _ := openHouse(t) // root is alone, so that no second person is asked for
	root := w.guest("root")
	page := root.get("/new-policy?start=staging").want(t, http.StatusOK, "staging-open", "env=staging")
	f := page.fields()
	for k, v := range map[string]string{"kind": "approval", "name": "lab", "description": `<b>"lab"`, "subjects": "platform, user:mira", "roles": "reader", "names": "db", "labels": "env=prod", "approvers": "owner",
		"count": "1", "reason": "10", "max": "45m", "mfa": "yes", "act": "check"} {
		f.Set(k, v)
	}
	p := root.post("/new-policy", f).want(t, http.StatusOK, "What would change", "Put it in force", "you make it alone", "&lt;b&gt;")
	f = p.agreed(t, f)
	if to := root.post("/new-policy", f).want(t, http.StatusSeeOther).header.Get("Location"); to != "/policies/lab" {
		t.Fatalf("sent to %q", to)
	}
	f.Set("act", "check")
	root.post("/new-policy", f).want(t, http.StatusConflict, "there is a policy of that name already", `value="lab"`)
	root.get("/policies/lab").want(t, http.StatusOK, "Group platform or mira may have reader on db, as far as they are labelled env = prod, after 1 approval from an owner of the resource, for up to 45 min.", "second factor")
	form := root.get("/policies/lab?view=form").want(t, http.StatusOK, `value="group:platform, user:mira"`, `value="45m"`, "env=prod")
	f = form.fields()
	for k, v := range map[string]string{"kind": "approval", "description": `<b>"lab"`, "subjects": "group:platform, user:mira", "roles": "reader", "names": "db", "labels": "env=prod", "approvers": "owner",
		"count": "1", "reason": "10", "max": "45m", "mfa": "yes", "act": "check"} {
		f.Set(k, v)
	}
	root.post("/policies/lab", f).want(t, http.StatusOK, "Nothing. It says the same as now.")
	f.Set("max", "soon")
	root.post("/policies/lab", f).want(t, http.StatusUnprocessableEntity, `value="soon"`, "write it as")

	// What the form does not show is not shown as a form.
	src := root.get("/policies/lab?view=source").want(t, http.StatusOK)
	text := "kind: Policy\nname: lab\nsubjects: [group:platform]\nroles: [reader]\nwhen: request.duration <= duration(\"1h\")\n"
	f = src.editing(text)
	f.Set("act", "check")
	p = root.post("/policies/lab", f).want(t, http.StatusOK)
	root.post("/policies/lab", p.agreed(t, src.editing(text))).want(t, http.StatusSeeOther)
	page = root.get("/policies/lab?view=form").want(t, http.StatusOK, "The form does not show all of this policy", "when")
	if strings.Contains(page.text, `name="subjects"`) {
		t.Error("a form is shown that lacks a condition")
	}
}

// TestPolicyTestsAndTries: tests are kept with a policy, run when a change is looked at,
// and hold it up; who can and what would be is said with its line.
func TestPolicyTestsAndTries(t *testing.T) {
	w, admin := openHouse(t)
	w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	w.as(admin, api.UserAdd{Name: "axel", Auditor: true})
	root, mira, axel := w.guest("root"), w.guest("mira"), w.guest("axel")
	const tests = "tests:\n- name: platform reads at once\n  principal: {name: mira, groups: [platform]}\n  resource: db\n  role: reader\n  for: 1h\n  expect: allow\n  policy: at-once\n"
	at := "/policies/at-once"
	root.get(at+"?view=tests").want(t, http.StatusOK, "No test is kept")
	root.post(at+"/tests", url.Values{"text": {strings.Replace(tests, "allow", "deny", 1)}, "act": {"run"}}).want(t, http.StatusOK, "got allow, want deny", "fails")
	root.post(at+"/tests", url.Values{"text": {"tests:\n- nam: x\n"}, "act": {"save"}}).want(t, http.StatusUnprocessableEntity, "- nam: x", "at-once.test.yaml:2")
	root.post(at+"/tests", url.Values{"text": {tests}, "act": {"save"}}).want(t, http.StatusSeeOther)
	root.get(at+"?view=tests").want(t, http.StatusOK, "platform reads at once", "holds", "all.yaml:")
	mira.get(at).want(t, http.StatusOK, "at once")
	for _, view := range []string{"source", "form", "tests"} {
		if p := mira.get(at + "?view=" + view); p.status != http.StatusOK || strings.Contains(p.text, "<textarea") || strings.Contains(p.text, "Check what changes") {
			t.Errorf("mira may write nothing, and gets the %s", view)
		}
	}
	mira.post(at+"/tests", url.Values{"text": {tests}, "act": {"save"}}).want(t, http.StatusForbidden)
	mira.post(at, url.Values{"mode": {"source"}, "base": {"1"}, "text": {slower}, "act": {"check"}}).want(t, http.StatusForbidden)
	mira.get("/new-policy").want(t, http.StatusForbidden)
	axel.post(at+"/tests", url.Values{"text": {tests}, "act": {"save"}}).want(t, http.StatusForbidden)

	src := axel.get(at+"?view=source").want(t, http.StatusOK)
	f := src.editing(slower)
	f.Set("act", "check")
	if p := axel.post(at, f).want(t, http.StatusOK, "You may not make this change"); strings.Contains(p.text, `value="apply"`) {
		t.Error("an auditor may change it")
	}
	src = root.get(at+"?view=source").want(t, http.StatusOK)
	p := root.post(at, f).want(t, http.StatusOK, "1 of 1 test would fail.", "got approve, want allow", "Go on although tests fail")
	go1 := p.agreed(t, src.editing(slower))
	root.post(at, go1).want(t, http.StatusConflict, "Tests fail.")
	go1.Set("anyway", "yes")
	root.post(at, go1).want(t, http.StatusSeeOther)

	root.get(at+"?view=who").want(t, http.StatusOK, "group platform", "after 1 approval from group dba, up to 2 h", "group guests")
	root.get(at+"?view=who&resource=nowhere").want(t, http.StatusOK, "there is no resource nowhere")
	try := url.Values{"who": {"mira"}, "resource": {"db"}, "role": {"reader"}, "for": {"1h"}, "reason": {"look at orders"}}
	w.as(admin, api.UserAdd{Name: "dora", Groups: []string{"dba"}})
	got := root.post(at+"/try", try).want(t, http.StatusOK, "Takes a yes", "at-once", "all.yaml:")
	if !strings.Contains(html.UnescapeString(got.text), "What each policy made of it") {
		t.Error("it does not say what each policy made of it")
	}
	mira.post(at+"/try", url.Values{"who": {"user:dora"}, "resource": {"db"}, "role": {"reader"}, "for": {"1h"}}).want(t, http.StatusForbidden, "this is for administrators")
	try.Set("who", "")
	mira.post(at+"/try", try).want(t, http.StatusOK, "Takes a yes")
	try.Set("for", "soon")
	root.post(at+"/try", try).want(t, http.StatusUnprocessableEntity, `value="soon"`)
	try.Set("for", "1h")
	try.Set("oncall", "none")
	root.post(at+"/try", try).want(t, http.StatusNotFound)
}

// deleting is the form by which a policy is deleted, as its page has it.
func (p shown) deleting(act string) url.Values {
	f := url.Values{"mode": {"delete"}, "act": {act}}
	for _, name := range []string{"base", "was", "checked"} {
		if v := p.form().Get(name); v != "" {
			f.Set(name, v)
		}
	}
	return f
}

// TestPolicyDeletion: whoever may delete a policy sees first what that changes; where it
// takes a second person it is proposed, and nobody deletes what they were not shown.
func TestPolicyDeletion(t *testing.T) {
	w, root := openHouse(t)
	for _, u := range []api.UserAdd{{Name: "ada", Admin: true}, {Name: "bea", Admin: true}, {Name: "axel", Auditor: true}, {Name: "mira", Groups: []string{"platform"}}} {
		w.as(root, u)
	}
	ada, axel, mira := w.guest("ada"), w.guest("axel"), w.guest("mira")
	at := "/policies/at-once"
	there := func() bool { return ada.get(at).status == http.StatusOK }
	ada.get(at+"?view=source").want(t, http.StatusOK, at+"?view=delete")
	page := ada.get(at+"?view=delete").want(t, http.StatusOK, "Delete at-once?", "See what deleting it changes")
	if p := mira.get(at + "?view=delete"); p.status != http.StatusOK || strings.Contains(p.text, "deleting it changes") {
		t.Error("mira may write none, and is offered to delete one")
	}
	ada.post(at+"/tests", url.Values{"text": {"tests:\n- name: platform reads at once\n  principal: {name: mira, groups: [platform]}\n  resource: db\n  role: reader\n  for: 1h\n  expect: allow\n"}, "act": {"save"}}).want(t, http.StatusSeeOther)

	seen := ada.post(at, page.deleting("check")).want(t, http.StatusOK, "Delete at-once?", "mira: reader on db", "What would change", "No tests are kept with the other")
	axel.post(at, page.deleting("check")).want(t, http.StatusOK, "You may not make this change")
	axel.post(at, seen.deleting("apply")).want(t, http.StatusForbidden)
	mira.post(at, page.deleting("check")).want(t, http.StatusForbidden)
	mira.post(at, seen.deleting("apply")).want(t, http.StatusForbidden)
	unchecked := seen.deleting("apply")
	unchecked.Set("checked", strings.Repeat("0", 64))
	ada.post(at, unchecked).want(t, http.StatusConflict)
	other := seen.deleting("apply")
	ada.post("/policies/with-approval", other).want(t, http.StatusConflict)
	ada.post("/new-policy", seen.deleting("apply")).want(t, http.StatusUnprocessableEntity)
	ada.get(at+"?view=delete&act=apply&mode=delete&checked="+seen.deleting("apply").Get("checked")).want(t, http.StatusOK)
	if !there() {
		t.Fatal("it was deleted by somebody who may not, by something that was not checked, or by an address")
	}

	// What only takes away needs no second person.
	if to := ada.post(at, seen.deleting("apply")).want(t, http.StatusSeeOther).header.Get("Location"); strings.Contains(seen.text, "Propose its deletion") || strings.HasPrefix(to, "/proposals/") {
		t.Errorf("deleting what lets somebody in went to %s", to)
	}
	ada.get(at).want(t, http.StatusNotFound)
	ada.post(at, seen.deleting("apply")).want(t, http.StatusNotFound)
	// Its tests went with it: those of the others are all that is left to fail.
	if p := ada.post("/policies/with-approval", ada.get("/policies/with-approval?view=delete").deleting("check")).want(t, http.StatusOK); strings.Contains(p.text, "platform reads at once") {
		t.Error("the tests of a deleted policy are run with every other change")
	}
}

// TestPolicyDeletionProposed: to delete what keeps people out of a resource of high
// criticality takes two.
func TestPolicyDeletionProposed(t *testing.T) {
	w, root := openHouse(t)
	_, err := root.Apply(t.Context(), api.Apply{Files: []api.File{{Name: "no.yaml", Text: "kind: Policy\nname: no-platform\neffect: deny\nsubjects: [group:platform]\nroles: [reader]\n"}}})
	check(t, err)
	for _, u := range []api.UserAdd{{Name: "ada", Admin: true}, {Name: "bea", Admin: true}, {Name: "mira", Groups: []string{"platform"}}} {
		w.as(root, u)
	}
	ada, bea, at := w.guest("ada"), w.guest("bea"), "/policies/no-platform"
	seen := ada.post(at, ada.get(at+"?view=delete").deleting("check")).want(t, http.StatusOK, "Propose its deletion", "mira: reader on db")
	to := ada.post(at, seen.deleting("apply")).want(t, http.StatusSeeOther).header.Get("Location")
	if !strings.HasPrefix(to, "/proposals/") {
		t.Fatalf("it was deleted by one, and went to %s", to)
	}
	ada.get(at).want(t, http.StatusOK)
	digest := bea.get(to).want(t, http.StatusOK, "deleted Policy no-platform").form().Get("digest")
	ada.post(to, url.Values{"answer": {"approve"}, "digest": {digest}}).want(t, http.StatusForbidden)
	ada.get(at).want(t, http.StatusOK)
	bea.post(to, url.Values{"answer": {"approve"}, "digest": {digest}}).want(t, http.StatusSeeOther)
	ada.get(at).want(t, http.StatusNotFound)
}

// TestPolicyDeletionMoved: what was changed meanwhile is not deleted.
func TestPolicyDeletionMoved(t *testing.T) {
	w, root := openHouse(t)
	w.as(root, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	g, at := w.guest("root"), "/policies/at-once"
	page := g.get(at + "?view=delete")
	seen := g.post(at, page.deleting("check")).want(t, http.StatusOK, "Delete it")
	_, err := root.Apply(t.Context(), api.Apply{Files: []api.File{{Name: "b.yaml", Text: "kind: Policy\nname: b\nsubjects: [group:platform]\nroles: [reader]\n"}}})
	check(t, err)
	g.post(at, seen.deleting("apply")).want(t, http.StatusConflict, "The documents changed since you looked")
	_, err = root.Apply(t.Context(), api.Apply{Files: []api.File{{Name: "all.yaml", Text: slower}}})
	check(t, err)
	g.post(at, seen.deleting("apply")).want(t, http.StatusConflict, "Somebody changed this policy since you opened it")
	again := g.post(at, g.get(at+"?view=delete").deleting("check")).want(t, http.StatusOK, "Delete it")
	if to := g.post(at, again.deleting("apply")).want(t, http.StatusSeeOther).header.Get("Location"); to != "/policies" {
		t.Errorf("it went to %s", to)
	}
	g.get(at).want(t, http.StatusNotFound)
}
