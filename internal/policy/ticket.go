package policy

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"stint/internal/access"
)

// UnknownFor is how long a watched ticket may be unreadable before its grant ends, where
// a policy does not say.
const UnknownFor = 4 * time.Hour

// TicketRule is what a policy asks of the ticket behind a request.
type TicketRule struct {
	Pattern    string        // that its id matches; empty: none
	From       string        // the integration that keeps it; empty: it is not looked up
	AnyState   bool          // closed ones do too
	Assigned   bool          // it is assigned to who asks
	Names      bool          // it names the resource
	EndOnClose bool          // the grant ends when any of that does not hold any more
	UnknownFor time.Duration // how long it may be unreadable meanwhile

	// form is what ids in From look like; empty where documents are read without a
	// server's schemas.
	form           string
	re             *regexp.Regexp
	line, lineFrom int
	linePattern    int
	lineClose      int
}

// Asked reports whether a ticket is asked for at all.
func (t TicketRule) Asked() bool { return t.Pattern != "" || t.From != "" }

// Ticket is what is known of the ticket of an ask, in one ticket system. People are
// persons here; empty: nobody, or somebody whom Stint does not know.
type Ticket struct {
	// Problem says why nothing is known: it is not there, may not be seen, or nobody
	// answers. Everything else is empty then.
	Problem  string
	Open     bool
	Text     string // what can name a resource
	Assignee access.Person
	Reporter access.Person
	// Editors are all who wrote or changed it, the last one last; nil: not known.
	Editors []access.Person
}

