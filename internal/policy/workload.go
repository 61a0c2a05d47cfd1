package policy

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"stint/internal/access"
	"stint/internal/workload"
)

// Workload says which programs a service is: those of whom an integration says what its
// conditions ask, or those with a certificate of a name.
type Workload struct {
	Name        string
	Description string
	Service     access.PrincipalID
	Integration string // empty: a certificate is asked
	Conditions  workload.Conditions
	Certificate workload.Certificate
	Source      string // "workloads.yaml:3"

	at       place
	from     []item // the integration's name
	lineOpen int
}

func readWorkload(f *form, at place) *Workload {
	w := &Workload{Name: fieldText(f, "name"), Source: at.String(), at: at}
	w.Description = f.text("description", 1024)
	if it, ok := f.must("service"); ok {
		name := strings.TrimPrefix(it.text, "service:")
		if w.Service = access.NewPrincipalID(access.Service, name); !access.ValidName(name) || name == access.System.Principal.Name() {
			f.r.add(it.line, "write it as service: ci", "%q is not the name of a service", it.text)
		}
	}
	if it, ok := f.scalar("integration"); ok {
		w.Integration, w.from = it.text, []item{it}
	}
	w.Conditions = append(readConditions(f, "claims", workload.CheckText), readConditions(f, "like", workload.CheckPattern)...)
	w.lineOpen = f.lineOf("integration")
	if c := f.sub("certificate"); c != nil {
		w.Certificate = readCertificate(c)
	}
	asks := f.has("claims") || f.has("like")
	switch {
	case f.has("certificate") && (f.has("integration") || asks):
		f.r.add(f.lineOf("certificate"), "make two documents for one service", "%s asks for a certificate and for the word of an integration", f.what)
	case f.has("certificate"):
	case !f.has("integration"):
		f.r.add(f.line, "add integration: NAME, or certificate: {uri: spiffe://…}", "%s does not say who vouches for it", f.what)
	case len(w.Conditions) == 0:
		f.r.add(f.line, "add claims: {sub: …}; see docs/identity/workloads.md", "%s has no condition: every program that %s vouches for would be the service", f.what, w.Integration)
	}
	return w
}

// readConditions reads claims or like: for each claim a text, or a list of those of
// which one has to be.
func readConditions(f *form, name string, check func(string) error) (cs workload.Conditions) {
	sub := f.sub(name)
	if sub == nil {
		return nil
	}
	for _, fd := range slices.Clone(sub.fields) {
		if err := workload.CheckName(fd.name); err != nil {
			sub.r.add(fd.line, "", "%q %s", fd.name, err)
		}
		items := sub.oneOrMore(fd.name)
		if len(items) == 0 {
			if kindName(fd.value) == "list" && len(fd.value.Content) == 0 {
				sub.r.add(fd.line, "name what it has to be, or leave it out", "%s: the list of %s is empty", name, fd.name)
			}
			continue
		}
		c := workload.Condition{Claim: fd.name}
		for _, it := range items {
			if err := check(it.text); err != nil {
				sub.r.add(it.line, "", "%s %q %s", fd.name, it.text, err)
			}
		}
		if name == "like" {
			c.Like = textsOf(items)
		} else {
			c.Is = textsOf(items)
		}
		cs = append(cs, c)
	}
	return cs
}

func readCertificate(f *form) (c workload.Certificate) {
	if it, ok := f.scalar("uri"); ok {
		c.URI = it.text
		if u, err := url.Parse(it.text); err != nil || u.Scheme == "" || u.Host == "" || strings.ContainsAny(it.text, "* ") || len(it.text) > 1024 {
			f.r.add(it.line, "write it like spiffe://corp.example/batch", "%q is not a URI that a certificate can hold", it.text)
		}
	}
	if it, ok := f.scalar("dns"); ok {
		if c.DNS = it.text; len(it.text) > 253 || !lowerHost.MatchString(it.text) || strings.Contains(it.text, "..") {
			f.r.add(it.line, "write it in lower case, without a star", "%q is not a host name", it.text)
		}
	}
	f.close()
	if c == (workload.Certificate{}) && len(f.r.problems) == 0 {
		f.r.add(f.line, "add uri or dns", "certificate says no name")
	}
	return c
}

// link checks a workload against the integration that it names.
func (w *Workload) link(r *report, outside map[string]*Integration) {
	if w.Integration == "" {
		return
	}
	i := outside[w.Integration]
	switch {
	case i == nil:
		refer(r, "integration", outside, w.from)
	case i.Type == workload.Type:
		if need := workload.Open(i.Address, w.Conditions); need != nil {
			r.add(w.lineOpen, "add a condition on one of "+strings.Join(need, ", "),
				"everybody in the world can get a token of %s, and workload %s does not say whose it has to be", i.Address, w.Name)
		}
	case i.Type == workload.TypeSPIFFE:
		if why := w.within(i.Options["trustDomain"]); why != "" {
			r.add(w.lineOpen, "add claims: {sub: spiffe://"+i.Options["trustDomain"]+"/…}", "workload %s %s", w.Name, why)
		}
	default:
		r.add(w.lineOpen, "name one of type "+workload.Type+" or "+workload.TypeSPIFFE, "integration %s is of type %s and vouches for no workload", i.Name, i.Type)
	}
}

// within says why the conditions do not stay in a trust domain; empty when they do.
func (w *Workload) within(domain string) string {
	begins, asked := "spiffe://"+domain+"/", false
	for _, c := range w.Conditions {
		if c.Claim != "sub" {
			continue
		}
		asked = true
		for _, text := range slices.Concat(c.Is, c.Like) {
			if !strings.HasPrefix(text, begins) {
				return fmt.Sprintf("asks for %q, which is not of the trust domain", text)
			}
		}
	}
	if !asked {
		return "does not say which SPIFFE ID it has to be"
	}
	return ""
}

// Fits reports whether this document makes a program the service, by what was verified
// of it.
func (w Workload) Fits(x access.Exchange) bool {
	if w.Integration == "" {
		return x.Integration == "" && x.Certificate != (access.Digest{}) && w.Certificate.Holds(workload.Names{URIs: x.URIs, DNS: x.DNS})
	}
	return x.Integration == w.Integration && w.Conditions.Hold(x.Claims)
}

// Workloads returns all, in document order.
func (s *Set) Workloads() []Workload { return values(s.workloads) }

// Workload returns the workload of that name.
func (s *Set) Workload(name string) (Workload, bool) { return find(s.workload, name) }
