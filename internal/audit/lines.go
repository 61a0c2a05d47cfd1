package audit

import (
	"bufio"
	"errors"
	"io"

	"stint/internal/access"
)

// What can be wrong with a line before its content is looked at.
var (
	errCut  = errors.New("cut off in the middle of the line")
	errLong = errors.New("the line is too long")
)

// lineReader reads lines of at most MaxLine bytes into one buffer.
type lineReader struct {
	r      *bufio.Reader
	buf    []byte
	number int // of the line last returned, from 1
}

// next returns the next line without its line break, valid until the next
// call; io.EOF after the last. With errCut and errLong it returns what it has.
func (l *lineReader) next() ([]byte, error) {
	l.buf = l.buf[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		l.buf = append(l.buf, part...)
		switch {
		case len(l.buf) > MaxLine:
			l.number++
			return l.buf[:MaxLine], errLong
		case err == nil:
			l.number++
			return l.buf[:len(l.buf)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(l.buf) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			l.number++
			return l.buf, errCut
		default:
			return nil, access.Fail(access.Unavailable, "export-unreadable", "the export could not be read").Wrap(err)
		}
	}
}
