package sshcert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/sshcert/lint"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// authority makes one with a fresh key.
func authority(t *testing.T, k Kind) *Authority {
	t.Helper()
	_, key := must2(ed25519.GenerateKey(rand.Reader))
	return must(NewAuthority(k, key))
}

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(err)
	}
	return a, b
}

func keyOf(t *testing.T, public crypto.PublicKey) Key {
	t.Helper()
	p := must(ssh.NewPublicKey(public))
	return must(ParseKey(string(ssh.MarshalAuthorizedKey(p))))
}

// skKey is a key as an authenticator makes it; nobody has the private one.
func skKey(t *testing.T) Key {
	t.Helper()
	b := ssh.Marshal(struct {
		Type string
		Key  []byte
		App  string
	}{"sk-ssh-ed25519@openssh.com", bytes.Repeat([]byte{7}, 32), "ssh:"})
	return must(newKey(b))
}

// good is a spec that a test bends in one line.
func good(t *testing.T) Spec {
	t.Helper()
	public, _ := must2(ed25519.GenerateKey(rand.Reader))
	return Spec{Key: keyOf(t, public), Serial: 4711, KeyID: "stint grant=grt_1 person=mira", Principals: []string{"stint-01j8zq5t3m8w6y2x4v9n7k1b5c_3kq7m9x2c5v8b1n4"},
		NotBefore: noon.Add(-Backdate), NotAfter: noon.Add(20 * time.Minute), Permits: []Permit{PTY}}
}

func TestIssue(t *testing.T) {
	ec := func(c elliptic.Curve) crypto.PublicKey { return must(ecdsa.GenerateKey(c, rand.Reader)).Public() }
	keys := map[string]Key{
		"p256": keyOf(t, ec(elliptic.P256())), "p384": keyOf(t, ec(elliptic.P384())), "p521": keyOf(t, ec(elliptic.P521())),
		"rsa": keyOf(t, must(rsa.GenerateKey(rand.Reader, 3072)).Public()), "ed25519": good(t).Key, "sk": skKey(t),
	}
	_, ed := must2(ed25519.GenerateKey(rand.Reader))
	cas := map[string]crypto.Signer{"ed25519": ed, "p256": must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), "rsa": must(rsa.GenerateKey(rand.Reader, 3072))}
	for name, ca := range cas {
		for kind, key := range keys {
			t.Run(name+" for "+kind, func(t *testing.T) {
				a := must(NewAuthority(User, ca))
				s := good(t)
				s.Key, s.Permits = key, []Permit{PTY, AgentForwarding}
				s.ForceCommand, s.Sources = "/usr/bin/id", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
				c := must(a.Issue(s, rand.Reader))
				shown := keygenShows(t, c)
				for _, want := range []string{"user certificate", "Serial: 4711", `Key ID: "stint grant=grt_1 person=mira"`, s.Principals[0],
					"force-command /usr/bin/id", "source-address 10.0.0.0/8,::1/128", "permit-pty", "permit-agent-forwarding", "from 2026-11-23T11:59:30 to 2026-11-23T12:20:00",
					"Public key: ", s.Key.Fingerprint(), a.Keys()[0].Fingerprint()} {
					if !strings.Contains(shown, want) {
						t.Errorf("ssh-keygen does not show %q in\n%s", want, shown)
					}
				}
				if strings.Contains(shown, "permit-port-forwarding") || strings.Contains(shown, "permit-user-rc") {
					t.Errorf("more than was decided:\n%s", shown)
				}
				got := must(ssh.ParsePublicKey(c.Blob())).(*ssh.Certificate)
				checker := ssh.CertChecker{IsUserAuthority: func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), a.Keys()[0].Blob()) },
					Clock: func() time.Time { return noon }, SupportedCriticalOptions: []string{"force-command", "source-address"}}
				if err := checker.CheckCert(s.Principals[0], got); err != nil {
					t.Errorf("x/crypto refuses it: %v", err)
				}
			})
		}
	}
}

