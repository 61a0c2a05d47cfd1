package policy

import (
	"slices"
	"time"

	"stint/internal/access"
)

// Bundle is several things that are asked for together, as its document says. It lets
// nobody have anything: each part is decided as if it had been asked for alone.
type Bundle struct {
	Name        string
	Description string
	Parts       []Part
	Source      string

	at    place
	roles []item
	refs  []item
}

// Part is one of them.
type Part struct {
	Resource access.ResourceName
	Role     access.RoleName
	For      time.Duration // 0: as long as is asked
}

// At is the file and the line of the bundle's document.
func (b Bundle) At() (file string, line int) { return b.at.file, b.at.line }

func readBundle(f *form, at place) *Bundle {
	b := &Bundle{Name: fieldText(f, "name"), Source: at.String(), at: at}
	b.Description = f.text("description", 1024)
	for _, s := range f.subs("parts") {
		s.what = "a part"
		resource, _ := s.must("resource")
		role, _ := s.must("role")
		p := Part{access.ResourceName(resource.text), access.RoleName(role.text), s.span("for", access.MaxDuration)}
		if resource.text != "" && slices.ContainsFunc(b.Parts, func(o Part) bool { return o.Resource == p.Resource }) {
			s.r.add(s.line, "", "%s has %s twice", f.what, p.Resource)
		}
		b.Parts, b.refs, b.roles = append(b.Parts, p), append(b.refs, resource), append(b.roles, role)
		s.close()
	}
	if n := len(b.Parts); n < 2 || n > access.MaxParts {
		f.r.add(f.lineOf("parts"), "add parts: [{resource: …, role: …}, …]", "%s has %d parts; a bundle has 2 to %d", f.what, n, access.MaxParts)
	}
	return b
}

// link checks that there is what the parts name.
func (s *Set) linkBundle(b *Bundle) Problems {
	r := &report{file: b.at.file}
	refer(r, "resource", s.resource, b.refs)
	refer(r, "role", s.role, b.roles)
	for i, p := range b.Parts {
		res, role := s.resource[p.Resource], s.role[p.Role]
		if res != nil && role != nil && !role.Covers(res) {
			r.add(b.roles[i].line, "", "role %s does not cover %s", role.Name, res.Name)
		}
	}
	return r.problems
}

// Bundle returns the bundle of that name.
func (s *Set) Bundle(name string) (Bundle, bool) { return find(s.bundle, name) }

// Bundles returns all, in document order.
func (s *Set) Bundles() []Bundle { return values(s.bundles) }
