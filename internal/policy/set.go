package policy

import (
	"iter"
	"slices"
	"time"

	"cel.dev/cel-go/common/types/ref"

	"stint/internal/access"
)

// Set is one version of the documents, checked and ready to decide. It is
// immutable and safe for concurrent use. Maps and slices it hands out are shared
// and must not be changed.
type Set struct {
	version   int64
	docs      []Document
	resources []*Resource
	roles     []*Role
	rules     []*Rule
	resource  map[access.ResourceName]*Resource
	role      map[access.RoleName]*Role
	outside   []*Integration
	byName    map[string]*Integration
	workloads []*Workload
	workload  map[string]*Workload
	byRole    map[access.RoleName][]*Rule // policies that name the role, in document order
	byAny     []*Rule                     // policies for every role, in document order
	schedules []*Schedule
	schedule  map[string]*Schedule
	bundles   []*Bundle
	bundle    map[string]*Bundle
	lookup    map[string]func(*facts) ref.Val
	env       *environment // nil when no document has a condition
	warnings  []Problem
	wants     Wants

	ticketTypes map[string]string // the types of integration that keep tickets, with what their ids look like; nil: not known
	onCallTypes map[string]bool   // and those that can be asked who is on call
}

// Compile checks the documents, each and together, and makes them ready. It
// reports everything that is wrong at once, as Problems. With schemas nil (as
// offline, in a CLI) what connectors define is not checked.
func Compile(docs []Document, schemas map[string]access.Schema, version int64) (*Set, error) {
	s := &Set{
		version:  version,
		docs:     slices.Clone(docs),
		resource: map[access.ResourceName]*Resource{},
		role:     map[access.RoleName]*Role{},
		byName:   map[string]*Integration{},
		workload: map[string]*Workload{},
		byRole:   map[access.RoleName][]*Rule{},
		schedule: map[string]*Schedule{},
		bundle:   map[string]*Bundle{},
	}
	if len(docs) > maxDocuments {
		return nil, Problems{{Message: "too many documents"}}
	}
	var all Problems
	seen, known := register{}, catalogueOf(schemas)
	s.ticketTypes, s.onCallTypes = known.ticketTypes(), known.onCallTypes()
	for i, d := range docs {
		r := &report{file: d.File}
		if e, ok := readDocument(r, d, known); ok && seen.first(r, e.doc) {
			s.docs[i] = e.doc
			s.add(e)
		}
		all = append(all, r.problems...)
	}
	if len(all) > 0 {
		return nil, all
	}
	if err := s.link(); err != nil {
		return nil, err
	}
	s.index()
	s.wants = s.findWants()
	s.warnings = s.warn()
	return s, nil
}

// add files an entry under its name.
func (s *Set) add(e entry) {
	switch {
	case e.resource != nil:
		s.resource[e.resource.Name] = e.resource
		s.resources = append(s.resources, e.resource)
	case e.role != nil:
		s.role[e.role.Name] = e.role
		s.roles = append(s.roles, e.role)
	case e.schedule != nil:
		s.schedule[e.schedule.Name] = e.schedule
		s.schedules = append(s.schedules, e.schedule)
	case e.bundle != nil:
		s.bundle[e.bundle.Name] = e.bundle
		s.bundles = append(s.bundles, e.bundle)
	case e.rule != nil:
		e.rule.index = len(s.rules)
		s.rules = append(s.rules, e.rule)
	case e.integration != nil:
		s.byName[e.integration.Name] = e.integration
		s.outside = append(s.outside, e.integration)
	case e.workload != nil:
		s.workload[e.workload.Name] = e.workload
		s.workloads = append(s.workloads, e.workload)
	}
}

// index makes the lookups of decisions.
func (s *Set) index() {
	for _, r := range s.rules {
		if r.Watch {
			continue // it is never asked when access is decided
		}
		if r.everyRole {
			s.byAny = append(s.byAny, r)
			continue
		}
		for _, name := range r.Roles {
			s.byRole[name] = append(s.byRole[name], r)
		}
	}
	s.lookup = make(map[string]func(*facts) ref.Val, len(variables))
	for _, v := range variables {
		s.lookup[v.name] = v.value
	}
}

// concerning yields the policies that speak of a role, in document order.
func (s *Set) concerning(role access.RoleName) iter.Seq[*Rule] {
	return func(yield func(*Rule) bool) {
		a, b := s.byRole[role], s.byAny
		for len(a) > 0 || len(b) > 0 {
			var r *Rule
			if len(b) == 0 || len(a) > 0 && a[0].index < b[0].index {
				r, a = a[0], a[1:]
			} else {
				r, b = b[0], b[1:]
			}
			if !yield(r) {
				return
			}
		}
	}
}

// Version is the version of the documents.
func (s *Set) Version() int64 { return s.version }

// As is the same documents under another version.
func (s *Set) As(version int64) *Set {
	out := *s
	out.version = version
	return &out
}

// Documents returns them in document order.
func (s *Set) Documents() []Document { return slices.Clone(s.docs) }

