package oidc_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/oidc"
	"stint/internal/oidc/oidctest"
)

// scene is a relying party before a provider.
type scene struct {
	t        testing.TB
	idp      *oidctest.Provider
	party    *oidc.Party
	at       oidc.Provider
	redirect string
	now      time.Time
	client   *http.Client
}

func newScene(t testing.TB) *scene {
	s := &scene{t: t, idp: oidctest.Start(t), redirect: "http://127.0.0.1:1/login/callback/corp", now: time.Now(), client: &http.Client{Timeout: 5 * time.Second}}
	s.idp.Now = func() time.Time { return s.now }
	s.party = oidc.New(s.client, func() time.Time { return s.now })
	s.at = oidc.Read("corp", s.idp.URL, map[string]string{"create": "yes"})
	s.at.ClientID = s.idp.ClientID
	return s
}

func trip(word string) oidc.Trip {
	return oidc.Trip{State: "state-" + word, Cookie: access.NewSecret([]byte("cookie-" + word))}
}

// begin goes to the provider and comes back.
func (s *scene) begin(t oidc.Trip) (oidc.Answer, error) {
	to, err := s.party.Begin(s.t.Context(), s.at, s.redirect, t)
	if err != nil {
		return oidc.Answer{}, err
	}
	q := oidctest.Visit(s.t, to).Query()
	if q.Get("state") != t.State {
		s.t.Errorf("state %q came back, want %q", q.Get("state"), t.State)
	}
	return oidc.Answer{Code: q.Get("code"), Issuer: q.Get("iss"), Error: q.Get("error")}, nil
}

func (s *scene) finish(t oidc.Trip, a oidc.Answer) (oidc.Person, error) {
	return s.party.Finish(s.t.Context(), s.at, access.NewSecret([]byte(s.idp.Secret)), s.redirect, t, a)
}

func (s *scene) signIn(word string) (oidc.Person, error) {
	a, err := s.begin(trip(word))
	if err != nil {
		return oidc.Person{}, err
	}
	return s.finish(trip(word), a)
}

func claim(name string, value any) func(*scene) {
	return func(s *scene) { s.idp.Claims = func(c map[string]any) { c[name] = value } }
}

func without(name string) func(*scene) {
	return func(s *scene) { s.idp.Claims = func(c map[string]any) { delete(c, name) } }
}

