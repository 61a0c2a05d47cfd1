package sshgate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// packets takes a stream of file transfer apart. It reads what is there, which is many packets at
// once while much passes, and holds no more than the longest packet, or mostRead.
type packets struct {
	b       []byte
	at, end int // what was read and not yet taken
	err     error
}

// fill reads more, behind what is left of a packet that has begun.
func (s *packets) fill(from io.Reader) error {
	if s.err != nil {
		return s.ended()
	}
	need := leastBuffer
	if left := s.b[s.at:s.end]; len(left) == 0 {
		s.at, s.end = 0, 0
	} else if len(left) >= 4 {
		need = max(need, 4+int(binary.BigEndian.Uint32(left))) // next has looked at it
	}
	if s.at > 0 && len(s.b)-s.end < max(need, mostBuffer) {
		s.end, s.at = copy(s.b, s.b[s.at:s.end]), 0
	}
	if len(s.b) < need {
		s.grow(need)
	}
	n, err := from.Read(s.b[s.end:])
	s.end, s.err = s.end+n, err
	switch {
	case n == 0 && err != nil:
		return s.ended()
	case s.end == len(s.b) && len(s.b) < mostRead:
		s.grow(min(4*len(s.b), mostRead))
	case s.at == 0 && s.end < leastBuffer && len(s.b) > mostBuffer: // little passes again
		s.b = append(make([]byte, 0, leastBuffer), s.b[:s.end]...)[:leastBuffer]
	}
	return nil
}

func (s *packets) grow(to int) {
	b := make([]byte, to)
	s.at, s.end = 0, copy(b, s.b[s.at:s.end])
	s.b = b
}

// ended is why nothing more comes.
func (s *packets) ended() error {
	if errors.Is(s.err, io.EOF) && s.end > s.at {
		return errProtocol
	}
	return s.err
}

// next is the next packet, with its length; nil where it has not come yet. It stays until more is
// read, and stands right behind the one before.
func (s *packets) next() ([]byte, error) {
	left := s.b[s.at:s.end]
	if len(left) < 4 {
		return nil, nil
	}
	n := binary.BigEndian.Uint32(left)
	if n == 0 || n > longestPacket {
		return nil, fmt.Errorf("%w: a packet of %d bytes", errProtocol, n)
	}
	if len(left) < 4+int(n) {
		return nil, nil
	}
	s.at += 4 + int(n)
	return left[:4+n], nil
}
