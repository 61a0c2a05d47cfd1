// Package door takes the connections of people who have not said yet who they are,
// whatever their protocol: it bounds how many of them wait and for how long, so that those
// who say nothing are in nobody's way.
package door

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Door is one listener's. What has no comment is required.
type Door struct {
	Log    *slog.Logger
	Within time.Duration // from connecting to being known; 0 is 30 s
	Most   int           // who wait at once; 0 is 512
	Each   int           // of them from one address; 0 is 64
	// Take has one connection from its first byte to its last, and calls known as soon as
	// it is known whose it is: until then the connection has a deadline and may lose its
	// place, which closes it. Take need not close it.
	Take func(ctx context.Context, c net.Conn, known func())

	once sync.Once
	room room
	all  sync.WaitGroup
}

// Waiting is how many connections wait that nobody is known behind.
func (d *Door) Waiting() int {
	d.room.mu.Lock()
	defer d.room.mu.Unlock()
	return d.room.total
}

// Serve takes connections from l until ctx is done, closes l, and returns when every Take
// has. Who is not known by then is cut off; whom Take knows it has to end itself.
func (d *Door) Serve(ctx context.Context, l net.Listener) error {
	d.once.Do(func() {
		if d.Within == 0 {
			d.Within = 30 * time.Second
		}
		if d.Most == 0 {
			d.Most = 512
		}
		if d.Each == 0 {
			d.Each = 64
		}
		d.room = room{most: d.Most, each: d.Each, waiting: map[netip.Prefix][]net.Conn{}}
	})
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer d.all.Wait()
	var wait time.Duration
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = c.Close()
			}
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accepting connections: %w", err)
		}
		if err != nil {
			// Out of descriptors, or a connection that went away as it came: neither is a
			// reason to stop listening.
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			d.Log.Warn("a connection was not accepted", "error", err, "again_in", wait)
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
			continue
		}
		wait = 0
		leave := d.room.enter(c)
		d.all.Go(func() { d.take(ctx, c, leave) })
	}
}

func (d *Door) take(ctx context.Context, c net.Conn, leave func()) {
	defer func() { _ = c.Close() }()
	defer leave()
	Probe(c)
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
	defer stop()
	_ = c.SetDeadline(time.Now().Add(d.Within))
	d.Take(ctx, c, func() {
		leave()
		if stop() { // else the deadline that is over ends it
			_ = c.SetDeadline(time.Time{})
		}
	})
}

// Probe lets the system find out that a peer has vanished: one that is silent is asked
// every 15 s, and one that does not take what is sent is given up after two minutes.
func Probe(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 6})
		giveUp(t, 2*time.Minute)
	}
}

// Dial connects by TCP to a peer that is probed.
func Dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err == nil {
		Probe(c)
	}
	return c, err
}

// AddressOf is an address of the network, or the zero value for what is none.
func AddressOf(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	p, _ := netip.ParseAddrPort(a.String())
	return p
}
