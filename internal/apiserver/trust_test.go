package apiserver

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/envelope"
)

// TestTrustOfHost: an agent is told, signed and for its own question, whom sshd believes;
// its keys have certificates for the names that the documents say, the same until it is
// time for others; and with the agent they end.
func TestTrustOfHost(t *testing.T) {
	w, admin := populated(t)
	ctx := t.Context()
	_, err := admin.Apply(ctx, api.Apply{Files: []api.File{{Name: "host.yaml", Text: agentDocuments}}})
	check(t, err)
	code, err := admin.EnrollHost(ctx, "web1")
	check(t, err)
	own := w.client()
	first, key := sshPublic(t)
	ask := api.HostAsk{Nonce: envelope.NewID(), SSHKeys: []string{first + " root@web1"}}
	if _, err := own.EnrollAsHost(ctx, api.HostEnroll{Code: code.Code, DeviceJWK: own.Device.JWK(), HostAsk: api.HostAsk{Nonce: ask.Nonce, SSHKeys: []string{"command=x " + first}}}); problemOf(err, "").Code != "bad-public-key" {
		t.Errorf("a key that is none: %v", err)
	}
	enrolled, err := own.EnrollAsHost(ctx, api.HostEnroll{Code: code.Code, DeviceJWK: own.Device.JWK(), HostAsk: ask})
	check(t, err)
	open := func(nonce string, got api.HostTrust) envelope.Trust {
		t.Helper()
		out, err := envelope.OpenTrust(envelope.Sealed(got.Trust), nonce, got.Revoked, w.orders.Public())
		check(t, err)
		check(t, out.For("test", "web1:22"))
		return out
	}
	at := open(ask.Nonce, enrolled.HostTrust)
	if len(at.Users) != 1 || at.Users[0] != w.server.ssh.Users.Keys()[0].Line() || len(at.Certificates) != 1 {
		t.Fatalf("%+v", at)
	}
	c := certOf(t, at.Certificates[0])
	if c.CertType != ssh.HostCert || !bytes.Equal(c.Key.Marshal(), key.Marshal()) || !slices.Equal(c.ValidPrincipals, []string{"web1", "web1:22"}) || time.Until(time.Unix(int64(c.ValidBefore), 0)) > 8*24*time.Hour {
		t.Errorf("%+v", c)
	}
	if h, err := w.server.hosts.Register.Named(ctx, "web1:22"); err != nil || len(h.SSHKeys) != 1 || h.SSHKeys[0].Line != first {
		t.Errorf("what others verify the host by: %+v, %v", h, err)
	}
	// Asked again it is the same certificate; for another key, another.
	again := func(keys ...string) envelope.Trust {
		t.Helper()
		ask := api.HostAsk{Nonce: envelope.NewID(), SSHKeys: keys}
		got, err := own.TrustOfHost(ctx, ask)
		check(t, err)
		return open(ask.Nonce, got)
	}
	if got := again(first); !slices.Equal(got.Certificates, at.Certificates) {
		t.Error("another certificate each time")
	}
	second, _ := sshPublic(t)
	if got := again(second, first); len(got.Certificates) != 2 || got.Certificates[1] != at.Certificates[0] || certOf(t, got.Certificates[0]).Serial == c.Serial {
		t.Errorf("%+v", got.Certificates)
	}
	if evs := w.events(access.CertificateIssued); len(evs) != 2 {
		t.Errorf("%d certificates are in the log", len(evs))
	}
	if got, err := w.client().TrustOfHost(ctx, api.HostAsk{Nonce: envelope.NewID()}); err == nil {
		t.Errorf("a stranger is told %+v", got)
	}
	if got, err := own.TrustOfHost(ctx, api.HostAsk{Nonce: "1"}); err == nil {
		t.Errorf("without a nonce: %+v", got)
	}
	if n := w.krlOf().Count(); n != 0 {
		t.Errorf("%d are revoked", n)
	}
	_, err = admin.RevokeHost(ctx, "web1")
	check(t, err)
	if _, err := admin.RevokeHost(ctx, "web1:22"); err != nil {
		t.Errorf("by the host's own name, as where the resource is gone: %v", err)
	}
	if _, err := admin.RevokeHost(ctx, "web9:22"); problemOf(err, "").Kind != api.NotFound {
		t.Errorf("a host that is none: %v", err)
	}
	if _, err := own.TrustOfHost(ctx, ask); problemOf(err, "").Code != "not-enrolled" {
		t.Errorf("revoked, it is told what to believe: %v", err)
	}
	if evs := w.events(access.CertificateRevoked); len(evs) != 2 {
		t.Errorf("%d certificates were taken back", len(evs))
	}
}
