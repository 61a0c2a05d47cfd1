package pggate

import (
	"net/netip"

	"stint/internal/gateway"
	"stint/internal/gateway/statement"
)

// Recorder keeps what passes. An error of any of its methods ends the session: what
// cannot be recorded does not happen.
//
// In a session whose permit is strict, Statement MUST return only when what it was given
// is durable. Methods of one tape are called by several goroutines at once.
type Recorder interface {
	// Begin starts the record of a session.
	Begin(s *gateway.Session, from Client) (Tape, error)
}

// Client is what is known of the program at the person's end.
type Client struct {
	Source      netip.AddrPort
	Application string // as it introduced itself; the person's own words
	Database    string
}

// Tape is the record of one session.
type Tape interface {
	// Statement keeps what is about to be sent.
	Statement(s Statement) error
	// Outcome keeps how the statement with this number went, or one of several that were
	// sent as one.
	Outcome(n uint64, o Outcome) error
	// Note keeps what belongs to no statement.
	Note(text string) error
	// Close ends the record.
	Close(why *gateway.Ended) error
}

// How is how a statement was sent.
type How uint8

// The ways.
const (
	Simple   How = iota + 1 // a text that is carried out, of one or several statements
	Prepared                // a text that is only read
	Executed                // what was prepared is carried out; values are not kept
	Rejected                // what does not pass the gateway
)

// Statement is what is about to be sent.
type Statement struct {
	N    uint64 // from 1 on through the session
	How  How
	Text string
	Of   uint64 // of Executed: the number of what was prepared, 0 where it is not known
	// Classes are what its words say that it does: advice. Of Executed they are those of
	// what was prepared.
	Classes statement.Classes
	Why     string // of Rejected
}

// Outcome is how a statement went.
type Outcome struct {
	Tag    string // the server's word for what was done, "SELECT 5"
	Failed string // SQLSTATE and message; "" where it did not fail
	Rows   uint64 // that came back
	Bytes  uint64 // of rows and of copied data, both ways
}
