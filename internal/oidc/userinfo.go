package oidc

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"strconv"

	"stint/internal/access"
)

// own are the claims that say who vouched for whom, when and how. They come from the
// signed ID token alone: what UserInfo says is not signed.
var own = []string{"iss", "sub", "aud", "azp", "exp", "iat", "nbf", "nonce", "jti", "sid", "acr", "amr", "auth_time", "at_hash", "c_hash", "_claim_names", "_claim_sources"}

// more are the claims of an ID token and those that UserInfo adds to them (OpenID
// Connect Core 1.0 section 5.3). What the ID token says stands.
func (p *Party) more(ctx context.Context, k *known, at Provider, subject, accessToken string, claims map[string]any) (map[string]any, error) {
	failed := func(why string, cause error) (map[string]any, error) {
		return nil, access.Fail(access.Unavailable, "no-userinfo", at.Name+" did not say all about you").Because(why).
			Try("try again; if it stays, the server's log says more").Wrap(cause)
	}
	if k.meta.UserInfo == "" || accessToken == "" {
		return failed("it has no UserInfo endpoint, or gave nothing to ask it with", nil)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.meta.UserInfo, nil)
	if err != nil {
		return failed("its UserInfo endpoint has no address", err)
	}
	r.Header.Set("Authorization", "Bearer "+accessToken)
	r.Header.Set("Accept", "application/json")
	res, err := p.http.Do(r)
	if err != nil {
		return failed("its UserInfo endpoint does not answer", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return failed("its UserInfo endpoint answers "+strconv.Itoa(res.StatusCode), nil)
	}
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return failed("its UserInfo endpoint does not answer with JSON; have it not sign or encrypt the answer", err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return failed("its UserInfo endpoint's answer broke off, or is too long", err)
	}
	said := map[string]any{}
	if err := json.Unmarshal(text, &said); err != nil {
		return failed("its UserInfo endpoint's answer cannot be read", err)
	}
	// Section 5.3.2: without this, one person's token could bring another's claims.
	if who, _ := said["sub"].(string); who != subject {
		return nil, refuse("bad-userinfo", "what "+at.Name+" says about you does not hold", "its UserInfo endpoint speaks of somebody else")
	}
	for _, name := range own {
		delete(said, name)
	}
	maps.Copy(said, claims)
	return said, nil
}
