package audit

import (
	"slices"
	"strconv"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/access"
)

// Limits of a record. A line of an export is a record and less than 256 bytes
// around it.
const (
	MaxLine   = 1 << 20
	MaxRecord = MaxLine - 256

	maxID   = 64
	maxName = 256 // of an entity, a principal, a fact
)

// Record is one event with the unique ID under which it was written, before
// it had a number. The ID is the caller's: "rec_" and a ULID.
type Record struct {
	ID    string
	Event access.Event
}

// Encode returns the one encoding of r: a line of JSON without the line break,
// fields in fixed order, facts sorted by name, time in UTC cut to milliseconds.
// It refuses a record that does not say who did what when to which version of
// what, text that is not UTF-8, and facts that are named like a secret.
func Encode(r Record) ([]byte, error) {
	return Append(make([]byte, 0, 512), r)
}

// Append appends the encoding of r to dst. On error dst is returned as it was.
func Append(dst []byte, r Record) ([]byte, error) {
	if err := r.check(); err != nil {
		return dst, err
	}
	e, b := &r.Event, dst
	b = append(b, `{"v":1,"id":"`...)
	b = append(b, r.ID...)
	b = append(b, `","type":"`...)
	b = append(b, e.Type...)
	b = append(b, `","at":"`...)
	b = e.At.UTC().AppendFormat(b, access.Stamp)
	b = append(b, `","entity":`...)
	b = appendText(b, e.Entity)
	b = append(b, `,"version":`...)
	b = strconv.AppendInt(b, e.Version, 10)
	b = append(b, `,"actor":{"principal":`...)
	b = appendText(b, string(e.Actor.Principal))
	b = append(b, `,"person":`...)
	b = appendText(b, string(e.Actor.Person))
	b = append(b, `,"device":`...)
	b = appendText(b, string(e.Actor.Device))
	b = append(b, `,"address":`...)
	if e.Actor.Address.IsValid() {
		b = appendText(b, e.Actor.Address.String())
	} else {
		b = append(b, `""`...)
	}
	b = append(b, `},"facts":`...)
	b = appendFacts(b, e.Facts)
	b = append(b, '}')
	if len(b)-len(dst) > MaxRecord {
		return dst, badRecord("the record is too long").Because("more than " + strconv.Itoa(MaxRecord) + " bytes")
	}
	return b, nil
}

// Leaf is the hash of an encoded record in the tree.
func Leaf(encoded []byte) tlog.Hash { return tlog.RecordHash(encoded) }

func appendFacts(b []byte, facts map[string]string) []byte {
	var room [24]string // on the stack, enough for nearly every record
	names := room[:0]
	for name := range facts {
		names = append(names, name)
	}
	slices.Sort(names)
	b = append(b, '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, name)
		b = append(b, ':')
		b = appendText(b, facts[name])
	}
	return append(b, '}')
}

// check holds the rules that make a record worth keeping. Errors name the
// field, never its value.
func (r Record) check() error {
	e := &r.Event
	switch year := e.At.UTC().Year(); {
	case !word(r.ID):
		return badRecord("a record needs an id of 1 to 64 letters, digits, '.', '_', '-'")
	case !word(string(e.Type)):
		return badRecord("a record needs a type of 1 to 64 letters, digits, '.', '_', '-'")
	case e.At.IsZero() || year < 1 || year > 9999:
		return badRecord("a record needs a time")
	case e.Version < 1:
		return badRecord("a record needs the version of its entity, from 1 on")
	case !name(e.Entity):
		return badRecord("a record needs an entity of 1 to 256 bytes of UTF-8")
	case !name(string(e.Actor.Principal)):
		return badRecord("a record needs a principal of 1 to 256 bytes of UTF-8")
	case !utf8.ValidString(string(e.Actor.Person)), !utf8.ValidString(string(e.Actor.Device)),
		!utf8.ValidString(e.Actor.Address.Zone()):
		return badRecord("an actor must be UTF-8")
	}
	for k, v := range e.Facts {
		switch {
		case !name(k):
			return badRecord("a fact needs a name of 1 to 256 bytes of UTF-8")
		case secretName(k):
			return access.Fail(access.Internal, "secret-in-record", "a record must not hold a secret").
				Because("a fact is named " + strconv.Quote(k))
		case !utf8.ValidString(v):
			return badRecord("a fact must be UTF-8").Because("fact " + strconv.Quote(k))
		}
	}
	return nil
}

func badRecord(message string) *access.Error {
	return access.Fail(access.Invalid, "bad-record", message)
}

// word reports whether s can be an id or a type: text that needs no escape and
// is safe to print anywhere.
func word(s string) bool {
	if s == "" || len(s) > maxID {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

func name(s string) bool { return s != "" && len(s) <= maxName && utf8.ValidString(s) }
