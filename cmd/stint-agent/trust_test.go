package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"stint/internal/access"
)

// TestReadEffective: the keys that can have a certificate, Ed25519 first, and where sshd's
// number is.
func TestReadEffective(t *testing.T) {
	files := map[string]string{"/k/rsa.pub": "ssh-rsa AAAA root@web1\n", "/k/ec.pub": "ecdsa-sha2-nistp256 BBBB\n", "/k/ed.pub": "ssh-ed25519 CCCC root@web1\n", "/k/empty.pub": "\n"}
	read := func(path string) ([]byte, error) {
		if text, ok := files[path]; ok {
			return []byte(text), nil
		}
		return nil, fs.ErrNotExist
	}
	said := "port 22\npidfile /run/sshd.pid\nhostkey /k/rsa\nhostkey /k/ec\nhostkey /k/ed\nhostkey /k/none\nhostkey /k/empty\n"
	d, err := readEffective(said, read)
	if err != nil || d.pid != "/run/sshd.pid" || len(d.keys) != 2 || d.keys[0] != (shown{"/k/ed", "ssh-ed25519 CCCC"}) || d.keys[1].line != "ecdsa-sha2-nistp256 BBBB" {
		t.Errorf("%+v, %v", d, err)
	}
	if at := d.keys[0].certificate(); at != sshFolder+"/ed-cert.pub" {
		t.Errorf("its certificate is at %s", at)
	}
	if _, err := readEffective("hostkey /k/rsa\npidfile none\n", read); access.KindOf(err) != access.NotFound {
		t.Errorf("RSA alone: %v", err)
	}
	ask := d.ask()
	if len(ask.SSHKeys) != 2 || len(ask.Nonce) != 32 || ask.Nonce == d.ask().Nonce {
		t.Errorf("%+v", ask)
	}
}

// TestHangUp: nothing but sshd is told to read its settings again, and it is said when
// nobody could be.
func TestHangUp(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "pid")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		file string
		good bool
	}{
		"no sshd runs":    {filepath.Join(t.TempDir(), "none"), true},
		"it has ended":    {file("4194305\n"), true}, // above every number there is
		"it writes none":  {"", false},
		"no number":       {file("one\n"), false},
		"the first there": {file("1\n"), false},
		"another program": {file(fmt.Sprintln(os.Getpid())), false}, // which SIGHUP would end
	} {
		if err := hangUp(c.file); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSaidOfCertificates: sshd only speaks of a certificate that it cannot use.
func TestSaidOfCertificates(t *testing.T) {
	said := "No matching private key for certificate: " + sshFolder + "/ed-cert.pub\nCould not load host certificate \"/etc/ssh/theirs-cert.pub\"\n"
	if got := certificates(said); len(got) != 1 {
		t.Errorf("%q", got)
	}
}
