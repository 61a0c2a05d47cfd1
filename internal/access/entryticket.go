package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strconv"
	"strings"
)

// EntryTicket is what a browser is sent back to a gateway with: 256 random bits as text. It is a
// secret for as long as it is good, and so neither kept nor logged: of it there is a serial,
// which finds its row and says nothing about it, and a print.
type EntryTicket struct{ text Secret }

const ticketBytes = 32

// NewEntryTicket makes one of random bytes.
func NewEntryTicket(random [ticketBytes]byte) EntryTicket {
	return EntryTicket{NewSecret([]byte(base64.RawURLEncoding.EncodeToString(random[:])))}
}

// ReadEntryTicket reads what a browser brought.
func ReadEntryTicket(text string) (t EntryTicket, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return EntryTicket{NewSecret([]byte(text))}, err == nil && len(b) == ticketBytes
}

// Reveal is the text, for the one browser that it is made for.
func (t EntryTicket) Reveal() string { return string(t.text.Reveal()) }

// Empty reports whether it is none.
func (t EntryTicket) Empty() bool { return t.text.Empty() }

// Serial is by which its row is found.
func (t EntryTicket) Serial() Serial {
	sum := sha256.Sum256([]byte("stint ticket serial\n" + t.Reveal()))
	return NewSerial([8]byte(sum[:8]))
}

// Print is what is kept of it: that it is for who has the verifier of a challenge, for a
// resource, at the door that the browser came from. Nothing of the ticket follows from it.
func (t EntryTicket) Print(challenge string, at Door, r ResourceName) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{"stint ticket print", t.Reveal(), challenge, at.Domain, strconv.Itoa(int(at.Port)), string(r)}, "\n")))
	return "S256:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// SamePrint compares two prints in constant time.
func SamePrint(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
