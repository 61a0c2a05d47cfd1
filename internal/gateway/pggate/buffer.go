package pggate

import (
	"bufio"
	"io"
	"sync"
)

// Of a thousand sessions nearly all wait for their client to think. A buffer is of who has
// something in it, and is given back before anybody waits.
var (
	readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, buffer) }}
	writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, buffer) }}
)

// inlet is what comes from one side. One goroutine uses it.
type inlet struct {
	*bufio.Reader // nil while nothing has come
	woken         waking
}

// waking gives what an inlet was woken by, and then what comes.
type waking struct {
	from  io.Reader
	bytes [512]byte
	left  []byte // of bytes
	err   error
}

func (w *waking) Read(p []byte) (n int, err error) {
	if len(w.left) == 0 {
		if err, w.err = w.err, nil; err != nil {
			return 0, err
		}
		return w.from.Read(p)
	}
	n = copy(p, w.left)
	w.left = w.left[n:]
	return n, nil
}

func newInlet(from io.Reader) *inlet { return &inlet{woken: waking{from: from}} }

// Buffered is how much has come and was not read.
func (i *inlet) Buffered() int {
	if i.Reader == nil {
		return 0
	}
	return i.Reader.Buffered()
}

// wait waits until something comes, without a buffer, where nothing has come yet.
func (i *inlet) wait() {
	if i.Buffered() > 0 || len(i.woken.left) > 0 {
		return
	}
	i.release()
	n, err := i.woken.from.Read(i.woken.bytes[:])
	i.woken.left, i.woken.err = i.woken.bytes[:n], err
	i.Reader = readers.Get().(*bufio.Reader)
	i.Reader.Reset(&i.woken)
}

// release gives the buffer back. What was in it is lost.
func (i *inlet) release() {
	if i.Reader != nil {
		i.Reader.Reset(nil)
		readers.Put(i.Reader)
		i.Reader = nil
	}
}

// outlet is what goes to one side. Its methods are not for several goroutines at once.
type outlet struct {
	to io.Writer
	w  *bufio.Writer // nil while nothing waits to be sent
}

// awake is the outlet with a buffer.
func (o *outlet) awake() *bufio.Writer {
	if o.w == nil {
		o.w = writers.Get().(*bufio.Writer)
		o.w.Reset(o.to)
	}
	return o.w
}

// Flush sends what waits, and gives the buffer back.
func (o *outlet) Flush() error {
	if o.w == nil {
		return nil
	}
	if err := o.w.Flush(); err != nil {
		return err
	}
	o.w.Reset(nil)
	writers.Put(o.w)
	o.w = nil
	return nil
}
