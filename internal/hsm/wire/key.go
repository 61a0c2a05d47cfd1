package wire

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"errors"
	"fmt"
)

// Algorithm is how a key signs. Stored: only append.
type Algorithm string

// The algorithms. An Ed25519 key signs messages, an ECDSA key their SHA-256.
const (
	Ed25519 Algorithm = "ed25519"
	P256    Algorithm = "ecdsa-p256"
)

// Key names a key of a token: by label and id, and by the public key that it must have,
// so that another one with its names is not taken for it.
type Key struct {
	Label     string
	ID        []byte // CKA_ID
	Algorithm Algorithm
	Public    []byte // 32 bytes of Ed25519; 65 of a point that is not compressed
}

const (
	maxLabel = 100
	maxID    = 64
)

// Marshal is the stored form of a key, and that on the wire: a version and four fields.
func (k Key) Marshal() []byte {
	b := []byte("stint-token-key-1\n")
	for _, f := range [][]byte{[]byte(k.Label), k.ID, []byte(k.Algorithm), k.Public} {
		b = appendField(b, f)
	}
	return b
}

// ParseKey reads what Marshal makes of a key that is in order, and nothing else.
func ParseKey(b []byte) (Key, error) {
	rest, ok := bytes.CutPrefix(b, []byte("stint-token-key-1\n"))
	if !ok {
		return Key{}, errors.New("it is no key of a token")
	}
	var f [4][]byte
	for i := range f {
		var err error
		if f[i], rest, err = cutField(rest); err != nil {
			return Key{}, err
		}
	}
	if len(rest) > 0 {
		return Key{}, errors.New("more follows than a key of a token")
	}
	k := Key{Label: string(f[0]), ID: f[1], Algorithm: Algorithm(f[2]), Public: f[3]}
	return k, k.Check()
}

// Check says what is wrong with a key.
func (k Key) Check() error {
	if err := CheckLabel(k.Label); err != nil {
		return err
	}
	if len(k.ID) == 0 || len(k.ID) > maxID {
		return fmt.Errorf("its id has %d bytes, and should have 1 to %d", len(k.ID), maxID)
	}
	_, err := k.PublicKey()
	return err
}

// CheckLabel says what is wrong with the label of a key: letters, digits and ".-_", so
// that it stands in commands and logs as it is.
func CheckLabel(s string) error {
	if s == "" || len(s) > maxLabel {
		return fmt.Errorf("a label has 1 to %d characters, and not %d", maxLabel, len(s))
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', i > 0 && (c == '-' || c == '_' || c == '.'):
		default:
			return errors.New("a label has letters, digits, and after the first of them \".\", \"-\" and \"_\"")
		}
	}
	return nil
}

// PublicKey is the public key, of a type of the standard library.
func (k Key) PublicKey() (crypto.PublicKey, error) {
	switch k.Algorithm {
	case Ed25519:
		if len(k.Public) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("a public key of Ed25519 has 32 bytes, and not %d", len(k.Public))
		}
		return ed25519.PublicKey(bytes.Clone(k.Public)), nil
	case P256:
		p, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), k.Public)
		if err != nil {
			return nil, errors.New("the public key is no point of P-256")
		}
		return p, nil
	}
	return nil, errors.New("the algorithm is neither ed25519 nor ecdsa-p256")
}

// Equal compares all of two keys.
func (k Key) Equal(o Key) bool { return bytes.Equal(k.Marshal(), o.Marshal()) }

// Codes of failures, for which an operator does different things.
const (
	NotBuilt = "not-built" // stint-hsm has no PKCS#11 in it
	Module   = "module"    // it cannot be loaded, or is not to be trusted
	NoToken  = "no-token"
	BadPIN   = "pin"     // the token refused it: trying again locks it
	Locked   = "locked"  // or one try is left
	NoKey    = "no-key"  // none, or more than one, of label and id
	Unsound  = "unsound" // the key was, or could be, outside the token
	NoMeans  = "no-algorithm"
	Trouble  = "token" // anything else that the token says
	Question = "question"
)

// Failure is why a question has no answer.
type Failure struct{ Code, Text string }

func (f *Failure) Error() string { return f.Text }

// Fail makes a failure.
func Fail(code, format string, a ...any) error { return &Failure{code, fmt.Sprintf(format, a...)} }

// FailureOf reads a Failed. What came from a vendor's library is cut to what can stand
// in a log.
func FailureOf(m Message) *Failure {
	code, text := clean(m.Fields[0], 40), clean(m.Fields[1], 300)
	return &Failure{code, text}
}

func clean(b []byte, most int) string {
	b = bytes.Clone(b[:min(len(b), most)])
	for i, c := range b {
		if c < 0x20 || c > 0x7e {
			b[i] = '?'
		}
	}
	return string(b)
}
