package httpgate

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"stint/internal/access"
	"stint/internal/gateway"
)

// TestBrowser: a browser that nobody is known behind is sent to the sign-in, and works with
// a login that it never sees.
func TestBrowser(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprint("h2 ", h2), func(t *testing.T) {
			w := newWorld(t)
			c := w.signedIn(h2)
			r, text := w.get(c, "https://"+host+"/orders/%31?q=a%20b")
			if r.StatusCode != http.StatusOK || text != "GET /orders/1?q=a%20b 0" {
				t.Fatalf("%s: %s", r.Status, text)
			}
			got := w.app.last()
			if got.Header.Get("Authorization") != "Bearer "+canary || got.Header["Cookie"] != nil || got.Host != "example.com" || got.Header.Get("X-Forwarded-Host") != host || got.Header.Get("X-Forwarded-Proto") != "https" {
				t.Errorf("the application got %s %v", got.Host, got.Header)
			}
			if f := w.control.facts; f.Protocol != "http" || f.Resource != "orders" || f.Ticket == "" || f.Key != nil || !f.Source.IsValid() {
				t.Errorf("the control plane was told %+v", f)
			}
			for k, v := range r.Header {
				if strings.Contains(fmt.Sprint(k, v), canary) {
					t.Errorf("the browser is shown %s: %s", k, v)
				}
			}
			r, text = w.ask(c, http.MethodPost, "https://"+host+endPath, nil)
			if r.StatusCode != http.StatusOK {
				t.Errorf("leaving: %s %s", r.Status, text)
			}
			eventually(t, "the session is over", func() bool { return w.reg.Count() == 0 })
			if r, _ := w.get(c, "https://"+host+"/", "Accept", "text/html"); r.StatusCode != http.StatusFound {
				t.Errorf("after leaving: %s", r.Status)
			}
			eventually(t, "its end is told", func() bool { return slices.Equal(w.control.endings(), []gateway.Reason{gateway.ClientGone}) })
		})
	}
}

// TestSignIn: a ticket is good for the browser that was sent for it, once.
func TestSignIn(t *testing.T) {
	w := newWorld(t)
	begin := func(c *http.Client) *url.URL {
		r, _ := w.get(c, "https://"+host+"/deep/page?x=1", "Accept", "text/html")
		to, err := r.Location()
		must(t, err)
		return to
	}
	ann, eve := w.browser(false), w.browser(false)
	forAnn, forEve := begin(ann), begin(eve)
	back := w.control.sign(forAnn)
	if r, _ := w.get(eve, back, "Accept", "text/html"); r.StatusCode != http.StatusForbidden {
		t.Errorf("another browser with her ticket and state: %s", r.Status)
	}
	u, _ := url.Parse(back)
	q := u.Query()
	q.Set("state", forEve.Query().Get("state"))
	if r, _ := w.get(eve, "https://"+host+enterPath+"?"+q.Encode(), "Accept", "text/html"); r.StatusCode != http.StatusForbidden {
		t.Errorf("another browser with her ticket and its own state: %s", r.Status)
	}
	// A ticket that another got is nothing that ann's browser takes: it was not sent for it.
	if r, _ := w.get(ann, w.control.sign(forEve), "Accept", "text/html"); r.StatusCode != http.StatusForbidden {
		t.Errorf("a browser with somebody else's ticket: %s", r.Status)
	}
	r, _ := w.get(ann, back, "Accept", "text/html")
	if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/deep/page?x=1" {
		t.Fatalf("her own ticket: %s %q", r.Status, r.Header.Get("Location"))
	}
	set := fmt.Sprint(r.Header["Set-Cookie"])
	for _, want := range []string{"__Host-stint=", "Secure", "HttpOnly", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(set, want) {
			t.Errorf("%q is not in %s", want, set)
		}
	}
	if strings.Contains(set, "Domain") {
		t.Errorf("a cookie for more than the host: %s", set)
	}
	if r, _ := w.get(ann, back, "Accept", "text/html"); r.StatusCode != http.StatusForbidden {
		t.Errorf("the same ticket again: %s", r.Status)
	}
	for _, bad := range []string{"", "?ticket=a", "?state=a", "?ticket=a&ticket=b&state=c", "?ticket=&state=" + forAnn.Query().Get("state"), "?ticket=" + strings.Repeat("a", 5000) + "&state=b"} {
		if r, _ := w.get(ann, "https://"+host+enterPath+bad); r.StatusCode != http.StatusForbidden {
			t.Errorf("%q: %s", bad, r.Status)
		}
	}
	// Scripts are not sent anywhere.
	if r, _ := w.get(eve, "https://"+host+"/api", "Accept", "application/json"); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("a script: %s", r.Status)
	}
}

