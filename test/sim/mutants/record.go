package main

import (
	"fmt"
	"os"
	"strings"
)

// The scores stand in the page between these lines.
const (
	recordBegins = "<!-- mutants: written by make sim-mutants -->\n"
	recordEnds   = "<!-- end of mutants -->\n"

	deletionsBegin = "<!-- deletions: written by make sim-deletions -->\n"
	deletionsEnd   = "<!-- end of deletions -->\n"
)

// record writes the scores into a page.
func (r report) record(page string) error { return rewrite(page, recordBegins, recordEnds, r.table()) }

// rewrite replaces what stands between two lines of a page.
func rewrite(page, begin, end, text string) error {
	b, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(b), begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		return fmt.Errorf("%s has no place for the scores: the lines\n%s%s", page, begin, end)
	}
	return os.WriteFile(page, []byte(before+begin+text+end+after), 0o644)
}

func (r report) table() string {
	var t strings.Builder
	caught, _ := r.count()
	fmt.Fprintf(&t, "\n%d of %d caught, with at most %s of %d hours for each, in %.0f s.\n\n", caught, len(r.Scores), plural(len(r.Baseline.Green), "seed"), r.Hours, r.Seconds)
	t.WriteString("| Mutant | What it re-creates | Caught after | Broken |\n|---|---|---|---|\n")
	for _, s := range r.Scores {
		fmt.Fprintf(&t, "| `%s` | %s | %s | %s |\n", s.Name, s.From, s.after(), s.broken())
	}
	t.WriteString("\n")
	return t.String()
}
