package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxFrame is above the longest message: a list of MaxKeys keys, or a certificate to
// sign, of which the check before it allows 16 KiB.
const MaxFrame = 32 << 10

// MaxKeys is how many keys a list has at most.
const MaxKeys = 64

const (
	version  = 1
	headSize = 1 + 1 + 8
)

// Kind is what a message is.
type Kind byte

// The kinds of messages.
const (
	Open     Kind = 1  // module, token, PIN: the first question
	Keys     Kind = 2  // what labels begin with
	Generate Kind = 3  // label, algorithm or nothing
	Sign     Kind = 4  // key, message
	Secret   Kind = 5  // label: make a key that encrypts
	Encrypt  Kind = 6  // label, additional data, plaintext
	Decrypt  Kind = 7  // label, additional data, ciphertext
	Done     Kind = 65 // what was asked for
	Failed   Kind = 66 // code, text
)

// fields says how many fields a kind has. A Done has as many as its question wants.
var fields = map[Kind][2]int{Open: {3, 3}, Keys: {1, 1}, Generate: {2, 2}, Sign: {2, 2}, Secret: {1, 1}, Encrypt: {3, 3}, Decrypt: {3, 3}, Done: {0, MaxKeys}, Failed: {2, 2}}

// Message is one question or one answer. An answer has the number of its question.
type Message struct {
	Kind   Kind
	Number uint64
	Fields [][]byte
}

// Format covers every verb of fmt.
func (m Message) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "message of kind %d with %d fields", byte(m.Kind), len(m.Fields))
}

// Encode gives the frame without its length.
func (m Message) Encode() ([]byte, error) {
	n, known := fields[m.Kind]
	if !known || len(m.Fields) < n[0] || len(m.Fields) > n[1] {
		return nil, fmt.Errorf("a message of kind %d does not have %d fields", byte(m.Kind), len(m.Fields))
	}
	b := append(make([]byte, 0, 256), version, byte(m.Kind))
	b = binary.BigEndian.AppendUint64(b, m.Number)
	for _, f := range m.Fields {
		if len(f) > MaxFrame {
			return nil, errTooLong
		}
		b = appendField(b, f)
	}
	if len(b) > MaxFrame {
		return nil, errTooLong
	}
	return b, nil
}

var errTooLong = fmt.Errorf("the message is longer than %d bytes", MaxFrame)

// Decode reads what Encode makes, and nothing else. The fields are the caller's.
func Decode(b []byte) (Message, error) {
	if len(b) > MaxFrame {
		return Message{}, errTooLong
	}
	if len(b) < headSize || b[0] != version {
		return Message{}, errors.New("it is no message of version 1")
	}
	m := Message{Kind: Kind(b[1]), Number: binary.BigEndian.Uint64(b[2:])}
	n, known := fields[m.Kind]
	if !known {
		return Message{}, fmt.Errorf("there is no message of kind %d", b[1])
	}
	for rest := b[headSize:]; len(rest) > 0; {
		f, after, err := cutField(rest)
		if err != nil {
			return Message{}, err
		}
		if len(m.Fields) == n[1] {
			return Message{}, fmt.Errorf("a message of kind %d has more fields than %d", b[1], n[1])
		}
		m.Fields, rest = append(m.Fields, f), after
	}
	if len(m.Fields) < n[0] {
		return Message{}, fmt.Errorf("a message of kind %d has fewer fields than %d", b[1], n[0])
	}
	return m, nil
}

func appendField(b, f []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
	return append(b, f...)
}

func cutField(b []byte) (field, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errors.New("a field is cut off")
	}
	n := binary.BigEndian.Uint32(b)
	if b = b[4:]; uint64(n) > uint64(len(b)) {
		return nil, nil, errors.New("a field is longer than its message")
	}
	return append([]byte{}, b[:n]...), b[n:], nil
}

// Write writes one frame, at once.
func Write(w io.Writer, m Message) error {
	b, err := m.Encode()
	if err != nil {
		return err
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b)))
	frame = append(frame, b...)
	defer clear(b)
	defer clear(frame)
	_, err = w.Write(frame)
	return err
}

// Read reads one frame. At the end of what there is, between two frames, the error is
// io.EOF.
func Read(r io.Reader) (Message, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Message{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > MaxFrame {
		return Message{}, errTooLong
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Message{}, err
	}
	defer clear(b)
	return Decode(b)
}
