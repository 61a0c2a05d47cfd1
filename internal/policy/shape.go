package policy

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ShapeKind is one of the shapes that most policies have.
type ShapeKind string

// The shapes.
const (
	ShapeAutomatic  ShapeKind = "automatic"  // at once
	ShapeApproval   ShapeKind = "approval"   // when somebody says yes
	ShapeOnCall     ShapeKind = "oncall"     // at once, for who is on call
	ShapeDenied     ShapeKind = "denied"     // never
	ShapeBreakGlass ShapeKind = "breakglass" // in an emergency
)

// ShapeKinds lists them.
var ShapeKinds = []ShapeKind{ShapeAutomatic, ShapeApproval, ShapeOnCall, ShapeDenied, ShapeBreakGlass}

// Shape is a policy of a common shape as a form holds it: texts as they are typed. Lists
// are separated by commas or spaces, labels stand one a line as name=value. A group may
// go without "group:", and a schedule, where Kind is ShapeOnCall, without "oncall:".
type Shape struct {
	Kind              ShapeKind
	Name, Description string
	Subjects, Roles   string
	Names, Labels     string // of resources; empty: all that the roles cover
	Approvers, Count  string // of ShapeApproval
	Reason            string // characters at least
	Max               string // duration
	MFA               bool
	Yields            bool // of ShapeDenied: to break-glass
}

