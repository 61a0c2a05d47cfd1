package recording

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// frame is one frame as it stands in a recording.
type frame struct {
	kind    byte
	number  uint64
	head    []byte // the frame before its payload
	payload []byte
	before  Link
	link    Link
}

// frames reads a recording frame by frame. It checks the form and the links, which anybody can
// make; what they are worth the seals say. It holds one frame in memory, which the next call
// overwrites.
type frames struct {
	head   head
	first  Link // the head's
	last   Link
	number uint64 // of the last frame
	offset int64  // where the next one begins
	r      *bufio.Reader
	buf    []byte
}

func newFrames(r io.Reader) (*frames, error) {
	f := &frames{r: bufio.NewReaderSize(r, 32<<10)}
	h, link, err := readHead(f.r)
	if err != nil {
		return nil, err
	}
	f.head, f.first, f.last = h, link, link
	f.offset = int64(headFixed + len(h.name) + linkSize)
	return f, nil
}

// next reads a frame; io.EOF: there is none. A *Damage says that what stands there is not
// whole, or not the one that follows.
func (f *frames) next() (frame, error) {
	number := f.number + 1
	damage := func(what string) (frame, error) { return frame{}, &Damage{Frame: number, What: what} }
	if cap(f.buf) < frameHead {
		f.buf = make([]byte, frameHead, 4<<10)
	}
	b := f.buf[:frameHead]
	if _, err := io.ReadFull(f.r, b); errors.Is(err, io.EOF) {
		return frame{}, io.EOF
	} else if err != nil {
		return f.cut(number, err)
	}
	n := int64(binary.BigEndian.Uint32(b[9:]))
	switch got := binary.BigEndian.Uint64(b[1:]); {
	case b[0] != frameChunk && b[0] != frameSeal:
		return damage("it is neither a chunk nor a seal")
	case got != number:
		return damage("another one stands in its place")
	case n > maxPayload:
		return damage("it says that it is longer than one may be")
	}
	need := frameHead + int(n) + linkSize
	// The length is only what the frame says of itself: memory grows with what is there.
	for at := frameHead; at < need; {
		step := min(need-at, 64<<10)
		if cap(f.buf) < at+step {
			grown := make([]byte, at, min(need, 2*(at+step)))
			copy(grown, f.buf[:at])
			f.buf = grown
		}
		if _, err := io.ReadFull(f.r, f.buf[at:at+step]); err != nil {
			return f.cut(number, err)
		}
		at += step
	}
	b = f.buf[:need]
	body := b[:need-linkSize]
	link := Link(b[need-linkSize:])
	if linkOf(f.last, body) != link {
		return damage("it is not what was written, or does not follow the one before it")
	}
	out := frame{kind: b[0], number: number, head: body[:frameHead], payload: body[frameHead:], before: f.last, link: link}
	f.last, f.number, f.offset = link, number, f.offset+int64(need)
	return out, nil
}

func (f *frames) cut(number uint64, err error) (frame, error) {
	err = short(err, "it is cut off")
	if d := (*Damage)(nil); errors.As(err, &d) {
		d.Frame, d.cut = number, true
	}
	return frame{}, err
}

// checkSeal checks the form and the signature of a seal, and not whose it is.
func (f *frames) checkSeal(fr frame) (seal, error) {
	s, body, ok := decodeSeal(fr.payload)
	if !ok {
		return s, &Damage{Frame: fr.number, What: "it is not of a seal's form"}
	}
	if !verify(s.key, signed(f.head.id, fr.before, fr.number, body), s.signature) {
		return s, &Damage{Frame: fr.number, What: "its signature is not of what stands before it"}
	}
	return s, nil
}
