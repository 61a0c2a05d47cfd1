package scim

import (
	"encoding/json"
	"strings"
	"time"
)

// Bounds of a filter: what RFC 7644 leaves open, and nobody's client needs more of.
const (
	maxFilter = 4 << 10 // bytes
	maxDepth  = 16      // of groups within groups
	maxTerms  = 64      // comparisons
)

// operator is a comparison of RFC 7644 section 3.4.2.2, table 3.
type operator string

var operators = []operator{"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr"}

// expression is a parsed filter: and, or, not, or one comparison.
type expression interface {
	// matches decides an object; attributes are known to be in its schema.
	matches(o Object) bool
	// String is the canonical text, which parses to the same.
	String() string
}

type (
	both    struct{ a, b expression }
	either  struct{ a, b expression }
	negated struct{ e expression }
	// comparison is "attr op value", or "attr[inner]" with or without more.
	comparison struct {
		path  attrPath
		op    operator // empty for a valuePath alone, which asks for any match
		value any      // string, bool, json.Number or nil
	}
)

// attrPath is an attribute, a sub-attribute of it, and a filter of its values:
// attr, attr.sub, attr[filter], attr[filter].sub.
type attrPath struct {
	attr attribute
	sub  attribute  // without a name: none
	only expression // nil: all values
}

func (p attrPath) String() string {
	s := p.attr.name
	if p.only != nil {
		s += "[" + p.only.String() + "]"
	}
	switch {
	case p.sub.name == "":
	case p.attr.name == enterpriseURN:
		s += ":" + p.sub.name
	default:
		s += "." + p.sub.name
	}
	return s
}

// What stands on the left is of the same binding or a stronger one without
// parentheses: the parser reads from the left.
func (e both) String() string    { return grouped(e.a, isEither) + " and " + grouped(e.b, isJoint) }
func (e either) String() string  { return e.a.String() + " or " + grouped(e.b, isEither) }
func (e negated) String() string { return "not (" + e.e.String() + ")" }
func (e comparison) String() string {
	switch e.op {
	case "":
		return e.path.String()
	case "pr":
		return e.path.String() + " pr"
	}
	var v strings.Builder
	enc := json.NewEncoder(&v)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(e.value) // texts, booleans and numbers always can be
	return e.path.String() + " " + string(e.op) + " " + strings.TrimSuffix(v.String(), "\n")
}

func isEither(e expression) bool { _, ok := e.(either); return ok }
func isJoint(e expression) bool  { _, ok := e.(both); return ok || isEither(e) }

// grouped puts an expression into parentheses where it would be read otherwise.
func grouped(e expression, weak func(expression) bool) string {
	if weak(e) {
		return "(" + e.String() + ")"
	}
	return e.String()
}

// parseFilter reads a filter over the attributes of a kind.
func parseFilter(attrs []attribute, s string) (expression, error) {
	p := &parser{rest: s, attrs: attrs, kind: invalidFilter}
	if len(s) > maxFilter {
		return nil, p.fail("it is longer than %d bytes", maxFilter)
	}
	e, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.rest != "" {
		return nil, p.fail("%s is one too many", quote(p.rest))
	}
	return e, nil
}

// parsePath reads the path of a PATCH operation, RFC 7644 section 3.5.2:
// attrPath, or valuePath with a sub-attribute or without.
func parsePath(attrs []attribute, s string) (attrPath, error) {
	p := &parser{rest: s, attrs: attrs, kind: invalidPath}
	if len(s) > maxFilter {
		return attrPath{}, p.fail("it is longer than %d bytes", maxFilter)
	}
	p.space()
	path, err := p.path(0)
	if err != nil {
		return attrPath{}, err
	}
	if p.space(); p.rest != "" {
		return attrPath{}, p.fail("%s is one too many", quote(p.rest))
	}
	return path, nil
}

// parser reads from the front of rest.
type parser struct {
	rest  string
	attrs []attribute
	kind  string // of its errors
	terms int
}

