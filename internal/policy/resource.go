package policy

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
)

// Resource is a thing worth protecting, as its document says.
type Resource struct {
	Name        access.ResourceName
	Description string
	Type        string
	Labels      map[string]string
	Criticality access.Criticality // high when the document does not say
	Owners      []access.Subject
	Location    string
	Connection  access.Connection
	Ceiling     *Ceiling          // nil: none
	Persons     map[string]string // person -> account on this resource, where they differ
	Source      string            // "resources.yaml:3"

	at place
}

// Ceiling bounds what any role can give on a resource. What it leaves out is not
// bounded for roles of administrators, and not available to roles of owners.
type Ceiling struct {
	Mechanisms  []access.Mechanism
	MemberOf    []string
	Commands    []string // of the mechanism elevate
	Accounts    []string // accounts a role may name; the person's own is not meant
	MaxDuration time.Duration

	// A list that is given and empty allows nothing.
	boundsMechanisms, boundsMemberOf, boundsCommands, boundsAccounts bool
	line                                                             int
}

// At is the file and the line of the resource's document.
func (r Resource) At() (file string, line int) { return r.at.file, r.at.line }

func readResource(f *form, at place, schemas map[string]access.Schema) *Resource {
	r := &Resource{Name: access.ResourceName(fieldText(f, "name")), Source: at.String(), at: at}
	r.Description = f.text("description", 1024)
	typ, ok := f.must("type")
	if ok {
		r.Type = typ.text
		checkType(f, typ, schemas)
	}
	r.Labels = readLabels(f)
	r.Criticality = choice(f, "criticality", access.High, access.Criticalities)
	r.Location = f.text("location", 255)
	for _, it := range f.texts("owners") {
		s := access.Subject(it.text)
		if _, shift := s.Schedule(); s == "*" || shift || !access.ValidSubject(s, false) {
			f.r.add(it.line, subjectForms, "%q cannot own a resource", it.text)
			continue
		}
		r.Owners = append(r.Owners, s)
	}
	r.Persons = readPersons(f)
	if schemas[r.Type].Carried && r.Name != "" && !hostLabel.MatchString(string(r.Name)) {
		f.r.add(f.line, "use small letters, digits and '-', 63 at most", "%s cannot be part of a host's name, and a resource of type %s is reached by one", f.what, r.Type)
	}
	if c := f.sub("connection"); c != nil {
		r.Connection = readConnection(c, r.Type, schemas)
	} else if !f.has("connection") {
		f.r.add(f.line, "", "%s has no connection", f.what)
	}
	if c := f.sub("ceiling"); c != nil {
		r.Ceiling = readCeiling(c)
	}
	return r
}

var hostLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

const subjectForms = `write it as "group:dba", "user:mira", "service:ci" or "agent:fixer"`

// fieldText is the text of a field that was read before.
func fieldText(f *form, name string) string {
	for _, fd := range f.fields {
		if fd.name == name {
			return fd.value.Value
		}
	}
	return ""
}

// checkType reports a type of resource that is none, or that no connector has.
func checkType(f *form, it item, schemas map[string]access.Schema) {
	switch {
	case !access.ValidName(it.text):
		f.r.add(it.line, "", "%q cannot be the type of a resource", it.text)
	case schemas != nil:
		oneOf(f.r, "type", it, "", sortedKeys(schemas))
	}
}

