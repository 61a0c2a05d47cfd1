package directory_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"stint/internal/access"
	"stint/internal/directory"
	"stint/internal/directory/ldaptest"
)

// scene is a reader of a real OpenLDAP.
type scene struct {
	*ldaptest.Server
	t      *testing.T
	set    directory.Settings
	mirror directory.Mirror
	who    directory.Login
	now    time.Time
}

func start(t *testing.T, options map[string]string) *scene {
	t.Helper()
	s := &scene{Server: ldaptest.Start(t), t: t, now: time.Now()}
	o := map[string]string{"users": ldaptest.People, "groups": ldaptest.Groups}
	for name, v := range options {
		o[name] = v
	}
	s.set = directory.Read(s.Secure, o)
	s.mirror = directory.Mirror{Door: directory.Door{Dial: s.Dial, TLS: s.TLS}, Now: func() time.Time { return s.now }}
	s.who = directory.Login{DN: ldaptest.AdminDN, Secret: access.NewSecret([]byte(ldaptest.Password))}
	return s
}

// read looks at the directory, and says which names are active and who is in which group.
func (s *scene) read(whole bool) (p directory.Picture, all bool) {
	s.t.Helper()
	p, all, err := s.mirror.Read(s.t.Context(), s.set, s.who, whole)
	if err != nil {
		s.t.Fatal(err)
	}
	return p, all
}

