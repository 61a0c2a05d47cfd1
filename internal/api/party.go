package api

import (
	"context"
	"net/http"
)

// Those for whom somebody answers: vendors with a sponsor and a contract, agents with a
// human and a task.

// VendorInvite invites somebody of another company.
type VendorInvite struct {
	Name    string   `json:"name" minLength:"1" maxLength:"63" example:"bo"`
	Sponsor string   `json:"sponsor" minLength:"1" maxLength:"63" doc:"The employee who answers for them" example:"omar"`
	Company string   `json:"company" minLength:"1" maxLength:"100" example:"Acme Ltd"`
	Until   Time     `json:"until" format:"date-time" doc:"The end of the contract; everything they hold ends then"`
	Groups  []string `json:"groups,omitempty" maxItems:"256" example:"acme"`
}

// VendorSet changes a vendor. What is absent stays as it is.
type VendorSet struct {
	Sponsor *string `json:"sponsor,omitempty" maxLength:"63" doc:"Administrators only" example:"noor"`
	Company *string `json:"company,omitempty" maxLength:"100" doc:"Administrators only"`
	Until   Time    `json:"until,omitzero" nullable:"true" format:"date-time" doc:"The contract's new end; one that has passed ends it now"`
	Why     string  `json:"why,omitempty" maxLength:"1000" doc:"For the log"`
}

// Vendor is a vendor as their contract stands.
type Vendor struct {
	Principal string   `json:"principal" example:"user:bo"`
	Name      string   `json:"name" example:"bo"`
	Sponsor   string   `json:"sponsor" example:"omar"`
	Company   string   `json:"company" example:"Acme Ltd"`
	Groups    []string `json:"groups" nullable:"false"`
	Until     Time     `json:"until" format:"date-time"`
	Disabled  bool     `json:"disabled"`
}

// AgentAdd creates an agent, a program that acts for one human.
type AgentAdd struct {
	Name        string   `json:"name" minLength:"1" maxLength:"63" example:"fixer"`
	Groups      []string `json:"groups,omitempty" maxItems:"256"`
	Responsible string   `json:"responsible" minLength:"1" maxLength:"63" doc:"The human on whose account it does all it does" example:"ana"`
	For         string   `json:"for" minLength:"1" maxLength:"32" doc:"How long the token is good for, at most 90 days" example:"720h"`
}

// TaskEnd ends a task of an agent.
type TaskEnd struct {
	Agent string `json:"agent,omitempty" maxLength:"70" doc:"Whose task it is; the caller's own if absent" example:"fixer"`
	Task  string `json:"task" minLength:"1" maxLength:"100" example:"OPS-12"`
	Why   string `json:"why,omitempty" maxLength:"1000"`
}

// TaskEnded says what ending a task ended.
type TaskEnded struct {
	Agent   string   `json:"agent" example:"agent:fixer"`
	Task    string   `json:"task" example:"OPS-12"`
	EndedAt Time     `json:"ended_at" format:"date-time"`
	Grants  []string `json:"grants" nullable:"false" doc:"The ids of the grants that are ending"`
}

// InviteVendor invites a vendor.
func (c *Client) InviteVendor(ctx context.Context, v VendorInvite) (UserAdded, error) {
	return get[UserAdded](ctx, c, call{method: http.MethodPost, path: []string{"vendors"}, in: v})
}

// SetVendor changes a vendor's sponsor, company or contract.
func (c *Client) SetVendor(ctx context.Context, name string, v VendorSet) (Vendor, error) {
	return get[Vendor](ctx, c, call{method: http.MethodPut, path: []string{"vendors", name}, in: v})
}

// AddAgent creates an agent, or renews one.
func (c *Client) AddAgent(ctx context.Context, a AgentAdd) (ServiceAdded, error) {
	return get[ServiceAdded](ctx, c, call{method: http.MethodPost, path: []string{"admin", "agents"}, in: a})
}

// EndTask ends a task of an agent, and the access it has for it.
func (c *Client) EndTask(ctx context.Context, t TaskEnd) (TaskEnded, error) {
	return get[TaskEnded](ctx, c, call{method: http.MethodPost, path: []string{"tasks", "end"}, in: t})
}
