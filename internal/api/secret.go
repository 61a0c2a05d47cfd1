package api

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// Secret is text that must not be printed: fmt and log show a placeholder.
// JSON carries it, because the wire must; so never marshal into a log.
type Secret string

const hidden = "[secret]"

// Reveal returns the text. It is the one way to it, and easy to search for.
func (s Secret) Reveal() string { return string(s) }

// Equal compares in constant time.
func (s Secret) Equal(t Secret) bool { return subtle.ConstantTimeCompare([]byte(s), []byte(t)) == 1 }

// String hides the text.
func (Secret) String() string { return hidden }

// GoString hides the text from %#v.
func (Secret) GoString() string { return hidden }

// Format hides the text from every verb, also %x and %q.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// LogValue hides the text from log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }
