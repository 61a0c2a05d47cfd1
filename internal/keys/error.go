package keys

import "errors"

// Error is a refusal for the person who runs the server. Its texts are lower case,
// without a full stop, and contain no key material.
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

// Hint is how to mend it; a program says it when it ends with the error.
func (e *Error) Hint() string { return e.Next }

var (
	// ErrSealed says that a sealed value does not open: damaged, moved from another
	// place, or sealed for another purpose. Which of these is not known.
	ErrSealed = errors.New("the sealed value does not open")

	// ErrUnknownKey says that a value was sealed by a seal key that the key file
	// does not hold: the wrong file, or a line was removed too early.
	ErrUnknownKey = errors.New("the value was sealed by another seal key than those of the key file")

	errNoBinding = errors.New("a purpose and a place are needed to seal")
)
