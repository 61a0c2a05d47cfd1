package pggate

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	buffer        = 64 << 10
	headLen       = 5
	longestBody   = 1 << 30 // the server's own bound, PQ_LARGE_MESSAGE_LIMIT
	longestSmall  = 32 << 10
	mostStatement = 16 << 20
	longestName   = 1 << 10 // of a statement or portal
)

// head is the type and the length of the body of a message. On the wire the length
// counts itself; here it does not.
type head struct {
	kind byte
	n    int
}

var errMalformed = errors.New("a message that the protocol does not have")

// peekHead reads the next message's head and leaves it where it is.
func peekHead(r *bufio.Reader) (head, error) {
	b, err := r.Peek(headLen)
	if err != nil {
		return head{}, err
	}
	n := binary.BigEndian.Uint32(b[1:])
	if n < 4 || n > longestBody {
		return head{}, fmt.Errorf("%w: a length of %d", errMalformed, n)
	}
	return head{b[0], int(n) - 4}, nil
}

// pass sends a message on without holding more of it than the buffers do. It tells an
// error of the one side from one of the other.
func pass(w *bufio.Writer, r *bufio.Reader, h head) (reading, writing error) {
	for left := headLen + h.n; left > 0; {
		b, err := r.Peek(min(left, max(1, r.Buffered())))
		if err != nil {
			return err, nil
		}
		if _, err := w.Write(b); err != nil {
			return nil, err
		}
		left -= len(b)
		if _, err := r.Discard(len(b)); err != nil {
			return err, nil
		}
	}
	return nil, nil
}

// whole reads a message's body, the head included. What is returned is valid until the
// next read where it fits the buffer, and its own memory otherwise.
func whole(r *bufio.Reader, h head, most int) ([]byte, error) {
	if h.n > most {
		return nil, fmt.Errorf("%w: %d bytes", errTooLong, h.n)
	}
	if headLen+h.n <= r.Size() {
		b, err := r.Peek(headLen + h.n)
		if err != nil {
			return nil, err
		}
		_, err = r.Discard(len(b))
		return b, err
	}
	// It grows with what arrives, not with what was announced.
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r, int64(headLen+h.n)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

var errTooLong = errors.New("a message that is too long")

// word cuts a string that ends with a zero byte off.
func word(b []byte) (s string, rest []byte, err error) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return "", nil, fmt.Errorf("%w: a text without an end", errMalformed)
	}
	return string(b[:i]), b[i+1:], nil
}

// frame makes a message.
func frame(kind byte, body []byte) []byte {
	b := make([]byte, 0, headLen+len(body))
	b = append(b, kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)+4))
	return append(b, body...)
}

// said is an ErrorResponse or a NoticeResponse, as pairs of a field's letter and its text.
// Appendix B of the manual has the letters.
func said(kind byte, fields ...string) []byte {
	var b []byte
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i+1] == "" {
			continue
		}
		b = append(b, fields[i][0])
		b = append(b, bytes.ReplaceAll([]byte(fields[i+1]), []byte{0}, nil)...)
		b = append(b, 0)
	}
	return frame(kind, append(b, 0))
}

// field is the text of one field of an ErrorResponse, "" where it has none.
func field(body []byte, letter byte) string {
	for len(body) > 1 {
		text, rest, err := word(body[1:])
		if err != nil {
			return ""
		}
		if body[0] == letter {
			return text
		}
		body = rest
	}
	return ""
}
