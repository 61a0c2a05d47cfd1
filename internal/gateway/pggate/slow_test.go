package pggate

import (
	"context"
	"net"
	"testing"
	"time"

	"stint/internal/gateway/door"
)

// slowWrites is a connection on which a write is done long before it returns, as where a
// machine has no time for who waits for it.
type slowWrites struct{ net.Conn }

func (s slowWrites) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	time.Sleep(60 * time.Millisecond) // the driver calls it slow after 15
	return n, err
}

// TestSlowSignIn: the server answers while the gateway's write has not returned. No answer of
// it is lost.
func TestSlowSignIn(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *control) {
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := door.Dial(ctx, address)
			if err != nil {
				return nil, err
			}
			return slowWrites{conn}, nil
		}
	})
	ctx, done := context.WithTimeout(context.Background(), time.Minute)
	defer done()
	c := w.connect()
	for want := range 5 {
		var got int
		if err := c.QueryRow(ctx, "SELECT $1::int", want).Scan(&got); err != nil || got != want {
			t.Fatalf("%d, want %d: %v", got, want, err)
		}
	}
}
