package recording

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// MaxBody is how large the body of a record may be. Output, Problem and Input are
// split where they are larger; others are refused.
const MaxBody = 256 << 10

// Kind says what a record tells. Kinds are stored and only added to; what one holds never changes:
// what must hold more gets a new kind.
type Kind byte

const (
	KindStart       Kind = 1  // the session began
	KindOpen        Kind = 2  // a channel was opened
	KindTerminal    Kind = 3  // a terminal was asked for
	KindEnvironment Kind = 4  // a variable was set
	KindExec        Kind = 5  // a command, shell or subsystem was started
	KindOutput      Kind = 6  // bytes for the person, as of a terminal
	KindProblem     Kind = 7  // bytes for the person, standard error
	KindInput       Kind = 8  // bytes of the person
	KindResize      Kind = 9  // the window has another size
	KindSignal      Kind = 10 // a signal was sent
	KindExit        Kind = 11 // what was started ended
	KindFile        Kind = 12 // an operation on a file
	KindClose       Kind = 13 // a channel was closed
	KindStatement   Kind = 14 // a database statement, and how it went
	KindRequest     Kind = 15 // an HTTP request, and how it went
	KindNote        Kind = 16 // something that the product did or says
)

var kindNames = map[Kind]string{
	KindStart: "start", KindOpen: "open", KindTerminal: "terminal", KindEnvironment: "environment", KindExec: "exec",
	KindOutput: "output", KindProblem: "problem", KindInput: "input", KindResize: "resize", KindSignal: "signal", KindExit: "exit",
	KindFile: "file", KindClose: "close", KindStatement: "statement", KindRequest: "request", KindNote: "note",
}

func (k Kind) String() string {
	if s := kindNames[k]; s != "" {
		return s
	}
	return fmt.Sprintf("kind-%d", byte(k))
}

// Event is what a record tells: one of the types below. Texts come from people and targets and
// may hold any bytes.
//
// Its body holds its fields in their order: a text as length (uvarint) and bytes, a number as
// uvarint. The body of Output, Problem and Input is their bytes and nothing else.
type Event interface {
	Kind() Kind
	appendBody(b []byte) []byte
}

// Record is one thing that happened.
type Record struct {
	Number  uint64        // from 0 on
	At      time.Duration // since the recording began
	Channel uint32        // which channel, statement stream or request of the session; 0 is the session itself
	Event   Event
}

type (
	// Start says what session this is. It is the first record.
	Start struct{ Facts []Fact }

	// Fact is one thing that is known of the session, by a name such as FactGrant.
	Fact struct{ Name, Value string }

	// Open says that a channel was opened, of what type and whence and whither: "session",
	// "direct-tcpip" from "127.0.0.1:4711" to "db1:5432".
	Open struct{ Type, From, To string }

	// Terminal says that a terminal was asked for.
	Terminal struct {
		Term          string
		Columns, Rows uint32
	}

	// Environment says that a variable was to be set, and whether it was.
	Environment struct{ Name, Value, Outcome string }

	// Exec says what was started: Type is "shell", "exec" or "subsystem", Command the
	// text as it was sent.
	Exec struct{ Type, Command string }

	// Output is what was shown to the person, Problem what came on standard error,
	// Input what the person sent.
	Output  struct{ Data []byte }
	Problem struct{ Data []byte }
	Input   struct{ Data []byte }

	// Resize says that the window has another size.
	Resize struct{ Columns, Rows uint32 }

	// Signal says that a signal was sent, by its name without SIG.
	Signal struct{ Name string }

	// Exit says how what was started ended: its status, or the signal that ended it.
	Exit struct {
		Status uint32
		Signal string
	}

	// File is an operation of a file transfer: "open", "read", "write", "rename" and so on.
	File struct {
		Op, Path, To  string
		Offset, Bytes uint64
		Outcome       string // empty: it was done
	}

	// Close says that a channel was closed, and how many bytes the person sent and received on it.
	Close struct{ Sent, Received uint64 }

	// Statement is one statement to a database: how it was sent and, behind a blank, what its
	// words say that it does, as advice; its text, its outcome.
	Statement struct {
		Class, Text, Outcome string // outcome empty: it was done
		Rows, Bytes          uint64
	}

	// Request is one request to a web application.
	Request struct {
		Method, Target string
		Status         uint32 // 0: refused before it was sent on
		Sent, Received uint64
		Outcome        string // empty: it was done
	}

	// Note is what the product did or says, such as NoteCut, and why.
	Note struct{ What, Text string }

	// Unknown is a record of a kind that only a newer release knows.
	Unknown struct {
		Of   Kind
		Body []byte
	}
)

