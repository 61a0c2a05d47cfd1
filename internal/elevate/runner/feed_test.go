package runner

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"stint/internal/elevate"
)

// endless is input without an end; it counts what was read of it.
type endless struct{ n atomic.Int64 }

func (e *endless) Read(b []byte) (int, error) { e.n.Add(int64(len(b))); return len(b), nil }

// TestUnreadInput: a command reads nothing of what is piped to it, for ever. Signals reach
// it, it ends with its client, and the runner holds no more than it may.
func TestUnreadInput(t *testing.T) {
	w := newWorld(t)
	start := func() (*elevate.Client, string) {
		c, in := w.dial(), &endless{}
		ok, err := c.Ask(elevate.Ask{Argv: []string{"/bin/sleep", "1000"}})
		must(t, err)
		go func() { _ = c.Feed(in) }() // ends with the connection
		for end := time.Now().Add(60 * time.Second); in.n.Load() < elevate.MaxAhead; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d bytes were sent", in.n.Load())
			}
		}
		if n := in.n.Load(); n > elevate.MaxAhead {
			t.Errorf("%d bytes were sent", n)
		}
		return c, ok.ID
	}
	c, _ := start()
	sent := make(chan error, 1)
	go func() { sent <- c.Send(elevate.Frame{Kind: elevate.KindSignal, Payload: []byte("INT")}) }()
	timer := time.AfterFunc(20*time.Second, func() { _ = c.Close() })
	exit, err := c.Wait(io.Discard, io.Discard, func(string) {})
	timer.Stop()
	if err != nil || exit.Signal != int(syscall.SIGINT) || exit.Cut != "" {
		t.Errorf("interrupted: %+v, %v", exit, err)
	}
	must(t, <-sent)
	c, id := start()
	must(t, c.Close())
	if told := w.reported(id); told.Cut != cutGone {
		t.Errorf("told: %+v", told)
	}
}

// TestSlowInput: all of the input arrives, at the pace at which the command reads.
func TestSlowInput(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	_, err := c.Ask(elevate.Ask{Argv: sh("sleep 0.2; exec sha256sum")})
	must(t, err)
	b := make([]byte, 3<<20)
	_, _ = rand.Read(b) // never fails
	fed := make(chan error, 1)
	go func() { fed <- c.Feed(bytes.NewReader(b)) }()
	var out bytes.Buffer
	exit, err := c.Wait(&out, io.Discard, func(string) {})
	if err != nil || exit.Status != 0 {
		t.Fatalf("%+v, %v", exit, err)
	}
	must(t, <-fed)
	if want := fmt.Sprintf("%x", sha256.Sum256(b)); !strings.HasPrefix(out.String(), want) {
		t.Errorf("another input arrived: %q", out.String())
	}
}

// TestTooMuchInput: a client that does not wait until its input is taken is ended.
func TestTooMuchInput(t *testing.T) {
	w := newWorld(t)
	conn, err := net.Dial("unix", w.socket)
	must(t, err)
	defer func() { _ = conn.Close() }()
	first, err := elevate.Encode(elevate.KindAsk, elevate.Ask{Version: 1, Argv: []string{"/bin/sleep", "1000"}}).Append(nil)
	must(t, err)
	_, err = conn.Write(first)
	must(t, err)
	f, err := elevate.NewRunnerReader(conn).Next()
	must(t, err)
	var ok elevate.Accepted
	must(t, elevate.Decode(f, &ok))
	more, err := elevate.Frame{Kind: elevate.KindInput, Payload: make([]byte, elevate.MaxPayload)}.Append(nil)
	must(t, err)
	must(t, conn.SetWriteDeadline(time.Now().Add(20*time.Second)))
	for range 2 * elevate.MaxAhead / elevate.MaxPayload {
		if _, err := conn.Write(more); err != nil {
			break // it was ended
		}
	}
	if told := w.reported(ok.ID); told.Cut != cutBad {
		t.Errorf("told: %+v", told)
	}
}
