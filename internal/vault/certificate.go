package vault

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"slices"
	"time"

	"stint/internal/access"
)

// A certificate is kept with its private key, as two blocks of PEM: CERTIFICATE, then
// PRIVATE KEY (PKCS 8). Nothing else is in the text, and nothing about it: whoever uses it
// takes the two apart, and looks no further.

const (
	// CertificateLife is how long a certificate that Stint makes is good. It is replaced
	// when a third of that is left (Entry.RotateAt).
	CertificateLife = 90 * 24 * time.Hour
	// before is how far the clock of a target may be behind.
	before = time.Hour
)

const (
	certificateBlock = "CERTIFICATE"
	keyBlock         = "PRIVATE KEY"
)

// NewCertificate makes a key (ECDSA, P-256) and a certificate of it for an account, that
// says who it is signed by: itself. So a target knows it by knowing this very one, and it is
// dead where the target does not know it any more. It is of no authority (RFC 5280, section
// 4.2.1.9): whoever borrows the key cannot vouch for another with it. It answers when it
// ends, too. The same random bits give the same certificate.
func NewCertificate(account string, random io.Reader, now time.Time) (access.Secret, time.Time, error) {
	none := func(err error) (access.Secret, time.Time, error) {
		return access.Secret{}, time.Time{}, access.Fail(access.Internal, "no-certificate", "no certificate could be made").Wrap(err)
	}
	key, err := newKey(random)
	if err != nil {
		return none(err)
	}
	var serial [16]byte // RFC 5280, section 4.1.2.2: positive, at most 20 bytes
	if _, err := io.ReadFull(random, serial[:]); err != nil {
		return none(err)
	}
	serial[0] = serial[0]&0x7f | 0x40
	cert := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial[:]), Subject: pkix.Name{CommonName: account},
		NotBefore: now.Add(-before).Truncate(time.Second), NotAfter: now.Add(CertificateLife).Truncate(time.Second),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(nil, cert, cert, key.Public(), key) // without randomness it signs as RFC 6979 says
	if err != nil {
		return none(err)
	}
	s, err := together(der, key)
	return s, cert.NotAfter, err
}

func newKey(random io.Reader) (*ecdsa.PrivateKey, error) {
	var scalar [32]byte
	defer clear(scalar[:])
	for {
		if _, err := io.ReadFull(random, scalar[:]); err != nil {
			return nil, err
		}
		if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:]); err == nil { // all but one in 2^32 are one
			return key, nil
		}
	}
}

// together is a certificate and its key as they are kept.
func together(der []byte, key any) (access.Secret, error) {
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return access.Secret{}, badSecret(Certificate, "its private key is of a sort that signs nothing here; ECDSA, Ed25519 and RSA do")
	}
	defer clear(private)
	text := pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der})
	return access.NewSecret(append(text, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: private})...)), nil
}

// readCertificate is a certificate with its key that somebody brought, as it is kept, and
// when it ends. It refuses one that opens nothing now, and one that could vouch for others.
func readCertificate(text []byte, now time.Time) (access.Secret, time.Time, error) {
	bad := func(why string) (access.Secret, time.Time, error) {
		return access.Secret{}, time.Time{}, badSecret(Certificate, why)
	}
	var cert *x509.Certificate
	var key crypto.Signer
	for rest := bytes.TrimSpace(text); len(rest) > 0; {
		if !bytes.HasPrefix(rest, []byte("-----BEGIN ")) {
			return bad("there is something in it that is no PEM")
		}
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return bad("there is something in it that is no PEM")
		}
		rest = bytes.TrimSpace(rest)
		switch err := error(nil); {
		case block.Type == certificateBlock && cert != nil:
			return bad("there is more than one certificate in it")
		case block.Type == certificateBlock:
			if cert, err = x509.ParseCertificate(block.Bytes); err != nil {
				return bad("its certificate cannot be read")
			}
		case block.Type == "EC PARAMETERS": // as openssl writes them before a key, which says it again
		case block.Type == "ENCRYPTED PRIVATE KEY" || len(block.Headers) > 0:
			return bad("its private key is locked with a passphrase")
		case key != nil:
			return bad("there is more than a certificate and one private key in it")
		default:
			key = readKey(block)
			clear(block.Bytes)
			if key == nil {
				return bad("its private key is of a sort that signs nothing here; ECDSA, Ed25519 and RSA of 2048 bits and more do")
			}
		}
	}
	switch {
	case cert == nil:
		return bad("there is no certificate in it")
	case key == nil:
		return bad("there is no private key in it")
	case !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(cert.PublicKey):
		return bad("the private key is not that of the certificate")
	case cert.IsCA || cert.Version < 3 || cert.KeyUsage&x509.KeyUsageCertSign != 0: // of the first version each vouches for others
		return bad("the certificate is of an authority: whoever borrowed its key could make others")
	case now.Before(cert.NotBefore):
		return bad("the certificate is not good before " + cert.NotBefore.UTC().Format(time.RFC3339))
	case !now.Before(cert.NotAfter):
		return bad("the certificate ended " + cert.NotAfter.UTC().Format(time.RFC3339))
	case len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) > 0 && !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth) && !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny):
		return bad("the certificate is not for clients")
	}
	s, err := together(cert.Raw, key)
	return s, cert.NotAfter, err
}

// readKey is the private key of a block; nil where it is none that is taken.
func readKey(b *pem.Block) crypto.Signer {
	var key any
	var err error
	switch b.Type {
	case keyBlock:
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(b.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	}
	if err != nil {
		return nil
	}
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		return k
	case ed25519.PrivateKey:
		return k
	case *rsa.PrivateKey:
		if k.N.BitLen() >= leastRSA {
			return k
		}
	}
	return nil
}
