package httpgate

import (
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

type net2 = net.Conn

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// TestE1Paths: class E1, through the gateway and byte by byte. What can be read in two ways
// reaches no application.
func TestE1Paths(t *testing.T) {
	w := newWorld(t)
	for _, uri := range tricks {
		if strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r >= 0x7f }) || uri == "" {
			continue // Go's own reader has no request of it
		}
		if got, text := w.say("GET " + uri + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"); got/100 == 2 || got/100 == 3 {
			t.Errorf("%q: %d %s", uri, got, text)
		}
	}
	if got := w.app.targets(); len(got) > 0 {
		t.Errorf("the application saw %q", got)
	}
}

// TestE5Headers: class E5. What says who somebody is, or where they come from, comes from
// the gateway alone, whatever a client does to the names.
func TestE5Headers(t *testing.T) {
	w := newWorld(t)
	mine := w.cookieOf(w.signedIn(false))
	forged := []string{
		"X-Forwarded-For: forged", "x-forwarded-for: forged", "X-FORWARDED-PROTO: forged", "X_Forwarded_For: forged", "X-Forwarded_For: forged", "Forwarded: for=forged", "X-Real-Ip: forged", "Remote-User: forged", "REMOTE_USER: forged", "X-Remote-User: forged",
		"X-Remote-Group: forged", "X-Forwarded-User: forged", "X-Auth-Request-Email: forged", "X-WebAuth-User: forged", "X_WEBAUTH_USER: forged", "Stint-Assertion: forged", "Stint-Anything: forged", "X-Stint-Person: forged", "Impersonate-User: forged",
		"Impersonate-Group: forged", "X-Original-Url: /forged", "X-Rewrite-Url: /forged", "X-Http-Method-Override: forged", "X-HTTP-Method: forged", "X-Method-Override: forged", "Proxy: forged", "Proxy-Authorization: forged", "X-Forwarded-Host: forged",
		"X-Host: forged", "X-Client-Cert: forged", "Ssl-Client-S-Dn: forged", "Client-Cert: forged", "X-Amzn-Oidc-Data: forged", "X-Goog-Iap-Jwt-Assertion: forged", "X-Ms-Client-Principal: forged", "Cf-Access-Jwt-Assertion: forged", "X.Forwarded.For: forged",
		"X-User: forged", "X-Email: forged", "Authorization: Bearer forged", "authorization: forged", "AUTHORIZATION: forged", "Keep-Alive: forged", "Te: forged", "Upgrade-Insecure-Requests: 1", "X-Forwarded-For : forged",
	}
	for _, h := range forged {
		cfg := &tls.Config{RootCAs: w.roots, ServerName: host}
		c, r := w.raw(cfg)
		before := len(w.app.targets())
		_, err := fmt.Fprintf(c, "GET /e5 HTTP/1.1\r\nHost: %s\r\nCookie: %s; app=1\r\n%s\r\n%s\r\nConnection: close\r\n\r\n", host, mine, h, h)
		must(t, err)
		got, err := http.ReadResponse(r, nil)
		if err != nil {
			continue
		}
		_ = got.Body.Close()
		if got.StatusCode != 200 {
			if len(w.app.targets()) > before {
				t.Errorf("%s: %s, and the application saw it", h, got.Status)
			}
			continue
		}
		seen := w.app.last().Header
		if text := fmt.Sprint(seen); strings.Contains(text, "forged") || strings.Contains(text, mine) || !slices.Equal(seen["Cookie"], []string{"app=1"}) ||
			!slices.Equal(seen["X-Forwarded-For"], []string{"127.0.0.1"}) || !slices.Equal(seen["Authorization"], []string{"Bearer " + canary}) {
			t.Errorf("%s: the application saw %v", h, seen)
		}
	}
	// Trailers become headers in some applications.
	c, r := w.raw(w.device())
	_, err := io.WriteString(c, "POST /trailer HTTP/1.1\r\nHost: "+host+"\r\nTransfer-Encoding: chunked\r\nTrailer: X-Remote-User\r\n\r\n1\r\na\r\n0\r\nX-Remote-User: forged\r\n\r\n")
	must(t, err)
	got, err := http.ReadResponse(r, nil)
	must(t, err)
	_ = got.Body.Close()
	if seen := w.app.last(); strings.Contains(fmt.Sprint(seen.Header, seen.Trailer), "forged") {
		t.Errorf("the application saw %v %v", seen.Header, seen.Trailer)
	}
	// What a role names is dropped, too.
	w.server.mu.Lock()
	for _, o := range w.server.sessions {
		o.Web.Drop = []string{"x-team"}
	}
	w.server.mu.Unlock()
	w.say("GET / HTTP/1.1\r\nHost: " + host + "\r\nX-TEAM: forged\r\nX-Other: kept\r\nConnection: close\r\n\r\n")
	if h := w.app.last().Header; h.Get("X-Team") != "" || h.Get("X-Other") != "kept" {
		t.Errorf("the application saw %v", h)
	}
}

