package words

import (
	"strconv"
	"strings"
	"time"
)

// Rule is a policy as words need it: its fields as texts.
type Rule struct {
	Effect         string // allow, deny, breakGlass, watch
	Yields         bool   // a denying one, to break-glass
	Subjects       []string
	Roles          []string
	Names          []string // of resources
	Type           string
	Labels         []string // "env = prod"
	Criticality    []string
	Zone           string
	When, While    string
	MinReason      int
	Ticket         RuleTicket
	Approvals      []RuleApproval
	MaxDuration    time.Duration
	MFA, Recording bool
	AnswerWithin   time.Duration
	RemindAfter    time.Duration
	Live, Pending  int
	Extensions     RuleExtensions
	MaxAhead       time.Duration
	More           []string // fields that are said nowhere here
}

// RuleTicket is what a rule asks of a ticket.
type RuleTicket struct {
	Pattern, From         string
	AnyState              bool
	Assigned, Names, Ends bool
	UnknownFor            time.Duration
}

// RuleApproval is one approval that a rule asks for.
type RuleApproval struct {
	From          []string
	Count         int
	All           bool
	Level         string
	Stage         int
	EscalateAfter time.Duration
	EscalateTo    []string
}

// RuleExtensions is what a rule says of more time.
type RuleExtensions struct {
	Said      bool
	Max       int
	By        time.Duration
	Own       bool
	Approvals []RuleApproval
}

// Span is a length of time: "2 h", "1 h 30 min".
func Span(d time.Duration) string {
	if d%time.Second != 0 || d <= 0 {
		return d.String()
	}
	var parts []string
	for _, u := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}} {
		if n := d / u.size; n > 0 {
			parts = append(parts, strconv.Itoa(int(n))+" "+u.name)
			d -= n * u.size
		}
	}
	return strings.Join(parts, " ")
}

// Subject is who "group:dba" is.
func Subject(s string) string {
	kind, name, ok := strings.Cut(s, ":")
	switch {
	case s == "*":
		return "everybody"
	case !ok:
		return s
	case kind == "oncall":
		return "whoever is on call in " + name
	case kind == "user":
		return name
	}
	return kind + " " + name
}

func approver(s string) string {
	switch s {
	case "owner":
		return "an owner of the resource"
	case "manager":
		return "the manager of who asks"
	case "manager.manager":
		return "the manager's manager"
	case "sponsor":
		return "the sponsor of who asks"
	case "*":
		return "anybody else"
	}
	return Subject(s)
}

// Or and And join what there is of several.
func Or(all []string) string  { return joined(all, " or ") }
func And(all []string) string { return joined(all, " and ") }

func joined(all []string, word string) string {
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:len(all)-1], ", ") + word + all[len(all)-1]
}

func each(all []string, say func(string) string) []string {
	out := make([]string, len(all))
	for i, x := range all {
		out[i] = say(x)
	}
	return out
}

// where says which resources.
func (r Rule) where() string {
	var parts []string
	if len(r.Names) > 0 {
		parts = append(parts, Or(r.Names))
	}
	rest := ""
	if r.Type != "" {
		rest += " of type " + r.Type
	}
	if len(r.Labels) > 0 {
		rest += " labelled " + And(r.Labels)
	}
	if len(r.Criticality) > 0 {
		rest += " of " + Or(r.Criticality) + " criticality"
	}
	switch {
	case len(parts) == 0 && rest == "" && r.all():
		return "every resource"
	case len(parts) == 0 && rest == "":
		return "every resource that " + oneMany(len(r.Roles), "the role covers", "these roles cover")
	case len(parts) == 0:
		return "resources" + rest
	case rest == "":
		return parts[0]
	}
	return parts[0] + ", as far as they are" + rest
}

