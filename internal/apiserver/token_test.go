package apiserver

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/envelope"
	"stint/internal/sshcert"
)

// elsewhere is a key that something else holds, which may be away, or hang.
type elsewhere struct {
	ed25519.PrivateKey
	mu    sync.Mutex
	ready error
	hang  chan struct{} // nil: it signs at once
	asked chan struct{} // one each time
}

func (e *elsewhere) Ready() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ready
}

func (e *elsewhere) be(ready error, hang chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ready, e.hang = ready, hang
}

func (e *elsewhere) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	e.mu.Lock()
	hang := e.hang
	e.mu.Unlock()
	e.asked <- struct{}{}
	if hang != nil {
		<-hang
	}
	if err := e.Ready(); err != nil {
		return nil, err
	}
	return e.PrivateKey.Sign(nil, message, opts)
}

// withToken has both authorities elsewhere.
func withToken(t *testing.T) (users, hosts *elsewhere, bend func(*Config)) {
	t.Helper()
	one := func(k sshcert.Kind) (*elsewhere, *sshcert.Authority) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		check(t, err)
		e := &elsewhere{PrivateKey: key, asked: make(chan struct{}, 100)}
		a, err := sshcert.NewAuthority(k, e)
		check(t, err)
		return e, a
	}
	users, u := one(sshcert.User)
	hosts, h := one(sshcert.Host)
	return users, hosts, func(c *Config) { c.SSH = Authorities{Users: u, Hosts: h} }
}

var errAway = access.Fail(access.Unavailable, "token-away", "the token is away")

// TestTokenAway: without the key nothing is certified and nothing of it is written down,
// and whatever ends access goes on meanwhile.
func TestTokenAway(t *testing.T) {
	users, _, bend := withToken(t)
	w, _, mira := withHost(t, bend)
	ctx := t.Context()
	r := active(t, mira, "web1", "deploy", "20m")
	line, _ := sshPublic(t)
	got, err := mira.Certify(ctx, r.ID, api.CertificateAsk{PublicKey: line})
	check(t, err)
	users.be(errAway, nil)
	if _, err := mira.Certify(ctx, r.ID, api.CertificateAsk{PublicKey: line}); codeOf(err) != "token-away" {
		t.Errorf("it says %v", err)
	}
	if evs := w.events(access.CertificateIssued); len(evs) != 1 {
		t.Errorf("%d certificates are in the log", len(evs))
	}

	// One is being signed, and the key hangs.
	hang := make(chan struct{})
	users.be(nil, hang)
	for len(users.asked) > 0 {
		<-users.asked
	}
	late := make(chan error, 1)
	go func() {
		_, err := mira.Certify(ctx, r.ID, api.CertificateAsk{PublicKey: line})
		late <- err
	}()
	<-users.asked
	ended, err := mira.End(ctx, r.ID)
	check(t, err)
	if ended, err = mira.Request(ctx, ended.ID, api.Wait{For: api.Ended, Time: 30 * time.Second}); err != nil || !ended.Reached(api.Ended) {
		t.Errorf("it does not end: %+v, %v", ended.Grant, err)
	}
	c := certOf(t, got.Certificate)
	if !w.krlOf().Revokes(c.SignatureKey.Marshal(), c.Key.Marshal(), c.Serial, c.KeyId) {
		t.Error("what ended early is not on the list")
	}
	users.be(errAway, hang)
	close(hang)
	if err := <-late; codeOf(err) != "token-away" {
		t.Errorf("it says %v", err)
	}
}

// TestTokenHangsForHosts: a host is told whom not to believe any more, though the key of its
// certificates hangs, and gets them when that is over.
func TestTokenHangsForHosts(t *testing.T) {
	_, hosts, bend := withToken(t)
	w, admin := populated(t, bend)
	ctx := t.Context()
	_, err := admin.Apply(ctx, api.Apply{Files: []api.File{{Name: "host.yaml", Text: agentDocuments}}})
	check(t, err)
	code, err := admin.EnrollHost(ctx, "web1")
	check(t, err)
	hang := make(chan struct{})
	hosts.be(nil, hang)
	own := w.client()
	key, _ := sshPublic(t)
	ask := func() api.HostAsk { return api.HostAsk{Nonce: envelope.NewID(), SSHKeys: []string{key}} }
	first := ask()
	enrolled, err := own.EnrollAsHost(ctx, api.HostEnroll{Code: code.Code, DeviceJWK: own.Device.JWK(), HostAsk: first})
	check(t, err) // an answer, though the key hangs
	open := func(nonce string, got api.HostTrust) envelope.Trust {
		t.Helper()
		out, err := envelope.OpenTrust(envelope.Sealed(got.Trust), nonce, got.Revoked, w.orders.Public())
		check(t, err)
		return out
	}
	if at := open(first.Nonce, enrolled.HostTrust); len(at.Users) != 1 || len(at.Certificates) != 1 || at.Certificates[0] != "" {
		t.Errorf("%+v", at)
	}
	<-hosts.asked
	next := ask()
	got, err := own.TrustOfHost(ctx, next) // nor does the next question begin a second one
	check(t, err)
	if at := open(next.Nonce, got); at.Certificates[0] != "" || len(hosts.asked) != 0 {
		t.Errorf("%+v, asked %d times more", at, len(hosts.asked))
	}
	close(hang)
	w.until(func() bool {
		next := ask()
		got, err := own.TrustOfHost(ctx, next)
		return err == nil && open(next.Nonce, got).Certificates[0] != ""
	})
}
