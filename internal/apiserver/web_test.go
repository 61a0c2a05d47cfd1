package apiserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/connector"
	"stint/internal/connector/carried"
)

// applications are resources on which nothing is made.
type applications struct{ target }

func (*applications) Type() string          { return carried.WebType }
func (*applications) Schema() access.Schema { return carried.HTTP() }
func (*applications) Capabilities() connector.Capabilities {
	return connector.Capabilities{Mechanisms: carried.HTTP().Mechanisms, SessionKill: true}
}

const wikiDocuments = `
kind: Resource
name: wiki
type: http
criticality: low
owners: [user:omar]
connection: {address: "wiki.example:443", ca: "PEM", serverName: wiki.internal, host: wiki.inside, credential: wiki-login, login: basic}
---
kind: Resource
name: open
type: http
criticality: low
owners: [user:omar]
connection: {address: "127.0.0.1:3000", tls: "off"}
---
kind: Role
name: pages
resources: {type: http}
mechanism: token
http: {allow: ["GET POST /pages/**", "WEBSOCKET /live"], deny: ["* /pages/secret/**"], alarm: ["POST /pages/**"], drop: [X-Wiki-User], assert: "true", bodies: 4096, maxBody: 1000000, maxBytes: 5000, record: strict, onPartition: keep, sourceAddress: [10.0.0.0/8]}
maxDuration: 4h
---
kind: Policy
name: wikis
subjects: [group:platform]
roles: [pages]
`

const verifier = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"

func challengeFor(v string) string {
	sum := sha256.Sum256([]byte(v))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func withWiki(t *testing.T) (w *world, admin, mira, edge *api.Client) {
	t.Helper()
	w, admin = populated(t)
	ctx := t.Context()
	_, err := admin.SetCredential(ctx, "wiki-login", api.CredentialSet{Type: "http", Address: "wiki.example:443", Username: "bot", Password: "canary-5f"})
	check(t, err)
	_, err = admin.Apply(ctx, api.Apply{Files: []api.File{{Name: "wiki.yaml", Text: wikiDocuments}}})
	check(t, err)
	edge = enrolledGateway(t, w, admin, "edge", "http", "ssh")
	return w, admin, w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}}), edge
}

func webDoor(t *testing.T) api.GatewayDoors {
	return api.GatewayDoors{Doors: []api.GatewayDoor{{Protocol: "http", Port: 8443, Certificate: doorOf(t, "*.apps.example"), Domain: "apps.example"}}}
}

// TestWebDoors: where browsers are sent is what a gateway said that may carry the web, with a
// certificate for its hosts.
func TestWebDoors(t *testing.T) {
	w, admin, mira, edge := withWiki(t)
	ctx := t.Context()
	r := active(t, mira, "wiki", "pages", "20m")
	if _, err := mira.Web(ctx, r.ID); codeOf(err) != "no-gateway" {
		t.Errorf("there is no door: %v", err)
	}
	bad := webDoor(t).Doors[0]
	for name, bend := range map[string]func(*api.GatewayDoor){
		"no domain":                  func(d *api.GatewayDoor) { d.Domain = "" },
		"a certificate for another":  func(d *api.GatewayDoor) { d.Certificate = doorOf(t, "*.other.example") },
		"a certificate for one host": func(d *api.GatewayDoor) { d.Certificate = doorOf(t, "edge.example") },
		"a domain of another kind":   func(d *api.GatewayDoor) { d.Protocol, d.Certificate = "postgres", doorOf(t, "edge.example") },
		"dots":                       func(d *api.GatewayDoor) { d.Domain = "apps..example" },
	} {
		d := bad
		bend(&d)
		if _, err := edge.TellDoors(ctx, api.GatewayDoors{Doors: []api.GatewayDoor{d}}); codeOf(err) != "bad-door" && codeOf(err) != "not-carried" {
			t.Errorf("%s: %v", name, err)
		}
	}
	west := enrolledGateway(t, w, admin, "west", "ssh")
	if _, err := west.TellDoors(ctx, webDoor(t)); codeOf(err) != "not-carried" {
		t.Errorf("one that may not: %v", err)
	}
	_, err := edge.TellDoors(ctx, webDoor(t))
	check(t, err)
	if told := w.records(admin, api.AuditList{List: api.List{Limit: 1000}, Type: "gateway.doors"}, 1); !bytes.Contains(told[0].Record, []byte(" apps.example")) {
		t.Errorf("the log does not say where browsers are sent: %s", told[0].Record)
	}
	got, err := mira.Web(ctx, r.ID)
	check(t, err)
	if got.Gateway != "edge.example:8443" || !slices.Equal(got.Addresses, []api.WebAddress{{Resource: "wiki", URL: "https://wiki.apps.example:8443/"}}) {
		t.Errorf("%+v", got)
	}
	nils := w.as(admin, api.UserAdd{Name: "nils", Groups: []string{"platform"}})
	if _, err := nils.Web(ctx, r.ID); err == nil {
		t.Error("somebody else is told")
	}
}

