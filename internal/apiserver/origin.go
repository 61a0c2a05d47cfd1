package apiserver

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// peer is the address at the other end of the connection.
func peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// trusted reports whether an address is one of the configured proxies.
func (s *Server) trusted(a netip.Addr) bool {
	return a.IsValid() && slices.ContainsFunc(s.proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// client is the address of who calls. Behind a trusted proxy that is the last
// address in X-Forwarded-For that is not itself a trusted proxy's: what stands
// before it was written by the client and proves nothing.
func (s *Server) client(r *http.Request) netip.Addr {
	at := peer(r)
	if !s.trusted(at) {
		return at
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		a, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		if at = a.Unmap(); !s.trusted(at) {
			break
		}
	}
	return at
}

// seen is the URL as the client saw it, which its proof is over.
func (s *Server) seen(r *http.Request) *url.URL {
	u := *r.URL
	u.Fragment, u.RawFragment = "", ""
	if s.public != nil {
		u.Scheme, u.Host = s.public.Scheme, s.public.Host
		return &u
	}
	u.Scheme, u.Host = "http", r.Host
	if r.TLS != nil {
		u.Scheme = "https"
	}
	if s.trusted(peer(r)) {
		if p := last(r.Header, "X-Forwarded-Proto"); p == "http" || p == "https" {
			u.Scheme = p
		}
		if h := last(r.Header, "X-Forwarded-Host"); h != "" {
			u.Host = h
		}
	}
	return &u
}

// last is the value that the nearest proxy wrote.
func last(h http.Header, name string) string {
	all := h.Values(name)
	if len(all) == 0 {
		return ""
	}
	v := all[len(all)-1]
	return strings.TrimSpace(v[strings.LastIndexByte(v, ',')+1:])
}