// Names of facts. Others may be used.
const (
	FactProtocol = "protocol" // ssh, postgres, http
	FactSession  = "session"
	FactGrant    = "grant"
	FactPerson   = "person"
	FactResource = "resource"
	FactRole     = "role"
	FactAccount  = "account" // on the target
	FactClient   = "client"  // address
	FactTarget   = "target"  // address
	FactGateway  = "gateway"
)

// What a Note says. Others may be used.
const (
	NoteWarning  = "warning"  // the end is near
	NotePaused   = "paused"   // nothing goes through
	NoteResumed  = "resumed"  //
	NoteExtended = "extended" // the end is later
	NoteWatched  = "watched"  // somebody watches, or stopped to
	NoteRefused  = "refused"  // a channel or command that the role does not allow
	NoteAlarm    = "alarm"    // a pattern was seen
	NoteCut      = "cut"      // the product ended the session
)

func (Start) Kind() Kind       { return KindStart }
func (Open) Kind() Kind        { return KindOpen }
func (Terminal) Kind() Kind    { return KindTerminal }
func (Environment) Kind() Kind { return KindEnvironment }
func (Exec) Kind() Kind        { return KindExec }
func (Output) Kind() Kind      { return KindOutput }
func (Problem) Kind() Kind     { return KindProblem }
func (Input) Kind() Kind       { return KindInput }
func (Resize) Kind() Kind      { return KindResize }
func (Signal) Kind() Kind      { return KindSignal }
func (Exit) Kind() Kind        { return KindExit }
func (File) Kind() Kind        { return KindFile }
func (Close) Kind() Kind       { return KindClose }
func (Statement) Kind() Kind   { return KindStatement }
func (Request) Kind() Kind     { return KindRequest }
func (Note) Kind() Kind        { return KindNote }
func (u Unknown) Kind() Kind   { return u.Of }

// does is what the words of a statement say, in brackets, so that it can be searched for.
func (e Statement) does() string {
	if _, c, ok := strings.Cut(e.Class, " "); ok {
		return "[" + c + "]"
	}
	return ""
}

func text(b []byte, values ...string) []byte {
	for _, v := range values {
		b = append(binary.AppendUvarint(b, uint64(len(v))), v...)
	}
	return b
}

