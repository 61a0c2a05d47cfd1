package api

import (
	"context"
	"net/http"
)

// VaultAdd puts a privileged account of a resource into the vault.
type VaultAdd struct {
	Resource    string `json:"resource" minLength:"1" maxLength:"255" example:"orders-db"`
	Account     string `json:"account" minLength:"1" maxLength:"255" doc:"The account on the target" example:"dba_admin"`
	Secret      Secret `json:"secret,omitempty" maxLength:"16384" doc:"What it opens with: a password, a token, a private key, or a certificate and its key, as its resource says. It is tried; without one Stint sets a fresh one"`
	RotateEvery string `json:"rotate_every,omitempty" maxLength:"32" doc:"How old a password grows while nobody borrows it: 1h to 400d; as old as it likes if not given" example:"30d"`
}

// VaultRotate asks for another secret now.
type VaultRotate struct {
	Why string `json:"why" minLength:"1" maxLength:"1000" example:"it was in a screenshot"`
}

// VaultEntry is an account in the vault. Its secret is never shown here.
type VaultEntry struct {
	Name        string `json:"name" example:"orders-dba"`
	Resource    string `json:"resource" example:"orders-db"`
	Account     string `json:"account" example:"dba_admin"`
	Kind        string `json:"kind" enum:"password,token,key,certificate"`
	State       string `json:"state" enum:"ready,lent,rotating,drifted" doc:"ready: nobody has it. lent: it was given to somebody, and is not rotated since. rotating: a fresh one is on its way. drifted: somebody changed it by hand, and it will be set anew"`
	Number      int64  `json:"number" doc:"Of the current secret; 0 before the first is set"`
	RotateEvery string `json:"rotate_every,omitempty" example:"30d"`
	Wanted      string `json:"wanted,omitempty" doc:"Why it is to be rotated now"`
	Trouble     string `json:"trouble,omitempty" doc:"Why a rotation could not be ordered"`
	RotatedAt   Time   `json:"rotated_at,omitzero" nullable:"true" format:"date-time"`
	RotateAt    Time   `json:"rotate_at,omitzero" nullable:"true" format:"date-time" doc:"When it is rotated next by itself, if it is not lent then"`
	DriftAt     Time   `json:"drift_at,omitzero" nullable:"true" format:"date-time" doc:"Since when the current secret is known not to open the account"`
	CreatedAt   Time   `json:"created_at" format:"date-time"`

	Resources []string `json:"resources,omitempty" doc:"All that have its address now: the account may be used under each of these names. Of one entry alone, not in lists"`

	Secrets []VaultVersion `json:"secrets" nullable:"false" doc:"The versions of the secret, oldest first; the last fifty"`
}

// VaultVersion is one version of a vaulted secret, without the secret.
type VaultVersion struct {
	Number int64  `json:"number"`
	State  string `json:"state" enum:"pending,current,dead" doc:"pending: kept, and the target may have it or not. current: seen to open. dead: seen not to open any more, and erased"`
	Why    string `json:"why,omitempty" doc:"Of the rotation that made it"`
	MadeAt Time   `json:"made_at" format:"date-time"`
	UsedAt Time   `json:"used_at,omitzero" nullable:"true" format:"date-time" doc:"When it was first seen to open"`
	DeadAt Time   `json:"dead_at,omitzero" nullable:"true" format:"date-time"`
	// NotAfter is of certificates.
	NotAfter Time `json:"not_after,omitzero" nullable:"true" format:"date-time" doc:"When it ends by itself: it is a certificate, and replaced before, if it is not lent then"`
}

// AddVaulted puts an account into the vault.
func (c *Client) AddVaulted(ctx context.Context, name string, a VaultAdd) (VaultEntry, error) {
	return get[VaultEntry](ctx, c, call{method: http.MethodPut, path: []string{"admin", "vault", name}, in: a})
}

// ListVault lists what is in the vault.
func (c *Client) ListVault(ctx context.Context, l List) (Page[VaultEntry], error) {
	return get[Page[VaultEntry]](ctx, c, call{method: http.MethodGet, path: []string{"admin", "vault"}, query: l.query()})
}

// Vaulted is one account in the vault, with the history of its secret.
func (c *Client) Vaulted(ctx context.Context, name string) (VaultEntry, error) {
	return get[VaultEntry](ctx, c, call{method: http.MethodGet, path: []string{"admin", "vault", name}})
}

// RemoveVaulted takes an account out of the vault.
func (c *Client) RemoveVaulted(ctx context.Context, name string) (VaultEntry, error) {
	return get[VaultEntry](ctx, c, call{method: http.MethodDelete, path: []string{"admin", "vault", name}})
}

// RotateVaulted asks for another secret now.
func (c *Client) RotateVaulted(ctx context.Context, name string, r VaultRotate) (VaultEntry, error) {
	return get[VaultEntry](ctx, c, call{method: http.MethodPost, path: []string{"admin", "vault", name, "rotate"}, in: r})
}
