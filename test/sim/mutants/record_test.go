package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRecordReplacesTheTable(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("before\n"+recordBegins+"old\n"+recordEnds+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := report{Hours: 6, Baseline: baseline{Green: []uint64{3, 7, 9}}, Scores: []score{
		{Name: "one", From: "an incident", Caught: true, Seeds: 2, Seed: 7, By: "I-01"}, {Name: "two", From: "a threat", Seeds: 3}}}
	for range 2 { // again changes nothing
		if err := r.record(page); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, want := range []string{"before\n", "after\n", "| `one` | an incident | 2 seeds (seed 7) | I-01 |", "| `two` | a threat | not by 3 seeds and all stories | **not caught** |", "1 of 2 caught, with at most 3 seeds of 6 hours"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "old") || strings.Count(text, "| `one`") != 1 {
		t.Errorf("the old table is still there:\n%s", text)
	}
	if err := os.WriteFile(page, []byte("no place"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r.record(page) == nil {
		t.Error("a page without a place for the table was written")
	}
}
