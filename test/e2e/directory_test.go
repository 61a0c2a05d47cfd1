//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/internal/directory/ldaptest"
	"stint/test/stage"
)

// TestDirectoryByThePage follows docs/identity/directory.md with a real OpenLDAP: people come
// and go there, and with them what they hold on a real target, measured; a directory that is
// down or says that most are gone takes nothing from anybody.
func TestDirectoryByThePage(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	ldap := ldaptest.Start(t)
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: set.Store, Config: "egress: {allow: [127.0.0.1/32], ca: " + ldap.CAFile + "}\n"})
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of stintd's log:\n" + s.LogTail(40))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	must(t, s.Credential(ctx, "orders-connector"))
	must(t, s.Documents(ctx, documents))
	root := s.As("root")
	var people []string
	for i := range 20 {
		people = append(people, ldap.Person(fmt.Sprintf("p%02d", i)))
	}
	lena := ldap.Person("lena")
	platform := ldap.Group("platform", append([]string{lena}, people...)...)

	page := readPage(t, "../../docs/identity/directory.md", map[string]string{"ldaps://ldap.corp.example": ldap.Secure,
		"ou=people,dc=corp,dc=example": ldaptest.People, "ou=groups,dc=corp,dc=example": ldaptest.Groups, "cn=stint,ou=services,dc=corp,dc=example": ldaptest.AdminDN})
	must(t, os.WriteFile(filepath.Join(s.Dir, "corp-ldap.yaml"), []byte(page.files["corp-ldap.yaml"]), 0o600))
	must(t, os.WriteFile(filepath.Join(s.Dir, "ldap.password"), []byte(ldaptest.Password+"\n"), 0o600))
	did := 0
	for _, line := range page.commands {
		if args := strings.Fields(line); strings.HasPrefix(line, "stint ") && strings.Contains(line, "corp-ldap") && !strings.Contains(line, "--confirm") && !strings.Contains(line, "user link") {
			must(t, root.Run(ctx, args[1:]...).Failed())
			did++
		}
	}
	if did < 4 {
		t.Fatalf("the page has %d commands about corp-ldap", did)
	}
	show := func() (d api.Directory) {
		t.Helper()
		must(t, root.JSON(ctx, &d, "admin", "directory", "show", "corp-ldap"))
		return d
	}
	if d := show(); d.Users != 21 || d.Groups != 1 || len(d.Problems) > 0 {
		t.Fatalf("the directory: %+v", d)
	}
	var found api.DirectoryTested
	must(t, root.JSON(ctx, &found, "admin", "directory", "test", "corp-ldap", "--user", "lena"))
	if len(found.Found) != 1 || !found.Found[0].Active || !slices.Equal(found.Found[0].Groups, []string{"platform"}) {
		t.Errorf("lena is %+v", found)
	}

	o, err := s.Oracle()
	must(t, err)
	t.Cleanup(func() { _ = o.Close() })
	enrol := func() {
		t.Helper()
		var added struct {
			Token string `json:"enroll_token"`
		}
		must(t, root.JSON(ctx, &added, "admin", "user", "enroll", "lena"))
		f := filepath.Join(t.TempDir(), "code")
		must(t, os.WriteFile(f, []byte(added.Token), 0o600))
		until(t, "signing in", func() (bool, error) {
			r := s.As("lena").Run(ctx, "login", "--enroll-token-file", f)
			return !strings.Contains(r.Err, "too-many-calls"), func() error {
				if strings.Contains(r.Err, "too-many-calls") {
					return nil
				}
				return r.Failed()
			}()
		})
	}
	ask := func() api.Request {
		t.Helper()
		var r api.Request
		must(t, s.As("lena").JSON(ctx, &r, "request", "orders-db", "--as", "reader", "--for", "10m", "--why", "look at the stuck orders"))
		return r
	}
	mayAsk := func() {
		t.Helper()
		until(t, "lena may ask", func() (bool, error) {
			if s.As("lena").Run(ctx, "request", "orders-db", "--as", "reader", "--for", "10m", "--why", "look at the stuck orders", "--dry-run").Code == 0 {
				return true, nil
			}
			time.Sleep(300 * time.Millisecond) // there is a limit of calls
			return false, nil
		})
	}
	member := func(op string) { ldap.Modify(platform, op, "member", lena) }
	var took []time.Duration
	enrol()
	const rounds = 8
	for i := range rounds {
		mayAsk()
		ask()
		time.Sleep(time.Duration(i) * 600 * time.Millisecond) // all phases of the interval
		began := time.Now()
		leave, back := func() { member("delete") }, func() { member("add") }
		if i%2 == 1 {
			leave = func() { ldap.Modify(lena, "replace", "pwdAccountLockedTime", "000001010000Z") }
			back = func() {
				ldap.Modify(lena, "replace", "pwdAccountLockedTime")
				until(t, "lena is back", func() (bool, error) {
					var u api.User
					err := root.JSON(ctx, &u, "get", "user", "lena")
					return !u.Disabled, err
				})
				enrol()
			}
		}
		leave()
		must(t, o.Clean(ctx, leavesWithin+30*time.Second))
		took = append(took, time.Since(began))
		back()
	}
	slices.Sort(took)
	t.Logf("gone in the directory, gone on the target: p50 %s, at most %s, of %d; read every 5 s", took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond), len(took))
	if took[len(took)-1] > leavesWithin {
		t.Errorf("it took %s, more than %s", took[len(took)-1], leavesWithin)
	}

	// A directory that is down, or has lost most of its people, takes nothing away.
	mayAsk()
	r := ask()
	ldap.Down()
	until(t, "it is noticed that the directory is down", func() (bool, error) { return show().Trouble != "", nil })
	ldap.Up()
	until(t, "it is noticed that it is back", func() (bool, error) { return show().Trouble == "", nil })
	ldap.Delete(append([]string{lena}, people[:15]...)...)
	until(t, "it is noticed that most are gone", func() (bool, error) { return show().Held != nil, nil })
	d := show()
	if d.Held.Gone < 16 || d.Users != 21 {
		t.Errorf("held: %+v", d)
	}
	var now api.Request
	must(t, s.As("lena").JSON(ctx, &now, "status", r.ID))
	if now.Grant == nil || now.Grant.State != api.GrantActive {
		t.Errorf("who is one of many that are gone lost %+v", now.Grant)
	}
	if r := root.Run(ctx, "admin", "directory", "sync", "corp-ldap", "--confirm", "0000000000000000"); r.Code == 0 {
		t.Error("another number confirms it")
	}
	began := time.Now()
	must(t, root.Run(ctx, "admin", "directory", "sync", "corp-ldap", "--confirm", d.Held.Confirm).Failed())
	must(t, o.Clean(ctx, leavesWithin))
	t.Logf("confirmed: gone after %s", time.Since(began).Round(time.Millisecond))
	if d := show(); d.Held != nil || d.Users != 5 {
		t.Errorf("after it was confirmed: %+v", d)
	}
}
