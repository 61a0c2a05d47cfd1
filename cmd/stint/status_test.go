package main

import (
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/internal/shell"
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

// TestEndFacts: of a grant that is over, when it was to end and who revoked it.
func TestEndFacts(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	c := &cli{now: func() time.Time { return now }}
	g := api.Grant{State: api.GrantActive, ActiveAt: api.At(now.Add(-time.Hour)), ExpiresAt: api.At(now.Add(time.Hour))}
	if got := requestFacts(api.Request{Grant: &g}, c); !strings.Contains(got, "\nends ") || strings.Contains(got, "was to end") {
		t.Errorf("of a live one:\n%s", got)
	}
	g.State, g.EndReason, g.EndedBy, g.EndedAt = api.GrantEnding, api.EndRevoked, "user:noor", api.At(now.Add(-time.Minute))
	got := requestFacts(api.Request{Grant: &g}, c)
	for _, want := range []string{"was to end", "2026-03-01 13:00:00, in 60 min", "revoked by user:noor"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "\nends ") {
		t.Errorf("of one that is over:\n%s", got)
	}
	g.EndedBy = ""
	if got := requestFacts(api.Request{Grant: &g}, c); strings.Contains(got, "revoked by") {
		t.Errorf("by nobody who is known:\n%s", got)
	}
}

// TestShellWord: what is pasted into a shell is one word there, whatever is in it.
func TestShellWord(t *testing.T) {
	for s, want := range map[string]string{"reader": "reader", "1h30m": "1h30m", "": "''", "drop it": "'drop it'", "$(rm -rf /)": "'$(rm -rf /)'",
		"it's": `'it'\''s'`, "`x`": "'`x`'", "a;b": "'a;b'", "~": "'~'"} {
		if got := shell.Word(s); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
}
