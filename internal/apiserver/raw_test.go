package apiserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"stint/internal/api"
)

// raw is one call made by hand, so that a test can bend each part of it.
type raw struct {
	method, path string
	body         string
	token        api.Secret
	scheme       string
	device       *api.Device
	at           time.Time       // of the proof
	prove        func(*api.Call) // what the proof is over, where it differs from what is sent
	bend         func(*http.Request)
}

func (w *world) raw(c *api.Client, method, path, body string) raw {
	return raw{method: method, path: path, body: body, token: c.Token, device: c.Device, scheme: "DPoP", at: time.Now().Add(w.skew)}
}

type got struct {
	status int
	header http.Header
	body   []byte
	error  api.Error
}

func (w *world) send(r raw) got {
	w.t.Helper()
	u, err := url.Parse(w.http.URL + r.path)
	check(w.t, err)
	req, err := http.NewRequestWithContext(w.t.Context(), r.method, u.String(), bytes.NewReader([]byte(r.body)))
	check(w.t, err)
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.device != nil {
		over := api.Call{Method: r.method, URL: u, Body: sha256.Sum256([]byte(r.body)), Token: r.token}
		if r.prove != nil {
			r.prove(&over)
		}
		proof, err := r.device.Proof(over, r.at)
		check(w.t, err)
		req.Header.Set(api.HeaderProof, proof)
	}
	if r.token != "" {
		req.Header.Set("Authorization", r.scheme+" "+r.token.Reveal())
	}
	if r.bend != nil {
		r.bend(req)
	}
	return w.do(req)
}

func (w *world) do(req *http.Request) got {
	w.t.Helper()
	resp, err := w.http.Client().Do(req)
	check(w.t, err)
	defer func() { _ = resp.Body.Close() }()
	g := got{status: resp.StatusCode, header: resp.Header}
	if resp.Header.Get("Content-Type") == linesType { // may never end
		return g
	}
	g.body, err = io.ReadAll(resp.Body)
	check(w.t, err)
	if g.status >= 400 {
		if err := json.Unmarshal(g.body, &g.error); err != nil {
			w.t.Errorf("%s %s: %d without a problem: %s", req.Method, req.URL.Path, g.status, g.body)
		}
	}
	return g
}

func (g got) want(t *testing.T, status int, code string) {
	t.Helper()
	if g.status != status || g.error.Code != code {
		t.Errorf("got %d %q (%s: %s), want %d %q", g.status, g.error.Code, g.error.Message, g.error.Why, status, code)
	}
}
