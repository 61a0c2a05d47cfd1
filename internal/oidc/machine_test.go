package oidc_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/oidc"
	"stint/internal/oidc/oidctest"
	"stint/internal/workload"
)

// plant is a party before an issuer of programs' tokens. (The hostile suite is where the
// tokens are shown: in the tests of the token endpoint.)
type plant struct {
	t     testing.TB
	forge *oidctest.Provider
	party *oidc.Party
	at    oidc.Issuer
	now   time.Time
}

func newPlant(t testing.TB) *plant {
	p := &plant{t: t, forge: oidctest.Start(t), now: time.Now()}
	p.party = oidc.New(&http.Client{Timeout: 5 * time.Second}, func() time.Time { return p.now })
	p.at = oidc.ReadIssuer("forge", workload.Type, p.forge.URL, map[string]string{"audiences": "stint,other"})
	return p
}

func (p *plant) claims() map[string]any {
	return map[string]any{"iss": p.forge.URL, "aud": "stint", "sub": "system:serviceaccount:web:batch", "iat": p.now.Unix(), "exp": p.now.Add(time.Hour).Unix(), "jti": rand.Text(),
		"kubernetes.io": map[string]any{"namespace": "web", "serviceaccount": map[string]any{"name": "batch"}}}
}

func (p *plant) show(token string) (oidc.Machine, error) {
	return p.party.Machine(p.t.Context(), p.at, token)
}

func TestMachine(t *testing.T) {
	p := newPlant(t)
	c := p.claims()
	m, err := p.show(p.forge.Sign(c))
	if err != nil {
		t.Fatal(err)
	}
	if m.Issuer != p.forge.URL || m.Subject != c["sub"] || m.Audience != "stint" || m.Until.Unix() != c["exp"] || m.Once == (access.Digest{}) ||
		m.Claims["kubernetes.io/serviceaccount/name"] != "batch" {
		t.Errorf("got %+v", m)
	}
	again, err := p.show(p.forge.Sign(c))
	if err != nil || again.Once != m.Once {
		t.Errorf("the same jti: %v, %v", again.Once, err)
	}
	other, err := p.show(p.forge.Sign(p.claims()))
	if err != nil || other.Once == m.Once {
		t.Errorf("another jti: %v, %v", other.Once, err)
	}
	delete(c, "jti")
	if m, err = p.show(p.forge.Sign(c)); err != nil || m.Once != (access.Digest{}) {
		t.Errorf("no jti: %v, %v", m.Once, err)
	}
	p.at.Reuse = true
	if m, err = p.show(p.forge.Sign(p.claims())); err != nil || m.Once != (access.Digest{}) {
		t.Errorf("reused: %v, %v", m.Once, err)
	}
	if p.forge.Fetched("/keys") != 1 {
		t.Errorf("the keys were asked for %d times", p.forge.Fetched("/keys"))
	}
}

// TestMachineKeys: new keys are found, withdrawn ones forgotten, and neither a stranger's
// tokens nor a blip of the issuer do harm.
func TestMachineKeys(t *testing.T) {
	p := newPlant(t)
	old := p.forge.Sign(p.claims())
	if _, err := p.show(old); err != nil {
		t.Fatal(err)
	}
	p.forge.Rotate()
	fresh := p.forge.Sign(p.claims())
	for range 50 { // unknown keys, all at once
		if _, err := p.show(fresh); access.KindOf(err) != access.Unauthenticated {
			t.Fatalf("a key of this very moment: %v", err)
		}
	}
	if n := p.forge.Fetched("/keys"); n != 1 {
		t.Errorf("asked %d times at once", n)
	}
	p.now = p.now.Add(6 * time.Second)
	if _, err := p.show(fresh); err != nil {
		t.Errorf("a new key: %v", err)
	}
	p.now = p.now.Add(6 * time.Second)
	if _, err := p.show(old); access.KindOf(err) != access.Unauthenticated {
		t.Errorf("a key that was withdrawn: %v", err)
	}
	// Ten minutes on, a blip: what is known is believed for a while.
	p.forge.Keys = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }
	p.now = p.now.Add(11 * time.Minute)
	if _, err := p.show(fresh); err != nil {
		t.Errorf("in a blip: %v", err)
	}
	p.now = p.now.Add(20 * time.Minute)
	if _, err := p.show(fresh); access.KindOf(err) != access.Unavailable {
		t.Errorf("after half an hour: %v", err)
	}
	p.forge.Keys = nil
	p.now = p.now.Add(6 * time.Second)
	if _, err := p.show(fresh); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

