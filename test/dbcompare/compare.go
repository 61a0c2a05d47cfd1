package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// rule is a difference that has a reason.
type rule struct {
	text   string // as it stands in the list
	file   *regexp.Regexp
	ends   bool // the gateway ends the session at this point: nothing follows
	line   *regexp.Regexp
	reason string
	used   bool
}

// readRules reads lines of FILE, "line" or "ends", PATTERN and REASON, with tabs between.
func readRules(path string) (rules []*rule, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words := strings.Split(line, "\t")
		if len(words) != 4 || words[1] != "line" && words[1] != "ends" || words[3] == "" {
			return nil, fmt.Errorf("%s:%d: not FILE, line or ends, PATTERN, REASON with tabs between", path, i+1)
		}
		r := &rule{text: fmt.Sprintf("%s:%d", path, i+1), ends: words[1] == "ends", reason: words[3]}
		if r.file, err = regexp.Compile("^(" + words[0] + ")$"); err == nil {
			r.line, err = regexp.Compile(words[2])
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

type verdict uint8

const (
	same verdict = iota
	explained
	unstable
	different
)

// file is what became of one file of the suite.
type file struct {
	name    string
	verdict verdict
	reasons []string
	lines   []string // that differ without a reason
}

func (f file) String() string {
	switch f.verdict {
	case same:
		return "the same"
	case explained:
		return "differs: " + strings.Join(f.reasons, "; ")
	case unstable:
		return "differs from itself, too"
	}
	return "DIFFERS\n    " + strings.Join(f.lines[:min(len(f.lines), 12)], "\n    ")
}

// comparison is of all files.
type comparison struct {
	files []file
	bytes int
	wrong []string
}

func (c *comparison) count(v verdict) (n int) {
	for _, f := range c.files {
		if f.verdict == v {
			n++
		}
	}
	return n
}

func compare(names []string, direct, through, again map[string]string, rules []*rule) *comparison {
	c := &comparison{}
	for _, name := range names {
		c.bytes += len(direct[name])
		f := compareOne(name, direct[name], through[name], again[name], rules)
		if f.verdict == different {
			c.wrong = append(c.wrong, name+" prints other things through the gateway")
		}
		c.files = append(c.files, f)
	}
	return c
}

func compareOne(name, direct, through, again string, rules []*rule) file {
	f := file{name: name}
	if direct == through {
		return f
	}
	// What differs between two runs without the gateway says nothing of it.
	own := map[string]bool{}
	for _, l := range changed(direct, again) {
		own[l[1:]] = true
	}
	f.verdict = unstable
	left, right := strings.Split(direct, "\n"), strings.Split(through, "\n")
	over := false
	for _, l := range changes(left, right) {
		if own[l.text] || over && l.side == "-" { // what the session did not come to
			continue
		}
		r := ruleFor(rules, name, l)
		if r == nil {
			f.verdict = different
			f.lines = append(f.lines, l.side+l.text)
			continue
		}
		r.used = true
		if f.verdict == unstable {
			f.verdict = explained
		}
		if !slices.Contains(f.reasons, r.reason) {
			f.reasons = append(f.reasons, r.reason)
		}
		over = over || r.ends
	}
	return f
}

func ruleFor(rules []*rule, name string, l line) *rule {
	for _, r := range rules {
		if r.file.MatchString(name) && r.line.MatchString(l.side+l.text) {
			return r
		}
	}
	return nil
}

// line is one that only one side printed: "-" without the gateway, "+" through it.
type line struct{ side, text string }

func changed(a, b string) (all []string) {
	for _, l := range changes(strings.Split(a, "\n"), strings.Split(b, "\n")) {
		all = append(all, l.side+l.text)
	}
	return all
}

// changes are the lines that differ, by the longest common subsequence of what lies between
// the same beginning and the same end. Where that is too much to compare, all of it differs.
func changes(a, b []string) (all []line) {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if len(a)*len(b) > 25_000_000 {
		for _, l := range a {
			all = append(all, line{"-", l})
		}
		for _, l := range b {
			all = append(all, line{"+", l})
		}
		return all
	}
	common := make([][]int32, len(a)+1)
	for i := range common {
		common[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			all = append(all, line{"-", a[i]})
			i++
		default:
			all = append(all, line{"+", b[j]})
			j++
		}
	}
	return all
}
