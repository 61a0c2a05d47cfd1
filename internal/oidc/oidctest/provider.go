// Package oidctest is an OpenID Connect provider in memory, for tests: it follows the
// rules (PKCE, codes that are good once and for one client), signs everybody in at
// once, and lies in whatever way a test bends it to.
package oidctest

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Provider is one on a port of its own.
type Provider struct {
	URL      string // the issuer
	ClientID string
	Secret   string
	Now      func() time.Time

	// The ways to bend it; set them before it is asked. Each is the truth when nil.
	Discovery func(map[string]any)               // what it says of itself
	Claims    func(map[string]any)               // of each ID token
	Token     func(header, claims string) string // signs; nil: RS256 with Key
	Answer    func(url.Values)                   // what it sends the browser back with
	Keys      http.HandlerFunc                   // its key set
	Exchange  http.HandlerFunc                   // its token endpoint
	Info      http.HandlerFunc                   // its UserInfo endpoint

	mu     sync.Mutex
	user   map[string]any // who signs in
	key    *rsa.PrivateKey
	kid    string
	codes  map[string]url.Values
	asked  []url.Values // authorization requests
	fetchs map[string]int
	given  map[string]bool // access tokens
}

// Start starts one in which the user "mira" with subject "subject-1" is signed in.
func Start(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{ClientID: "stint", Secret: "s3cret & strange", Now: time.Now, codes: map[string]url.Values{}, fetchs: map[string]int{}, given: map[string]bool{},
		user: map[string]any{"sub": "subject-1", "preferred_username": "mira", "groups": []string{"platform"}}}
	p.use(sharedKey())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /auth", p.auth)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /userinfo", p.userInfo)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	p.URL = srv.URL
	return p
}

// User makes somebody else the one who signs in: their claims, sub among them.
func (p *Provider) User(claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.user = claims
}

// sharedKey is what every provider begins with: making one takes half a second.
var sharedKey = sync.OnceValue(newKey)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// Rotate makes a new key that no other provider has, and forgets the one before.
func (p *Provider) Rotate() { p.use(newKey()) }

func (p *Provider) use(key *rsa.PrivateKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key, p.kid = key, rand.Text()
}

// Fetched is how often one of its addresses was asked.
func (p *Provider) Fetched(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetchs[path]
}

// Asked are the authorization requests that came.
func (p *Provider) Asked() []url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func (p *Provider) count(r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetchs[r.URL.Path]++
}

func (p *Provider) discovery(w http.ResponseWriter, r *http.Request) {
	p.count(r)
	d := map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/auth", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys", "userinfo_endpoint": p.URL + "/userinfo",
		"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "HS256", "none"}, "response_types_supported": []string{"code"},
		"subject_types_supported": []string{"public"}}
	if p.Discovery != nil {
		p.Discovery(d)
	}
	answer(w, http.StatusOK, d)
}

// auth signs whoever comes in as the user, and sends them back.
func (p *Provider) auth(w http.ResponseWriter, r *http.Request) {
	p.count(r)
	q := r.URL.Query()
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = q
	p.asked = append(p.asked, q)
	p.mu.Unlock()
	back := url.Values{"code": {code}, "state": {q.Get("state")}}
	if p.Answer != nil {
		p.Answer(back)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	p.count(r)
	if p.Exchange != nil {
		p.Exchange(w, r)
		return
	}
	refuse := func(code string) { answer(w, http.StatusBadRequest, map[string]any{"error": code}) }
	id, secret, basic := r.BasicAuth()
	if basic { // RFC 6749 section 2.3.1: both are form-encoded first
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
	} else {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	if id != p.ClientID || secret != p.Secret {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	p.mu.Lock()
	q, known := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	user := maps.Clone(p.user)
	p.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !known || q.Get("client_id") != id || q.Get("redirect_uri") != r.PostFormValue("redirect_uri") ||
		q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") != encode(sum[:]) {
		refuse("invalid_grant")
		return
	}
	now := p.Now()
	claims := map[string]any{"iss": p.URL, "aud": p.ClientID, "nonce": q.Get("nonce"), "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
	maps.Copy(claims, user)
	if p.Claims != nil {
		p.Claims(claims)
	}
	token := rand.Text()
	p.mu.Lock()
	p.given[token] = true
	p.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 300, "id_token": p.Sign(claims)})
}

// userInfo says who the access token is of.
func (p *Provider) userInfo(w http.ResponseWriter, r *http.Request) {
	p.count(r)
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	p.mu.Lock()
	ok, user := p.given[token], maps.Clone(p.user)
	p.mu.Unlock()
	switch {
	case !ok:
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
	case p.Info != nil:
		p.Info(w, r)
	default:
		answer(w, http.StatusOK, user)
	}
}

// Sign makes an ID token.
func (p *Provider) Sign(claims map[string]any) string {
	body, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	if p.Token != nil {
		return p.Token(p.KeyID(), string(body))
	}
	return p.RS256(p.KeyID(), body)
}

// RS256 signs with the provider's key, in the name of any key.
func (p *Provider) RS256(kid string, claims []byte) string {
	return p.SignPart(Part(map[string]any{"alg": "RS256", "kid": kid, "typ": "JWT"}), claims)
}

// SignPart signs with the provider's key, RS256, whatever the header says.
func (p *Provider) SignPart(header string, claims []byte) string {
	signed := header + "." + encode(claims)
	sum := sha256.Sum256([]byte(signed))
	p.mu.Lock()
	defer p.mu.Unlock()
	sig, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return signed + "." + encode(sig)
}

// HS256 signs with a shared secret, such as somebody's public key.
func HS256(kid string, secret, claims []byte) string {
	signed := Part(map[string]any{"alg": "HS256", "kid": kid}) + "." + encode(claims)
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(signed))
	return signed + "." + encode(m.Sum(nil))
}

// Part is JSON as a part of a token.
func Part(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return encode(b)
}

// KeyID names the key in use.
func (p *Provider) KeyID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kid
}

// PublicKey is that of the key in use.
func (p *Provider) PublicKey() *rsa.PublicKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &p.key.PublicKey
}

func (p *Provider) keys(w http.ResponseWriter, r *http.Request) {
	p.count(r)
	if p.Keys != nil {
		p.Keys(w, r)
		return
	}
	answer(w, http.StatusOK, p.KeySet())
}

// KeySet is what it publishes.
func (p *Provider) KeySet() map[string]any {
	k := p.PublicKey()
	return map[string]any{"keys": []any{map[string]any{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": p.KeyID(),
		"n": encode(k.N.Bytes()), "e": encode(big.NewInt(int64(k.E)).Bytes())}}}
}

// Visit goes to the provider as a browser does, and gives where it is sent back to.
func Visit(t testing.TB, to string) *url.URL {
	t.Helper()
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Get(to)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	back, err := res.Location()
	if err != nil {
		t.Fatalf("the provider answers %s: %v", res.Status, err)
	}
	return back
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
