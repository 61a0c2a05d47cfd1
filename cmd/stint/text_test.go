package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain text, ünïcode 漢字", "plain text, ünïcode 漢字"},
		{"\x1b[31mred", `\x1b[31mred`},
		{"a\nb\tc\rd", `a\nb\tc\rd`},
		{"csi \u009b31m", `csi \u009b31m`},
		{"bidi \u202eevil\u2066", `bidi \u202eevil\u2066`},
		{"zero\u200bwidth", `zero\u200bwidth`},
		{"bad \xff utf-8", `bad \xff utf-8`},
		{"\ufffd is fine", "\ufffd is fine"},
		{"tag \U000e0041", `tag \U000e0041`},
	} {
		if got := printable(c.in); got != c.want {
			t.Errorf("printable(%q): got %s, want %s", c.in, got, c.want)
		}
	}
}

// safe reports whether a terminal would only show the text.
func safe(s string, allowed string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune(allowed, r) && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r))
	})
}

// hostile draws text in which dangerous runes are common.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune("ab \t\n\r\x00\x1b[\u009b\u202e\u200d\u2028漢\U000e0041:#-'\"{}\\"))),
		rapid.SampledFrom([]string{"", "yes", "null", "~", "1e3", "0x1f", "2026-01-01", "- a", "a: b", "&x", "*x", "!!str", "|", ">", "%", "@", "`", " lead", "trail "}))
}

func TestNothingHostileIsShown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := hostile().Draw(t, "text")
		if got := printable(s); !safe(got, "") {
			t.Errorf("printable(%q) = %q", s, got)
		}
		v := map[string]any{"key": s, "list": []string{s, s}, "map": map[string]string{"inner": s}}
		text, err := encodeJSON(v, "  ")
		if err != nil {
			t.Fatal(err)
		}
		if !safe(string(text), "\n") {
			t.Errorf("JSON of %q = %q", s, text)
		}
		var back map[string]any
		if err := json.Unmarshal(text, &back); err != nil || back["key"] != strings.ToValidUTF8(s, "\ufffd") {
			t.Errorf("JSON of %q reads as %q, %v", s, back["key"], err)
		}
		tab := newTable("!A", "B")
		tab.row(s, s)
		if got := tab.render(80, paint{}); !safe(got, "\n") || strings.Count(got, "\n") != 2 {
			t.Errorf("a table of %q = %q", s, got)
		}
		if got := facts("a", s, "b", s); !safe(got, "\n") || strings.Count(got, "\n") > 2 {
			t.Errorf("facts of %q = %q", s, got)
		}
	})
}

// TestYAMLIsTheSame reads the YAML with another implementation.
func TestYAMLIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(label string) string { return strings.ToValidUTF8(hostile().Draw(t, label), "") }
		v := map[string]any{
			"empty": []any{}, "none": map[string]any{}, "null": nil, "true": true, "number": 5.0, text("key"): text("value"),
			"list":   []any{text("first"), map[string]any{"a": text("a"), "b": []any{text("b"), []any{text("deep")}}}},
			"nested": map[string]any{"one": map[string]any{"two": text("two")}},
		}
		out, err := encodeYAML(v)
		if err != nil {
			t.Fatal(err)
		}
		if !safe(string(out), "\n") {
			t.Fatalf("not safe: %q", out)
		}
		var back any
		if err := yaml.Unmarshal(out, &back); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		again, err := json.Marshal(back)
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, want) {
			t.Fatalf("YAML reads as something else: %s\n%s", cmp.Diff(string(want), string(again)), out)
		}
	})
}

func TestCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOf(rapid.RuneFrom([]rune("abc漢é"))).Draw(t, "s")
		most := rapid.IntRange(0, 20).Draw(t, "most")
		for name, cut := range map[string]string{"middle": cutMiddle(s, most), "end": cutEnd(s, most)} {
			if width(cut) > most {
				t.Errorf("%s: %q is wider than %d", name, cut, most)
			}
			if width(s) <= most && cut != s {
				t.Errorf("%s: %q was cut to %q for %d", name, s, cut, most)
			}
		}
	})
	if got, want := cutMiddle("payments-db-eu-west-1", 11), "payme…est-1"; got != want {
		t.Errorf("cutMiddle: got %q, want %q", got, want)
	}
}

// TestTableFits: no line is wider than asked, unless ids alone are.
func TestTableFits(t *testing.T) {
	tab := newTable("RESOURCE", "ROLE", "WHY", "!REQUEST")
	tab.row(strings.Repeat("resource-", 9), "reader", strings.Repeat("because ", 20), "req_01J8ZQ5T3M8W6Y2X4V9N7K1B5C")
	for line := range strings.Lines(tab.render(100, paint{})) {
		if width(strings.TrimSuffix(line, "\n")) > 100 {
			t.Errorf("too wide: %q", line)
		}
	}
	if !strings.Contains(tab.render(60, paint{}), "req_01J8ZQ5T3M8W6Y2X4V9N7K1B5C") {
		t.Error("an id was cut")
	}
}

func TestTimesForPeople(t *testing.T) {
	now := time.Date(2026, 11, 21, 17, 30, 0, 0, time.Local)
	for _, c := range []struct{ got, want string }{
		{left(19*time.Minute + 12*time.Second), "19:12"},
		{left(time.Hour + 2*time.Minute + 3*time.Second), "1:02:03"},
		{left(76 * time.Hour), "3d 4h"},
		{left(-time.Second), "0:00"},
		{clock(now.Add(time.Hour), now), "18:30"},
		{clock(now.Add(24*time.Hour), now), "Sun 17:30"},
		{clock(now.AddDate(0, 1, 0), now), "2026-12-21"},
		{clock(time.Time{}, now), "–"},
		{ago(now.Add(-5*time.Minute), now), "5 min ago"},
		{ago(now.Add(3*time.Hour), now), "in 3 h"},
		{plural(1, "grant", "grants"), "1 grant"},
		{plural(0, "grant", "grants"), "0 grants"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestParseStart(t *testing.T) {
	now := time.Date(2026, 11, 21, 17, 30, 0, 0, time.Local)
	local := func(y int, m time.Month, d, h, min int) string {
		return time.Date(y, m, d, h, min, 0, 0, time.Local).UTC().Format("2006-01-02T15:04:05.000Z")
	}
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"18:00", local(2026, 11, 21, 18, 0)},
		{"09:00", local(2026, 11, 22, 9, 0)}, // the next to come
		{"tomorrow 09:00", local(2026, 11, 22, 9, 0)},
		{"2026-12-01 07:15", local(2026, 12, 1, 7, 15)},
		{"2027-01-01T00:00:00+01:00", "2026-12-31T23:00:00.000Z"},
	} {
		if got, err := parseStart(c.in, now); err != nil || got != c.want {
			t.Errorf("parseStart(%q): got %q, %v, want %q", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"now", "25:00", "tomorrow", "yesterday 09:00", "2026-11-21 17:29", "2026-11-21T00:00:00Z", "-1"} {
		if got, err := parseStart(in, now); err == nil {
			t.Errorf("parseStart(%q): got %q, want an error", in, got)
		}
	}
}
