package broker

import (
	"context"
	"time"

	"stint/internal/access"
)

// historyFor is how far back History looks, and historyMost at how many requests.
const (
	historyFor  = 90 * 24 * time.Hour
	historyMost = 200
	// nearHours is what counts as the same time of day, to either side.
	nearHours = 3
)

// History is what a request's principal was granted before it: the same role on the same
// resource, within 90 days. Extensions and emergencies do not count.
type History struct {
	Times   int
	Longest time.Duration
	Near    int // of Times, asked for at about the same time of day
}

// History tells whoever may see a request what is usual for it. A request of several
// resources has none.
func (b *Broker) History(ctx context.Context, c Caller, id string) (h History, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		h = History{}
		r, err := b.find(tx, c, id)
		if err != nil || len(r.Targets) != 1 {
			return err
		}
		rs, err := tx.Requests(access.RequestQuery{Principal: r.Principal, States: []access.RequestState{access.RequestIsGranted},
			Resource: r.Targets[0].Resource, Role: r.Role, Before: r.ID, Limit: historyMost})
		for _, x := range rs {
			if x.Extends != "" || x.Emergency.Is() || r.CreatedAt.Sub(x.CreatedAt) > historyFor {
				continue
			}
			h.Times++
			h.Longest = max(h.Longest, x.Duration)
			if near(x.CreatedAt, r.CreatedAt) {
				h.Near++
			}
		}
		return err
	})
	return h, err
}

// near reports whether two times are at about the same time of day.
func near(a, b time.Time) bool {
	d := (a.UTC().Hour() - b.UTC().Hour() + 24) % 24
	return d <= nearHours || d >= 24-nearHours
}