// TestE5Hop: a Connection header cannot take away what the gateway puts there, nor anything
// else that it should not.
func TestE5Hop(t *testing.T) {
	w := newWorld(t)
	for _, v := range []string{"Authorization", "close, Authorization", "X-Forwarded-For", "Stint-Assertion", "Cookie", "keep-alive, x-remote-user", "Content-Length", "Host", "upgrade, authorization"} {
		if got, _ := w.say("GET /hop HTTP/1.1\r\nHost: " + host + "\r\nConnection: " + v + "\r\n\r\n"); got != 400 {
			t.Errorf("Connection: %s: %d", v, got)
		}
	}
	if got := w.app.targets(); len(got) > 0 {
		t.Errorf("the application saw %q", got)
	}
	for _, v := range []string{"close", "keep-alive, close", "TE, close", ""} {
		if got, _ := w.say("GET /hop HTTP/1.1\r\nHost: " + host + "\r\nConnection: " + v + "\r\nConnection: close\r\n\r\n"); got != 200 {
			t.Errorf("Connection: %s: %d", v, got)
		}
	}
}

// TestSmuggling: however a request says where it ends, the application sees the requests
// that were recorded, and those only.
func TestSmuggling(t *testing.T) {
	hidden := "GET /hidden HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
	for name, text := range map[string]string{
		"length and chunks":        "POST /a HTTP/1.1\r\nHost: H\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"chunks and length":        "POST /a HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\nContent-Length: 100\r\n\r\n1\r\na\r\n0\r\n\r\n" + hidden,
		"two lengths":              "POST /a HTTP/1.1\r\nHost: H\r\nContent-Length: 0\r\nContent-Length: 50\r\n\r\n" + hidden,
		"the same length twice":    "POST /a HTTP/1.1\r\nHost: H\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"a list of lengths":        "POST /a HTTP/1.1\r\nHost: H\r\nContent-Length: 0, 50\r\n\r\n" + hidden,
		"a length with a sign":     "POST /a HTTP/1.1\r\nHost: H\r\nContent-Length: +50\r\n\r\n" + hidden,
		"a length below zero":      "POST /a HTTP/1.1\r\nHost: H\r\nContent-Length: -1\r\n\r\n" + hidden,
		"a length in hexadecimal":  "POST /a HTTP/1.1\r\nHost: H\r\nContent-Length: 0x10\r\n\r\n" + hidden,
		"a length that overflows":  "POST /a HTTP/1.1\r\nHost: H\r\nContent-Length: 18446744073709551617\r\n\r\n" + hidden,
		"unknown encoding":         "POST /a HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: xchunked\r\n\r\n" + hidden,
		"encoding twice":           "POST /a HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden,
		"encoding in a list":       "POST /a HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + hidden,
		"encoding before a colon":  "POST /a HTTP/1.1\r\nHost: H\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + hidden,
		"encoding with a tab":      "POST /a HTTP/1.1\r\nHost: H\r\nTransfer-Encoding:\tchunked\x0b\r\n\r\n0\r\n\r\n" + hidden,
		"encoding underscored":     "POST /a HTTP/1.1\r\nHost: H\r\nTransfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"chunk extensions":         "POST /a HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n1;a=\"\r\nb\"\r\na\r\n0\r\n\r\n" + hidden,
		"a bare LF in a chunk":     "POST /a HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\n33\r\n0\r\n\r\n" + hidden,
		"a chunk of too much":      "POST /a HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\na\r\n0\r\n\r\n" + hidden,
		"a chunk with a sign":      "POST /a HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n" + hidden,
		"a folded line":            "POST /a HTTP/1.1\r\nHost: H\r\nX-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
		"a folded encoding":        "POST /a HTTP/1.1\r\nHost: H\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
		"a header without a colon": "POST /a HTTP/1.1\r\nHost: H\r\nX-A\r\n\r\n" + hidden,
		"a space before a header":  "GET /a HTTP/1.1\r\n X-A: b\r\nHost: H\r\n\r\n",
		"a NUL in a header":        "GET /a HTTP/1.1\r\nHost: H\r\nX-A: a\x00b\r\n\r\n" + hidden,
		"a CR in a header":         "GET /a HTTP/1.1\r\nHost: H\r\nX-A: a\rX-Remote-User: forged\r\n\r\n" + hidden,
		"lines with LF only":       "GET /a HTTP/1.1\nHost: H\n\n",
		"two hosts":                "GET /a HTTP/1.1\r\nHost: H\r\nHost: evil.test\r\n\r\n" + hidden,
		"no host":                  "GET /a HTTP/1.1\r\n\r\n" + hidden,
		"a length with GET":        "GET /a HTTP/1.1\r\nHost: H\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.0 in chunks":       "POST /a HTTP/1.0\r\nHost: H\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n" + hidden,
		"HTTP/0.9":                 "GET /a\r\n",
		"HTTP/2 of old":            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"a change to h2c":          "GET /a HTTP/1.1\r\nHost: H\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
		"two changes":              "GET /a HTTP/1.1\r\nHost: H\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
		"a websocket with a body":  "GET /a HTTP/1.1\r\nHost: H\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 10\r\n\r\n" + hidden,
		"a websocket by POST":      "POST /a HTTP/1.1\r\nHost: H\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
		"a websocket refused":      "GET /a HTTP/1.1\r\nHost: H\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 1\r\n\r\n" + hidden, // CVE-2018-1002105's form: no tunnel stays
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c, _ := w.raw(w.device())
			_, err := io.WriteString(c, strings.ReplaceAll(text, "Host: H\r", "Host: "+host+"\r"))
			must(t, err)
			must(t, c.SetReadDeadline(time.Now().Add(long)))
			must(t, c.CloseWrite())
			_, _ = io.Copy(io.Discard, c)
			saw := w.app.targets()
			sent, _ := w.tapes.sent()
			for _, r := range saw { // a client that is gone takes back what has not arrived yet
				at := slices.IndexFunc(sent, func(s string) bool { return strings.Replace(s, "WEBSOCKET ", "GET ", 1) == r })
				if at < 0 {
					t.Fatalf("the application saw %q, and %q is not recorded", saw, r)
				}
				sent = slices.Delete(sent, at, at+1)
			}
			w.app.mu.Lock()
			defer w.app.mu.Unlock()
			for _, r := range w.app.seen {
				if strings.Contains(fmt.Sprint(r.Header["X-Remote-User"]), "forged") || len(r.TransferEncoding) > 1 || r.Host != "example.com" {
					t.Errorf("the application saw %+v", r)
				}
			}
		})
	}
}

