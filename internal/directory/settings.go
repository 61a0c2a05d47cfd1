package directory

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
)

// Type is the type of an integration that is a directory.
const Type = "directory"

// Settings are what a document says of a directory.
type Settings struct {
	Address string // ldaps://host or ldap://host, which is asked for TLS first
	Plain   bool   // no TLS at all; of this machine only

	Users      string // where people are: a DN
	UserFilter string
	Subject    string // the attribute that never changes
	UserName   string // the attribute that becomes the name in Stint

	Groups      string // where groups are; empty: nobody has groups from here
	GroupFilter string
	GroupName   string
	Member      string   // DNs; memberUid: names of users
	Nested      bool     // who is in a group that is in a group is in it
	Only        []string // names of groups, as they are there; empty: all

	// Changed is an attribute that goes up with each change of an entry: uSNChanged, a
	// number of one server, or modifyTimestamp.
	Changed string

	Every time.Duration // between two looks at what changed
	Whole time.Duration // between two readings of everything
	// Leavers is how many people may leave in an hour before somebody has to say that
	// it is right; 0: a fifth of all, and three.
	Leavers int
	// FreshFor is for how long what was read is good enough to give somebody something
	// new; 0: for ever.
	FreshFor time.Duration
}

const (
	dn        = `[A-Za-z0-9.-]+ *=.+`
	attribute = `[A-Za-z][A-Za-z0-9-]{0,63}`
)

// Schema is what a document of a directory may say.
func Schema() access.Schema {
	attr := func(doc string) access.Option {
		return access.Option{Doc: doc, Pattern: attribute, Form: "write the name of an attribute"}
	}
	filter := func(doc string) access.Option {
		return access.Option{Doc: doc, Pattern: `\(.+\)`, Form: "write a filter in parentheses, like (objectClass=person)"}
	}
	return access.Schema{Type: Type, Schemes: []string{"ldaps", "ldap"}, NeedsCredential: true, Integration: map[string]access.Option{
		"server":      {Doc: "what the other options are by default: as in Active Directory, or as in OpenLDAP", Values: []string{"ldap", "ad"}, Default: "ldap"},
		"plain":       {Doc: "no TLS; of a directory on this machine only", Values: []string{"yes", "no"}, Default: "no"},
		"users":       {Doc: "where people are: a DN", Required: true, Pattern: dn, Form: "write a DN, like ou=people,dc=corp,dc=example"},
		"userFilter":  filter("which entries there are people"),
		"subject":     attr("the attribute that tells people apart and never changes"),
		"userName":    attr("the attribute that becomes the name of a user in Stint"),
		"groups":      {Doc: "where groups are: a DN; none are read without", Pattern: dn, Form: "write a DN, like ou=groups,dc=corp,dc=example"},
		"groupFilter": filter("which entries there are groups"),
		"groupName":   attr("the attribute that becomes the name of a group in Stint"),
		"member":      attr("the attribute that lists who is in a group: DNs, or with memberUid names"),
		"nested":      {Doc: "who is in a group within a group is in both", Values: []string{"yes", "no"}, Default: "yes"},
		"only":        {Doc: "the groups that become groups in Stint, by their names there; all if left out", Many: true},
		"groupPrefix": {Doc: "what the names of its groups begin with in Stint", Pattern: `[a-z0-9][a-z0-9._-]{0,30}`, Form: "write 1 to 31 of a-z, 0-9, '.', '_' and '-'"},
		"signIn":      {Doc: "the integration by which its users sign in, if the subject is the same there", Pattern: `[a-z0-9][a-z0-9._-]{0,62}`, Form: "write the name of an integration"},
		"changed":     attr("the attribute that goes up with each change"),
		"every":       {Doc: "seconds between two looks at what changed", Min: 1, Max: 3600, Default: "5"},
		"whole":       {Doc: "seconds between two readings of everything", Min: 10, Max: 86400, Default: "600"},
		"leavers":     {Doc: "how many people may leave in an hour before an administrator has to confirm; a fifth of all, and three, if left out", Min: 1, Max: 1000000},
		"freshFor":    {Doc: "seconds after the last reading until who comes from here is given nothing new; never if left out", Min: 10, Max: 604800},
	}}
}

// flavours are the defaults of the option server.
var flavours = map[string]map[string]string{
	"ldap": {"userFilter": "(objectClass=inetOrgPerson)", "subject": "entryUUID", "userName": "uid",
		"groupFilter": "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames))", "groupName": "cn", "member": "member", "changed": "modifyTimestamp"},
	"ad": {"userFilter": "(&(objectCategory=person)(objectClass=user))", "subject": "objectGUID", "userName": "sAMAccountName",
		"groupFilter": "(objectCategory=group)", "groupName": "cn", "member": "member", "changed": "uSNChanged"},
}

// Read makes settings of an integration's address and options.
func Read(address string, options map[string]string) Settings {
	flavour := flavours["ldap"]
	if options["server"] == "ad" {
		flavour = flavours["ad"]
	}
	o := func(name string) string {
		if v := options[name]; v != "" {
			return v
		}
		if v := flavour[name]; v != "" {
			return v
		}
		return Schema().Integration[name].Default
	}
	seconds := func(name string) time.Duration { n, _ := strconv.Atoi(o(name)); return time.Duration(n) * time.Second }
	s := Settings{Address: address, Plain: o("plain") == "yes", Users: o("users"), UserFilter: o("userFilter"), Subject: o("subject"), UserName: o("userName"),
		Groups: o("groups"), GroupFilter: o("groupFilter"), GroupName: o("groupName"), Member: o("member"), Nested: o("nested") == "yes",
		Changed: o("changed"), Every: seconds("every"), Whole: seconds("whole"), FreshFor: seconds("freshFor")}
	s.Leavers, _ = strconv.Atoi(o("leavers"))
	if v := o("only"); v != "" {
		s.Only = strings.Split(v, ",")
	}
	return s
}

// same reports whether what was read with t is what would be read with s.
func (s Settings) same(t Settings) bool {
	return slices.Equal(s.Only, t.Only) && s.string() == t.string()
}

func (s Settings) string() string {
	return strings.Join([]string{s.Address, strconv.FormatBool(s.Plain), s.Users, s.UserFilter, s.Subject, s.UserName,
		s.Groups, s.GroupFilter, s.GroupName, s.Member, strconv.FormatBool(s.Nested), s.Changed}, "\x00")
}

// byName reports whether groups name users by their names (RFC 2307), not by DNs.
func (s Settings) byName() bool { return strings.EqualFold(s.Member, "memberUid") }

// where is the host and the port of the address, and whether TLS begins at once.
func (s Settings) where() (host, address string, tls bool, err error) {
	u, err := url.Parse(s.Address)
	if err != nil || u.Hostname() == "" || u.Scheme != "ldap" && u.Scheme != "ldaps" || strings.Trim(u.Path, "/") != "" {
		return "", "", false, access.Fail(access.Invalid, "bad-address", "the address of the directory is not ldaps://host or ldap://host")
	}
	port := u.Port()
	if tls = u.Scheme == "ldaps"; port == "" {
		if port = "389"; tls {
			port = "636"
		}
	}
	host = u.Hostname()
	if s.Plain && (tls || !here(host)) {
		return "", "", false, access.Fail(access.Invalid, "plain-directory", "a directory is read without TLS on this machine only").
			Because("what it says decides who has access, and the password would be seen").Try("leave plain out; ldap:// begins TLS by itself")
	}
	return host, net.JoinHostPort(host, port), tls, nil
}

// here reports whether a host is this machine by its name.
func here(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}
