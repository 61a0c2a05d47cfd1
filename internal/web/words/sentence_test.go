package words

import (
	"strings"
	"testing"
)

// TestSentence: who and when are told as people say them, and what is quoted is left alone.
func TestSentence(t *testing.T) {
	for in, want := range map[string]string{
		"":                      "",
		"allowed at once":       "allowed at once",
		"user:mira may have it": "mira may have it",
		"it takes group:dba, or oncall:payments.":                 "it takes group dba, or whoever is on call in payments.",
		"asked by service:ci (agent:fixer)":                       "asked by service ci (agent fixer)",
		`the reason "user:mira said so" is new`:                   `the reason "user:mira said so" is new`,
		"`principal.groups.exists(g, g == 'group:dba')` is false": "`principal.groups.exists(g, g == 'group:dba')` is false",
		"the group:x.y-z.":                                        "the group x.y-z.",
		"superuser:mira":                                          "superuser:mira",
		"https://x/user:mira":                                     "https://x/user:mira",
		"user: nobody":                                            "user: nobody",
		"user:mira user:ben":                                      "mira ben",
		"<b>user:mira</b>":                                        "<b>user:mira</b>",
		"its time was 2026-02-30T10:00:00Z":                       "its time was 2026-02-30T10:00:00Z",
		`it's user:mira's`:                                        `it's mira's`,
	} {
		if got := Plain(in); got != want {
			t.Errorf("%q is told as %q, want %q", in, got, want)
		}
	}
	parts := Sentence("user:mira may have it from 2026-03-01 17:30 UTC to 2026-03-01T18:30:00.000Z.")
	if len(parts) != 5 || parts[0].Text != "mira may have it from " || parts[1].At.Hour() != 17 || parts[2].Text != " to " || parts[3].At.Hour() != 18 || parts[4].Text != "." {
		t.Errorf("got %+v", parts)
	}
}

// FuzzSentence: whatever a sentence is, nothing of it is lost but the kind of who it names.
func FuzzSentence(f *testing.F) {
	for _, s := range []string{"", "user:a", "\"", "`user:a`", "2026-03-01 17:30 UTC", "group:x group:y", "\xff user:a", "'a' 'user:b'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Plain(s)
		if !strings.Contains(s, ":") && got != s {
			t.Fatalf("%q became %q", s, got)
		}
		if len(got) > 8*len(s)+8 {
			t.Fatalf("%q became %d bytes", s, len(got))
		}
	})
}
