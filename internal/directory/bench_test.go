package directory_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"stint/internal/access"
	"stint/internal/directory"
	"stint/internal/directory/ldaptest"
)

// BenchmarkSlapd10k reads 10,000 people and ten groups of 1,000 from a real OpenLDAP: as a
// whole, and what changed when nothing did; bare is one search for the ids of all, which
// nobody who wants to miss somebody can leave out.
func BenchmarkSlapd10k(b *testing.B) {
	s := ldaptest.Start(b)
	var entries []string
	var dns []string
	for i := range 10_000 {
		n := fmt.Sprintf("p%05d", i)
		dn := "uid=" + n + "," + ldaptest.People
		entries = append(entries, "dn: "+dn+"\nobjectClass: inetOrgPerson\nuid: "+n+"\ncn: "+n+"\nsn: "+n)
		dns = append(dns, dn)
	}
	s.Add(entries...)
	for g := range 10 {
		s.Group(fmt.Sprintf("g%d", g), dns[g*1000:(g+1)*1000]...)
	}
	set := directory.Read(s.Secure, map[string]string{"users": ldaptest.People, "groups": ldaptest.Groups})
	m := directory.Mirror{Door: directory.Door{Dial: s.Dial, TLS: s.TLS}, Now: time.Now}
	who := directory.Login{DN: ldaptest.AdminDN, Secret: access.NewSecret([]byte(ldaptest.Password))}
	read := func(b *testing.B, whole bool) {
		p, _, err := m.Read(b.Context(), set, who, whole)
		if err != nil || len(p.Users) != 10_000 || len(p.Groups) != 10 {
			b.Fatalf("%d users, %d groups, %v", len(p.Users), len(p.Groups), err)
		}
	}
	time.Sleep(62 * time.Second) // what changed within a minute of the newest change is read again
	s.Modify(dns[0], "replace", "displayName", "Somebody")
	b.Run("whole", func(b *testing.B) {
		for b.Loop() {
			read(b, true)
		}
	})
	b.Run("changes", func(b *testing.B) {
		read(b, true)
		for b.Loop() {
			read(b, false)
		}
	})
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			c, err := ldap.DialURL(s.Secure, ldap.DialWithTLSConfig(s.TLS("127.0.0.1")))
			if err != nil {
				b.Fatal(err)
			}
			if err := c.Bind(ldaptest.AdminDN, ldaptest.Password); err != nil {
				b.Fatal(err)
			}
			res, err := c.SearchWithPaging(ldap.NewSearchRequest(ldaptest.People, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=inetOrgPerson)", []string{"entryUUID"}, nil), 500)
			if err != nil || len(res.Entries) != 10_000 {
				b.Fatal(err)
			}
			_ = c.Close()
		}
	})
}
