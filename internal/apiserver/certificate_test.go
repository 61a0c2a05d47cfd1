package apiserver

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/audit"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/internal/connector/linux"
	"stint/internal/keys"
	"stint/internal/sshcert"
	"stint/internal/sshcert/krl"
	"stint/internal/store"
)

// sshHosts are simulated targets of the type that certificates are for.
type sshHosts struct{ target }

func (*sshHosts) Type() string { return "linux" }
func (*sshHosts) Schema() access.Schema {
	return access.Schema{Type: "linux", Mechanisms: []access.Mechanism{access.Token}, Role: linux.Schema().Role}
}
func (*sshHosts) Capabilities() connector.Capabilities {
	return connector.Capabilities{Mechanisms: []access.Mechanism{access.Token}, Sweepable: true, SessionKill: true}
}

func (h *sshHosts) Provision(ctx context.Context, t connector.Target, o connector.Order) (connector.Receipt, error) {
	r, err := h.target.Provision(ctx, t, o)
	r.Account, r.Credential = o.Account, access.NewSecret([]byte(`{"type":"linux"}`))
	return r, err
}

// authorities are those of a world, made by its seal key.
func authorities(t testing.TB, vault *keys.Keys) Authorities {
	t.Helper()
	var a Authorities
	for name, to := range map[sshcert.Kind]**sshcert.Authority{sshcert.User: &a.Users, sshcert.Host: &a.Hosts} {
		sealed, _, err := vault.NewAuthorityKey(name.String())
		check(t, err)
		signer, err := vault.AuthoritySigner(name.String(), sealed)
		check(t, err)
		*to, err = sshcert.NewAuthority(name, signer)
		check(t, err)
	}
	return a
}

const hostDocuments = `
kind: Resource
name: web1
type: linux
criticality: low
owners: [user:omar]
connection: {address: "127.0.0.1:22", credential: host-login}
---
kind: Role
name: deploy
resources: {type: linux}
mechanism: token
linux: {account: deploy}
maxDuration: 4h
---
kind: Role
name: narrow
resources: {type: linux}
mechanism: token
linux: {account: deploy, sourceAddress: ["10.0.0.0/8", "::1"], forceCommand: "/usr/bin/uptime -p", forwarding: [ports, agent]}
maxDuration: 4h
---
kind: Role
name: jump
resources: {type: linux}
mechanism: token
linux: {account: deploy, through: gateway, sourceAddress: [10.0.0.0/8], record: strict, onPartition: keep, denyCommands: ["rm *"], forwarding: [ports], forwardTo: ["db:5432"]}
maxDuration: 4h
---
kind: Policy
name: hosts
subjects: [group:platform]
roles: [deploy, narrow, jump]
`

// withHost has a host and mira, who may have certificates for it.
func withHost(t testing.TB, bend ...func(*Config)) (w *world, admin, mira *api.Client) {
	t.Helper()
	w, admin = populated(t, bend...)
	_, err := admin.SetCredential(t.Context(), "host-login", api.CredentialSet{Type: "linux", Address: "127.0.0.1:22", Username: "stint", Password: "hunter2"})
	check(t, err)
	_, err = admin.Apply(t.Context(), api.Apply{Files: []api.File{{Name: "hosts.yaml", Text: hostDocuments}}})
	check(t, err)
	return w, admin, w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
}

func active(t testing.TB, c *api.Client, resource, role, span string) api.Request {
	t.Helper()
	r, err := c.Submit(t.Context(), api.Ask{Resource: resource, Role: role, Duration: span, Reason: "disk is full"}, api.Wait{For: api.Ready, Time: 20 * time.Second})
	check(t, err)
	if r.Grant == nil || r.Grant.State != api.GrantActive {
		t.Fatalf("not active: %+v %+v", r, r.Grant)
	}
	return r
}

func sshPublic(t testing.TB) (line string, key ssh.PublicKey) {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	key, err = ssh.NewPublicKey(public)
	check(t, err)
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), key
}

func certOf(t testing.TB, line string) *ssh.Certificate {
	t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	check(t, err)
	return key.(*ssh.Certificate)
}

// krlOf fetches the list of what ended early, made after this moment.
func (w *world) krlOf() krl.List {
	w.t.Helper()
	w.server.krl.last.Store(nil)
	res, err := http.Get(w.http.URL + "/v1/ssh/krl")
	check(w.t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	check(w.t, err)
	l, err := krl.Parse(body)
	if err != nil || res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/octet-stream" {
		w.t.Fatalf("%d %s: %v", res.StatusCode, body, err)
	}
	return l
}

