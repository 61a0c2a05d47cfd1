package recording

import (
	"crypto/ed25519"
	"io"
	"time"
)

// Sealed is one seal that holds.
type Sealed struct {
	Frame  uint64
	State  State
	At     time.Time
	Reason string // of the last one: why it ended
	By     ed25519.PublicKey
	Link   Link // of the seal's own frame
}

// EachSeal has each called for every seal that was found to hold, in their order, while the
// recording is read. It is called before reading begins.
func (d *Reader) EachSeal(each func(Sealed)) { d.sealed = each }

// Count is how many frames a recording has, as it says itself.
func Count(r io.Reader) (uint64, error) {
	fs, err := newFrames(r)
	for err == nil {
		_, err = fs.next()
	}
	if err == io.EOF {
		err = nil
	}
	if err != nil {
		return 0, err
	}
	return fs.number, nil
}
