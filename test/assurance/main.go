// Command assurance writes docs/assurance.md from the results of the deep tests
// in docs/evidence, and from nothing else: what has no result there shows as
// not measured.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"stint/test/evidence"
)

func main() {
	from := flag.String("from", "docs/evidence", "folder of the results")
	to := flag.String("to", "docs/assurance.md", "the report")
	flag.Parse()
	rs, err := evidence.Load(*from)
	if err == nil {
		err = os.WriteFile(*to, report(rs), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "assurance:", err)
		os.Exit(1)
	}
}

// report renders the results.
func report(rs []evidence.Result) []byte {
	var b bytes.Buffer
	b.WriteString(`# Assurance

Written by ` + "`make assurance`" + ` from the results in [evidence](evidence/), which the deep tests wrote
themselves. A line without a result says *not measured*. Times were taken on the machine named in
each row; ratios compare two things in one run and travel better than times.

## Runs

| Run | How to see it again | Commit | When | Took | Machine | Result |
|---|---|---|---|---|---|---|
`)
	for _, w := range wanted {
		found := false
		for _, r := range rs {
			if r.Name != w.name {
				continue
			}
			found = true
			fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s | %s | %s |\n", w.title, r.Command, r.Commit, r.At.Format("2006-01-02"),
				took(r.Seconds), r.Machine, verdict(r))
		}
		if !found {
			fmt.Fprintf(&b, "| %s | `%s` | | | | | **not measured** |\n", w.title, w.command)
		}
	}
	b.WriteString("\n## Figures\n\n| Run | What | Measured | Goal | Met | Beside |\n|---|---|---|---|---|---|\n")
	for _, r := range rs {
		for _, f := range r.Figures {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", r.Name, cell(f.Name), number(f), cell(f.Goal), met(f), cell(f.Beside))
		}
	}
	for _, r := range rs {
		for _, t := range r.Tables {
			fmt.Fprintf(&b, "\n## %s\n\nFrom the run *%s*.\n\n| %s |\n|%s\n", t.Title, r.Name, strings.Join(cells(t.Columns), " | "), strings.Repeat("---|", len(t.Columns)))
			for _, row := range t.Rows {
				fmt.Fprintf(&b, "| %s |\n", strings.Join(cells(row), " | "))
			}
		}
	}
	grid(&b, rs)
	return b.Bytes()
}

// grid shows which method looks at which invariant. Only runs that passed count.
func grid(b *bytes.Buffer, rs []evidence.Result) {
	covered := map[string]map[string]bool{}
	var used []string
	for _, r := range rs {
		if !r.Passed {
			continue
		}
		for _, i := range r.Invariants {
			if covered[i] == nil {
				covered[i] = map[string]bool{}
			}
			covered[i][r.Method] = true
			if !slices.Contains(used, r.Method) {
				used = append(used, r.Method)
			}
		}
	}
	slices.Sort(used)
	b.WriteString("\n## Invariants and methods\n\n")
	if len(used) == 0 {
		b.WriteString("Not measured.\n")
		return
	}
	fmt.Fprintf(b, "| | Invariant | %s |\n|---|---|%s\n", strings.Join(used, " | "), strings.Repeat("---|", len(used)))
	for _, i := range invariants {
		row := make([]string, len(used))
		none := true
		for n, m := range used {
			if covered[i.id][m] {
				row[n], none = "yes", false
			}
		}
		says := i.says
		if none {
			says += " (**not measured here**)"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", i.id, says, strings.Join(row, " | "))
	}
}

func verdict(r evidence.Result) string {
	if r.Passed {
		return "no violation"
	}
	if len(r.Violated) == 0 {
		return "**failed**"
	}
	return "**" + cell(strings.Join(r.Violated, "; ")) + "**"
}

func took(seconds float64) string {
	if seconds < 120 {
		return strconv.FormatFloat(seconds, 'f', 0, 64) + " s"
	}
	return strconv.FormatFloat(seconds/60, 'f', 0, 64) + " min"
}

func number(f evidence.Figure) string {
	digits := 2
	if f.Value == float64(int64(f.Value)) {
		digits = 0
	}
	s := strconv.FormatFloat(f.Value, 'f', digits, 64)
	if f.Unit != "" {
		s += " " + f.Unit
	}
	return s
}

func met(f evidence.Figure) string {
	switch {
	case f.Met == nil:
		return ""
	case *f.Met:
		return "yes"
	}
	return "**no**"
}

// cell keeps a text inside its cell.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ").Replace(s)
}

func cells(ss []string) []string {
	out := make([]string, len(ss))
	for i, s := range ss {
		out[i] = cell(s)
	}
	return out
}
