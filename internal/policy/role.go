package policy

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
)

// Role is what can be asked for on the resources it selects, as its document
// says. Each role is for one type of resource.
type Role struct {
	Name        access.RoleName
	Description string
	Resources   Selector
	Type        string
	Mechanism   access.Mechanism
	Account     string   // may hold {{ .person }} once
	Rights      []string // memberOf or commands, sorted
	Options     map[string]string
	Exclusive   bool
	MaxDuration time.Duration
	Clock       access.StartClock
	Endings     access.Endings
	Excludes    []access.RoleName // nobody has this and one of those at a time
	Source      string

	at                     place
	refs                   []item // resources it names
	excludeRefs            []item
	lineExcludes           int
	lineMax, lineMechanism int
	lineRights             int
	lineAccount            int
}

// Covers reports whether the role can be asked for on r.
func (r *Role) Covers(res *Resource) bool { return r.Type == res.Type && r.Resources.Matches(res) }

// Permissions is what the role gives.
func (r *Role) Permissions() access.Permissions {
	return access.Permissions{Mechanism: r.Mechanism, Rights: r.Rights, Options: r.Options, Exclusive: r.Exclusive}
}

// recorded reports whether whatever is done with the role goes through a gateway, which
// records always. Only the schemas of types that a gateway carries have the option, and for
// those mechanisms whose sessions it carries: they open by a certificate of ours. Documents
// that say it of others are refused; this does not rest on it.
func (r *Role) recorded() bool {
	return r.Options["through"] == "gateway" && slices.Contains([]access.Mechanism{access.Token, access.Account, access.Enable, access.Checkout}, r.Mechanism)
}

var (
	mechanisms = []access.Mechanism{access.Account, access.Member, access.Enable, access.Token, access.Elevate, access.Checkout}
	clocks     = []access.StartClock{access.FromEffective, access.FromApproval, access.FromRequest}
)

func readRole(f *form, at place, schemas map[string]access.Schema) *Role {
	r := &Role{Name: access.RoleName(fieldText(f, "name")), Source: at.String(), at: at}
	r.Description = f.text("description", 1024)
	if sel := f.sub("resources"); sel != nil {
		r.Resources, r.refs = readSelector(sel, schemas)
	} else if !f.has("resources") {
		f.r.add(f.line, "say which: names, type, labels or criticality", "%s has no resources", f.what)
	}
	if it, ok := f.must("mechanism"); ok {
		r.Mechanism = oneOf(f.r, "mechanism", it, "", mechanisms)
	}
	r.lineMechanism = f.lineOf("mechanism")
	if !f.has("maxDuration") {
		f.r.add(f.line, `add maxDuration: 4h`, "%s has no maxDuration", f.what)
	}
	r.MaxDuration, r.lineMax = f.span("maxDuration", access.MaxDuration), f.lineOf("maxDuration")
	r.Clock = choice(f, "clock", access.FromEffective, clocks)
	r.Exclusive = f.flag("exclusive")
	if r.Exclusive && !slices.Contains([]access.Mechanism{access.Enable, access.Checkout, ""}, r.Mechanism) {
		f.r.add(f.lineOf("exclusive"), "leave it out", "exclusive is for the mechanisms enable and checkout, not %s", r.Mechanism)
	}
	for _, it := range f.texts("excludes") {
		if it.text == string(r.Name) {
			f.r.add(it.line, "for one at a time in all, see exclusive, or limits in policies", "%s excludes itself", f.what)
			continue
		}
		r.Excludes, r.excludeRefs = append(r.Excludes, access.RoleName(it.text)), append(r.excludeRefs, it)
	}
	r.lineExcludes = f.lineOf("excludes")
	if e := f.sub("endOn"); e != nil {
		r.Endings = access.Endings{OnLogout: e.flag("logout"), OnIdle: e.span("idle", access.MaxDuration)}
		e.close()
	}
	readSection(f, r, schemas)
	return r
}

