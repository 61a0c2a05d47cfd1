package access

import (
	"crypto/subtle"
	"fmt"
)

// Secret holds bytes that must not be printed. Every way in which fmt, log and
// the encoders turn a value into text gives a placeholder; Reveal is the one
// way to the bytes, and easy to search for. The zero Secret is empty.
//
// The bytes sit behind a function because fmt asks no method of a value in an
// unexported field: it goes on by reflection, which cannot look into a function.
type Secret struct{ bytes func() []byte }

const hidden = "[secret]"

// NewSecret takes ownership of b.
func NewSecret(b []byte) Secret { return Secret{func() []byte { return b }} }

// Reveal returns the bytes. Do not keep, log or wrap them.
func (s Secret) Reveal() []byte {
	if s.bytes == nil {
		return nil
	}
	return s.bytes()
}

// Empty reports whether there is nothing in it.
func (s Secret) Empty() bool { return len(s.Reveal()) == 0 }

// Equal compares in constant time.
func (s Secret) Equal(t Secret) bool { return subtle.ConstantTimeCompare(s.Reveal(), t.Reveal()) == 1 }

// Wipe overwrites the bytes; the best that can be done in a language that copies.
func (s Secret) Wipe() { clear(s.Reveal()) }

// String hides the bytes.
func (Secret) String() string { return hidden }

// GoString hides the bytes from %#v.
func (Secret) GoString() string { return hidden }

// Format covers every verb, also %x and %d.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// MarshalText covers JSON, YAML, XML and log/slog.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