func text(p directory.Picture) string {
	names := map[string]string{}
	var out []string
	for _, u := range p.Users {
		names[u.Subject] = u.Name
		if u.Active {
			out = append(out, u.Name)
		} else {
			out = append(out, "-"+u.Name)
		}
	}
	for _, g := range p.Groups {
		var in []string
		for _, m := range g.Members {
			in = append(in, names[m])
		}
		slices.Sort(in)
		out = append(out, g.Name+"("+strings.Join(in, " ")+")")
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (s *scene) want(what, want string) {
	s.t.Helper()
	p, all := s.read(false)
	if got := text(p); got != want {
		s.t.Errorf("%s: %s, want %s", what, got, want)
	}
	if all {
		s.t.Errorf("%s: everything was read", what)
	}
}

// TestFollowsSlapd: what changes in a real OpenLDAP is seen by the next look at changes,
// and an entry keeps its subject through everything but its end.
func TestFollowsSlapd(t *testing.T) {
	s := start(t, nil)
	mira, noor := s.Person("mira"), s.Person("noor")
	dba := s.Group("dba", mira)
	p, all := s.read(false)
	if got := text(p); got != "dba(mira) mira noor" || !all {
		t.Fatalf("at first: %s, all %v", got, all)
	}
	subject := func(name string) string {
		p, _ := s.read(false)
		for _, u := range p.Users {
			if u.Name == name {
				return u.Subject
			}
		}
		t.Fatalf("there is no %s", name)
		return ""
	}
	first := subject("mira")
	s.want("nothing", "dba(mira) mira noor")
	s.Modify(dba, "add", "member", noor)
	s.want("a member more", "dba(mira noor) mira noor")
	s.Modify(dba, "delete", "member", strings.ToUpper(mira))
	s.want("a member less, written in other case", "dba(noor) mira noor")
	s.Modify(mira, "replace", "pwdAccountLockedTime", "000001010000Z")
	s.want("locked by an administrator", "-mira dba(noor) noor")
	s.Modify(mira, "replace", "pwdAccountLockedTime", "20200101000000Z")
	s.want("locked by wrong passwords", "dba(noor) mira noor")
	s.Do(func(c *ldap.Conn) error { return c.ModifyDN(ldap.NewModifyDNRequest(mira, "uid=miriam", true, "")) })
	if p, all := s.read(false); text(p) != "dba(noor) miriam noor" || !all {
		t.Errorf("renamed: %s, all %v", text(p), all)
	}
	if got := subject("miriam"); got != first {
		t.Errorf("the subject changed with the name: %s, then %s", first, got)
	}
	s.Delete("uid=miriam," + ldaptest.People)
	s.want("gone", "dba(noor) noor")
	s.Person("miriam")
	if got := subject("miriam"); got == first {
		t.Error("somebody else of that name has the same subject")
	}
	s.Delete(dba)
	s.want("a group gone", "miriam noor")
}

// TestNested: groups within groups, and in circles.
func TestNested(t *testing.T) {
	s := start(t, map[string]string{"only": "all,ring1"})
	var people []string
	for i := range 3 {
		people = append(people, s.Person(fmt.Sprintf("p%d", i)))
	}
	inner := s.Group("inner", people[0])
	middle := s.Group("middle", people[1], inner)
	s.Group("all", people[2], middle)
	ring1 := "cn=ring1," + ldaptest.Groups
	ring3 := s.Group("ring3", people[0], ring1)
	ring2 := s.Group("ring2", ring3, "cn=ring2,"+ldaptest.Groups) // in itself too
	s.Group("ring1", ring2)
	p, _ := s.read(true)
	if got := text(p); got != "all(p0 p1 p2) p0 p1 p2 ring1(p0)" {
		t.Errorf("%s", got)
	}
	s.Modify(inner, "delete", "member", people[0])
	s.want("gone from the innermost", "all(p1 p2) p0 p1 p2 ring1(p0)")
	s.set.Nested = false
	if p, _ := s.read(true); text(p) != "all(p2) p0 p1 p2 ring1()" {
		t.Errorf("not nested: %s", text(p))
	}
}

// TestManyPages: more people than a page has, and a group of all of them.
func TestManyPages(t *testing.T) {
	s := start(t, nil)
	const many = 1203
	var entries []string
	members := []string{}
	for i := range many {
		n := fmt.Sprintf("p%04d", i)
		dn := "uid=" + n + "," + ldaptest.People
		entries = append(entries, "dn: "+dn+"\nobjectClass: inetOrgPerson\nuid: "+n+"\ncn: "+n+"\nsn: "+n)
		members = append(members, dn)
	}
	s.Add(entries...)
	all := s.Group("all", members...)
	p, _ := s.read(true)
	if len(p.Users) != many || len(p.Groups) != 1 || len(p.Groups[0].Members) != many {
		t.Fatalf("%d users, %d in the group, want %d", len(p.Users), len(p.Groups[0].Members), many)
	}
	s.Delete(members[17])
	s.Modify(all, "delete", "member", members[17])
	p, whole := s.read(false)
	if whole || len(p.Users) != many-1 || len(p.Groups[0].Members) != many-1 {
		t.Errorf("one less: %d users, %d in the group, all %v", len(p.Users), len(p.Groups[0].Members), whole)
	}
}

// injections are names that would change a filter, or say where an entry stands, if they were put into
// one as they are (CWE-90).
var injections = []string{
	"*", "*)(uid=*", "mira)(uid=*", "mira)(|(uid=*", "*))%00", "mira*", "m*a", "(", ")", "((", "\\", "\\2a", "\\29", "a\\", "&", "|", "!",
	"mira)(objectClass=*))(&(uid=mira", "x)(userPassword=*", "#mira", "mira,ou=people", "mira+cn=x", "a=b", `a"b`, "a<b>c", "a;b", "é", "用户", "a b", " a", "a ",
}

// TestInjection: each name finds the entry that is called so, and nobody else; made
// into a DN, it stands where it should.
func TestInjection(t *testing.T) {
	s := start(t, nil)
	s.Person("mira")
	s.Person("noor")
	for _, name := range injections {
		trimmed := strings.TrimSpace(name)
		found, err := s.mirror.Door.Find(t.Context(), s.set, s.who, name)
		if err != nil || len(found) != 0 {
			t.Errorf("nobody is called %q: found %+v, %v", name, found, err)
		}
		if trimmed != name || strings.Contains(name, "%00") {
			continue
		}
		dn := s.Person(name)
		found, err = s.mirror.Door.Find(t.Context(), s.set, s.who, name)
		if err != nil || len(found) != 1 || found[0].Name != name {
			t.Errorf("%q: found %+v, %v", name, found, err)
		}
		group := s.Group("g"+name, dn)
		p, _ := s.read(true)
		if len(p.Groups) != 1 || len(p.Groups[0].Members) != 1 || p.Groups[0].Name != "g"+name {
			t.Errorf("%q in a group: %+v", name, p.Groups)
		}
		s.Delete(dn, group)
	}
	for _, name := range []string{"\x00", "a\x00b", "mira\x00"} {
		if found, err := s.mirror.Door.Find(t.Context(), s.set, s.who, name); err == nil && len(found) != 0 {
			t.Errorf("%q: found %+v", name, found)
		}
	}
}

// TestOnlyOverTLS: each way to reach a directory, with a certificate that holds and one
// that does not, with the right password and without.
func TestOnlyOverTLS(t *testing.T) {
	s := start(t, nil)
	s.Person("mira")
	other := ldaptest.Start(t)
	options := map[string]string{"users": ldaptest.People}
	plain := map[string]string{"users": ldaptest.People, "plain": "yes"}
	far := func() *scene { c := *s; return &c }
	for _, c := range []struct {
		name, address string
		options       map[string]string
		bend          func(*scene)
		ok            bool
	}{
		{"ldaps", s.Secure, options, nil, true},
		{"StartTLS", s.Plain, options, nil, true},
		{"plain, on this machine", s.Plain, plain, nil, true},
		{"plain with ldaps", s.Secure, plain, nil, false},
		{"plain, elsewhere", "ldap://192.0.2.1:389", plain, nil, false},
		{"ldaps, another's certificate", other.Secure, options, nil, false},
		{"StartTLS, another's certificate", other.Plain, options, nil, false},
		{"ldaps to the plain port", "ldaps://" + strings.TrimPrefix(s.Plain, "ldap://"), options, nil, false},
		{"wrong password", s.Secure, options, func(s *scene) { s.who.Secret = access.NewSecret([]byte("wrong")) }, false},
		{"no password", s.Secure, options, func(s *scene) { s.who.Secret = access.Secret{} }, false},
		{"no name", s.Secure, options, func(s *scene) { s.who.DN = "" }, false},
		{"another name on the certificate", "ldaps://ldap.example.com", options, func(x *scene) {
			x.mirror.Door.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return s.Dial(ctx, network, strings.TrimPrefix(s.Secure, "ldaps://"))
			}
		}, false},
	} {
		x := far()
		x.set = directory.Read(c.address, c.options)
		if c.bend != nil {
			c.bend(x)
		}
		p, _, err := x.mirror.Read(t.Context(), x.set, x.who, true)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok %v", c.name, err, c.ok)
		}
		if err != nil && strings.Contains(err.Error(), ldaptest.Password) {
			t.Errorf("%s: the error holds the password", c.name)
		}
		if !c.ok && len(p.Users) > 0 {
			t.Errorf("%s: it was read", c.name)
		}
	}
}

// TestDownIsNoPicture: a server that stops, or has a limit, gives no picture, and what
// was known stays.
func TestDownIsNoPicture(t *testing.T) {
	s := start(t, nil)
	s.Person("mira")
	s.read(true)
	s.Down()
	if p, _, err := s.mirror.Read(t.Context(), s.set, s.who, false); access.KindOf(err) != access.Unavailable || len(p.Users) != 0 {
		t.Errorf("down: %+v, %v", p, err)
	}
	s.Up()
	s.want("up again", "mira")
	wrong := s.set
	wrong.Users = "ou=nobody," + ldaptest.Base
	if _, _, err := s.mirror.Read(t.Context(), wrong, s.who, false); access.KindOf(err) != access.Unavailable {
		t.Errorf("a wrong base: %v", err)
	}
	s.want("the right base", "mira")
}
