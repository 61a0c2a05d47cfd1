package policy

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"stint/internal/access"
)

// form reads the fields of one mapping. What the field is decides how its text
// is understood, so "no" can be a label and 2.50 a version. Fields that nobody
// asked for are unknown, and close says so with the nearest one that was.
type form struct {
	r      *report
	what   string // for messages: "role reader", "ceiling"
	line   int
	fields []field
	known  []string
}

type field struct {
	name  string
	line  int
	value *yaml.Node
	taken bool
}

// item is a text and its line.
type item struct {
	text string
	line int
}

func newForm(r *report, what string, line int, n *yaml.Node) *form {
	f := &form{r: r, what: what, line: line}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		f.fields = append(f.fields, field{name: k.Value, line: k.Line, value: n.Content[i+1]})
	}
	return f
}

// take returns the value of a field, and its line. It is nil for a field that
// is absent, and for one without a value, which is reported.
func (f *form) take(name string) (*yaml.Node, int) {
	f.known = append(f.known, name)
	for i := range f.fields {
		if fd := &f.fields[i]; fd.name == name {
			fd.taken = true
			if fd.value.Kind == yaml.ScalarNode && fd.value.Tag == "!!null" {
				f.r.add(fd.line, "give it a value or leave it out", "%s has no value", name)
				return nil, fd.line
			}
			return fd.value, fd.line
		}
	}
	return nil, f.line
}

// skip takes a field without looking at it.
func (f *form) skip(name string) {
	for i := range f.fields {
		if f.fields[i].name == name {
			f.fields[i].taken = true
		}
	}
}

// has reports whether the field is there, with or without a value.
func (f *form) has(name string) bool {
	return slices.ContainsFunc(f.fields, func(fd field) bool { return fd.name == name })
}

// lineOf is the line of a field, or of the mapping when it is absent.
func (f *form) lineOf(name string) int {
	for _, fd := range f.fields {
		if fd.name == name {
			return fd.line
		}
	}
	return f.line
}

// close reports the fields nobody asked for.
func (f *form) close() {
	for _, fd := range f.fields {
		if fd.taken {
			continue
		}
		hint := DidYouMean(fd.name, f.known)
		if hint == "" {
			hint = "known are " + strings.Join(f.known, ", ")
		}
		f.r.add(fd.line, hint, "%s has no field %q", f.what, fd.name)
	}
}

// scalar returns the text of a field; ok is false when it is absent or no text.
func (f *form) scalar(name string) (it item, ok bool) {
	n, line := f.take(name)
	if n == nil {
		return item{line: line}, false
	}
	if n.Kind != yaml.ScalarNode {
		f.r.add(line, "", "%s is a single value, not a %s", name, kindName(n))
		return item{line: line}, false
	}
	return item{n.Value, line}, true
}

func (f *form) text(name string, limit int) string {
	it, _ := f.scalar(name)
	if len(it.text) > limit {
		f.r.add(it.line, "", "%s is longer than %d bytes", name, limit)
		return ""
	}
	return it.text
}

func (f *form) must(name string) (item, bool) {
	it, ok := f.scalar(name)
	if !ok && !f.has(name) {
		f.r.add(f.line, "", "%s has no %s", f.what, name)
	}
	return it, ok
}

// choice is a text from a closed set; the default when absent.
func choice[S ~string](f *form, name string, def S, of []S) S {
	it, ok := f.scalar(name)
	if !ok {
		return def
	}
	return oneOf(f.r, name, it, def, of)
}

func oneOf[S ~string](r *report, name string, it item, def S, of []S) S {
	if slices.Contains(of, S(it.text)) {
		return S(it.text)
	}
	hint := DidYouMean(it.text, of)
	if hint == "" {
		hint = "it is one of " + join(of)
	}
	r.add(it.line, hint, "unknown %s %q", name, it.text)
	return def
}

