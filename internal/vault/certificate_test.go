package vault

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
)

// TestNewCertificate: what Stint makes is a client's, of the account, of no authority, and
// the same for the same random bits, so that nothing but these goes into it.
func TestNewCertificate(t *testing.T) {
	now := time.Unix(1_790_000_000, 5).UTC()
	random := bytes.Repeat([]byte{7}, 64)
	s, until, err := NewCertificate("shop", bytes.NewReader(random), now)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := NewCertificate("shop", bytes.NewReader(random), now)
	if err != nil || !bytes.Equal(s.Reveal(), again.Reveal()) {
		t.Errorf("another certificate of the same bits: %v", err)
	}
	pair, err := tls.X509KeyPair(s.Reveal(), s.Reveal()) // they belong together
	if err != nil {
		t.Fatal(err)
	}
	c := pair.Leaf
	if c.Subject.CommonName != "shop" || c.IsCA || !c.BasicConstraintsValid || c.KeyUsage != x509.KeyUsageDigitalSignature || !c.NotAfter.Equal(until) ||
		c.NotBefore.After(now) || c.NotAfter.Sub(now) > CertificateLife || c.SerialNumber.BitLen() < 120 || c.SerialNumber.Sign() <= 0 {
		t.Errorf("%+v", c)
	}
	roots := x509.NewCertPool()
	roots.AddCert(c)
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, CurrentTime: now}); err != nil {
		t.Errorf("who knows it does not let it in: %v", err)
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, CurrentTime: now}); err == nil {
		t.Error("it is a server's, too")
	}
	kept, end, err := Given(Certificate, s, now)
	if err != nil || !bytes.Equal(kept.Reveal(), s.Reveal()) || !end.Equal(until) {
		t.Errorf("what Stint made is not what it would take: %v", err)
	}
	other, _, err := NewCertificate("shop", rand.Reader, now)
	if err != nil || bytes.Equal(other.Reveal(), s.Reveal()) {
		t.Errorf("not of random bits: %v", err)
	}
	for _, short := range []int{0, 31, 40} {
		if _, _, err := NewCertificate("shop", bytes.NewReader(random[:short]), now); !errors.Is(err, access.Internal) {
			t.Errorf("%d random bytes: %v", short, err)
		}
	}
	zeros := append(make([]byte, 32), random...) // which is no key
	if _, _, err := NewCertificate("shop", bytes.NewReader(zeros), now); err != nil {
		t.Errorf("the next bits are not taken: %v", err)
	}
}

// TestGivenCertificate: one that opens nothing, or could vouch for another account, is
// refused, and no error says any of it.
func TestGivenCertificate(t *testing.T) {
	now := time.Unix(1_790_000_000, 0).UTC()
	key := func(k crypto.Signer, err error) crypto.Signer {
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	ec := key(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	other := key(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	long := key(rsa.GenerateKey(rand.Reader, 2048))
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := func(k crypto.Signer, change func(*x509.Certificate)) string {
		c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "canary"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), BasicConstraintsValid: true}
		if change != nil {
			change(c)
		}
		der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	ecDER, err := x509.MarshalECPrivateKey(ec.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	usage := func(us ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = us }
	}
	plain, private := of(ec, nil), pemOf(t, ec)
	for name, c := range map[string]struct{ text, why string }{
		"certificate, key":    {plain + private, ""},
		"key, certificate":    {private + plain, ""},
		"with blanks":         {"\n" + plain + "\n\n" + private + "\n", ""},
		"SEC 1":               {plain + block("EC PRIVATE KEY", ecDER), ""},
		"with its parameters": {plain + block("EC PARAMETERS", []byte{6, 1, 1}) + block("EC PRIVATE KEY", ecDER), ""},
		"RSA":                 {of(long, nil) + pemOf(t, long), ""},
		"PKCS 1":              {of(long, nil) + block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(long.(*rsa.PrivateKey))), ""},
		"Ed25519":             {of(ed, nil) + pemOf(t, ed), ""},
		"for clients":         {of(ec, usage(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)) + private, ""},
		"for anything":        {of(ec, usage(x509.ExtKeyUsageAny)) + private, ""},

		"for servers":          {of(ec, usage(x509.ExtKeyUsageServerAuth)) + private, "not for clients"},
		"no key":               {plain, "no private key in it"},
		"no certificate":       {private, "no certificate in it"},
		"another's key":        {plain + pemOf(t, other), "not that of the certificate"},
		"two certificates":     {plain + plain + private, "more than one certificate"},
		"two keys":             {plain + private + private, "more than a certificate"},
		"an authority's":       {of(ec, func(c *x509.Certificate) { c.IsCA = true }) + private, "authority"},
		"one that signs":       {of(ec, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }) + private, "authority"},
		"over":                 {of(ec, func(c *x509.Certificate) { c.NotAfter = now }) + private, "ended"},
		"not yet":              {of(ec, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }) + private, "not good before"},
		"locked":               {plain + block("ENCRYPTED PRIVATE KEY", []byte("canary")), "passphrase"},
		"locked as long ago":   {plain + string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"DEK-Info": "x"}, Bytes: []byte("canary")})), "passphrase"},
		"a broken certificate": {block("CERTIFICATE", []byte("canary")) + private, "cannot be read"},
		"a broken key":         {plain + block("PRIVATE KEY", []byte("canary")), "of a sort"},
		"an OpenSSH key":       {plain + block("OPENSSH PRIVATE KEY", []byte("canary")), "of a sort"},
		"words before":         {"canary\n" + plain + private, "no PEM"},
		"words after":          {plain + private + "canary", "no PEM"},
		"half":                 {plain + private[:len(private)/2], "no PEM"},
		"a password":           {"canary", "no PEM"},
		"nothing":              {"", "empty"},
		"long":                 {plain + private + strings.Repeat("\n", MaxKey), "longer"},
		"a NUL":                {plain + "\x00" + private, "NUL"},
	} {
		s, until, err := Given(Certificate, access.NewSecret([]byte(c.text)), now)
		if c.why == "" {
			if _, no := tls.X509KeyPair(s.Reveal(), s.Reveal()); err != nil || no != nil || until.Before(now) || !bytes.HasPrefix(s.Reveal(), []byte("-----BEGIN CERTIFICATE-----\n")) {
				t.Errorf("%s: %v, %v, until %v", name, err, no, until)
			}
			continue
		}
		if !errors.Is(err, access.Invalid) || !strings.Contains(err.Error(), c.why) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, want %s", name, err, c.why)
		}
	}
}

func FuzzGivenCertificate(f *testing.F) {
	now := time.Unix(1_790_000_000, 0).UTC()
	s, _, err := NewCertificate("shop", rand.Reader, now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Reveal())
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		kept, until, err := Given(Certificate, access.NewSecret(bytes.Clone(text)), now)
		if err != nil {
			return
		}
		pair, err := tls.X509KeyPair(kept.Reveal(), kept.Reveal())
		if err != nil || pair.Leaf.IsCA || !until.After(now) {
			t.Errorf("took what is no certificate for an account: %v", err)
		}
	})
}
