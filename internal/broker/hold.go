package broker

import (
	"maps"
	"slices"
	"sync"

	"stint/internal/access"
)

// holds are the reasons for which nothing new is granted just now, which others than
// the broker find: the log waits or does not add up, commits are not protected. Each
// lasts until who set it lets go, or for the life of the process.
type holds struct {
	mu  sync.Mutex
	why map[string]Hold // by what is wrong
}

// Hold says why nothing new is granted, and what to do about it. Both are public.
type Hold struct{ Why, Next string }

// SetHold holds new grants and the showing of credentials back, under a name;
// an empty Why lets them go again. Everything that ends access goes on.
func (b *Broker) SetHold(name string, h Hold) {
	b.holds.mu.Lock()
	old, held := b.holds.why[name]
	if h.Why == "" {
		delete(b.holds.why, name)
	} else {
		if b.holds.why == nil {
			b.holds.why = map[string]Hold{}
		}
		b.holds.why[name] = h
	}
	b.holds.mu.Unlock()
	switch {
	case h.Why != "" && !held:
		b.Log.Error("nothing new is granted for now", "hold", name, "why", h.Why)
	case h.Why == "" && held:
		b.Log.Info("grants go on", "hold", name, "was", old.Why)
	}
}

// Holds are the names of what holds new grants back, in order.
func (b *Broker) Holds() []string {
	b.holds.mu.Lock()
	defer b.holds.mu.Unlock()
	return slices.Sorted(maps.Keys(b.holds.why))
}

func (h *holds) refuse() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(h.why)) {
		return access.Fail(access.Unavailable, "held-"+name, "nothing new is granted for now").Because(h.why[name].Why).Try(h.why[name].Next)
	}
	return nil
}