// TestF10Silent: those that say nothing, or one byte at a time, are in nobody's way.
func TestF10Silent(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *control) { c.PerAddress, c.Handshakes = 8, 16 })
	for range 40 {
		c, err := net.Dial("tcp", w.addr)
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
	}
	for range 4 {
		c, _ := w.raw(w.device()) // a handshake, and no request
		_, _ = io.WriteString(c, "GET / HT")
	}
	if got, text := w.say("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"); got != 200 {
		t.Errorf("a person gets %d %s", got, text)
	}
}

// TestF9Upload: a client that sends its body too slowly is not waited for.
func TestF9Upload(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *control) { c.StallAfter = 2 * time.Second })
	if got, text := w.say("POST /slow HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 10\r\n\r\nabc"); got != http.StatusRequestTimeout {
		t.Errorf("%d %s", got, text)
	}
	eventually(t, "the outcome is recorded", func() bool { _, is := w.tapes.last().outcome(1); return is })
}

// TestLarge: what is too large is refused before anybody is asked.
func TestLarge(t *testing.T) {
	w := newWorld(t)
	if got, _ := w.say("GET / HTTP/1.1\r\nHost: " + host + "\r\nX-A: " + strings.Repeat("a", 2*mostHeaders) + "\r\n\r\n"); got != http.StatusRequestHeaderFieldsTooLarge && got != 0 {
		t.Errorf("large headers: %d", got)
	}
	if got, _ := w.say("GET /" + strings.Repeat("a", longestTarget) + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"); got != http.StatusRequestEntityTooLarge {
		t.Errorf("a long target: %d", got)
	}
	if got := w.app.targets(); len(got) > 0 {
		t.Errorf("the application saw %q", got)
	}
}

// acceptance answers a websocket's key (RFC 6455 section 4.2.2).
func acceptance(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
