package store

import (
	"crypto/rand"
	"sync"

	"github.com/oklog/ulid/v2"
)

// ids makes identifiers that ascend within this process, so that the records of
// one transaction, and of one transaction after the other, sort as written.
type ids struct {
	mu      sync.Mutex
	ms      uint64
	entropy ulid.MonotonicEntropy
	begun   bool
}

func (g *ids) next(ms int64) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.begun {
		g.entropy, g.begun = *ulid.Monotonic(rand.Reader, 0), true
	}
	g.ms = max(g.ms, uint64(ms))
	id, err := ulid.New(g.ms, &g.entropy)
	if err != nil { // 2^80 in one millisecond
		return "", err
	}
	return id.String(), nil
}
