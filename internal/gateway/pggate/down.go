package pggate

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"stint/internal/gateway"
)

// downward carries what the server answers, and notes how each statement went.
func (o *session) downward() error {
	for name, value := range o.up.parameters { // before the client has leave to send anything
		o.track.set(name, value)
	}
	if err := o.welcome(); err != nil {
		return err
	}
	in, d := newInlet(o.up), &downward{session: o}
	defer in.release()
	for {
		// Whoever waits for the server's next message has all of those before it.
		if in.Buffered() < headLen && !o.up.below.more() {
			if err := o.flush(); err != nil {
				return err
			}
		}
		in.wait()
		d.r = in.Reader
		h, err := peekHead(d.r)
		if err != nil {
			return lost(gateway.TargetGone, err)
		}
		if d.r.Buffered() < headLen+h.n && !o.up.below.more() {
			if err := o.flush(); err != nil {
				return err
			}
		}
		if err := d.one(h); err != nil {
			return err
		}
	}
}

// welcome says to the client that it is signed in, with a cancel key of ours.
func (o *session) welcome() error {
	b := frame('R', []byte{0, 0, 0, 0}) // AuthenticationOk
	names := make([]string, 0, len(o.up.parameters))
	for name := range o.up.parameters {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b = append(b, frame('S', []byte(name+"\x00"+o.up.parameters[name]+"\x00"))...)
	}
	b = append(b, frame('K', append(binary.BigEndian.AppendUint32(nil, o.pid), o.secret[:]...))...)
	b = append(b, o.up.early...)
	b = append(b, frame('Z', []byte{o.up.status})...)
	if err := o.write(b); err != nil {
		return err
	}
	return o.flush()
}

func (o *session) write(b []byte) error {
	if over := o.Pass(); over != nil { // it may be paused
		return &ending{reason: over.Reason}
	}
	o.out.Lock()
	defer o.out.Unlock()
	return o.mended(func() error { _, err := o.toward.awake().Write(b); return err })
}

func (o *session) flush() error {
	o.out.Lock()
	defer o.out.Unlock()
	return o.mended(o.toward.Flush)
}

// mended does a write, and remembers that one may have stopped half-way. o.out is held.
func (o *session) mended(write func() error) error {
	if o.torn {
		return &ending{reason: gateway.ClientGone}
	}
	if err := write(); err != nil {
		o.torn = true
		return lost(gateway.ClientGone, err)
	}
	return nil
}

type downward struct {
	*session
	r    *bufio.Reader
	rows uint64 // of the statement that is being answered
	size uint64
	sum  uint64 // rows of the session
}

// one carries one message. Its head stands in d.r still.
func (d *downward) one(h head) error {
	switch h.kind {
	case 'D', 'd': // a row, or copied data
		rows := uint64(0)
		if h.kind == 'D' {
			rows = 1
		}
		d.rows, d.size = d.rows+rows, d.size+uint64(h.n)
		if err := d.within(rows, uint64(h.n), &d.sum); err != nil {
			return err
		}
		return d.through(h)
	case 'T', 't', 'n', '1', '2', '3', 'c', 'I', 's', 'G', 'H', 'S', 'A', 'C', 'E', 'N', 'Z':
	default: // a second sign-in, a cancel key, a replication, or nothing that is
		return &ending{gateway.Refused, fmt.Sprintf("the server sent a message of type %q", h.kind)}
	}
	if headLen+h.n > d.r.Size() {
		return d.large(h)
	}
	b, err := d.r.Peek(headLen + h.n)
	if err != nil {
		return lost(gateway.TargetGone, err)
	}
	told, err := d.refused(h.kind, b)
	if err != nil {
		return err
	}
	if err := d.note(h.kind, told[headLen:]); err != nil {
		return err
	}
	if err := d.write(told); err != nil {
		return err
	}
	_, err = d.r.Discard(len(b))
	return err
}

// large passes on what does not fit the buffer: a description of many columns, an error
// with a long text, a notification. What has to be read of it stands at its beginning.
func (d *downward) large(h head) error {
	b, err := d.r.Peek(d.r.Size())
	if err != nil {
		return lost(gateway.TargetGone, err)
	}
	if _, err := d.refused(h.kind, b); err != nil {
		return err
	}
	if err := d.note(h.kind, b[headLen:]); err != nil {
		return err
	}
	return d.through(h)
}

// through passes a message on whole: nobody else writes to the client meanwhile.
func (d *downward) through(h head) error {
	d.out.Lock()
	defer d.out.Unlock()
	if d.torn {
		return &ending{reason: gateway.ClientGone}
	}
	reading, writing := pass(d.toward.awake(), d.r, h)
	d.torn = reading != nil || writing != nil
	switch {
	case reading != nil:
		return lost(gateway.TargetGone, reading)
	case writing != nil:
		return lost(gateway.ClientGone, writing)
	}
	return nil
}

// note follows the answers.
func (d *downward) note(kind byte, body []byte) error {
	switch kind {
	case '1':
		d.track.answered('P')
	case '2':
		d.track.answered('B')
	case '3':
		d.track.answered('C')
	case 'T', 'n':
		d.track.answered('D')
	case 'S':
		if name, rest, err := word(body); err == nil {
			value, _, _ := word(rest)
			d.track.set(name, value)
		}
	case 'G':
		d.track.copiesIn()
	case 'C', 'I', 's':
		tag := "suspended"
		if kind == 'C' {
			tag, _, _ = word(body)
		} else if kind == 'I' {
			tag = "empty"
		}
		n, truth := d.track.completed()
		if truth != nil { // a name was given or taken, and that failed after this was recorded
			if err := d.tape.Note(fmt.Sprintf("statement %d carried out statement %d [%s], not what was said when it was sent", n, truth.n, truth.classes)); err != nil {
				return d.unrecorded(err)
			}
		}
		return d.outcome(n, Outcome{Tag: tag})
	case 'E':
		code := field(body, 'C')
		n, unclear := d.track.failed()
		if err := d.outcome(n, Outcome{Failed: code + " " + field(body, 'M')}); err != nil {
			return err
		}
		return unclear
	case 'Z':
		if len(body) != 1 || !bytes.ContainsRune([]byte("ITE"), rune(body[0])) {
			return &ending{gateway.Refused, "the server is ready in a way that is none"}
		}
		d.rows, d.size = 0, 0
		d.track.ready(body[0] == 'I')
	}
	return nil
}

// outcome records how a statement went. An outcome of none is one of the connection.
func (d *downward) outcome(n uint64, how Outcome) error {
	how.Rows, how.Bytes = d.rows, d.size+d.copied.Swap(0)
	d.rows, d.size = 0, 0
	var err error
	if n == 0 {
		err = d.tape.Note("the server says: " + how.Failed + how.Tag)
	} else {
		err = d.tape.Outcome(n, how)
	}
	if err != nil {
		return d.unrecorded(err)
	}
	return nil
}
