package main

import (
	"strings"
	"testing"

	"stint/internal/api"
)

// TestResidueFacts: what an access left behind is shown with the statement that
// undoes it, and what somebody called their function does not reach the terminal.
func TestResidueFacts(t *testing.T) {
	got := facts(residueFacts(&api.Grant{Residue: api.ResidueFound, Traces: []api.Trace{
		{Kind: "function", Database: "orders", What: "security definer function shop.door() of chief", Undo: "DROP ROUTINE shop.door()"},
		{Kind: "membership", What: "\x1b[2Jevil is in boss", Undo: "REVOKE boss FROM evil"},
	}})...)
	for _, want := range []string{"residue", "found", "shop.door() of chief, in database orders", "DROP ROUTINE shop.door()", "is in boss", "REVOKE boss FROM evil"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "\x1b") {
		t.Errorf("an escape sequence is shown: %q", got)
	}
	got = facts(residueFacts(&api.Grant{Residue: api.ResidueUnknowable, ResidueNote: "the account could act as a superuser"})...)
	if !strings.Contains(got, "unknowable: the account could act as a superuser") {
		t.Errorf("the reason is not in\n%s", got)
	}
	if got := facts(residueFacts(&api.Grant{})...); strings.TrimSpace(got) != "" {
		t.Errorf("before the end: %q", got)
	}
}

// TestLogFact: what is known of the log's missing end, and why no more is.
func TestLogFact(t *testing.T) {
	for want, q := range map[string]api.Quarantine{
		"7 records kept; records 7 to 9 are missing, as a witness shows":            {Kept: 7, Witnessed: 10},
		"7 records kept; a witness knows another log":                               {Kept: 7, Witnessed: 5},
		"7 records kept; no witness knows more":                                     {Kept: 7, Compared: true},
		"7 records kept; what is missing is not known: not every witness was asked": {Kept: 7},
		"1 record kept; what is missing is not known: no witness is configured":     {Kept: 1, NoWitness: true},
	} {
		if got := logFact(q); got != want {
			t.Errorf("%+v:\n%q, want\n%q", q, got, want)
		}
	}
}
