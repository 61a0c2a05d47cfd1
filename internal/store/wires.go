package store

import (
	"context"
	"net"
	"sync"
	"time"
)

// wires are the open connections to the database, so that all of them can be cut
// at once. A server that was stopped, or a network that lost it, leaves them open
// and silent: whoever waits for an answer there would wait for ever.
type wires struct {
	mu    sync.Mutex
	open  map[*wire]bool
	cutAt time.Time
}

type wire struct {
	net.Conn
	of *wires
}

// dial is for pgx: it dials as d does and remembers the connection.
func (w *wires) dial(d func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := d(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		x := &wire{conn, w}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.open == nil {
			w.open = map[*wire]bool{}
		}
		w.open[x] = true
		return x, nil
	}
}

// Close closes the connection and forgets it.
func (x *wire) Close() error {
	x.of.mu.Lock()
	delete(x.of.open, x)
	x.of.mu.Unlock()
	return x.Conn.Close()
}

// cutSeldom is the least time between two cuts. A server that is silent answers no
// new connection either, so that one cut is enough; one that is only slow would never
// come to the end of anything, ends of access among it, if it was cut each second.
const cutSeldom = 10 * time.Second

// cut ends every connection that is open now, if that was not done a moment ago.
// Those who use one get an error at once, and take another.
func (w *wires) cut(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.cutAt.IsZero() && now.Sub(w.cutAt) < cutSeldom {
		return
	}
	w.cutAt = now
	for x := range w.open {
		_ = x.Conn.Close() // its user closes it once more
	}
	clear(w.open)
}
