package api

import (
	"context"
	"net/http"
	"net/url"
)

// The calls of administrators and owners.

// Plurals of the document kinds, as paths and commands name them.
const (
	Resources = "resources"
	Roles     = "roles"
	Policies  = "policies"
	Users     = "users"

	Integrations = "integrations"
	Schedules    = "schedules"
)

// Apply sends documents.
func (c *Client) Apply(ctx context.Context, a Apply) (Applied, error) {
	return get[Applied](ctx, c, call{method: http.MethodPost, path: []string{"apply"}, in: a})
}

// Delete removes a document; plural is Resources, Roles, Policies, Schedules, Integrations or Bundles. It is
// refused while live grants hold it, unless they are to be revoked.
func (c *Client) Delete(ctx context.Context, plural, name string, revoke bool) (Deleted, error) {
	q := url.Values{}
	if revoke {
		q.Set("revoke", "true")
	}
	return get[Deleted](ctx, c, call{method: http.MethodDelete, path: []string{plural, name}, query: q})
}

// ListResources lists resources.
func (c *Client) ListResources(ctx context.Context, l List) (Page[Resource], error) {
	return get[Page[Resource]](ctx, c, call{method: http.MethodGet, path: []string{Resources}, query: l.query()})
}

// Resource reads one resource.
func (c *Client) Resource(ctx context.Context, name string) (Resource, error) {
	return get[Resource](ctx, c, call{method: http.MethodGet, path: []string{Resources, name}})
}

// ListRoles lists roles.
func (c *Client) ListRoles(ctx context.Context, l List) (Page[Role], error) {
	return get[Page[Role]](ctx, c, call{method: http.MethodGet, path: []string{Roles}, query: l.query()})
}

// Role reads one role.
func (c *Client) Role(ctx context.Context, name string) (Role, error) {
	return get[Role](ctx, c, call{method: http.MethodGet, path: []string{Roles, name}})
}

// ListPolicies lists policies.
func (c *Client) ListPolicies(ctx context.Context, l List) (Page[Policy], error) {
	return get[Page[Policy]](ctx, c, call{method: http.MethodGet, path: []string{Policies}, query: l.query()})
}

// Policy reads one policy.
func (c *Client) Policy(ctx context.Context, name string) (Policy, error) {
	return get[Policy](ctx, c, call{method: http.MethodGet, path: []string{Policies, name}})
}

// ListSchedules lists schedules, with who is on call now.
func (c *Client) ListSchedules(ctx context.Context, l List) (Page[Schedule], error) {
	return get[Page[Schedule]](ctx, c, call{method: http.MethodGet, path: []string{Schedules}, query: l.query()})
}

// Schedule reads one schedule.
func (c *Client) Schedule(ctx context.Context, name string) (Schedule, error) {
	return get[Schedule](ctx, c, call{method: http.MethodGet, path: []string{Schedules, name}})
}

// ListIntegrations lists integrations.
func (c *Client) ListIntegrations(ctx context.Context, l List) (Page[Integration], error) {
	return get[Page[Integration]](ctx, c, call{method: http.MethodGet, path: []string{Integrations}, query: l.query()})
}

// Integration reads one integration.
func (c *Client) Integration(ctx context.Context, name string) (Integration, error) {
	return get[Integration](ctx, c, call{method: http.MethodGet, path: []string{Integrations, name}})
}

// LinkChat links the caller to a chat's user.
func (c *Client) LinkChat(ctx context.Context, l ChatLink) (ChatLinked, error) {
	return get[ChatLinked](ctx, c, call{method: http.MethodPost, path: []string{"chat", "link"}, in: l})
}

// TestIntegration sends a test message.
func (c *Client) TestIntegration(ctx context.Context, name string) (IntegrationTested, error) {
	return get[IntegrationTested](ctx, c, call{method: http.MethodPost, path: []string{"admin", Integrations, name, "test"}})
}

// ListUsers lists users and services.
func (c *Client) ListUsers(ctx context.Context, l List) (Page[User], error) {
	return get[Page[User]](ctx, c, call{method: http.MethodGet, path: []string{Users}, query: l.query()})
}

// User reads one user, by name or principal.
func (c *Client) User(ctx context.Context, name string) (User, error) {
	return get[User](ctx, c, call{method: http.MethodGet, path: []string{Users, name}})
}

// Explain asks what would be decided, and why.
func (c *Client) Explain(ctx context.Context, e ExplainAsk) (Explanation, error) {
	return get[Explanation](ctx, c, call{method: http.MethodPost, path: []string{"explain"}, in: e})
}

