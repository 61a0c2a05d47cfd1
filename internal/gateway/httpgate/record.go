package httpgate

import (
	"net/netip"

	"stint/internal/gateway"
)

// Recorder keeps what passes. An error of any of its methods ends the session: what
// cannot be recorded does not happen.
//
// In a session whose permit is strict, Request and Body MUST return only when what they
// were given is durable. Methods of one tape are called by several goroutines at once.
type Recorder interface {
	// Begin starts the record of a session.
	Begin(s *gateway.Session, from Client) (Tape, error)
}

// Client is what is known of the program at the person's end.
type Client struct {
	Source  netip.AddrPort
	Program string // as it introduced itself; the person's own words
	Browser bool   // it came from the sign-in, and not with a device's key
}

// Tape is the record of one session.
type Tape interface {
	// Request keeps what is about to be sent on, or is refused.
	Request(r Request) error
	// Body keeps what is about to be sent on of a request's body or of its answer.
	Body(n uint64, answer bool, data []byte) error
	// Outcome keeps how the request with this number went.
	Outcome(n uint64, r Request, o Outcome) error
	// Close ends the record.
	Close(why *gateway.Ended) error
}

// Request is what is about to be sent on.
type Request struct {
	N      uint64 // from 1 on through the session
	Method string // WEBSOCKET where one is opened
	Target string // as it is sent
	Why    string // it is refused; "" where it is sent on
}

// Outcome is how a request went.
type Outcome struct {
	Status         int    // 0: there was no answer
	Sent, Received uint64 // bytes of bodies, to the application and from it
	Failed         string // "" where it was answered whole
}
