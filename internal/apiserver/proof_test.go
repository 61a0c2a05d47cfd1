package apiserver

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/ident"
)

func TestProofs(t *testing.T) {
	w, admin := populated(t)
	mira := w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	other, err := api.NewDevice()
	check(t, err)
	const body = `{"resource":"db","role":"reader","duration":"5m","reason":"look at order 4711","dry_run":true}`
	for _, c := range []struct {
		name   string
		bend   func(*raw)
		status int
		code   string
	}{
		{"as it should be", func(*raw) {}, 200, ""},
		{"no token", func(r *raw) { r.token = "" }, 401, "no-token"},
		{"no proof", func(r *raw) { r.device = nil }, 401, api.CodeBadProof},
		{"a scheme nobody knows", func(r *raw) { r.scheme = "Basic" }, 401, "no-token"},
		{"a token nobody gave", func(r *raw) { r.token = "stint_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }, 401, "not-signed-in"},
		{"a stolen token with another device", func(r *raw) { r.device = other }, 401, "not-signed-in"},
		{"a proof for another token", func(r *raw) { r.prove = func(c *api.Call) { c.Token = "stint_x" } }, 401, api.CodeBadProof},
		{"a proof for another method", func(r *raw) { r.prove = func(c *api.Call) { c.Method = "GET" } }, 401, api.CodeBadProof},
		{"a proof for another body", func(r *raw) { r.prove = func(c *api.Call) { c.Body[0]++ } }, 401, api.CodeBadProof},
		{"a proof for another path", func(r *raw) { r.prove = func(c *api.Call) { u := *c.URL; u.Path += "x"; c.URL = &u } }, 401, api.CodeBadProof},
		{"a proof for another query", func(r *raw) { r.prove = func(c *api.Call) { u := *c.URL; u.RawQuery = "wait=1s"; c.URL = &u } }, 401, api.CodeBadProof},
		{"a proof for another host", func(r *raw) { r.prove = func(c *api.Call) { u := *c.URL; u.Host = "other:7420"; c.URL = &u } }, 401, api.CodeBadProof},
		{"a proof for https", func(r *raw) { r.prove = func(c *api.Call) { u := *c.URL; u.Scheme = "https"; c.URL = &u } }, 401, api.CodeBadProof},
		{"the query changed on the way", func(r *raw) { r.bend = func(q *http.Request) { q.URL.RawQuery = "for=ended" } }, 401, api.CodeBadProof},
		{"an old proof", func(r *raw) { r.at = time.Now().Add(-2 * time.Minute) }, 401, api.CodeClockSkew},
		{"a proof of tomorrow", func(r *raw) { r.at = time.Now().Add(24 * time.Hour) }, 401, api.CodeClockSkew},
		{"two proofs", func(r *raw) { r.bend = func(q *http.Request) { q.Header.Add("DPoP", q.Header.Get("DPoP")) } }, 401, api.CodeBadProof},
		{"two tokens", func(r *raw) { r.bend = func(q *http.Request) { q.Header.Add("Authorization", "Bearer x") } }, 401, "no-token"},
		{"a forwarded scheme from nobody we trust", func(r *raw) {
			r.bend = func(q *http.Request) { q.Header.Set("X-Forwarded-Proto", "https") }
			r.prove = func(c *api.Call) { u := *c.URL; u.Scheme = "https"; c.URL = &u }
		}, 401, api.CodeBadProof},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := w.raw(mira, "POST", "/v1/requests", body)
			c.bend(&r)
			g := w.send(r)
			g.want(t, c.status, c.code)
			if c.code == api.CodeClockSkew && g.header.Get("Date") == "" {
				t.Error("a clock that is off gets no Date to set itself by")
			}
		})
	}
}

func TestReplay(t *testing.T) {
	w := begin(t)
	root := w.first()
	var seen *http.Request
	r := w.raw(root, "GET", "/v1/whoami", "")
	r.bend = func(q *http.Request) { seen = q.Clone(q.Context()) }
	if g := w.send(r); g.status != 200 {
		t.Fatalf("got %d %s", g.status, g.body)
	}
	g := w.do(seen)
	g.want(t, 401, api.CodeProofReplayed)
}

// A server that has just begun may have seen the proof in its life before. It
// asks for another, and the client makes one by itself.
func TestProofFromBeforeTheStart(t *testing.T) {
	start := time.Now().Add(time.Minute).Truncate(time.Second).Add(300 * time.Millisecond)
	w := begin(t, func(c *Config) { c.Replays = ident.NewMemory(proofWindow, func() time.Time { return start }) })
	w.server.now = func() time.Time { return start }
	w.skew = time.Minute
	e, _, err := w.ident.OpenBootstrap(t.Context())
	check(t, err)
	c := w.client()
	c.Now = func() time.Time { return start }
	if _, err := c.Enroll(t.Context(), api.Secret(e.Code.Reveal()), true, "root"); err != nil {
		t.Errorf("the client did not get in with a second proof: %v", err)
	}
	w.noSignInFailure(t)
}

// A clock that is off is no attempt to get in as somebody else.
func TestClockSkewIsNoFailedSignIn(t *testing.T) {
	w := begin(t)
	r := w.raw(w.first(), "GET", "/v1/whoami", "")
	r.at = time.Now().Add(-2 * time.Minute)
	g := w.send(r)
	g.want(t, 401, api.CodeClockSkew)
	w.noSignInFailure(t)
	r.at, r.token = time.Time{}, ""
	g = w.send(r)
	g.want(t, 401, "no-token")
	if !strings.Contains(w.log.String(), "not signed in") {
		t.Error("nor is any other told")
	}
}

