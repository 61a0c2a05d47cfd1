package pggate

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"stint/internal/gateway/door"
)

// TestBuffers: what comes is read whole and in order, whatever it is cut into, and nobody who
// waits has a buffer.
func TestBuffers(t *testing.T) {
	want := strings.Repeat("0123456789abcdef", 20_000) // more than a buffer
	for name, from := range map[string]io.Reader{"at once": strings.NewReader(want), "byte by byte": iotest.OneByteReader(strings.NewReader(want)),
		"half": iotest.HalfReader(strings.NewReader(want)), "with the end": iotest.DataErrReader(strings.NewReader(want))} {
		in, got := newInlet(from), &strings.Builder{}
		out := &outlet{to: got}
		for {
			if in.Buffered() == 0 {
				if err := out.Flush(); err != nil || out.w != nil {
					t.Fatalf("%s: a buffer is kept, %v", name, err)
				}
			}
			in.wait()
			n := min(7, max(1, in.Buffered()))
			b, err := in.Peek(n)
			if errors.Is(err, io.EOF) && len(b) == 0 {
				break
			}
			_, _ = out.awake().Write(b)
			if _, err := in.Discard(len(b)); err != nil {
				t.Fatal(err)
			}
		}
		in.release()
		if in.Reader != nil || out.Flush() != nil || got.String() != want {
			t.Errorf("%s: %d bytes of %d came through", name, got.Len(), len(want))
		}
	}
	broken := errors.New("broken")
	in := newInlet(iotest.ErrReader(broken))
	if in.wait(); in.Reader == nil {
		t.Fatal("nothing can be read")
	}
	if _, err := peekHead(in.Reader); !errors.Is(err, broken) {
		t.Errorf("why nothing comes any more: %v", err)
	}
}

// TestEndOfIdle: a session at whose end nothing runs costs no connection to cancel it; one at
// which something does is cancelled.
func TestEndOfIdle(t *testing.T) {
	for _, runs := range []bool{false, true} {
		var dialled atomic.Int64
		w := newWorld(t, func(c *Config, _ *control) {
			c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				dialled.Add(1)
				return door.Dial(ctx, address)
			}
		})
		ctx, done := context.WithTimeout(t.Context(), 2*time.Minute)
		defer done()
		c := w.connect()
		for range 3 {
			if _, err := c.Exec(ctx, "SELECT 1"); err != nil {
				t.Fatal(err)
			}
		}
		over := make(chan error, 1)
		what := "SELECT 2"
		if runs {
			what = "SELECT pg_sleep(600)"
			go func() { _, err := c.Exec(ctx, what); over <- err }()
			eventually(t, "it is at it", func() bool { return w.doing(what) })
		} else {
			go func() { _, err := c.WaitForNotification(ctx); over <- err }()
		}
		w.control.revoke()
		if err := <-over; err == nil {
			t.Fatal("revoked, and it goes on")
		}
		eventually(t, "no session is at the server", func() bool { return w.backends() == 0 })
		eventually(t, "the end is recorded", func() bool { w.tapes.mu.Lock(); defer w.tapes.mu.Unlock(); return w.tapes.all[0].closed != nil })
		want := int64(1)
		if runs {
			want = 2
		}
		if got := dialled.Load(); got != want {
			t.Errorf("a statement runs: %v; %d connections to the server, want %d", runs, got, want)
		}
	}
	tr := newTracker()
	if tr.sent(pending{kind: 'Q', n: 1}) != nil || !tr.shut() || tr.sent(pending{kind: 'Q', n: 2}) == nil {
		t.Error("after the end a statement is sent, or one that runs is not known")
	}
}
