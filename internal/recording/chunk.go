package recording

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// chunkHead is the number of the first record and the base of its time.
const chunkHead = 16

// maxMicros is the latest time of a record: that of the largest time.Duration.
const maxMicros = math.MaxInt64 / 1000

// chunk gathers records until they are sealed. Its plaintext is b; the zero value is empty.
type chunk struct {
	b       []byte
	records uint64
	last    uint64 // when the last one was, in microseconds
}

// begin starts a chunk whose first record has that number.
func (c *chunk) begin(first, at uint64) {
	c.b = binary.BigEndian.AppendUint64(c.b[:0], first)
	c.b = binary.BigEndian.AppendUint64(c.b, at)
	c.records, c.last = 0, at
}

// add appends a record. A time before that of the record before it becomes the same: time in
// a recording does not go back.
func (c *chunk) add(kind Kind, channel uint32, at uint64, body []byte) {
	at = max(at, c.last)
	c.b = append(c.b, byte(kind))
	c.b = numbers(c.b, uint64(channel), at-c.last, uint64(len(body)))
	c.b = append(c.b, body...)
	c.last = at
	c.records++
}

func microseconds(n uint64) time.Duration { return time.Duration(n) * time.Microsecond }

var errChunk = errors.New("what it holds is not of its form")

// decodeChunk calls each for the records of a chunk, whose first must have that number. It
// says how many there were, and at what time the last was.
func decodeChunk(b []byte, first uint64, notBefore time.Duration, each func(Record) error) (n uint64, last time.Duration, err error) {
	if len(b) <= chunkHead {
		return 0, 0, errChunk
	}
	if got := binary.BigEndian.Uint64(b); got != first {
		return 0, 0, fmt.Errorf("it begins with record %d, and %d would follow", got, first)
	}
	at := binary.BigEndian.Uint64(b[8:])
	f := &fields{b: b[chunkHead:]}
	for len(f.b) > 0 {
		kind := Kind(f.b[0])
		f.b = f.b[1:]
		channel, later := f.number32(), f.number()
		body := f.bytes()
		if f.bad || len(body) > MaxBody || at > maxMicros || later > maxMicros-at {
			return n, last, errChunk
		}
		at += later
		last = microseconds(at)
		if last < notBefore {
			return n, last, errors.New("its time is before that of the chunk before it")
		}
		e, err := decodeEvent(kind, body)
		if err != nil {
			return n, last, err
		}
		if err := each(Record{Number: first + n, At: last, Channel: channel, Event: e}); err != nil {
			return n, last, stop{err}
		}
		n++
	}
	return n, last, nil
}

// stop is an error of who reads, not of what is read.
type stop struct{ error }

func (s stop) Unwrap() error { return s.error }