func oneMany(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// all says that the rule is for every role.
func (r Rule) all() bool {
	for _, x := range r.Roles {
		if x == "*" {
			return true
		}
	}
	return false
}

func (r Rule) roles() string {
	if r.all() {
		return "any role"
	}
	return Or(r.Roles)
}

// Sentence is the rule in one sentence. Conditions and obligations that are not in it are
// in Lines.
func (r Rule) Sentence() string {
	who, what := Or(each(r.Subjects, Subject)), r.roles()+" on "+r.where()
	condition := ""
	if r.When != "" || r.While != "" {
		condition = ", under its conditions"
	}
	switch r.Effect {
	case "deny":
		text := "Never for " + who + ": " + what + condition
		if r.Yields {
			text += ", but for break-glass"
		}
		return text + "."
	case "watch":
		return Capital(who) + " may watch and replay the sessions of " + what + "; it gives no access."
	case "breakGlass":
		return Capital(who) + " may break the glass for " + what + condition + ", at once; another person reviews it afterwards."
	}
	how := "at once, with nobody's approval"
	if len(r.Approvals) > 0 {
		how = "after " + approvals(r.Approvals)
	}
	text := Capital(who) + " may have " + what + condition + ", " + how
	if r.MaxDuration > 0 {
		text += ", for up to " + Span(r.MaxDuration)
	}
	return text + "."
}

// Capital makes the first letter a capital one.
func Capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func approvals(all []RuleApproval) string {
	var out []string
	for _, a := range all {
		out = append(out, a.short())
	}
	return And(out)
}

func (a RuleApproval) short() string {
	from := each(a.From, approver)
	if a.All {
		return "a yes of each of " + And(from)
	}
	return Count(a.Count, "approval", "approvals") + " from " + Or(from)
}

// line is one approval with all that it says.
func (a RuleApproval) line() string {
	text := Capital(a.short())
	switch a.Level {
	case "chat":
		text += ", also in chat where the resource is of low or medium criticality"
	case "passkey":
		text += ", by passkey"
	case "console", "":
	default:
		text += ", at level " + a.Level
	}
	if a.Stage > 0 {
		text += ", in stage " + strconv.Itoa(a.Stage)
	}
	if len(a.EscalateTo) > 0 || a.EscalateAfter > 0 {
		text += "; after " + Span(a.EscalateAfter) + " without an answer also from " + Or(each(a.EscalateTo, approver))
	}
	return text + "."
}

// Lines are all that the rule says besides, a sentence each.
func (r Rule) Lines() (out []string) {
	say := func(texts ...string) { out = append(out, strings.Join(texts, "")) }
	if r.When != "" {
		end := "; what cannot be worked out allows nothing."
		if r.Effect == "deny" {
			end = "; what cannot be worked out denies."
		}
		say("When somebody asks and when it starts, this counts: ", r.When, end)
	}
	if r.While != "" {
		say("Also for as long as access lasts: ", r.While)
	}
	if r.Zone != "" && (r.Zone != "UTC" || r.When != "" || r.While != "") {
		say("Times in its conditions are those of ", r.Zone, ".")
	}
	if r.Effect == "deny" {
		if r.Yields {
			say("It gives way to break-glass access.")
		} else {
			say("It denies break-glass access, too.")
		}
		say("It comes before every policy that allows.")
	}
	if r.Effect == "breakGlass" {
		say("It counts for break-glass access alone.")
	}
	if r.MinReason > 0 {
		say("Asks for a reason of at least ", Count(r.MinReason, "character", "characters"), ".")
	}
	out = append(out, r.Ticket.lines()...)
	for _, a := range r.Approvals {
		say(a.line())
	}
	switch {
	case r.MaxDuration > 0:
		say("At most ", Span(r.MaxDuration), "; the role or the resource may allow less.")
	case r.Effect == "watch":
		say("Who looks at a recording is in the log before they see the first of it.")
	case r.Effect != "deny":
		say("As long as the role and the resource allow.")
	}
	if r.MFA {
		say("Asks to have signed in with a second factor.")
	}
	if r.Recording {
		say("Asks for the session to be recorded: allows only roles whose sessions go through a gateway.")
	}
	if r.AnswerWithin > 0 {
		say("Is answered within ", Span(r.AnswerWithin), ", or the request is over.")
	}
	if r.RemindAfter > 0 {
		say("Whoever is asked is reminded every ", Span(r.RemindAfter), ".")
	}
	if r.Live > 0 {
		say("One person holds at most ", strconv.Itoa(r.Live), " of its roles at a time.")
	}
	if r.Pending > 0 {
		say("One person has at most ", Count(r.Pending, "undecided request", "undecided requests"), " for its roles.")
	}
	out = append(out, r.Extensions.lines()...)
	if r.MaxAhead > 0 {
		say("May begin at most ", Span(r.MaxAhead), " ahead.")
	}
	if len(r.More) > 0 {
		say("And more, which stands in the source: ", And(r.More), ".")
	}
	return out
}

func (t RuleTicket) lines() (out []string) {
	if t.From == "" && t.Pattern == "" {
		return nil
	}
	text := "Asks for a ticket"
	if t.From != "" {
		text += " in " + t.From
	}
	var must []string
	if t.Pattern != "" {
		must = append(must, "matches "+t.Pattern)
	}
	if t.From != "" {
		if t.AnyState {
			must = append(must, "is open or closed")
		} else {
			must = append(must, "is open")
		}
		if t.Assigned {
			must = append(must, "is assigned to who asks")
		}
		if t.Names {
			must = append(must, "names the resource")
		}
	}
	out = append(out, text+" that "+And(must)+".")
	if t.Ends {
		out = append(out, "Access ends when that does not hold any more, and when the ticket cannot be read for "+Span(t.UnknownFor)+".")
	}
	return out
}

func (e RuleExtensions) lines() []string {
	switch {
	case !e.Said:
		return nil
	case e.Max == 0:
		return []string{"It is never extended."}
	}
	text := "It is extended at most " + Count(e.Max, "time", "times")
	if e.By > 0 {
		text += ", by up to " + Span(e.By) + " each"
	}
	switch {
	case !e.Own:
		return []string{text + ", with the same approvals."}
	case len(e.Approvals) == 0:
		return []string{text + ", at once."}
	}
	out := []string{text + ", after:"}
	for _, a := range e.Approvals {
		out = append(out, a.line())
	}
	return out
}
