package apiserver

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/api"
	"stint/internal/envelope"
)

// knocker is mira with a certificate for a session through a gateway.
type knocker struct {
	request api.Request
	key     ssh.PublicKey
	cert    *ssh.Certificate
}

func (k knocker) knock() api.SessionKnock {
	return api.SessionKnock{Protocol: "ssh", Key: k.key.Marshal(), Certificate: k.cert.Marshal(), Resource: "web1", Source: "10.0.0.7:40122"}
}

func knocks(t *testing.T, c *api.Client, role string) knocker {
	t.Helper()
	k := knocker{request: active(t, c, "web1", role, "20m")}
	line, key := sshPublic(t)
	got, err := c.Certify(t.Context(), k.request.Grant.ID, api.CertificateAsk{PublicKey: line})
	check(t, err)
	k.key, k.cert = key, certOf(t, got.Certificate)
	if role != "jump" {
		return k
	}
	if len(got.Logins) != 1 || got.Logins[0].Address != "edge.example:2022" || got.Logins[0].Account != "deploy@web1" {
		t.Errorf("it leads to %+v", got.Logins)
	}
	if !slices.Equal(k.cert.ValidPrincipals, []string{"stint-gateway-" + k.request.Grant.ID}) {
		t.Errorf("a host could know its principals: %q", k.cert.ValidPrincipals)
	}
	return k
}

// TestGatewayWords: asked for with a nonce, nothing is said to a gateway but what the orders
// key signed for it and for this question.
func TestGatewayWords(t *testing.T) {
	w, admin, mira := withHost(t)
	ctx := t.Context()
	edge := enrolledGateway(t, w, admin, "edge")
	k := knocks(t, mira, "jump")
	p, err := edge.OpenSession(ctx, k.knock())
	check(t, err)
	asked := k.knock()
	asked.Nonce = envelope.NewID()
	said, err := edge.OpenSession(ctx, asked)
	check(t, err)
	if said.Session != "" || said.Target.Address != "" || len(said.Target.HostAuthorities) > 0 {
		t.Errorf("beside the word stands %+v", said)
	}
	word, err := envelope.OpenWord(envelope.Sealed(said.Word), "test", "edge", asked.Nonce, envelope.AboutPermit, w.orders.Public())
	check(t, err)
	var permit api.SessionPermit
	check(t, json.Unmarshal(word.Content, &permit))
	if permit.Grant != p.Grant || permit.Session == p.Session || !slices.Equal(permit.Target.HostAuthorities, p.Target.HostAuthorities) || !permit.Strict {
		t.Errorf("signed %+v", permit)
	}
	report := api.SessionReport{Live: []string{p.Session}, Ended: []api.SessionEnded{}, Alarms: []api.SessionAlarm{}, Nonce: envelope.NewID()}
	heard, err := edge.RenewSessions(ctx, report)
	check(t, err)
	word, err = envelope.OpenWord(envelope.Sealed(heard.Word), "test", "edge", report.Nonce, envelope.AboutRenewals, w.orders.Public())
	check(t, err)
	var renewed api.SessionRenewals
	check(t, json.Unmarshal(word.Content, &renewed))
	if len(heard.Renewals) != 0 || len(renewed.Renewals) != 1 || renewed.Renewals[0].Session != p.Session || renewed.Renewals[0].RemainingMillis <= 0 {
		t.Errorf("beside the word %+v, in it %+v", heard, renewed)
	}
}