// readTicket reads what is asked of a ticket.
func readTicket(f *form) (t TicketRule) {
	s := f.sub("ticket")
	if s == nil {
		return t
	}
	t.line, t.linePattern, t.lineFrom, t.lineClose = s.line, s.line, s.line, s.line
	if it, ok := s.scalar("pattern"); ok {
		t.linePattern, t.Pattern = it.line, it.text
		re, err := regexp.Compile(it.text)
		switch {
		case len(it.text) > 512:
			f.r.add(it.line, "", "the pattern is longer than 512 bytes")
		case it.text == "":
			f.r.add(it.line, `write ".+" for any`, "the pattern is empty")
		case err != nil:
			f.r.add(it.line, "", "not a regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
		t.re = re
	}
	if it, ok := s.scalar("from"); ok {
		t.From, t.lineFrom = it.text, it.line
	}
	t.AnyState = choice(s, "state", "open", []string{"open", "any"}) == "any"
	t.Assigned = choice(s, "assigned", "", []string{"requester"}) != ""
	t.Names = choice(s, "names", "", []string{"resource"}) != ""
	t.EndOnClose, t.lineClose = s.flag("endOnClose"), s.lineOf("endOnClose")
	t.UnknownFor = s.span("unknownFor", access.MaxDuration)
	switch {
	case t.From == "" && !s.has("pattern") && !s.has("from"):
		s.r.add(s.line, `add from: corp-jira, or pattern: "^INC-[0-9]+$"`, "ticket says neither where it is looked up nor what it looks like")
	case t.From == "":
		for _, name := range []string{"state", "assigned", "names", "endOnClose", "unknownFor"} {
			if s.has(name) {
				s.r.add(s.lineOf(name), "add from: with the integration that keeps the tickets", "%s needs a ticket that is looked up", name)
			}
		}
	case t.UnknownFor > 0 && !t.EndOnClose:
		s.r.add(s.lineOf("unknownFor"), "add endOnClose: true, or leave it out", "unknownFor is for tickets that are watched")
	}
	if t.UnknownFor == 0 {
		t.UnknownFor = UnknownFor
	}
	s.close()
	return t
}

// named is where such a ticket is, and what its id looks like.
func (t *TicketRule) named() string {
	switch {
	case t.From == "":
		return ""
	case t.form == "":
		return " of " + t.From
	}
	return " of " + t.From + " (" + t.form + ")"
}

// missing says what the ticket of an ask lacks. What is not theirs they are not told of:
// where it has to be assigned to who asks, that comes first and alone.
func (t *TicketRule) missing(a Ask, res *Resource) (texts []string) {
	say := func(format string, args ...any) { texts = append(texts, fmt.Sprintf(format, args...)) }
	if t.re != nil && !t.re.MatchString(a.Ticket) {
		text := "the ticket must match " + t.Pattern
		if a.Ticket == "" {
			text += t.named() + "; name it with --ticket"
		}
		return append(texts, text)
	}
	if t.From == "" {
		return nil
	}
	got, looked := a.Tickets[t.From]
	switch {
	case a.Ticket == "":
		say("it asks for a ticket%s; name it with --ticket", t.named())
	case !looked:
		say("ticket %s was not looked up in %s; ask again", a.Ticket, t.From)
	case got.Problem != "":
		say("%s", got.Problem)
	case t.Assigned && (got.Assignee == "" || got.Assignee != a.Principal.Person):
		say("ticket %s is not assigned to %s, as far as %s tells Stint; have it assigned, or your account there linked", a.Ticket, a.Principal.Person, t.From)
	default:
		if !t.AnyState && !got.Open {
			say("ticket %s is closed; name one that is open", a.Ticket)
		}
		if t.Names && !got.names(res.Name) {
			say("ticket %s does not name %s; have somebody write it into the ticket", a.Ticket, res.Name)
		}
	}
	return texts
}

// Lapsed says why a grant that rests on the ticket ends, by what is known of it now;
// empty: it does not, or that is not known.
func (t TicketRule) Lapsed(id string, got Ticket, holder access.Person, resource access.ResourceName) string {
	switch {
	case got.Problem != "":
		return ""
	case !t.AnyState && !got.Open:
		return "ticket " + id + " was closed"
	case t.Assigned && got.Assignee != holder:
		return "ticket " + id + " is not assigned to " + string(holder) + " any more"
	case t.Names && !got.names(resource):
		return "ticket " + id + " does not name " + string(resource) + " any more"
	}
	return ""
}

// names reports whether the text has the name as a word of its own: orders-db is not in
// "pre-orders-db", nor in "orders-db2". A full stop may follow, for it ends sentences.
func (t Ticket) names(name access.ResourceName) bool {
	n := strings.ToLower(string(name))
	part := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_' }
	text := strings.ToLower(t.Text)
	for from := 0; n != ""; {
		i := strings.Index(text[from:], n)
		if i < 0 {
			return false
		}
		at := from + i
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, size := utf8.DecodeRuneInString(text[at+len(n):])
		beyond, _ := utf8.DecodeRuneInString(text[at+len(n)+size:])
		if !part(before) && before != '.' && !part(after) && !(after == '.' && part(beyond)) {
			return true
		}
		from = at + 1
	}
	return false
}

// errUnknownTicket is the value of what is not known of a ticket: no condition holds by
// it, and none is true because two unknown people differ.
func errUnknownTicket(what string) ref.Val { return types.NewErr("%s is not known", what) }

// ticketOf is the ticket in the system that the policy being evaluated names.
func (f *facts) ticketOf() (Ticket, ref.Val) {
	t, ok := f.ask.Tickets[f.from]
	switch {
	case f.from == "" || !ok || f.ask.Ticket == "":
		return t, errUnknownTicket("the ticket")
	case t.Problem != "":
		return t, types.NewErr("%s", t.Problem)
	}
	return t, nil
}

func (f *facts) ticketBool(of func(Ticket) bool) ref.Val {
	t, unknown := f.ticketOf()
	if unknown != nil {
		return unknown
	}
	return types.Bool(of(t))
}

func (f *facts) ticketPerson(what string, of func(Ticket) access.Person) ref.Val {
	t, unknown := f.ticketOf()
	if unknown != nil {
		return unknown
	}
	p := of(t)
	if p == "" {
		return errUnknownTicket(what)
	}
	return types.String(p)
}

// editedBy is who changed the ticket last; and who asks, if they ever changed it: whoever
// writes first and has somebody else touch it afterwards still wrote it. Where anybody
// among the editors is not known, it could be who asks, so that nothing is known.
func (f *facts) editedBy(t Ticket) access.Person {
	last := access.Person("")
	for _, p := range t.Editors {
		switch p {
		case "":
			return ""
		case f.ask.Principal.Person:
			return p
		}
		last = p
	}
	return last
}

// ticketVariables are what conditions can see of a ticket.
var ticketVariables = []variable{
	{"ticket.open", boolType, func(f *facts) ref.Val { return f.ticketBool(func(t Ticket) bool { return t.Open }) }},
	{"ticket.namesResource", boolType, func(f *facts) ref.Val {
		return f.ticketBool(func(t Ticket) bool { return t.names(f.resource.Name) })
	}},
	{"ticket.assignee", stringType, func(f *facts) ref.Val {
		return f.ticketPerson("who the ticket is assigned to", func(t Ticket) access.Person { return t.Assignee })
	}},
	{"ticket.reporter", stringType, func(f *facts) ref.Val {
		return f.ticketPerson("who reported the ticket", func(t Ticket) access.Person { return t.Reporter })
	}},
	{"ticket.editedBy", stringType, func(f *facts) ref.Val {
		return f.ticketPerson("who edited the ticket", f.editedBy)
	}},
}

// writtenByOthers are the conditions without which no ticket opens a door by itself:
// else whoever asks writes their own permission.
var writtenByOthers = []string{"ticket.reporter", "ticket.editedBy"}

// checkTicket checks what a policy says of tickets together with what else it says.
func (s *Set) checkTicket(r *report, rule *Rule) {
	t := &rule.Require.Ticket
	if t.From != "" {
		refer(r, "integration", s.byName, []item{{t.From, t.lineFrom}})
		i := s.byName[t.From]
		form, keeps := "", i == nil || s.ticketTypes == nil
		if !keeps {
			form, keeps = s.ticketTypes[i.Type]
		}
		if t.form = form; !keeps {
			r.add(t.lineFrom, "it is of type jira, servicenow, github, gitlab or http-ticket", "integration %s is of type %s, which keeps no tickets", i.Name, i.Type)
		}
	}
	switch {
	case rule.while != nil && rule.while.ticket:
		r.add(rule.while.line, "say it under when, and endOnClose: true under ticket", "what a ticket says is asked before a grant, and cannot be a while")
	case rule.when == nil || !rule.when.ticket:
	case rule.Deny:
		r.add(rule.when.line, "", "a policy that denies cannot look at a ticket: whoever asks chooses which one")
	case t.From == "":
		r.add(rule.when.line, "add require: {ticket: {from: …}}", "the condition looks at a ticket, and no ticket is asked for")
	}
	if t.From == "" || rule.Deny || rule.BreakGlass || len(rule.Require.Approvals) > 0 {
		return
	}
	for _, name := range writtenByOthers {
		if !s.env.demands(rule.When, name, "principal.person") {
			r.add(t.lineFrom, "add approvals, or when: ticket.reporter != principal.person && ticket.editedBy != principal.person",
				"policy %s lets people in by a ticket alone, and does not say that %s is somebody else", rule.Name, name)
			return
		}
	}
}

// demands reports whether a condition is, joined by &&, that two names differ, and
// perhaps more. Anything less plain is a no.
func (e *environment) demands(condition, a, b string) bool {
	if e == nil || condition == "" {
		return false
	}
	parsed, issues := e.cel.Parse(condition)
	if issues.Err() != nil {
		return false
	}
	var parts []ast.Expr
	conjuncts(parsed.NativeRep().Expr(), &parts)
	for _, p := range parts {
		if p.Kind() != ast.CallKind || p.AsCall().FunctionName() != operators.NotEquals {
			continue
		}
		args := p.AsCall().Args()
		x, y := dotted(args[0]), dotted(args[1])
		if x == a && y == b || x == b && y == a {
			return true
		}
	}
	return false
}

// dotted is the name that an expression is, like "ticket.reporter"; or empty.
func dotted(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent()
	case ast.SelectKind:
		if sel := e.AsSelect(); !sel.IsTestOnly() {
			if of := dotted(sel.Operand()); of != "" {
				return of + "." + sel.FieldName()
			}
		}
	}
	return ""
}

// TicketSystems lists the integrations in which the ticket of an ask is to be looked up
// before it is decided: those of the policies that concern it, and whose pattern it
// matches, and for an agent those of its human too. Nobody whom no policy concerns has
// anything looked up.
func (s *Set) TicketSystems(a Ask) (names []string) {
	if a.Ticket == "" || a.Emergency {
		return nil
	}
	if a.Principal.ID.Kind() == access.Agent && a.Answers != nil {
		h := a
		h.Principal, h.Answers = *a.Answers, nil
		names = s.TicketSystems(h)
	}
	res, role, err := s.pick(a)
	if err != nil {
		return nil
	}
	for r := range s.concerning(role.Name) {
		t := &r.Require.Ticket
		if t.From != "" && r.speaksOf(a) && r.concerns(a.Principal, res) && (t.re == nil || t.re.MatchString(a.Ticket)) {
			names = appendNew(names, t.From)
		}
	}
	return names
}

// Watches says whether grants that a policy gave rest on their ticket, and on which.
func (s *Set) Watches(by access.PolicyName) (TicketRule, bool) {
	r := s.ruleNamed(string(by))
	if r == nil || r.Deny || !r.Require.Ticket.EndOnClose {
		return TicketRule{}, false
	}
	return r.Require.Ticket, true
}

// watchedIn are the systems in which the ticket of a grant is watched that policies gave
// together.
func (s *Set) watchedIn(by ...access.PolicyName) (systems []string) {
	for _, name := range by {
		if rule, ok := s.Watches(name); ok {
			systems = appendNew(systems, rule.From)
		}
	}
	return systems
}

// words are what it asks for in the words of a difference.
func (t TicketRule) words() string {
	if t.From == "" {
		return ", with a ticket"
	}
	text := ", with a ticket of " + t.From
	var parts []string
	if !t.AnyState {
		parts = append(parts, "is open")
	}
	if t.Assigned {
		parts = append(parts, "is theirs")
	}
	if t.Names {
		parts = append(parts, "names the resource")
	}
	if len(parts) > 0 {
		text += " that " + strings.Join(parts, " and ")
	}
	if t.EndOnClose {
		text += " for as long as it lasts"
	}
	return text
}

// TicketFrom is the ticket system that a policy names; empty: none.
func (s *Set) TicketFrom(by access.PolicyName) string {
	if r := s.ruleNamed(string(by)); r != nil {
		return r.Require.Ticket.From
	}
	return ""
}
