package agent

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// How the agent's own clock works.
const (
	lookEvery   = time.Second // whoever sets the wall clock is noticed within it
	markEvery   = time.Minute // the time goes to the disk while something is there
	againFirst  = time.Second // after an end that did not succeed
	againAtMost = 30 * time.Second
	ownAtOnce   = 8 // parts
	ownTogether = 32
)

// try is what became of ending one tag so far.
type try struct {
	at   time.Time // not before
	wait time.Duration
	busy bool
}

// keepTime ends what is over, until ctx ends. It asks nobody.
func (a *Agent) keepTime(ctx context.Context) {
	var under sync.WaitGroup
	defer under.Wait()
	tries := map[access.Tag]*try{}
	results := make(chan map[access.Tag]bool, ownAtOnce) // by tag, whether it is gone
	parts := 0
	marked := time.Now()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		held := a.Ledger.live(a.alone())
		var due []access.Tag
		next := lookEvery
		for _, h := range held {
			if h.Left > 0 {
				next = min(next, h.Left)
				break // the rest is later
			}
			t := tries[h.Tag]
			if t == nil {
				t = &try{}
				tries[h.Tag] = t
			}
			if !t.busy && !time.Now().Before(t.at) {
				due = append(due, h.Tag)
			}
		}
		for part := range slices.Chunk(due, ownTogether) {
			if parts == ownAtOnce {
				break // one that hangs holds up no others than those it came with
			}
			parts++
			for _, tag := range part {
				tries[tag].busy = true
			}
			under.Go(func() { results <- a.endOwn(ctx, part) })
		}
		if len(held) > 0 && time.Since(marked) >= markEvery {
			marked = time.Now()
			if err := a.Ledger.put(line{}); err != nil {
				a.Log.Warn("the time is not kept in the ledger", "error", err)
			}
		}
		soon := time.NewTimer(max(next, 5*time.Millisecond))
		select {
		case <-ctx.Done():
			soon.Stop()
			return
		case gone := <-results:
			parts--
			for tag, done := range gone {
				t := tries[tag]
				t.busy, t.wait = false, min(max(2*t.wait, againFirst), againAtMost)
				t.at = time.Now().Add(t.wait)
				if done {
					delete(tries, tag)
				}
			}
		case <-look.C:
		case <-a.wake:
		case <-soon.C:
		}
		soon.Stop()
	}
}

// look has the clock look again: something new is there.
func (a *Agent) look() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// endOwn takes away what is over, and says of which it is gone.
func (a *Agent) endOwn(ctx context.Context, tags []access.Tag) map[access.Tag]bool {
	defer a.tags.lock(tags...)()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
	defer cancel()
	gone := make(map[access.Tag]bool, len(tags))
	// Orders of one place and claim go together; usually that is all of them.
	for start := 0; start < len(tags); {
		first, ok := a.Ledger.get(tags[start])
		if !ok || !first.live() {
			gone[tags[start]] = true // meanwhile the control plane has seen to it
			start++
			continue
		}
		os := []connector.Order{first.Order.Ordered()}
		stop := start + 1
		for ; stop < len(tags); stop++ {
			e, ok := a.Ledger.get(tags[stop])
			if !ok || !e.live() || e.Claim != first.Claim || !maps.Equal(e.Connection, first.Connection) {
				break
			}
			os = append(os, e.Order.Ordered())
		}
		a.takeAway(ctx, a.place(first.Connection, first.Claim), os, gone)
		start = stop
	}
	return gone
}

func (a *Agent) takeAway(ctx context.Context, t connector.Target, os []connector.Order, gone map[access.Tag]bool) {
	a.Connector.Revoke(ctx, t, os)
	a.Connector.TerminateSessions(ctx, t, os)
	removed := a.Connector.Remove(ctx, t, os)
	var buried []access.Tag
	for i, v := range a.Connector.Verify(ctx, t, os) {
		kind := access.KindOf(v.Err)
		e, _ := a.Ledger.get(os[i].Tag)
		// It is no order at all, and nothing was made by it. What was made was one once.
		never := e.State != made && v.Err != nil && (kind == access.Invalid || kind == access.Denied)
		done := v.Gone() || never
		if gone[os[i].Tag] = done; done {
			buried = append(buried, os[i].Tag)
			a.Log.Info("its end has come, and it is gone", "tag", string(os[i].Tag), "mechanism", string(os[i].Mechanism), "account", os[i].Account)
			continue
		}
		a.Log.Error("its end has come, and it is not gone; tried again", "tag", string(os[i].Tag), "removing", removed[i].Err, "reading", v.Err, "presence", v.Presence.String(), "sessions", v.Sessions)
	}
	if err := a.Ledger.bury(buried...); err != nil {
		a.Log.Error("what ended is not in the ledger as such; it is looked at again after a restart", "error", err)
	}
	if err := a.Ledger.endedAlone(buried...); err != nil {
		a.Log.Error("that something ended by this host's clock is not in the ledger, and may stay untold", "error", err)
	}
}

// EndAll takes away everything that is there, now, and gives back what it could not.
// It is for an agent that does not run.
func (a *Agent) EndAll(ctx context.Context) []Held {
	for range 5 {
		var tags []access.Tag
		for _, h := range a.Ledger.live(true) {
			tags = append(tags, h.Tag)
		}
		for part := range slices.Chunk(tags, ownTogether) {
			a.endOwn(ctx, part)
		}
		if len(a.Ledger.live(true)) == 0 || ctx.Err() != nil {
			break
		}
		pause(ctx, againFirst)
	}
	return a.Ledger.live(true)
}
