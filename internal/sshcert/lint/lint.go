package lint

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Kind is whom a certificate is for.
type Kind uint32

// The kinds, by their numbers in the format.
const (
	User Kind = 1
	Host Kind = 2
)

func (k Kind) String() string {
	switch k {
	case User:
		return "user"
	case Host:
		return "host"
	}
	return fmt.Sprintf("kind %d", uint32(k))
}

// maxSize is far above any certificate with the keys that are allowed.
const maxSize = 16 << 10

// Option is a critical option or an extension, with its value as people write it.
type Option struct{ Name, Value string }

// Want is what was decided. All fields are required but Critical and Extensions; a
// zero value wants nothing that could pass.
type Want struct {
	Kind       Kind
	Authority  []byte // the public key that signs, in its wire form
	Key        []byte // the key that is certified, in its wire form
	Serial     uint64
	KeyID      string
	Principals []string
	Critical   []Option // in the order of their names
	Extensions []Option // in the order of their names
	// NotBefore and NotAfter bound its validity, which may be shorter on both sides.
	NotBefore, NotAfter time.Time
	// MaxLife bounds the length of its validity.
	MaxLife time.Duration
}

// Problem is one thing that is wrong with a certificate.
type Problem struct {
	Field string // the format's name of the field
	Text  string
}

func (p Problem) Error() string { return "certificate: " + p.Field + ": " + p.Text }

// Unsigned checks the bytes that an authority is about to sign: a certificate up to
// and with its signature key.
func Unsigned(b []byte, w Want) error {
	_, _, err := read(b, w, false)
	return err
}

// Signed checks a whole certificate: the same, that its signature is by the authority
// over just these bytes, and by an algorithm that is allowed.
func Signed(b []byte, w Want) error {
	covered, signature, err := read(b, w, true)
	if err != nil {
		return err
	}
	if err := verify(w.Authority, covered, signature); err != nil {
		return Problem{"signature", err.Error()}
	}
	return nil
}

// checker collects what is wrong.
type checker struct{ problems []error }

func (c *checker) say(field, format string, a ...any) {
	c.problems = append(c.problems, Problem{field, fmt.Sprintf(format, a...)})
}

// read goes through all fields in their order, and returns what a signature covers,
// and the signature.
func read(b []byte, w Want, signed bool) (covered, signature []byte, err error) {
	if len(b) > maxSize {
		return nil, nil, Problem{"size", fmt.Sprintf("%d bytes, of at most %d", len(b), maxSize)}
	}
	var c checker
	r := reader{rest: b}
	kind := c.key(&r, w)
	serial, number, keyID := r.uint64(), r.uint32(), r.text()
	principals := r.bytes()
	after, before := r.uint64(), r.uint64()
	critical, extensions := r.bytes(), r.bytes()
	reserved, authority := r.bytes(), r.bytes()
	covered = b[:len(b)-len(r.rest)]
	if signed {
		signature = r.bytes()
	}
	if err := r.end("the certificate"); err != nil {
		return nil, nil, errors.Join(append(c.problems, Problem{"format", err.Error()})...)
	}

	if serial == 0 || serial != w.Serial {
		c.say("serial", "%d, and should be %d and not zero", serial, w.Serial)
	}
	if Kind(number) != w.Kind || w.Kind != User && w.Kind != Host {
		c.say("type", "%s, and should be %s", Kind(number), w.Kind)
	}
	c.keyID(keyID, w.KeyID)
	c.principals(principals, w)
	c.validity(after, before, w)
	c.options("critical options", critical, w.Critical, criticalOptions, w.Kind, kind)
	c.options("extensions", extensions, w.Extensions, extensionNames, w.Kind, kind)
	if len(reserved) > 0 {
		c.say("reserved", "%d bytes, where nothing is defined", len(reserved))
	}
	if err := Key(authority); err != nil {
		c.say("signature key", "%v", err)
	} else if !bytes.Equal(authority, w.Authority) {
		c.say("signature key", "another one than the authority's")
	}
	return covered, signature, errors.Join(c.problems...)
}

// key reads type, nonce and key, which come first, and gives the type of the key.
func (c *checker) key(r *reader, w Want) string {
	cert := r.text()
	nonce := r.bytes()
	if r.err != nil {
		return ""
	}
	plain, ok := strings.CutSuffix(cert, certSuffix)
	if !ok {
		r.err = fmt.Errorf("the type %q is of no certificate", clip(cert))
		return ""
	}
	if strings.HasPrefix(plain, "sk-") {
		plain += "@openssh.com"
	}
	if len(nonce) < 16 || len(nonce) > 64 {
		c.say("nonce", "%d bytes, and should be 16 to 64", len(nonce))
	}
	before := r.rest
	if err := body(plain, r); err != nil {
		r.err = err
		return plain
	}
	got := appendText(nil, plain)
	got = append(got, before[:len(before)-len(r.rest)]...)
	if !bytes.Equal(got, w.Key) {
		c.say("public key", "another one than the one to certify")
	}
	return plain
}