// TestA4Cookies: a session's cookie is worth nothing at another host, twice, or made up.
func TestA4Cookies(t *testing.T) {
	w := newWorld(t)
	mine := w.cookieOf(w.signedIn(false))
	bare := &tls.Config{RootCAs: w.roots, ServerName: host}
	for _, try := range []struct {
		name, server, cookies string
		want                  int
	}{
		{"its own", host, mine, 200}, {"none", host, "a=b", 401}, {"made up", host, cookieName + "=AAAA", 401}, {"twice", host, mine + "; " + cookieName + "=x", 400}, {"another host", "other.web.test", mine, 401},
		{"another name", host, strings.Replace(mine, "__Host-", "__host-", 1), 401}, {"empty", host, cookieName + "=", 401},
	} {
		cfg := bare.Clone()
		cfg.ServerName = try.server
		c, r := w.raw(cfg)
		_, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nConnection: close\r\n\r\n", try.server, try.cookies)
		must(t, err)
		got, err := http.ReadResponse(r, nil)
		must(t, err)
		_ = got.Body.Close()
		if got.StatusCode != try.want {
			t.Errorf("%s: %s, want %d", try.name, got.Status, try.want)
		}
	}
}

// TestDevice: a program is known by the key that its handshake proved, and has one session
// however many connections it makes.
func TestDevice(t *testing.T) {
	w := newWorld(t)
	ask := func(cfg *tls.Config) (*http.Response, string, error) {
		tr := &http.Transport{DialTLSContext: func(ctx context.Context, _, _ string) (c net2, err error) {
			d := tls.Dialer{Config: cfg}
			return d.DialContext(ctx, "tcp", w.addr)
		}}
		defer tr.CloseIdleConnections()
		c := &http.Client{Transport: tr, Timeout: long}
		r, err := c.Get("https://127.0.0.1:8080/x")
		if err != nil {
			return nil, "", err
		}
		defer func() { _ = r.Body.Close() }()
		b, err := io.ReadAll(r.Body)
		return r, string(b), err
	}
	good := w.device()
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if r, text, err := ask(good); err != nil || r.StatusCode != 200 || text != "GET /x 0" {
				t.Errorf("%v %v %s", err, r, text)
			}
		})
	}
	all.Wait()
	w.control.mu.Lock()
	if w.control.opened != 1 || w.control.facts.Key == nil {
		t.Errorf("%d sessions were opened", w.control.opened)
	}
	w.control.mu.Unlock()
	other := good.Clone()
	cert, _ := certificate(t, "eve")
	other.Certificates = []tls.Certificate{*cert}
	if r, text, err := ask(other); err != nil || r.StatusCode != 403 || !strings.Contains(text, "you hold nothing here") {
		t.Errorf("another key: %v %v %s", err, r, text)
	}
	none := good.Clone()
	none.Certificates = nil
	if _, _, err := ask(none); err == nil {
		t.Error("without a key")
	}
	stolen := good.Clone() // class A1: her certificate, and another's key
	stolen.Certificates = []tls.Certificate{{Certificate: good.Certificates[0].Certificate, PrivateKey: cert.PrivateKey}}
	if _, _, err := ask(stolen); err == nil {
		t.Error("a certificate without its key")
	}
	old := good.Clone()
	old.MaxVersion = tls.VersionTLS12
	if _, _, err := ask(old); err == nil {
		t.Error("by TLS 1.2")
	}
}

// TestHosts: TLS's name and the request's are the same, or nothing is done.
func TestHosts(t *testing.T) {
	w := newWorld(t)
	mine := w.cookieOf(w.signedIn(false))
	for _, try := range []struct {
		device       bool
		server, host string
		want         int
	}{
		{false, host, host, 200}, {false, host, "ORDERS.web.test", 200}, {false, host, "other.web.test", 421}, {false, host, "evil.test", 421}, {false, host, host + ".", 421}, {false, host, "127.0.0.1", 421}, {false, "web.test", "web.test", 404},
		{true, host, host, 200}, {true, host, "127.0.0.1:9", 200}, {true, host, "localhost:8080", 200}, {true, host, "[::1]:80", 200}, {true, host, "evil.test:8080", 421}, {true, host, "127.evil.test", 421},
	} {
		cfg := &tls.Config{RootCAs: w.roots, ServerName: try.server}
		if try.device {
			cfg = w.device()
		}
		c, r := w.raw(cfg)
		_, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nConnection: close\r\n\r\n", try.host, mine)
		must(t, err)
		got, err := http.ReadResponse(r, nil)
		must(t, err)
		_ = got.Body.Close()
		if got.StatusCode != try.want {
			t.Errorf("%+v: %s", try, got.Status)
		}
	}
}