// TestHostileProvider has a provider, or whoever stands in its place, lie in each way
// that is known. Nobody is ever signed in by it. Each case is run before on a provider
// that is honest, so that none passes for another reason.
func TestHostileProvider(t *testing.T) {
	other := oidctest.Start(t) // another provider, with keys of its own
	other.Rotate()
	later := func(d time.Duration) func(s *scene) int64 { return func(s *scene) int64 { return s.now.Add(d).Unix() } }
	at := func(name string, when func(*scene) int64) func(*scene) {
		return func(s *scene) { s.idp.Claims = func(c map[string]any) { c[name] = when(s) } }
	}
	token := func(make func(s *scene, kid string, claims []byte) string) func(*scene) {
		return func(s *scene) {
			s.idp.Token = func(kid, claims string) string { return make(s, kid, []byte(claims)) }
		}
	}
	hmacWith := func(secret func(*scene) []byte) func(*scene) {
		return token(func(s *scene, kid string, claims []byte) string { return oidctest.HS256(kid, secret(s), claims) })
	}
	keys := func(h func(s *scene) http.HandlerFunc) func(*scene) { return func(s *scene) { s.idp.Keys = h(s) } }
	discovery := func(name string, value any) func(*scene) {
		return func(s *scene) { s.idp.Discovery = func(d map[string]any) { d[name] = value } }
	}
	for name, bend := range map[string]func(*scene){
		"another issuer":          claim("iss", other.URL),
		"issuer with a slash":     func(s *scene) { claim("iss", s.idp.URL+"/")(s) },
		"no issuer":               without("iss"),
		"another audience":        claim("aud", "somebody-else"),
		"no audience":             without("aud"),
		"two audiences, no party": claim("aud", []string{"stint", "somebody-else"}),
		"two audiences, another party": func(s *scene) {
			s.idp.Claims = func(c map[string]any) { c["aud"] = []string{"stint", "x"}; c["azp"] = "x" }
		},
		"one audience, another party":    claim("azp", "somebody-else"),
		"another nonce":                  claim("nonce", "n"),
		"no nonce":                       without("nonce"),
		"expired":                        at("exp", later(-time.Second)),
		"expired a minute ago":           at("exp", later(-time.Minute)),
		"no end":                         without("exp"),
		"of the future":                  at("iat", later(2*time.Minute)),
		"no time":                        without("iat"),
		"not good yet":                   at("nbf", later(2*time.Minute)),
		"signed in in the future":        at("auth_time", later(2*time.Minute)),
		"a time that is none":            claim("auth_time", "yesterday"),
		"a time out of bounds":           claim("nbf", 1e300),
		"no subject":                     without("sub"),
		"empty subject":                  claim("sub", ""),
		"subject with a line break":      claim("sub", "a\nb"),
		"subject that turns text around": claim("sub", "a\u202eb"),
		"subject too long":               claim("sub", strings.Repeat("a", 256)),
		"subject that is a number":       claim("sub", 17),
		"groups that are none":           claim("groups", map[string]any{"dba": true}),
		"groups of numbers":              claim("groups", []any{1, 2}),
		"groups elsewhere": func(s *scene) {
			s.idp.Claims = func(c map[string]any) {
				delete(c, "groups")
				c["_claim_names"] = map[string]string{"groups": "src1"}
				c["_claim_sources"] = map[string]any{"src1": map[string]string{"endpoint": other.URL}}
			}
		},
		"too many groups":              claim("groups", strings.Split(strings.Repeat("g,", 1001), ",")),
		"hash of another access token": claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),

		"alg none": token(func(_ *scene, kid string, claims []byte) string {
			return oidctest.Part(map[string]any{"alg": "none", "kid": kid}) + "." + oidctest.Part(json.RawMessage(claims)) + "."
		}),
		"alg None": token(func(_ *scene, kid string, claims []byte) string {
			return oidctest.Part(map[string]any{"alg": "None"}) + "." + oidctest.Part(json.RawMessage(claims)) + "."
		}),
		"HS256 with the public key, PEM": hmacWith(func(s *scene) []byte {
			der, err := x509.MarshalPKIXPublicKey(s.idp.PublicKey())
			if err != nil {
				t.Fatal(err)
			}
			return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		}),
		"HS256 with the public key, DER": hmacWith(func(s *scene) []byte { return x509.MarshalPKCS1PublicKey(s.idp.PublicKey()) }),
		"HS256 with the modulus":         hmacWith(func(s *scene) []byte { return s.idp.PublicKey().N.Bytes() }),
		"HS256 with the client's secret": hmacWith(func(s *scene) []byte { return []byte(s.idp.Secret) }),
		"HS256 with nothing":             hmacWith(func(*scene) []byte { return nil }),
		"HS256 with a key it publishes": func(s *scene) {
			s.idp.Keys = func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintf(w, `{"keys":[{"kty":"oct","kid":%q,"alg":"HS256","k":"c2VjcmV0"}]}`, s.idp.KeyID())
			}
			s.idp.Token = func(kid, claims string) string { return oidctest.HS256(kid, []byte("secret"), []byte(claims)) }
		},
		"signed by another provider's key": token(func(_ *scene, kid string, claims []byte) string { return other.RS256(kid, claims) }),
		"a key that the token brings": token(func(_ *scene, _ string, claims []byte) string {
			raw := other.RS256(other.KeyID(), claims)
			_, rest, _ := strings.Cut(raw, ".")
			return oidctest.Part(map[string]any{"alg": "RS256", "kid": other.KeyID(), "jwk": other.KeySet()["keys"].([]any)[0], "jku": other.URL + "/keys"}) + "." + rest
		}),
		"an unknown key": token(func(s *scene, _ string, claims []byte) string { return s.idp.RS256("nobody-knows", claims) }),
		"signature cut": token(func(s *scene, kid string, claims []byte) string {
			raw := s.idp.RS256(kid, claims)
			return raw[:strings.LastIndexByte(raw, '.')+1]
		}),
		"claims exchanged": token(func(s *scene, kid string, claims []byte) string {
			a, b := strings.Split(s.idp.RS256(kid, claims), "."), strings.Split(s.idp.RS256(kid, []byte(strings.Replace(string(claims), "subject-1", "subject-2", 1))), ".")
			return a[0] + "." + b[1] + "." + a[2]
		}),
		"two signatures": token(func(s *scene, kid string, claims []byte) string {
			p := strings.Split(s.idp.RS256(kid, claims), ".")
			return fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q},{"protected":%q,"signature":%q}]}`, p[1], p[0], p[2], p[0], p[2])
		}),
		"no token":    token(func(*scene, string, []byte) string { return "" }),
		"not a token": token(func(*scene, string, []byte) string { return "a.b.c" }),
		"a long token": token(func(s *scene, kid string, _ []byte) string {
			return s.idp.RS256(kid, []byte(`{"x":"`+strings.Repeat("a", 200<<10)+`"}`))
		}),
		"encrypted": token(func(*scene, string, []byte) string { return "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.a.b.c.d" }),

		"keys elsewhere, by a redirect": keys(func(*scene) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+"/keys", http.StatusFound) }
		}),
		"keys without end": keys(func(s *scene) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				set, err := json.Marshal(s.idp.KeySet())
				if err != nil {
					t.Error(err)
				}
				_, _ = w.Write(set[:len(set)-1])
				for range 3 << 10 {
					if _, err := w.Write([]byte(strings.Repeat(" ", 1<<10))); err != nil {
						return
					}
				}
				_, _ = w.Write([]byte("}"))
			}
		}),
		"keys that never come": func(s *scene) {
			s.client.Timeout = 300 * time.Millisecond
			s.party = oidc.New(s.client, func() time.Time { return s.now })
			s.idp.Keys = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		},
		"no keys": keys(func(*scene) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[]}`) }
		}),
		"keys that are HTML": keys(func(*scene) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `<html>`) }
		}),
		"keys with an error": keys(func(*scene) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) }
		}),
		"another's discovery": discovery("issuer", other.URL),
		"discovery to a file": discovery("jwks_uri", "file:///etc/passwd"),
		"keys of another":     discovery("jwks_uri", other.URL+"/keys"),
		"answer of another":   func(s *scene) { s.idp.Answer = func(q url.Values) { q.Set("iss", other.URL) } },
		"answer without iss":  discovery("authorization_response_iss_parameter_supported", true),
		"answer is an error":  func(s *scene) { s.idp.Answer = func(q url.Values) { q.Del("code"); q.Set("error", "server_error") } },
		"denied":              func(s *scene) { s.idp.Answer = func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") } },
		"error beside a code": func(s *scene) { s.idp.Answer = func(q url.Values) { q.Set("error", "login_required") } },
		"no code":             func(s *scene) { s.idp.Answer = func(q url.Values) { q.Del("code") } },
		"a code of its own":   func(s *scene) { s.idp.Answer = func(q url.Values) { q.Set("code", "made-up") } },
		"token elsewhere, by a redirect": func(s *scene) {
			s.idp.Exchange = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, other.URL+"/token", http.StatusTemporaryRedirect)
			}
		},
		"token without end": func(s *scene) {
			s.idp.Exchange = func(w http.ResponseWriter, _ *http.Request) {
				for range 3 << 10 {
					if _, err := w.Write([]byte(strings.Repeat("a", 1<<10))); err != nil {
						return
					}
				}
			}
		},
		"too long ago":          func(s *scene) { s.at.MaxAge = time.Hour; at("auth_time", later(-2*time.Hour))(s) },
		"does not say when":     func(s *scene) { s.at.MaxAge = time.Hour },
		"in none of the groups": func(s *scene) { s.at.Allowed = []string{"staff"} },
		"wrong client secret": func(s *scene) {
			s.idp.Secret = "changed" + s.idp.Secret
			s.idp.Exchange = nil
			s.idp.ClientID = "other"
		},
	} {
		t.Run(name, func(t *testing.T) {
			honest := newScene(t)
			if p, err := honest.signIn("a"); err != nil || p.Identity.Subject != "subject-1" {
				t.Fatalf("an honest provider: %+v, %v", p, err)
			}
			s := newScene(t)
			bend(s)
			p, err := s.signIn("a")
			if err == nil {
				t.Fatalf("somebody was signed in: %+v", p)
			}
			if k := access.KindOf(err); k != access.Unauthenticated && k != access.Unavailable && k != access.Denied {
				t.Errorf("the error is of kind %v: %v", k, err)
			}
			for _, secret := range []string{s.idp.Secret, "cookie-a"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error holds a secret: %v", err)
				}
			}
		})
	}
}

