package apiserver

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/ident"
)

// While the store is out of reach nobody can be found in it, and an administrator
// must be able to revoke all the same. One who was found there within the last
// hour is let in, to that one call, with the device's proof as always. What may
// have changed since (the login was ended, the person disabled) is accepted: the
// call only takes away, and the journal has the name.

const (
	// signInWithin bounds how long the store is asked who calls, and
	// signInAway how long while it is known to be away.
	signInWithin = 3 * time.Second
	signInAway   = time.Second
	recentFor    = time.Hour
	mostRecent   = 256
)

// askStore bounds a question about the caller.
func (s *Server) askStore(ctx context.Context) (context.Context, context.CancelFunc) {
	if !s.broker.Outage().Since.IsZero() {
		return context.WithTimeout(ctx, signInAway)
	}
	return context.WithTimeout(ctx, signInWithin)
}

// recent remembers administrators whom the store has confirmed. The zero value
// remembers nobody.
type recent struct {
	mu sync.Mutex
	m  map[[sha256.Size]byte]confirmed
}

type confirmed struct {
	caller ident.Caller
	at     time.Time
}

// who names a token on a device; neither is kept.
func (*recent) who(token api.Secret, d access.DeviceID) [sha256.Size]byte {
	return sha256.Sum256([]byte(string(d) + "\x00" + token.Reveal()))
}

// learn takes note of what the store answered.
func (r *recent) learn(token api.Secret, d access.DeviceID, c ident.Caller, err error, now time.Time) {
	key := r.who(token, d)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || !c.Principal.Admin {
		if access.KindOf(err) != access.Unavailable {
			delete(r.m, key)
		}
		return
	}
	if r.m == nil {
		r.m = map[[sha256.Size]byte]confirmed{}
	}
	if _, known := r.m[key]; !known && len(r.m) >= mostRecent {
		oldest, at := key, now
		for k, x := range r.m {
			if x.at.Before(at) {
				oldest, at = k, x.at
			}
		}
		delete(r.m, oldest)
	}
	r.m[key] = confirmed{c, now}
}

// find gives the administrator, if the store confirmed them lately.
func (r *recent) find(token api.Secret, d access.DeviceID, from netip.Addr, now time.Time) (ident.Caller, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, ok := r.m[r.who(token, d)]
	if !ok || now.Sub(x.at) > recentFor || !now.Before(x.caller.Login.ExpiresAt) {
		return ident.Caller{}, false
	}
	x.caller.Actor.Address = from
	return x.caller, true
}

// authenticate finds out who calls. Where the store cannot be asked, memory may
// answer.
func (s *Server) authenticate(ctx context.Context, rt route, token api.Secret, d access.DeviceID, from netip.Addr) (c ident.Caller, err error) {
	within, done := s.askStore(ctx)
	defer done()
	c, err = s.ident.Authenticate(within, access.NewSecret([]byte(token.Reveal())), d, from)
	s.recent.learn(token, d, c, err, s.now())
	if access.KindOf(err) != access.Unavailable || !rt.storeless {
		return c, err
	}
	if c, ok := s.recent.find(token, d, from, s.now()); ok {
		s.log.Warn("an administrator is let in to revoke without the store", "principal", c.Principal.ID)
		return c, nil
	}
	return c, err
}