// TestGatewaySessions: a session is opened by a certificate of its person's, for what the
// role says, by the gateway that is asked; what ends the grant is told to the gateway.
func TestGatewaySessions(t *testing.T) {
	w, admin, mira := withHost(t)
	ctx := t.Context()
	r := active(t, mira, "web1", "jump", "5m")
	line, _ := sshPublic(t)
	if _, err := mira.Certify(ctx, r.Grant.ID, api.CertificateAsk{PublicKey: line}); problemOf(err, "").Code != "no-gateway" {
		t.Errorf("there is no gateway: %v", err)
	}
	edge, west := enrolledGateway(t, w, admin, "edge"), enrolledGateway(t, w, admin, "west")
	_, err := edge.RenewSessions(ctx, api.SessionReport{Live: []string{}, Ended: []api.SessionEnded{}, Alarms: []api.SessionAlarm{}}) // heard of last
	check(t, err)
	k := knocks(t, mira, "jump")

	p, err := edge.OpenSession(ctx, k.knock())
	check(t, err)
	if p.Grant != k.request.Grant.ID || p.Person != "mira" || !p.Strict || !p.Keep || p.Principal != k.cert.ValidPrincipals[0] || p.RemainingMillis <= 0 || p.RemainingMillis > (20*time.Minute).Milliseconds() {
		t.Errorf("%+v", p)
	}
	if p.Target.Address != "127.0.0.1:22" || p.Target.Name != "127.0.0.1" || p.Target.Account != "deploy" || len(p.Target.HostAuthorities) == 0 {
		t.Errorf("the target %+v", p.Target)
	}
	if !p.Rules.Shell || !slices.Equal(p.Rules.Forward, []string{"db:5432"}) || !slices.Equal(p.Rules.Commands, []api.CommandRule{{Effect: "deny", Pattern: "rm *"}}) || p.Rules.Agent {
		t.Errorf("the rules %+v", p.Rules)
	}

	direct := knocks(t, mira, "deploy")
	_, otherKey := sshPublic(t)
	forged := *k.cert
	_, own, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	forger, err := ssh.NewSignerFromKey(own)
	check(t, err)
	check(t, forged.SignCert(rand.Reader, forger))
	for name, c := range map[string]struct {
		bend func(*api.SessionKnock)
		code string
	}{
		"a key without a certificate":        {func(x *api.SessionKnock) { x.Certificate = nil }, "no-certificate"},
		"another key than the certificate's": {func(x *api.SessionKnock) { x.Key = otherKey.Marshal() }, "bad-knock"},
		"a certificate of somebody's own":    {func(x *api.SessionKnock) { x.Certificate = forged.Marshal() }, "bad-certificate"},
		"no certificate at all":              {func(x *api.SessionKnock) { x.Certificate = []byte("ssh") }, "bad-certificate"},
		"a grant that goes to the host":      {func(x *api.SessionKnock) { *x = direct.knock() }, "not-through-gateway"},
		"another resource":                   {func(x *api.SessionKnock) { x.Resource = "db" }, "other-resource"},
		"another account":                    {func(x *api.SessionKnock) { x.Login = "root" }, "other-account"},
		"from elsewhere":                     {func(x *api.SessionKnock) { x.Source = "192.0.2.7:1" }, "wrong-source"},
		"from nowhere":                       {func(x *api.SessionKnock) { x.Source = "10.0.0.7" }, "bad-knock"},
	} {
		x := k.knock()
		c.bend(&x)
		if _, err := edge.OpenSession(ctx, x); problemOf(err, "").Code != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]*api.Client{"the person": mira, "an administrator": admin, "a stranger": w.client()} {
		if _, err := c.OpenSession(ctx, k.knock()); problemOf(err, "").Code != "not-enrolled" {
			t.Errorf("%s opens a session: %v", name, err)
		}
	}
	body, err := json.Marshal(k.knock())
	check(t, err)
	again := w.raw(&api.Client{Server: edge.Server, Device: edge.Device}, http.MethodPost, "/v1/gateway/open", string(body))
	var seen *http.Request
	again.bend = func(q *http.Request) { seen = q.Clone(q.Context()) }
	if g := w.send(again); g.status != http.StatusOK {
		t.Errorf("a call by hand: %d %s", g.status, g.body)
	}
	seen.Body = io.NopCloser(bytes.NewReader(body))
	g := w.do(seen)
	g.want(t, http.StatusUnauthorized, api.CodeProofReplayed)

	// Its leg to the target: for one key, of this gateway's session.
	_, leg := sshPublic(t)
	_, second := sshPublic(t)
	got, err := edge.SignSession(ctx, api.SessionSign{Session: p.Session, Key: leg.Marshal()})
	check(t, err)
	public, err := ssh.ParsePublicKey(got.Certificate)
	check(t, err)
	cert := public.(*ssh.Certificate)
	if len(cert.ValidPrincipals) != 1 || strings.HasPrefix(cert.ValidPrincipals[0], "stint-gateway-") || len(cert.ValidPrincipals[0]) != len("stint-")+43 || cert.CriticalOptions["source-address"] != "" {
		t.Errorf("the leg's certificate %+v", cert)
	}
	if end := time.Unix(int64(cert.ValidBefore), 0); end.After(p.End.Time) {
		t.Errorf("it outlives the grant by %v", end.Sub(p.End.Time))
	}
	for name, c := range map[string]struct {
		by   *api.Client
		sign api.SessionSign
		code string
	}{
		"the same key again":      {edge, api.SessionSign{Session: p.Session, Key: leg.Marshal()}, ""},
		"another key":             {edge, api.SessionSign{Session: p.Session, Key: second.Marshal()}, "certified-already"},
		"another gateway":         {west, api.SessionSign{Session: p.Session, Key: leg.Marshal()}, "not-found"},
		"a session that is none":  {edge, api.SessionSign{Session: "ses_01J8ZQ5T3M8W6Y2X4V9N7K1B5C", Key: leg.Marshal()}, "not-found"},
		"the beginning of its id": {edge, api.SessionSign{Session: p.Session[:12], Key: leg.Marshal()}, "not-found"},
		"a certificate as a key":  {edge, api.SessionSign{Session: p.Session, Key: cert.Marshal()}, "bad-public-key"},
	} {
		if _, err := c.by.SignSession(ctx, c.sign); err == nil && c.code != "" || err != nil && problemOf(err, "").Code != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}

	// Another gateway hears nothing of it and can end nothing.
	report := api.SessionReport{Live: []string{p.Session}, Ended: []api.SessionEnded{{Session: p.Session, Reason: "revoked", At: api.At(time.Now())}}, Alarms: []api.SessionAlarm{{Session: p.Session, Pattern: "x", Text: "y", At: api.At(time.Now())}}}
	if got, err := west.RenewSessions(ctx, report); err != nil || len(got.Renewals) != 0 {
		t.Errorf("another gateway renews it: %+v %v", got, err)
	}
	report = api.SessionReport{Live: []string{p.Session}, Ended: []api.SessionEnded{}, Alarms: []api.SessionAlarm{{Session: p.Session, Pattern: "rm *", Text: "rm -rf /srv", At: api.At(time.Now())}}}
	renewed, err := edge.RenewSessions(ctx, report)
	check(t, err)
	if len(renewed.Renewals) != 1 || renewed.Renewals[0].Cut != nil || renewed.Renewals[0].RemainingMillis <= 0 {
		t.Errorf("%+v", renewed)
	}
	x, err := mira.Session(ctx, p.Session[4:20])
	check(t, err)
	if x.ID != p.Session || x.State != "live" || x.Alarms != 1 || x.Account != "deploy" || x.Gateway != "edge" || x.Source != "10.0.0.7:40122" || x.Recording.State != "none" {
		t.Errorf("%+v", x)
	}
	omar, gus := w.as(admin, api.UserAdd{Name: "omar"}), w.as(admin, api.UserAdd{Name: "gus"})
	if _, err := gus.Session(ctx, p.Session); problemOf(err, "").Kind != api.NotFound {
		t.Errorf("a stranger sees it: %v", err)
	}
	if _, err := gus.EndSession(ctx, p.Session, "no"); problemOf(err, "").Kind != api.NotFound {
		t.Errorf("a stranger ends it: %v", err)
	}
	if _, err := gus.Sessions(ctx, api.SessionList{Person: "mira"}); problemOf(err, "").Kind != api.Denied {
		t.Errorf("a stranger lists them: %v", err)
	}
	if page, err := gus.Sessions(ctx, api.SessionList{Resource: "web1"}); err != nil || len(page.Items) != 0 {
		t.Errorf("a stranger lists them: %+v %v", page, err)
	}
	page, err := omar.Sessions(ctx, api.SessionList{Resource: "web1", Live: true})
	check(t, err)
	if len(page.Items) != 2 { // that by hand is one
		t.Errorf("the owner sees %d", len(page.Items))
	}

	// What ends it is told at once, and only to its gateway.
	cuts, others := listen(t, edge), listen(t, west)
	if _, err := omar.EndSession(ctx, p.Session, "that is enough"); err != nil {
		t.Fatal(err)
	}
	if c := next(t, cuts); c.Session != p.Session || c.Reason != "killed" || c.Text != "that is enough" {
		t.Errorf("%+v", c)
	}
	if _, err := edge.SignSession(ctx, api.SessionSign{Session: p.Session, Key: leg.Marshal()}); problemOf(err, "").Code != "session-over" {
		t.Errorf("what was ended goes on: %v", err)
	}
	second2, err := edge.OpenSession(ctx, k.knock()) // the grant goes on
	check(t, err)
	began := time.Now()
	_, err = admin.Revoke(ctx, api.RevokeAsk{Grant: k.request.Grant.ID, Why: "a doubt"})
	check(t, err)
	for seen := map[string]bool{}; !seen[second2.Session]; {
		c := next(t, cuts)
		if seen[c.Session] = true; c.Reason != "revoked" {
			t.Errorf("%+v", c)
		}
	}
	t.Logf("told after %v", time.Since(began))
	select {
	case c := <-others:
		t.Errorf("another gateway hears of %+v", c)
	default:
	}
	if _, err := edge.OpenSession(ctx, k.knock()); problemOf(err, "").Code != "grant-ended" && problemOf(err, "").Code != "no-access" {
		t.Errorf("by a grant that is over: %v", err)
	}
	renewed, err = edge.RenewSessions(ctx, api.SessionReport{Live: []string{second2.Session}, Alarms: []api.SessionAlarm{},
		Ended: []api.SessionEnded{{Session: p.Session, Reason: "killed", At: api.At(time.Now()), TookMillis: 12}}})
	check(t, err)
	if len(renewed.Renewals) != 1 || renewed.Renewals[0].Cut == nil || renewed.Renewals[0].Cut.Reason != "revoked" {
		t.Errorf("a renewal of what is over: %+v", renewed)
	}
	if x, err = mira.Session(ctx, p.Session); err != nil || x.State != "closed" || x.Reason != "killed" || x.EndedBy != "user:omar" || x.ClosedAt.IsZero() {
		t.Errorf("%+v %v", x, err)
	}
	if _, err := admin.EndSession(ctx, p.Session, "again"); problemOf(err, "").Code != "session-closed" {
		t.Errorf("ended twice: %v", err)
	}
}

