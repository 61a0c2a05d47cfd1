package api

import (
	"context"
	"net/http"
)

// BundleAsk asks for several things at once, for one reason. Each part becomes a Request
// with approvals and a grant of its own.
type BundleAsk struct {
	Parts    []BundlePart `json:"parts" nullable:"false" minItems:"2" maxItems:"20" doc:"Each resource once"`
	Reason   string       `json:"reason" doc:"Why; approvers and the audit log see it" maxLength:"1000" example:"move order 4711 to the new shop"`
	Ticket   string       `json:"ticket,omitempty" doc:"The ticket behind it" maxLength:"128" example:"INC-2041"`
	Start    string       `json:"start,omitempty" doc:"When it begins, RFC 3339; at once if absent" maxLength:"40" example:"2026-03-01T17:30:00Z"`
	Task     string       `json:"task,omitempty" doc:"Agents: what they work on; no grant outlives it" maxLength:"100" example:"OPS-12"`
	Possible bool         `json:"possible,omitempty" doc:"Send what policy does not refuse; else nothing is sent where it refuses anything"`
	DryRun   bool         `json:"dry_run,omitempty" doc:"Answer with the decisions and change nothing"`
	SealKey  []byte       `json:"seal_key,omitempty" doc:"Services: the device's X25519 public key, to seal the credentials to" maxLength:"44"`
}

// BundlePart is one of them.
type BundlePart struct {
	Resource string `json:"resource" minLength:"1" maxLength:"63" example:"orders-db"`
	Role     string `json:"role" minLength:"1" maxLength:"63" example:"reader"`
	Duration string `json:"duration" minLength:"1" maxLength:"32" example:"1h"`
}

// Bundled is what became of a BundleAsk.
type Bundled struct {
	Bundle   string    `json:"bundle" doc:"The digest of all parts together, which the digest of each covers; empty for a dry run" example:"sha256:9f86d081…"`
	Requests []Request `json:"requests" nullable:"false" doc:"One for each part that was sent, in order; of a dry run, one for each part"`
	Refused  []Request `json:"refused" nullable:"false" doc:"Parts that were left out, with policy's answer"`
	DryRun   bool      `json:"dry_run,omitempty" doc:"Nothing was changed"`
}

// Bundle is a named bundle, as lists and pages show it.
type Bundle struct {
	Name        string       `json:"name" example:"incident"`
	Description string       `json:"description"`
	Parts       []BundlePart `json:"parts" nullable:"false" doc:"Without a duration: as long as is asked"`
	Source      string       `json:"source" example:"bundles.yaml:1"`
}

// Favourite is something that the caller often asks for.
type Favourite struct {
	Name     string `json:"name" example:"orders"`
	Resource string `json:"resource" example:"orders-db"`
	Role     string `json:"role" example:"reader"`
	Duration string `json:"duration" example:"30m"`
}

// FavouriteSet is what to keep under a name.
type FavouriteSet struct {
	Resource string `json:"resource" minLength:"1" maxLength:"63" example:"orders-db"`
	Role     string `json:"role" minLength:"1" maxLength:"63" example:"reader"`
	Duration string `json:"duration" minLength:"1" maxLength:"32" example:"30m"`
}

// Bundles is the plural of the kind, as paths and commands name it.
const Bundles = "bundles"

// SubmitBundle asks for several things at once.
func (c *Client) SubmitBundle(ctx context.Context, a BundleAsk) (Bundled, error) {
	if c.Service && c.Device != nil && a.SealKey == nil {
		a.SealKey = c.Device.SealKey()
	}
	return get[Bundled](ctx, c, call{method: http.MethodPost, path: []string{"requests", "bundle"}, in: a})
}

// ListBundles lists the named bundles.
func (c *Client) ListBundles(ctx context.Context, l List) (Page[Bundle], error) {
	return get[Page[Bundle]](ctx, c, call{method: http.MethodGet, path: []string{Bundles}, query: l.query()})
}

// Bundle reads one named bundle.
func (c *Client) Bundle(ctx context.Context, name string) (Bundle, error) {
	return get[Bundle](ctx, c, call{method: http.MethodGet, path: []string{Bundles, name}})
}

// Favourites lists the caller's own.
func (c *Client) Favourites(ctx context.Context, l List) (Page[Favourite], error) {
	return get[Page[Favourite]](ctx, c, call{method: http.MethodGet, path: []string{"favourites"}, query: l.query()})
}

// SaveFavourite keeps one of the caller's under a name.
func (c *Client) SaveFavourite(ctx context.Context, name string, f FavouriteSet) (Favourite, error) {
	return get[Favourite](ctx, c, call{method: http.MethodPut, path: []string{"favourites", name}, in: f})
}

// DropFavourite forgets one of the caller's.
func (c *Client) DropFavourite(ctx context.Context, name string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: []string{"favourites", name}})
}