// Text is the document that the form means. It says nothing about whether that is right:
// Parse does.
func (s Shape) Text() string {
	var b strings.Builder
	line := func(indent, name, value string) {
		if value != "" {
			b.WriteString(indent + name + ": " + value + "\n")
		}
	}
	flow := func(items []string) string {
		if len(items) == 0 {
			return ""
		}
		quoted := make([]string, len(items))
		for i, x := range items {
			quoted[i] = yamlText(x)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	text := func(s string) string {
		if s = strings.TrimSpace(s); s == "" {
			return ""
		}
		return yamlText(s)
	}
	prefix := "group:"
	if s.Kind == ShapeOnCall {
		prefix = "oncall:"
	}
	line("", "kind", KindPolicy)
	line("", "name", text(s.Name))
	line("", "description", text(s.Description))
	switch s.Kind {
	case ShapeDenied:
		line("", "effect", effectDeny)
		if s.Yields {
			line("", "unless", effectBreakGlass)
		}
	case ShapeBreakGlass:
		line("", "effect", effectBreakGlass)
	}
	line("", "subjects", flow(prefixed(s.Subjects, prefix)))
	line("", "roles", flow(listed(s.Roles)))
	if names, labels := listed(s.Names), labelLines(s.Labels); len(names)+len(labels) > 0 {
		b.WriteString("resources:\n")
		line("  ", "names", flow(names))
		if len(labels) > 0 {
			b.WriteString("  labels:\n")
			for _, l := range labels {
				b.WriteString("    " + yamlText(l[0]) + ": " + yamlText(l[1]) + "\n")
			}
		}
	}
	if s.Kind == ShapeDenied {
		return b.String()
	}
	var req strings.Builder
	whole := b
	b = strings.Builder{}
	if r := text(s.Reason); r != "" {
		line("  ", "reason", "{minLength: "+r+"}")
	}
	if s.Kind == ShapeApproval {
		from, count := flow(prefixed(s.Approvers, "group:")), text(s.Count)
		if count == "" {
			count = "1"
		}
		if from != "" {
			from = "from: " + from + ", "
		}
		line("  ", "approvals", "[{"+from+"count: "+count+"}]")
	}
	line("  ", "maxDuration", text(s.Max))
	if s.MFA && s.Kind != ShapeBreakGlass {
		line("  ", "mfa", "true")
	}
	req.WriteString(b.String())
	if req.Len() > 0 {
		return whole.String() + "require:\n" + req.String()
	}
	return whole.String()
}

// ShapeOf reads a document into a form. rest names what of it the form has no place for:
// where there is any, the form is no view of the document and must not be shown as one.
func ShapeOf(text string) (s Shape, rest []string) {
	n, ok := parseYAML(&report{}, text, 1)
	if !ok {
		return s, []string{"it cannot be read"}
	}
	if commented(n) || strings.HasPrefix(strings.TrimSpace(text), "#") {
		rest = append(rest, "comments")
	}
	s.Kind = ShapeAutomatic
	approved := false
	var subjects []string
	var labels []string
	for _, f := range flatten(text) {
		if key, ok := strings.CutPrefix(f.field, "resources.labels."); ok && f.list == nil {
			labels = append(labels, key+"="+f.text)
			continue
		}
		switch f.field {
		case "kind":
			if f.text != KindPolicy {
				rest = append(rest, "kind")
			}
		case "name":
			s.Name = f.text
		case "description":
			s.Description = f.text
		case "effect":
			switch f.text {
			case effectDeny:
				s.Kind = ShapeDenied
			case effectBreakGlass:
				s.Kind = ShapeBreakGlass
			case effectWatch: // no form is for that
				rest = append(rest, "effect")
			}
		case "unless":
			s.Yields = f.text == effectBreakGlass
		case "subjects":
			subjects, s.Subjects = f.list, strings.Join(f.list, ", ")
		case "roles":
			s.Roles = strings.Join(f.list, ", ")
		case "resources.names":
			s.Names = strings.Join(f.list, ", ")
		case "require.reason.minLength":
			s.Reason = f.text
		case "require.maxDuration":
			s.Max = f.text
		case "require.mfa":
			s.MFA = f.text == "true"
		case "require.approvals[0].from":
			approved, s.Approvers = true, strings.Join(f.list, ", ")
		case "require.approvals[0].count":
			approved, s.Count = true, f.text
		default:
			rest = append(rest, f.field)
		}
	}
	s.Labels = strings.Join(labels, "\n")
	switch {
	case s.Kind == ShapeAutomatic && approved:
		s.Kind = ShapeApproval
		if s.Count == "" {
			s.Count = "1"
		}
	case s.Kind == ShapeAutomatic && len(subjects) > 0 && !slices.ContainsFunc(subjects, func(x string) bool { return !strings.HasPrefix(x, "oncall:") }):
		s.Kind = ShapeOnCall
	}
	// Whatever was missed above is found here: the form must mean what the document says.
	if len(rest) == 0 && (strings.ContainsAny(s.Description, "\n\t") || !slices.Equal(saysAll(s.Text()), saysAll(text))) {
		rest = append(rest, "the way it is written")
	}
	return s, rest
}

// saysAll is what a document says, field by field in the order of their names, without what
// goes without saying.
func saysAll(text string) (out []string) {
	for _, f := range flatten(text) {
		switch f.field + ": " + f.text {
		case "effect: allow", "require.approvals[0].count: 1", "require.mfa: false":
			continue
		}
		kind := "text"
		if f.list != nil {
			kind = "list"
		}
		out = append(out, strings.Join(append([]string{f.field, kind, f.text}, f.list...), "\x00"))
	}
	slices.Sort(out)
	return out
}

// commented reports whether a comment stands anywhere.
func commented(n *yaml.Node) bool {
	return n.HeadComment+n.LineComment+n.FootComment != "" || slices.ContainsFunc(n.Content, commented)
}

// listed are the items of what was typed as a list.
func listed(s string) []string {
	return strings.FieldsFunc(s, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r' })
}

// prefixed are the same, each with a prefix where it has none and is no word of its own.
func prefixed(s, prefix string) []string {
	out := listed(s)
	for i, x := range out {
		if !strings.Contains(x, ":") && x != "*" && (prefix == "oncall:" || !slices.Contains([]string{"owner", "manager", "manager.manager", "sponsor"}, x)) {
			out[i] = prefix + x
		}
	}
	return out
}

// labelLines are name and value of each line.
func labelLines(s string) (out [][2]string) {
	for l := range strings.SplitSeq(s, "\n") {
		l = strings.TrimSuffix(l, "\r")
		if strings.TrimSpace(l) == "" {
			continue
		}
		k, v, _ := strings.Cut(l, "=")
		out = append(out, [2]string{strings.TrimSpace(k), v})
	}
	return out
}

var plainText = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_./-]*(:[a-zA-Z0-9][a-zA-Z0-9_.-]*)?$|^[1-9][0-9]{0,8}[smhd]?$`)

// yamlText writes a text so that it is read as that text, within a list too.
func yamlText(s string) string {
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
	default:
		if plainText.MatchString(s) {
			return s
		}
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil { // a text
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// FieldsOf lists the fields that a document has, in order: "require.approvals[0].count".
// Names of labels are left out. What cannot be read has none.
func FieldsOf(text string) (out []string) {
	for _, f := range flatten(text) {
		if strings.HasPrefix(f.field, "resources.labels.") {
			f.field = "resources.labels"
		}
		if f.field != "" && !slices.Contains(out, f.field) {
			out = append(out, f.field)
		}
	}
	return out
}
