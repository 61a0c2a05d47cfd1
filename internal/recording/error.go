package recording

import (
	"errors"
	"fmt"
)

// Error is a refusal or failure for the person who runs the gateway or reads a recording. Its
// texts are lower case and without a full stop.
type Error struct {
	Message string // what happened
	Why     string // the rule behind it
	Next    string // how to mend it
	Cause   error
}

func (e *Error) Error() string {
	s := e.Message
	if e.Why != "" {
		s += ": " + e.Why
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

var (
	// ErrClosed says that the recording, or the spool, takes nothing any more.
	ErrClosed = errors.New("the recording is closed")

	// ErrExists says that there is a recording of that name already.
	ErrExists = errors.New("there is a recording of that name already")

	// ErrNotFound says that there is none of that name.
	ErrNotFound = errors.New("there is no recording of that name")

	// ErrBusy says that another process uses the spool.
	ErrBusy = errors.New("another process uses it")

	// ErrTooLarge says that a record is larger than a record may be.
	ErrTooLarge = errors.New("a record is too large")
)

// Damage says that a recording is not what was written, and where.
type Damage struct {
	Frame uint64 // the first frame that is not right; 0 is the head
	What  string // what is wrong with it

	cut bool // the recording ends in it
}

func (d *Damage) Error() string {
	if d.Frame == 0 {
		return "the recording is damaged in its head: " + d.What
	}
	return fmt.Sprintf("the recording is damaged in chunk %d: %s", d.Frame, d.What)
}