// TestHostileBrowser has somebody bring what is not theirs.
func TestHostileBrowser(t *testing.T) {
	s := newScene(t)
	mine, theirs := trip("mine"), trip("theirs")
	a, err := s.begin(theirs)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("a code of another browser", func(t *testing.T) {
		if p, err := s.finish(mine, a); err == nil {
			t.Errorf("signed in: %+v", p)
		}
	})
	a, _ = s.begin(theirs)
	t.Run("another cookie", func(t *testing.T) {
		if p, err := s.finish(oidc.Trip{State: theirs.State, Cookie: mine.Cookie}, a); err == nil {
			t.Errorf("signed in: %+v", p)
		}
	})
	a, _ = s.begin(theirs)
	if _, err := s.finish(theirs, a); err != nil {
		t.Fatalf("whose it is: %v", err)
	}
	t.Run("a code used before", func(t *testing.T) {
		if p, err := s.finish(theirs, a); err == nil {
			t.Errorf("signed in: %+v", p)
		}
	})
	t.Run("a code of another provider", func(t *testing.T) { // mix-up, RFC 9700 section 4.4
		evil := newScene(t)
		b, err := s.begin(theirs)
		if err != nil {
			t.Fatal(err)
		}
		b.Issuer = s.idp.URL // an honest provider that says who it is
		if p, err := evil.finish(theirs, b); err == nil {
			t.Errorf("signed in: %+v", p)
		}
		if n := evil.idp.Fetched("/token"); n != 0 {
			t.Errorf("the code of the honest provider was sent to the other one %d times", n)
		}
	})
}

