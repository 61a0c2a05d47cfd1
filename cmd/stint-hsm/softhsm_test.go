//go:build cgo

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"stint/internal/hsm/wire"
)

const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

// newSoftHSM makes a token in software, with the PIN 5678.
func newSoftHSM(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "conf")
	for _, err := range []error{os.Mkdir(filepath.Join(dir, "tokens"), 0o700),
		os.WriteFile(conf, []byte("directories.tokendir = "+dir+"/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"), 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	if out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", "stint", "--so-pin", "12345678", "--pin", "5678").CombinedOutput(); err != nil {
		t.Fatalf("softhsm2-util (apt-get install softhsm2): %v\n%s", err, out)
	}
}

func failure(err error) string {
	var f *wire.Failure
	if errors.As(err, &f) {
		return f.Code
	}
	return ""
}

// TestSoftHSM makes keys in a real token, signs with them, and refuses those that were, or
// could be, outside of it.
func TestSoftHSM(t *testing.T) {
	newSoftHSM(t)
	if _, err := open(softHSM, "another", []byte("5678")); failure(err) != wire.NoToken {
		t.Errorf("another label: %v", err)
	}
	if _, err := open(softHSM, "stint", []byte("9999")); failure(err) != wire.BadPIN {
		t.Errorf("another PIN: %v", err)
	}
	if _, err := open("/etc/passwd", "stint", []byte("5678")); failure(err) != wire.Module {
		t.Errorf("no module: %v", err)
	}
	tok, err := open(softHSM, "stint", []byte("5678"))
	if err != nil {
		t.Fatal(err)
	}
	h := tok.(*held)
	defer h.close()
	hash := sha256.Sum256([]byte("text"))
	made := map[wire.Algorithm]wire.Key{}
	for label, alg := range map[string]wire.Algorithm{"stint-a": "", "stint-b": wire.P256} {
		k, err := h.Generate(label, alg)
		if err != nil {
			t.Fatal(err)
		}
		made[k.Algorithm] = k
		if _, err := h.Generate(label, alg); failure(err) != wire.Question {
			t.Errorf("the label again: %v", err)
		}
		sig, err := h.Sign(k, hash[:])
		if err != nil || len(sig) != 64 {
			t.Fatalf("%s: %x, %v", label, sig, err)
		}
		public, err := k.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		switch p := public.(type) {
		case ed25519.PublicKey:
			if !ed25519.Verify(p, hash[:], sig) {
				t.Error("a wrong signature")
			}
		case *ecdsa.PublicKey:
			if !ecdsa.Verify(p, hash[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
				t.Error("a wrong signature")
			}
		}
		other := k
		other.ID = []byte("another")
		if _, err := h.Sign(other, hash[:]); failure(err) != wire.NoKey {
			t.Errorf("its label, and another id: %v", err)
		}
	}
	if len(made) != 2 {
		t.Errorf("without a wish it made %v", made)
	}
	if ks, err := h.Keys("stint-"); err != nil || len(ks) != 2 || ks[0].Label != "stint-a" || !ks[0].Equal(made[wire.Ed25519]) {
		t.Errorf("%v, %v", ks, err)
	}
	if ks, err := h.Keys("none-"); err != nil || len(ks) != 0 {
		t.Errorf("%v, %v", ks, err)
	}
	// Keys by another program: one that came from outside, and one that can be taken out.
	dir := t.TempDir()
	pem := filepath.Join(dir, "key.pem")
	for _, args := range [][]string{
		{"openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", pem},
		{"softhsm2-util", "--import", pem, "--token", "stint", "--label", "stint-outside", "--id", "0a", "--pin", "5678"},
		{"pkcs11-tool", "--module", softHSM, "--token-label", "stint", "--login", "--pin", "5678", "--keypairgen", "--key-type", "EC:prime256v1", "--label", "stint-loose", "--id", "0b", "--extractable"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args, err, out)
		}
	}
	ks, err := h.Keys("stint-")
	if err != nil || len(ks) != 4 {
		t.Fatalf("%v, %v", ks, err)
	}
	for _, k := range ks[2:] {
		if _, err := h.Sign(k, hash[:]); failure(err) != wire.Unsound {
			t.Errorf("%s signs: %v", k.Label, err)
		}
	}
}

// TestSoftHSMEncrypts: a secret key of a real token opens what it sealed with the same
// words, and nothing else; one that came from outside is not used.
func TestSoftHSMEncrypts(t *testing.T) {
	newSoftHSM(t)
	tok, err := open(softHSM, "stint", []byte("5678"))
	if err != nil {
		t.Fatal(err)
	}
	h := tok.(*held)
	defer h.close()
	if _, err := h.Encrypt("stint-seal", nil, []byte("text")); failure(err) != wire.NoKey {
		t.Errorf("without a key: %v", err)
	}
	for _, label := range []string{"stint-seal", "stint-other"} {
		if err := h.GenerateSecret(label); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.GenerateSecret("stint-seal"); failure(err) != wire.Question {
		t.Errorf("the label again: %v", err)
	}
	key := bytes.Repeat([]byte{7}, 32)
	sealed, err := h.Encrypt("stint-seal", []byte("about"), bytes.Clone(key))
	if err != nil || len(sealed) != nonceSize+len(key)+tagSize || bytes.Contains(sealed, key) {
		t.Fatalf("%x, %v", sealed, err)
	}
	if got, err := h.Decrypt("stint-seal", []byte("about"), sealed); err != nil || !bytes.Equal(got, key) {
		t.Errorf("%x, %v", got, err)
	}
	bent := bytes.Clone(sealed)
	bent[nonceSize] ^= 1
	for name, c := range map[string]struct {
		label  string
		about  string
		sealed []byte
	}{
		"another key": {"stint-other", "about", sealed}, "other words": {"stint-seal", "abouT", sealed},
		"bent": {"stint-seal", "about", bent}, "cut": {"stint-seal", "about", sealed[:len(sealed)-1]}, "nothing": {"stint-seal", "about", nil},
	} {
		if got, err := h.Decrypt(c.label, []byte(c.about), c.sealed); err == nil {
			t.Errorf("%s: %x", name, got)
		}
		// After a failure stintd starts the program anew; so does this test.
		h.close()
		tok, err := open(softHSM, "stint", []byte("5678"))
		if err != nil {
			t.Fatal(err)
		}
		h = tok.(*held)
	}
	if out, err := exec.Command("pkcs11-tool", "--module", softHSM, "--token-label", "stint", "--login", "--pin", "5678", "--keygen", "--key-type", "AES:32", "--label", "stint-loose", "--id", "0c", "--extractable").CombinedOutput(); err != nil {
		t.Fatalf("pkcs11-tool: %v\n%s", err, out)
	}
	if _, err := h.Encrypt("stint-loose", nil, key); failure(err) != wire.Unsound {
		t.Errorf("a key that can be taken out is used: %v", err)
	}
}