// WhoCan lists who may ask for a resource; role may be empty for every role.
func (c *Client) WhoCan(ctx context.Context, resource, role string, l List) (Page[CanRow], error) {
	q := l.query()
	q.Set("resource", resource)
	set(q, "role", role)
	return get[Page[CanRow]](ctx, c, call{method: http.MethodGet, path: []string{"who-can"}, query: q})
}

// WhoHas lists who has access to a resource now.
func (c *Client) WhoHas(ctx context.Context, resource string, l List) (Page[HasRow], error) {
	q := l.query()
	q.Set("resource", resource)
	return get[Page[HasRow]](ctx, c, call{method: http.MethodGet, path: []string{"who-has"}, query: q})
}

// AddUser creates a local user.
func (c *Client) AddUser(ctx context.Context, u UserAdd) (UserAdded, error) {
	return get[UserAdded](ctx, c, call{method: http.MethodPost, path: []string{"admin", "users"}, in: u})
}

// SetUser changes a user; what they hold is decided again.
func (c *Client) SetUser(ctx context.Context, name string, u UserSet) (User, error) {
	return get[User](ctx, c, call{method: http.MethodPut, path: []string{"admin", "users", name}, in: u})
}

// DisableUser disables a user and ends all they hold.
func (c *Client) DisableUser(ctx context.Context, name string) (Disabled, error) {
	return get[Disabled](ctx, c, call{method: http.MethodPost, path: []string{"admin", "users", name, "disable"}})
}

// LockUser locks a user, service or agent out and ends all it holds.
func (c *Client) LockUser(ctx context.Context, name, why string) (Disabled, error) {
	return get[Disabled](ctx, c, call{method: http.MethodPost, path: []string{"admin", "users", name, "lock"}, in: LockAsk{Why: why}})
}

// UnlockUser lets it in again; where that takes a second administrator, it is proposed.
func (c *Client) UnlockUser(ctx context.Context, name, why string) (User, error) {
	return get[User](ctx, c, call{method: http.MethodPost, path: []string{"admin", "users", name, "unlock"}, in: LockAsk{Why: why}})
}

// AddService creates a service.
func (c *Client) AddService(ctx context.Context, s ServiceAdd) (ServiceAdded, error) {
	return get[ServiceAdded](ctx, c, call{method: http.MethodPost, path: []string{"admin", "services"}, in: s})
}

// SetCredential registers what a connector logs in with.
func (c *Client) SetCredential(ctx context.Context, name string, s CredentialSet) (ConnectorCredential, error) {
	return get[ConnectorCredential](ctx, c, call{method: http.MethodPut, path: []string{"admin", "credentials", name}, in: s})
}

// ListCredentials lists what connectors log in with, without what is secret.
func (c *Client) ListCredentials(ctx context.Context, l List) (Page[ConnectorCredential], error) {
	return get[Page[ConnectorCredential]](ctx, c, call{method: http.MethodGet, path: []string{"admin", "credentials"}, query: l.query()})
}

// DeleteCredential deletes one that nothing uses any more.
func (c *Client) DeleteCredential(ctx context.Context, name string) (ConnectorCredential, error) {
	return get[ConnectorCredential](ctx, c, call{method: http.MethodDelete, path: []string{"admin", "credentials", name}})
}

// CheckResource proves that access to a resource can be made and removed.
func (c *Client) CheckResource(ctx context.Context, name string) (CheckReport, error) {
	return get[CheckReport](ctx, c, call{method: http.MethodPost, path: []string{Resources, name, "check"}})
}

// SweepResource compares a target with what should be there.
func (c *Client) SweepResource(ctx context.Context, name string, a SweepAsk) (SweepReport, error) {
	return get[SweepReport](ctx, c, call{method: http.MethodPost, path: []string{Resources, name, "sweep"}, in: a})
}

// Revoke ends grants of others.
func (c *Client) Revoke(ctx context.Context, r RevokeAsk) (Revoked, error) {
	return get[Revoked](ctx, c, call{method: http.MethodPost, path: []string{"revoke"}, in: r})
}

// Stopped reads the stop switch.
func (c *Client) Stopped(ctx context.Context) (Stop, error) {
	return get[Stop](ctx, c, call{method: http.MethodGet, path: []string{"stop"}})
}

// SetStop turns the stop switch; a reason is needed to stop.
func (c *Client) SetStop(ctx context.Context, s Stop) (Stop, error) {
	return get[Stop](ctx, c, call{method: http.MethodPost, path: []string{"stop"}, in: s})
}