// The provider's keys change; what it withdraws is good for no longer than we believe
// what it says.
func TestKeyRotation(t *testing.T) {
	s := newScene(t)
	if _, err := s.signIn("a"); err != nil {
		t.Fatal(err)
	}
	s.idp.Rotate()
	if _, err := s.signIn("b"); err != nil {
		t.Errorf("with the new key: %v", err)
	}
	if n := s.idp.Fetched("/keys"); n != 2 {
		t.Errorf("the keys were fetched %d times, want 2", n)
	}
	if n := s.idp.Fetched("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("discovery was fetched %d times, want 1", n)
	}
	s.now = s.now.Add(10 * time.Minute)
	if _, err := s.signIn("c"); err != nil {
		t.Error(err)
	}
	if n := s.idp.Fetched("/.well-known/openid-configuration"); n != 2 {
		t.Errorf("after ten minutes discovery was fetched %d times, want 2", n)
	}
}

func TestProviderIsDown(t *testing.T) {
	s := newScene(t)
	s.idp.Discovery = func(d map[string]any) { d["issuer"] = "elsewhere" }
	for range 5 {
		if _, err := s.signIn("a"); access.KindOf(err) != access.Unavailable {
			t.Errorf("got %v", err)
		}
	}
	if n := s.idp.Fetched("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("it was asked %d times within a moment, want once", n)
	}
	s.idp.Discovery = nil
	s.now = s.now.Add(4 * time.Second)
	if _, err := s.signIn("a"); err != nil {
		t.Errorf("up again: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	fresh := newScene(t)
	if _, err := fresh.party.Begin(gone, fresh.at, fresh.redirect, trip("a")); err == nil {
		t.Error("a call that was given up succeeded")
	}
	if _, err := fresh.signIn("a"); err != nil {
		t.Errorf("after another's call was given up: %v", err)
	}
}

// TestRequest holds what we send a browser to a provider with.
func TestRequest(t *testing.T) {
	s := newScene(t)
	s.at.Classes, s.at.Prompt, s.at.MaxAge = "phr mfa", "login", time.Hour
	s.idp.Claims = func(c map[string]any) { c["auth_time"] = s.now.Unix() }
	if _, err := s.signIn("a"); err != nil {
		t.Fatal(err)
	}
	q := s.idp.Asked()[0]
	for name, want := range map[string]string{"response_type": "code", "client_id": "stint", "redirect_uri": s.redirect, "scope": "openid profile email", "state": "state-a",
		"code_challenge_method": "S256", "acr_values": "phr mfa", "prompt": "login", "max_age": "3600"} {
		if q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	if len(q.Get("nonce")) != 43 || len(q.Get("code_challenge")) != 43 || strings.Contains(q.Encode(), "cookie") {
		t.Errorf("nonce, challenge: %v", q)
	}
}

func FuzzClaims(f *testing.F) {
	f.Add([]byte(`{"sub":"a","groups":["dba"],"amr":["pwd","otp"],"auth_time":1}`))
	f.Add([]byte(`{"sub":"a","groups":"dba","amr":"mfa","acr":"x","azp":"stint"}`))
	f.Add([]byte(`{"sub":"a","realm":{"roles":[]},"_claim_names":{}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := oidc.ReadClaims(oidc.Read("corp", "https://idp.example", nil), "subject", raw)
		if err != nil {
			return
		}
		if p.Identity != (access.Identity{Provider: "corp", Subject: "subject"}) {
			t.Errorf("claims made another identity: %+v", p.Identity)
		}
		for _, g := range p.Groups {
			if !access.ValidName(g) {
				t.Errorf("%q is a group", g)
			}
		}
	})
}
