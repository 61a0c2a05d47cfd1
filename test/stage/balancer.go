package stage

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// balancer stands before several servers as a load balancer does: connections go
// to those that are ready, in turn. One that does not say so is sent no more, and
// what is open to it is cut, so that nobody waits for a server that is frozen.
type balancer struct {
	listener net.Listener
	servers  []*Server
	stop     context.CancelFunc
	group    sync.WaitGroup

	mu    sync.Mutex // guards what follows
	turn  int
	up    map[*Server]bool
	links map[*Server]map[net.Conn]bool
}

const (
	probeEvery  = 50 * time.Millisecond
	probeWithin = 500 * time.Millisecond
)

func balance(addr string, servers []*Server) (*balancer, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &balancer{listener: l, servers: servers, stop: cancel, up: map[*Server]bool{}, links: map[*Server]map[net.Conn]bool{}}
	for _, v := range servers {
		b.links[v] = map[net.Conn]bool{}
		b.group.Go(func() { b.probe(ctx, v) })
	}
	b.group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			b.group.Go(func() { b.carry(conn) })
		}
	})
	return b, nil
}

func (b *balancer) probe(ctx context.Context, v *Server) {
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(ctx, probeWithin)
		up := serves(within, v.listen)
		cancel()
		b.mu.Lock()
		if b.up[v] = up; !up {
			for conn := range b.links[v] {
				_ = conn.Close()
			}
		}
		b.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(probeEvery):
		}
	}
}

// pick gives the next server that is ready; nil if none is.
func (b *balancer) pick() *Server {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.servers {
		b.turn++
		if v := b.servers[b.turn%len(b.servers)]; b.up[v] {
			return v
		}
	}
	return nil
}

func (b *balancer) carry(client net.Conn) {
	defer client.Close()
	for range b.servers {
		v := b.pick()
		if v == nil {
			return
		}
		server, err := net.DialTimeout("tcp", v.listen, probeWithin)
		if err != nil {
			continue // it has just died; the next one
		}
		defer server.Close()
		b.mu.Lock()
		b.links[v][server] = true
		b.mu.Unlock()
		var both sync.WaitGroup
		pump := func(to, from net.Conn) {
			_, _ = io.Copy(to, from)
			_, _ = to.Close(), from.Close()
		}
		both.Go(func() { pump(server, client) })
		both.Go(func() { pump(client, server) })
		both.Wait()
		b.mu.Lock()
		delete(b.links[v], server)
		b.mu.Unlock()
		return
	}
}

func (b *balancer) close() {
	b.stop()
	_ = b.listener.Close()
	b.mu.Lock()
	for _, links := range b.links {
		for conn := range links {
			_ = conn.Close()
		}
	}
	b.mu.Unlock()
	b.group.Wait()
}
