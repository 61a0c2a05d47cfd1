package broker_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
)

// behalf counts for whom the store is changed.
type behalf struct {
	memory

	mu   sync.Mutex
	done map[access.Person]int
}

func (m *behalf) Update(ctx context.Context, fn func(broker.Tx) error) error {
	if _, ends := broker.Ending(ctx); !ends {
		m.mu.Lock()
		m.done[broker.Behalf(ctx)]++
		m.mu.Unlock()
	}
	return m.memory.Update(ctx, fn)
}

// TestOnBehalfOfWhoAsked: asking, setting up and showing count as the person's, so
// that the store can let persons take turns; what ends access counts as nobody's.
func TestOnBehalfOfWhoAsked(t *testing.T) {
	var m *behalf
	in := newInstallationOn(t, func(s memory) broker.Store { m = &behalf{memory: s, done: map[access.Person]int{}}; return m })
	v := in.hold("mira", "reader", time.Minute)
	_, err := in.Credential(t.Context(), in.as("mira"), string(v.Request.ID))
	must(t, err)
	m.mu.Lock()
	defer m.mu.Unlock()
	// The request, what was made, and the credential.
	if got := m.done[in.as("mira").Principal.Person]; got != 3 {
		t.Errorf("%d changes are mira's, not 3: %v", got, m.done)
	}
}
