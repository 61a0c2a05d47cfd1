package policy

import (
	"cmp"
	"slices"
	"strings"

	"stint/internal/access"
)

// Difference is what one set of documents says otherwise than another.
type Difference struct {
	Documents []DocumentChange // in document order; removed ones last
	Can       []CanChange      // by resource, then role, then what it is
	// LeftOut is how many names Can would have besides: it has at most maxNames.
	LeftOut int
}

// Empty reports whether the two sets say the same. Then they decide the same.
func (d Difference) Empty() bool { return len(d.Documents) == 0 && len(d.Can) == 0 && d.LeftOut == 0 }

// DocumentChange is a document that was created, changed or removed.
type DocumentChange struct {
	Change
	Source string // where it is said now; for a removed one, where it was
	Fields []FieldChange
}

// CanOp says what becomes of somebody's way to a role.
type CanOp string

// What becomes of it.
const (
	Gains   CanOp = "gains"   // there was no way
	Loses   CanOp = "loses"   // there is none any more
	Differs CanOp = "changes" // asking more, less, or others; or giving something else
)

// CanChange says for whom the way to one role on one resource is another, and how.
type CanChange struct {
	Op            CanOp
	Resource      access.ResourceName
	Role          access.RoleName
	Who           []string // principals; a subject that nobody is known of by its own name
	Before, After string   // in words; empty: no way
}

// maxNames bounds what one difference lists: who reads ten thousand names.
const maxNames = 10_000

// Diff compares two sets: the documents, field by field, and for each of people what
// they could ask for. What a condition makes of a request is not worked out, but each
// condition is part of the way in whose words it stands, and so is every fact that a
// condition can look at.
//
// A way is to ask for a role on a resource, or to see what was recorded under it. Names of policies and the order of
// policies that never compete are no part of it; everything else that can change a
// decision is.
func Diff(before, after *Set, people []access.Principal) Difference {
	d := Difference{Documents: documentChanges(before, after)}
	x := &differ{known: map[string]string{}}
	all := append(slices.Clone(people), subjectsOf(people, before, after)...)
	names := 0
	for _, res := range union(before.resources, after.resources, func(r *Resource) access.ResourceName { return r.Name }) {
		for _, role := range union(before.roles, after.roles, func(r *Role) access.RoleName { return r.Name }) {
			changes := watchChanges(before, after, role, res, all)
			if was, is := x.pair(before, role, res), x.pair(after, role, res); was.text != is.text {
				changes = append(x.changes(was, is, all), changes...)
			}
			for _, c := range changes {
				c.Resource, c.Role = res, role
				if room := maxNames - names; len(c.Who) > room {
					d.LeftOut += len(c.Who) - room
					if c.Who = c.Who[:room]; room == 0 {
						continue
					}
				}
				names += len(c.Who)
				d.Can = append(d.Can, c)
			}
		}
	}
	return d
}

func documentChanges(before, after *Set) (out []DocumentChange) {
	old := map[string]Document{}
	for _, d := range before.docs {
		old[key(d)] = d
	}
	kept := map[string]bool{}
	for _, d := range after.docs {
		kept[key(d)] = true
		o, there := old[key(d)]
		c := DocumentChange{Change: Change{Op: Created, Kind: d.Kind, Name: d.Name}, Source: source(d.File, d.Line)}
		switch {
		case !there:
			c.Fields = fieldChanges("", d.Text)
		case o.Text == d.Text:
			continue
		default:
			c.Op = Updated
			if c.Fields = fieldChanges(o.Text, d.Text); len(c.Fields) == 0 {
				continue // comments, or how it is laid out
			}
		}
		out = append(out, c)
	}
	for _, d := range before.docs {
		if !kept[key(d)] {
			out = append(out, DocumentChange{Change: Change{Op: Deleted, Kind: d.Kind, Name: d.Name}, Source: source(d.File, d.Line),
				Fields: fieldChanges(d.Text, "")})
		}
	}
	return out
}

