package apiserver

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/ident"
	"stint/internal/oidc"
	"stint/internal/oidc/oidctest"
)

const ourAudience = "https://stint.example"

// yard is a server with a service whom a forge, a cluster and a trust domain vouch for.
type yard struct {
	*world
	admin *api.Client
	forge *oidctest.Provider // of ID tokens
	mesh  *oidctest.Provider // of JWT-SVIDs; it publishes a bundle
}

func workloads(forge, mesh string) string {
	return `
kind: Integration
name: forge
type: workload
address: ` + forge + `
audiences: [` + ourAudience + `]
---
kind: Integration
name: mesh
type: spiffe
address: ` + mesh + `/keys
trustDomain: corp.example
audiences: [stint]
---
kind: Workload
name: orders-pipeline
service: ci
integration: forge
claims: {repository: corp/orders, environment: [production, staging]}
like: {ref: "refs/heads/*"}
---
kind: Workload
name: batch
service: batch
integration: mesh
claims: {sub: spiffe://corp.example/batch}
---
kind: Workload
name: host
service: batch
certificate: {uri: spiffe://corp.example/host}
---
kind: Policy
name: machines
subjects: ["service:ci"]
roles: [reader]
when: auth.provider == "forge"
require: {maxDuration: 1h}
`
}

func newYard(t testing.TB) *yard {
	t.Helper()
	y := &yard{forge: oidctest.Start(t), mesh: oidctest.Start(t)}
	y.world, y.admin = populated(t)
	y.mesh.Rotate()
	y.mesh.Keys = func(w http.ResponseWriter, _ *http.Request) {
		set := y.mesh.KeySet()
		for _, k := range set["keys"].([]any) {
			k.(map[string]any)["use"] = "jwt-svid"
		}
		_ = json.NewEncoder(w).Encode(set)
	}
	y.forge.Discovery = func(d map[string]any) { delete(d, "authorization_endpoint"); delete(d, "token_endpoint") } // as GitHub's
	y.server.exchanges = newRates(1e6, 1e6, time.Now)
	for _, name := range []string{"ci", "batch", "gone"} {
		_, err := y.admin.AddService(t.Context(), api.ServiceAdd{Name: name, Owner: "root", NoToken: true})
		check(t, err)
	}
	y.apply(workloads(y.forge.URL, y.mesh.URL))
	return y
}

func (y *yard) apply(text string) {
	y.t.Helper()
	_, err := y.admin.Apply(y.t.Context(), api.Apply{Files: []api.File{{Name: "w.yaml", Text: text}}})
	check(y.t, err)
}

// records waits until the log has so many records, and gives them.
func (y *yard) records(typ access.EventType, entity string, n int) string {
	y.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		page, err := y.admin.AuditRecords(y.t.Context(), api.AuditList{Type: string(typ), Entity: entity})
		check(y.t, err)
		if len(page.Items) == n {
			var all strings.Builder
			for _, r := range page.Items {
				all.Write(r.Record)
			}
			return all.String()
		}
		if time.Now().After(end) {
			y.t.Fatalf("%d records %s %s, want %d", len(page.Items), typ, entity, n)
		}
	}
}

