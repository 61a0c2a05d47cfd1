package ident

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	"stint/internal/access"
)

// Replays remembers proofs for as long as they could be used again.
type Replays interface {
	// Fresh reports whether the proof, named by its device and its own id, is
	// seen for the first time. Proofs made before the guard's memory begins are
	// refused with a *Forgotten error, which says from when on it remembers.
	Fresh(ctx context.Context, device access.DeviceID, id string, made time.Time) (bool, error)
}

// Forgotten is the error for a proof from before the guard's memory: it may be
// a replay, and nobody can know.
type Forgotten struct{ Since time.Time }

func (f *Forgotten) Error() string {
	return "the proof was made before " + stamp(f.Since) + ", from when on proofs are remembered"
}

// Memory is the replay guard of a single process. It remembers a proof for at
// least the time for which it is acceptable, in two generations that take turns.
type Memory struct {
	since time.Time     // older proofs may have been used with the process before
	keep  time.Duration // how long a proof can be acceptable after it was first seen
	most  int           // proofs in a generation
	now   func() time.Time

	mu     sync.Mutex
	turned time.Time // when the younger generation began
	young  map[[16]byte]struct{}
	old    map[[16]byte]struct{}
}

// NewMemory makes a guard for proofs that are acceptable up to window before
// and after they were made.
func NewMemory(window time.Duration, now func() time.Time) *Memory {
	const most = 1 << 20 // about 40 MB in the worst case, an attack by people with logins
	start := now()
	return &Memory{
		// Proofs carry whole seconds. One of the very second in which the process
		// began may be from before it.
		since: start.Truncate(time.Second).Add(time.Second),
		keep:  2 * window, most: most, now: now, turned: start, young: map[[16]byte]struct{}{},
	}
}

// Fresh implements Replays.
func (m *Memory) Fresh(_ context.Context, device access.DeviceID, id string, made time.Time) (bool, error) {
	if made.Before(m.since) {
		return false, &Forgotten{Since: m.since}
	}
	k := proofKey(device, id)
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.now(); now.Sub(m.turned) >= m.keep {
		m.old, m.young, m.turned = m.young, map[[16]byte]struct{}{}, now
	}
	_, a := m.young[k]
	_, b := m.old[k]
	if a || b {
		return false, nil
	}
	if len(m.young) >= m.most {
		return false, access.Fail(access.Unavailable, "too-many-proofs", "too many calls at once to remember")
	}
	m.young[k] = struct{}{}
	return true, nil
}

// Seen is the part of a store that remembers proofs for all replicas.
type Seen interface {
	// SeenProof remembers a proof until expires; fresh when it was not there.
	SeenProof(ctx context.Context, id string, expires time.Time) (fresh bool, err error)
}

// Shared is the replay guard of many replicas: the store remembers.
type Shared struct {
	Store  Seen
	Window time.Duration
}

// Fresh implements Replays.
func (s Shared) Fresh(ctx context.Context, device access.DeviceID, id string, made time.Time) (bool, error) {
	k := proofKey(device, id)
	return s.Store.SeenProof(ctx, hex.EncodeToString(k[:]), made.Add(2*s.Window))
}

// proofKey is 128 bits of a hash: of fixed length, and nobody can aim at
// another device's proofs.
func proofKey(device access.DeviceID, id string) (k [16]byte) {
	sum := sha256.Sum256([]byte(string(device) + " " + id))
	copy(k[:], sum[:])
	return k
}
