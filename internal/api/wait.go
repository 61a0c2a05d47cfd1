package api

import (
	"context"
	"net/http"
	"time"
)

// Until is how far a request has to get.
type Until string

// The points to wait for.
const (
	Decided Until = "decided" // approved, or never to be
	Ready   Until = "ready"   // access works, or never will
	Ended   Until = "ended"   // verified gone, or never was
)

// Reached reports whether waiting for u is over.
func (r Request) Reached(u Until) bool {
	switch r.State {
	case RequestPending:
		return false
	case RequestApproved:
	default:
		return true // nothing will come of it
	}
	if u == Decided || u == Ready && r.Extends != "" {
		return true // an approved extension moved the end of a grant that is there
	}
	if r.Grant == nil {
		return false
	}
	switch r.Grant.State {
	case GrantEnded, GrantFailed:
		return true
	case GrantActive, GrantEnding:
		return u == Ready
	}
	return false
}

const (
	// glance is how long the server holds an answer while somebody watches.
	glance = 2 * time.Second
	// hold is how long it does so otherwise.
	hold = 25 * time.Second
	// pace is the least time between two calls of a loop, should the server not
	// hold its answers, or end its streams at once.
	pace = 200 * time.Millisecond
	// restartTime is how long a wait goes on while the server is away: waiting
	// people should not notice that it is being restarted.
	restartTime = time.Minute
)

// WaitFor waits until the request has got as far as u, or ctx ends, and
// returns what it was last. seen, unless nil, gets every state on the way.
func (c *Client) WaitFor(ctx context.Context, id string, u Until, seen func(Request)) (Request, error) {
	w := Wait{} // the first look is for an answer at once: is there such a request?
	patience := time.Duration(0)
	var last Request
	for {
		asked := time.Now()
		r, err := get[Request](ctx, c, call{method: http.MethodGet, path: []string{"requests", id}, query: w.query(), wait: w.Time, patience: patience})
		if err != nil {
			return last, err
		}
		last = r
		if seen != nil {
			seen(r)
		}
		if r.Reached(u) {
			return r, nil
		}
		if w.Time > 0 && !pause(ctx, pace-time.Since(asked)) {
			return last, ctx.Err()
		}
		w, patience = Wait{For: u, Time: hold}, max(restartTime, c.Patience)
		if seen != nil {
			w.Time = glance
		}
	}
}
