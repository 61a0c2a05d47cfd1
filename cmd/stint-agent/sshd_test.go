package main

import (
	"os"
	"path/filepath"
	"testing"

	"stint/internal/access"
)

// TestMayBeHook: what PAM is told to run as root is root's, and a path without surprises.
func TestMayBeHook(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: it makes files of others")
	}
	dir := t.TempDir() // below a sticky folder, or root's own
	file := func(name string, mode os.FileMode, uid int) string {
		path := filepath.Join(dir, name)
		for _, err := range []error{os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600), os.Chmod(path, mode), os.Lchown(path, uid, 0)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	loose := file("loose/agent", 0o755, 0)
	if err := os.Chmod(filepath.Dir(loose), 0o777); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]access.Kind{
		file("agent", 0o755, 0): 0, file("theirs", 0o755, 4711): access.Denied, file("group", 0o775, 0): access.Denied, loose: access.Denied,
		file("two words", 0o755, 0): access.Invalid, dir + "/agent\nauth sufficient pam_permit.so": access.Invalid, dir + "/agent (deleted)": access.Invalid, "stint-agent": access.Invalid,
		dir + "/none": access.Denied,
	} {
		if err := mayBeHook(path); (err == nil) != (want == 0) || err != nil && access.KindOf(err) != want {
			t.Errorf("%q: %v, want kind %v", path, err, want)
		}
	}
}

func TestMayHaveHook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sshd")
	if err := mayHaveHook(path); access.KindOf(err) != access.NotFound {
		t.Errorf("a service without a file: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := mayHaveHook(path); err != nil {
		t.Error(err)
	}
}

// TestMayChange: authorities and principals that are somebody else's are not turned off.
func TestMayChange(t *testing.T) {
	for text, ok := range map[string]bool{
		"usepam yes\ntrustedusercakeys none\nauthorizedprincipalsfile none\n":                             true,
		"trustedusercakeys " + authority + "\nauthorizedprincipalsfile " + sshFolder + "/principals/%u\n": true, // enrolled before
		"trustedusercakeys /etc/ssh/ca.pub\nauthorizedprincipalsfile none\n":                              false,
		"trustedusercakeys none\nauthorizedprincipalsfile .ssh/authorized_principals\n":                   false,
		"trustedusercakeys " + authority + " /etc/ssh/ca.pub\n":                                           false,
		"usepam no\npermitrootlogin no\n":                                                                 true,
	} {
		if err := mayChange(text); (err == nil) != ok || err != nil && access.KindOf(err) != access.Conflict {
			t.Errorf("%q: %v, want good %v", text, err, ok)
		}
	}
}
