package apiserver

import (
	"crypto/ed25519"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"stint/internal/api"
	"stint/internal/policy"
	"stint/internal/provision"
)

// transmitter is an identity provider that sends security events.
type transmitter struct {
	t     *testing.T
	http  *httptest.Server
	key   ed25519.PrivateKey
	asked atomic.Int64 // for keys
	queue map[string]string
	acked []string
	wrong []string
}

func newTransmitter(t *testing.T) *transmitter {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(nil)
	check(t, err)
	x := &transmitter{t: t, key: key, queue: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		x.asked.Add(1)
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: pub, KeyID: "k1", Algorithm: "EdDSA", Use: "sig"}}})
	})
	mux.HandleFunc("POST /poll", func(w http.ResponseWriter, r *http.Request) { // RFC 8936 section 2.4
		if r.Header.Get("Authorization") != "Bearer poll-secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var in struct {
			Ack     []string                   `json:"ack"`
			SetErrs map[string]json.RawMessage `json:"setErrs"`
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
		for _, jti := range in.Ack {
			x.acked = append(x.acked, jti)
			delete(x.queue, jti)
		}
		for jti := range in.SetErrs {
			x.wrong = append(x.wrong, jti)
			delete(x.queue, jti)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"sets": x.queue, "moreAvailable": false})
	})
	x.http = httptest.NewServer(mux)
	t.Cleanup(x.http.Close)
	return x
}

// token makes one about a subject.
func (x *transmitter) token(jti, event, sub string) string {
	x.t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: x.key}, (&jose.SignerOptions{}).WithType("secevent+jwt").WithHeader("kid", "k1"))
	check(x.t, err)
	body, err := json.Marshal(map[string]any{"iss": x.http.URL, "aud": "stint", "iat": time.Now().Unix(), "jti": jti,
		"sub_id": map[string]string{"format": "iss_sub", "iss": x.http.URL, "sub": sub}, "events": map[string]any{event: map[string]any{}}})
	check(x.t, err)
	signed, err := s.Sign(body)
	check(x.t, err)
	text, err := signed.CompactSerialize()
	check(x.t, err)
	return text
}

const (
	sessionRevoked  = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
	accountDisabled = "https://schemas.openid.net/secevent/risc/event-type/account-disabled"
	accountEnabled  = "https://schemas.openid.net/secevent/risc/event-type/account-enabled"
)

func (w *world) push(token, name, set string) (status int, answer string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.http.URL+"/signals/v1/"+name, strings.NewReader(set))
	check(w.t, err)
	r.Header.Set("Content-Type", "application/secevent+jwt")
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := w.http.Client().Do(r)
	check(w.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	check(w.t, err)
	return res.StatusCode, string(text)
}

// TestSignals: an event ends what somebody holds, once, whether it is pushed or
// fetched; and what is wrong with one is said.
func TestSignals(t *testing.T) {
	w, admin := populated(t, func(c *Config) { c.Outside = http.DefaultClient })
	x := newTransmitter(t)
	_, err := admin.Apply(t.Context(), api.Apply{Files: []api.File{{Name: "corp.yaml", Text: corpScim + `
---
kind: Integration
name: corp-signals
type: signals
address: ` + x.http.URL + `
audience: stint
keys: /keys
signIn: corp-sso
poll: /poll
`}}})
	check(t, err)
	token := w.token(admin, "corp-signals")
	mira := w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	check(t, admin.Do(t.Context(), http.MethodPost, "/admin/users/mira/link", api.Identity{Provider: "corp-sso", Subject: "00u1"}, nil))
	hold := func(c *api.Client) string {
		t.Helper()
		r, err := c.Submit(t.Context(), api.Ask{Resource: "db", Role: "reader", Duration: "30m", Reason: "look at stuck orders"}, api.Wait{For: api.Ready, Time: 20 * time.Second})
		check(t, err)
		return r.ID
	}
	ends := func(id string) {
		t.Helper()
		r, err := admin.Request(t.Context(), id, api.Wait{For: api.Ended, Time: 20 * time.Second})
		check(t, err)
		if r.Grant.State != api.GrantEnded {
			t.Errorf("the grant is %s", r.Grant.State)
		}
	}
	pushed := func(set string, want int) {
		t.Helper()
		if status, text := w.push(token, "corp-signals", set); status != want {
			t.Errorf("%d %s, want %d", status, text, want)
		}
	}
	id, first := hold(mira), x.token("1", sessionRevoked, "00u1")
	pushed(x.token("0", sessionRevoked, "somebody else"), http.StatusAccepted)
	pushed(first, http.StatusAccepted)
	ends(id)
	if _, err := mira.Whoami(t.Context()); problemOf(err, "").Kind != api.Unauthenticated {
		t.Errorf("the session goes on: %v", err)
	}
	// Again is nothing: a token that was caught ends no newer session.
	mira = w.enroll(w.code(admin, "mira"), "")
	id = hold(mira)
	pushed(first, http.StatusAccepted)
	if _, err := mira.Whoami(t.Context()); err != nil {
		t.Errorf("a token counts twice: %v", err)
	}
	// Fetched, where it was not pushed.
	x.queue["2"], x.queue["bad"] = x.token("2", accountDisabled, "00u1"), "no token"
	set, err := w.server.broker.Documents(t.Context())
	check(t, err)
	var i policy.Integration
	i, _ = set.Integration("corp-signals")
	if !provision.Polled(i) {
		t.Error("it is not polled")
	}
	check(t, w.server.receiver.Poll(t.Context(), http.DefaultClient, i, "poll-secret"))
	ends(id)
	if len(x.acked) != 1 || x.acked[0] != "2" || len(x.wrong) != 1 || x.wrong[0] != "bad" {
		t.Errorf("acknowledged %v, refused %v", x.acked, x.wrong)
	}
	if p := w.principal("user:mira"); !p.Disabled || p.DisabledBy != "corp-signals" {
		t.Errorf("got %+v", p)
	}
	pushed(x.token("3", accountEnabled, "00u1"), http.StatusAccepted)
	if p := w.principal("user:mira"); p.Disabled {
		t.Error("still disabled")
	}
	if err := w.server.receiver.Poll(t.Context(), http.DefaultClient, i, "wrong"); err == nil {
		t.Error("a poll that is not let in succeeds")
	}

	// What is wrong is said, and keys are not asked for each time.
	before := x.asked.Load()
	for range 20 {
		pushed(newTransmitter(t).token("9", sessionRevoked, "00u1"), http.StatusBadRequest)
	}
	if n := x.asked.Load() - before; n > 1 {
		t.Errorf("strangers' tokens had the keys asked for %d times", n)
	}
	if status, text := w.push("x", "corp-signals", first); status != http.StatusBadRequest || !strings.Contains(text, "authentication_failed") {
		t.Errorf("without a token: %d %s", status, text)
	}
	if status, _ := w.push(w.token(admin, "corp"), "corp", first); status != http.StatusBadRequest {
		t.Errorf("to a provisioning service: %d", status)
	}
	if status, _ := w.scim(token, "GET", "/scim/v2/corp-signals/Users", ""); status == 200 {
		t.Error("the token of signals provisions")
	}
}