// pipeline are the claims of an honest job.
func (y *yard) pipeline() map[string]any {
	now := time.Now()
	return map[string]any{"iss": y.forge.URL, "aud": ourAudience, "sub": "repo:corp/orders:environment:production", "repository": "corp/orders", "environment": "production",
		"ref": "refs/heads/main", "iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(5 * time.Minute).Unix(), "jti": rand.Text()}
}

func (y *yard) svid() map[string]any {
	now := time.Now()
	return map[string]any{"aud": []string{"stint"}, "sub": "spiffe://corp.example/batch", "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
}

// show sends a form to the token endpoint, without a proof.
func (y *yard) show(form url.Values) (status int, out map[string]any) {
	return postForm(y.t, y.http.Client(), y.http.URL, form)
}

func postForm(t testing.TB, c *http.Client, at string, form url.Values) (status int, out map[string]any) {
	t.Helper()
	res, err := c.PostForm(at+tokenPath, form)
	check(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	check(t, err)
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatalf("%d: %q", res.StatusCode, text)
	}
	return res.StatusCode, out
}

func exchangeOf(token string) url.Values {
	return url.Values{"grant_type": {grantExchange}, "subject_token": {token}, "subject_token_type": {tokenID}}
}

// TestExchange: an honest job is let in as its service, asks, and is nobody afterwards.
func TestExchange(t *testing.T) {
	y := newYard(t)
	c := y.client()
	got, err := c.Exchange(t.Context(), api.Secret(y.forge.Sign(y.pipeline())), "")
	check(t, err)
	if got.Type != "DPoP" || got.Scope != "service:ci" || got.ExpiresIn < 250 || got.ExpiresIn > 300 || got.Issued != tokenAccess {
		t.Fatalf("got %+v", got)
	}
	c.Token, c.Service = got.Token, true
	me, err := c.Whoami(t.Context())
	check(t, err)
	if me.Principal != "service:ci" || me.Provider != "forge" || me.Person != "root" {
		t.Errorf("whoami: %+v", me)
	}
	r, err := c.Submit(t.Context(), api.Ask{Resource: "db", Role: "reader", Duration: "10m", Reason: "nightly"}, api.Wait{For: api.Ready, Time: 20 * time.Second})
	check(t, err)
	if r.Grant == nil || r.Grant.State != api.GrantActive {
		t.Fatalf("got %+v", r)
	}
	if _, err := c.Credential(t.Context(), r.ID); err != nil {
		t.Errorf("the credential: %v", err)
	}
	// Another device has the token, and a proof of its own.
	thief := y.client()
	thief.Token, thief.Service = got.Token, true
	if _, err := thief.Whoami(t.Context()); !errors.Is(err, api.Unauthenticated) {
		t.Errorf("a thief: %v", err)
	}
	// The log says who it was, and by what.
	said := y.records(ident.LoginCreated, "login:"+access.Login{Token: hashOf(got.Token.Reveal())}.Name(), 1)
	if !strings.Contains(said, "orders-pipeline") || !strings.Contains(said, "repository=corp/orders") {
		t.Errorf("the log says %s", said)
	}
	// Edited so that it no longer fits, the document ends the login and what it holds.
	y.apply(strings.ReplaceAll(workloads(y.forge.URL, y.mesh.URL), "[production, staging]", "staging"))
	if _, err := c.Whoami(t.Context()); !errors.Is(err, api.Unauthenticated) {
		t.Errorf("after the edit: %v", err)
	}
	ended, err := y.admin.Request(t.Context(), r.ID, api.Wait{For: api.Ended, Time: 20 * time.Second})
	check(t, err)
	if ended.Grant.EndReason != api.EndPolicy {
		t.Errorf("after the edit the grant is %+v", ended.Grant)
	}
}

// TestExpiredHolder: what is held by a login whose time is up ends with its document too.
func TestExpiredHolder(t *testing.T) {
	y := newYard(t)
	c := y.client()
	got, err := c.Exchange(t.Context(), api.Secret(y.forge.Sign(y.pipeline())), "")
	check(t, err)
	c.Token, c.Service = got.Token, true
	r, err := c.Submit(t.Context(), api.Ask{Resource: "db", Role: "reader", Duration: "10m", Reason: "nightly"}, api.Wait{For: api.Ready, Time: 20 * time.Second})
	check(t, err)
	set, err := y.server.broker.Documents(t.Context())
	check(t, err)
	check(t, y.server.EndUnfit(t.Context(), set, true)) // nothing is wrong yet
	if _, err := c.Whoami(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(t, identStore{y.store}.Update(t.Context(), func(tx ident.Tx) error {
		l, err := tx.Login(hashOf(got.Token.Reveal()))
		if err == nil {
			l.ExpiresAt = tx.Now()
			err = tx.SaveLogin(l)
		}
		return err
	}))
	if _, err := y.admin.Delete(t.Context(), api.Workloads, "orders-pipeline", false); err != nil {
		t.Fatal(err)
	}
	set, err = y.server.broker.Documents(t.Context())
	check(t, err)
	check(t, y.server.EndUnfit(t.Context(), set, true))
	ended, err := y.admin.Request(t.Context(), r.ID, api.Wait{For: api.Ended, Time: 20 * time.Second})
	check(t, err)
	if ended.Grant.State != api.GrantEnded || ended.Grant.EndReason != api.EndPolicy {
		t.Errorf("the grant is %+v", ended.Grant)
	}
}

// TestReplay: a token with a jti is good for the device that showed it first, and without
// a device once.
func TestTokenReplay(t *testing.T) {
	y := newYard(t)
	token := api.Secret(y.forge.Sign(y.pipeline()))
	first, second := y.client(), y.client()
	for range 2 {
		if _, err := first.Exchange(t.Context(), token, ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := second.Exchange(t.Context(), token, ""); !errors.Is(err, api.Unauthenticated) {
		t.Errorf("another device: %v", err)
	}
	if status, out := y.show(exchangeOf(token.Reveal())); status != 400 {
		t.Errorf("without a device: %d %v", status, out)
	}
	bare := y.forge.Sign(y.pipeline())
	status, out := y.show(exchangeOf(bare))
	if status != 200 || out["token_type"] != "Bearer" || out["issued_token_type"] != tokenAccess {
		t.Fatalf("%d %v", status, out)
	}
	if status, _ := y.show(exchangeOf(bare)); status != 400 {
		t.Errorf("a second time: %d", status)
	}
	if _, err := first.Exchange(t.Context(), api.Secret(bare), ""); err == nil {
		t.Error("a second time, by a device")
	}
	// A hundred at once: one is let in.
	race := exchangeOf(y.forge.Sign(y.pipeline()))
	won := make(chan bool, 20)
	for range cap(won) {
		go func() { status, _ := y.show(race); won <- status == 200 }()
	}
	n := 0
	for range cap(won) {
		if <-won {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d of %d at once were let in", n, cap(won))
	}
	y.records(ident.ExchangeReplayed, "", 4+19)
	// Where tokens are handed out for a time, the document says so.
	y.apply(strings.Replace(workloads(y.forge.URL, y.mesh.URL), "audiences: ["+ourAudience+"]", "reuse: \"yes\"\naudiences: ["+ourAudience+"]", 1))
	again := exchangeOf(y.forge.Sign(y.pipeline()))
	for range 2 {
		if status, out := y.show(again); status != 200 {
			t.Errorf("reused: %d %v", status, out)
		}
	}
}

// TestHostileWorkloads shows what is not a workload's in every way that is known. None
// is let in, and all are answered alike. Before each an honest token is let in.
func TestHostileWorkloads(t *testing.T) {
	y := newYard(t)
	now := time.Now()
	evil := oidctest.Start(t) // an issuer of somebody else, with a key of its own
	evil.Rotate()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	claim := func(name string, value any) func() string {
		return func() string { c := y.pipeline(); c[name] = value; return y.forge.Sign(c) }
	}
	without := func(name string) func() string {
		return func() string { c := y.pipeline(); delete(c, name); return y.forge.Sign(c) }
	}
	body := func() []byte { b, err := json.Marshal(y.pipeline()); check(t, err); return b }
	header := func(more map[string]any) func() string { // signed by the forge, with another header
		return func() string {
			h := map[string]any{"alg": "RS256", "kid": y.forge.KeyID(), "typ": "JWT"}
			maps.Copy(h, more)
			return y.forge.SignPart(oidctest.Part(h), body())
		}
	}
	svid := func(name string, value any) func() string {
		return func() string {
			c := y.svid()
			if c[name] = value; value == nil {
				delete(c, name)
			}
			return y.mesh.Sign(c)
		}
	}
	raw := func(payload string) func() string {
		return func() string { return y.forge.RS256(y.forge.KeyID(), []byte(payload)) }
	}
	twice := func(name, value string) func() string { // a claim that stands twice, the second time as wanted
		return func() string {
			b := bytes.TrimSuffix(body(), []byte("}"))
			return y.forge.RS256(y.forge.KeyID(), append(b, []byte(`,"`+name+`":"`+value+`"}`)...))
		}
	}
	pemOf := func() []byte {
		der, err := x509.MarshalPKIXPublicKey(y.forge.PublicKey())
		check(t, err)
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	cases := map[string]func() string{
		"nothing at all":        func() string { return "x" },
		"two dots":              func() string { return ".." },
		"no signature":          func() string { s := y.forge.Sign(y.pipeline()); return s[:strings.LastIndex(s, ".")+1] },
		"a signature cut short": func() string { s := y.forge.Sign(y.pipeline()); return s[:len(s)-4] },
		"a claim changed after signing": func() string {
			p := strings.Split(claim("repository", "evil/x")(), ".")
			p[1] = base64.RawURLEncoding.EncodeToString(body())
			return strings.Join(p, ".")
		},
		"alg none": func() string {
			return oidctest.Part(map[string]any{"alg": "none", "typ": "JWT"}) + "." + base64.RawURLEncoding.EncodeToString(body()) + "."
		},
		"alg None": func() string {
			return oidctest.Part(map[string]any{"alg": "None"}) + "." + base64.RawURLEncoding.EncodeToString(body()) + "."
		},
		"HS256 with the public key":          func() string { return oidctest.HS256(y.forge.KeyID(), pemOf(), body()) },
		"HS256 with its modulus":             func() string { return oidctest.HS256(y.forge.KeyID(), y.forge.PublicKey().N.Bytes(), body()) },
		"HS256 with nothing":                 func() string { return oidctest.HS256(y.forge.KeyID(), nil, body()) },
		"by another issuer, in its name":     func() string { c := y.pipeline(); return evil.Sign(c) },
		"by another issuer, its own":         func() string { c := y.pipeline(); c["iss"] = evil.URL; return evil.Sign(c) },
		"another's key under the forge's id": func() string { return evil.RS256(y.forge.KeyID(), body()) },
		"the mesh's key for the forge":       func() string { return y.mesh.Sign(y.pipeline()) },
		"the forge's key for the mesh":       func() string { return y.forge.Sign(y.svid()) },
		"a kid that is not there":            func() string { return y.forge.RS256("other", body()) },
		"a kid that is a path":               func() string { return y.forge.RS256("../../../dev/null", body()) },
		"a kid that is SQL":                  func() string { return y.forge.RS256("' OR 1=1 --", body()) },
		"a kid that is a number":             header(map[string]any{"kid": 1}),
		"no kid and a strange key":           func() string { return evil.SignPart(oidctest.Part(map[string]any{"alg": "RS256"}), body()) },
		"jku":                                header(map[string]any{"jku": evil.URL + "/keys"}),
		"x5u":                                header(map[string]any{"x5u": evil.URL + "/cert.pem"}),
		"jwk of its own": func() string {
			return evil.SignPart(oidctest.Part(map[string]any{"alg": "RS256", "jwk": evil.KeySet()["keys"].([]any)[0]}), body())
		},
		"jwk beside a good signature": header(map[string]any{"jwk": map[string]any{"kty": "RSA"}}),
		"x5c":                         header(map[string]any{"x5c": []string{"AA=="}}),
		"crit":                        header(map[string]any{"crit": []string{"exp"}}),
		"b64":                         header(map[string]any{"b64": false}),
		"typ of a proof":              header(map[string]any{"typ": "dpop+jwt"}),
		"typ of an access token":      header(map[string]any{"typ": "at+jwt"}),
		"typ of a logout":             header(map[string]any{"typ": "logout+jwt"}),
		"ES256 in the name of an RSA key": func() string {
			signed := oidctest.Part(map[string]any{"alg": "ES256", "kid": y.forge.KeyID()}) + "." + base64.RawURLEncoding.EncodeToString(body())
			sum := sha256.Sum256([]byte(signed))
			r, s, err := ecdsa.Sign(rand.Reader, ec, sum[:])
			check(t, err)
			return signed + "." + base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
		},
		"PS256 in the name of an RS256 key": func() string {
			k, err := rsa.GenerateKey(rand.Reader, 2048)
			check(t, err)
			signed := oidctest.Part(map[string]any{"alg": "PS256", "kid": y.forge.KeyID()}) + "." + base64.RawURLEncoding.EncodeToString(body())
			sum := sha256.Sum256([]byte(signed))
			sig, err := rsa.SignPSS(rand.Reader, k, crypto.SHA256, sum[:], nil)
			check(t, err)
			return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
		},

		"another issuer in iss":         claim("iss", "https://evil.example"),
		"iss with a slash":              claim("iss", y.forge.URL+"/"),
		"iss in capitals":               claim("iss", strings.ToUpper(y.forge.URL)),
		"iss that is a list":            claim("iss", []string{y.forge.URL}),
		"no iss":                        without("iss"),
		"for somebody else":             claim("aud", "https://cloud.example"),
		"for somebody else as well":     claim("aud", []string{ourAudience, "https://cloud.example"}),
		"for nobody":                    without("aud"),
		"for an empty list":             claim("aud", []string{}),
		"for an object":                 claim("aud", map[string]any{ourAudience: true}),
		"for a list in a list":          claim("aud", []any{[]string{ourAudience}}),
		"for a longer name":             claim("aud", ourAudience+".evil.example"),
		"for the name with a slash":     claim("aud", ourAudience+"/"),
		"expired":                       claim("exp", now.Add(-time.Second).Unix()),
		"expired a second ago, in part": claim("exp", float64(now.Unix())-0.5),
		"no exp":                        without("exp"),
		"exp that is a text":            claim("exp", "9999999999"),
		"exp that is null":              claim("exp", nil),
		"exp beyond all bounds":         claim("exp", 1e18),
		"exp that is negative":          claim("exp", -1),
		"good for years":                claim("exp", now.AddDate(3, 0, 0).Unix()),
		"not good yet":                  claim("nbf", now.Add(10*time.Minute).Unix()),
		"nbf that is a text":            claim("nbf", "soon"),
		"iat far in the future":         claim("iat", now.Add(24*time.Hour).Unix()),
		"no iat":                        without("iat"),
		"no sub":                        without("sub"),
		"an empty sub":                  claim("sub", ""),
		"jti that is a list":            claim("jti", []string{"a"}),
		"an empty jti":                  claim("jti", ""),

		"a repository that begins alike": claim("repository", "corp/orders-evil"),
		"a repository of another owner":  claim("repository", "evil/orders"),
		"a repository in capitals":       claim("repository", "Corp/Orders"),
		"a repository with a Cyrillic o": claim("repository", "c\u043erp/orders"),
		"a repository with a zero":       claim("repository", "corp/orders\x00"),
		"a repository that is a star":    claim("repository", "*"),
		"a repository in a list":         claim("repository", []string{"corp/orders"}),
		"a repository in an object":      claim("repository", map[string]any{"repository": "corp/orders"}),
		"a repository within a claim": func() string {
			c := y.pipeline()
			delete(c, "repository")
			c["x"] = map[string]any{"repository": "corp/orders"}
			return y.forge.Sign(c)
		},
		"no repository":        without("repository"),
		"another environment":  claim("environment", "development"),
		"two environments":     claim("environment", []string{"production", "staging"}),
		"environment true":     claim("environment", true),
		"a pull request":       claim("ref", "refs/pull/1/merge"),
		"a branch below":       claim("ref", "refs/heads/x/main"),
		"a branch with a line": claim("ref", "refs/heads/main\nrefs/heads/x"),
		"a claim twice":        twice("repository", "corp/orders"),
		"sub twice":            twice("sub", "x"),
		"claims in capitals": func() string {
			c := y.pipeline()
			delete(c, "repository")
			c["REPOSITORY"] = "corp/orders"
			return y.forge.Sign(c)
		},
		"claims that are a list":  raw(`[]`),
		"claims that are no JSON": raw(`{"iss":`),
		"claims that are no text": raw("{\"iss\":\"\xff\"}"),
		"claims deep":             raw(strings.Repeat(`{"a":`, 400) + `1` + strings.Repeat(`}`, 400)),
		"huge":                    claim("padding", strings.Repeat("x", 13<<10)),
		"encrypted":               func() string { return "e30.e30.e30.e30.e30" },
		"with a line at its end":  func() string { return y.forge.Sign(y.pipeline()) + "\n" },
		"padded":                  func() string { return strings.Replace(y.forge.Sign(y.pipeline()), ".", "=.", 1) },
		"JSON serialisation": func() string {
			p := strings.Split(y.forge.Sign(y.pipeline()), ".")
			b, err := json.Marshal(map[string]string{"protected": p[0], "payload": p[1], "signature": p[2]})
			check(t, err)
			return string(b)
		},

		"SVID: no aud":                svid("aud", nil),
		"SVID: for somebody else":     svid("aud", []string{"other"}),
		"SVID: for others as well":    svid("aud", []string{"stint", "other"}),
		"SVID: no exp":                svid("exp", nil),
		"SVID: expired":               svid("exp", now.Add(-time.Minute).Unix()),
		"SVID: no sub":                svid("sub", nil),
		"SVID: another path":          svid("sub", "spiffe://corp.example/web"),
		"SVID: a longer path":         svid("sub", "spiffe://corp.example/batch/x"),
		"SVID: another trust domain":  svid("sub", "spiffe://evil.example/batch"),
		"SVID: a longer trust domain": svid("sub", "spiffe://corp.example.evil.example/batch"),
		"SVID: a domain in capitals":  svid("sub", "spiffe://CORP.example/batch"),
		"SVID: a port":                svid("sub", "spiffe://corp.example:443/batch"),
		"SVID: a user":                svid("sub", "spiffe://x@corp.example/batch"),
		"SVID: a query":               svid("sub", "spiffe://corp.example/batch?x"),
		"SVID: dots":                  svid("sub", "spiffe://corp.example/x/../batch"),
		"SVID: an empty segment":      svid("sub", "spiffe://corp.example//batch"),
		"SVID: a slash at the end":    svid("sub", "spiffe://corp.example/batch/"),
		"SVID: percent":               svid("sub", "spiffe://corp.example/b%61tch"),
		"SVID: no path":               svid("sub", "spiffe://corp.example"),
		"SVID: https":                 svid("sub", "https://corp.example/batch"),
		"SVID: the forge's iss": func() string {
			c := y.svid()
			c["iss"] = y.forge.URL
			c["sub"] = "spiffe://corp.example/web"
			return y.mesh.Sign(c)
		},
		"SVID: EdDSA is not its own": func() string {
			c, _ := json.Marshal(y.svid())
			return y.mesh.SignPart(oidctest.Part(map[string]any{"alg": "EdDSA", "kid": y.mesh.KeyID()}), c)
		},
		"SVID: a forge's sub in a mesh": func() string {
			c := y.pipeline()
			c["sub"] = "spiffe://corp.example/batch"
			return y.forge.Sign(c) + "x"
		},
	}
	if len(cases) < 100 {
		t.Errorf("only %d cases", len(cases))
	}
	var said string
	for name, make := range cases {
		for what, good := range map[string]string{"the forge": y.forge.Sign(y.pipeline()), "the mesh": y.mesh.Sign(y.svid())} {
			if status, out := y.show(exchangeOf(good)); status != 200 {
				t.Fatalf("before %s an honest token of %s is refused: %d %v", name, what, status, out)
			}
		}
		for _, proven := range []bool{false, true} {
			token := make()
			if proven {
				if got, err := y.client().Exchange(t.Context(), api.Secret(token), ""); err == nil {
					t.Errorf("%s: let in as %s", name, got.Scope)
				}
				continue
			}
			status, out := y.show(exchangeOf(token))
			delete(out, "trace")
			text, err := json.Marshal(out)
			check(t, err)
			switch {
			case status != 400 || out["access_token"] != nil || out["error"] != "invalid_request":
				t.Errorf("%s: %d %v", name, status, out)
			case said == "":
				said = string(text)
			case said != string(text):
				t.Errorf("%s is answered otherwise: %s", name, text)
			}
			if strings.Contains(y.log.String(), token) && len(token) > 20 {
				t.Errorf("%s: the token is in the log", name)
			}
		}
	}
	if evil.Fetched("/keys") > 0 || evil.Fetched("/.well-known/openid-configuration") > 0 {
		t.Error("somebody whom no document names was called")
	}
	t.Logf("%d hostile tokens, each with and without a proof: 0 let in", len(cases))
}

// TestForms: what is sent beside a good token cannot change what it means.
func TestForms(t *testing.T) {
	y := newYard(t)
	good := func(bend func(url.Values)) url.Values {
		f := exchangeOf(y.forge.Sign(y.pipeline()))
		bend(f)
		return f
	}
	for name, x := range map[string]struct {
		form   url.Values
		status int
		word   string
	}{
		"nothing":                   {url.Values{}, 400, "invalid_request"},
		"no grant type":             {good(func(f url.Values) { f.Del("grant_type") }), 400, "invalid_request"},
		"a password":                {good(func(f url.Values) { f.Set("grant_type", "password") }), 400, "unsupported_grant_type"},
		"a refresh":                 {good(func(f url.Values) { f.Set("grant_type", "refresh_token") }), 400, "unsupported_grant_type"},
		"no token":                  {good(func(f url.Values) { f.Del("subject_token") }), 400, "invalid_request"},
		"two tokens":                {good(func(f url.Values) { f.Add("subject_token", "x") }), 400, "invalid_request"},
		"two grant types":           {good(func(f url.Values) { f.Add("grant_type", grantExchange) }), 400, "invalid_request"},
		"no type of token":          {good(func(f url.Values) { f.Del("subject_token_type") }), 400, "invalid_request"},
		"SAML":                      {good(func(f url.Values) { f.Set("subject_token_type", "urn:ietf:params:oauth:token-type:saml2") }), 400, "invalid_request"},
		"an access token":           {good(func(f url.Values) { f.Set("subject_token_type", tokenAccess) }), 400, "invalid_request"},
		"on behalf of":              {good(func(f url.Values) { f.Set("actor_token", "x") }), 400, "invalid_request"},
		"a client's secret":         {good(func(f url.Values) { f.Set("client_secret", "x") }), 400, "invalid_request"},
		"for a refresh token":       {good(func(f url.Values) { f.Set("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token") }), 400, "invalid_request"},
		"for another server":        {good(func(f url.Values) { f.Set("audience", "other") }), 400, "invalid_target"},
		"for a resource":            {good(func(f url.Values) { f.Set("resource", "https://other.example") }), 400, "invalid_target"},
		"a user":                    {good(func(f url.Values) { f.Set("scope", "user:root") }), 400, "invalid_scope"},
		"everything":                {good(func(f url.Values) { f.Set("scope", "service:*") }), 400, "invalid_scope"},
		"two services":              {good(func(f url.Values) { f.Set("scope", "service:ci service:batch") }), 400, "invalid_scope"},
		"another service":           {good(func(f url.Values) { f.Set("scope", "service:batch") }), 400, "invalid_request"},
		"a service that is not":     {good(func(f url.Values) { f.Set("scope", "service:nobody") }), 400, "invalid_request"},
		"its service":               {good(func(f url.Values) { f.Set("scope", "service:ci") }), 200, ""},
		"an empty scope":            {good(func(f url.Values) { f.Set("scope", "") }), 200, ""},
		"what nobody knows":         {good(func(f url.Values) { f.Set("x", "y") }), 200, ""},
		"for an access token":       {good(func(f url.Values) { f.Set("requested_token_type", tokenAccess) }), 200, ""},
		"a certificate, over HTTP":  {url.Values{"grant_type": {grantClient}}, 400, "invalid_request"},
		"a certificate and a token": {good(func(f url.Values) { f.Set("grant_type", grantClient) }), 400, "invalid_request"},
	} {
		status, out := y.show(x.form)
		if word, _ := out["error"].(string); status != x.status || word != x.word {
			t.Errorf("%s: %d %v", name, status, out)
		}
		if out["error"] != nil && out["access_token"] != nil {
			t.Errorf("%s: a token with an error", name)
		}
	}
	for name, call := range map[string]func() *http.Request{
		"GET": func() *http.Request { r, _ := http.NewRequest("GET", y.http.URL+tokenPath, nil); return r },
		"in the address": func() *http.Request {
			r, _ := http.NewRequest("POST", y.http.URL+tokenPath+"?"+good(func(url.Values) {}).Encode(), nil)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return r
		},
		"as JSON": func() *http.Request {
			r, _ := http.NewRequest("POST", y.http.URL+tokenPath, strings.NewReader("{}"))
			r.Header.Set("Content-Type", "application/json")
			return r
		},
		"with a login": func() *http.Request {
			r, _ := http.NewRequest("POST", y.http.URL+tokenPath, strings.NewReader(good(func(url.Values) {}).Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Authorization", "Bearer "+y.admin.Token.Reveal())
			return r
		},
		"with a proof of another call": func() *http.Request {
			r, _ := http.NewRequest("POST", y.http.URL+tokenPath, strings.NewReader(good(func(url.Values) {}).Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			d, _ := api.NewDevice()
			proof, _ := d.Proof(api.Call{Method: "POST", URL: r.URL}, time.Now().Add(y.skew))
			r.Header.Set(api.HeaderProof, proof)
			return r
		},
		"too long": func() *http.Request {
			r, _ := http.NewRequest("POST", y.http.URL+tokenPath, strings.NewReader("grant_type="+strings.Repeat("x", maxExchange)))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return r
		},
	} {
		res, err := http.DefaultClient.Do(call())
		check(t, err)
		text, err := io.ReadAll(res.Body)
		check(t, err)
		_ = res.Body.Close()
		if res.StatusCode < 400 || res.StatusCode >= 500 || !bytes.Contains(text, []byte(`"error":`)) || bytes.Contains(text, []byte("access_token")) {
			t.Errorf("%s: %d %s", name, res.StatusCode, text)
		}
	}
	// What fits two services says which.
	y.apply("kind: Workload\nname: other\nservice: batch\nintegration: forge\nclaims: {repository: corp/orders}\n")
	if status, out := y.show(good(func(url.Values) {})); status != 400 || out["error"] != "invalid_scope" {
		t.Errorf("two services: %d %v", status, out)
	}
	for _, name := range []string{"ci", "batch"} {
		if status, out := y.show(good(func(f url.Values) { f.Set("scope", "service:"+name) })); status != 200 || out["scope"] != "service:"+name {
			t.Errorf("%s of two: %d %v", name, status, out)
		}
	}
	// Somebody who hammers is told to wait.
	y.server.exchanges = newRates(0, 3, time.Now)
	slow := 0
	for range 6 {
		if status, out := y.show(url.Values{}); status == http.StatusTooManyRequests && out["error"] == "slow_down" {
			slow++
		}
	}
	if slow < 2 {
		t.Errorf("%d of 6 were told to wait", slow)
	}
}

// TestServiceGone: who fits a service that is not there, is disabled or has ended, and an
// issuer that is away, let nobody in.
func TestServiceGone(t *testing.T) {
	y := newYard(t)
	if status, out := y.show(exchangeOf(y.forge.Sign(y.pipeline()))); status != 200 {
		t.Fatal(out)
	}
	y.apply("kind: Workload\nname: orders-pipeline\nservice: nobody\nintegration: forge\nclaims: {repository: corp/orders}\n")
	if status, out := y.show(exchangeOf(y.forge.Sign(y.pipeline()))); status != 400 || out["error"] != "invalid_request" {
		t.Errorf("nobody: %d %v", status, out)
	}
	y.apply(workloads(y.forge.URL, y.mesh.URL))
	if _, err := y.admin.DisableUser(t.Context(), "service:ci"); err != nil {
		t.Fatal(err)
	}
	if status, _ := y.show(exchangeOf(y.forge.Sign(y.pipeline()))); status != 400 {
		t.Errorf("disabled: %d", status)
	}
	down := newYard(t)
	down.forge.Keys = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }
	if status, out := down.show(exchangeOf(down.forge.Sign(down.pipeline()))); status != 503 || out["error"] != "temporarily_unavailable" {
		t.Errorf("an issuer that is away: %d %v", status, out)
	}
}

// authority makes certificates for clients.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return authority{t, cert, key}
}

func (a authority) issue(bend func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(a.t, err)
	u, err := url.Parse("spiffe://corp.example/host")
	check(a.t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(10 * time.Minute),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature, URIs: []*url.URL{u}}
	bend(tmpl)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	check(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestCertificates: a client certificate makes a service, its login is bound to it, and
// none that the documents do not mean does.
func TestCertificates(t *testing.T) {
	y := newYard(t)
	ca := newAuthority(t)
	srv := httptest.NewUnstartedServer(y.server.Handler())
	srv.TLS = &tls.Config{ClientCAs: x509.NewCertPool(), ClientAuth: tls.VerifyClientCertIfGiven}
	srv.TLS.ClientCAs.AddCert(ca.cert)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	with := func(certs ...tls.Certificate) *http.Client {
		roots := x509.NewCertPool()
		roots.AddCert(srv.Certificate())
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certs}}
		t.Cleanup(tr.CloseIdleConnections)
		return &http.Client{Transport: tr}
	}
	good := ca.issue(func(*x509.Certificate) {})
	client := func(h *http.Client) *api.Client {
		c := y.client()
		u, err := url.Parse(srv.URL)
		check(t, err)
		c.Server, c.HTTP = u, h
		return c
	}
	c := client(with(good))
	got, err := c.ExchangeCertificate(t.Context(), "batch")
	check(t, err)
	if got.Scope != "service:batch" || got.Type != "DPoP" || got.ExpiresIn > 600 {
		t.Fatalf("got %+v", got)
	}
	c.Token, c.Service = got.Token, true
	if _, err := c.Whoami(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The same token and device, on connections without that certificate.
	for name, h := range map[string]*http.Client{"none": with(), "another": with(ca.issue(func(*x509.Certificate) {}))} {
		other := client(h)
		other.Device, other.Token, other.Service = c.Device, c.Token, true
		if _, err := other.Whoami(t.Context()); !errors.Is(err, api.Unauthenticated) {
			t.Errorf("with %s: %v", name, err)
		}
	}
	if status, out := postForm(t, with(good), srv.URL, url.Values{"grant_type": {grantClient}, "client_id": {"ci"}}); status != 400 {
		t.Errorf("as another service: %d %v", status, out)
	}
	uris := func(texts ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.URIs = nil
			for _, text := range texts {
				u, err := url.Parse(text)
				check(t, err)
				c.URIs = append(c.URIs, u)
			}
		}
	}
	for name, bend := range map[string]func(*x509.Certificate){
		"no name":                 uris(),
		"another name":            uris("spiffe://corp.example/web"),
		"a longer name":           uris("spiffe://corp.example/host/x"),
		"another domain":          uris("spiffe://evil.example/host"),
		"two names":               uris("spiffe://corp.example/host", "spiffe://corp.example/web"),
		"the name as common name": func(c *x509.Certificate) { uris()(c); c.Subject.CommonName = "spiffe://corp.example/host" },
		"the name as host":        func(c *x509.Certificate) { uris()(c); c.DNSNames = []string{"corp.example"} },
		"an authority": func(c *x509.Certificate) {
			c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
		},
	} {
		if status, out := postForm(t, with(ca.issue(bend)), srv.URL, url.Values{"grant_type": {grantClient}}); status != 400 || out["error"] != "invalid_request" {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	stranger := newAuthority(t)
	for name, cert := range map[string]tls.Certificate{
		"another authority's": stranger.issue(func(*x509.Certificate) {}),
		"expired":             ca.issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }),
		"for servers":         ca.issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
	} {
		if res, err := with(cert).PostForm(srv.URL+tokenPath, url.Values{"grant_type": {grantClient}}); err == nil {
			_ = res.Body.Close()
			t.Errorf("%s: the handshake succeeds", name)
		}
	}
	if status, _ := postForm(t, with(), srv.URL, url.Values{"grant_type": {grantClient}}); status != 400 {
		t.Errorf("no certificate: %d", status)
	}
	// A proxy's connection has the proxy's certificate, whoever calls it.
	y.server.proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	if status, out := postForm(t, with(good), srv.URL, url.Values{"grant_type": {grantClient}, "client_id": {"batch"}}); status != 400 {
		t.Errorf("a proxy's certificate makes a login: %d %v", status, out)
	}
	if _, err := c.Whoami(t.Context()); !errors.Is(err, api.Unauthenticated) {
		t.Errorf("a login by certificate, over a proxy: %v", err)
	}
	y.server.proxies = nil
	if _, err := c.Whoami(t.Context()); err != nil {
		t.Errorf("without the proxy: %v", err)
	}
	if _, err := y.admin.Delete(t.Context(), api.Workloads, "host", false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Whoami(t.Context()); !errors.Is(err, api.Unauthenticated) {
		t.Errorf("after its document is gone: %v", err)
	}
}

// TestServiceList: static tokens, what nobody uses and what is about to end are said.
func TestServiceList(t *testing.T) {
	y := newYard(t)
	added, err := y.admin.AddService(t.Context(), api.ServiceAdd{Name: "legacy", Owner: "root", For: "7d"})
	check(t, err)
	c := y.client()
	c.Token, c.Service = added.Token, true
	_, err = c.Whoami(t.Context())
	check(t, err)
	page, err := y.admin.ListServices(t.Context(), api.List{})
	check(t, err)
	by := map[string]api.Service{}
	for _, s := range page.Items {
		by[s.Name] = s
	}
	if s := by["legacy"]; len(s.Tokens) != 1 || s.LastUsed.IsZero() || len(s.Remarks) != 2 || !strings.Contains(strings.Join(s.Remarks, " "), "ends in 6 days") || !strings.Contains(strings.Join(s.Remarks, " "), "static token") {
		t.Errorf("legacy: %+v", s)
	}
	if s := by["ci"]; len(s.Tokens) != 0 || len(s.Workloads) != 1 || len(s.Remarks) != 0 {
		t.Errorf("ci: %+v", s)
	}
	if s := by["gone"]; strings.Join(s.Remarks, "") != "has no way in" {
		t.Errorf("gone: %+v", s)
	}
	if _, err := y.admin.AddService(t.Context(), api.ServiceAdd{Name: "legacy", Owner: "root", For: "3000d"}); !errors.Is(err, api.Invalid) {
		t.Errorf("for ever: %v", err)
	}
}

// FuzzExchange: no form does more than fail, or ask for one thing.
func FuzzExchange(f *testing.F) {
	f.Add([]byte(exchangeOf("a.b.c").Encode()))
	f.Add([]byte("grant_type=client_credentials&client_id=ci"))
	f.Add([]byte("grant_type=&grant_type=x%zz;subject_token"))
	f.Fuzz(func(t *testing.T, body []byte) {
		ask, err := readExchange(body)
		if err != nil {
			if p := err.(*oauthProblem); p.Status != 400 || p.Word == "" || strings.Contains(p.Description, string(body)) && len(body) > 12 {
				t.Fatalf("%+v", p)
			}
			return
		}
		if ask.service != "" && (ask.service.Kind() != access.Service || !access.ValidName(ask.service.Name())) {
			t.Fatalf("%q is no service", ask.service)
		}
		form, err := url.ParseQuery(string(body))
		if err != nil || len(form["grant_type"]) != 1 || len(form["subject_token"]) > 1 || (ask.subject == "") != (form.Get("grant_type") == grantClient) {
			t.Fatalf("%q was read as %+v", body, ask)
		}
		_, _ = oidc.Whose(ask.subject)
	})
}
