//go:build e2e

package directory_test

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"stint/internal/access"
	"stint/internal/directory"
	"stint/internal/directory/ldaptest"
)

// TestFollowsActiveDirectory: what changes in a real Samba domain is seen by the next
// look at changes, by the numbers that Active Directory gives each change.
func TestFollowsActiveDirectory(t *testing.T) {
	ad := ldaptest.StartSamba(t)
	now := time.Now()
	ad.Do(func(c *ldap.Conn) error {
		r := ldap.NewAddRequest("OU=groups,"+ldaptest.Domain, nil)
		r.Attribute("objectClass", []string{"organizationalUnit"})
		return c.Add(r)
	})
	mira, noor := ad.Person("mira"), ad.Person("noor")
	inner := ad.Group("inner", noor)
	dba := ad.Group("dba", mira, inner)
	ad.Modify(inner, "add", "member", dba) // a circle

	set := directory.Read(ldaptest.SambaAddress, map[string]string{"server": "ad", "users": "CN=Users," + ldaptest.Domain, "groups": "OU=groups," + ldaptest.Domain,
		"userFilter": "(&(objectCategory=person)(objectClass=user)(!(isCriticalSystemObject=TRUE)))", "only": "dba"})
	m := directory.Mirror{Door: directory.Door{Dial: ad.Dial, TLS: ad.TLS}, Now: func() time.Time { return now }}
	who := directory.Login{DN: ldaptest.Administrator, Secret: access.NewSecret([]byte(ldaptest.SambaPassword))}
	read := func(what, want string, whole bool) directory.Picture {
		t.Helper()
		p, all, err := m.Read(t.Context(), set, who, false)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := text(p); got != want || all != whole {
			t.Errorf("%s: %s, want %s; everything was read: %v", what, got, want, all)
		}
		return p
	}
	p := read("at first", "dba(mira noor) mira noor", true)
	if !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(p.Users[0].Subject) {
		t.Errorf("a subject is %q", p.Users[0].Subject)
	}
	read("nothing", "dba(mira noor) mira noor", false)
	ad.Modify(inner, "delete", "member", noor)
	read("gone from a group within", "dba(mira) mira noor", false)
	ad.Modify(mira, "replace", "userAccountControl", "546")
	read("disabled", "-mira dba(mira) noor", false)
	ad.Modify(mira, "replace", "userAccountControl", "544")
	soon := now.Add(time.Hour)
	ad.Modify(mira, "replace", "accountExpires", fmt.Sprint((soon.Unix()+11644473600)*10_000_000))
	read("ends in an hour", "dba(mira) mira noor", false)
	now = soon.Add(time.Second)
	read("the hour is over, and nothing changed", "-mira dba(mira) noor", false)
	ad.Modify(mira, "replace", "accountExpires", "0")
	ad.Do(func(c *ldap.Conn) error {
		return c.ModifyDN(ldap.NewModifyDNRequest(mira, "CN=Mira Smith", true, ""))
	})
	read("renamed, which changes no group", "dba(mira) mira noor", true)
	ad.Do(func(c *ldap.Conn) error { return c.Del(ldap.NewDelRequest(noor, nil)) })
	read("gone", "dba(mira) mira", false)
	ad.Do(func(c *ldap.Conn) error {
		return c.ModifyDN(ldap.NewModifyDNRequest("OU=groups,"+ldaptest.Domain, "OU=all groups", true, ""))
	})
	set.Groups = "OU=all groups," + ldaptest.Domain
	read("what is above groups is renamed", "dba(mira) mira", true)
	dba = "CN=dba,OU=all groups," + ldaptest.Domain

	// More members than Active Directory hands out at once, and more people than a page.
	const many = 1600
	var all []string
	ad.Do(func(c *ldap.Conn) error {
		for i := range many {
			n := fmt.Sprintf("p%04d", i)
			r := ldap.NewAddRequest("CN="+n+",CN=Users,"+ldaptest.Domain, nil)
			r.Attribute("objectClass", []string{"user"})
			r.Attribute("sAMAccountName", []string{n})
			r.Attribute("userAccountControl", []string{"544"})
			if err := c.Add(r); err != nil {
				return err
			}
			all = append(all, r.DN)
		}
		return nil
	})
	ad.Modify(dba, "add", "member", all...)
	began := time.Now()
	p, _, err := m.Read(t.Context(), set, who, true)
	if err != nil || len(p.Users) != many+1 || len(p.Groups) != 1 || len(p.Groups[0].Members) != many+1 {
		t.Fatalf("%d users, %d members, %v", len(p.Users), len(p.Groups[0].Members), err)
	}
	t.Logf("%d users read as a whole in %s", many+1, time.Since(began).Round(time.Millisecond))
	began = time.Now()
	if _, _, err := m.Read(t.Context(), set, who, false); err != nil {
		t.Fatal(err)
	}
	t.Logf("and nothing new seen in %s", time.Since(began).Round(time.Millisecond))
	who.Secret = access.NewSecret([]byte("wrong"))
	if _, _, err := m.Read(t.Context(), set, who, false); access.KindOf(err) != access.Unavailable {
		t.Errorf("a wrong password: %v", err)
	}
}
