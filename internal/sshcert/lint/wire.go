package lint

import (
	"encoding/binary"
	"errors"
)

var errShort = errors.New("the bytes end in the middle of a field")

// reader takes fields off the front of a message (RFC 4251 section 5). After the first
// error it gives nothing but zero values, so that a caller checks once.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.rest) {
		r.err, r.rest = errShort, nil
		return nil
	}
	out := r.rest[:n:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) bytes() []byte {
	n := r.uint32()
	if uint64(n) > uint64(len(r.rest)) {
		if r.err == nil {
			r.err, r.rest = errShort, nil
		}
		return nil
	}
	return r.take(int(n))
}

func (r *reader) text() string { return string(r.bytes()) }

// end is the error of what was read, or that something is left.
func (r *reader) end(what string) error {
	if r.err == nil && len(r.rest) > 0 {
		return errors.New(what + " has bytes after its end")
	}
	return r.err
}
