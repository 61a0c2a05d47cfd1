package access

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Identity is who a principal is elsewhere: with a provider, which is an
// integration by its name, the subject that never changes and is never given to
// anybody else there (OpenID Connect's sub, SCIM's externalId, a directory's
// entryUUID). Names and mail addresses are handed on, so they are no subjects.
type Identity struct {
	Provider string
	Subject  string
}

// maxSubject bounds a subject, in bytes. OpenID Connect Core 1.0 section 2 allows
// 255 for sub.
const maxSubject = 255

// Check reports what is wrong with an identity, or nil.
func (i Identity) Check() error {
	switch {
	case !ValidName(i.Provider):
		return Fail(Invalid, "bad-provider", "the provider's name is not valid").
			Because("it is the name of an integration: 1 to 63 of a-z, 0-9, '.', '_' and '-'")
	case i.Subject == "" || len(i.Subject) > maxSubject || !utf8.ValidString(i.Subject) || strings.TrimSpace(i.Subject) != i.Subject ||
		strings.ContainsFunc(i.Subject, func(r rune) bool { return !unicode.IsGraphic(r) }):
		return Fail(Invalid, "bad-subject", "the subject is not valid").
			Because("it is 1 to 255 bytes of visible text, exactly as the provider writes it")
	}
	return nil
}

func compareIdentities(a, b Identity) int {
	return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Subject, b.Subject))
}

// Subject is the first subject that the principal has with a provider, or empty.
func (p Principal) Subject(provider string) string {
	for _, i := range p.Identities {
		if i.Provider == provider {
			return i.Subject
		}
	}
	return ""
}

// Link gives the principal one more identity. Whether another principal has it
// already is for the store to say.
func (p Principal) Link(i Identity) Principal {
	if !slices.Contains(p.Identities, i) {
		p.Identities = append(slices.Clone(p.Identities), i)
		slices.SortFunc(p.Identities, compareIdentities)
	}
	return p
}

// Unlink takes an identity away, and with the last one of a provider the groups
// that the provider gave.
func (p Principal) Unlink(i Identity) Principal {
	p.Identities = slices.DeleteFunc(slices.Clone(p.Identities), func(x Identity) bool { return x == i })
	if len(p.Identities) == 0 {
		p.Identities = nil
	}
	if p.Subject(i.Provider) == "" {
		p = p.Provide(i.Provider, nil)
		if p.DisabledBy == i.Provider { // it has no more to say; an administrator has
			p.DisabledBy = ""
		}
	}
	return p
}

// local names, in Provided, the groups that administrators gave.
const local = ""

// Local are the groups that administrators gave, and no provider. Groups are the
// truth: what is among them and has no source is local, so that what a version
// wrote that knows of no sources holds.
func (p Principal) Local() []Group {
	var out []Group
	for _, g := range p.Groups {
		if slices.Contains(p.Provided[local], g) || !p.provided(g) {
			out = append(out, g)
		}
	}
	return out
}

func (p Principal) provided(g Group) bool {
	for _, gs := range p.Provided {
		if slices.Contains(gs, g) {
			return true
		}
	}
	return false
}

// Provide replaces the groups of one source, and of no other: a provider's name,
// or "" for those that administrators give. Groups become the union of all.
func (p Principal) Provide(source string, groups []Group) Principal {
	all := map[string][]Group{}
	for s, gs := range p.Provided {
		all[s] = gs
	}
	all[local] = p.Local()
	all[source] = slices.Clone(groups)
	p.Provided, p.Groups = nil, nil
	for s, gs := range all {
		slices.Sort(gs)
		gs = slices.Compact(gs)
		p.Groups = append(p.Groups, gs...)
		if len(gs) > 0 {
			if p.Provided == nil {
				p.Provided = map[string][]Group{}
			}
			p.Provided[s] = gs
		}
	}
	slices.Sort(p.Groups)
	p.Groups = slices.Compact(p.Groups)
	if len(p.Groups) == 0 {
		p.Groups = nil
	}
	if len(p.Provided) == 1 && p.Provided[local] != nil { // as if there had never been a provider
		p.Provided = nil
	}
	return p
}
