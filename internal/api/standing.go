package api

import (
	"context"
	"net/http"
)

// StandingPrivilege is privileged access that an account of a target has without Stint.
type StandingPrivilege struct {
	Resource  string `json:"resource" example:"orders-db"`
	Account   string `json:"account" example:"old_admin"`
	Privilege string `json:"privilege" example:"superuser"`
	Kind      string `json:"kind" enum:"power,member,owner"`
	Right     string `json:"right,omitempty" doc:"The group, of a membership" example:"orders_owner"`
	Undo      string `json:"undo" doc:"The statement by which an administrator of the target takes it away; Stint does not run it"`
	Note      string `json:"note,omitempty" doc:"What to look at before"`
	FirstSeen Time   `json:"first_seen" format:"date-time"`
	LastSeen  Time   `json:"last_seen" format:"date-time"`
	GoneAt    Time   `json:"gone_at,omitzero" nullable:"true" format:"date-time" doc:"When it was found no more"`
}

// StandingList selects standing privileges.
type StandingList struct {
	List
	Resource string
	Gone     bool
}

// Standing lists what surveys found.
func (c *Client) Standing(ctx context.Context, l StandingList) (Page[StandingPrivilege], error) {
	q := l.query()
	set(q, "resource", l.Resource)
	if l.Gone {
		q.Set("gone", "true")
	}
	return get[Page[StandingPrivilege]](ctx, c, call{method: http.MethodGet, path: []string{"standing"}, query: q})
}
