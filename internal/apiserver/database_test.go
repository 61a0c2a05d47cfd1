package apiserver

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/connector"
	"stint/internal/connector/postgres"
	"stint/internal/envelope"
)

// databases are simulated targets of the type that gateways lead to.
type databases struct{ target }

func (*databases) Type() string { return postgres.Type }
func (*databases) Schema() access.Schema {
	s := postgres.New().Schema()
	return access.Schema{Type: s.Type, Mechanisms: []access.Mechanism{access.Account}, Connection: s.Connection, Role: s.Role}
}
func (*databases) Capabilities() connector.Capabilities {
	return connector.Capabilities{Mechanisms: []access.Mechanism{access.Account}, Sweepable: true, SessionKill: true}
}

const shopDocuments = `
kind: Resource
name: shop
type: postgres
criticality: low
owners: [user:omar]
connection: {address: "db.example:5432", database: shop, credential: shop-login, ca: "PEM"}
---
kind: Resource
name: loose
type: postgres
criticality: low
owners: [user:omar]
connection: {address: "127.0.0.1:5432", database: loose, credential: loose-login, sslmode: disable}
---
kind: Role
name: recorded
resources: {type: postgres}
mechanism: account
postgres: {memberOf: [shop_read], through: gateway, record: strict, onPartition: keep, maxRows: 1000, maxBytes: 5000, readOnly: "true", denyStatements: [ddl, write], denyTables: [hr.salaries], denyFunctions: [evil], sourceAddress: [10.0.0.0/8]}
maxDuration: 4h
---
kind: Role
name: lent
resources: {type: postgres}
mechanism: account
postgres: {memberOf: [shop_read]}
maxDuration: 4h
---
kind: Policy
name: shops
subjects: [group:platform]
roles: [recorded, lent]
`

// knocker of databases: a key that opens sessions, and the certificate that shows it.
type databaseKnocker struct {
	private *ecdsa.PrivateKey
	key     []byte
	got     api.DatabaseKey
}

func databaseKeyOf(t *testing.T) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	check(t, err)
	return private, der
}

func (k databaseKnocker) cert(t *testing.T, serial string) []byte {
	t.Helper()
	n, _ := new(big.Int).SetString(serial, 10)
	c := &x509.Certificate{SerialNumber: n, Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.private.Public(), k.private)
	check(t, err)
	return der
}

func (k databaseKnocker) knock(t *testing.T) api.SessionKnock {
	t.Helper()
	return api.SessionKnock{Protocol: "postgres", Key: k.key, Certificate: k.cert(t, k.got.Serial), Resource: "shop", Source: "10.0.0.7:40122"}
}

func withDatabase(t *testing.T) (w *world, admin, mira, edge *api.Client) {
	t.Helper()
	w, admin = populated(t)
	for name, address := range map[string]string{"shop-login": "db.example:5432", "loose-login": "127.0.0.1:5432"} {
		_, err := admin.SetCredential(t.Context(), name, api.CredentialSet{Type: "postgres", Address: address, Username: "stint", Password: "hunter2"})
		check(t, err)
	}
	_, err := admin.Apply(t.Context(), api.Apply{Files: []api.File{{Name: "shop.yaml", Text: shopDocuments}}})
	check(t, err)
	return w, admin, w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}}), enrolledGateway(t, w, admin, "edge", "postgres", "ssh")
}