// TestMachineIssuer: an issuer that says it is another, or whose keys are elsewhere or
// of no use, lets nobody in.
func TestMachineIssuer(t *testing.T) {
	for name, bend := range map[string]func(*plant){
		"another issuer": func(p *plant) { p.forge.Discovery = func(d map[string]any) { d["issuer"] = "https://evil.example" } },
		"keys in a file": func(p *plant) { p.forge.Discovery = func(d map[string]any) { d["jwks_uri"] = "file:///etc/passwd" } },
		"keys with a user": func(p *plant) {
			p.forge.Discovery = func(d map[string]any) { d["jwks_uri"] = strings.Replace(p.forge.URL, "//", "//a:b@", 1) + "/keys" }
		},
		"no keys at all": func(p *plant) { p.forge.Discovery = func(d map[string]any) { delete(d, "jwks_uri") } },
		"a redirect": func(p *plant) {
			p.forge.Keys = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, p.forge.URL+"/keys?", http.StatusFound)
			}
		},
		"an endless answer": func(p *plant) {
			p.forge.Keys = func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(`{"keys": [` + strings.Repeat(" ", 2<<20)))
			}
		},
		"very many keys": func(p *plant) {
			p.forge.Keys = func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(map[string]any{"keys": make([]map[string]any, 500)})
			}
		},
		"a key for ciphers":  func(p *plant) { p.bendKey("use", "enc") },
		"a key for another":  func(p *plant) { p.bendKey("alg", "RS512") },
		"a symmetric key":    func(p *plant) { p.bendKey("kty", "oct") },
		"a key of SPIFFE":    func(p *plant) { p.bendKey("use", "jwt-svid") },
		"a key without name": func(p *plant) { p.bendKey("kid", "") },
	} {
		p := newPlant(t)
		if _, err := p.show(p.forge.Sign(p.claims())); err != nil {
			t.Fatalf("%s: an honest one: %v", name, err)
		}
		p = newPlant(t)
		bend(p)
		if _, err := p.show(p.forge.Sign(p.claims())); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	p := newPlant(t) // where discovery cannot be read, the document says where the keys are
	p.forge.Discovery = func(d map[string]any) { d["issuer"] = "https://internal.example" }
	p.at.Keys = p.forge.URL + "/keys"
	if _, err := p.show(p.forge.Sign(p.claims())); err != nil {
		t.Errorf("keys by address: %v", err)
	}
}

func (p *plant) bendKey(name, value string) {
	p.forge.Keys = func(w http.ResponseWriter, _ *http.Request) {
		set := p.forge.KeySet()
		set["keys"].([]any)[0].(map[string]any)[name] = value
		_ = json.NewEncoder(w).Encode(set)
	}
}

// TestSVID: a JWT-SVID is verified by the keys of its bundle that are for JWT-SVIDs.
func TestSVID(t *testing.T) {
	p := newPlant(t)
	p.at = oidc.ReadIssuer("mesh", workload.TypeSPIFFE, p.forge.URL+"/keys", map[string]string{"trustDomain": "corp.example", "audiences": "stint"})
	svid := map[string]any{"sub": "spiffe://corp.example/ns/web/sa/batch", "aud": []string{"stint"}, "exp": p.now.Add(5 * time.Minute).Unix()}
	if _, err := p.show(p.forge.Sign(svid)); err == nil {
		t.Error("a key that is not for JWT-SVIDs is accepted")
	}
	p.bendKey("use", "jwt-svid")
	p.now = p.now.Add(10 * time.Second)
	m, err := p.show(p.forge.Sign(svid))
	if err != nil {
		t.Fatal(err)
	}
	if m.Issuer != "spiffe://corp.example" || m.Claims["sub"] != "spiffe://corp.example/ns/web/sa/batch" {
		t.Errorf("got %+v", m)
	}
	h := oidctest.Part(map[string]any{"alg": "RS256", "kid": p.forge.KeyID(), "typ": "JOSE"})
	body, _ := json.Marshal(svid)
	if _, err := p.show(p.forge.SignPart(h, body)); err != nil {
		t.Errorf("typ JOSE: %v", err)
	}
	if issuer, domain := oidc.Whose(p.forge.Sign(svid)); issuer != "" || domain != "corp.example" {
		t.Errorf("whose: %q %q", issuer, domain)
	}
}

// FuzzMachine: no text makes a machine that nobody signed.
func FuzzMachine(f *testing.F) {
	p := newPlant(f)
	f.Add("a.b.c")
	f.Add(oidctest.HS256("k", []byte("secret"), []byte(`{"iss":"x"}`)))
	f.Fuzz(func(t *testing.T, raw string) {
		oidc.Whose(raw)
		if _, err := p.party.Machine(t.Context(), p.at, raw); err == nil {
			t.Fatalf("%q is accepted", raw)
		}
	})
}
