//go:build e2e

package e2e

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"stint/test/stage"
)

// TestConsolePolicies has one administrator write a policy in the console, see what it
// would change and propose it, and another one approve exactly that on a telephone; and
// looks at every view of a policy.
func TestConsolePolicies(t *testing.T) {
	if _, err := os.Stat("/usr/bin/chromium"); err != nil {
		t.Fatal("this takes a browser: run make setup")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: set.Store, Named: true}, "mira")
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of stintd's log:\n" + s.LogTail(40))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	must(t, s.Credential(ctx, "orders-connector"))
	must(t, s.Documents(ctx, documents))
	must(t, s.Enrol(ctx, "mira", "--group", "platform"))

	at := readers(t, s.URL, "root", "bea", "mira")
	root, bea, mira := at["root"], at["bea"], at["mira"]
	for _, r := range at {
		r.watched()
	}
	root.enters(codeOf(t, s, "admin", "user", "enroll", "root"))
	bea.enters(codeOf(t, s, "admin", "user", "add", "bea", "--admin"))
	mira.enters(codeOf(t, s, "admin", "user", "enroll", "mira"))
	look := func(r *reader, name string) {
		t.Helper()
		r.shoot(name)
		r.axe(name)
		r.unbroken(name)
		r.sized(1440, 844)
	}

	root.open("/policies")
	root.see("Group platform may have reader, orders-owner or shared-admin")
	look(root, "policies")
	root.open("/policies/orders-with-approval")
	root.see("Asks for a ticket that matches ^INC-[0-9]+$.")
	look(root, "policy-words")
	root.open("/policies/orders-with-approval?view=form")
	root.see("The form does not show all of this policy")
	look(root, "policy-no-form")
	root.open("/policies/orders-with-approval?view=who")
	root.see("after 1 approval from group dba")
	look(root, "policy-who")

	// What is wrong has a line, and stays as it was typed.
	root.open("/policies/orders-with-approval?view=source")
	text := root.js(`document.querySelector("#text").value`)
	root.fill("text", strings.Replace(text, "maxDuration", "maxDurration", 1))
	root.press("Check what changes")
	root.see(`did you mean "maxDuration"`)
	if got := root.js(`document.querySelector("#text").value`); !strings.Contains(got, "maxDurration: 1h") {
		t.Errorf("what was typed is lost: %s", got)
	}
	look(root, "policy-wrong")

	// A policy of a common shape, by the form.
	root.open("/new-policy?start=write")
	root.see("What kind of rule")
	look(root, "policy-new")
	root.fill("name", "vera-reads")
	root.fill("subjects", "platform")
	root.fill("roles", "reader")
	root.fill("labels", "env=prod")
	root.press("Check what changes")
	root.see("This takes a second person")
	root.see("mira: reader on orders-db")
	look(root, "policy-changes")
	root.press("Propose it to a second person")
	root.see("You proposed this. Another person decides it.")
	look(root, "proposal-own")

	bea.sized(390, 844)
	bea.open("/proposals")
	bea.see("Create Policy vera-reads")
	look(bea, "proposals")
	bea.sized(390, 844)
	bea.open(bea.js(`document.querySelector("main .list a").getAttribute("href")`))
	bea.see("Approve and put it in force")
	look(bea, "proposal")
	bea.sized(390, 844)
	bea.press("Approve and put it in force")
	bea.see("Decided by bea")
	bea.open("/policies/vera-reads?view=form")
	bea.see("After somebody's yes")
	look(bea, "policy-form")

	// Tests are kept and run; what would be decided is said with its line.
	root.open("/policies/vera-reads?view=tests")
	root.fill("text", "tests:\n- name: platform reads orders\n  principal: {name: mira, groups: [platform]}\n  resource: orders-db\n  role: reader\n  for: 1h\n  why: count the orders\n  ip: 127.0.0.1\n  expect: allow\n- name: guests do not\n  principal: {name: gus, groups: [guests]}\n  resource: orders-db\n  role: reader\n  for: 1h\n  expect: approve\n")
	root.press("Run")
	root.see("got deny, want approve")
	look(root, "policy-tests")
	root.press("Save the tests")
	root.until("they are kept", `location.search.includes("view=tests") && document.querySelector("#text")?.value.includes("guests do not") ? "yes" : "no"`)
	look(root, "policy-tests-kept")
	root.open("/policies/vera-reads?view=delete")
	root.see("Delete vera-reads?")
	root.press("See what deleting it changes")
	root.see("mira: reader on orders-db")
	look(root, "policy-delete")
	root.open("/policies")
	root.chord("k")
	root.until("a list", `document.querySelector("#palette[open] a[role=option]") ? "yes" : "no"`)
	root.keys("mira")
	root.until("somebody's name", `[...document.querySelectorAll("#palette [role=option]")].some((a) => a.href.includes("/people/user:mira")) ? "yes" : "no"`)
	look(root, "palette-names")
	root.keys("\x1b")
	root.open("/policies/orders-at-once?view=try")
	root.see("Nothing is asked for")
	root.fill("who", "mira")
	root.fill("role", "reader")
	root.fill("reason", "count the orders")
	root.press("Try")
	root.see("What each policy made of it")
	look(root, "policy-try")

	// Who writes none reads them in words.
	mira.open("/policies/vera-reads")
	mira.see("Group platform may have reader on resources labelled env = prod, after 1 approval from an owner of the resource")
	if got := mira.js(`document.querySelector(".tabs").innerText`); strings.Contains(got, "Source") {
		t.Errorf("mira has views that are not hers: %s", got)
	}
	mira.unbroken("policy")
}