var accountName = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,62}$`)

const accountForm = "1 to 63 of a-z, A-Z, 0-9, '_', '.', '-', not beginning with '.' or '-'"

func readPersons(f *form) map[string]string {
	keys, values := f.pairs("persons")
	if len(keys) == 0 {
		return nil
	}
	m := make(map[string]string, len(keys))
	for i, k := range keys {
		switch {
		case !access.ValidName(k.text):
			f.r.add(k.line, "", "%q cannot be the name of a person", k.text)
		case !accountName.MatchString(values[i].text):
			f.r.add(k.line, "", "%q cannot be an account: %s", values[i].text, accountForm)
		default:
			m[k.text] = values[i].text
		}
	}
	return m
}

func readConnection(f *form, typ string, schemas map[string]access.Schema) access.Connection {
	c := access.Connection{Type: typ}
	if it, ok := f.must("address"); ok {
		if c.Address = it.text; !ValidAddress(it.text) {
			f.r.add(it.line, `write it as "db1:5432"`, "%q is not host:port", it.text)
		}
	}
	schema, known := schemas[typ] // an unknown type is reported already
	if schema.NoCredential && !schema.Carried {
		if it, ok := f.scalar("credential"); ok {
			f.r.add(it.line, "leave it out, and enrol the host: stint admin host enroll", "a resource of type %s has no credential: an agent on the host carries out what is ordered", typ)
		}
	} else if schemas != nil && !schema.Carried || f.has("credential") { // who knows no types cannot tell
		c.Credential = f.name("credential")
	}
	c.Options = readOptions(f, schema.Connection, known)
	if c.Options["sslmode"] == "disable" && !loopback(c.Address) {
		f.r.add(f.lineOf("sslmode"), "use verify-full", "sslmode disable is for loopback addresses only, and %s is not one", c.Address)
	}
	if schema.Carried {
		_, logs := schema.Connection["login"]
		checkCarried(f, c, logs)
	}
	f.close()
	return c
}

// checkCarried looks at what belongs together where gateways alone connect: without TLS
// nothing tells a target from another, so that it has to be on the gateway's own host, at an
// address and not a name that could come to mean another; and a login is sent in some way.
func checkCarried(f *form, c access.Connection, logs bool) {
	if !logs && c.Credential != "" {
		f.r.add(f.lineOf("credential"), "leave it out", "a resource of type %s has no credential: what passes there nobody looks into, and no login is added", c.Type)
		return
	}
	host := (&url.URL{Host: c.Address}).Hostname()
	if a, err := netip.ParseAddr(host); c.Options["tls"] == "off" && (err != nil || !a.IsLoopback()) {
		f.r.add(f.lineOf("tls"), "leave tls out, or reach it by a gateway on its own host, at 127.0.0.1", "tls: off is for loopback addresses only, written as addresses, and %s is not one", c.Address)
	}
	switch way := c.Options["login"]; {
	case (way == "" || way == "none") && c.Credential != "":
		f.r.add(f.lineOf("credential"), "add login: basic, bearer, header, certificate or form, or leave the credential out", "the connection names a credential, and not how gateways log in with it")
	case way != "" && way != "none" && c.Credential == "":
		f.r.add(f.lineOf("login"), "add credential: NAME, which an administrator registers: stint admin credential set NAME --type "+c.Type, "the connection says how gateways log in, and not with which credential")
	case way == "header" && c.Options["loginHeader"] == "":
		f.r.add(f.lineOf("login"), "add loginHeader: X-Api-Key, or whatever the application reads", "login: header does not say which header")
	case way == "form":
		checkForm(f, c.Options)
	case way == "certificate" && c.Options["tls"] == "off":
		f.r.add(f.lineOf("login"), "leave tls: off out", "a certificate is no login without TLS")
	}
}

// checkForm looks at what belongs together in a login by form.
func checkForm(f *form, o map[string]string) {
	list := func(name string) []string {
		if o[name] == "" {
			return nil
		}
		return strings.Split(o[name], ",")
	}
	if o["loginPath"] == "" {
		f.r.add(f.lineOf("login"), "add loginPath: /login, or whatever the path of its login page is", "login: form does not say where the login page is")
	}
	if o["loginCookie"] != "" && slices.Contains(list("browserCookies"), o["loginCookie"]) {
		f.r.add(f.lineOf("browserCookies"), "leave it out of browserCookies", "the cookie %s is by what the application knows who is logged in: who has it has the login", o["loginCookie"])
	}
	or := func(name, usual string) string {
		if o[name] == "" {
			return usual
		}
		return o[name]
	}
	seen := map[string]string{or("loginUserField", "username"): "loginUserField"}
	said := func(name, option string) {
		if before := seen[name]; name != "" && before != "" {
			f.r.add(f.lineOf(option), "name each field once", "the field %s is named by %s and by %s", name, before, option)
		}
		seen[name] = option
	}
	said(or("loginPasswordField", "password"), "loginPasswordField")
	said(o["loginToken"], "loginToken")
	for _, text := range list("loginFields") {
		name, _, _ := strings.Cut(text, "=")
		said(name, "loginFields")
	}
}

// ValidAddress accepts host:port, and nothing that a URL or a flag could be
// made of.
func ValidAddress(s string) bool {
	host, port, ok := cutLast(s, ":")
	if !ok || len(host) > 253 {
		return false
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' {
		return false
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		a, err := netip.ParseAddr(inner)
		return ok && err == nil && a.Is6() && a.Zone() == ""
	}
	return hostName.MatchString(host)
}

var hostName = regexp.MustCompile(`^[a-zA-Z0-9_]([a-zA-Z0-9_.-]*[a-zA-Z0-9_])?$`)

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// loopback reports whether an address can only be this host. The name localhost
// counts, as RFC 6761 section 6.3 binds it to loopback.
func loopback(address string) bool {
	host := (&url.URL{Host: address}).Hostname()
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func readCeiling(f *form) *Ceiling {
	c := &Ceiling{line: f.line}
	c.boundsMechanisms = f.has("mechanisms")
	for _, it := range f.texts("mechanisms") {
		if m := oneOf(f.r, "mechanism", it, "", mechanisms); m != "" {
			c.Mechanisms = append(c.Mechanisms, m)
		}
	}
	c.boundsMemberOf = f.has("memberOf")
	for _, it := range f.texts("memberOf") {
		c.MemberOf = append(c.MemberOf, it.text)
	}
	c.boundsCommands = f.has("commands")
	for _, it := range f.texts("commands") {
		c.Commands = append(c.Commands, it.text)
	}
	c.boundsAccounts = f.has("accounts")
	for _, it := range f.texts("accounts") {
		c.Accounts = append(c.Accounts, it.text)
	}
	c.MaxDuration = f.span("maxDuration", access.MaxDuration)
	f.close()
	return c
}
