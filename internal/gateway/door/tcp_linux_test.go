package door

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// TestGather writes parts of all lengths: they arrive as they were, also one behind which
// nothing comes, and a deadline ends a write that nobody reads.
func TestGather(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	there, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = there.Close() }()
	c := Gather(dialed)
	defer func() { _ = c.Close() }()
	for i, n := range []int{begins, 28692, 1, begins, begins, 5, begins} {
		sent := bytes.Repeat([]byte{byte(i + 1)}, n)
		if m, err := c.Write(sent); err != nil || m != n {
			t.Fatalf("%d of %d bytes: %v", m, n, err)
		}
		got := make([]byte, n)
		if _, err := io.ReadFull(there, got); err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("%d bytes came as others: %v", n, err)
		}
	}
	_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	part := make([]byte, begins)
	for err = nil; err == nil; {
		_, err = c.Write(part)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("nobody reads: %v", err)
	}
	_ = c.SetWriteDeadline(time.Time{})
	_ = there.Close()
	for range 1000 { // what is in its way is first told by a reset
		if _, err = c.Write(part); err != nil {
			break
		}
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the peer has gone: %v", err)
	}
}