// TestRules: what the role does not allow does not reach the application, and is recorded.
func TestRules(t *testing.T) {
	w := newWorld(t, func(_ *Config, p *control) {
		p.permit.Web.Rules = []gateway.PathRule{{Effect: gateway.Allow, Methods: []string{"GET"}, Path: "/**"}, {Effect: gateway.Deny, Methods: []string{"*"}, Path: "/admin/**"}}
	})
	for ask, want := range map[string]int{
		"GET /": 200, "HEAD /a": 200, "POST /a": 403, "DELETE /a": 403, "GET /admin": 403, "GET /Admin/": 403, "GET /%61dmin/x": 403, "GET /administrators": 200, "TRACE /": 403, "CONNECT /": 403, "get /": 400, "PROPFIND /": 403,
		"WEBSOCKET /": 400,
	} {
		if got, text := w.say(ask + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"); got != want {
			t.Errorf("%s: %d %s, want %d", ask, got, text, want)
		}
	}
	sent, refused := w.tapes.sent()
	slices.Sort(sent)
	slices.Sort(refused)
	if want := []string{"GET /", "GET /administrators", "HEAD /a"}; !slices.Equal(sent, want) || !slices.Equal(slices.Sorted(slices.Values(w.app.targets())), want) {
		t.Errorf("sent %q, arrived %q, want %q", sent, w.app.targets(), want)
	}
	if want := []string{"DELETE /a", "GET /Admin/", "GET /admin", "GET /admin/x", "POST /a", "PROPFIND /"}; !slices.Equal(refused, want) {
		t.Errorf("refused %q, want %q", refused, want)
	}
}

