package policy

import (
	"maps"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/oncall"
)

// Schedule says who is on call: by a rotation in its document, or as somebody else says,
// whom an integration names.
type Schedule struct {
	Name        string
	Description string
	Zone        string // of the times in it; default UTC
	Layers      []Layer
	Overrides   []Override
	Kept        Kept // elsewhere; its zero value: here
	Source      string
	// Trouble says why nobody is on call in a schedule that is kept elsewhere, as With
	// was told.
	Trouble string

	at       place
	zoneLine int
	rotation oncall.Schedule
	keptLine int
}

// Kept is where a schedule is kept that is not in its document.
type Kept struct {
	Integration string
	Calendar    string                        // the schedule's id there; empty where there is but one
	People      map[string]access.PrincipalID // who is who, by what they are called there
	MaxAge      time.Duration                 // how old the last answer may be that counts
}

// Elsewhere reports whether the schedule is kept elsewhere.
func (k Kept) Elsewhere() bool { return k.Integration != "" }

// The bounds of maxAge: less than the first one a hiccup is an outage, and after the
// second nobody knows any more who is on call.
const (
	leastAge   = 5 * time.Minute
	defaultAge = time.Hour
	mostAge    = 24 * time.Hour
)

func readKept(f *form) (k Kept) {
	it, ok := f.scalar("integration")
	if !ok {
		for _, name := range []string{"calendar", "people", "maxAge"} {
			if f.has(name) {
				f.r.add(f.lineOf(name), "add integration: NAME", "%s has %s, and no integration that keeps it", f.what, name)
				f.skip(name)
			}
		}
		return k
	}
	k.Integration, k.Calendar, k.MaxAge = it.text, f.text("calendar", 256), defaultAge
	if f.has("maxAge") {
		k.MaxAge = f.span("maxAge", mostAge)
		if k.MaxAge > 0 && k.MaxAge < leastAge {
			f.r.add(f.lineOf("maxAge"), "", "maxAge %s is shorter than %s", span(k.MaxAge), span(leastAge))
		}
	}
	k.People = map[string]access.PrincipalID{}
	keys, values := f.pairs("people")
	for i, key := range keys {
		if _, twice := k.People[key.text]; twice || key.text == "" || len(key.text) > 256 {
			f.r.add(key.line, "", "%q is nobody, or somebody twice", key.text)
		}
		k.People[key.text] = readMember(f.r, values[i])
	}
	if len(k.People) == 0 {
		f.r.add(f.line, "add people: {WHAT-THEY-ARE-CALLED-THERE: user:mira}", "%s does not say who is who", f.what)
	}
	for _, name := range []string{"layers", "overrides", "zone"} {
		if f.has(name) {
			f.r.add(f.lineOf(name), "leave it out", "%s is kept by %s, and has %s besides", f.what, k.Integration, name)
			f.skip(name)
		}
	}
	return k
}

// Layer is people who take turns. Start is local time or RFC 3339, as written.
type Layer struct {
	Members []access.PrincipalID
	Start   string
	Shift   time.Duration

	line int
}

// Override has somebody on call instead of the layers, for a time.
type Override struct {
	Member      access.PrincipalID
	From, Until string // local time or RFC 3339, as written

	line int
}

// localTime is how people write times in a schedule.
const localTime = "2006-01-02 15:04"

// minShift keeps who is on call countable.
const minShift = time.Hour

func readSchedule(f *form, at place) *Schedule {
	s := &Schedule{Name: fieldText(f, "name"), Source: at.String(), at: at, Zone: "UTC"}
	s.Description = f.text("description", 1024)
	s.keptLine = f.lineOf("integration")
	s.Kept = readKept(f)
	if it, ok := f.scalar("zone"); ok {
		s.Zone = it.text
	}
	s.zoneLine = f.lineOf("zone")
	for _, l := range f.subs("layers") {
		layer := Layer{line: l.line, Start: l.text("start", 64), Shift: l.span("shift", access.MaxDuration)}
		for _, it := range l.texts("members") {
			layer.Members = append(layer.Members, readMember(l.r, it))
		}
		switch {
		case len(layer.Members) == 0:
			l.r.add(l.line, "add members: [user:…]", "a layer has nobody in it")
		case !l.has("start"):
			l.r.add(l.line, `add start: "2026-01-05 09:00"`, "a layer does not say when its first shift starts")
		case !l.has("shift"):
			l.r.add(l.line, "add shift: 7d", "a layer does not say how long a shift is")
		case layer.Shift > 0 && layer.Shift < minShift:
			l.r.add(l.lineOf("shift"), "", "shift %s is shorter than an hour", span(layer.Shift))
		}
		l.close()
		s.Layers = append(s.Layers, layer)
	}
	for _, o := range f.subs("overrides") {
		over := Override{line: o.line, From: o.text("from", 64), Until: o.text("until", 64)}
		if it, ok := o.must("member"); ok {
			over.Member = readMember(o.r, it)
		}
		for _, name := range []string{"from", "until"} {
			if !o.has(name) {
				o.r.add(o.line, "", "an override does not say %s when", name)
			}
		}
		o.close()
		s.Overrides = append(s.Overrides, over)
	}
	if len(s.Layers)+len(s.Overrides) == 0 && !s.Kept.Elsewhere() {
		f.r.add(f.line, "add layers", "%s has nobody on call, ever", f.what)
	}
	return s
}

