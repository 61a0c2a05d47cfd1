package sshcert

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/sshcert/lint"
)

// Authority signs certificates of one kind. Its methods may be called from any
// goroutine, if its signer may be.
type Authority struct {
	kind    Kind
	key     crypto.Signer
	signer  ssh.AlgorithmSigner
	alg     string
	keys    []Key // the one that signs, then those that are still to be trusted
	maxLife time.Duration
}

// NewAuthority makes an authority that signs with a key: one in memory, or one that a
// module holds and does not give away. Earlier keys sign nothing any more; hosts go on
// trusting them until what they signed is over.
func NewAuthority(k Kind, signer crypto.Signer, earlier ...crypto.PublicKey) (*Authority, error) {
	a := &Authority{kind: k, key: signer, maxLife: MaxUserLife}
	switch k {
	case User:
	case Host:
		a.maxLife = MaxHostLife
	default:
		return nil, errors.New("an authority is for users or for hosts")
	}
	s, err := ssh.NewSignerFromSigner(signer)
	if err != nil {
		return nil, fmt.Errorf("the authority's key: %w", err)
	}
	var ok bool
	if a.signer, ok = s.(ssh.AlgorithmSigner); !ok {
		return nil, errors.New("the authority's key cannot choose how it signs")
	}
	if a.alg = s.PublicKey().Type(); a.alg == ssh.KeyAlgoRSA {
		a.alg = ssh.KeyAlgoRSASHA512
	}
	for _, public := range append([]crypto.PublicKey{signer.Public()}, earlier...) {
		p, err := ssh.NewPublicKey(public)
		if err != nil {
			return nil, fmt.Errorf("an authority's key: %w", err)
		}
		key, err := newKey(p.Marshal())
		if err != nil {
			return nil, fmt.Errorf("an authority's key: %w", err)
		}
		a.keys = append(a.keys, key)
	}
	return a, nil
}

// Kind is whom its certificates are for.
func (a *Authority) Kind() Kind { return a.kind }

// Remote says whether the key is held by something that may be away, or slow.
func (a *Authority) Remote() bool { _, is := a.key.(interface{ Ready() error }); return is }

// Ready is why nothing can be signed now, as far as is known without trying: the error is
// the key's own, for those that are held by something that may be away.
func (a *Authority) Ready() error {
	if k, is := a.key.(interface{ Ready() error }); is {
		return k.Ready()
	}
	return nil
}

// Keys are those to trust: the one that signs first.
func (a *Authority) Keys() []Key { return slices.Clone(a.keys) }

// Certificate is one that was signed and found right.
type Certificate struct {
	blob []byte
	kind string
}

// Line is the certificate as one line of a file, without a comment or a newline.
func (c Certificate) Line() string { return c.kind + " " + base64.StdEncoding.EncodeToString(c.blob) }

// Blob is the certificate in its wire form.
func (c Certificate) Blob() []byte { return slices.Clone(c.blob) }

// Draft is a certificate that was found right and has no signature yet.
type Draft struct {
	authority *Authority
	cert      ssh.Certificate
	bytes     []byte // what is to be signed
	want      lint.Want
}

// nonceSize is that of OpenSSH. A nonce keeps whoever chooses a key from choosing all
// the bytes that are signed.
const nonceSize = 32

// Prepare builds and checks. What it refuses would never have been signed, so a caller
// prepares before it writes down that a certificate is made.
func (a *Authority) Prepare(s Spec, random io.Reader) (Draft, error) {
	if s.Key.public == nil {
		return Draft{}, errors.New("certificate: there is no key")
	}
	if s.NotBefore.Unix() <= 0 || s.NotAfter.Unix() <= 0 { // as unsigned numbers they would be far in the future
		return Draft{}, errors.New("certificate: its validity lies before 1970")
	}
	d := Draft{authority: a, want: s.want(a.kind, a.keys[0].blob, a.maxLife)}
	nonce := make([]byte, nonceSize)
	if _, err := io.ReadFull(random, nonce); err != nil {
		return Draft{}, fmt.Errorf("certificate: no randomness: %w", err)
	}
	d.cert = ssh.Certificate{
		Nonce: nonce, Key: s.Key.public, Serial: s.Serial, CertType: uint32(a.kind), KeyId: s.KeyID, ValidPrincipals: s.Principals,
		ValidAfter: uint64(s.NotBefore.Unix()), ValidBefore: uint64(s.NotAfter.Unix()),
		Permissions:  ssh.Permissions{CriticalOptions: s.critical(), Extensions: s.extensions()},
		SignatureKey: a.signer.PublicKey(),
	}
	whole := d.cert.Marshal()
	d.bytes = whole[:len(whole)-4] // without the length of the signature that is not there
	if err := lint.Unsigned(d.bytes, d.want); err != nil {
		return Draft{}, err
	}
	return d, nil
}

// Sign signs the bytes that were checked, and checks what came of it.
func (d Draft) Sign(random io.Reader) (Certificate, error) {
	if d.authority == nil {
		return Certificate{}, errors.New("certificate: there is nothing to sign")
	}
	sig, err := d.authority.signer.SignWithAlgorithm(random, d.bytes, d.authority.alg)
	if err != nil {
		return Certificate{}, fmt.Errorf("certificate: sign: %w", err)
	}
	d.cert.Signature = sig
	blob := d.cert.Marshal()
	if !bytes.HasPrefix(blob, d.bytes) {
		return Certificate{}, errors.New("certificate: other bytes than those that were signed")
	}
	if err := lint.Signed(blob, d.want); err != nil {
		return Certificate{}, err
	}
	return Certificate{blob: blob, kind: d.cert.Type()}, nil
}

// Issue prepares and signs.
func (a *Authority) Issue(s Spec, random io.Reader) (Certificate, error) {
	d, err := a.Prepare(s, random)
	if err != nil {
		return Certificate{}, err
	}
	return d.Sign(random)
}

// Read reads a certificate of a user that one of the authority's keys signed and whose
// time it is, and gives what it says. That it was not taken back, and that whoever shows
// it has its key, is for others to find out.
func (a *Authority) Read(blob []byte, now time.Time) (serial uint64, key Key, err error) {
	if len(blob) > maxLine {
		return 0, Key{}, errors.New("it is longer than a certificate")
	}
	public, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return 0, Key{}, errors.New("it cannot be read")
	}
	c, is := public.(*ssh.Certificate)
	if !is || c.CertType != uint32(a.kind) || len(c.ValidPrincipals) == 0 {
		return 0, Key{}, errors.New("it is no certificate of a user")
	}
	signer := c.SignatureKey.Marshal()
	if !slices.ContainsFunc(a.keys, func(k Key) bool { return bytes.Equal(k.blob, signer) }) {
		return 0, Key{}, errors.New("this installation did not sign it")
	}
	checker := ssh.CertChecker{SupportedCriticalOptions: []string{"force-command", "source-address"}, Clock: func() time.Time { return now }}
	if err := checker.CheckCert(c.ValidPrincipals[0], c); err != nil {
		return 0, Key{}, errors.New(strings.TrimPrefix(err.Error(), "ssh: "))
	}
	key, err = newKey(c.Key.Marshal())
	return c.Serial, key, err
}

// KnownHosts are the lines of a known_hosts file that trust the authority's hosts:
// those that the patterns match, and of them each for the names in its certificate.
func (a *Authority) KnownHosts(patterns ...string) []string {
	var lines []string
	for _, k := range a.keys {
		lines = append(lines, "@cert-authority "+strings.Join(patterns, ",")+" "+k.Line())
	}
	return lines
}
