package apiserver

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
)

// pageRightsPage is what TestRightsOfPages holds the answers against.
const pageRightsPage = "testdata/rights-pages.txt"

// pageRoles are the kinds of visitor that there are; services and agents have no browser.
var pageRoles = []string{"unsigned", "member", "requester", "vendor", "approver", "owner", "policy-author", "auditor", "administrator"}

// pageActs are what an office does on pages and the matrix of routes does not have, for its
// call is the page's own or is made of several.
var pageActs = []struct {
	what, path, form string
	own              bool // it is about what is theirs alone, and for everybody
}{
	{what: "keep a search", path: "/audit/searches", form: "name=mine&query=text%3DINC", own: true},
	{what: "forget a search", path: "/audit/searches", form: "name=mine&act=forget", own: true},
	{what: "send a test", path: "/settings/test", form: "name=none"},
	{what: "see what deleting a policy changes", path: "/policies/with-approval", form: "mode=delete&act=check&base=1&was=x"},
	{what: "keep tests with a policy", path: "/policies/with-approval/tests", form: "act=save&text=" + url.QueryEscape("tests:\n- name: a\n  principal: {name: gus, groups: [guests]}\n  resource: db\n  role: reader\n  for: 5m\n  expect: approve\n")},
	{what: "check a resource", path: "/resources/db/check", form: ""},
	{what: "survey a resource", path: "/resources/db/survey", form: ""},
	{what: "end all of somebody", path: "/people/user:{user}/end", form: "why=they+left"},
	{what: "lock somebody", path: "/people/user:{user}/lock", form: "why=a+doubt"},
	{what: "unlock somebody", path: "/people/user:{locked}/unlock", form: "why=no+doubt"},
	{what: "offboard somebody", path: "/people/user:{user}/offboard", form: "typed={user}"},
	{what: "enable somebody", path: "/people/user:{user}/enable", form: ""},
	{what: "put the list of new installations away", path: "/start/away", form: ""},
}

// TestRightsOfPages does each act of an office on its page as each kind of visitor, and
// holds the answers against the page of the rights.
func TestRightsOfPages(t *testing.T) {
	s := newScene(t)
	names := map[string]string{"member": "mira", "requester": "gus", "vendor": "bo", "approver": "olga", "owner": "omar", "policy-author": "pia", "auditor": "axel", "administrator": "ada"}
	at := map[string]*browser{"unsigned": s.browser()}
	for role, name := range names {
		at[role] = s.guest(name).browser
	}
	var b strings.Builder
	b.WriteString("# What each kind of visitor is answered when they do an office's act on its page.\n# Made by: go test ./internal/apiserver -run TestRightsOfPages -update\n")
	for _, act := range pageActs {
		answers := map[string][]string{}
		for _, role := range pageRoles {
			path, form, _ := strings.Cut(s.fill(act.path+"\x00"+act.form), "\x00")
			fields, err := url.ParseQuery(form)
			check(t, err)
			p := at[role].post(path, fields)
			word := fmt.Sprint(p.status)
			if to := p.header.Get("Location"); strings.HasPrefix(to, "/login") {
				word = "to sign in"
			} else if p.status == http.StatusSeeOther {
				word = "done"
			}
			answers[word] = append(answers[word], role)
			switch {
			case p.status >= http.StatusInternalServerError:
				t.Errorf("%s as %s: %d %s", act.what, role, p.status, p.text)
			case role == "unsigned" && word != "to sign in":
				t.Errorf("%s: nobody is answered %s", act.what, word)
			case !act.own && slices.Contains([]string{"member", "requester", "vendor", "approver"}, role) && p.status != http.StatusForbidden && p.status != http.StatusNotFound:
				t.Errorf("%s: whoever is %s is answered %s", act.what, role, word)
			}
			s.restore()
		}
		fmt.Fprintf(&b, "\n%s\n  POST %s\n", act.what, act.path)
		for _, word := range slices.Sorted(maps.Keys(answers)) {
			fmt.Fprintf(&b, "    %-12s %s\n", word, strings.Join(answers[word], ", "))
		}
	}
	if *update {
		check(t, os.WriteFile(pageRightsPage, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(pageRightsPage)
	check(t, err)
	if b.String() != string(want) {
		t.Errorf("rights on pages are not those of %s; if the change is meant, run go test ./internal/apiserver -run TestRightsOfPages -update and have the diff reviewed\n%s",
			pageRightsPage, firstDifference(b.String(), string(want)))
	}
}