// readMember reads a user: groups are not on call, somebody is.
func readMember(r *report, it item) access.PrincipalID {
	id := access.PrincipalID(it.text)
	if !access.ValidSubject(access.Subject(id), false) || id.Kind() != access.User {
		r.add(it.line, `write it as "user:mira"`, "%q is not a user", it.text)
	}
	return id
}

// link makes the rotation, now that the zone is known.
func (s *Schedule) link(r *report, zones map[string]*time.Location) {
	zone := loadZone(r, s.Zone, s.zoneLine, zones)
	s.rotation = oncall.Schedule{Zone: zone}
	when := func(text string, line int) time.Time {
		t, err := time.ParseInLocation(localTime, text, zone)
		if err != nil {
			t, err = time.Parse(time.RFC3339, text)
		}
		if err != nil {
			r.add(line, `write it as "2026-01-05 09:00", in the schedule's zone, or as "2026-01-05T09:00:00+01:00"`, "%q is not a time", text)
		}
		return t
	}
	for _, l := range s.Layers {
		members := make([]string, len(l.Members))
		for i, m := range l.Members {
			members[i] = string(m)
		}
		s.rotation.Layers = append(s.rotation.Layers, oncall.Layer{Members: members, Start: when(l.Start, l.line), Shift: l.Shift})
	}
	for _, o := range s.Overrides {
		shift := oncall.Shift{Member: string(o.Member), From: when(o.From, o.line), Until: when(o.Until, o.line)}
		if !shift.From.Before(shift.Until) {
			r.add(o.line, "", "an override ends before it begins")
		}
		s.rotation.Overrides = append(s.rotation.Overrides, shift)
	}
}

// Duty is what is known of a schedule that is kept elsewhere.
type Duty struct {
	Shifts  []oncall.Shift // of people as they are called there
	Trouble string         // why they do not count; empty: they do
}

// Elsewhere returns the schedules that are kept elsewhere, in document order.
func (s *Set) Elsewhere() (all []Schedule) {
	for _, x := range s.schedules {
		if x.Kept.Elsewhere() {
			all = append(all, *x)
		}
	}
	return all
}

// With is the same documents where it is known who is on call in schedules that are kept
// elsewhere. Nobody is in those that known does not have.
func (s *Set) With(known map[string]Duty) *Set {
	out := *s
	out.schedules, out.schedule = make([]*Schedule, len(s.schedules)), make(map[string]*Schedule, len(s.schedules))
	for i, x := range s.schedules {
		if x.Kept.Elsewhere() {
			x = x.with(known[x.Name])
		}
		out.schedules[i], out.schedule[x.Name] = x, x
	}
	return &out
}

// WhereOnCall is the same documents where somebody is on call in a schedule at a time: to
// ask what would be then. It is never decided by.
func (s *Set) WhereOnCall(name string, who access.PrincipalID, at time.Time) *Set {
	out := *s
	out.schedules, out.schedule = slices.Clone(s.schedules), maps.Clone(s.schedule)
	for i, x := range s.schedules {
		if x.Name != name {
			continue
		}
		on := *x
		on.Trouble = ""
		on.rotation.Overrides = append(slices.Clone(x.rotation.Overrides), oncall.Shift{Member: string(who), From: at.Add(-time.Hour), Until: at.Add(time.Hour)})
		out.schedules[i], out.schedule[name] = &on, &on
	}
	return &out
}

func (s *Schedule) with(d Duty) *Schedule {
	out := *s
	out.Trouble, out.rotation = d.Trouble, oncall.Schedule{Zone: time.UTC}
	if d.Trouble != "" {
		return &out
	}
	for _, shift := range d.Shifts {
		if who, ok := s.Kept.People[shift.Member]; ok {
			shift.Member = string(who)
			out.rotation.Overrides = append(out.rotation.Overrides, shift)
		}
	}
	return &out
}

// Schedules returns all, in document order.
func (s *Set) Schedules() []Schedule { return values(s.schedules) }

// Schedule returns the schedule of that name.
func (s *Set) Schedule(name string) (Schedule, bool) { return find(s.schedule, name) }

// OnCall lists who is on call at a time.
func (s Schedule) OnCall(now time.Time) []access.PrincipalID { return principals(s.rotation.At(now)) }

// Between lists who is on call at some time from from until until.
func (s Schedule) Between(from, until time.Time) []access.PrincipalID {
	return principals(s.rotation.Between(from, until))
}

func principals(names []string) []access.PrincipalID {
	out := make([]access.PrincipalID, len(names))
	for i, n := range names {
		out[i] = access.PrincipalID(n)
	}
	return out
}

// Knows completes a principal with the schedules that it is on call in at a time.
func (s *Set) Knows(p access.Principal, at time.Time) access.Principal {
	p.OnCall = nil
	for _, x := range s.schedules {
		if slices.Contains(x.rotation.At(at), string(p.ID)) {
			p.OnCall = append(p.OnCall, x.Name)
		}
	}
	return p
}

// scheduleRefs lists the schedules that subjects name.
func scheduleRefs(line int, subjects ...access.Subject) (refs []item) {
	for _, s := range subjects {
		if name, ok := s.Schedule(); ok {
			refs = append(refs, item{name, line})
		}
	}
	return refs
}
