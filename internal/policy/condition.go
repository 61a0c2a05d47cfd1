package policy

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"go.yaml.in/yaml/v3"
)

// Limits of one condition. The cost limit counts CEL's evaluation steps; it is
// what keeps Decide total, whatever a condition does with whatever input.
const (
	maxCondition  = 4 << 10
	costLimit     = 20_000
	maxExprDepth  = 64
	maxNestedLoop = 2
)

// condition is a compiled condition.
type condition struct {
	text    string
	line    int
	program cel.Program
	history bool // it looks at what was before
	ticket  bool // it looks at the ticket
	onCall  bool // it looks at who is on call
}

// holds evaluates the condition. An error is one of: a missing label, an unknown
// source address, a shift of which it is not known whose it is, the cost limit.
func (c *condition) holds(f *facts) (bool, error) {
	if c.onCall && len(f.doubts) > 0 {
		return f.eachWay(c.eval)
	}
	return c.eval(f)
}

func (c *condition) eval(f *facts) (bool, error) {
	v, _, err := c.program.Eval(f)
	if err != nil {
		return false, err
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, fmt.Errorf("it gave %s, not true or false", v.Type().TypeName())
	}
	return bool(b), nil
}

// conditionText is a condition as written, with what is needed to say in which
// line of the file a part of it stands.
type conditionText struct {
	text string
	line int
	node *yaml.Node
	at   place
}

func readCondition(f *form, name string, at place) conditionText {
	it, ok := f.scalar(name)
	if !ok {
		return conditionText{}
	}
	n, _ := f.take(name)
	c := conditionText{text: strings.TrimSpace(it.text), line: n.Line, node: n, at: at}
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		c.line = c.lineAt(0)
	}
	switch {
	case c.text == "":
		f.r.add(it.line, "leave it out", "%s is empty", name)
	case len(c.text) > maxCondition:
		f.r.add(it.line, "", "%s is longer than %d bytes", name, maxCondition)
	}
	return c
}

// lineAt finds the line of the file in which the character at offset (counted in
// runes) stands. Folding and quoting change white space only, so it counts the
// other characters; escapes in a quoted condition can make it a line off.
func (c conditionText) lineAt(offset int) int {
	n := 1
	for _, r := range string([]rune(c.text)[:min(offset, len([]rune(c.text)))]) {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	lines := strings.Split(c.at.raw, "\n")
	first, skip := c.node.Line-c.at.first, c.node.Column-1
	if c.node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		first, skip = first+1, 0
	}
	if c.node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		skip++
	}
	for i := first; i < len(lines); i++ {
		for _, r := range []rune(lines[i])[min(skip, len([]rune(lines[i]))):] {
			if !unicode.IsSpace(r) {
				n--
			}
			if n == 0 {
				return c.at.first + i
			}
		}
		skip = 0
	}
	return c.node.Line
}

// compile checks a condition against the environment and makes it ready. What is
// wrong is reported; the result is then nil.
func (e *environment) compile(r *report, c conditionText) *condition {
	if known, ok := e.programs[c.text]; ok {
		known.line = c.line
		return &known
	}
	parsed, issues := e.cel.Parse(c.text)
	if issues.Err() != nil {
		reportIssues(r, c, issues, true) // after a syntax error the others are echoes
		return nil
	}
	before := len(r.problems)
	checkNames(e, r, c, parsed.NativeRep())
	if len(r.problems) > before {
		return nil
	}
	checked, issues := e.cel.Check(parsed)
	if issues.Err() != nil {
		reportIssues(r, c, issues, false)
		return nil
	}
	if checked.OutputType() != cel.BoolType {
		r.add(c.line, "", "the condition gives a %s, not true or false", typeNames.Replace(checked.OutputType().String()))
		return nil
	}
	program, err := e.cel.Program(checked, cel.CostLimit(costLimit), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		r.add(c.line, "", "the condition cannot be used: %s", err)
		return nil
	}
	e.programs[c.text] = condition{c.text, c.line, program, looksAt(checked.NativeRep(), "history"), looksAt(checked.NativeRep(), "ticket"), looksAt(checked.NativeRep(), "principal.onCall")}
	known := e.programs[c.text]
	return &known
}

func reportIssues(r *report, c conditionText, issues *cel.Issues, onlyFirst bool) {
	for _, e := range issues.Errors() {
		offset := runeOffset(c.text, e.Location.Line(), e.Location.Column())
		msg, hint := plain(e.Message)
		r.add(c.lineAt(offset), hint, "%s", msg)
		if onlyFirst {
			return
		}
	}
}

// runeOffset counts the runes before a line (from 1) and column (from 0).
func runeOffset(text string, line, col int) int {
	n := 0
	for i, l := range strings.SplitAfter(text, "\n") {
		if i+1 == line {
			return n + col
		}
		n += len([]rune(l))
	}
	return n
}

var (
	noOverload = regexp.MustCompile(`^found no matching overload for '([^']+)' applied to '(.+)'$`)
	syntaxWord = regexp.MustCompile(`^Syntax error: (?:mismatched input|extraneous input|no viable alternative at input|token recognition error at:) ('(?:[^']|'[^ ])*')`)
)

// typeNames are the words for types that have a longer name inside.
var typeNames = strings.NewReplacer("net.IP", "address", "net.CIDR", "network",
	"google.protobuf.Duration", "duration", "google.protobuf.Timestamp", "timestamp")

// constants are what the validators say of constants, in our words.
var constants = map[string][2]string{
	"invalid duration argument":  {"not a duration", `write it as duration("1h30m")`},
	"invalid timestamp argument": {"not a time", `write it as timestamp("2026-01-02T15:04:05Z")`},
	"invalid matches argument":   {"not a regular expression", ""},
}

// plain turns the compiler's words into ours.
func plain(msg string) (text, hint string) {
	if w, ok := constants[msg]; ok {
		return w[0], w[1]
	}
	if m := noOverload.FindStringSubmatch(msg); m != nil {
		name := m[1]
		if op, ok := operators.FindReverse(name); ok && op != "" {
			name = op
		}
		switch {
		case strings.Contains(m[2], "duration"):
			hint = `write a duration as duration("1h")`
		case strings.Contains(m[2], "timestamp"):
			hint = `write a time as timestamp("2026-01-02T15:04:05Z")`
		case strings.Contains(m[2], "net.IP"):
			hint = `write an address as ip("10.0.0.1"), a network as source.ip.inCIDR("10.0.0.0/8")`
		}
		return fmt.Sprintf("%s cannot be applied to %s", name, typeNames.Replace(m[2])), hint
	}
	if m := syntaxWord.FindStringSubmatch(msg); m != nil {
		if m[1] == "'<EOF>'" {
			return "the condition ends too early", ""
		}
		return "the condition is not valid at " + m[1], ""
	}
	msg, _, _ = strings.Cut(msg, "\n")
	msg = strings.ReplaceAll(strings.TrimPrefix(msg, "Syntax error: "), "'<EOF>'", "the end")
	if msg != "" {
		msg = strings.ToLower(msg[:1]) + msg[1:]
	}
	return msg, ""
}
