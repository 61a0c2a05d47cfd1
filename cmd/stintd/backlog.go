package main

import (
	"context"
	"fmt"
	"time"

	"stint/internal/broker"
	"stint/internal/siem"
	"stint/internal/store"
)

// The names under which new grants are held back.
const (
	holdSequencer = "log-not-numbered"
	holdSink      = "log-not-exported"
	holdDamaged   = "log-damaged" // until a restart: somebody must have looked
)

const (
	// backlogEvery is how often the log's readers are looked at.
	backlogEvery = 2 * time.Second
	// numberedWithin is how long a record may wait for its number. It takes a
	// tenth of a second; when it takes this long, nothing is signed any more.
	numberedWithin = 15 * time.Second
)

// budget is how far an audit file may lag behind the log before nothing new is
// granted. The store keeps what was not exported; that is the spool.
type budget struct {
	records int64
	age     time.Duration
}

// watchBacklog holds new grants back while the audit log is not numbered and
// signed, or not exported. Ending and revoking go on: they never ask.
func (p *process) watchBacklog(ctx context.Context) {
	for {
		pause(ctx, backlogEvery) // first the sinks find their place
		if ctx.Err() != nil {
			return
		}
		within, done := context.WithTimeout(ctx, backlogEvery)
		if h, err := unnumbered(within, p.store); err == nil { // a store that does not answer grants nothing anyway
			p.broker.SetHold(holdSequencer, h)
		}
		if h, err := unexported(within, p.store, p.sinks, p.settings.budget); err == nil {
			p.broker.SetHold(holdSink, h)
		}
		done()
	}
}

func unnumbered(ctx context.Context, st *store.Store) (h broker.Hold, err error) {
	n, oldest, err := st.Unsequenced(ctx)
	if err != nil || n == 0 || time.Since(oldest) < numberedWithin {
		return h, err
	}
	return broker.Hold{Why: fmt.Sprintf("%d records of the audit log wait for their number, the oldest since %s", n, oldest.UTC().Format(time.RFC3339)),
		Next: "an administrator looks at the servers' logs; grants go on by themselves when the log does"}, nil
}

// unexported looks at every audit file.
func unexported(ctx context.Context, st *store.Store, sinks []*siem.File, most budget) (h broker.Hold, err error) {
	if len(sinks) == 0 {
		return h, nil
	}
	head, err := st.Head(ctx)
	if err != nil {
		return h, err
	}
	for _, sink := range sinks {
		after := sink.After()
		waiting := head.Size - 1 - after
		if waiting <= 0 {
			continue
		}
		oldest, err := st.RecordedAt(ctx, after+1)
		if err != nil {
			return h, err
		}
		if waiting > most.records || time.Since(oldest) > most.age {
			h.Why = fmt.Sprintf("%d records of the audit log are not in %s, the oldest of %s", waiting, sink.Path(), oldest.UTC().Format(time.RFC3339))
			h.Next = "an administrator makes room for the file, or mends what it lies on; grants go on by themselves when it is written again"
		}
	}
	return h, nil
}
