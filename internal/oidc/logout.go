package oidc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"stint/internal/access"
)

// Logout is a provider's word that somebody signed out there (OpenID Connect
// Back-Channel Logout 1.0).
type Logout struct {
	Identity access.Identity
	ID       string // its jti: none counts twice within LogoutAge
}

// LogoutAge is how old a logout token may be. For longer than that its jti is to be
// remembered.
const LogoutAge = 10 * time.Minute

const (
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
	maxJTI      = 256
)

// Logout verifies a logout token (section 2.6). A wrong one is access.Invalid with a
// code "bad-logout-token"; a provider that cannot be asked for its keys is Unavailable.
func (p *Party) Logout(ctx context.Context, at Provider, raw string) (Logout, error) {
	bad := func(why string, cause error) (Logout, error) {
		return Logout{}, access.Fail(access.Invalid, "bad-logout-token", "the logout token does not hold").Because(why).Wrap(cause)
	}
	if raw == "" || len(raw) > maxToken {
		return bad("there is none, or it is too long", nil)
	}
	k, err := p.discover(ctx, at)
	if err != nil {
		return Logout{}, err
	}
	// What a token is, it says in its header: an ID token is signed by the same key,
	// for the same client. The header is believed only once the signature is.
	kind, err := typeOf(raw)
	if err != nil || kind != "" && !strings.EqualFold(kind, "logout+jwt") && !strings.EqualFold(kind, "jwt") {
		return bad("it is a token of another kind", err)
	}
	id, err := k.provider.Verifier(&oidc.Config{ClientID: at.ClientID, SupportedSigningAlgs: k.algorithms(), Now: p.now}).Verify(oidc.ClientContext(ctx, p.http), raw)
	if err != nil {
		return bad("it is not signed by the provider, not for us, or not good any more", err)
	}
	var c struct {
		JTI    string                     `json:"jti"`
		SID    string                     `json:"sid"`
		Events map[string]json.RawMessage `json:"events"`
		Nonce  *json.RawMessage           `json:"nonce"`
	}
	if err := id.Claims(&c); err != nil {
		return bad("its claims cannot be read", err)
	}
	event, there := c.Events[logoutEvent]
	now := p.now()
	switch {
	case !there || json.Unmarshal(event, &struct{}{}) != nil || string(event) == "null":
		return bad("it does not say that somebody signed out", nil)
	case c.Nonce != nil:
		return bad("it has a nonce, as an ID token has", nil) // section 2.4: so that neither passes for the other
	case c.JTI == "" || len(c.JTI) > maxJTI:
		return bad("it has no jti, or one that is too long", nil)
	case id.IssuedAt.IsZero() || id.IssuedAt.After(now.Add(leeway)) || now.Sub(id.IssuedAt) > LogoutAge:
		return bad("it is too old, or of a time that has not come; compare the clocks", nil)
	case id.Subject == "" && c.SID != "":
		return bad("it names a session of the provider only; have it send sub as well", nil)
	case id.Subject == "":
		return bad("it does not say who signed out", nil)
	}
	out := Logout{Identity: access.Identity{Provider: at.Name, Subject: id.Subject}, ID: c.JTI}
	if err := out.Identity.Check(); err != nil {
		return bad("its subject cannot be one", err)
	}
	return out, nil
}

// typeOf is the typ of a token's header; empty if it says none.
func typeOf(raw string) (string, error) {
	head, _, _ := strings.Cut(raw, ".")
	var h struct {
		Type string `json:"typ"`
	}
	text, err := base64.RawURLEncoding.DecodeString(head)
	if err == nil {
		err = json.Unmarshal(text, &h)
	}
	return h.Type, err
}
