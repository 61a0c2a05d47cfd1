package apiserver

import (
	"crypto/sha256"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/api"
)

// slowedFor is how long a login that asked too fast is refused before anything of its
// call is looked at. Its bucket fills meanwhile, so it gets no less than its rate.
const slowedFor = 200 * time.Millisecond

// slowed are logins that asked too fast a moment ago, by the hash of their token. To
// verify a proof and find a login costs far more than to refuse; whoever floods is not to
// have that done a thousand times a second. Only who proved to hold the login's key gets
// it in here, so a token alone slows nobody down.
type slowed struct {
	mu    sync.Mutex
	until map[slow]time.Time
}

type slow struct {
	token  [sha256.Size]byte
	writes bool
}

func slowOf(token api.Secret, writes bool) slow {
	return slow{sha256.Sum256([]byte(token.Reveal())), writes}
}

// refuse reports a login that is to wait.
func (s *slowed) refuse(who slow, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.until[who]
	if !ok {
		return nil
	}
	if !now.Before(until) || until.Sub(now) > slowedFor { // the clock went back
		delete(s.until, who)
		return nil
	}
	return tooMany()
}

// note has a login wait.
func (s *slowed) note(who slow, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil || len(s.until) >= maxBuckets {
		s.until = map[slow]time.Time{}
	}
	s.until[who] = now.Add(slowedFor)
}

func tooMany() error {
	return access.Fail(access.TooMany, "too-many-calls", "that is too many calls in too short a time").Try("slow down; the answer's Retry-After says for how long")
}