// union lists the names of both, those of the second that the first lacks last.
func union[T any, K comparable](a, b []*T, name func(*T) K) (out []K) {
	seen := map[K]bool{}
	for _, list := range [][]*T{a, b} {
		for _, x := range list {
			if k := name(x); !seen[k] {
				seen[k] = true
				out = append(out, k)
			}
		}
	}
	return out
}

// subjectsOf stands in for the subjects that none of people is: a group without
// members, a user who is not there yet. Its id is the subject's text, which can be
// that of no principal; in matching it is somebody who is just that.
func subjectsOf(people []access.Principal, sets ...*Set) (out []access.Principal) {
	seen := map[access.Subject]bool{}
	for _, s := range sets {
		for _, r := range s.rules {
			for _, sub := range r.Subjects {
				if seen[sub] || slices.ContainsFunc(people, func(p access.Principal) bool { return p.In(sub) }) {
					continue
				}
				seen[sub] = true
				p := access.Principal{ID: access.PrincipalID(sub), Person: "anybody"}
				if g, ok := strings.CutPrefix(string(sub), "group:"); ok {
					p.Groups = []access.Group{access.Group(g)}
				}
				out = append(out, p)
			}
		}
	}
	return out
}

// differ compares pairs of a role and a resource.
type differ struct {
	known map[string]string // by what is left out and the document: its other fields
}

// Of each kind of document, the fields that stand for nobody's right by themselves, or
// are compared in another way.
const (
	ofRule     = "kind name description subjects roles resources"
	ofRole     = "name description resources"
	ofResource = "name description"
	// Facts of a resource that count only where a condition looks at them, or through
	// what is worked out of them: owners who approve, an account, a cap.
	ofTarget = "name description owners labels criticality location persons ceiling"
)

// text is a document without the fields of the list. It is read from what was written,
// so that a field which is new is part of it.
func (x *differ) text(raw, leaveOut string) string {
	k := leaveOut + "\x00" + raw
	t, ok := x.known[k]
	if !ok {
		t = flatText(raw, strings.Fields(leaveOut))
		x.known[k] = t
	}
	return t
}

// flatText is what a document says, without the fields of the list, each given as the
// whole of it ("require") or by its full name ("require.maxDuration").
func flatText(raw string, leaveOut []string) string {
	fields := flatten(raw)
	slices.SortStableFunc(fields, func(a, b fieldValue) int { return cmp.Compare(a.field, b.field) })
	var b strings.Builder
	for _, v := range fields {
		top := v.field
		if i := strings.IndexAny(top, ".["); i >= 0 {
			top = top[:i]
		}
		if !slices.Contains(leaveOut, top) && !slices.Contains(leaveOut, v.field) {
			b.WriteString(v.field + "\x02" + v.text + "\x03" + strings.Join(v.list, "\x01") + "\x03")
		}
	}
	return b.String()
}

// pair is a role on a resource in one set, and every rule that speaks of it.
type pair struct {
	res   *Resource
	role  *Role // nil: the role does not cover the resource, or one of them is not there
	rules []*Rule
	text  string // all of that; equal texts decide alike for everybody
}

func (x *differ) pair(s *Set, roleName access.RoleName, resName access.ResourceName) pair {
	res, role := s.resource[resName], s.role[roleName]
	if res == nil || role == nil || !role.Covers(res) {
		return pair{}
	}
	p := pair{res: res, role: role}
	var b strings.Builder
	b.WriteString(x.text(role.at.raw, ofRole) + x.text(res.at.raw, ofResource))
	for r := range s.concerning(role.Name) {
		if r.Resources.Matches(res) {
			p.rules = append(p.rules, r)
			b.WriteString("\x00" + x.text(r.at.raw, ofRule) + "\x00" + strings.Join(texts(r.Subjects), "\x01"))
		}
	}
	p.text = b.String()
	return p
}