// texts is a list of texts.
func (f *form) texts(name string) []item {
	n, line := f.take(name)
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		hint := ""
		if n.Kind == yaml.ScalarNode {
			hint = "write " + name + ": [" + n.Value + "]"
		}
		f.r.add(line, hint, "%s is a list, not a %s", name, kindName(n))
		return nil
	}
	out := make([]item, 0, len(n.Content))
	for _, c := range n.Content {
		if c.Kind != yaml.ScalarNode || c.Tag == "!!null" {
			f.r.add(c.Line, "", "%s lists single values", name)
			continue
		}
		if slices.ContainsFunc(out, func(o item) bool { return o.text == c.Value }) {
			f.r.add(c.Line, "", "%s lists %q twice", name, c.Value)
			continue
		}
		out = append(out, item{c.Value, c.Line})
	}
	return out
}

// oneOrMore is a list of texts, or a single one.
func (f *form) oneOrMore(name string) []item {
	for _, fd := range f.fields {
		if fd.name == name && fd.value.Kind == yaml.ScalarNode {
			if it, ok := f.scalar(name); ok {
				return []item{it}
			}
			return nil
		}
	}
	return f.texts(name)
}

// pairs is a mapping of texts to texts, in order.
func (f *form) pairs(name string) (keys, values []item) {
	n, line := f.take(name)
	if n == nil {
		return nil, nil
	}
	if n.Kind != yaml.MappingNode {
		f.r.add(line, "", "%s is a mapping of names to values, not a %s", name, kindName(n))
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
			f.r.add(k.Line, "", "%s: %s has no single value", name, k.Value)
			continue
		}
		keys, values = append(keys, item{k.Value, k.Line}), append(values, item{v.Value, v.Line})
	}
	return keys, values
}

// sub is a mapping within the mapping; nil when absent.
func (f *form) sub(name string) *form {
	n, line := f.take(name)
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		f.r.add(line, "", "%s is a mapping of names to values, not a %s", name, kindName(n))
		return nil
	}
	return newForm(f.r, name, line, n)
}

// subs is a list of mappings.
func (f *form) subs(name string) []*form {
	n, line := f.take(name)
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		f.r.add(line, "", "%s is a list, not a %s", name, kindName(n))
		return nil
	}
	var out []*form
	for _, c := range n.Content {
		if c.Kind != yaml.MappingNode {
			f.r.add(c.Line, "", "%s lists mappings of names to values", name)
			continue
		}
		out = append(out, newForm(f.r, "an entry of "+name, c.Line, c))
	}
	return out
}

// span is a duration within (0, limit]; zero when absent.
func (f *form) span(name string, limit time.Duration) time.Duration {
	it, ok := f.scalar(name)
	if !ok {
		return 0
	}
	d, ok := parseSpan(it.text)
	if !ok {
		f.r.add(it.line, `write it as "30m", "4h" or "7d"`, "%s %q is not a duration above zero", name, it.text)
		return 0
	}
	if d > limit {
		f.r.add(it.line, "", "%s %s is over the limit of %s", name, it.text, span(limit))
		return 0
	}
	return d
}

// whole is a whole number within [lo, hi]; def when absent.
func (f *form) whole(name string, lo, hi, def int) int {
	it, ok := f.scalar(name)
	if !ok {
		return def
	}
	n, err := strconv.Atoi(it.text)
	if err != nil || n < lo || n > hi {
		f.r.add(it.line, "", "%s %q is not a whole number from %d to %d", name, it.text, lo, hi)
		return def
	}
	return n
}

func (f *form) flag(name string) bool {
	it, ok := f.scalar(name)
	if ok && it.text != "true" && it.text != "false" {
		f.r.add(it.line, "", "%s is true or false, not %q", name, it.text)
	}
	return it.text == "true"
}

// name reads a name in the alphabet of access.ValidName.
func (f *form) name(field string) string {
	it, ok := f.must(field)
	if ok && !access.ValidName(it.text) {
		f.r.add(it.line, "", "%q cannot be a name: 1 to 63 of a-z, 0-9, '.', '_', '-', beginning with a letter or digit", it.text)
		return ""
	}
	return it.text
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "list"
	case yaml.MappingNode:
		return "mapping"
	}
	return "single value"
}

func join[S ~string](ss []S) string {
	t := make([]string, len(ss))
	for i, s := range ss {
		t[i] = string(s)
	}
	return strings.Join(t, ", ")
}
