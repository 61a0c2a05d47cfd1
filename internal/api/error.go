package api

import (
	"net/http"
	"strconv"
)

// Kind classifies an error; clients choose their exit code by it.
type Kind string

// The kinds of error.
const (
	Internal        Kind = "internal"        // a fault of the server
	Invalid         Kind = "invalid"         // the input says something that cannot be
	Denied          Kind = "denied"          // policy, a person or a missing right says no
	Unauthenticated Kind = "unauthenticated" // sign in first
	NotFound        Kind = "not-found"       // no such thing, or not yours to know of
	Conflict        Kind = "conflict"        // already decided, in use, changed meanwhile
	SetupFailed     Kind = "setup-failed"    // allowed, but the target could not be set up
	Pending         Kind = "pending"         // not yet; ask again
	Expired         Kind = "expired"         // too late
	PasskeyNeeded   Kind = "passkey-needed"  // a passkey is needed
	Unavailable     Kind = "unavailable"     // the server, or what it needs, cannot answer now
	TooMany         Kind = "too-many"        // over a limit; slow down
)

// Codes that the client acts on. The whole list stands in the API reference.
const (
	// CodeClockSkew says that the proof's time is outside the window. The
	// client corrects its clock by the answer's Date and asks again.
	CodeClockSkew = "clock-skew"
	// CodeProofReplayed says that this proof was seen before. Go's transport
	// may resend a call on a fresh connection by itself, with the same proof;
	// the client then asks again with a new one.
	CodeProofReplayed = "proof-replayed"
	// CodeBadProof says that there is no proof, or not one for this call.
	CodeBadProof = "bad-proof"
)

// statusOf is the one table from kind to HTTP status. 424 for a failed set-up
// keeps it apart from 502 and 504, which proxies give by themselves.
var statusOf = map[Kind]int{
	Internal:        http.StatusInternalServerError,
	Invalid:         http.StatusUnprocessableEntity,
	Denied:          http.StatusForbidden,
	Unauthenticated: http.StatusUnauthorized,
	NotFound:        http.StatusNotFound,
	Conflict:        http.StatusConflict,
	SetupFailed:     http.StatusFailedDependency,
	Pending:         http.StatusConflict,
	Expired:         http.StatusGone,
	PasskeyNeeded:   http.StatusForbidden,
	Unavailable:     http.StatusServiceUnavailable,
	TooMany:         http.StatusTooManyRequests,
}

// HTTPStatus is the status that answers carry for the kind; 500 for one that
// is not known.
func (k Kind) HTTPStatus() int {
	if s, ok := statusOf[k]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// kindOf guesses the kind of an answer that does not say it, because something
// between client and server gave it.
func kindOf(status int) Kind {
	switch status {
	case http.StatusUnauthorized:
		return Unauthenticated
	case http.StatusForbidden:
		return Denied
	case http.StatusNotFound:
		return NotFound
	case http.StatusConflict:
		return Conflict
	case http.StatusGone:
		return Expired
	case http.StatusFailedDependency:
		return SetupFailed
	case http.StatusTooManyRequests:
		return TooMany
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return Unavailable
	}
	if status >= 400 && status < 500 {
		return Invalid
	}
	return Internal
}

// Error makes a Kind a target for errors.Is: errors.Is(err, api.Denied).
func (k Kind) Error() string { return string(k) }

// Error is the one shape of a refusal, application/problem+json of RFC 9457:
// what happened, why, and what the reader can do now.
type Error struct {
	Type    string    `json:"type" doc:"The problem type, a URN made of the code" example:"urn:stint:error:duration-too-long"`
	Title   string    `json:"title" doc:"The HTTP status in words" example:"Forbidden"`
	Status  int       `json:"status" doc:"The HTTP status" example:"403"`
	Kind    Kind      `json:"kind" doc:"The class of the error; clients choose their exit code by it" enum:"internal,invalid,denied,unauthenticated,not-found,conflict,setup-failed,pending,expired,passkey-needed,unavailable,too-many"`
	Code    string    `json:"code" doc:"Stable name of this error" example:"duration-too-long"`
	Message string    `json:"message" doc:"What happened" example:"8h is longer than reader allows"`
	Why     string    `json:"why,omitempty" doc:"The rule, line or value behind it" example:"maxDuration is 4h (roles.yaml:12)"`
	Next    string    `json:"next,omitempty" doc:"What to do now" example:"ask for 4h or less"`
	Param   string    `json:"param,omitempty" doc:"The part of the input it is about" example:"duration"`
	Trace   string    `json:"trace,omitempty" doc:"Identifies this call in the server's log"`
	Request string    `json:"request,omitempty" doc:"The request it is about, where there is one" example:"req_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
	Faults  []Problem `json:"problems,omitempty" doc:"Each problem found in documents"`

	cause error
}

// Problem is one thing wrong, or odd, in a document.
type Problem struct {
	Source string `json:"source" doc:"File and line" example:"policy.yaml:31"`
	Text   string `json:"text" doc:"What is wrong" example:"unknown field \"durration\""`
	Next   string `json:"next,omitempty" doc:"The nearest right thing" example:"did you mean \"duration\"?"`
}

// Error is message and reason; it never holds more than the public members.
func (e *Error) Error() string {
	s := e.Message
	if s == "" {
		s = "the server answered " + strconv.Itoa(e.Status)
	}
	if e.Why != "" {
		s += ": " + e.Why
	}
	return s
}

// Is reports whether target is this error's Kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// Unwrap returns the local cause, such as that of a file; never from the wire.
func (e *Error) Unwrap() error { return e.cause }

// Hint is what to do now; a program says it when it ends with the error.
func (e *Error) Hint() string { return e.Next }

// GetStatus is the HTTP status, from the kind where none is set. With
// ContentType it lets an HTTP framework write the error as it is.
func (e *Error) GetStatus() int {
	if e.Status == 0 {
		return e.Kind.HTTPStatus()
	}
	return e.Status
}

// ContentType is that of problem details.
func (e *Error) ContentType(string) string { return problemType }

// Complete fills type, title and status from kind and code, as they go out.
func (e *Error) Complete() *Error {
	c := *e
	c.Status = e.GetStatus()
	c.Title = http.StatusText(c.Status)
	c.Type = "about:blank"
	if c.Code != "" {
		c.Type = "urn:stint:error:" + c.Code
	}
	return &c
}

// quoted shortens s for a message and makes it printable.
func quoted(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}
