package apiserver

import (
	"bytes"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

const (
	linesType = "application/x-ndjson"
	// streamLife ends even the longest stream; clients come again where they were.
	streamLife = 12 * time.Hour
)

// stream writes an answer bit by bit. A client that does not read for
// writeWithin is let go.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func newStream(hc huma.Context) *stream {
	_, w := humago.Unwrap(hc)
	return &stream{w: w, control: http.NewResponseController(w)}
}

// Write implements io.Writer.
func (s *stream) Write(b []byte) (int, error) {
	if err := s.control.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
		return 0, err
	}
	return s.w.Write(b)
}

// line writes one line, and an empty one at once.
func (s *stream) line(parts ...[]byte) error {
	if _, err := s.Write(append(bytes.Join(parts, nil), '\n')); err != nil {
		return err
	}
	if len(parts) == 0 {
		return s.flush()
	}
	return nil
}

func (s *stream) flush() error { return s.control.Flush() }