func TestHostCertificate(t *testing.T) {
	a := authority(t, Host)
	s := good(t)
	s.Permits, s.Principals, s.NotAfter = nil, []string{"web1", "web1.example.com", "10.0.0.7", "fe80::1"}, noon.Add(24*time.Hour)
	shown := keygenShows(t, must(a.Issue(s, rand.Reader)))
	for _, want := range []string{"host certificate", "web1.example.com", "fe80::1", "Extensions: (none)", "Critical Options: (none)"} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
	lines := a.KnownHosts("*")
	if len(lines) != 1 || lines[0] != "@cert-authority * "+a.Keys()[0].Line() {
		t.Errorf("known hosts %q", lines)
	}
}

func TestRefuses(t *testing.T) {
	user, host := authority(t, User), authority(t, Host)
	for _, c := range []struct {
		name string
		by   *Authority
		bend func(*Spec)
		want string
	}{
		{"no principals", user, func(s *Spec) { s.Principals = nil }, "every account"},
		{"an empty principal", user, func(s *Spec) { s.Principals = []string{""} }, "no name"},
		{"a wildcard", user, func(s *Spec) { s.Principals = []string{"*"} }, "no name"},
		{"a pattern", user, func(s *Spec) { s.Principals = []string{"web?"} }, "no name"},
		{"two in one", user, func(s *Spec) { s.Principals = []string{"root,mira"} }, "no name"},
		{"a space", user, func(s *Spec) { s.Principals = []string{"mira root"} }, "no name"},
		{"a tab", user, func(s *Spec) { s.Principals = []string{"mira\troot"} }, "no name"},
		{"a newline", user, func(s *Spec) { s.Principals = []string{"mira\nroot"} }, "no name"},
		{"a NUL", user, func(s *Spec) { s.Principals = []string{"mira\x00"} }, "no name"},
		{"another alphabet", user, func(s *Spec) { s.Principals = []string{"mіra"} }, "no name"},
		{"an option", user, func(s *Spec) { s.Principals = []string{"-oProxyCommand"} }, "no name"},
		{"a negation", user, func(s *Spec) { s.Principals = []string{"!root"} }, "no name"},
		{"a long principal", user, func(s *Spec) { s.Principals = []string{strings.Repeat("a", 256)} }, "no name"},
		{"one twice", user, func(s *Spec) { s.Principals = []string{"a", "a"} }, "twice"},
		{"many", user, func(s *Spec) { s.Principals = slices.Repeat([]string{"a"}, 65) }, "at most 64"},
		{"no serial", user, func(s *Spec) { s.Serial = 0 }, "not zero"},
		{"no key id", user, func(s *Spec) { s.KeyID = "" }, "key id"},
		{"a newline in the key id", user, func(s *Spec) { s.KeyID = "x\nAccepted publickey for root" }, "key id"},
		{"an escape in the key id", user, func(s *Spec) { s.KeyID = "x\x1b]0;" }, "key id"},
		{"no end", user, func(s *Spec) { s.NotAfter = time.Time{} }, "before 1970"},
		{"an end before its beginning", user, func(s *Spec) { s.NotAfter = s.NotBefore.Add(-time.Second) }, "ends before"},
		{"no length", user, func(s *Spec) { s.NotAfter = s.NotBefore }, "ends before"},
		{"a long life", user, func(s *Spec) { s.NotAfter = noon.Add(2 * time.Hour) }, "lives for"},
		{"a very long life", user, func(s *Spec) { s.NotAfter = time.Date(292277026596, 1, 1, 0, 0, 0, 0, time.UTC) }, "lives for"},
		{"a long life of a host", host, func(s *Spec) { s.Permits, s.NotAfter = nil, noon.AddDate(1, 0, 0) }, "lives for"},
		{"no beginning", user, func(s *Spec) { s.NotBefore = time.Time{} }, "before 1970"},
		{"a permit nobody knows", user, func(s *Spec) { s.Permits = []Permit{"permit-everything"} }, "not known"},
		{"no touch", user, func(s *Spec) { s.Permits = []Permit{"no-touch-required"} }, "not known"},
		{"a permit of a host", host, func(*Spec) {}, "a host's certificate has none"},
		{"a command of a host", host, func(s *Spec) { s.Permits, s.ForceCommand = nil, "id" }, "a host's certificate has none"},
		{"a command with a newline", user, func(s *Spec) { s.ForceCommand = "id\nid" }, "control"},
		{"a source with bits after its prefix", user, func(s *Spec) { s.Sources = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")} }, "after its prefix"},
		{"no source", user, func(s *Spec) { s.Sources = []netip.Prefix{{}} }, "no address"},
		{"no key", user, func(s *Spec) { s.Key = Key{} }, "no key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := good(t)
			c.bend(&s)
			_, err := c.by.Issue(s, rand.Reader)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestLintRefuses bends whole certificates that are otherwise right and rightly signed.
func TestLintRefuses(t *testing.T) {
	_, ca := must2(ed25519.GenerateKey(rand.Reader))
	_, other := must2(ed25519.GenerateKey(rand.Reader))
	a := must(NewAuthority(User, ca))
	signer := must(ssh.NewSignerFromSigner(ca))
	for _, c := range []struct {
		name string
		bend func(*ssh.Certificate)
		by   ssh.Signer
		want string
	}{
		{"nothing", func(*ssh.Certificate) {}, signer, ""},
		{"another key", func(x *ssh.Certificate) { x.Key = signer.PublicKey() }, signer, "another one than the one to certify"},
		{"another serial", func(x *ssh.Certificate) { x.Serial++ }, signer, "serial"},
		{"of a host", func(x *ssh.Certificate) { x.CertType = ssh.HostCert }, signer, "type"},
		{"of no kind", func(x *ssh.Certificate) { x.CertType = 3 }, signer, "kind 3"},
		{"one more principal", func(x *ssh.Certificate) { x.ValidPrincipals = append(x.ValidPrincipals, "root") }, signer, "others than were decided"},
		{"no principals", func(x *ssh.Certificate) { x.ValidPrincipals = nil }, signer, "every account"},
		{"no end", func(x *ssh.Certificate) { x.ValidBefore = ssh.CertTimeInfinity }, signer, "no end"},
		{"a negative end", func(x *ssh.Certificate) { x.ValidBefore = 1 << 63 }, signer, "no end"},
		{"a second more", func(x *ssh.Certificate) { x.ValidBefore++ }, signer, "is after"},
		{"a second earlier", func(x *ssh.Certificate) { x.ValidAfter-- }, signer, "is before"},
		{"always", func(x *ssh.Certificate) { x.ValidAfter = 0 }, signer, "at no time"},
		{"an option nobody knows", func(x *ssh.Certificate) { x.CriticalOptions = map[string]string{"x@example.com": "1"} }, signer, "not known"},
		{"a source that is none", func(x *ssh.Certificate) { x.CriticalOptions = map[string]string{"source-address": "10.0.0.0/33"} }, signer, "no address"},
		{"verify-required of a key in a file", func(x *ssh.Certificate) { x.CriticalOptions = map[string]string{"verify-required": ""} }, signer, "no sk- key"},
		{"one more extension", func(x *ssh.Certificate) { x.Extensions["permit-user-rc"] = "" }, signer, "others than were decided"},
		{"one with a value", func(x *ssh.Certificate) { x.Extensions["permit-pty"] = "1" }, signer, "has a value"},
		{"something reserved", func(x *ssh.Certificate) { x.Reserved = []byte("x") }, signer, "reserved"},
		{"another authority", func(*ssh.Certificate) {}, must(ssh.NewSignerFromSigner(other)), "another one than the authority's"},
		{"a certificate that certifies", func(*ssh.Certificate) {}, nestedSigner(t, signer), "it is a certificate and not a key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := good(t)
			x := &ssh.Certificate{Key: s.Key.public, Serial: s.Serial, CertType: ssh.UserCert, KeyId: s.KeyID, ValidPrincipals: s.Principals,
				ValidAfter: uint64(s.NotBefore.Unix()), ValidBefore: uint64(s.NotAfter.Unix()), Permissions: ssh.Permissions{Extensions: s.extensions()}}
			c.bend(x)
			signAs(t, x, c.by)
			err := lint.Signed(x.Marshal(), s.want(User, a.keys[0].blob, a.maxLife))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// signAs signs by hand: the library refuses some of what is tried here.
func signAs(t *testing.T, x *ssh.Certificate, by ssh.Signer) {
	t.Helper()
	x.Nonce, x.SignatureKey, x.Signature = bytes.Repeat([]byte{5}, 32), by.PublicKey(), nil
	whole := x.Marshal()
	x.Signature = must(by.Sign(rand.Reader, whole[:len(whole)-4]))
}

// nestedSigner signs as a certificate, which SSH has no chains for.
func nestedSigner(t *testing.T, by ssh.Signer) ssh.Signer {
	t.Helper()
	_, key := must2(ed25519.GenerateKey(rand.Reader))
	plain := must(ssh.NewSignerFromSigner(key))
	c := &ssh.Certificate{Key: plain.PublicKey(), Serial: 1, CertType: ssh.UserCert, ValidPrincipals: []string{"x"}, ValidBefore: ssh.CertTimeInfinity}
	if err := c.SignCert(rand.Reader, by); err != nil {
		t.Fatal(err)
	}
	return must(ssh.NewCertSigner(c, plain))
}

// TestSignatures swaps and breaks the signature of a certificate.
func TestSignatures(t *testing.T) {
	a := authority(t, User)
	s, s2 := good(t), good(t)
	s2.Serial++
	one, two := must(a.Issue(s, rand.Reader)), must(a.Issue(s2, rand.Reader))
	want := s.want(User, a.keys[0].blob, a.maxLife)
	if err := lint.Signed(one.Blob(), want); err != nil {
		t.Fatal(err)
	}
	cert := func(b []byte) *ssh.Certificate { return must(ssh.ParsePublicKey(b)).(*ssh.Certificate) }
	swapped := cert(one.Blob())
	swapped.Signature = cert(two.Blob()).Signature
	format := cert(one.Blob())
	format.Signature.Format = "ssh-rsa"
	for name, b := range map[string][]byte{"of another certificate": swapped.Marshal(), "by another algorithm": format.Marshal(),
		"cut off": one.Blob()[:len(one.Blob())-1], "longer": append(one.Blob(), 0), "none": one.Blob()[:len(one.Blob())-87]} {
		if err := lint.Signed(b, want); err == nil {
			t.Errorf("a signature %s passes", name)
		}
	}
	for i := range one.Blob() { // not one bit may differ
		b := one.Blob()
		b[i] ^= 1
		if lint.Signed(b, want) == nil {
			t.Fatalf("with byte %d of %d changed it passes", i, len(b))
		}
	}
	if err := lint.Signed(one.Blob(), lint.Want{}); err == nil {
		t.Error("the zero Want lets a certificate pass")
	}
}

func TestParseKey(t *testing.T) {
	line := good(t).Key.Line()
	blob := good(t).Key.Blob()
	a := authority(t, User)
	small := must(ssh.NewPublicKey(&rsa.PublicKey{N: must(rsa.GenerateKey(rand.Reader, 2048)).N, E: 65537}))
	off := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)).PublicKey
	offCurve := ssh.Marshal(struct {
		T, C string
		P    []byte
	}{"ecdsa-sha2-nistp256", "nistp256", append([]byte{4}, bytes.Repeat([]byte{9}, 64)...)})
	_ = off
	for name, text := range map[string]string{"": line, "with a comment": line + " mira@laptop", "with a newline": line + "\n"} {
		if _, err := ParseKey(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	b64 := base64.StdEncoding.EncodeToString
	for name, text := range map[string]string{
		"nothing": "", "a word": "key", "options": `command="id" ` + line, "two lines": line + "\n" + line,
		"a private key": "-----BEGIN OPENSSH PRIVATE KEY-----", "another type": "ssh-rsa " + b64(blob), "more bytes": "ssh-ed25519 " + b64(append(slices.Clone(blob), 0)),
		"fewer bytes": "ssh-ed25519 " + b64(blob[:len(blob)-1]), "a certificate": must(a.Issue(good(t), rand.Reader)).Line(), "small RSA": string(ssh.MarshalAuthorizedKey(small)),
		"DSA": "ssh-dss " + b64(ssh.Marshal(struct{ T string }{"ssh-dss"})), "off the curve": "ecdsa-sha2-nistp256 " + b64(offCurve), "long": line + strings.Repeat(" x", 4096),
	} {
		if k, err := ParseKey(text); err == nil {
			t.Errorf("%s: taken as %s", name, k.Line())
		}
	}
}

// TestKeygenAgrees lints what ssh-keygen signs: right, and wrong in each way it can.
func TestKeygenAgrees(t *testing.T) {
	dir := t.TempDir()
	run(t, dir, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "ca")
	run(t, dir, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "id")
	ca := must(ParseKey(string(must(os.ReadFile(filepath.Join(dir, "ca.pub"))))))
	id := must(ParseKey(string(must(os.ReadFile(filepath.Join(dir, "id.pub"))))))
	want := lint.Want{Kind: User, Authority: ca.Blob(), Key: id.Blob(), Serial: 7, KeyID: "k", Principals: []string{"stint-x"},
		Critical: []lint.Option{{Name: "source-address", Value: "127.0.0.0/8"}}, Extensions: []lint.Option{{Name: "permit-pty"}},
		NotBefore: noon, NotAfter: noon.Add(time.Minute), MaxLife: time.Hour}
	base := []string{"-q", "-s", "ca", "-O", "clear", "-O", "permit-pty", "-O", "source-address=127.0.0.0/8"}
	usual := []string{"-z", "7", "-I", "k", "-n", "stint-x", "-V", "20261123120000Z:20261123120100Z"}
	for _, c := range []struct {
		name string
		args []string
		ok   bool
	}{
		{"as decided", usual, true},
		{"no principals", []string{"-z", "7", "-I", "k", "-V", "20261123120000Z:20261123120100Z"}, false},
		{"wildcard", append(slices.Clone(usual), "-n", "*"), false},
		{"for ever", append(slices.Clone(usual), "-V", "always:forever"), false},
		{"no serial", append(slices.Clone(usual), "-z", "0"), false},
		{"of a host", append(slices.Clone(usual), "-h"), false},
		{"one more", append(slices.Clone(usual), "-O", "permit-agent-forwarding"), false},
		{"a command", append(slices.Clone(usual), "-O", "force-command=id"), false},
		{"unknown", append(slices.Clone(usual), "-O", "critical:x@example.com=1"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append(append(slices.Clone(base), c.args...), "id.pub")
			if c.name == "of a host" {
				args = append([]string{"-q", "-s", "ca"}, append(c.args, "id.pub")...)
			}
			run(t, dir, "ssh-keygen", args...)
			fields := strings.Fields(string(must(os.ReadFile(filepath.Join(dir, "id-cert.pub")))))
			err := lint.Signed(must(base64.StdEncoding.DecodeString(fields[1])), want)
			if c.ok != (err == nil) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestRotation trusts the old key on and signs with the new one.
func TestRotation(t *testing.T) {
	oldPublic, oldKey := must2(ed25519.GenerateKey(rand.Reader))
	_, newKey := must2(ed25519.GenerateKey(rand.Reader))
	before, after := must(NewAuthority(User, oldKey)), must(NewAuthority(User, newKey, oldPublic))
	if ks := after.Keys(); len(ks) != 2 || ks[1].Line() != before.Keys()[0].Line() || ks[0].Line() == ks[1].Line() {
		t.Errorf("keys %v", ks)
	}
	c := must(ssh.ParsePublicKey(must(after.Issue(good(t), rand.Reader)).Blob())).(*ssh.Certificate)
	if !bytes.Equal(c.SignatureKey.Marshal(), after.Keys()[0].Blob()) {
		t.Error("signed by the old key")
	}
	if lines := after.KnownHosts("*"); len(lines) != 2 {
		t.Errorf("known hosts %q", lines)
	}
}

// A module that fails, or signs something else, gives no certificate.
func TestSignerFails(t *testing.T) {
	_, key := must2(ed25519.GenerateKey(rand.Reader))
	for name, s := range map[string]crypto.Signer{"fails": bent{key, func([]byte) ([]byte, error) { return nil, errors.New("the module is gone") }},
		"signs something else": bent{key, func([]byte) ([]byte, error) { return ed25519.Sign(key, []byte("else")), nil }}} {
		if _, err := must(NewAuthority(User, s)).Issue(good(t), rand.Reader); err == nil {
			t.Errorf("a signer that %s gives a certificate", name)
		}
	}
}

type bent struct {
	ed25519.PrivateKey
	sign func([]byte) ([]byte, error)
}

func (b bent) Sign(_ io.Reader, msg []byte, _ crypto.SignerOpts) ([]byte, error) {
	return b.sign(msg)
}

func FuzzParseKey(f *testing.F) {
	public, _ := must2(ed25519.GenerateKey(rand.Reader))
	f.Add(string(ssh.MarshalAuthorizedKey(must(ssh.NewPublicKey(public)))))
	f.Add("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ==")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseKey(text)
		if err != nil {
			return
		}
		again, err := ParseKey(k.Line())
		if err != nil || !bytes.Equal(again.blob, k.blob) || !bytes.Equal(must(ssh.ParsePublicKey(k.blob)).Marshal(), k.blob) {
			t.Errorf("%q: read again as %v, %v", text, again, err)
		}
	})
}

// FuzzSigned: what passes is what x/crypto reads too, and says what was wanted.
func FuzzSigned(f *testing.F) {
	_, key := must2(ed25519.GenerateKey(rand.Reader))
	a := must(NewAuthority(User, key))
	public, _ := must2(ed25519.GenerateKey(rand.Reader))
	s := Spec{Key: must(ParseKey(string(ssh.MarshalAuthorizedKey(must(ssh.NewPublicKey(public)))))), Serial: 1, KeyID: "k", Principals: []string{"p"}, NotBefore: noon, NotAfter: noon.Add(time.Minute)}
	f.Add(must(a.Issue(s, rand.Reader)).Blob())
	want := s.want(User, a.keys[0].blob, a.maxLife)
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = lint.Key(b)
		if lint.Signed(b, want) != nil {
			return
		}
		c, err := ssh.ParsePublicKey(b)
		if err != nil || c.(*ssh.Certificate).ValidPrincipals[0] != "p" {
			t.Errorf("passes lint, and x/crypto says %v", err)
		}
	})
}

func BenchmarkIssue(b *testing.B) {
	_, key := must2(ed25519.GenerateKey(rand.Reader))
	a := must(NewAuthority(User, key))
	public, _ := must2(ed25519.GenerateKey(rand.Reader))
	s := Spec{Key: must(ParseKey(string(ssh.MarshalAuthorizedKey(must(ssh.NewPublicKey(public)))))), Serial: 1, KeyID: "k", Principals: []string{"p"}, NotBefore: noon, NotAfter: noon.Add(time.Minute)}
	b.Run("certificate", func(b *testing.B) {
		for b.Loop() {
			if _, err := a.Issue(s, rand.Reader); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("raw signature", func(b *testing.B) {
		msg := make([]byte, 300)
		for b.Loop() {
			ed25519.Sign(key, msg)
		}
	})
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v (Debian: apt install openssh-client)\n%s", name, args, err, out)
	}
	return string(out)
}

func keygenShows(t *testing.T, c Certificate) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "c"), []byte(c.Line()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return run(t, dir, "ssh-keygen", "-L", "-f", "c")
}