// readSection reads the part of the role that is the connector's, whose field is
// the type of resource.
func readSection(f *form, r *Role, schemas map[string]access.Schema) {
	r.Type = r.Resources.Type
	if r.Type == "" {
		r.Type = sectionName(f, schemas)
	}
	if r.Type == "" {
		f.r.add(f.line, "add resources: {type: …}, or the section of the type", "%s does not say for which type of resource it is", f.what)
		return
	}
	schema, known := schemas[r.Type]
	if schemas != nil && !known {
		f.skip(r.Type) // the type is reported already; its section is not the mistake
		for name := range schemas {
			f.skip(name)
		}
		return
	}
	if known && r.Mechanism != "" && !slices.Contains(schema.Mechanisms, r.Mechanism) {
		f.r.add(r.lineMechanism, "available are "+join(schema.Mechanisms), "mechanism %s is not available yet for type %s", r.Mechanism, r.Type)
		f.skip(r.Type)
		return
	}
	if slices.Contains(schema.Alone, r.Mechanism) && !r.Exclusive {
		f.r.add(r.lineMechanism, "add exclusive: true", "mechanism %s of type %s is for one person at a time", r.Mechanism, r.Type)
	}
	s := f.sub(r.Type)
	r.lineAccount, r.lineRights = f.line, f.line
	if s != nil {
		r.lineAccount, r.lineRights = s.lineOf("account"), s.lineOf(rightsField(r.Mechanism))
		readRights(s, r, schema.Rights[r.Mechanism])
		r.Options = readOptions(s, schema.Role, known)
		meant(s, schema.Role, r.Mechanism)
		s.close()
	} else if known {
		// No section at all: the defaults still belong to what is decided.
		s = &form{r: f.r, what: r.Type, line: f.line}
		r.Options = readOptions(s, schema.Role, true)
	}
	if schema.Carried {
		if r.Account != "" || len(r.Rights) > 0 {
			f.r.add(r.lineAccount, "leave account and memberOf out", "%s: nothing is made on resources of type %s, and gateways log in there", f.what, r.Type)
		}
		return
	}
	checkMechanism(f, r, schemas == nil)
}

// sectionName finds the connector's section of a role that does not name its
// type: the one field that is a mapping and not one of ours.
func sectionName(f *form, schemas map[string]access.Schema) string {
	for _, fd := range f.fields {
		if fd.taken {
			continue
		}
		if schemas != nil {
			if _, ok := schemas[fd.name]; ok {
				return fd.name
			}
		} else if kindName(fd.value) == "mapping" && nearest(fd.name, f.known) == "" && access.ValidName(fd.name) {
			return fd.name
		}
	}
	return ""
}

// rightsField is the field in which the rights of a mechanism stand, in roles and in
// ceilings.
func rightsField(m access.Mechanism) string {
	if m == access.Elevate {
		return "commands"
	}
	return "memberOf"
}

func readRights(s *form, r *Role, looks access.Option) {
	field, what := rightsField(r.Mechanism), "the name of a group"
	if field == "commands" {
		what = "a command"
	}
	for _, it := range s.texts(field) {
		if it.text == "" || len(it.text) > 255 || strings.ContainsAny(it.text, "\n\t") ||
			looks.Pattern != "" && !matches(looks.Pattern, it.text) {
			s.r.add(it.line, looks.Form, "%q cannot be %s", it.text, what)
			continue
		}
		r.Rights = append(r.Rights, it.text)
	}
	slices.Sort(r.Rights)
	it, ok := s.scalar("account")
	if !ok {
		return
	}
	r.Account = it.text
	if sample, ok := fillPerson(it.text, "a"); !ok {
		s.r.add(it.line, `the one variable is {{ .person }}`, "account %q holds more than the one variable", it.text)
	} else if !accountName.MatchString(sample) {
		s.r.add(it.line, "", "%q cannot be an account: %s", it.text, accountForm)
	}
}

// checkMechanism checks that a mechanism has what it acts on, and no more. Who knows no types
// cannot tell whether sessions are all that one has, for which no account is named.
func checkMechanism(f *form, r *Role, typeless bool) {
	needs := func(field string, have bool) {
		if !have {
			f.r.add(f.line, "add "+r.Type+": {"+field+": …}", "%s: mechanism %s needs %s.%s", f.what, r.Mechanism, r.Type, field)
		}
	}
	refuses := func(field string, line int, have bool) {
		if have {
			f.r.add(line, "leave it out", "%s: mechanism %s has no use for %s.%s", f.what, r.Mechanism, r.Type, field)
		}
	}
	switch r.Mechanism {
	case access.Account:
		needs("memberOf", len(r.Rights) > 0)
		refuses("account", r.lineAccount, r.Account != "")
	case access.Member:
		needs("account", r.Account != "")
		needs("memberOf", len(r.Rights) > 0)
	case access.Enable, access.Token, access.Checkout:
		needs("account", r.Account != "" || typeless && r.Mechanism == access.Token)
		refuses("memberOf", r.lineRights, len(r.Rights) > 0)
	case access.Elevate:
		needs("account", r.Account != "")
		needs("commands", len(r.Rights) > 0)
	}
}

var personVariable = regexp.MustCompile(`\{\{ *\.person *\}\}`)

// personal reports whether an account is the person's own.
func personal(account string) bool { return strings.Contains(account, "{{") }

// fillPerson replaces the variable in an account's name; ok is false when
// anything but one {{ .person }} looks like a template.
func fillPerson(account, person string) (string, bool) {
	at := personVariable.FindAllStringIndex(account, 2)
	if len(at) == 0 {
		return account, !strings.ContainsAny(account, "{}")
	}
	before, after := account[:at[0][0]], account[at[0][1]:]
	if len(at) > 1 || strings.ContainsAny(before+after, "{}") {
		return "", false
	}
	return before + person + after, true
}