func (p *parser) fail(format string, args ...any) error {
	what := "filter"
	if p.kind == invalidPath {
		what = "path"
	}
	return refuse(p.kind, "the "+what+" cannot be read: "+format, args...)
}

func (p *parser) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

// word takes a word if it is next, in any case and as a whole.
func (p *parser) word(w string) bool {
	if len(p.rest) < len(w) || !strings.EqualFold(p.rest[:len(w)], w) || len(p.rest) > len(w) && nameByte(p.rest[len(w)]) {
		return false
	}
	p.rest = p.rest[len(w):]
	return true
}

func (p *parser) sign(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *parser) or(depth int) (expression, error) {
	left, err := p.and(depth)
	for err == nil {
		if p.space(); !p.word("or") {
			return left, nil
		}
		var right expression
		if right, err = p.and(depth); err == nil {
			left = either{left, right}
		}
	}
	return nil, err
}

func (p *parser) and(depth int) (expression, error) {
	left, err := p.term(depth)
	for err == nil {
		if p.space(); !p.word("and") {
			return left, nil
		}
		var right expression
		if right, err = p.term(depth); err == nil {
			left = both{left, right}
		}
	}
	return nil, err
}

func (p *parser) term(depth int) (expression, error) {
	if depth >= maxDepth {
		return nil, p.fail("more than %d groups are within each other", maxDepth)
	}
	if p.terms++; p.terms > maxTerms {
		return nil, p.fail("it has more than %d parts", maxTerms)
	}
	p.space()
	before := p.rest
	if p.word("not") {
		if p.space(); p.sign('(') {
			e, err := p.group(depth)
			if err != nil {
				return nil, err
			}
			return negated{e}, nil
		}
		p.rest = before
	}
	if p.sign('(') {
		return p.group(depth)
	}
	return p.compare(depth)
}

// group reads what is in parentheses, after the first of them.
func (p *parser) group(depth int) (expression, error) {
	e, err := p.or(depth + 1)
	if err != nil {
		return nil, err
	}
	if p.space(); !p.sign(')') {
		return nil, p.fail("a parenthesis is not closed")
	}
	return e, nil
}

func (p *parser) compare(depth int) (expression, error) {
	path, err := p.path(depth)
	if err != nil {
		return nil, err
	}
	p.space()
	for _, op := range operators {
		if p.word(string(op)) {
			return p.compared(path, op)
		}
	}
	if path.only != nil && path.sub.name == "" {
		return comparison{path: path}, nil
	}
	return nil, p.fail("after %s comes one of eq ne co sw ew gt ge lt le pr", path)
}

func (p *parser) compared(path attrPath, op operator) (expression, error) {
	c := comparison{path: path, op: op}
	if op == "pr" {
		return c, nil
	}
	typ := path.compared().typ
	p.space()
	var err error
	if c.value, err = p.literal(); err != nil {
		return nil, err
	}
	switch ordered := op == "gt" || op == "ge" || op == "lt" || op == "le"; {
	case typ == complexType:
		return nil, p.fail("%s is complex and is compared by its sub-attributes", path)
	case ordered && (typ == boolean || typ == binary): // RFC 7644 table 3
		return nil, p.fail("%s has no order", path)
	case c.value == nil && op != "eq" && op != "ne":
		return nil, p.fail("null is compared with eq and ne")
	case typ == boolean:
		if s, ok := c.value.(string); ok { // Entra asks for active eq "true"
			if c.value, ok = map[string]any{"true": true, "false": false}[strings.ToLower(s)]; !ok {
				return nil, p.fail("%s is true or false", path)
			}
		}
		if _, ok := c.value.(bool); !ok && c.value != nil {
			return nil, p.fail("%s is true or false", path)
		}
	case typ == dateTime && ordered:
		s, _ := c.value.(string)
		if _, err := time.Parse(time.RFC3339, s); err != nil {
			return nil, p.fail("%s is compared with a time", path)
		}
	}
	return c, nil
}

