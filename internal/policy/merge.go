package policy

import (
	"fmt"
	"slices"

	"stint/internal/access"
)

// Op says what an apply does with a document.
type Op string

// The operations.
const (
	Created   Op = "created"
	Updated   Op = "updated"
	Unchanged Op = "unchanged"
	Deleted   Op = "deleted"
)

// Change is what happens to one document.
type Change struct {
	Op   Op
	Kind string
	Name string
}

// Merge puts documents over those there are. What exists is replaced in its
// place, what is new goes to the end, and nothing is removed. The order matters:
// it breaks ties between policies.
func Merge(have, apply []Document) (merged []Document, changes []Change) {
	merged = slices.Clone(have)
	index := make(map[string]int, len(have)+len(apply))
	for i, d := range have {
		index[key(d)] = i
	}
	for _, d := range apply {
		c := Change{Op: Created, Kind: d.Kind, Name: d.Name}
		i, exists := index[key(d)]
		switch {
		case !exists:
			index[key(d)] = len(merged)
			merged = append(merged, d)
		case merged[i].Text == d.Text:
			c.Op = Unchanged
			// Its place may have moved, and reasons name the place. The author is
			// still who wrote the text.
			merged[i].File, merged[i].Line = d.File, d.Line
		default:
			c.Op = Updated
			merged[i] = d
		}
		changes = append(changes, c)
	}
	return merged, changes
}

// Remove takes one document out. It is refused, with access.Conflict, while
// another document names it.
func Remove(have []Document, kind, name string) ([]Document, error) {
	if !slices.Contains(kinds, kind) {
		e := access.Fail(access.Invalid, "no-such-kind", fmt.Sprintf("there is no kind %q", kind))
		return nil, e.Try(DidYouMean(kind, kinds))
	}
	at := -1
	var names []string
	for i, d := range have {
		if d.Kind != kind {
			continue
		}
		names = append(names, d.Name)
		if d.Name == name {
			at = i
		}
	}
	if at < 0 {
		e := access.Fail(access.NotFound, "no-such-document", fmt.Sprintf("there is no %s %q", kind, name))
		if near := DidYouMean(name, names); near != "" {
			return nil, e.Try(near)
		}
		return nil, e.Try("stint get lists what there is of each kind")
	}
	rest := slices.Delete(slices.Clone(have), at, at+1)
	for _, d := range rest {
		r := &report{file: d.File}
		e, ok := readDocument(r, d, catalogue{})
		if !ok {
			return nil, r.err()
		}
		if line, names := e.mentions(kind, name); names {
			return nil, access.Fail(access.Conflict, "document-in-use", fmt.Sprintf("%s %s is named by %s %s", kind, name, d.Kind, d.Name)).
				Because(source(d.File, line)).Try("change or delete that first")
		}
	}
	return rest, nil
}

// mentions finds where a document names another one.
func (e entry) mentions(kind, name string) (line int, ok bool) {
	var refs []item
	switch {
	case e.bundle != nil && kind == KindResource:
		refs = e.bundle.refs
	case e.bundle != nil && kind == KindRole:
		refs = e.bundle.roles
	case e.schedule != nil && kind == KindIntegration && e.schedule.Kept.Elsewhere():
		refs = []item{{e.schedule.Kept.Integration, e.schedule.keptLine}}
	case e.rule != nil && kind == KindIntegration:
		refs = []item{{e.rule.Require.Ticket.From, e.rule.Require.Ticket.lineFrom}}
	case e.role != nil && kind == KindResource:
		refs = e.role.refs
	case e.role != nil && kind == KindRole:
		refs = e.role.excludeRefs
	case e.rule != nil && kind == KindResource:
		refs = e.rule.refs
	case e.rule != nil && kind == KindRole:
		refs = e.rule.roleRefs
	case e.rule != nil && kind == KindSchedule:
		refs = e.rule.scheduleRefs()
	case e.workload != nil && kind == KindIntegration:
		refs = e.workload.from
	}
	for _, r := range refs {
		if r.text == name {
			return r.line, true
		}
	}
	return 0, false
}