// changes says for whom a pair is another, those of one change together.
func (x *differ) changes(before, after pair, people []access.Principal) (out []CanChange) {
	index := map[[2]string]int{}
	for _, p := range people {
		was, is := x.way(before, p), x.way(after, p)
		if was == is {
			continue
		}
		op := Differs
		switch {
		case was.words == "":
			op = Gains
		case is.words == "":
			op = Loses
		}
		k := [2]string{was.words, is.words}
		i, known := index[k]
		if !known {
			i = len(out)
			index[k] = i
			out = append(out, CanChange{Op: op, Before: was.words, After: is.words})
		}
		out[i].Who = append(out[i].Who, string(p.ID))
	}
	slices.SortStableFunc(out, func(a, b CanChange) int { return cmp.Compare(opRank(a.Op), opRank(b.Op)) })
	return out
}

func opRank(o CanOp) int { return slices.Index([]CanOp{Gains, Loses, Differs}, o) }

// way is how somebody can come to a role on a resource.
type way struct {
	words string // for people; empty: not at all
	exact string // whatever else may change a decision
}

func (x *differ) way(p pair, who access.Principal) way {
	if p.role == nil {
		return way{}
	}
	asker := who
	if k := who.ID.Kind(); k != access.User && k != access.Service && k != access.Agent {
		asker.ID = "user:" // stands for a subject, and could be a person
	}
	account, err := accountFor(asker, p.res, p.role)
	if err != nil || p.res.Ceiling != nil && len(p.res.Ceiling.breaches(p.role)) > 0 {
		return way{}
	}
	usual, emergency := pathsOf(p, who, false), ""
	breaks := asker.MayBreakGlass() == nil
	if breaks {
		emergency = pathsOf(p, who, true)
	}
	if usual == "" && emergency == "" {
		return way{}
	}
	var ways []string
	if usual != "" {
		ways = append(ways, usual)
	}
	if emergency != "" {
		ways = append(ways, "in an emergency "+emergency)
	}
	gives := string(p.role.Mechanism)
	if len(p.role.Rights) > 0 {
		gives += " with " + strings.Join(p.role.Rights, ", ")
	}
	if account != "" {
		gives += " as " + account
	}
	exact := []string{x.text(p.role.at.raw, ofRole), x.text(p.res.at.raw, ofTarget)}
	for _, r := range p.rules {
		if !r.subject(who) || !r.speaksOf(Ask{}) && !(breaks && r.speaksOf(Ask{Emergency: true})) {
			continue
		}
		exact = append(exact, x.text(r.at.raw, ofRule))
		if r.When != "" || r.While != "" { // which may look at any of this
			exact = append(exact, x.text(p.res.at.raw, ofResource))
		}
	}
	return way{words: gives + ": " + strings.Join(ways, "; "), exact: strings.Join(exact, "\x00")}
}

// pathsOf are the paths that are open to somebody, in words; empty: none.
func pathsOf(p pair, who access.Principal, emergency bool) string {
	var paths, but []string
	for _, r := range p.rules {
		switch {
		case !r.subject(who) || !r.speaksOf(Ask{Emergency: emergency}):
		case r.Deny && r.When == "" && r.While == "":
			return "" // always
		case r.Deny:
			but = append(but, "but not "+conditions(r))
		default:
			paths = append(paths, pathWords(r, p, who))
		}
	}
	if len(paths) == 0 {
		return ""
	}
	return strings.Join(append([]string{strings.Join(paths, "; or ")}, but...), "; ")
}

// pathWords is one allowing policy in words: "after 1 approval from group:dba, up to 2h".
func pathWords(r *Rule, p pair, who access.Principal) string {
	text := "at once"
	if asked := r.Require.askedFor(who, p.res); len(asked) > 0 {
		text = "after " + approvalText(asked)
	}
	text += ", up to " + span(capOf(p.role, r, p.res))
	if r.Require.MFA {
		text += ", with a second factor"
	}
	if r.Require.Ticket.Asked() {
		text += r.Require.Ticket.words()
	}
	text += r.Require.Extensions.words()
	if c := conditions(r); c != "" {
		text += ", " + c
	}
	return text
}

func conditions(r *Rule) string {
	var parts []string
	if r.When != "" {
		parts = append(parts, "when "+brief(r.When))
	}
	if r.While != "" {
		parts = append(parts, "while "+brief(r.While))
	}
	return strings.Join(parts, " and ")
}
