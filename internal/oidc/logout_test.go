package oidc_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/oidc/oidctest"
)

const signedOut = "http://schemas.openid.net/event/backchannel-logout"

// word is a logout token's claims, all right.
func (s *scene) word() map[string]any {
	return map[string]any{"iss": s.idp.URL, "aud": s.idp.ClientID, "iat": s.now.Unix(), "exp": s.now.Add(2 * time.Minute).Unix(), "jti": "j1", "sub": "subject-1", "sid": "s1",
		"events": map[string]any{signedOut: map[string]any{}}}
}

// TestLogoutToken: a right one says who signed out; one that is wrong in any way of
// Back-Channel Logout 1.0 sections 2.4 and 2.6 says nothing.
func TestLogoutToken(t *testing.T) {
	other := oidctest.Start(t)
	other.Rotate()
	set := func(name string, v any) func(*scene, map[string]any) {
		return func(_ *scene, c map[string]any) { c[name] = v }
	}
	for name, bend := range map[string]func(*scene, map[string]any){
		"right":                  nil,
		"no sid":                 set("sid", nil),
		"several audiences":      func(s *scene, c map[string]any) { c["aud"] = []string{"x", s.idp.ClientID} },
		"other events beside it": set("events", map[string]any{signedOut: map[string]any{}, "x": 1}),
	} {
		s := newScene(t)
		c := s.word()
		if bend != nil {
			bend(s, c)
		}
		got, err := s.party.Logout(t.Context(), s.at, s.idp.Sign(c))
		if err != nil || got.ID != "j1" || got.Identity != (access.Identity{Provider: "corp", Subject: "subject-1"}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	header := func(typ string) func(*scene, map[string]any) {
		return func(s *scene, _ map[string]any) {
			s.idp.Token = func(kid, claims string) string {
				_, rest, _ := strings.Cut(s.idp.RS256(kid, []byte(claims)), ".")
				return oidctest.Part(map[string]any{"alg": "RS256", "kid": kid, "typ": typ}) + "." + rest
			}
		}
	}
	for name, bend := range map[string]func(*scene, map[string]any){
		"another issuer":           set("iss", other.URL),
		"no issuer":                set("iss", nil),
		"another audience":         set("aud", "somebody-else"),
		"no audience":              set("aud", nil),
		"expired":                  func(s *scene, c map[string]any) { c["exp"] = s.now.Add(-time.Second).Unix() },
		"no end":                   set("exp", nil),
		"no time":                  set("iat", nil),
		"too old":                  func(s *scene, c map[string]any) { c["iat"] = s.now.Add(-11 * time.Minute).Unix() },
		"of the future":            func(s *scene, c map[string]any) { c["iat"] = s.now.Add(2 * time.Minute).Unix() },
		"no event":                 set("events", nil),
		"another event":            set("events", map[string]any{"x": map[string]any{}}),
		"an event that is text":    set("events", map[string]any{signedOut: "yes"}),
		"an event that is nothing": set("events", map[string]any{signedOut: nil}),
		"events that are a list":   set("events", []string{signedOut}),
		"a nonce":                  set("nonce", "n"),
		"a nonce that is nothing":  set("nonce", ""),
		"no jti":                   set("jti", nil),
		"an empty jti":             set("jti", ""),
		"a long jti":               set("jti", strings.Repeat("x", 300)),
		"nobody":                   func(_ *scene, c map[string]any) { delete(c, "sub"); delete(c, "sid") },
		"a session only":           set("sub", nil),
		"a subject that is unseen": set("sub", "a\nb"),
		"of another kind":          header("at+jwt"),
		"a security event":         header("secevent+jwt"),
		"the header changed":       header("logout+jwt"), // and not what was signed
		"alg none": func(s *scene, _ map[string]any) {
			s.idp.Token = func(_, claims string) string {
				return oidctest.Part(map[string]any{"alg": "none"}) + "." + oidctest.Part(json.RawMessage(claims)) + "."
			}
		},
		"the client's secret as key": func(s *scene, _ map[string]any) {
			s.idp.Token = func(kid, claims string) string { return oidctest.HS256(kid, []byte(s.idp.Secret), []byte(claims)) }
		},
		"another provider's key": func(s *scene, _ map[string]any) {
			s.idp.Token = func(kid, claims string) string { return other.RS256(kid, []byte(claims)) }
		},
		"not a token":                 func(s *scene, _ map[string]any) { s.idp.Token = func(string, string) string { return "a.b.c" } },
		"nothing":                     func(s *scene, _ map[string]any) { s.idp.Token = func(string, string) string { return "" } },
		"an ID token of the provider": func(s *scene, c map[string]any) { delete(c, "events"); c["nonce"] = "n" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			c := s.word()
			bend(s, c)
			for k, v := range c {
				if v == nil {
					delete(c, k)
				}
			}
			got, err := s.party.Logout(t.Context(), s.at, s.idp.Sign(c))
			if access.KindOf(err) != access.Invalid {
				t.Errorf("it holds: %+v, %v", got, err)
			}
		})
	}
}
