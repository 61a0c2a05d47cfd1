package api

import (
	"context"
	"net/http"
)

// Clock is what the replica that answers makes of its clock. While it is not
// trusted, nothing new is granted; what is granted ends by Now.
type Clock struct {
	Replica string `json:"replica"`
	Now     Time   `json:"now" format:"date-time" doc:"Stint's time, which never goes back"`
	Trusted bool   `json:"trusted"`
	Why     string `json:"why,omitempty" doc:"Why it is not trusted"`
	Wall    Time   `json:"wall" format:"date-time" doc:"What the clock says: PostgreSQL's, or the host's with SQLite"`
	Ahead   string `json:"ahead" doc:"By how much the clock is ahead of Stint's time; negative: behind" example:"1h0m0s"`
	Host    string `json:"host_ahead" doc:"By how much the host's own clock is ahead of PostgreSQL's" example:"12ms"`
	Far     bool   `json:"far" doc:"Too far away to be believed again without being set right or accepted"`
	Slowed  bool   `json:"slowed" doc:"Stint's time runs at half speed until the clock has caught up"`
	// Accepted is not null, so that a script can count.
	Accepted []string `json:"accepted" nullable:"false" doc:"Who said that the clock is right; it takes two persons"`
}

// ClockAccept says why a clock that is far away is right.
type ClockAccept struct {
	Why string `json:"why" minLength:"1" maxLength:"1000"`
}

// Clock reads what the server makes of its clock.
func (c *Client) Clock(ctx context.Context) (Clock, error) {
	return get[Clock](ctx, c, call{method: http.MethodGet, path: []string{"clock"}})
}

// AcceptClock says that a clock which is far away is right.
func (c *Client) AcceptClock(ctx context.Context, a ClockAccept) (Clock, error) {
	return get[Clock](ctx, c, call{method: http.MethodPost, path: []string{"clock", "accept"}, in: a})
}
