package vault

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
)

func pemOf(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// TestGiven: what cannot open an account of its kind is refused, and no error says any
// of it.
func TestGiven(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(ed, "canary")
	if err != nil {
		t.Fatal(err)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(ed, "canary", []byte("canary"))
	if err != nil {
		t.Fatal(err)
	}
	open := string(pem.EncodeToMemory(block))
	for name, c := range map[string]struct {
		kind Kind
		text string
		why  string // empty: it is taken
	}{
		"OpenSSH":           {Key, open, ""},
		"PKCS 8":            {Key, pemOf(t, ed), ""},
		"without an end":    {Key, strings.TrimSpace(pemOf(t, ec)), ""},
		"RSA":               {Key, pemOf(t, long), ""},
		"PKCS 1":            {Key, string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(long)})), ""},
		"locked":            {Key, string(pem.EncodeToMemory(locked)), "passphrase"},
		"two":               {Key, open + open, "more than one"},
		"words before":      {Key, "canary\n" + open, "does not begin"},
		"words after":       {Key, open + "canary", "more than one"},
		"a public key":      {Key, "ssh-ed25519 canary", "does not begin"},
		"a certificate":     {Key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("canary")})), "no private key"},
		"a broken key":      {Key, string(pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte("canary")})), "no private key"},
		"half a key":        {Key, open[:len(open)/2], "no PEM"},
		"a password":        {Key, "canary", "does not begin"},
		"no key":            {Key, "", "empty"},
		"a long key":        {Key, "-----BEGIN " + strings.Repeat("x", MaxKey), "longer"},
		"a NUL in a key":    {Key, open + "\x00", "NUL"},
		"a token":           {Token, "tok_canary", ""},
		"a long token":      {Token, strings.Repeat("x", MaxSecret), "longer"},
		"two lines":         {Token, "canary\nx", "more than one line"},
		"a key as a token":  {Token, open, "more than one line"},
		"a password of two": {Password, "canary\rx", "more than one line"},
	} {
		_, _, err := Given(c.kind, access.NewSecret([]byte(c.text)), time.Now())
		if c.why == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !errors.Is(err, access.Invalid) || !strings.Contains(err.Error(), c.why) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, want %s", name, err, c.why)
		}
	}
	if g, _, err := Given(Token, access.NewSecret([]byte("x")), time.Now()); err != nil || string(g.Reveal()) != access.GivenToken+"x" {
		t.Errorf("a token that was brought is kept as %s, %v", g.Reveal(), err)
	}
}

func FuzzCheckKey(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, _, err := Given(Key, access.NewSecret(bytes.Clone(text)), time.Now()); err == nil {
			if _, err := ssh.ParsePrivateKey(text); err != nil {
				t.Errorf("took what is no key: %v", err)
			}
		}
	})
}
