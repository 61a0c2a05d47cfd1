package door

import (
	"net"
	"net/netip"
	"slices"
	"sync"
)

// room is where connections wait that have not signed in yet. Its size is bounded, and
// so is each address's part of it. Who comes when there is no place takes that of the
// connection that has waited longest: those that send nothing wait longest, so they are
// in nobody's way, not even of others behind the same address.
type room struct {
	most, each int

	mu      sync.Mutex
	total   int
	waiting map[netip.Prefix][]net.Conn // the longest first
}

// enter takes a place, and gives the function that leaves it. Whose place is taken is
// closed.
func (r *room) enter(c net.Conn) (leave func()) {
	from := neighbourhood(c.RemoteAddr())
	r.mu.Lock()
	var out net.Conn
	switch {
	case len(r.waiting[from]) >= r.each:
		out = r.remove(from, r.waiting[from][0])
	case r.total >= r.most:
		busiest := from
		for a, cs := range r.waiting {
			if len(cs) > len(r.waiting[busiest]) {
				busiest = a
			}
		}
		if len(r.waiting[busiest]) > 0 {
			out = r.remove(busiest, r.waiting[busiest][0])
		}
	}
	r.waiting[from] = append(r.waiting[from], c)
	r.total++
	r.mu.Unlock()
	if out != nil {
		_ = out.Close()
	}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.remove(from, c)
	}
}

// remove takes a connection out, if it is there. r.mu is held.
func (r *room) remove(from netip.Prefix, c net.Conn) net.Conn {
	cs := r.waiting[from]
	i := slices.Index(cs, c)
	if i < 0 {
		return nil
	}
	r.total--
	if cs = slices.Delete(cs, i, i+1); len(cs) == 0 {
		delete(r.waiting, from)
	} else {
		r.waiting[from] = cs
	}
	return c
}

// neighbourhood is whom an address is counted with: itself, or in IPv6 its /64, of
// which one host has as many as it likes.
func neighbourhood(a net.Addr) netip.Prefix {
	addr := AddressOf(a).Addr().Unmap()
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.WithZone("").Prefix(bits)
	return p
}
