package broker

import (
	"context"

	"stint/internal/access"
)

// What waits for somebody is found by looking at what is pending: whom a request asks is
// worked out anew each time, from who is on call, who is away and who left. Nobody has more
// than MaxPending of their own, but there may be many people: a look is bounded.
const (
	inboxBatch = 200
	// inboxLooked is how many pending requests are looked at for one window.
	inboxLooked = 1000
)

// InboxQuery is a window of what waits for somebody.
type InboxQuery struct {
	Oldest bool             // the oldest first, instead of the newest
	From   access.RequestID // beyond this one; empty for the first
	Limit  int
}

// Inbox is such a window.
type Inbox struct {
	Views []View
	// Next is the From of the next window; empty after the last.
	Next access.RequestID
	// Waits is how many wait in all, counted for the first window alone; AtLeast says that
	// more was pending than was looked at.
	Waits   int
	AtLeast bool
}

// Inbox lists what the caller is asked to decide.
func (b *Broker) Inbox(ctx context.Context, c Caller, w InboxQuery) (in Inbox, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		in = Inbox{}
		me, err := b.as(tx, b.documentsOrNone(tx), c.Principal)
		if err != nil {
			return err
		}
		q := access.RequestQuery{States: []access.RequestState{access.RequestPending}, Oldest: w.Oldest, Limit: inboxBatch}
		for at, looked := w.From, 0; ; {
			q.Before, q.After = at, at
			rs, err := tx.Requests(q)
			if err != nil {
				return err
			}
			for _, r := range rs {
				at = r.ID
				if !r.MayDecide(me) {
					continue
				}
				if in.Waits++; len(in.Views) < w.Limit {
					in.Views = append(in.Views, View{Request: r, Have: r.Have(), Now: tx.Now()})
				} else if in.Next == "" {
					in.Next = in.Views[len(in.Views)-1].Request.ID
				}
			}
			if looked += len(rs); len(rs) < q.Limit || w.From != "" && in.Next != "" {
				return nil
			}
			if looked >= inboxLooked {
				in.AtLeast = true
				if in.Next == "" {
					in.Next = at
				}
				return nil
			}
		}
	})
	return in, err
}