// Warnings are what is legal and probably not meant.
func (s *Set) Warnings() []Problem { return s.warnings }

// Resource returns the resource of that name.
func (s *Set) Resource(name access.ResourceName) (Resource, bool) { return find(s.resource, name) }

// Role returns the role of that name.
func (s *Set) Role(name access.RoleName) (Role, bool) { return find(s.role, name) }

// Resources returns all, in document order.
func (s *Set) Resources() []Resource { return values(s.resources) }

// Roles returns all, in document order.
func (s *Set) Roles() []Role { return values(s.roles) }

// Integration returns the integration of that name.
func (s *Set) Integration(name string) (Integration, bool) { return find(s.byName, name) }

// Integrations returns all, in document order.
func (s *Set) Integrations() []Integration { return values(s.outside) }

// Policies returns all, in document order.
func (s *Set) Policies() []Rule { return values(s.rules) }

func find[K comparable, V any](m map[K]*V, k K) (V, bool) {
	if v, ok := m[k]; ok {
		return *v, true
	}
	var zero V
	return zero, false
}

func values[V any](ps []*V) []V {
	out := make([]V, len(ps))
	for i, p := range ps {
		out[i] = *p
	}
	return out
}

// link checks what documents say about each other, and compiles conditions.
func (s *Set) link() error {
	var all Problems
	zones := map[string]*time.Location{"UTC": time.UTC}
	for _, role := range s.roles {
		r := &report{file: role.at.file}
		refer(r, "resource", s.resource, role.refs)
		refer(r, "role", s.role, role.excludeRefs)
		s.checkTypes(r, role)
		all = append(all, r.problems...)
	}
	for _, x := range s.schedules {
		r := &report{file: x.at.file}
		x.link(r, zones)
		if k := x.Kept; k.Elsewhere() {
			x.Trouble = "nobody has asked " + k.Integration + " yet"
			refer(r, "integration", s.byName, []item{{k.Integration, x.keptLine}})
			if i := s.byName[k.Integration]; i != nil && s.onCallTypes != nil && !s.onCallTypes[i.Type] {
				r.add(x.keptLine, "it is of type icalendar, pagerduty-oncall or opsgenie-oncall", "integration %s is of type %s, which cannot be asked who is on call", i.Name, i.Type)
			}
		}
		all = append(all, r.problems...)
	}
	for _, b := range s.bundles {
		all = append(all, s.linkBundle(b)...)
	}
	for _, w := range s.workloads {
		r := &report{file: w.at.file}
		w.link(r, s.byName)
		all = append(all, r.problems...)
	}
	for _, rule := range s.rules {
		r := &report{file: rule.at.file}
		refer(r, "role", s.role, rule.roleRefs)
		refer(r, "schedule", s.schedule, rule.scheduleRefs())
		refer(r, "resource", s.resource, rule.refs)
		rule.location = loadZone(r, rule.Zone, rule.zoneLine, zones)
		if err := s.conditions(r, rule); err != nil {
			return err
		}
		s.checkTicket(r, rule)
		all = append(all, r.problems...)
	}
	if len(all) > 0 {
		return all
	}
	return nil
}

// refer reports references to what is not there.
func refer[K ~string, V any](r *report, what string, known map[K]V, refs []item) {
	for _, ref := range refs {
		if _, ok := known[K(ref.text)]; ok {
			continue
		}
		hint := DidYouMean(ref.text, sortedKeys(known))
		if hint == "" {
			hint = "apply it first, or in the same step"
		}
		r.add(ref.line, hint, "there is no %s %q", what, ref.text)
	}
}

// checkTypes refuses a role that names a resource of another type.
func (s *Set) checkTypes(r *report, role *Role) {
	for _, ref := range role.refs {
		if res := s.resource[access.ResourceName(ref.text)]; res != nil && res.Type != role.Type {
			r.add(ref.line, "", "role %s is for type %s, and %s is of type %s", role.Name, role.Type, res.Name, res.Type)
		}
	}
}

// loadZone reads the time zone database once per zone, when documents change and
// never when they decide.
func loadZone(r *report, zone string, line int, zones map[string]*time.Location) *time.Location {
	if l, ok := zones[zone]; ok {
		return l
	}
	l, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" || zone == "" {
		r.add(line, `use a name of the IANA list, such as "Europe/Berlin"`, "unknown time zone %q", zone)
		return time.UTC
	}
	zones[zone] = l
	return l
}

func (s *Set) conditions(r *report, rule *Rule) error {
	if rule.When == "" && rule.While == "" {
		return nil
	}
	if s.env == nil {
		env, err := newEnvironment()
		if err != nil {
			return err
		}
		s.env = env
	}
	if rule.When != "" {
		rule.when = s.env.compile(r, rule.whenText)
	}
	if rule.While != "" {
		rule.while = s.env.compile(r, rule.whileText)
		if rule.while != nil && rule.while.history {
			r.add(rule.while.line, "say it under when", "history is what was before the request, and cannot end a grant")
		}
	}
	rule.whenText, rule.whileText = conditionText{}, conditionText{}
	return nil
}
