package api_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"stint/internal/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// door is a server that lets nobody pass without a good, fresh proof, and
// remembers what it was asked.
type door struct {
	t     *testing.T
	base  *url.URL
	clock func() time.Time
	serve http.HandlerFunc

	mu   sync.Mutex
	jtis map[string]bool
	seen []seen
}

// seen is one call that passed.
type seen struct {
	method, path, query, body string
	auth, key, device, jti    string
}

// newDoor starts a door on loopback and makes a signed-in client for it.
func newDoor(t *testing.T, serve http.HandlerFunc) (*door, *api.Client) {
	t.Helper()
	d := &door{t: t, clock: time.Now, serve: serve, jtis: map[string]bool{}}
	srv := httptest.NewServer(d)
	t.Cleanup(srv.Close)
	base, err := api.ParseServer(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	d.base = base
	c := &api.Client{Server: base, Device: newDevice(t), Token: "stl_mira", UserAgent: "stint/test"}
	t.Cleanup(c.Close)
	return d, c
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away
	}
	token, _, err := api.ReadToken(r.Header)
	if err != nil && r.URL.Path != "/v1/enroll" {
		refuse(w, err)
		return
	}
	proof, err := api.ReadProof(r.Header)
	if err != nil {
		refuse(w, err)
		return
	}
	u := *r.URL
	u.Scheme, u.Host = d.base.Scheme, r.Host
	now := d.clock()
	p, err := api.VerifyProof(proof, api.Call{Method: r.Method, URL: &u, Body: sha256.Sum256(body), Token: token}, now, window)
	if err != nil {
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		refuse(w, err)
		return
	}
	d.mu.Lock()
	replayed := d.jtis[p.JTI]
	d.jtis[p.JTI] = true
	d.seen = append(d.seen, seen{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, string(body), r.Header.Get("Authorization"),
		r.Header.Get(api.HeaderIdempotency), p.Thumbprint, p.JTI})
	d.mu.Unlock()
	if replayed {
		refuse(w, &api.Error{Kind: api.Unauthenticated, Code: api.CodeProofReplayed, Message: "seen before"})
		return
	}
	d.serve(w, r)
}

func (d *door) calls() []seen {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]seen(nil), d.seen...)
}

func refuse(w http.ResponseWriter, err error) {
	e := err.(*api.Error).Complete()
	w.Header().Set("Content-Type", e.ContentType(""))
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(e)
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// trip is a transport made of a function, for time that is not real.
type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (f trip) client(t *testing.T) *api.Client {
	t.Helper()
	return &api.Client{Server: parse(t, "https://stint.example"), Device: newDevice(t), Token: "stl_mira", HTTP: &http.Client{Transport: f}}
}

func recorded(serve http.HandlerFunc) *http.Response {
	rec := httptest.NewRecorder()
	serve(rec, nil)
	return rec.Result()
}

func answering(v any) *http.Response {
	return recorded(func(w http.ResponseWriter, _ *http.Request) { reply(w, v) })
}

func refusing(e *api.Error) *http.Response {
	return recorded(func(w http.ResponseWriter, _ *http.Request) { refuse(w, e) })
}

var background = context.Background()
