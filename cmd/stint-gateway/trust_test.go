package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/envelope"
	"stint/internal/gateway"
	"stint/internal/gateway/control"
	"stint/internal/sshcert/krl"
)

type orders struct{ ed25519.PrivateKey }

func (o orders) Sign(m []byte) []byte      { return ed25519.Sign(o.PrivateKey, m) }
func (o orders) Public() ed25519.PublicKey { return o.PrivateKey.Public().(ed25519.PublicKey) }

func newOrders(t *testing.T) orders {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return orders{key}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// middlebox ends TLS with a certificate that the gateway believes. What it answers is the
// control plane's, or what answer makes of it.
type middlebox struct {
	t      *testing.T
	key    orders   // the control plane's
	users  []string // authorities that the control plane says
	list   []byte
	rolls  []string
	permit api.SessionPermit

	mu     sync.Mutex
	bend   func(*envelope.Word, *api.GatewayTrust) envelope.Signer // what is said instead, and who signs it; nil: nobody
	before *api.GatewayTrust                                       // what was answered last
	replay bool
}

func (m *middlebox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var in struct {
		Nonce string `json:"nonce"`
	}
	_ = json.Unmarshal(body, &in)                           // of a body that has one
	say := func(v any) { _ = json.NewEncoder(w).Encode(v) } // a client that is gone
	word := envelope.Word{Installation: "inst", Gateway: "edge", Nonce: in.Nonce, IssuedAt: time.Now()}
	out := api.GatewayTrust{Revoked: m.list, Rolls: m.rolls}
	by := envelope.Signer(m.key)
	seal := func(about envelope.About, content any) string {
		word.About = about
		if word.Content, err = json.Marshal(content); err != nil {
			m.t.Error(err)
		}
		if m.bend != nil {
			by = m.bend(&word, &out)
		}
		if by == nil {
			return ""
		}
		text, err := word.Seal(by)
		if err != nil {
			m.t.Error(err)
		}
		return string(text)
	}
	switch r.URL.Path {
	case "/v1/gateway/enroll":
		say(api.GatewayEnrolled{Gateway: "edge", Address: "gw.example:2022", Installation: "inst", OrdersKey: m.key.Public()})
	case "/v1/gateway/trust":
		if m.replay {
			say(m.before)
			return
		}
		sum := sha256.Sum256(m.list)
		s := api.GatewaySettings{Address: "gw.example:2022", Revoked: sum[:]}
		for _, u := range m.users {
			s.Users = append(s.Users, api.SSHAuthority{PublicKey: u, Signs: true})
		}
		s.Hosts = s.Users[:1]
		out.Word = seal(envelope.AboutTrust, s)
		m.before = &out
		say(out)
	case "/v1/gateway/open":
		say(api.SessionPermit{Session: "ses_plain", Grant: "grt_plain", Word: seal(envelope.AboutPermit, m.permit)})
	case "/v1/gateway/renew":
		say(api.SessionRenewals{Renewals: []api.SessionRenewal{{Session: "ses_1", RemainingMillis: 3_600_000}}, Word: seal(envelope.AboutRenewals, api.SessionRenewals{})})
	default:
		http.NotFound(w, r)
	}
}

func (m *middlebox) change(do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	do()
}

func authorityLine(t *testing.T) string {
	t.Helper()
	public, err := ssh.NewPublicKey(newOrders(t).Public())
	must(t, err)
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
}

func listOf(t *testing.T, version uint64) []byte {
	t.Helper()
	text, err := krl.Marshal(krl.List{Version: version, Generated: time.Now().UTC().Truncate(time.Second), Comment: "stint"})
	must(t, err)
	return text
}

// between is a gateway, and what stands between it and its control plane.
func between(t *testing.T) (m *middlebox, url, ca string) {
	t.Helper()
	m = &middlebox{t: t, key: newOrders(t), users: []string{authorityLine(t)}, list: listOf(t, 1)}
	srv := httptest.NewTLSServer(m)
	t.Cleanup(srv.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	return m, srv.URL, ca
}

// TestMiddlebox: who ends TLS with a certificate that is valid for the control plane's name
// can withhold what it says, and do nothing else: it adds no authority, brings nothing back
// that was revoked, permits no session and renews none.
func TestMiddlebox(t *testing.T) {
	m, url, ca := between(t)
	ctx := t.Context()
	device, err := api.OpenDevice(filepath.Join(t.TempDir(), keyFile))
	must(t, err)
	pem, err := os.ReadFile(ca)
	must(t, err)
	c, err := client(url, string(pem), device)
	must(t, err)
	defer c.Close()
	var kept control.Pins
	now := time.Now()
	voice, err := control.NewVoice(control.Pins{Gateway: "edge", Installation: "inst", Orders: m.key.Public()}, func(p control.Pins) error { kept = p; return nil },
		func() time.Time { return now }, slog.New(slog.DiscardHandler))
	must(t, err)
	known := newTrust(c, voice, nil)
	must(t, known.refresh(ctx))
	was := known.said.Load()
	if len(was.users) != 1 || was.list.Version != 1 {
		t.Fatalf("%+v", was)
	}

	own, theirs := newOrders(t), authorityLine(t)
	add := func(w *envelope.Word) {
		var s api.GatewaySettings
		must(t, json.Unmarshal(w.Content, &s))
		s.Users = append(s.Users, api.SSHAuthority{PublicKey: theirs, Signs: true})
		w.Content, err = json.Marshal(s)
		must(t, err)
	}
	for name, bend := range map[string]func(*envelope.Word, *api.GatewayTrust) envelope.Signer{
		"an authority more, signed by itself": func(w *envelope.Word, _ *api.GatewayTrust) envelope.Signer { add(w); return own },
		"its own key, of which it says that it follows": func(w *envelope.Word, out *api.GatewayTrust) envelope.Signer {
			roll, err := envelope.SealRoll("inst", own.Public(), own)
			must(t, err)
			out.Rolls = []string{string(roll)}
			add(w)
			return own
		},
		"nothing signed":              func(*envelope.Word, *api.GatewayTrust) envelope.Signer { return nil },
		"what is another gateway's":   func(w *envelope.Word, _ *api.GatewayTrust) envelope.Signer { w.Gateway = "west"; return m.key },
		"of another installation":     func(w *envelope.Word, _ *api.GatewayTrust) envelope.Signer { w.Installation = "other"; return m.key },
		"an answer to another asking": func(w *envelope.Word, _ *api.GatewayTrust) envelope.Signer { w.Nonce = envelope.NewID(); return m.key },
		"a permit": func(w *envelope.Word, _ *api.GatewayTrust) envelope.Signer {
			w.About = envelope.AboutPermit
			return m.key
		},
		"another list": func(_ *envelope.Word, out *api.GatewayTrust) envelope.Signer {
			out.Revoked = listOf(t, 2)
			return m.key
		},
	} {
		m.change(func() { m.bend = bend })
		if err := known.refresh(ctx); err == nil {
			t.Errorf("%s: believed", name)
		}
	}
	m.change(func() { m.bend, m.replay = nil, true })
	if err := known.refresh(ctx); err == nil {
		t.Error("the answer before, once more: believed")
	}
	if known.said.Load() != was {
		t.Errorf("something of it counts: %+v", known.said.Load())
	}
	m.change(func() { m.replay = false })
	must(t, known.refresh(ctx))

	// Permits and renewals: what stands beside the word counts for nothing.
	plane := control.Plane{Client: c, Voice: voice}
	m.change(func() { m.permit = api.SessionPermit{Session: "ses_1", Grant: "grt_1"} })
	if p, err := plane.Open(ctx, gateway.Facts{Protocol: "ssh"}); err != nil || p.Session != "ses_1" || p.Grant != "grt_1" {
		t.Errorf("%+v, %v", p, err)
	}
	if r, err := plane.Renew(ctx, gateway.Report{Live: []gateway.SessionID{"ses_1"}}); err != nil || len(r) != 0 {
		t.Errorf("renewed by what nobody signed: %+v, %v", r, err)
	}
	for name, by := range map[string]envelope.Signer{"signed by itself": own, "not signed": nil} {
		m.change(func() { m.bend = func(*envelope.Word, *api.GatewayTrust) envelope.Signer { return by } })
		if p, err := plane.Open(ctx, gateway.Facts{Protocol: "ssh"}); err == nil {
			t.Errorf("%s: permitted %+v", name, p)
		}
		if r, err := plane.Renew(ctx, gateway.Report{Live: []gateway.SessionID{"ses_1"}}); err == nil {
			t.Errorf("%s: renewed %+v", name, r)
		}
	}

	// A key that the one before vouches for counts; the one before does so for a while.
	next, before := newOrders(t), m.key
	roll, err := envelope.SealRoll("inst", next.Public(), before)
	must(t, err)
	m.change(func() { m.bend, m.key, m.rolls = nil, next, []string{string(roll)} })
	must(t, known.refresh(ctx))
	if !kept.Orders.Equal(next.Public()) {
		t.Error("the new key is not kept")
	}
	m.change(func() { m.key = before }) // a replica that has not started again
	must(t, known.refresh(ctx))
	now = now.Add(time.Hour)
	if err := known.refresh(ctx); err == nil {
		t.Error("the key before counts an hour later")
	}
}

// TestEnrol: a gateway learns the key of its control plane from who gave it the code, and
// not from who answers.
func TestEnrol(t *testing.T) {
	m, url, ca := between(t)
	enrol := func(code string) (dir string, err error) {
		dir = t.TempDir()
		f := flags{state: dir, server: url, ca: ca, code: "-"}
		return dir, f.enroll(t.Context(), strings.NewReader(code), io.Discard)
	}
	dir, err := enrol("stint-gateway-abc." + envelope.Pin(m.key.Public()))
	must(t, err)
	f := flags{state: dir}
	p, err := f.readPlace()
	if err != nil || p.Pins.Gateway != "edge" || !p.Pins.Orders.Equal(m.key.Public()) || p.Address != "gw.example:2022" {
		t.Errorf("%+v, %v", p, err)
	}
	for code, why := range map[string]string{
		"stint-gateway-abc." + envelope.Pin(newOrders(t).Public()): "other-key",
		"stint-gateway-abc": "unusable",
	} {
		dir, err := enrol(code)
		var e *access.Error
		if !errors.As(err, &e) || e.Code != why {
			t.Errorf("%s: %v", why, err)
		}
		if _, err := os.Stat(filepath.Join(dir, placeFile)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: enrolled all the same", why)
		}
	}
	must(t, os.WriteFile(f.path(placeFile), []byte(`{"format":1,"server":"https://x","gateway":"edge","address":"a:1","installation":"i"}`), 0o600))
	var e *access.Error
	if _, err := f.readPlace(); !errors.As(err, &e) || e.Code != "no-pins" || e.Next == "" {
		t.Errorf("a file from before: %v", err)
	}
}