// TestOrigins: a page of another origin opens nothing and changes nothing. Navigating here
// may come from anywhere.
func TestOrigins(t *testing.T) {
	w := newWorld(t)
	c := w.signedIn(false)
	u := "https://" + host + "/x"
	for _, try := range []struct {
		method  string
		headers []string
		want    int
	}{
		{"GET", nil, 200}, {"POST", nil, 200}, {"POST", []string{"Origin", "https://" + host}, 200}, {"POST", []string{"Origin", "https://evil.test"}, 403}, {"POST", []string{"Origin", "https://other.web.test"}, 403}, {"POST", []string{"Origin", "null"}, 403},
		{"POST", []string{"Origin", "http://" + host}, 403}, {"POST", []string{"Origin", "https://" + host, "Sec-Fetch-Site", "same-origin"}, 200}, {"POST", []string{"Sec-Fetch-Site", "same-site"}, 403}, {"POST", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 403},
		{"GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, 403}, {"GET", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, 403},
		{"GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 403}, {"GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200}, {"GET", []string{"Sec-Fetch-Site", "none"}, 200},
	} {
		if r, _ := w.ask(c, try.method, u, nil, try.headers...); r.StatusCode != try.want {
			t.Errorf("%s %v: %s, want %d", try.method, try.headers, r.Status, try.want)
		}
	}
	// A page that a person has open cannot reach into a program's local listener, whatever name it gave that.
	for _, h := range []string{"Origin: https://evil.test", "Sec-Fetch-Site: cross-site", "Origin: null"} {
		if got, _ := w.say("POST /x HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n" + h + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"); got != 403 {
			t.Errorf("%s to a local listener: %d", h, got)
		}
	}
	if got, _ := w.say("POST /x HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nOrigin: http://127.0.0.1:8080\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"); got != 200 {
		t.Errorf("the application's own page by a local listener: %d", got)
	}
}

// TestAnswers: what an application sets stays with its host, and where it leads is said by
// the names that the person knows.
func TestAnswers(t *testing.T) {
	w := newWorld(t)
	own := w.app.Listener.Addr().String()
	w.app.mux.HandleFunc("/set", func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h["Set-Cookie"] = []string{"sid=1; Domain=web.test; Path=/a", "__Host-stint=evil; Path=/; Secure", "__host-STINT-enter=evil", "b=2; Max-Age=10; SameSite=Strict; HttpOnly", "a bad line"}
		h.Set("Location", r.URL.Query().Get("to"))
		h.Set("Content-Location", "https://"+own+"/x")
		h.Set("Refresh", "5; url=https://"+own+"/y")
		for _, n := range []string{"Alt-Svc", "Clear-Site-Data", "Strict-Transport-Security", "Www-Authenticate", "Stint-Ended", "Stint-Assertion", "Proxy-Authenticate"} {
			h.Set(n, "evil")
		}
		h.Set("Connection", "X-Hop")
		h.Set("X-Hop", "evil")
		rw.WriteHeader(http.StatusFound)
	})
	c := w.browser(false)
	for to, want := range map[string]string{
		"/a": "/a", "b": "b", "https://" + own + "/a?b#c": "https://" + host + "/a?b#c", "https://example.com/a": "https://" + host + "/a", "http://EXAMPLE.com:8080/a": "https://" + host + "/a", "https://u:p@example.com/a": "https://" + host + "/a",
		"https://evil.test/": "https://evil.test/", "//evil.test/": "//evil.test/", "//example.com/x": "https://" + host + "/x", "https://example.com.evil.test/": "https://example.com.evil.test/", "ftp://example.com/": "ftp://example.com/",
	} {
		c.Jar, _ = cookiejar.New(nil)
		c := c
		r, _ := w.get(c, "https://"+host+"/", "Accept", "text/html")
		l, err := r.Location()
		must(t, err)
		w.get(c, w.control.sign(l), "Accept", "text/html")
		r, _ = w.get(c, "https://"+host+"/set?to="+url.QueryEscape(to))
		if got := r.Header.Get("Location"); got != want {
			t.Errorf("%q leads to %q, want %q", to, got, want)
		}
		if got := r.Header["Set-Cookie"]; !slices.Equal(got, []string{"sid=1; Path=/a; Secure", "b=2; Max-Age=10; HttpOnly; Secure; SameSite=Strict"}) {
			t.Errorf("cookies: %q", got)
		}
		if r.Header.Get("Content-Location") != "https://"+host+"/x" || r.Header.Get("Refresh") != "5; url=https://"+host+"/y" {
			t.Errorf("it leads to %v", r.Header)
		}
		if strings.Contains(fmt.Sprint(r.Header), "evil") && !strings.Contains(want, "evil") {
			t.Errorf("an answer with %v", r.Header)
		}
	}
}

// TestAssertion: who a request is is signed for its resource, for moments, and another
// implementation believes it.
func TestAssertion(t *testing.T) {
	w := newWorld(t, func(_ *Config, p *control) {
		p.permit.Web.Assert = true
		p.end = time.Now().Add(20 * time.Second)
	})
	code, text := w.say("GET " + keysPath + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(text), &keys); code != 200 || err != nil || len(keys.Keys) != 1 || !keys.Keys[0].Valid() || keys.Keys[0].IsPublic() != true {
		t.Fatalf("%d %v %s", code, err, text)
	}
	w.say("GET / HTTP/1.1\r\nHost: " + host + "\r\nStint-Assertion: forged\r\nStint_Assertion: forged\r\nConnection: close\r\n\r\n")
	said := w.app.last().Header
	if len(said[AssertionHeader]) != 1 || strings.Contains(fmt.Sprint(said), "forged") {
		t.Fatalf("the application got %v", said)
	}
	word, err := jwt.ParseSigned(said.Get(AssertionHeader), []jose.SignatureAlgorithm{jose.EdDSA})
	must(t, err)
	var got jwt.Claims
	must(t, word.Claims(keys.Keys[0], &got))
	must(t, got.Validate(jwt.Expected{Subject: "ann", AnyAudience: jwt.Audience{"orders"}, Time: time.Now()}))
	if life := got.Expiry.Time().Sub(got.IssuedAt.Time()); life > time.Minute || got.Expiry.Time().After(w.control.end.Add(time.Second)) {
		t.Errorf("it is good for %s, until %s; the grant ends at %s", life, got.Expiry.Time(), w.control.end)
	}
	if err := got.Validate(jwt.Expected{AnyAudience: jwt.Audience{"other"}}); err == nil {
		t.Error("it is good for another resource")
	}
}

