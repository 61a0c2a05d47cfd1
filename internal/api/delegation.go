package api

import (
	"context"
	"net/http"
)

// Delegation lets another person vote where somebody is asked, for a time.
type Delegation struct {
	ID        string `json:"id" example:"dlg_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
	Principal string `json:"principal" doc:"Whose approvals they are" example:"user:omar"`
	To        string `json:"to" doc:"Who may give them" example:"user:olga"`
	Why       string `json:"why" example:"on leave"`
	StartsAt  Time   `json:"starts_at" format:"date-time"`
	EndsAt    Time   `json:"ends_at" format:"date-time"`
	Holds     bool   `json:"holds" doc:"It is in force now"`
	EndedAt   Time   `json:"ended_at,omitzero" nullable:"true" format:"date-time" doc:"When somebody ended it before its time"`
	EndedBy   string `json:"ended_by,omitempty" example:"user:olga"`
}

// DelegateAsk hands the caller's approvals to another person.
type DelegateAsk struct {
	To    string `json:"to" minLength:"1" maxLength:"80" doc:"Who may give them: a user" example:"user:olga"`
	For   string `json:"for" minLength:"1" maxLength:"32" doc:"For how long" example:"5d"`
	Start string `json:"start,omitempty" maxLength:"40" doc:"When it begins, RFC 3339; at once if absent" example:"2026-12-20T08:00:00Z"`
	Why   string `json:"why" minLength:"1" maxLength:"2000" doc:"The reason, which the log keeps" example:"on leave"`
}

// Delegate hands the caller's approvals to another person for a time.
func (c *Client) Delegate(ctx context.Context, a DelegateAsk) (Delegation, error) {
	return get[Delegation](ctx, c, call{method: http.MethodPost, path: []string{"delegations"}, in: a})
}

// Delegations lists those that are not over and concern the caller.
func (c *Client) Delegations(ctx context.Context) (Page[Delegation], error) {
	return get[Page[Delegation]](ctx, c, call{method: http.MethodGet, path: []string{"delegations"}})
}

// EndDelegation ends one before its time.
func (c *Client) EndDelegation(ctx context.Context, id string) (Delegation, error) {
	return get[Delegation](ctx, c, call{method: http.MethodPost, path: []string{"delegations", id, "end"}})
}