// compared is the attribute whose values are compared: of a multi-valued complex one
// that is its value.
func (p attrPath) compared() attribute {
	switch value, ok := known(p.attr.sub, "value"); {
	case p.sub.name != "":
		return p.sub
	case p.attr.typ == complexType && p.attr.multi && ok:
		return value
	}
	return p.attr
}

func nameByte(c byte) bool {
	return c == '$' || c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// name takes an attribute's name, ALPHA *(nameChar) of RFC 7643 section 2.1.
func (p *parser) name() string {
	n := 0
	for n < len(p.rest) && nameByte(p.rest[n]) {
		n++
	}
	name := p.rest[:n]
	p.rest = p.rest[n:]
	return name
}

// path reads an attribute with what follows it.
func (p *parser) path(depth int) (attrPath, error) {
	var out attrPath
	var ok bool
	urn, extension := "", false
	for _, u := range []string{enterpriseURN, userURN, groupURN} {
		if len(p.rest) < len(u) || !strings.EqualFold(p.rest[:len(u)], u) {
			continue
		}
		urn = u
		if out.attr, extension = known(p.attrs, u); !extension && len(p.rest) == len(u) {
			return out, p.fail("%s is no attribute", quote(p.rest))
		}
		p.rest = p.rest[len(u):]
		if !p.sign(':') {
			if !extension {
				return out, p.fail("after %s comes : and an attribute", u)
			}
			return out, nil // the extension as a whole
		}
		break
	}
	name := p.name()
	if extension {
		if out.sub, ok = known(out.attr.sub, name); !ok {
			return out, p.fail("there is no attribute %s", quote(urn+":"+name))
		}
		return out, p.within(&out)
	}
	if out.attr, ok = known(p.attrs, name); !ok || strings.HasPrefix(name, "urn:") {
		if name == "" {
			return out, p.fail("an attribute is missing at %s", quote(p.rest))
		}
		return out, p.fail("there is no attribute %s", quote(name))
	}
	if p.sign('[') {
		if !out.attr.multi || out.attr.typ != complexType {
			return out, p.fail("%s has no values to choose from", out.attr.name)
		}
		if depth >= maxDepth {
			return out, p.fail("more than %d groups are within each other", maxDepth)
		}
		inner := &parser{rest: p.rest, attrs: out.attr.sub, kind: p.kind, terms: p.terms}
		e, err := inner.or(depth + 1)
		if err != nil {
			return out, err
		}
		p.rest, p.terms = inner.rest, inner.terms
		if p.space(); !p.sign(']') {
			return out, p.fail("a bracket is not closed")
		}
		out.only = e
	}
	if p.sign('.') {
		name := p.name()
		if out.sub, ok = known(out.attr.sub, name); !ok {
			return out, p.fail("there is no attribute %s", quote(out.attr.name+"."+name))
		}
	}
	return out, nil
}

// within reads the sub-attribute of an extension's complex attribute, such as
// manager.value. The name of such a sub-attribute has a dot in it.
func (p *parser) within(out *attrPath) error {
	if !p.sign('.') {
		return nil
	}
	name := p.name()
	leaf, ok := known(out.sub.sub, name)
	if !ok {
		return p.fail("there is no attribute %s", quote(out.sub.name+"."+name))
	}
	out.sub = attribute{name: out.sub.name + "." + leaf.name, typ: leaf.typ, caseExact: leaf.caseExact, readOnly: leaf.readOnly}
	return nil
}

// literal reads a JSON value that is no object and no list.
func (p *parser) literal() (any, error) {
	for word, v := range map[string]any{"true": true, "false": false, "null": nil} {
		if p.word(word) {
			return v, nil
		}
	}
	n := 0
	if p.rest != "" && p.rest[0] == '"' {
		for n = 1; n < len(p.rest) && p.rest[n] != '"'; n++ {
			if p.rest[n] == '\\' {
				n++
			}
		}
		n++
	} else {
		for n < len(p.rest) && strings.IndexByte("+-.0123456789eE", p.rest[n]) >= 0 {
			n++
		}
	}
	if n == 0 || n > len(p.rest) {
		return nil, p.fail("a value is missing at %s", quote(p.rest))
	}
	raw := p.rest[:n]
	p.rest = p.rest[n:]
	var v any
	d := json.NewDecoder(strings.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil || d.More() {
		return nil, p.fail("%s is no value", quote(raw))
	}
	return v, nil
}

func (e both) matches(o Object) bool    { return e.a.matches(o) && e.b.matches(o) }
func (e either) matches(o Object) bool  { return e.a.matches(o) || e.b.matches(o) }
func (e negated) matches(o Object) bool { return !e.e.matches(o) }

func (e comparison) matches(o Object) bool {
	found := e.path.values(o)
	switch {
	case e.op == "" || e.op == "pr":
		return len(found) > 0
	case e.op == "eq" && e.value == nil:
		return len(found) == 0
	case e.op == "ne" && e.value == nil:
		return len(found) > 0
	case e.op == "ne": // of none of its values
		return !e.any(found, "eq")
	}
	return e.any(found, e.op)
}

func (e comparison) any(found []any, op operator) bool {
	a := e.path.compared()
	for _, v := range found {
		if compare(a, v, op, e.value) {
			return true
		}
	}
	return false
}

// values are those of the path that an object has.
func (p attrPath) values(o Object) (found []any) {
	v, there := o[p.attr.name]
	if !there {
		return nil
	}
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	name := p.sub.name
	if name == "" && p.compared().name != p.attr.name {
		name = p.compared().name
	}
	for _, e := range list {
		m, isObject := e.(Object)
		switch {
		case p.only != nil && (!isObject || !p.only.matches(m)):
		case p.only != nil && p.sub.name == "":
			found = append(found, e)
		case name == "":
			found = append(found, e)
		case isObject:
			first, second, deeper := strings.Cut(name, ".")
			v, there := m[first]
			if inner, ok := v.(Object); ok && deeper {
				v, there = inner[second]
			}
			if there {
				found = append(found, v)
			}
		}
	}
	return found
}

// compare decides one value. Texts without caseExact are compared without case.
func compare(a attribute, have any, op operator, want any) bool {
	switch h := have.(type) {
	case bool:
		return op == "eq" && h == want
	case Object: // a valuePath's element, compared by its value
		v, ok := h["value"]
		return ok && compare(a, v, op, want)
	case string:
		w, ok := want.(string)
		if n, isNumber := want.(json.Number); isNumber { // an employee number, without quotes
			w, ok = n.String(), true
		}
		if !ok {
			return false
		}
		if a.typ == dateTime {
			if ht, err := time.Parse(time.RFC3339, h); err == nil {
				if wt, err := time.Parse(time.RFC3339, w); err == nil {
					return orders(ht.Compare(wt), op)
				}
			}
		}
		if !a.caseExact {
			h, w = strings.ToLower(h), strings.ToLower(w)
		}
		switch op {
		case "co":
			return strings.Contains(h, w)
		case "sw":
			return strings.HasPrefix(h, w)
		case "ew":
			return strings.HasSuffix(h, w)
		}
		return orders(strings.Compare(h, w), op)
	}
	return false
}

func orders(c int, op operator) bool {
	switch op {
	case "eq":
		return c == 0
	case "gt":
		return c > 0
	case "ge":
		return c >= 0
	case "lt":
		return c < 0
	case "le":
		return c <= 0
	}
	return false
}

// indexed is an equality that a matching resource must have, of an attribute by which
// a directory finds resources, if the filter has one.
func indexed(k Kind, e expression) (attr, value string, ok bool) {
	switch x := e.(type) {
	case both:
		if attr, value, ok = indexed(k, x.a); ok {
			return attr, value, ok
		}
		return indexed(k, x.b)
	case comparison:
		s, isText := x.value.(string)
		switch name := x.path.attr.name; {
		case x.op != "eq" || !isText:
		case name == "id", name == "externalId", name == "userName", name == "displayName" && k == Group:
			return name, s, true
		}
	}
	return "", "", false
}