// TestGatewayHostCertificate: a gateway gets one for its own key and the host of its
// address, and for nothing else.
func TestGatewayHostCertificate(t *testing.T) {
	w, admin, _ := withHost(t)
	edge := enrolledGateway(t, w, admin, "edge")
	_, key := sshPublic(t)
	got, err := edge.CertifyGateway(t.Context(), api.KeyAsk{Key: key.Marshal()})
	check(t, err)
	public, err := ssh.ParsePublicKey(got.Certificate)
	check(t, err)
	c := public.(*ssh.Certificate)
	if c.CertType != ssh.HostCert || !slices.Equal(c.ValidPrincipals, []string{"edge.example"}) || !bytes.Equal(c.Key.Marshal(), key.Marshal()) {
		t.Errorf("%+v", c)
	}
	if _, err := edge.CertifyGateway(t.Context(), api.KeyAsk{Key: []byte(base64.StdEncoding.EncodeToString(key.Marshal()))}); problemOf(err, "").Code != "bad-public-key" {
		t.Errorf("no key: %v", err)
	}
}

// listen follows the cuts of a gateway.
func listen(t *testing.T, c *api.Client) <-chan api.SessionCut {
	t.Helper()
	heard, stands := make(chan api.SessionCut, 16), make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.FollowCuts(ctx, func() { close(stands) }, func(x api.SessionCut) { heard <- x }) // broken off by the end of the test
	}()
	t.Cleanup(func() { stop(); <-done })
	select {
	case <-stands:
	case <-time.After(60 * time.Second):
		t.Fatal("the stream of cuts does not stand")
	}
	return heard
}

func next(t *testing.T, cuts <-chan api.SessionCut) api.SessionCut {
	t.Helper()
	select {
	case c := <-cuts:
		return c
	case <-time.After(60 * time.Second):
		t.Fatal("nothing is cut")
	}
	return api.SessionCut{}
}
