// Package ticketwatch reads the tickets again that live grants rest on. It is a loop
// with bounds and no judgement: what is due it takes from rows, of which each has its
// own time to be read next, so that neither a restart nor another replica loses or
// doubles one; each ticket is read once for all grants that rest on it, a few at a time;
// and what a ticket means for a grant is for the desk to say. A ticket system that hangs
// holds up a few calls here, and neither ends nor beginnings anywhere else.
package ticketwatch

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"stint/internal/access"
)

// Desk knows which tickets are watched, and what they mean.
type Desk interface {
	// TicketsDue takes up to limit watches that are due and has each due again after
	// the time given.
	TicketsDue(ctx context.Context, limit int, every time.Duration) ([]access.TicketWatch, error)
	// CheckTicket reads the one ticket of these watches, and ends what no longer may
	// rest on it.
	CheckTicket(ctx context.Context, watches []access.TicketWatch) error
}

// Defaults of a watch.
const (
	Every = 10 * time.Second // how often each ticket is read
	look  = time.Second      // how often it is looked for what is due
	batch = 200              // watches taken at a time
	calls = 4                // tickets read at a time
	most  = 8 * time.Second  // one check
)

// Watch is the loop.
type Watch struct {
	Desk  Desk
	Every time.Duration // 0: Every
	Look  time.Duration // 0: each second
	Log   *slog.Logger
}

// Run watches until ctx is over.
func (w Watch) Run(ctx context.Context) {
	if w.Every <= 0 {
		w.Every = Every
	}
	if w.Look <= 0 {
		w.Look = look
	}
	t := time.NewTicker(w.Look)
	defer t.Stop()
	for {
		for w.round(ctx) == batch && ctx.Err() == nil { // more of them wait
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// round checks what is due and says how much it was.
func (w Watch) round(ctx context.Context) int {
	due, err := w.Desk.TicketsDue(ctx, batch, w.Every)
	if err != nil {
		if ctx.Err() == nil {
			w.Log.Warn("which tickets are due could not be read; tried again", "error", err)
		}
		return 0
	}
	if len(due) == 0 {
		return 0
	}
	var wg sync.WaitGroup
	room := make(chan struct{}, calls)
	for _, of := range byTicket(due) {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			ctx, cancel := context.WithTimeout(ctx, most)
			defer cancel()
			if err := w.Desk.CheckTicket(ctx, of); err != nil && ctx.Err() == nil {
				w.Log.Warn("a watched ticket could not be checked; tried again", "system", of[0].System, "grants", len(of), "error", err)
			}
		})
	}
	wg.Wait()
	return len(due)
}

// byTicket groups watches, in the order in which their tickets come first.
func byTicket(ws []access.TicketWatch) (groups [][]access.TicketWatch) {
	type key struct{ system, ticket string }
	at := map[key]int{}
	for _, w := range ws {
		k := key{w.System, w.Ticket}
		i, ok := at[k]
		if !ok {
			i = len(groups)
			at[k], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], w)
	}
	return groups
}
