package gateway

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"stint/internal/access"
)

// mostSources bounds the memory of sources. When it is full, those that have filled up again
// are forgotten, which changes nothing for anybody.
const mostSources = 10_000

// sources bound how often each address has the control plane asked, so that one of them does
// not use up what it answers this gateway, and with it what it answers the others.
type sources struct {
	perSecond int

	mu      sync.Mutex
	buckets map[netip.Prefix]*rate.Limiter
}

// take uses up one question of an address.
func (s *sources) take(from netip.Addr, now Instant) error {
	at := time.Unix(0, 0).Add(now.Mono)
	name := neighbourhood(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil {
		if len(s.buckets) >= mostSources {
			for n, b := range s.buckets {
				if b.TokensAt(at) >= float64(b.Burst()) {
					delete(s.buckets, n)
				}
			}
		}
		if len(s.buckets) >= mostSources { // so many at once is an attack; begin anew
			clear(s.buckets)
		}
		b = rate.NewLimiter(rate.Limit(s.perSecond), 10*s.perSecond)
		s.buckets[name] = b
	}
	if b.AllowN(at, 1) {
		return nil
	}
	return access.Fail(access.TooMany, "too-many-connections", "too many sessions are asked for").
		Because("so many come from " + from.String()).Try("wait a moment, and connect again")
}

// neighbourhood is whom an address is counted with: itself, or in IPv6 its /64, of
// which one host has as many as it likes.
func neighbourhood(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero Addr has the zero Prefix
	return p
}
