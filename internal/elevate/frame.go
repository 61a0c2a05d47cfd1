package elevate

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// Socket is where the runner listens, and HostFile says which host this is, both in a
// folder that everybody may enter and only root changes.
const (
	Folder   = "/run/stint-elevate"
	Socket   = Folder + "/socket"
	HostFile = Folder + "/host"
)

// Kind says what a frame holds. Known to programs of every age: only add.
type Kind byte

// The kinds. Of the client:
const (
	KindAsk    Kind = 'R' // Ask, JSON; the first, and only once
	KindInput  Kind = 'I' // bytes for the command
	KindEnd    Kind = 'E' // there is no more input
	KindWindow Kind = 'W' // Window, JSON
	KindSignal Kind = 'S' // HUP, INT, QUIT, TERM, USR1 or USR2
)

// And of the runner:
const (
	KindAccepted Kind = 'A' // Accepted, JSON
	KindRefused  Kind = 'F' // Refusal, JSON; the last
	KindOutput   Kind = 'O' // bytes of the command
	KindProblem  Kind = 'X' // likewise, its standard error
	KindNote     Kind = 'N' // a line for the person
	KindExited   Kind = 'D' // Exit, JSON; the last
	KindTaken    Kind = 'T' // Taken, JSON
)

var fromClient, fromRunner = []Kind{KindAsk, KindInput, KindEnd, KindWindow, KindSignal}, []Kind{KindAccepted, KindRefused, KindOutput, KindProblem, KindNote, KindExited, KindTaken}

// MaxPayload bounds the bytes of one frame.
const MaxPayload = 64 << 10

// MaxAhead bounds the bytes of input that a client has sent and that were not Taken. So the
// runner has room for all that comes and never stops reading: a signal, or that the client has
// hung up, is heard also while the command reads nothing.
const MaxAhead = 256 << 10

const headSize = 5

// Frame is one message.
type Frame struct {
	Kind    Kind
	Payload []byte
}

// errFrame is what is no frame. Whoever sends it is told, and nothing more is read.
var errFrame = errors.New("it is not a message of this conversation")

// Append adds the frame's bytes.
func (f Frame) Append(b []byte) ([]byte, error) {
	if len(f.Payload) > MaxPayload {
		return b, fmt.Errorf("a message of %d bytes is too large: %w", len(f.Payload), errFrame)
	}
	b = append(b, byte(f.Kind))
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.Payload)))
	return append(b, f.Payload...), nil
}

// Reader reads the frames of one side. It holds one frame, whatever a head says.
type Reader struct {
	in    io.Reader
	kinds []Kind
	head  [headSize]byte
	buf   []byte
}

// NewClientReader reads what clients send, and NewRunnerReader what the runner sends.
func NewClientReader(in io.Reader) *Reader { return &Reader{in: in, kinds: fromClient} }

// NewRunnerReader reads what the runner sends.
func NewRunnerReader(in io.Reader) *Reader { return &Reader{in: in, kinds: fromRunner} }

// Next reads a frame, whose payload is good until the next call. io.EOF is the end
// between two frames, and nowhere else.
func (r *Reader) Next() (Frame, error) {
	if _, err := io.ReadFull(r.in, r.head[:]); err != nil {
		return Frame{}, err
	}
	kind, n := Kind(r.head[0]), binary.BigEndian.Uint32(r.head[1:])
	if !slices.Contains(r.kinds, kind) {
		return Frame{}, fmt.Errorf("a message is of the kind %#02x: %w", byte(kind), errFrame)
	}
	if n > MaxPayload {
		return Frame{}, fmt.Errorf("a message says that it has %d bytes: %w", n, errFrame)
	}
	if r.buf == nil {
		r.buf = make([]byte, MaxPayload)
	}
	if _, err := io.ReadFull(r.in, r.buf[:n]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, err
	}
	return Frame{kind, r.buf[:n]}, nil
}

const version = 1

// Ask is what a client wants run.
type Ask struct {
	Version int      `json:"v"`
	Argv    []string `json:"argv"` // the absolute path of a program, and its exact arguments
	// Terminal is what the person's is like, where the command gets one.
	Terminal *Terminal `json:"terminal,omitempty"`
}

// Terminal is a person's terminal.
type Terminal struct {
	Term string `json:"term"`
	Window
}

// Window is the size of a terminal.
type Window struct {
	Columns uint16 `json:"columns"`
	Rows    uint16 `json:"rows"`
}

// Accepted says that the command runs.
type Accepted struct {
	ID       string `json:"id"` // of the command, and its recording
	RunAs    string `json:"run_as"`
	LeftSecs int64  `json:"left"` // seconds until it is ended
}

// Refusal says why it does not.
type Refusal struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Why     string `json:"why,omitempty"`
	Next    string `json:"next,omitempty"`
}

// Exit says how the command ended.
type Exit struct {
	Status int    `json:"status"`
	Signal int    `json:"signal,omitempty"` // the number of the signal that ended it
	Cut    string `json:"cut,omitempty"`    // why it was ended by the runner; empty: it ended by itself
}

// Bounds of an Ask.
const (
	maxArgv    = 256
	maxArgText = 4096
	maxTerm    = 64
)

// Check holds an Ask against the bounds.
func (a Ask) Check() error {
	switch {
	case a.Version != version:
		return fmt.Errorf("it is of version %d of the conversation, and not %d", a.Version, version)
	case len(a.Argv) == 0 || len(a.Argv) > maxArgv:
		return errors.New("a command is 1 to 256 words")
	}
	total := 0
	for _, s := range a.Argv {
		total += len(s)
		if bytes.IndexByte([]byte(s), 0) >= 0 || !utf8.ValidString(s) {
			return errors.New("a word of the command is not text")
		}
	}
	if total > maxArgText {
		return errors.New("the command is too long")
	}
	if t := a.Terminal; t != nil && !validTerm(t.Term) {
		return errors.New("the kind of terminal is not the name of one")
	}
	return nil
}

// validTerm accepts what terminals are called. The name is looked up as a file's, by
// programs that run as root: there is no slash and no leading dot in it.
func validTerm(s string) bool {
	if s == "" || len(s) > maxTerm || s[0] == '.' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' && c != '+' {
			return false
		}
	}
	return true
}

// Taken says that the command has so many more bytes of its input.
type Taken struct {
	Bytes int `json:"bytes"`
}

// Encode makes a frame of JSON.
func Encode(kind Kind, v any) Frame {
	b, err := json.Marshal(v)
	if err != nil { // only of what cannot be written as JSON, and all of ours can
		panic(err)
	}
	return Frame{kind, b}
}

// Decode reads the JSON of a frame, and nothing that it does not know.
func Decode(f Frame, v any) error {
	d := json.NewDecoder(bytes.NewReader(f.Payload))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %s", errFrame, "it cannot be read")
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%w: %s", errFrame, "something stands behind it")
	}
	return nil
}
