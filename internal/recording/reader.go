package recording

import (
	"context"
	"crypto/cipher"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

func verify(key ed25519.PublicKey, message, signature []byte) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, signature)
}

// Anchor names a recording up to a frame. The audit log keeps that of the last.
type Anchor struct {
	Frames uint64
	Root   Link
}

// Trust says whose seals are believed, and what is known of a recording from elsewhere.
type Trust struct {
	Keys   []ed25519.PublicKey // of the gateways
	Name   string              // what recording it must be; empty: any
	Anchor *Anchor             // how it must end; nil: not known
	Live   bool                // it may still be written, so that a final seal is not asked for
	Lost   bool                // its writer did not send its end: it ends at its anchor, and needs no final seal
}

// Report is what was found in a recording.
type Report struct {
	Name    string
	ID      string // in hexadecimal
	Began   time.Time
	Ended   time.Time // when the last seal was made
	State   State
	Reason  string // why it ended
	By      ed25519.PublicKey
	Anchor  Anchor
	Sealed  uint64        // frames up to the last seal
	Records uint64        // 0 where it was not opened
	Length  time.Duration // when the last record was; 0 where it was not opened
	Bytes   int64
	Sum     Link // the SHA-256 of all of it; of what Keep.Ship moved only
}

// Reader reads a recording, and verifies what it reads.
type Reader struct {
	fs     *frames
	trust  Trust
	aead   cipher.AEAD // nil: only verified
	plain  []byte
	report Report
	sealed func(Sealed) // or nil
	done   bool
	err    error
}

// NewReader reads the head of a recording. Without openers it can only be verified.
func NewReader(r io.Reader, trust Trust, openers ...*Opener) (*Reader, error) {
	fs, err := newFrames(r)
	if err != nil {
		return nil, err
	}
	d := &Reader{fs: fs, trust: trust}
	if trust.Name != "" && trust.Name != fs.head.name {
		return nil, &Damage{What: "it is of another session, " + fs.head.name}
	}
	if len(openers) > 0 {
		if d.aead, err = openKey(fs.head, openers); err != nil {
			return nil, err
		}
	}
	d.report = Report{Name: fs.head.name, ID: fmt.Sprintf("%x", fs.head.id), Began: fs.head.began}
	return d, nil
}

// Name is the recording's name, and Began when it began.
func (d *Reader) Name() string     { return d.report.Name }
func (d *Reader) Began() time.Time { return d.report.Began }

// errLeft says that reading was given up in the middle, from where it cannot go on.
var errLeft = errors.New("the recording was not read to its end; read it from the beginning")

// Records gives the records, once. What it gives was decrypted, so that nobody but the writer made it; whether
// it is all, and sealed, is known at the end: when an error comes last, it is not. The
// bytes of a record are valid until the next one.
func (d *Reader) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if d.aead == nil {
			yield(Record{}, errors.New("the recording was not opened"))
			return
		}
		broke := errors.New("")
		err := d.read(func(r Record) error {
			if !yield(r, nil) {
				return broke
			}
			return nil
		})
		if err != nil && err != broke {
			yield(Record{}, err)
		}
	}
}

// Verify reads to the end and says what was found. The error is a *Damage when something is not
// as it was written, or is missing.
func (d *Reader) Verify() (Report, error) {
	err := d.read(func(Record) error { return nil })
	return d.report, err
}

// Report is what was found so far.
func (d *Reader) Report() Report { return d.report }

func (d *Reader) read(each func(Record) error) error {
	if d.done {
		return d.err
	}
	for {
		more, err := d.step(each)
		d.report.Bytes = d.fs.offset
		if s := (stop{}); errors.As(err, &s) {
			d.done, d.err = true, errLeft
			return s.error
		}
		if err != nil || !more {
			d.done, d.err = true, err
			return err
		}
	}
}

// step reads a frame.
func (d *Reader) step(each func(Record) error) (more bool, err error) {
	fr, err := d.fs.next()
	if errors.Is(err, io.EOF) {
		return false, d.end()
	}
	if cut := (*Damage)(nil); d.trust.Live && errors.As(err, &cut) && cut.cut { // it is being written
		return false, d.end()
	}
	if err != nil {
		return false, err
	}
	if d.report.State != Unended {
		return false, &Damage{Frame: fr.number, What: "it stands behind the final seal"}
	}
	d.report.Anchor = Anchor{fr.number, fr.link}
	if a := d.trust.Anchor; a != nil && fr.number == a.Frames && fr.link != a.Root {
		return false, &Damage{Frame: fr.number, What: "the audit log knows another recording: this one was replaced"}
	}
	if fr.kind == frameSeal {
		return true, d.seal(fr)
	}
	if d.aead == nil {
		return true, nil
	}
	nonce := nonceOf(fr.number)
	d.plain, err = d.aead.Open(d.plain[:0], nonce[:], fr.payload, boundTo(d.fs.first, fr.head))
	if err != nil {
		return false, &Damage{Frame: fr.number, What: "it does not open: it was changed, or is of another recording"}
	}
	n, last, err := decodeChunk(d.plain, d.report.Records, d.report.Length, each)
	if err != nil {
		if s := (stop{}); !errors.As(err, &s) {
			err = &Damage{Frame: fr.number, What: err.Error()}
		}
		return false, err
	}
	d.report.Records += n
	d.report.Length = last
	return true, nil
}

func (d *Reader) seal(fr frame) error {
	s, err := d.fs.checkSeal(fr)
	if err != nil {
		return err
	}
	known := false
	for _, k := range d.trust.Keys {
		known = known || k.Equal(s.key)
	}
	if !known {
		return &Damage{Frame: fr.number, What: fmt.Sprintf("it is sealed with the key %x…, which is of no gateway that is known", []byte(s.key[:4]))}
	}
	d.report.State, d.report.Reason, d.report.Ended, d.report.Sealed = s.state, s.reason, s.at, fr.number
	d.report.By = append(d.report.By[:0], s.key...)
	if d.sealed != nil {
		d.sealed(Sealed{Frame: fr.number, State: s.state, At: s.at, Reason: s.reason, By: append(ed25519.PublicKey(nil), s.key...), Link: fr.link})
	}
	return nil
}

// end says whether a recording may end here.
func (d *Reader) end() error {
	next := d.fs.number + 1
	if a := d.trust.Anchor; a != nil {
		if next <= a.Frames {
			return &Damage{Frame: next, What: fmt.Sprintf("it is missing: the audit log knows %d, and the recording was cut off or rolled back", a.Frames)}
		}
		if !d.trust.Live && next != a.Frames+1 {
			return &Damage{Frame: a.Frames + 1, What: fmt.Sprintf("the audit log knows %d chunks, and there are more", a.Frames)}
		}
	}
	if d.report.State == Unended && !d.trust.Live && !d.trust.Lost {
		return &Damage{Frame: next, What: "it is missing: the recording has no final seal, so its end was cut off, or it is still being written"}
	}
	return nil
}

// Verify reads a recording to its end and says what was found. Without openers, chunks are not
// decrypted: what then shows is whether all is as it was sealed.
func Verify(ctx context.Context, r io.Reader, trust Trust, openers ...*Opener) (Report, error) {
	d, err := NewReader(cancellable{ctx, r}, trust, openers...)
	if err != nil {
		return Report{}, err
	}
	return d.Verify()
}

// cancellable ends reading when its context does.
type cancellable struct {
	ctx context.Context
	r   io.Reader
}

func (c cancellable) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