func (w *world) noSignInFailure(t *testing.T) {
	t.Helper()
	if got := w.send(raw{method: "GET", path: "/metrics"}); strings.Contains(string(got.body), "stint_sign_in_failures_total{") {
		t.Errorf("it is counted:\n%s", got.body)
	}
	log := w.log.String()
	if strings.Contains(log, "not signed in") || !strings.Contains(log, `level=DEBUG msg="a proof of another time"`) {
		t.Errorf("the log says\n%s", log)
	}
}

// Nothing that is wrong with a code tells more than that, and nothing changes.
func TestEnrollRefused(t *testing.T) {
	w := begin(t)
	other, err := api.NewDevice()
	check(t, err)
	e, _, err := w.ident.OpenBootstrap(t.Context())
	check(t, err)
	code := api.Secret(e.Code.Reveal())
	_, err = w.client().Enroll(t.Context(), "stint-enroll-wrong", true, "root")
	wantError(t, err, api.Unauthenticated, "bad-code")
	_, err = w.client().Enroll(t.Context(), code, true, "Root!")
	wantError(t, err, api.Invalid, "bad-name")
	_, err = w.client().Enroll(t.Context(), code, true, "")
	wantError(t, err, api.Invalid, "no-name")
	c := w.client()
	r := w.raw(c, "POST", "/v1/enroll", `{"code":"x","device_jwk":{"kty":"OKP","crv":"Ed25519","x":"`+other.JWK().X+`"},"seal_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`)
	g := w.send(r)
	g.want(t, 401, api.CodeBadProof)
	if strings.Contains(w.log.String(), code.Reveal()) {
		t.Error("the log holds a code")
	}
	if _, err := w.client().Enroll(t.Context(), code, true, "root"); err != nil {
		t.Errorf("the code was used up by refusals: %v", err)
	}
}

func wantError(t *testing.T, err error, kind api.Kind, code string) {
	t.Helper()
	p := problemOf(err, "")
	if p.Kind != kind || p.Code != code {
		t.Errorf("got %v (%s %s), want %s %s", err, p.Kind, p.Code, kind, code)
	}
}

// A principal that is disabled, and a login that ends, stop counting at once.
func TestEndOfSignIn(t *testing.T) {
	w, admin := populated(t)
	mira := w.as(admin, api.UserAdd{Name: "mira"})
	_, err := mira.Whoami(t.Context())
	check(t, err)
	_, err = admin.DisableUser(t.Context(), "mira")
	check(t, err)
	if _, err := mira.Whoami(t.Context()); problemOf(err, "").Kind != api.Unauthenticated {
		t.Errorf("disabled: %v", err)
	}
	check(t, admin.Logout(t.Context()))
	_, err = admin.Whoami(t.Context())
	wantError(t, err, api.Unauthenticated, "not-signed-in")
}

// Nobody's body is read before it is known whose it is: else whoever reaches the
// port could fill the memory, or keep every place with bodies that never arrive.
func TestStrangersAreNotRead(t *testing.T) {
	w, admin := populated(t)
	stranger, err := api.NewDevice()
	check(t, err)
	for name, bend := range map[string]func(*raw){
		"no token":             func(r *raw) { r.token = "" },
		"no proof":             func(r *raw) { r.device = nil },
		"another's token":      func(r *raw) { r.device = stranger },
		"a proof of yesterday": func(r *raw) { r.at = time.Now().Add(-24 * time.Hour) },
	} {
		for _, path := range []string{"/v1/apply", "/v1/revoke"} {
			r := w.raw(admin, "POST", path, "")
			bend(&r)
			var head []byte
			r.bend = func(q *http.Request) {
				q.ContentLength, q.Body = 900<<10, io.NopCloser(strings.NewReader(""))
				head, err = httputil.DumpRequestOut(q, false)
				q.ContentLength, q.Body = 0, nil
			}
			w.send(r)
			check(t, err)
			conn, err := net.Dial("tcp", strings.TrimPrefix(w.http.URL, "http://"))
			check(t, err)
			check(t, conn.SetDeadline(time.Now().Add(readWithin/3)))
			_, err = conn.Write(head)
			check(t, err)
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Errorf("%s, %s: no answer before the body came: %v", path, name, err)
			} else if answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s, %s: %d", path, name, answer.StatusCode)
			}
			_ = conn.Close()
		}
	}
}

// noMemory is the replay guard on a store that can be read and takes no changes.
type noMemory struct{}

func (noMemory) Fresh(context.Context, access.DeviceID, string, time.Time) (bool, error) {
	return false, access.Fail(access.Unavailable, "store-full", "the database lacks the means")
}

// TestRevokeWithoutReplayGuard: that used proofs cannot be remembered refuses every
// call but the one that takes access away.
func TestRevokeWithoutReplayGuard(t *testing.T) {
	w, admin := populated(t)
	w.server.replays = noMemory{}
	if _, err := admin.Revoke(t.Context(), api.RevokeAsk{All: true, Why: "the disk is full and somebody is in"}); err != nil {
		t.Errorf("revoke: %v", err)
	}
	if _, err := admin.SetStop(t.Context(), api.Stop{Stopped: true, Why: "as well"}); err == nil {
		t.Error("another call goes through with a proof that may have been used")
	}
}