// TestCertificate follows one from the question to the list of those that ended early.
func TestCertificate(t *testing.T) {
	w, _, mira := withHost(t)
	ctx := t.Context()
	r := active(t, mira, "web1", "deploy", "20m")
	line, key := sshPublic(t)
	got, err := mira.Certify(ctx, r.Grant.ID, api.CertificateAsk{PublicKey: line + " mira@laptop"})
	check(t, err)
	ca, err := mira.SSHAuthorities(ctx)
	check(t, err)

	c := certOf(t, got.Certificate)
	if len(c.ValidPrincipals) != 1 || !strings.HasPrefix(c.ValidPrincipals[0], "stint-") || len(c.ValidPrincipals[0]) != len("stint-")+43 {
		t.Errorf("principals %q", c.ValidPrincipals)
	}
	if !bytes.Equal(c.Key.Marshal(), key.Marshal()) || c.CertType != ssh.UserCert || c.Serial == 0 {
		t.Errorf("%+v", c)
	}
	if end := time.Unix(int64(c.ValidBefore), 0); end.After(r.Grant.ExpiresAt.Time) || r.Grant.ExpiresAt.Sub(end) >= time.Second {
		t.Errorf("it ends at %s, the grant at %s", end, r.Grant.ExpiresAt)
	}
	if begin := time.Since(time.Unix(int64(c.ValidAfter), 0)); begin < 25*time.Second || begin > time.Minute {
		t.Errorf("it begins %s ago", begin)
	}
	if len(c.CriticalOptions) != 0 || len(c.Extensions) != 1 || c.Extensions["permit-pty"] != "" {
		t.Errorf("options %v, extensions %v", c.CriticalOptions, c.Extensions)
	}
	if want := "stint test grant=" + r.Grant.ID + " person=mira"; c.KeyId != want || got.KeyID != want {
		t.Errorf("key id %q", c.KeyId)
	}
	if len(ca.Users) != 1 || !ca.Users[0].Signs || ca.Users[0].Fingerprint != ssh.FingerprintSHA256(c.SignatureKey) {
		t.Errorf("signed by %s; the authorities are %+v", ssh.FingerprintSHA256(c.SignatureKey), ca)
	}
	if len(ca.KnownHosts) != 1 || ca.KnownHosts[0] != "@cert-authority * "+ca.Hosts[0].PublicKey || got.Hosts[0] != ca.Hosts[0] || ca.Hosts[0].Fingerprint == ca.Users[0].Fingerprint {
		t.Errorf("hosts: %+v, known by %q", got.Hosts, ca.KnownHosts)
	}
	if len(got.Logins) != 1 || got.Logins[0] != (api.SSHLogin{Resource: "web1", Address: "127.0.0.1:22", Account: "deploy"}) {
		t.Errorf("logins %+v", got.Logins)
	}
	issued := w.events(access.CertificateIssued)
	if len(issued) != 1 || issued[0].Entity != "crt_"+got.Serial || issued[0].Facts["fingerprint"] != ssh.FingerprintSHA256(key) || issued[0].Facts["grant"] != r.Grant.ID ||
		issued[0].Facts["principals"] != c.ValidPrincipals[0] || issued[0].Facts["expires_at"] == "" || issued[0].Facts["person"] != "mira" {
		t.Errorf("the log: %+v", issued)
	}
	if n := w.krlOf().Count(); n != 0 {
		t.Errorf("%d are revoked at first", n)
	}

	second, err := mira.Certify(ctx, r.ID, api.CertificateAsk{PublicKey: line})
	check(t, err)
	if second.Serial == got.Serial {
		t.Error("two certificates of one serial")
	}
	_, err = mira.End(ctx, r.ID)
	check(t, err)
	l := w.krlOf()
	for _, x := range []api.Certificate{got, second} {
		c := certOf(t, x.Certificate)
		if !l.Revokes(c.SignatureKey.Marshal(), c.Key.Marshal(), c.Serial, c.KeyId) || l.Revokes(c.SignatureKey.Marshal(), c.Key.Marshal(), c.Serial+1, c.KeyId) {
			t.Errorf("serial %d is not revoked: %+v", c.Serial, l)
		}
	}
	if _, err := mira.Certify(ctx, r.ID, api.CertificateAsk{PublicKey: line}); codeOf(err) != "not-active" {
		t.Errorf("after the end: %v", err)
	}
}

