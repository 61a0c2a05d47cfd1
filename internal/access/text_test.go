package access

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestCheckText(t *testing.T) {
	for s, ok := range map[string]bool{
		"INC-7: wrong totals":           true,
		"two\nlines\tand a tab":         true,
		"Größe prüfen – 修正 – тест":      true,
		"a flame \U0001f525 ❤\ufe0f":    true, // emoji keep their variation selector
		"e\u0301":                       true, // combining marks are letters to people
		"carriage\rreturn":              false,
		"nul\x00":                       false,
		"escape\x1b[31m":                false,
		"delete\x7f":                    false,
		"next line\u0085":               false,
		"right-to-left \u202eevird":     false,
		"isolate \u2066x\u2069":         false,
		"zero\u200bwidth":               false,
		"joiner\u200d":                  false,
		"mark\u200f":                    false,
		"byte order\ufeff":              false,
		"soft\u00adhyphen":              false,
		"line\u2028separator":           false,
		"paragraph\u2029separator":      false,
		"tag \U000e0041":                false,
		"filler \u3164":                 false, // a letter that looks like nothing
		"half filler \uffa0":            false,
		"grapheme joiner \u034f":        false,
		"choseong filler \u115f":        false,
		"invalid \xff":                  false,
		"cut \xe2\x82":                  false,
		"surrogate \xed\xa0\x80":        false,
		"overlong \xc0\xaf":             false,
		"":                              false,
		"  \t\n ":                       false,
		"\u3164":                        false,
		strings.Repeat("x", 2000):       true,
		strings.Repeat("x", 2001):       false,
		strings.Repeat("ö", 1000):       true,
		strings.Repeat("ö", 1000) + "x": false, // bytes, not letters
	} {
		if err := checkText("reason", s, 2000, false); (err == nil) != ok {
			t.Errorf("%.40q: %v", s, err)
		} else if err != nil && KindOf(err) != Invalid {
			t.Errorf("%.40q: kind %v", s, KindOf(err))
		}
	}
	if err := checkText("ticket", "", 5, true); err != nil {
		t.Error(err)
	}
}

// What is accepted is what a reader sees: valid, within the limit, and of
// characters each of which shows.
func FuzzCheckText(f *testing.F) {
	for _, s := range []string{"", " ", "reason", "a\u202eb", "\xff", "a\nb", "\u3164", "\U0001f525"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if checkText("reason", s, 100, false) != nil {
			return
		}
		if len(s) > 100 || !utf8.ValidString(s) || strings.TrimSpace(s) == "" {
			t.Fatalf("accepted %q", s)
		}
		visible := false
		for _, c := range s {
			if c != '\n' && c != '\t' && !unicode.IsGraphic(c) && unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
				t.Fatalf("accepted %U in %q", c, s)
			}
			visible = visible || !unicode.IsSpace(c)
		}
		if !visible {
			t.Fatalf("accepted %q", s)
		}
		if checkText("reason", s+"\u202e", 100, false) == nil || checkText("ticket", s, 100, true) != nil {
			t.Fatalf("%q is judged by its neighbours", s)
		}
	})
}

func TestValidName(t *testing.T) {
	for s, ok := range map[string]bool{
		"a": true, "7": true, "mira": true, "orders-db_2.eu": true, strings.Repeat("a", 63): true,
		"": false, strings.Repeat("a", 64): false, "Mira": false, "-a": false, ".a": false, "_a": false, "a b": false, "a/b": false, "..": false,
		"a:b": false, "a;drop": false, `a"b`: false, "a'b": false, "a\x00": false, "a\n": false, "a\\": false, "a%": false, "a*": false, "a$": false, "a@b": false,
		"mirа": false, "ｍira": false, "ⅿira": false, "mi\u200bra": false, "mi\u0301ra": false, "größe": false, "\xff": false, // look-alikes and such
	} {
		if ValidName(s) != ok {
			t.Errorf("ValidName(%q) = %v", s, !ok)
		}
	}
}

func TestValidSubject(t *testing.T) {
	for s, want := range map[Subject]string{ // always, in approvals only, never
		"*": "always", "group:dba": "always", "user:mira": "always", "service:ci": "always", "agent:fixer": "always",
		"owner": "approvals", "manager": "approvals",
		"": "never", "mira": "never", ":": "never", "user:": "never", ":mira": "never", "user:*": "never", "user:Mira": "never", "group:a:b": "never",
		"person:mira": "never", "User:mira": "never", "owner:": "never", "**": "never", " user:mira": "never", "user:mirа": "never", "user:mira\n": "never",
	} {
		if got := ValidSubject(s, false); got != (want == "always") {
			t.Errorf("ValidSubject(%q, false) = %v", s, got)
		}
		if got := ValidSubject(s, true); got != (want != "never") {
			t.Errorf("ValidSubject(%q, true) = %v", s, got)
		}
	}
}
