package api

import (
	"context"
	"net/http"
	"net/url"
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

// Agent is an agent as it stands.
type Agent struct {
	Principal   string   `json:"principal" example:"agent:fixer"`
	Name        string   `json:"name" example:"fixer"`
	Responsible string   `json:"responsible" doc:"The human on whose account it acts" example:"ana"`
	Groups      []string `json:"groups" nullable:"false"`
	CreatedAt   Time     `json:"created_at" format:"date-time"`
	Until       Time     `json:"until" nullable:"true" format:"date-time" doc:"When its token ends"`
	Disabled    bool     `json:"disabled"`
}

// Task is one piece of work of an agent.
type Task struct {
	Agent    string `json:"agent" example:"agent:fixer"`
	Task     string `json:"task" example:"OPS-12"`
	Open     bool   `json:"open" doc:"Something can be asked for with it"`
	OpenedAt Time   `json:"opened_at" format:"date-time"`
	EndsAt   Time   `json:"ends_at" format:"date-time" doc:"At the latest"`
	EndedAt  Time   `json:"ended_at" nullable:"true" format:"date-time" doc:"When it was ended; null where it was not"`
	Why      string `json:"why,omitempty" doc:"It was ended"`
}

// TaskList selects tasks.
type TaskList struct {
	List
	Agent string // only of this agent
	Ended bool   // also those that are over
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
	return get[UserAdded](ctx, c, call{method: http.MethodPost, path: []string{"admin", "vendors"}, in: v})
}

// SetVendor changes a vendor's sponsor, company or contract.
func (c *Client) SetVendor(ctx context.Context, name string, v VendorSet) (Vendor, error) {
	return get[Vendor](ctx, c, call{method: http.MethodPut, path: []string{"admin", "vendors", name}, in: v})
}

// Vendors lists vendors: those of a sponsor, or with an empty one all that the caller may see.
func (c *Client) Vendors(ctx context.Context, sponsor string, l List) (Page[Vendor], error) {
	return get[Page[Vendor]](ctx, c, call{method: http.MethodGet, path: []string{"admin", "vendors"}, query: with(l.query(), "sponsor", sponsor)})
}

// AddAgent creates an agent, or renews one.
func (c *Client) AddAgent(ctx context.Context, a AgentAdd) (ServiceAdded, error) {
	return get[ServiceAdded](ctx, c, call{method: http.MethodPost, path: []string{"admin", "agents"}, in: a})
}

// Agents lists agents: those of a human, or with an empty one all that the caller may see.
func (c *Client) Agents(ctx context.Context, responsible string, l List) (Page[Agent], error) {
	return get[Page[Agent]](ctx, c, call{method: http.MethodGet, path: []string{"admin", "agents"}, query: with(l.query(), "responsible", responsible)})
}

// Tasks lists tasks of agents.
func (c *Client) Tasks(ctx context.Context, l TaskList) (Page[Task], error) {
	q := with(l.query(), "agent", l.Agent)
	if l.Ended {
		q.Set("ended", "true")
	}
	return get[Page[Task]](ctx, c, call{method: http.MethodGet, path: []string{"tasks"}, query: q})
}

// with is a query that says one thing more, unless it is empty.
func with(q url.Values, name, value string) url.Values {
	if value != "" {
		q.Set(name, value)
	}
	return q
}

// EndTask ends a task of an agent, and the access it has for it.
func (c *Client) EndTask(ctx context.Context, t TaskEnd) (TaskEnded, error) {
	return get[TaskEnded](ctx, c, call{method: http.MethodPost, path: []string{"tasks", "end"}, in: t})
}
