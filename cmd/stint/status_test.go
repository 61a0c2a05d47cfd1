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