// events are the records of a type, oldest first.
func (w *world) events(typ access.EventType) (out []access.Event) {
	w.t.Helper()
	w.until(func() bool { n, _, err := w.store.Unsequenced(w.t.Context()); return err == nil && n == 0 })
	recs, err := w.store.Records(w.t.Context(), store.LogQuery{Type: typ, Limit: 100})
	check(w.t, err)
	for _, r := range recs {
		rec, err := audit.Decode(r.Body)
		check(w.t, err)
		out = append(out, rec.Event)
	}
	return out
}

// TestCertificateIsNarrow: what the role says of sessions stands in the certificate.
func TestCertificateIsNarrow(t *testing.T) {
	_, _, mira := withHost(t)
	r := active(t, mira, "web1", "narrow", "2h")
	line, _ := sshPublic(t)
	got, err := mira.Certify(t.Context(), r.ID, api.CertificateAsk{PublicKey: line})
	check(t, err)
	c := certOf(t, got.Certificate)
	if c.CriticalOptions["source-address"] != "10.0.0.0/8,::1/128" || c.CriticalOptions["force-command"] != "/usr/bin/uptime -p" || len(c.CriticalOptions) != 2 {
		t.Errorf("critical options %v", c.CriticalOptions)
	}
	if len(c.Extensions) != 3 {
		t.Errorf("extensions %v", c.Extensions)
	}
	for _, name := range []string{"permit-pty", "permit-port-forwarding", "permit-agent-forwarding"} {
		if _, ok := c.Extensions[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
	if life := time.Until(time.Unix(int64(c.ValidBefore), 0)); life > time.Hour || life < 59*time.Minute {
		t.Errorf("of a grant of two hours the certificate is good for %s", life)
	}
}

// TestCertificateRefused: only the holder, on the device that asked, for a host, while
// the grant is active, and only a key that may be certified.
func TestCertificateRefused(t *testing.T) {
	w, admin, mira := withHost(t)
	ctx := t.Context()
	r := active(t, mira, "web1", "deploy", "20m")
	line, _ := sshPublic(t)
	good, err := mira.Certify(ctx, r.ID, api.CertificateAsk{PublicKey: line})
	check(t, err)
	before := len(w.events(access.CertificateIssued))

	var again api.UserAdded
	check(t, admin.Do(ctx, http.MethodPost, "/admin/users/mira/enroll", nil, &again))
	phone := w.enroll(again.EnrollToken.Reveal(), "")
	reader := active(t, mira, "db", "reader", "20m")
	noor := w.as(admin, api.UserAdd{Name: "noor", Groups: []string{"platform"}})
	for name, c := range map[string]struct {
		as   *api.Client
		id   string
		key  string
		want string
	}{
		"another member":       {noor, r.ID, line, "not-found"},
		"an administrator":     {admin, r.ID, line, "not-yours"},
		"another device":       {phone, r.ID, line, "other-device"},
		"a database":           {mira, reader.ID, line, "no-certificate"},
		"no key":               {mira, r.ID, "", "bad-public-key"},
		"a certificate":        {mira, r.ID, good.Certificate, "bad-public-key"},
		"options before a key": {mira, r.ID, `command="id" ` + line, "bad-public-key"},
		"two keys":             {mira, r.ID, line + "\n" + line, "bad-public-key"},
		"DSA":                  {mira, r.ID, "ssh-dss " + base64.StdEncoding.EncodeToString(ssh.Marshal(struct{ T string }{"ssh-dss"})), "bad-public-key"},
		"nothing of the kind":  {mira, "req_01AAAAAAAAAAAAAAAAAAAAAAAA", line, "not-found"},
	} {
		if _, err := c.as.Certify(ctx, c.id, api.CertificateAsk{PublicKey: c.key}); codeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if n := len(w.events(access.CertificateIssued)); n != before {
		t.Errorf("the log has %d certificates that were refused", n-before)
	}
}

// TestCertificatesAreFew: who asks in a loop is told to wait.
func TestCertificatesAreFew(t *testing.T) {
	_, _, mira := withHost(t, func(c *Config) { c.Limits = Limits{WritesPerSecond: 0.4, Burst: 6} })
	r := active(t, mira, "web1", "deploy", "20m")
	line, _ := sshPublic(t)
	var err error
	for range 7 {
		if _, err = mira.Certify(t.Context(), r.ID, api.CertificateAsk{PublicKey: line}); err != nil {
			break
		}
	}
	if !errors.Is(err, api.TooMany) {
		t.Errorf("seven at once: %v", err)
	}
}

// TestHostCertificate: a host's is for its names, of the other authority, and can be
// taken back.
func TestHostCertificate(t *testing.T) {
	w, _, _ := withHost(t)
	ctx := t.Context()
	line, key := sshPublic(t)
	got, err := w.server.CertifyHost(ctx, access.System, "web1", []string{"web1.example.com", "127.0.0.1", "web1.example.com"}, line)
	check(t, err)
	c := certOf(t, got.Certificate)
	if c.CertType != ssh.HostCert || !slices.Equal(c.ValidPrincipals, []string{"127.0.0.1", "web1.example.com"}) || !bytes.Equal(c.Key.Marshal(), key.Marshal()) || len(c.Extensions)+len(c.CriticalOptions) > 0 {
		t.Errorf("%+v", c)
	}
	if ssh.FingerprintSHA256(c.SignatureKey) != w.server.ssh.Hosts.Keys()[0].Fingerprint() {
		t.Error("not signed by the hosts' authority")
	}
	for _, names := range [][]string{nil, {"*"}, {"web1,web2"}, {"web 1"}, {""}} {
		if _, err := w.server.CertifyHost(ctx, access.System, "web1", names, line); err == nil {
			t.Errorf("certified for %q", names)
		}
	}
	if n := w.krlOf().Count(); n != 0 {
		t.Errorf("%d are revoked", n)
	}
	check(t, w.server.broker.RevokeHostCertificates(ctx, access.System, "web1", "the host left"))
	if l := w.krlOf(); !l.Revokes(c.SignatureKey.Marshal(), c.Key.Marshal(), c.Serial, c.KeyId) {
		t.Errorf("not revoked: %+v", l)
	}
	if evs := w.events(access.CertificateRevoked); len(evs) != 1 || evs[0].Facts["why"] != "the host left" {
		t.Errorf("the log: %+v", evs)
	}
}

// TestRevokedIsCheap: strangers who ask often do not reach the store each time.
func TestRevokedIsCheap(t *testing.T) {
	w, _, mira := withHost(t)
	r := active(t, mira, "web1", "deploy", "20m")
	line, _ := sshPublic(t)
	_, err := mira.Certify(t.Context(), r.ID, api.CertificateAsk{PublicKey: line})
	check(t, err)
	now := time.Now()
	w.server.now = func() time.Time { return now }
	w.krlOf()
	first := w.server.krl.last.Load()
	fetch := func() *revokedList {
		res, err := http.Get(w.http.URL + "/v1/ssh/krl")
		check(t, err)
		_ = res.Body.Close()
		return w.server.krl.last.Load()
	}
	if fetch() != first {
		t.Error("made anew within a second")
	}
	now = now.Add(revokedFor)
	if fetch() == first {
		t.Error("not made anew after a second")
	}
}

// TestCertificateMeanwhile: what ends after it was looked at, and before the certificate
// is written down, has none.
func TestCertificateMeanwhile(t *testing.T) {
	w, _, mira := withHost(t)
	ctx := t.Context()
	r := active(t, mira, "web1", "deploy", "20m")
	c := broker.Caller{Source: access.Source{Device: access.DeviceID(mira.Device.ID())}}
	check(t, w.store.View(ctx, func(tx *store.Tx) (err error) { c.Principal, err = tx.Principal("user:mira"); return err }))
	c.Actor = access.Actor{Principal: c.Principal.ID, Person: c.Principal.Person}
	prepared := 0
	_, err := w.server.broker.Certify(ctx, c, r.ID, broker.CertificateAsk{Fingerprint: "SHA256:f", Authority: "SHA256:a", Prepare: func(broker.CertificateOrder) error {
		if prepared++; prepared == 1 {
			_, err := mira.End(ctx, r.ID)
			return err
		}
		return nil
	}})
	var refused *access.Error
	if !errors.As(err, &refused) || refused.Code != "not-active" {
		t.Errorf("got %v", err)
	}
	if evs := w.events(access.CertificateIssued); prepared != 1 || len(evs) != 0 {
		t.Errorf("prepared %d times, %d in the log", prepared, len(evs))
	}
}