// doorOf is a certificate as a gateway makes one, for a host.
func doorOf(t *testing.T, host string) string {
	t.Helper()
	private, _ := databaseKeyOf(t)
	c := &x509.Certificate{SerialNumber: big.NewInt(7), DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	check(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestDatabaseDoors: a gateway says where clients of databases connect, for the host that an
// administrator said, and nobody has a key registered before one has.
func TestDatabaseDoors(t *testing.T) {
	_, admin, mira, edge := withDatabase(t)
	ctx := t.Context()
	r := active(t, mira, "shop", "recorded", "20m")
	_, key := databaseKeyOf(t)
	if _, err := mira.RegisterKey(ctx, r.ID, api.DoorKeyAsk{PublicKey: key}); codeOf(err) != "no-gateway" {
		t.Errorf("there is no door: %v", err)
	}
	for name, text := range map[string]string{"for another host": doorOf(t, "west.example"), "none": "x", "two": doorOf(t, "edge.example") + doorOf(t, "edge.example")} {
		if _, err := edge.TellDoors(ctx, api.GatewayDoors{Doors: []api.GatewayDoor{{Protocol: "postgres", Port: 6432, Certificate: text}}}); codeOf(err) != "bad-door" {
			t.Errorf("%s: %v", name, err)
		}
	}
	door := api.GatewayDoor{Protocol: "postgres", Port: 6432, Certificate: doorOf(t, "edge.example")}
	if _, err := edge.TellDoors(ctx, api.GatewayDoors{Doors: []api.GatewayDoor{door, door}}); codeOf(err) != "bad-door" {
		t.Errorf("twice: %v", err)
	}
	if _, err := mira.TellDoors(ctx, api.GatewayDoors{Doors: []api.GatewayDoor{door}}); err == nil {
		t.Error("a person tells of doors")
	}
	for range 2 { // the second time nothing changes
		_, err := edge.TellDoors(ctx, api.GatewayDoors{Doors: []api.GatewayDoor{door}})
		check(t, err)
	}
	got, err := mira.RegisterKey(ctx, r.ID, api.DoorKeyAsk{PublicKey: key})
	check(t, err)
	if got.Gateway != "edge.example:6432" || got.Certificate != door.Certificate || !slices.Equal(got.Logins, []api.DatabaseLogin{{Resource: "shop", Database: "shop"}}) {
		t.Errorf("%+v", got)
	}
	_, err = edge.TellDoors(ctx, api.GatewayDoors{Doors: []api.GatewayDoor{}})
	check(t, err)
	if _, err := mira.RegisterKey(ctx, r.ID, api.DoorKeyAsk{PublicKey: key}); codeOf(err) != "no-gateway" {
		t.Errorf("the door is closed: %v", err)
	}
	_, err = admin.RevokeGateway(ctx, "edge")
	check(t, err)
	if _, err := edge.TellDoors(ctx, api.GatewayDoors{Doors: []api.GatewayDoor{door}}); err == nil {
		t.Error("one that was revoked tells of doors")
	}
}

// loginOf asks for a session's login as a gateway does, and opens it.
func loginOf(ctx context.Context, t *testing.T, w *world, edge *api.Client, name, session string) (string, error) {
	t.Helper()
	key, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	check(t, err)
	nonce := envelope.NewID()
	said, err := edge.SessionLogin(ctx, api.SessionLoginAsk{Session: session, Key: key.PublicKey().Bytes(), Nonce: nonce})
	if err != nil {
		return "", err
	}
	word, err := envelope.OpenWord(envelope.Sealed(said.Word), "test", name, nonce, envelope.AboutLogin, w.orders.Public())
	check(t, err)
	var got api.SealedLogin
	check(t, json.Unmarshal(word.Content, &got))
	other, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	check(t, err)
	if _, err := hpke.Open(other, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(api.SessionLoginInfo(session)), got.Sealed); err == nil {
		t.Error("another key opens it")
	}
	plain, err := hpke.Open(key, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(api.SessionLoginInfo(session)), got.Sealed)
	check(t, err)
	return string(plain), nil
}

// TestDatabaseSessions: a session with a database is opened by a key that its holder had
// registered; the password is for the gateway that has it open, once, and in the log first.
func TestDatabaseSessions(t *testing.T) {
	w, admin, mira, edge := withDatabase(t)
	ctx := t.Context()
	west := enrolledGateway(t, w, admin, "west", "postgres")
	_, err := edge.TellDoors(ctx, api.GatewayDoors{Doors: []api.GatewayDoor{{Protocol: "postgres", Port: 6432, Certificate: doorOf(t, "edge.example")}}})
	check(t, err)
	r := active(t, mira, "shop", "recorded", "20m")
	if _, err := mira.Credential(ctx, r.ID); codeOf(err) != "through-gateway" {
		t.Errorf("the password is shown: %v", err)
	}

	k := databaseKnocker{}
	k.private, k.key = databaseKeyOf(t)
	other := w.as(admin, api.UserAdd{Name: "nils", Groups: []string{"platform"}})
	if _, err := other.RegisterKey(ctx, r.ID, api.DoorKeyAsk{PublicKey: k.key}); err == nil {
		t.Error("somebody else registers a key")
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	rsaKey, err := x509.MarshalPKIXPublicKey(weak.Public())
	check(t, err)
	for name, bad := range map[string][]byte{"of another kind": rsaKey, "none": []byte("key"), "with more behind it": append(slices.Clone(k.key), 0)} {
		if _, err := mira.RegisterKey(ctx, r.ID, api.DoorKeyAsk{PublicKey: bad}); codeOf(err) != "bad-public-key" {
			t.Errorf("a key %s: %v", name, err)
		}
	}
	lent := active(t, mira, "shop", "lent", "20m")
	if _, err := mira.RegisterKey(ctx, lent.ID, api.DoorKeyAsk{PublicKey: k.key}); codeOf(err) != "not-through-gateway" {
		t.Errorf("a role that lends its password: %v", err)
	}
	k.got, err = mira.RegisterKey(ctx, r.ID, api.DoorKeyAsk{PublicKey: k.key})
	check(t, err)
	if left := time.Until(k.got.ValidBefore.Time); left > 20*time.Minute || left < time.Minute {
		t.Errorf("the key is good for %s", left)
	}

	p, err := edge.OpenSession(ctx, k.knock(t))
	check(t, err)
	if p.Grant != r.Grant.ID || p.Person != "mira" || !p.Strict || !p.Keep || p.Limits.Rows != 1000 || p.Limits.Bytes != 5000 || !p.Limits.ReadOnly ||
		strings.Join(p.Limits.Deny, "+") != "ddl+write" || strings.Join(p.Limits.DenyTables, "+") != "hr.salaries" || strings.Join(p.Limits.DenyFunctions, "+") != "evil" {
		t.Errorf("%+v", p)
	}
	if x := p.Target; x.Address != "db.example:5432" || x.Name != "db.example" || x.Database != "shop" || !strings.HasPrefix(x.Account, "stint_") || !slices.Equal(x.HostAuthorities, []string{"PEM"}) {
		t.Errorf("the target %+v", x)
	}

	stranger := databaseKnocker{got: k.got}
	stranger.private, stranger.key = databaseKeyOf(t)
	for name, c := range map[string]struct {
		bend func(*api.SessionKnock)
		code string
	}{
		"no certificate":                     {func(x *api.SessionKnock) { x.Certificate = nil }, "bad-certificate"},
		"another key than the certificate's": {func(x *api.SessionKnock) { x.Key = stranger.key }, "bad-knock"},
		"a serial that is somebody else's":   {func(x *api.SessionKnock) { x.Key, x.Certificate = stranger.key, stranger.cert(t, k.got.Serial) }, "no-access"},
		"a serial that nobody has":           {func(x *api.SessionKnock) { x.Certificate = k.cert(t, "4711") }, "no-access"},
		"a serial that cannot be":            {func(x *api.SessionKnock) { x.Certificate = k.cert(t, "92233720368547758080") }, "bad-certificate"},
		"another resource":                   {func(x *api.SessionKnock) { x.Resource = "loose" }, "other-resource"},
		"from elsewhere":                     {func(x *api.SessionKnock) { x.Source = "192.0.2.7:1" }, "wrong-source"},
		"as if it were SSH":                  {func(x *api.SessionKnock) { x.Protocol = "ssh" }, "bad-certificate"},
	} {
		x := k.knock(t)
		c.bend(&x)
		if _, err := edge.OpenSession(ctx, x); codeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}

	if _, err := loginOf(ctx, t, w, west, "west", p.Session); codeOf(err) != "not-found" {
		t.Errorf("another gateway gets the password: %v", err)
	}
	login, err := loginOf(ctx, t, w, edge, "edge", p.Session)
	check(t, err)
	if !strings.Contains(login, `"password":"s3cret"`) {
		t.Errorf("the login is %q", login)
	}
	if _, err := loginOf(ctx, t, w, edge, "edge", p.Session); codeOf(err) != "lent-already" {
		t.Errorf("a second time, for another key: %v", err)
	}
	if n := eventsOf(t, admin, "session.doubted", 1); n != 1 {
		t.Errorf("a second key is in the log %d times", n)
	}
	if _, err := edge.SessionLogin(ctx, api.SessionLoginAsk{Session: p.Session, Key: []byte("short"), Nonce: envelope.NewID()}); codeOf(err) != "bad-key" {
		t.Errorf("for no key: %v", err)
	}
	if _, err := edge.SignSession(ctx, api.SessionSign{Session: p.Session, Key: k.key}); err == nil {
		t.Error("a certificate opens a database")
	}
	if text := w.log.String(); strings.Contains(text, "s3cret") {
		t.Error("the password is in the log")
	}

	loose := active(t, mira, "loose", "recorded", "20m")
	l := k
	l.got, err = mira.RegisterKey(ctx, loose.ID, api.DoorKeyAsk{PublicKey: k.key})
	check(t, err)
	x := l.knock(t)
	x.Resource = "loose"
	if _, err := edge.OpenSession(ctx, x); codeOf(err) != "no-tls" {
		t.Errorf("a server without TLS: %v", err)
	}

	_, err = mira.End(ctx, r.ID)
	check(t, err)
	if _, err := edge.OpenSession(ctx, k.knock(t)); err == nil {
		t.Error("a key opens what has ended")
	}
	if _, err := loginOf(ctx, t, w, edge, "edge", p.Session); err == nil {
		t.Error("a login for what has ended")
	}
}

// eventsOf counts the records of an event, once as many as are wanted have their numbers.
func eventsOf(t *testing.T, c *api.Client, of string, want int) (n int) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		page, err := c.AuditRecords(t.Context(), api.AuditList{Type: of})
		check(t, err)
		if n = len(page.Items); n >= want || time.Since(began) > 20*time.Second {
			return n
		}
	}
}

// TestCarries: a gateway carries what an administrator said, and nothing else; a newer door
// draws nobody away from an older one, and another certificate is an alarm.
func TestCarries(t *testing.T) {
	w, admin, mira, edge := withDatabase(t)
	ctx := t.Context()
	doorOn := func(host string) api.GatewayDoors {
		return api.GatewayDoors{Doors: []api.GatewayDoor{{Protocol: "postgres", Port: 6432, Certificate: doorOf(t, host)}}}
	}
	if _, err := admin.EnrollGateway(ctx, "east", api.GatewayInvite{Address: "east.example:2022", Carries: []string{"ssh", "telnet"}}); codeOf(err) != "bad-protocol" {
		t.Errorf("a protocol that there is not: %v", err)
	}
	west := enrolledGateway(t, w, admin, "west")
	if _, err := west.TellDoors(ctx, doorOn("west.example")); codeOf(err) != "not-carried" {
		t.Errorf("one for SSH alone tells of a door: %v", err)
	}
	_, err := edge.TellDoors(ctx, doorOn("edge.example"))
	check(t, err)
	r := active(t, mira, "shop", "recorded", "20m")
	k := databaseKnocker{}
	k.private, k.key = databaseKeyOf(t)
	k.got, err = mira.RegisterKey(ctx, r.ID, api.DoorKeyAsk{PublicKey: k.key})
	check(t, err)
	if _, err := west.OpenSession(ctx, k.knock(t)); codeOf(err) != "not-carried" {
		t.Errorf("one for SSH alone opens a session with a database: %v", err)
	}
	p, err := edge.OpenSession(ctx, k.knock(t))
	check(t, err)

	carry := func(gateway string, protocols ...string) {
		t.Helper()
		g, err := admin.CarryByGateway(ctx, gateway, api.GatewayCarries{Carries: protocols})
		check(t, err)
		if !slices.Equal(g.Carries, protocols) {
			t.Errorf("%s carries %q", gateway, g.Carries)
		}
	}
	for name, ask := range map[string]func() error{
		"nothing": func() error { _, err := admin.CarryByGateway(ctx, "edge", api.GatewayCarries{}); return err },
		"by a person": func() error {
			_, err := mira.CarryByGateway(ctx, "west", api.GatewayCarries{Carries: []string{"postgres"}})
			return err
		},
		"by a gateway": func() error {
			_, err := west.CarryByGateway(ctx, "west", api.GatewayCarries{Carries: []string{"postgres"}})
			return err
		},
		"a stranger": func() error {
			_, err := admin.CarryByGateway(ctx, "none", api.GatewayCarries{Carries: []string{"postgres"}})
			return err
		},
	} {
		if err := ask(); err == nil {
			t.Errorf("%s: it is said", name)
		}
	}
	carry("edge", "ssh")
	if _, err := loginOf(ctx, t, w, edge, "edge", p.Session); codeOf(err) != "not-carried" {
		t.Errorf("one that may not any more gets a login: %v", err)
	}
	if _, err := mira.RegisterKey(ctx, r.ID, api.DoorKeyAsk{PublicKey: k.key}); codeOf(err) != "no-gateway" {
		t.Errorf("clients are sent to one that may not any more: %v", err)
	}
	carry("edge", "postgres")
	carry("edge", "postgres") // changes nothing
	carry("west", "postgres", "ssh")
	if n := eventsOf(t, admin, "gateway.carries", 3); n != 3 {
		t.Errorf("what gateways carry is in the log %d times", n)
	}
	_, err = loginOf(ctx, t, w, edge, "edge", p.Session)
	check(t, err)

	// The newer one is heard of last, and nobody goes there.
	_, err = west.TellDoors(ctx, doorOn("west.example"))
	check(t, err)
	goesTo := func(want string) {
		t.Helper()
		got, err := mira.RegisterKey(ctx, r.ID, api.DoorKeyAsk{PublicKey: k.key})
		check(t, err)
		if got.Gateway != want {
			t.Errorf("clients are sent to %s, not to %s", got.Gateway, want)
		}
	}
	for _, g := range []*api.Client{edge, west} {
		_, err := g.RenewSessions(ctx, api.SessionReport{Live: []string{}, Ended: []api.SessionEnded{}, Alarms: []api.SessionAlarm{}})
		check(t, err)
	}
	goesTo("edge.example:6432")

	// Another certificate is an alarm, also where the door was closed in between.
	if n := eventsOf(t, admin, "gateway.rekeyed", 0); n != 0 {
		t.Errorf("%d alarms about nothing", n)
	}
	_, err = edge.TellDoors(ctx, api.GatewayDoors{Doors: []api.GatewayDoor{}})
	check(t, err)
	goesTo("west.example:6432")
	_, err = edge.TellDoors(ctx, doorOn("edge.example"))
	check(t, err)
	if n := eventsOf(t, admin, "gateway.rekeyed", 1); n != 1 {
		t.Errorf("another certificate is in the log %d times", n)
	}
	goesTo("west.example:6432") // whose door is the older one now
	_, err = admin.RevokeGateway(ctx, "west")
	check(t, err)
	goesTo("edge.example:6432")
}
