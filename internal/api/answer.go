package api

import (
	"encoding/json"
	"mime"
	"net/http"
)

// answer is what came back, read whole, or a stream.
type answer struct {
	status int
	header http.Header
	text   []byte
	stream *stream
}

// refusal is the error that the answer carries, or nil.
func (a *answer) refusal() error {
	switch {
	case len(a.text) > maxAnswer:
		return &Error{Kind: Internal, Status: a.status, Code: "answer-too-long", Message: "the answer is longer than a Stint server's"}
	case a.status >= 200 && a.status < 300:
		return nil
	case a.status >= 300 && a.status < 400:
		return &Error{Kind: Invalid, Status: a.status, Code: "redirected", Message: "the server's address leads elsewhere",
			Why: "to " + quoted(a.header.Get("Location")), Next: "set STINT_SERVER, or --server, to the address itself"}
	}
	date, _ := http.ParseTime(a.header.Get("Date"))
	return &refused{public: a.problem(), date: date, after: retryAfter(a.header)}
}

// problem reads problem details, or makes them up for an answer by something
// between client and server.
func (a *answer) problem() *Error {
	var e Error
	if a.is(problemType) && json.Unmarshal(a.text, &e) == nil && e.Message != "" {
		e.Status = a.status // what was said on the way, whatever it says itself
		if _, known := statusOf[e.Kind]; !known {
			e.Kind = kindOf(a.status)
		}
		return &e
	}
	if e := a.oauthProblem(); e != nil {
		return e
	}
	made := Error{Kind: kindOf(a.status), Status: a.status, Code: "no-details",
		Message: "the server's address answers " + quoted(http.StatusText(a.status)), Trace: a.header.Get(HeaderTrace)}
	if !a.is(problemType) {
		made.Why = "the answer is not from a Stint server"
		made.Next = "check STINT_SERVER, or --server, and any proxy before it"
	}
	return made.Complete()
}

// read decodes the answer into out. Members that out lacks are ignored: the
// server may be newer.
func (a *answer) read(out any) error {
	if out == nil {
		return nil
	}
	if !a.is(jsonType) || json.Unmarshal(a.text, out) != nil { // its error could quote a secret
		return &Error{Kind: Internal, Status: a.status, Code: "not-stint", Message: "the answer is not from a Stint server, or from a newer one",
			Next: "check STINT_SERVER, or --server, and stint's version"}
	}
	return nil
}

func (a *answer) is(mediaType string) bool {
	t, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	return err == nil && t == mediaType
}