func numbers(b []byte, values ...uint64) []byte {
	for _, v := range values {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func (e Start) appendBody(b []byte) []byte {
	b = numbers(b, uint64(len(e.Facts)))
	for _, f := range e.Facts {
		b = text(b, f.Name, f.Value)
	}
	return b
}
func (e Open) appendBody(b []byte) []byte { return text(b, e.Type, e.From, e.To) }
func (e Terminal) appendBody(b []byte) []byte {
	return numbers(text(b, e.Term), uint64(e.Columns), uint64(e.Rows))
}
func (e Environment) appendBody(b []byte) []byte { return text(b, e.Name, e.Value, e.Outcome) }
func (e Exec) appendBody(b []byte) []byte        { return text(b, e.Type, e.Command) }
func (e Output) appendBody(b []byte) []byte      { return append(b, e.Data...) }
func (e Problem) appendBody(b []byte) []byte     { return append(b, e.Data...) }
func (e Input) appendBody(b []byte) []byte       { return append(b, e.Data...) }
func (e Resize) appendBody(b []byte) []byte {
	return numbers(b, uint64(e.Columns), uint64(e.Rows))
}
func (e Signal) appendBody(b []byte) []byte { return text(b, e.Name) }
func (e Exit) appendBody(b []byte) []byte   { return text(numbers(b, uint64(e.Status)), e.Signal) }
func (e File) appendBody(b []byte) []byte {
	return text(numbers(text(b, e.Op, e.Path, e.To), e.Offset, e.Bytes), e.Outcome)
}
func (e Close) appendBody(b []byte) []byte { return numbers(b, e.Sent, e.Received) }
func (e Statement) appendBody(b []byte) []byte {
	return numbers(text(b, e.Class, e.Text, e.Outcome), e.Rows, e.Bytes)
}
func (e Request) appendBody(b []byte) []byte {
	return text(numbers(text(b, e.Method, e.Target), uint64(e.Status), e.Sent, e.Received), e.Outcome)
}
func (e Note) appendBody(b []byte) []byte    { return text(b, e.What, e.Text) }
func (e Unknown) appendBody(b []byte) []byte { return append(b, e.Body...) }

// fields takes a body apart. After the first value that is not there, all are empty and bad is set.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) number() uint64 {
	v, n := binary.Uvarint(f.b)
	if n <= 0 || n > 1 && f.b[n-1] == 0 { // a longer form of the same number
		f.b, f.bad = nil, true
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fields) number32() uint32 {
	v := f.number()
	if v > 1<<32-1 {
		f.b, f.bad = nil, true
		return 0
	}
	return uint32(v)
}

func (f *fields) bytes() []byte {
	n := f.number()
	if n > uint64(len(f.b)) {
		f.b, f.bad = nil, true
		return nil
	}
	v := f.b[:n]
	f.b = f.b[n:]
	return v
}

func (f *fields) text() string { return string(f.bytes()) }

// decodeEvent reads a body. What it accepts encodes again byte for byte. Data of Output,
// Problem, Input and Unknown is that of the body and not a copy.
func decodeEvent(kind Kind, body []byte) (Event, error) {
	f := &fields{b: body}
	var e Event
	switch kind {
	case KindStart:
		n := f.number()
		if n > uint64(len(f.b)) { // each takes two bytes
			return nil, fmt.Errorf("a record %s says that it has %d facts", kind, n)
		}
		s := Start{}
		for range n {
			if f.bad {
				break
			}
			s.Facts = append(s.Facts, Fact{f.text(), f.text()})
		}
		e = s
	case KindOpen:
		e = Open{f.text(), f.text(), f.text()}
	case KindTerminal:
		e = Terminal{f.text(), f.number32(), f.number32()}
	case KindEnvironment:
		e = Environment{f.text(), f.text(), f.text()}
	case KindExec:
		e = Exec{f.text(), f.text()}
	case KindOutput:
		return Output{body}, nil
	case KindProblem:
		return Problem{body}, nil
	case KindInput:
		return Input{body}, nil
	case KindResize:
		e = Resize{f.number32(), f.number32()}
	case KindSignal:
		e = Signal{f.text()}
	case KindExit:
		e = Exit{f.number32(), f.text()}
	case KindFile:
		e = File{f.text(), f.text(), f.text(), f.number(), f.number(), f.text()}
	case KindClose:
		e = Close{f.number(), f.number()}
	case KindStatement:
		e = Statement{f.text(), f.text(), f.text(), f.number(), f.number()}
	case KindRequest:
		e = Request{f.text(), f.text(), f.number32(), f.number(), f.number(), f.text()}
	case KindNote:
		e = Note{f.text(), f.text()}
	case 0:
		return nil, fmt.Errorf("a record has no kind")
	default:
		return Unknown{kind, body}, nil
	}
	if f.bad || len(f.b) > 0 {
		return nil, fmt.Errorf("a record %s is not of its form", kind)
	}
	return e, nil
}
