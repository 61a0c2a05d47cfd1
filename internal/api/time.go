package api

import "time"

// stamp is the one time format of the wire: RFC 3339, UTC, milliseconds.
const stamp = "2006-01-02T15:04:05.000Z07:00"

// Time is a point in time as the wire writes it. The zero Time is null: not
// known, or not yet.
type Time struct{ time.Time }

// At makes a Time; what is finer than a millisecond is cut off.
func At(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{t.UTC().Truncate(time.Millisecond)}
}

// String is the wire form without quotes, empty for the zero Time.
func (t Time) String() string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(stamp)
}

// Equal reports whether both are the same instant.
func (t Time) Equal(u Time) bool { return t.Time.Equal(u.Time) }

// MarshalText gives the wire form, empty for the zero Time.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads any RFC 3339 time; an empty text is the zero Time.
func (t *Time) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*t = Time{}
		return nil
	}
	parsed, err := time.Parse(time.RFC3339, string(b))
	if err != nil {
		return &Error{Kind: Invalid, Code: "bad-time", Message: quoted(string(b)) + " is not a time",
			Next: "write it like 2026-03-01T17:30:00Z"}
	}
	*t = At(parsed)
	return nil
}

// MarshalJSON gives null for the zero Time, so that scripts can test for it.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return []byte(`"` + t.String() + `"`), nil
}

// UnmarshalJSON reads a string or null.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = Time{}
		return nil
	}
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return &Error{Kind: Invalid, Code: "bad-time", Message: "a time is a string", Next: `write it like "2026-03-01T17:30:00Z"`}
	}
	return t.UnmarshalText(b[1 : len(b)-1])
}
