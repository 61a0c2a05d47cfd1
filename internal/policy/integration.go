package policy

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"stint/internal/access"
)

// Integration is something outside that Stint talks with, as its document says: an
// identity provider, a chat, a mail server. What it signs in with is a registered
// credential, bound to Type and Address; no document holds a secret.
type Integration struct {
	Name        string
	Description string
	Type        string
	Address     string // a URL, without user, query or fragment
	Credential  string // empty: none
	Options     map[string]string
	Source      string // "integrations.yaml:3"

	at     place
	logins []string
}

// Logins are the names of all registered credentials that it uses, each once.
func (i Integration) Logins() []string { return i.logins }

// At is the file and the line of the integration's document.
func (i Integration) At() (file string, line int) { return i.at.file, i.at.line }

func readIntegration(f *form, at place, schemas map[string]access.Schema) *Integration {
	i := &Integration{Name: fieldText(f, "name"), Source: at.String(), at: at}
	if slices.Contains([]string{access.ByCode, access.ByPasskey, access.ByCertificate}, i.Name) { // auth.provider has these names
		f.r.add(f.lineOf("name"), "choose another name", "%q is what a sign-in without an integration is called", i.Name)
	}
	i.Description = f.text("description", 1024)
	typ, ok := f.must("type")
	if ok {
		i.Type = typ.text
		checkType(f, typ, schemas)
	}
	schema, known := schemas[i.Type]
	if it, ok := f.must("address"); ok {
		i.Address = it.text
		if why, next := addressProblem(schema, known, it.text); why != "" {
			f.r.add(it.line, next, "address %q %s", it.text, why)
		}
	}
	if it, ok := f.scalar("credential"); ok {
		if i.Credential = it.text; !access.ValidName(it.text) {
			f.r.add(it.line, "", "%q is not the name of a credential", it.text)
		}
	} else if schema.NeedsCredential && !f.has("credential") {
		f.r.add(f.line, "register one with stint admin credential set, and name it here", "%s has no credential", f.what)
	}
	i.Options = readOptions(f, schema.Integration, known)
	i.logins = loginsOf(i, schema)
	return i
}

func loginsOf(i *Integration, schema access.Schema) (names []string) {
	if i.Credential != "" {
		names = append(names, i.Credential)
	}
	for _, o := range sortedKeys(schema.Integration) {
		if name := i.Options[o]; schema.Integration[o].Credential && name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// CheckAddress refuses what cannot be an address of the type: host:port of a type
// of resource, a URL of an integration.
func CheckAddress(schema access.Schema, address string) error {
	bound := "a credential is bound to the one address that it may be sent to"
	if schema.Integration == nil {
		if ValidAddress(address) {
			return nil
		}
		return access.Fail(access.Invalid, "bad-address", fmt.Sprintf("%q is not host:port", address)).
			Because(bound).Try(`write it as the resource does, like "db1:5432"; the port is 1 to 65535`)
	}
	if why, next := addressProblem(schema, true, address); why != "" {
		return access.Fail(access.Invalid, "bad-address", fmt.Sprintf("the address %q %s", address, why)).Because(bound).Try(next)
	}
	return nil
}

// outsideSchemes are those that some integration may have, for a check that does
// not know the types.
var outsideSchemes = []string{"https", "smtp", "smtps", "ldap", "ldaps"}

// addressProblem says why a text cannot be the address of an integration, and what
// to write; empty when it can. There is one way to write an address, because a
// credential is bound to its text; and no way to write one host that is read as
// another: no user, no number for an address, nothing escaped.
func addressProblem(schema access.Schema, known bool, text string) (why, next string) {
	schemes := schema.Schemes
	switch {
	case !known:
		schemes = outsideSchemes
	case len(schemes) == 0:
		schemes = outsideSchemes[:1]
	}
	sample := "write it like " + schemes[0] + "://host.example.com"
	u, err := url.Parse(text)
	switch {
	case len(text) > 1024:
		return "is longer than 1024 bytes", sample
	case err != nil || u.Scheme == "" || u.Host == "":
		return "is not scheme://host", sample
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(text, "#"):
		return "holds a user, a query or a fragment", "secrets belong into the credential; " + sample
	case u.Opaque != "" || !urlPath.MatchString(u.EscapedPath()) || slices.Contains(strings.Split(u.Path, "/"), ".."):
		return "has a path that is not plain", "use letters, digits and - . _ ~ / only"
	case !plainHost(u):
		return "names no host", "write the host in lower case, an IPv4 address with four numbers, an IPv6 address in brackets; the port is 1 to 65535"
	}
	if u.Scheme == "http" && slices.Contains(schemes, "https") {
		if loopback(u.Host) {
			return "", ""
		}
		return "is plain http", "http is for loopback addresses only; write https://" + u.Host
	}
	if !slices.Contains(schemes, u.Scheme) {
		return "has the scheme " + u.Scheme, "it begins with " + strings.Join(schemes, ":// or ") + "://"
	}
	return "", ""
}

var (
	urlPath   = regexp.MustCompile(`^(/[A-Za-z0-9._~-]*)*$`)
	lowerHost = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$`)
	number    = regexp.MustCompile(`^(0x[0-9a-f]*|[0-9]+)$`)
)

// plainHost accepts a name, and an address in the one form that everybody reads
// alike: a host whose last part is a number is an IPv4 address to some resolvers
// (0x7f.1, 2130706433), so it must be one to us.
func plainHost(u *url.URL) bool {
	host, port := u.Hostname(), u.Port()
	if port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' {
			return false
		}
	} else if strings.HasSuffix(u.Host, ":") {
		return false
	}
	if strings.HasPrefix(u.Host, "[") {
		a, err := netip.ParseAddr(host)
		return err == nil && a.Is6() && a.Zone() == "" && !a.Is4In6() && a.String() == host
	}
	if len(host) > 253 || !lowerHost.MatchString(host) {
		return false
	}
	if last := host[strings.LastIndex(host, ".")+1:]; number.MatchString(last) {
		a, err := netip.ParseAddr(host)
		return err == nil && a.Is4()
	}
	return true
}