// TestNoWorker: an application's service worker would stand between a browser and the gateway.
func TestNoWorker(t *testing.T) {
	w := newWorld(t)
	w.app.mux.HandleFunc("/allowed", func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("Service-Worker-Allowed", "/") })
	c := w.signedIn(false)
	r, text := w.get(c, "https://"+host+"/worker.js", "Service-Worker", "script", "Sec-Fetch-Dest", "serviceworker", "Sec-Fetch-Mode", "same-origin", "Sec-Fetch-Site", "same-origin")
	if r.StatusCode != http.StatusForbidden || !strings.Contains(text, "service workers do not pass") || r.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%s %v: %s", r.Status, r.Header, text)
	}
	if got := w.app.targets(); len(got) > 0 {
		t.Errorf("the application was asked %q", got)
	}
	if r, _ := w.get(c, "https://"+host+"/allowed"); r.StatusCode != 200 || r.Header.Get("Service-Worker-Allowed") != "" {
		t.Errorf("%s %v", r.Status, r.Header)
	}
}

// TestOwnPort: applications are told the door's own host and port, whatever port a client says.
func TestOwnPort(t *testing.T) {
	for port, want := range map[uint16]string{0: host, 443: host, 8443: host + ":8443"} {
		w := newWorld(t, func(c *Config, p *control) { c.Port, p.permit.Web.Assert = port, true })
		c := w.signedIn(false)
		for _, says := range []string{host, host + ":8443", host + ":9"} {
			r, _ := w.get(c, "https://"+host+"/x", "Host", says)
			if says != host { // the cookie is of another place; a program's key is not
				w.say("GET / HTTP/1.1\r\nHost: " + says + "\r\nConnection: close\r\n\r\n")
			} else if r.StatusCode != 200 {
				t.Fatal(r.Status)
			}
			got := w.app.last().Header
			word, err := jwt.ParseSigned(got.Get(AssertionHeader), []jose.SignatureAlgorithm{jose.EdDSA})
			must(t, err)
			var claims jwt.Claims
			must(t, word.UnsafeClaimsWithoutVerification(&claims))
			if got.Get("X-Forwarded-Host") != want || claims.Issuer != "https://"+want {
				t.Errorf("the door at %d, and a client says %s: %s, %s", port, says, got.Get("X-Forwarded-Host"), claims.Issuer)
			}
		}
	}
}

// TestBodies: as much of bodies is kept as the role has kept, and no body is longer than it
// may be.
func TestBodies(t *testing.T) {
	w := newWorld(t, func(_ *Config, p *control) { p.permit.Web.Bodies, p.permit.Web.MostBody = 4, 1000 })
	c := w.signedIn(false)
	if r, text := w.ask(c, "POST", "https://"+host+"/up", strings.NewReader("abcdefgh")); r.StatusCode != 200 || text != "POST /up 8" {
		t.Fatalf("%s %s", r.Status, text)
	}
	tape := w.tapes.last()
	eventually(t, "the outcome is recorded", func() bool { _, is := tape.outcome(1); return is })
	if o, _ := tape.outcome(1); o != (Outcome{Status: 200, Sent: 8, Received: 10}) {
		t.Errorf("it went %+v", o)
	}
	w.tapes.mu.Lock()
	if tape.bodies["1 false"] != "abcd" || tape.bodies["1 true"] != "POST" {
		t.Errorf("kept: %q", tape.bodies)
	}
	w.tapes.mu.Unlock()
	if r, _ := w.ask(c, "POST", "https://"+host+"/up", strings.NewReader(strings.Repeat("a", 1001))); r.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("too long: %s", r.Status)
	}
	if r, _ := w.ask(c, "POST", "https://"+host+"/up", struct{ io.Reader }{strings.NewReader(strings.Repeat("a", 100_000))}); r.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("too long without saying so: %s", r.Status)
	}
}

// TestUnrecordable: what cannot be recorded is not sent on, and ends the session.
func TestUnrecordable(t *testing.T) {
	w := newWorld(t)
	w.tapes.fails = func(r Request) error {
		if strings.Contains(r.Target, "nonce") {
			return errors.New("the disk is full")
		}
		return nil
	}
	c := w.signedIn(false)
	if r, _ := w.get(c, "https://"+host+"/fine"); r.StatusCode != 200 {
		t.Fatal(r.Status)
	}
	r, text := w.get(c, "https://"+host+"/nonce")
	if r.StatusCode != 403 || r.Header.Get(endedHeader) != string(gateway.Unrecorded) {
		t.Errorf("%s %s", r.Status, text)
	}
	if got := w.app.targets(); !slices.Equal(got, []string{"GET /fine"}) {
		t.Errorf("the application saw %q", got)
	}
	eventually(t, "its end is told", func() bool { return slices.Equal(w.control.endings(), []gateway.Reason{gateway.Unrecorded}) })
}

