package access

import "errors"

// Kind classifies an error for the doors, each of which translates it with one
// table. The zero Kind is Internal.
type Kind uint8

// The kinds of error. They are comparable targets for errors.Is.
const (
	Internal        Kind = iota // our fault; the message is not shown
	Invalid                     // the input says something that cannot be
	Denied                      // policy, a person or a missing right says no
	Unauthenticated             // sign in first
	NotFound                    // no such thing, or not yours to know of
	Conflict                    // already decided, in use, changed meanwhile
	SetupFailed                 // allowed, but the target could not be set up
	Pending                     // not yet; ask again
	Expired                     // too late
	PasskeyNeeded               // a passkey is needed and none can be asked here
	Unavailable                 // a dependency or this server cannot answer now
	TooMany                     // over a limit; slow down
)

var kindNames = [...]string{"internal", "invalid", "denied", "unauthenticated", "not-found", "conflict",
	"setup-failed", "pending", "expired", "passkey-needed", "unavailable", "too-many"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[Internal]
}

// Error makes a Kind a target for errors.Is: errors.Is(err, access.NotFound).
func (k Kind) Error() string { return k.String() }

// Error is the one error type of Stint. Code, Message, Why and Next are public;
// Cause is for the log and never leaves the process.
type Error struct {
	Kind    Kind
	Code    string // stable, kebab-case: "duration-too-long"
	Message string // what happened, lower case, no full stop
	Why     string // the rule, line or value behind it
	Next    string // what the reader can do now
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

// Hint is what the reader can do now; a program says it when it ends with the error.
func (e *Error) Hint() string { return e.Next }

// Invalid reports whether what was asked for cannot be, whoever asks.
func (e *Error) Invalid() bool { return e.Kind == Invalid }

// Is reports whether target is this error's Kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// KindOf returns the kind of err; Internal for an error that is not ours.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	var k Kind
	if errors.As(err, &k) {
		return k
	}
	return Internal
}

// Fail is the short way to an Error: kind, code and public message.
func Fail(kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message}
}

// Because returns a copy of e with the reason set.
func (e *Error) Because(why string) *Error { c := *e; c.Why = why; return &c }

// Try returns a copy of e with the next step set.
func (e *Error) Try(next string) *Error { c := *e; c.Next = next; return &c }

// Wrap returns a copy of e with the cause set.
func (e *Error) Wrap(cause error) *Error { c := *e; c.Cause = cause; return &c }
