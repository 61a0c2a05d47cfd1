package gateway

import (
	"crypto/sha256"
	"sync"
	"time"

	"stint/internal/access"
)

// mostKnown bounds how many keys are remembered that opened something.
const mostKnown = 10_000

// unproven bounds how often the control plane is asked for what it then refuses, at each door
// by itself, and from however many addresses it comes: whoever reaches a door can make up a
// key or a ticket, and what a gateway may ask is shared with the other doors. Who is let in
// costs nothing, and whoever was let in before is not held up by those who never are. The
// door for SSH has none: certificates are looked at there before anybody is asked.
type unproven struct {
	perSecond float64 // and ten times as many at once

	mu    sync.Mutex
	doors map[string]*budget // by protocol
	known map[[sha256.Size]byte]struct{}
}

type budget struct {
	left float64
	at   time.Duration // when that was so
}

// take uses up one question, and says how to give it back.
func (u *unproven) take(f Facts, now Instant) (proven func(), err error) {
	if f.Protocol == string(access.SSH) {
		return func() {}, nil
	}
	key := sha256.Sum256(f.Key)
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, is := u.known[key]; is && len(f.Key) > 0 {
		return func() {}, nil
	}
	most := 10 * u.perSecond
	b := u.doors[f.Protocol]
	if b == nil {
		b = &budget{left: most, at: now.Mono}
		u.doors[f.Protocol] = b
	}
	b.left = min(most, b.left+u.perSecond*max(0, now.Mono-b.at).Seconds())
	b.at = now.Mono
	if b.left < 1 {
		return nil, access.Fail(access.TooMany, "too-many-strangers", "too many sessions are asked for").
			Because("so many whom nobody knows knock at this door of the gateway").Try("wait a moment, and connect again")
	}
	b.left--
	return func() { u.proved(b, key, len(f.Key) > 0) }, nil
}

func (u *unproven) proved(b *budget, key [sha256.Size]byte, has bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	b.left++
	if !has {
		return
	}
	if len(u.known) >= mostKnown {
		clear(u.known)
	}
	u.known[key] = struct{}{}
}