// TestF8Upstream: the login goes to the application that the permit names, and to no other.
func TestF8Upstream(t *testing.T) {
	another, leaf := certificate(t, "example.com")
	_ = another
	for name, change := range map[string]func(*gateway.Permit){
		"another authority": func(p *gateway.Permit) { p.Target.HostAuthorities = []string{pemOf(leaf)} },
		"another name":      func(p *gateway.Permit) { p.Target.Name = "other.test" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(_ *Config, p *control) { change(&p.permit) })
			if got, text := w.say("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"); got != http.StatusBadGateway || !strings.Contains(text, "certificate") {
				t.Errorf("%d %s", got, text)
			}
			if got := w.app.targets(); len(got) > 0 {
				t.Errorf("it was sent %q", got)
			}
		})
	}
	for name, change := range map[string]func(*gateway.Permit){
		"in clear elsewhere": func(p *gateway.Permit) { p.Target.Plain, p.Target.Address = true, "10.0.0.1:80" },
		"in clear by name":   func(p *gateway.Permit) { p.Target.Plain, p.Target.Address = true, "localhost:80" },
		"no identity":        func(p *gateway.Permit) { p.Target.HostAuthorities = nil },
		"for nothing":        func(p *gateway.Permit) { p.Web = nil },
		"no name":            func(p *gateway.Permit) { p.Target.Name = "" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(_ *Config, p *control) { change(&p.permit) })
			if got, _ := w.say("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"); got != 500 {
				t.Errorf("it answers %d", got)
			}
		})
	}
}

// TestLogins: each kind is put in place of what the client had there, and prints nothing.
func TestLogins(t *testing.T) {
	basic, err := Basic("svc", canary)
	must(t, err)
	header, err := Header("X-Api-Key", canary)
	must(t, err)
	for _, try := range []struct {
		login Login
		name  string
		want  string
	}{{basic, "Authorization", "Basic c3ZjOm5ldmVyLXNob3duLXRvLWFueWJvZHk="}, {header, "X-Api-Key", canary}} {
		w := newWorld(t, func(_ *Config, p *control) { p.login = try.login })
		w.say("GET / HTTP/1.1\r\nHost: " + host + "\r\nX-Api-Key: mine\r\nX_Api_Key: mine\r\nAuthorization: Basic mine\r\nConnection: close\r\n\r\n")
		if got := w.app.last().Header[try.name]; !slices.Equal(got, []string{try.want}) {
			t.Errorf("%s: %q", try.name, got)
		}
		if s := fmt.Sprintf("%v %+v %#v %s", try.login, try.login, &try.login, try.login); strings.Contains(s, canary) || strings.Contains(s, try.want) {
			t.Errorf("it prints %s", s)
		}
	}
	for _, bad := range []func() (Login, error){
		func() (Login, error) { return Basic("a:b", "c") }, func() (Login, error) { return Header("Cookie", "c") }, func() (Login, error) { return Header("X", "a\r\nb: c") }, func() (Login, error) { return Header("X y", "a") },
		func() (Login, error) { return Header("connection", "a") }, func() (Login, error) { return Certificate(tls.Certificate{}) }, func() (Login, error) { return Header("X", "") },
	} {
		if _, err := bad(); err == nil {
			t.Error("a login that cannot be sent is taken")
		}
	}
}

// TestClientCertificate: the login may be a certificate, which the client has no part in.
func TestClientCertificate(t *testing.T) {
	own, leaf := certificate(t, "svc")
	login, err := Certificate(*own)
	must(t, err)
	w := newWorld(t, func(_ *Config, p *control) { p.login = login })
	w.app.TLS.ClientAuth = tls.RequestClientCert
	w.say("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
	if got := w.app.last().TLS; got == nil || len(got.PeerCertificates) != 1 || !got.PeerCertificates[0].Equal(leaf) {
		t.Errorf("the application saw %+v", got)
	}
}

// TestRefusedByControl: what the control plane says is said to the person.
func TestRefusedByControl(t *testing.T) {
	w := newWorld(t)
	w.control.refuse = access.Fail(access.Unavailable, "no-control-plane", "the gateway cannot reach its control plane").Try("try again in a moment")
	if got, text := w.say("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"); got != 503 || !strings.Contains(text, "try again in a moment") {
		t.Errorf("%d %s", got, text)
	}
}
