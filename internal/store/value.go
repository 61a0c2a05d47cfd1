package store

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"stint/internal/access"
)

// millis is how a time is stored: NULL for the zero time.
func millis(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

// instant is the time of stored milliseconds.
func instant(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// instantOf is the time of stored milliseconds that may be NULL.
func instantOf(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return instant(*ms)
}

// stamp is a time within a body: 0 for the zero time, else milliseconds.
type stamp int64

func stampOf(t time.Time) stamp {
	if t.IsZero() {
		return 0
	}
	return stamp(t.UnixMilli())
}

func (s stamp) time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return instant(int64(s))
}

// encode writes a body. The rows of this package always can be.
func encode(body any) (string, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return "", access.Fail(access.Internal, "unwritable-row", "a value cannot be stored").Wrap(err)
	}
	return string(b), nil
}

// decode reads a body strictly: an unknown field may be one that matters.
func decode(text, noun, id string, into any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, end := d.Token(); end != io.EOF {
			err = fmt.Errorf("something follows it")
		}
	}
	if err != nil {
		return unreadable(noun, id, err)
	}
	return nil
}

// damage marks a row that this program cannot understand.
type damage struct{ err error }

func (d *damage) Error() string { return d.err.Error() }
func (d *damage) Unwrap() error { return d.err }

func unreadable(noun, id string, err error) error {
	return access.Fail(access.Internal, "unreadable-row", "a stored "+noun+" cannot be read").Because(id).Wrap(&damage{err})
}

// digestOf copies a stored digest.
func digestOf(b []byte) (d access.Digest) {
	copy(d[:], b)
	return d
}