func appendText(b []byte, s string) []byte {
	n := len(s)
	return append(append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), s...)
}

func (c *checker) keyID(got, want string) {
	if got == "" || len(got) > 256 || strings.ContainsFunc(got, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		c.say("key id", "it must have 1 to 256 printable characters of ASCII: it is written to logs as it is")
	}
	if got != want {
		c.say("key id", "another one than was decided")
	}
}

func (c *checker) principals(b []byte, w Want) {
	var names []string
	for r := (reader{rest: b}); len(r.rest) > 0; {
		names = append(names, r.text())
		if r.err != nil {
			c.say("principals", "%v", r.err)
			return
		}
	}
	if len(names) == 0 {
		c.say("principals", "there are none, which is every account")
	}
	if len(names) > 64 {
		c.say("principals", "there are %d, of at most 64", len(names))
	}
	seen := map[string]bool{}
	for _, n := range names {
		if !Principal(w.Kind, n) {
			c.say("principals", "%q is no name: wildcards, commas, spaces and the like are not allowed", clip(n))
		}
		if seen[n] {
			c.say("principals", "%q is there twice", clip(n))
		}
		seen[n] = true
	}
	if !slices.Equal(names, w.Principals) {
		c.say("principals", "others than were decided")
	}
}

// Principal reports whether a name can be a principal of a certificate: of a user, one
// word of letters, digits and "._@-"; of a host, a host name or an address, which also
// has colons. It begins with a letter or a digit, or an address with a colon.
func Principal(k Kind, name string) bool {
	if name == "" || len(name) > 255 {
		return false
	}
	for i := range len(name) {
		ch := name[i]
		switch {
		case ch >= 'a' && ch <= 'z', ch >= 'A' && ch <= 'Z', ch >= '0' && ch <= '9':
		case k == Host && ch == ':':
		case i > 0 && (ch == '.' || ch == '_' || ch == '-'):
		case i > 0 && k == User && ch == '@':
		default:
			return false
		}
	}
	return true
}

func (c *checker) validity(after, before uint64, w Want) {
	if before == math.MaxUint64 || before > math.MaxInt64 || after > math.MaxInt64 {
		c.say("valid before", "it has no end")
		return
	}
	if after == 0 || before <= after {
		c.say("valid after", "it begins at no time, or ends before it begins")
		return
	}
	from, to := time.Unix(int64(after), 0), time.Unix(int64(before), 0)
	if w.NotBefore.IsZero() || from.Before(w.NotBefore.Truncate(time.Second)) {
		c.say("valid after", "%s is before %s", stamp(from), stamp(w.NotBefore))
	}
	if w.NotAfter.IsZero() || to.After(w.NotAfter) {
		c.say("valid before", "%s is after %s", stamp(to), stamp(w.NotAfter))
	}
	// As seconds: the distance of two far times is no time.Duration.
	if life := before - after; w.MaxLife <= 0 || life > uint64(w.MaxLife/time.Second) {
		c.say("valid before", "it lives for %d s, of at most %d", life, int64(w.MaxLife/time.Second))
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// verify checks a signature over what it covers. It is the one thing that is not done
// here, but by the library that also signs: a second implementation of signatures
// would be worth less than the tests of that one.
func verify(authority, covered, signature []byte) error {
	r := reader{rest: signature}
	alg, blob := r.text(), r.bytes()
	err := r.end("the signature")
	if err != nil {
		return err
	}
	if hardware(alg) {
		return errors.New("an authority is no sk- key")
	}
	key, err := ssh.ParsePublicKey(authority)
	if err != nil {
		return errors.New("the authority's key cannot be read")
	}
	want := []string{key.Type()}
	if key.Type() == ssh.KeyAlgoRSA { // with SHA-1 it would be forged
		want = []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512}
	}
	if !slices.Contains(want, alg) {
		return fmt.Errorf("the algorithm %q is not one of %s", clip(alg), strings.Join(want, ", "))
	}
	if err := key.Verify(covered, &ssh.Signature{Format: alg, Blob: blob}); err != nil {
		return errors.New("it is not by the authority over these bytes")
	}
	return nil
}