// ticketOf goes to the sign-in as a browser does, and comes back with a ticket; "" where it does not.
func ticketOf(t *testing.T, b *browser, resource, back, challenge string) (ticket, text string) {
	t.Helper()
	p := b.get("/enter/" + resource + "?" + url.Values{"back": {back}, "state": {"abc"}, "challenge": {challenge}}.Encode())
	location := p.header.Get("Location")
	to, err := url.Parse(location)
	check(t, err)
	if to.Host == "" {
		return "", p.text
	}
	if got := to.Scheme + "://" + to.Host + to.Path; got != back || to.Query().Get("state") != "abc" {
		t.Errorf("the browser is sent to %s", location)
	}
	return to.Query().Get("ticket"), p.text
}

// TestWebTickets: a browser in which somebody is signed in gets a ticket for their own grant, to
// an address of a gateway alone; it opens one session, for who has the verifier.
func TestWebTickets(t *testing.T) {
	w, admin, mira, edge := withWiki(t)
	ctx := t.Context()
	_, err := edge.TellDoors(ctx, webDoor(t))
	check(t, err)
	back := "https://wiki.apps.example:8443/.stint/enter"
	b := w.browser()
	if ticket, _ := ticketOf(t, b, "wiki", back, challengeFor(verifier)); ticket != "" {
		t.Error("a browser that nobody is signed in in gets a ticket")
	}
	b = w.guest("mira").browser
	if ticket, text := ticketOf(t, b, "wiki", back, challengeFor(verifier)); ticket != "" || !strings.Contains(text, "no access to wiki") {
		t.Errorf("without a grant: %s", text)
	}
	r := active(t, mira, "wiki", "pages", "20m")
	for name, at := range map[string]string{
		"somewhere else": "https://evil.example/.stint/enter", "another port": "https://wiki.apps.example/.stint/enter", "another resource": "https://open.apps.example:8443/.stint/enter",
		"another path": "https://wiki.apps.example:8443/other", "without TLS": "http://wiki.apps.example:8443/.stint/enter", "with more": back + "?x=1", "nowhere": "",
	} {
		if ticket, _ := ticketOf(t, b, "wiki", at, challengeFor(verifier)); ticket != "" {
			t.Errorf("%s: the browser is sent there", name)
		}
	}
	if ticket, _ := ticketOf(t, b, "wiki", back, "short"); ticket != "" {
		t.Error("without a challenge there is a ticket")
	}
	ticket, _ := ticketOf(t, b, "wiki", back, challengeFor(verifier))
	issued := w.records(admin, api.AuditList{List: api.List{Limit: 1000}, Type: "certificate.issued"}, 1)
	last := issued[len(issued)-1].Record
	if bytes.Contains(last, []byte(ticket)) || !bytes.Contains(last, []byte("door=apps.example:8443")) || !bytes.Contains(last, []byte("resource=wiki")) {
		t.Errorf("in the log is %s", last)
	}
	var fact struct {
		Facts struct {
			Serial string `json:"serial"`
		} `json:"facts"`
	}
	check(t, json.Unmarshal(last, &fact))
	serial := fact.Facts.Serial
	west := enrolledGateway(t, w, admin, "west", "http")
	_, err = west.TellDoors(ctx, api.GatewayDoors{Doors: []api.GatewayDoor{{Protocol: "http", Port: 8443, Certificate: doorOf(t, "*.west.example"), Domain: "west.example"}}})
	check(t, err)
	knock := api.SessionKnock{Protocol: "http", Ticket: ticket, Verifier: verifier, Resource: "wiki", Source: "10.0.0.7:40122"}
	for name, c := range map[string]struct {
		bend func(*api.SessionKnock)
		code string
	}{
		"another verifier": {func(k *api.SessionKnock) { k.Verifier = strings.Replace(verifier, "v", "w", 1) }, "no-access"},
		"no verifier":      {func(k *api.SessionKnock) { k.Verifier = "" }, "bad-knock"},
		"no ticket":        {func(k *api.SessionKnock) { k.Ticket = "x" }, "bad-knock"},
		"its number":       {func(k *api.SessionKnock) { k.Ticket = serial }, "bad-knock"},
		"nobody's":         {func(k *api.SessionKnock) { k.Ticket = verifier[:42] + "w" }, "no-access"},
		"another resource": {func(k *api.SessionKnock) { k.Resource = "open" }, "no-access"},
		"from elsewhere":   {func(k *api.SessionKnock) { k.Source = "192.0.2.7:1" }, "wrong-source"},
		"with a key, too":  {func(k *api.SessionKnock) { k.Key = []byte("key") }, "bad-knock"},
	} {
		k := knock
		c.bend(&k)
		if _, err := edge.OpenSession(ctx, k); codeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := west.OpenSession(ctx, knock); codeOf(err) != "no-access" {
		t.Errorf("at another gateway's door: %v", err)
	}
	p, err := edge.OpenSession(ctx, knock)
	check(t, err)
	checkWebPermit(t, p, r)
	if _, err := edge.OpenSession(ctx, knock); codeOf(err) != "no-access" {
		t.Errorf("a ticket is used twice: %v", err)
	}
	opened := w.records(admin, api.AuditList{List: api.List{Limit: 1000}, Type: "session.opened"}, 1)
	var actor struct {
		Actor struct {
			Device string `json:"device"`
			Person string `json:"person"`
		} `json:"actor"`
	}
	check(t, json.Unmarshal(opened[0].Record, &actor))
	if actor.Actor.Device != "" || actor.Actor.Person != "mira" {
		t.Errorf("the session is in the log as of %+v", actor)
	}
	if n := eventsOf(t, admin, "certificate.revoked", 1); n != 1 {
		t.Errorf("that it was used is in the log %d times", n)
	}
	login, err := loginOf(ctx, t, w, edge, "edge", p.Session)
	check(t, err)
	if login != `{"kind":"basic","user":"bot","secret":"canary-5f"}` {
		t.Errorf("the login is %q", login)
	}
	if text := w.log.String(); strings.Contains(text, "canary-5f") {
		t.Error("the login is in the log")
	}

	// Of a ticket that waits, nothing is left when the grant ends.
	late, _ := ticketOf(t, b, "wiki", back, challengeFor(verifier))
	_, err = mira.End(ctx, r.ID)
	check(t, err)
	knock.Ticket = late
	if _, err := edge.OpenSession(ctx, knock); err == nil {
		t.Error("a ticket opens what has ended")
	}
	if ticket, _ := ticketOf(t, b, "wiki", back, challengeFor(verifier)); ticket != "" {
		t.Error("a ticket for what has ended")
	}
}

func checkWebPermit(t *testing.T, p api.SessionPermit, r api.Request) {
	t.Helper()
	if p.Grant != r.Grant.ID || p.Person != "mira" || !p.Strict || !p.Keep || p.Limits.Bytes != 5000 || p.Web == nil {
		t.Fatalf("%+v", p)
	}
	if x := p.Target; x.Address != "wiki.example:443" || x.Name != "wiki.internal" || x.Plain || !slices.Equal(x.HostAuthorities, []string{"PEM"}) {
		t.Errorf("the target %+v", x)
	}
	want := []api.WebRule{{Effect: "deny", Methods: []string{"*"}, Path: "/pages/secret/**"}, {Effect: "alarm", Methods: []string{"POST"}, Path: "/pages/**"},
		{Effect: "allow", Methods: []string{"GET", "POST"}, Path: "/pages/**"}, {Effect: "allow", Methods: []string{"WEBSOCKET"}, Path: "/live"}}
	if x := *p.Web; x.Host != "wiki.inside" || !x.Assert || x.Bodies != 4096 || x.MostBody != 1_000_000 || !slices.Equal(x.Drop, []string{"X-Wiki-User"}) ||
		!slices.EqualFunc(x.Rules, want, func(a, b api.WebRule) bool {
			return a.Effect == b.Effect && a.Path == b.Path && slices.Equal(a.Methods, b.Methods)
		}) {
		t.Errorf("%+v", x)
	}
}

// TestWebSessions: a program's key opens sessions with web applications and nothing else, and
// an application without a login has none.
func TestWebSessions(t *testing.T) {
	w, admin, mira, edge := withWiki(t)
	ctx := t.Context()
	_, err := edge.TellDoors(ctx, webDoor(t))
	check(t, err)
	r := active(t, mira, "wiki", "pages", "20m")
	k := databaseKnocker{}
	k.private, k.key = databaseKeyOf(t)
	nils := w.as(admin, api.UserAdd{Name: "nils", Groups: []string{"platform"}})
	if _, err := nils.RegisterWebKey(ctx, r.ID, api.DoorKeyAsk{PublicKey: k.key}); err == nil {
		t.Error("somebody else registers a key")
	}
	if _, err := mira.RegisterKey(ctx, r.ID, api.DoorKeyAsk{PublicKey: k.key}); codeOf(err) != "no-database" {
		t.Errorf("as if it were a database: %v", err)
	}
	got, err := mira.RegisterWebKey(ctx, r.ID, api.DoorKeyAsk{PublicKey: k.key})
	check(t, err)
	k.got.Serial = got.Serial
	knock := func(bend func(*api.SessionKnock)) (api.SessionPermit, error) {
		x := k.knock(t)
		x.Protocol, x.Resource = "http", "wiki"
		bend(&x)
		return edge.OpenSession(ctx, x)
	}
	p, err := knock(func(*api.SessionKnock) {})
	check(t, err)
	checkWebPermit(t, p, r)
	if _, err := knock(func(x *api.SessionKnock) { x.Protocol = "postgres" }); err == nil {
		t.Error("it opens a database")
	}
	if _, err := knock(func(x *api.SessionKnock) {
		x.Ticket, x.Verifier, x.Key, x.Certificate = got.Serial, verifier, nil, nil
	}); codeOf(err) != "bad-knock" {
		t.Errorf("its number is a ticket: %v", err)
	}
	if _, err := edge.SignSession(ctx, api.SessionSign{Session: p.Session, Key: k.key}); err == nil {
		t.Error("a certificate opens a web application")
	}

	plain := active(t, mira, "open", "pages", "20m")
	got, err = mira.RegisterWebKey(ctx, plain.ID, api.DoorKeyAsk{PublicKey: k.key})
	check(t, err)
	k.got.Serial = got.Serial
	p, err = knock(func(x *api.SessionKnock) { x.Resource = "open" })
	check(t, err)
	if !p.Target.Plain || len(p.Target.HostAuthorities) > 0 {
		t.Errorf("without TLS: %+v", p.Target)
	}
	if _, err := loginOf(context.WithoutCancel(ctx), t, w, edge, "edge", p.Session); codeOf(err) != "no-login" {
		t.Errorf("a login where there is none: %v", err)
	}
	if n := eventsOf(t, admin, "session.login", 0); n != 0 {
		t.Errorf("a login that was not lent is in the log %d times", n)
	}
}

// ports are resources of whatever else speaks TCP.
type ports struct{ target }

func (*ports) Type() string          { return carried.TCPType }
func (*ports) Schema() access.Schema { return carried.TCP() }
func (*ports) Capabilities() connector.Capabilities {
	return connector.Capabilities{Mechanisms: carried.TCP().Mechanisms, SessionKill: true}
}

const portDocuments = `
kind: Resource
name: queue
type: tcp
criticality: low
owners: [user:omar]
connection: {address: "queue.example:5672"}
---
kind: Role
name: worker
resources: {type: tcp}
mechanism: token
tcp: {maxBytes: 5000}
maxDuration: 4h
---
kind: Policy
name: queues
subjects: [group:platform]
roles: [worker]
`

// TestTCPSessions: a key opens sessions with a port, by a gateway that carries them, and no login is for it.
func TestTCPSessions(t *testing.T) {
	w, admin, mira, edge := withWiki(t)
	ctx := t.Context()
	_, err := admin.Apply(ctx, api.Apply{Files: []api.File{{Name: "queue.yaml", Text: portDocuments}}})
	check(t, err)
	door := api.GatewayDoors{Doors: []api.GatewayDoor{{Protocol: "tcp", Port: 8444, Certificate: doorOf(t, "*.apps.example"), Domain: "apps.example"}}}
	if _, err := edge.TellDoors(ctx, door); codeOf(err) != "not-carried" {
		t.Errorf("one that may not: %v", err)
	}
	_, err = admin.CarryByGateway(ctx, "edge", api.GatewayCarries{Carries: []string{"tcp"}})
	check(t, err)
	r := active(t, mira, "queue", "worker", "20m")
	k := databaseKnocker{}
	k.private, k.key = databaseKeyOf(t)
	if _, err := mira.RegisterTCPKey(ctx, r.ID, api.DoorKeyAsk{PublicKey: k.key}); codeOf(err) != "no-gateway" {
		t.Errorf("there is no door: %v", err)
	}
	_, err = edge.TellDoors(ctx, door)
	check(t, err)
	got, err := mira.RegisterTCPKey(ctx, r.ID, api.DoorKeyAsk{PublicKey: k.key})
	check(t, err)
	if got.Gateway != "edge.example:8444" || !slices.Equal(got.Addresses, []api.WebAddress{{Resource: "queue", URL: "tls://queue.apps.example:8444"}}) {
		t.Errorf("%+v", got)
	}
	k.got.Serial = got.Serial
	x := k.knock(t)
	x.Protocol, x.Resource = "tcp", "queue"
	p, err := edge.OpenSession(ctx, x)
	check(t, err)
	if p.Grant != r.Grant.ID || p.Target.Address != "queue.example:5672" || p.Limits.Bytes != 5000 || p.Web != nil {
		t.Errorf("%+v", p)
	}
	if _, err := loginOf(ctx, t, w, edge, "edge", p.Session); codeOf(err) != "no-login" {
		t.Errorf("a login for a port: %v", err)
	}
	x.Protocol = "http"
	if _, err := edge.OpenSession(ctx, x); err == nil {
		t.Error("as if it were the web")
	}
	_, err = mira.End(ctx, r.ID)
	check(t, err)
	x.Protocol = "tcp"
	if _, err := edge.OpenSession(ctx, x); err == nil {
		t.Error("a key opens what has ended")
	}
}

// TestEntranceSaysNothing: of an address that a stranger wrote nothing is said again; what a
// page elsewhere has a browser fetch is no entrance; and who comes again and again waits.
func TestEntranceSaysNothing(t *testing.T) {
	w, _, mira, edge := withWiki(t)
	ctx := t.Context()
	_, err := edge.TellDoors(ctx, webDoor(t))
	check(t, err)
	active(t, mira, "wiki", "pages", "20m")
	b := w.guest("mira").browser
	back := "https://wiki.apps.example:8443/.stint/enter"
	for _, name := range []string{"wiki%20%7C%20curl%20evil.example", "evil.example", "wiki;reboot", strings.Repeat("x", 79)} {
		p := b.get("/enter/" + name + "?" + url.Values{"back": {back}, "state": {"abc"}, "challenge": {challengeFor(verifier)}}.Encode())
		plain, _ := url.PathUnescape(name)
		if p.header.Get("Location") != "" || strings.Contains(p.text, "stint web "+plain) || strings.Contains(p.text, "curl evil") {
			t.Errorf("%s: %s", name, p.text)
		}
	}
	at := "/enter/wiki?" + url.Values{"back": {back}, "state": {"abc"}, "challenge": {challengeFor(verifier)}}.Encode()
	for dest, wants := range map[string]bool{"image": false, "iframe": false, "script": false, "empty": false, "document": true, "": true} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.address(at), nil)
		check(t, err)
		if dest != "" {
			req.Header.Set("Sec-Fetch-Dest", dest)
		}
		p := b.do(req)
		if got := strings.HasPrefix(p.header.Get("Location"), back); got != wants {
			t.Errorf("as %q: %v, %s", dest, got, p.text)
		}
	}
	w.server.certs = newRates(0, 1, time.Now)
	for n, wants := range []bool{true, false} {
		if p := b.get(at); strings.HasPrefix(p.header.Get("Location"), back) != wants {
			t.Errorf("time %d: %s", n, p.text)
		}
	}
}
