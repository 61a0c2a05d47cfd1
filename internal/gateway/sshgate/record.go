package sshgate

import (
	"net/netip"

	"stint/internal/gateway"
)

// Recorder keeps what passes. An error of any of its methods ends the session: what
// cannot be recorded does not happen.
//
// In a session whose permit is strict, Channel, Event and Note MUST return only when what
// they were given is durable, and so MUST Wait for what Data was given before it gave that
// mark. Otherwise they may return before, for as long and for as many bytes as the
// recorder's own bounds say. Methods of one tape are called by several goroutines at once;
// those of one track by several, too. They MUST NOT keep the slices they are given.
type Recorder interface {
	// Begin starts the record of a session.
	Begin(s *gateway.Session, from Client) (Tape, error)
}

// Client is what is known of the program at the person's end.
type Client struct {
	Source  netip.AddrPort
	Version string // as it introduced itself; the person's own words
}

// Tape is the record of one session.
type Tape interface {
	// Channel starts the record of one channel, before the channel is there.
	Channel(c Channel) (Track, error)
	// Note keeps what belongs to no channel.
	Note(e Event) error
	// Close ends the record. Tracks that are open end with it.
	Close(why *gateway.Ended) error
}

// Track is the record of one channel.
type Track interface {
	// Data takes bytes that are about to pass. They pass when Wait with the mark has
	// returned nil, and not before.
	Data(s Stream, p []byte) (Mark, error)
	Wait(m Mark) error
	Event(e Event) error
	Close() error
}

// Mark is a place in a recorder's own order; see Track.Data.
type Mark uint64

// Stream is a direction of data within a channel.
type Stream uint8

// The streams.
const (
	In  Stream = iota + 1 // towards the target; of a channel that the target opened, too
	Out                   // from the target
	Err                   // from the target, its second stream
)

// Channel says what a channel is for. Kind is the SSH name of what was asked: shell,
// exec, sftp, direct-tcpip, direct-streamlocal@openssh.com, forwarded-tcpip,
// forwarded-streamlocal@openssh.com, auth-agent@openssh.com, x11.
type Channel struct {
	Kind     string
	Command  string      // of exec
	Terminal *Terminal   // where one was asked for
	Env      [][2]string // the variables that were set
	Address  string      // of a forwarding: host:port or path
	Origin   string      // of a forwarding: who opened it, as told
}

// Terminal is what a person's terminal is like.
type Terminal struct {
	Term          string
	Columns, Rows uint32
	// Width and Height in pixels; Modes as RFC 4254 section 8 encodes them.
	Width, Height uint32
	Modes         string
}

// Event is something that happened: one of the types below.
type Event interface{ event() }

// The events.
type (
	// Resize is a change of the terminal.
	Resize struct{ Columns, Rows uint32 }
	// Signal was sent to the program by the person.
	Signal struct{ Name string }
	// Exit is how the program ended. Signal is empty where it ended by itself.
	Exit struct {
		Status uint32
		Signal string
	}
	// File is one operation of a file transfer, before it is forwarded.
	File struct {
		Operation string // open, opendir, remove, rename, …; the protocol's names
		Path, To  string
		Flags     string // of open: any of r w a c t x
	}
	// Transferred is what was read and written of one file until it was closed. A digest
	// stands where all of it went from start to end in order.
	Transferred struct {
		Path                      string
		Read, Written             uint64
		ReadSHA256, WrittenSHA256 string
	}
	// Failed is an operation that the target did not carry out.
	Failed struct {
		Operation, Path string
		Status          uint32
	}
	// Refused is what was asked for and not allowed.
	Refused struct{ What, Why string }
	// Matched is a command rule that sets off an alarm.
	Matched struct{ Pattern, Text string }
	// Listening is a port or path of the target on which connections are waited for.
	Listening struct{ Address string }
	// Paused and Resumed say that nothing passed between them.
	Paused  struct{ Text string }
	Resumed struct{ Text string }
	// Told is what the gateway itself wrote into a terminal.
	Told struct{ Text string }
)

func (Resize) event()      {}
func (Signal) event()      {}
func (Exit) event()        {}
func (File) event()        {}
func (Transferred) event() {}
func (Failed) event()      {}
func (Refused) event()     {}
func (Matched) event()     {}
func (Listening) event()   {}
func (Paused) event()      {}
func (Resumed) event()     {}
func (Told) event()        {}
