package crypt

import (
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"hash"
	"io"
	"regexp"
	"strconv"
	"strings"
)

const (
	alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	prefix   = "$6$"
	saltLen  = 16
	usual    = 5000 // rounds, where a text does not say

	// Bounds of rounds that are computed. A host says how its passwords are hashed, and
	// must not be able to keep whoever compares them busy.
	leastRounds, mostRounds = 1000, 200_000
	maxPassword             = 1024
)

// ErrUnknown says that a password is hashed in a way that is not computed here.
var ErrUnknown = errors.New("the password is kept in a form that is not understood here")

var (
	settingsForm = regexp.MustCompile(`^\$6\$(?:rounds=([1-9][0-9]{3,5})\$)?([./0-9A-Za-z]{1,16})\$$`)
	stringForm   = regexp.MustCompile(`^\$6\$(?:rounds=[1-9][0-9]{3,5}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}$`)
)

// Fresh hashes a password with a salt of its own.
func Fresh(password []byte, random io.Reader) (string, error) {
	var b [saltLen]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", err
	}
	for i := range b {
		b[i] = alphabet[b[i]&63]
	}
	return Like(password, prefix+string(b[:])+"$")
}

// Like hashes a password as settings say, which Settings has read. It gives ErrUnknown
// where these are of another kind.
func Like(password []byte, settings string) (string, error) {
	m := settingsForm.FindStringSubmatch(settings)
	if m == nil || len(password) > maxPassword {
		return "", ErrUnknown
	}
	rounds := usual
	if m[1] != "" {
		rounds, _ = strconv.Atoi(m[1]) // at most six digits
		if rounds < leastRounds || rounds > mostRounds {
			return "", ErrUnknown
		}
	}
	return settings + sum(password, []byte(m[2]), rounds), nil
}

// maxSettings is the longest of any kind that makes sense.
const maxSettings = 128

// Settings is what of a field of shadow says how the password was hashed; "" where there
// is no password that would fit. It is no secret.
func Settings(field string) string {
	end := strings.LastIndexByte(field, '$') + 1
	if !strings.HasPrefix(field, "$") || end < 2 || end > maxSettings {
		return ""
	}
	return field[:end]
}

// Verifier is one password, as the fields of shadow that it opens: the first is the one to
// write where it is to be set.
type Verifier struct{ fields []string }

// maxFields is how many a verifier has at most: a fresh one, and one with the salt that
// the host has.
const maxFields = 2

// Parse reads a verifier: fields, each in the form of SHA-512, with one space between.
func Parse(text string) (Verifier, error) {
	fields := strings.Split(text, " ")
	if len(fields) > maxFields {
		return Verifier{}, errors.New("a verifier has two fields at most")
	}
	for _, f := range fields {
		if !stringForm.MatchString(f) {
			return Verifier{}, errors.New("a verifier is made of hashes by SHA-512, as crypt(5) has them")
		}
	}
	return Verifier{fields}, nil
}

// Set is what is written where the password is to be set; "" of the zero Verifier.
func (v Verifier) Set() string {
	if len(v.fields) == 0 {
		return ""
	}
	return v.fields[0]
}

// Fits reports whether the password opens what has this field. The zero Verifier fits
// nothing.
func (v Verifier) Fits(field string) bool {
	fits := 0
	for _, f := range v.fields {
		fits |= subtle.ConstantTimeCompare([]byte(f), []byte(field))
	}
	return fits == 1
}

// sum is SHA-crypt with SHA-512, as "Unix crypt using SHA-256 and SHA-512" by U. Drepper
// describes it; the numbers are those of its steps.
func sum(password, salt []byte, rounds int) string {
	b := digest(password, salt, password) // 4 to 8
	a := sha512.New()                     // 1
	write(a, password, salt)              // 2, 3
	repeat(a, b, len(password))           // 9, 10
	for n := len(password); n > 0; n >>= 1 {
		if n&1 != 0 {
			write(a, b) // 11
		} else {
			write(a, password)
		}
	}
	mixed := a.Sum(nil) // 12
	dp := sha512.New()
	for range password {
		write(dp, password) // 13, 14
	}
	p := stretched(dp.Sum(nil), len(password)) // 15, 16
	ds := sha512.New()
	for range 16 + int(mixed[0]) {
		write(ds, salt) // 17, 18
	}
	s := stretched(ds.Sum(nil), len(salt)) // 19, 20
	for i := range rounds {                // 21
		c := sha512.New()
		if i&1 != 0 {
			write(c, p)
		} else {
			write(c, mixed)
		}
		if i%3 != 0 {
			write(c, s)
		}
		if i%7 != 0 {
			write(c, p)
		}
		if i&1 != 0 {
			write(c, mixed)
		} else {
			write(c, p)
		}
		mixed = c.Sum(mixed[:0])
	}
	return encode(mixed)
}

func digest(parts ...[]byte) []byte {
	h := sha512.New()
	write(h, parts...)
	return h.Sum(nil)
}

func write(h hash.Hash, parts ...[]byte) {
	for _, p := range parts {
		_, _ = h.Write(p) // never fails
	}
}

// repeat writes b again and again until n bytes are written.
func repeat(h hash.Hash, b []byte, n int) {
	for ; n > len(b); n -= len(b) {
		write(h, b)
	}
	write(h, b[:n])
}

func stretched(b []byte, n int) []byte {
	out := make([]byte, 0, n+len(b))
	for len(out) < n {
		out = append(out, b...)
	}
	return out[:n]
}

// encode writes the 64 bytes in the order of step 22, six bits a letter, the lowest first.
func encode(b []byte) string {
	var out strings.Builder
	put := func(v uint32, letters int) {
		for range letters {
			out.WriteByte(alphabet[v&63])
			v >>= 6
		}
	}
	x, y, z := 0, 21, 42
	for range 21 {
		put(uint32(b[x])<<16|uint32(b[y])<<8|uint32(b[z]), 4)
		x, y, z = y+1, z+1, x+1
	}
	put(uint32(b[63]), 2)
	return out.String()
}
