package egress

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// TestAddresses is the filter by itself.
func TestAddresses(t *testing.T) {
	for _, a := range []string{"1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.0", "198.17.1.1", "2606:4700::1111", "2a00::1", "::ffff:1.1.1.1"} {
		if why := refused(netip.MustParseAddr(a), nil); why != "" {
			t.Errorf("%s is refused: %s", a, why)
		}
	}
	inside := []string{"127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255", "169.254.169.254", "169.254.1.1", "0.0.0.0", "0.1.2.3",
		"192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "100.100.100.200", "168.63.129.16",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "5f00::1",
		"fc00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1"}
	for _, a := range inside {
		if refused(netip.MustParseAddr(a), nil) == "" {
			t.Errorf("%s is dialled", a)
		}
	}
	for _, c := range []struct {
		rule, address string
		ok            bool
	}{
		{"10.0.0.0/8", "10.1.2.3", true}, {"10.0.0.0/8", "192.168.0.1", false}, {"10.1.0.0/16", "10.2.0.1", false},
		{"127.0.0.0/8", "127.0.0.1", true}, {"127.0.0.1/32", "127.0.0.2", false}, {"::1/128", "::1", true}, {"127.0.0.0/8", "::ffff:127.0.0.1", true},
		{"169.0.0.0/8", "169.254.169.254", false}, {"169.254.0.0/16", "169.254.169.254", true}, {"169.254.1.0/24", "169.254.169.254", false},
		{"100.64.0.0/10", "100.100.100.200", false}, {"100.100.100.200/32", "100.100.100.200", true}, {"100.64.0.0/10", "100.64.1.1", true},
		{"fd00::/8", "fd12::1", true}, {"fd00::/8", "fd00:ec2::254", false}, {"fc00::/7", "fd12::1", true}, {"192.0.0.0/24", "192.0.0.192", false},
	} {
		rule := netip.MustParsePrefix(c.rule)
		if err := CheckRule(rule); err != nil {
			t.Errorf("%s: %v", c.rule, err)
		}
		if got := refused(netip.MustParseAddr(c.address), []netip.Prefix{rule}) == ""; got != c.ok {
			t.Errorf("%s under %s: dialled %v", c.address, c.rule, got)
		}
	}
	for _, bad := range []string{"0.0.0.0/0", "::/0", "0.0.0.0/8", "10.0.0.0/7", "224.0.0.0/8", "239.1.1.1/32", "10.0.0.1/8", "2000::/3", "ff02::1/128", "::/128"} {
		if CheckRule(netip.MustParsePrefix(bad)) == nil {
			t.Errorf("the rule %s is accepted", bad)
		}
	}
}

// refusedBy makes a call and reports whether our rules, and not the network, kept it
// from being made.
func refusedBy(t *testing.T, c *Client, url string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := c.HTTP().Do(req)
	if err == nil {
		_ = resp.Body.Close()
		return nil
	}
	return err
}

// TestCorpus calls what has led other clients into a house: each URL is refused by
// the rules, wherever a server listens.
func TestCorpus(t *testing.T) {
	var hits atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	c := New(Rules{Timeout: 5 * time.Second})
	for _, u := range []string{
		"http://127.0.0.1:%s/", "https://127.0.0.1:%s/", "http://localhost:%s/", "https://localhost:%s/", "http://127.1:%s/", "http://127.0.1:%s/", "http://0:%s/", "https://0.0.0.0:%s/",
		"http://2130706433:%s/", "https://2130706433:%s/", "https://0x7f000001:%s/", "https://0x7f.0x0.0x0.0x1:%s/", "https://0177.0.0.1:%s/", "https://017700000001:%s/", "https://127.0.0.1.:%s/", "https://0x7F.1:%s/",
		"https://[::1]:%s/", "https://[::]:%s/", "https://[::ffff:127.0.0.1]:%s/", "https://[::ffff:7f00:1]:%s/", "https://[0:0:0:0:0:ffff:127.0.0.1]:%s/", "https://[::127.0.0.1]:%s/", "https://[64:ff9b::127.0.0.1]:%s/",
		"https://user@127.0.0.1:%s/", "https://example.com@127.0.0.1:%s/", "https://example.com:443@127.0.0.1:%s/", "https://127.0.0.1:%s@example.com/", "https://127.0.0.1%%00.example.com:%s/", "https://127.0.0.1\\@example.com:%s/",
		"http://[::1%%25lo]:%s/", "https://①②⑦.0.0.1:%s/", "https://127。0。0。1:%s/", "https://127.0.0.1%%0d%%0aHost:%s/", "https://127.0.0.1:%s\r\nX: y/", "file:///etc/passwd", "gopher://127.0.0.1:%s/", "ftp://127.0.0.1:%s/", "dict://127.0.0.1:%s/",
		"http://169.254.169.254/latest/meta-data/", "https://169.254.169.254/", "https://[fd00:ec2::254]/", "https://100.100.100.200/", "https://192.0.0.192/", "https://168.63.129.16/", "https://2852039166/", "https://0xa9fea9fe/",
		"https://10.0.0.1/", "https://192.168.0.1/", "https://172.16.0.1/", "https://100.64.0.1/", "https://224.0.0.1/", "https://255.255.255.255/", "https://[fe80::1]/", "https://[ff02::1]/", "http://93.184.216.34/", "http://example.com/",
	} {
		if strings.Contains(u, "%s") {
			u = fmt.Sprintf(u, port)
		}
		err := refusedBy(t, c, u)
		var ours *Error
		var dns *net.DNSError
		if err == nil || !errors.As(err, &ours) && !errors.As(err, &dns) && !strings.Contains(err.Error(), "parse ") {
			t.Errorf("%q: %v", u, err)
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("%d calls arrived", n)
	}
	if err := refusedBy(t, New(Rules{Allow: loopback}), srv.URL); err != nil || hits.Load() != 1 {
		t.Errorf("loopback, where it is allowed: %v, %d calls", err, hits.Load())
	}
}

// TestRebinding: a name whose first answer is harmless and whose next is not gets
// nowhere, because what is dialled is judged and not what was looked up before.
func TestRebinding(t *testing.T) {
	var hits, asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	// 192.0.2.1 leads nowhere; the rule lets it pass, as a public address would.
	answers := [][4]byte{{192, 0, 2, 1}, {127, 0, 0, 1}, {169, 254, 169, 254}}
	r := resolver(t, func() [4]byte { return answers[min(int(asked.Add(1))-1, len(answers)-1)] })
	c := New(Rules{Resolver: r, Timeout: 2 * time.Second, Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	for i := range 3 {
		err := refusedBy(t, c, "https://rebind.example:"+port+"/")
		var ours *Error
		if i > 0 && !errors.As(err, &ours) {
			t.Errorf("answer %v: %v", answers[i], err)
		}
		if err == nil {
			t.Errorf("answer %v was called", answers[i])
		}
	}
	if hits.Load() != 0 || asked.Load() < 3 {
		t.Errorf("%d calls arrived, %d questions were asked", hits.Load(), asked.Load())
	}
}

// resolver answers every question for an IPv4 address by next, for no time at all.
func resolver(t *testing.T, next func() [4]byte) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = pc.WriteTo(dnsAnswer(buf[:n], next), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

// dnsAnswer answers the one question of a DNS message (RFC 1035 section 4).
func dnsAnswer(q []byte, next func() [4]byte) []byte {
	end := 12
	for end < len(q) && q[end] != 0 {
		end += int(q[end]) + 1
	}
	end += 5
	if end > len(q) {
		return nil
	}
	a := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end]...)
	if binary.BigEndian.Uint16(q[end-4:]) == 1 { // an A record
		ip := next()
		a[7] = 1
		a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		a = append(a, ip[:]...)
	}
	return a
}

// TestPlainStaysHere: what is sent without TLS reaches loopback only, whoever
// answers for its name.
func TestPlainStaysHere(t *testing.T) {
	c := New(Rules{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	ctx := context.WithValue(t.Context(), plain{}, true)
	var ours *Error
	if err := c.control(ctx, "tcp4", "192.0.2.1:80", nil); !errors.As(err, &ours) {
		t.Errorf("got %v", err)
	}
	if err := c.control(t.Context(), "tcp4", "192.0.2.1:443", nil); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestNoRedirects(t *testing.T) {
	var inner atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inner.Add(1) }))
	defer target.Close()
	for _, to := range []string{"http://169.254.169.254/latest/meta-data/iam/", target.URL, "https://example.com/", "file:///etc/passwd", "//evil.example/"} {
		for _, code := range []int{301, 302, 303, 307, 308} {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", to)
				w.WriteHeader(code)
			}))
			err := refusedBy(t, New(Rules{Allow: loopback}), srv.URL)
			var ours *Error
			if !errors.As(err, &ours) {
				t.Errorf("%d to %s: %v", code, to, err)
			}
			srv.Close()
		}
	}
	if inner.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestNoProxyFromTheEnvironment(t *testing.T) {
	var hits atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	_ = refusedBy(t, New(Rules{Timeout: time.Second}), "https://192.0.2.1/")
	_ = refusedBy(t, New(Rules{Timeout: time.Second}), "http://192.0.2.1/")
	if hits.Load() != 0 {
		t.Error("the proxy was asked")
	}
}

// TestBounds: an answer that is too long, too slow, or unfolds is an error in bounded
// time and memory.
func TestBounds(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 8<<20))
	_ = z.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/exact", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1000)) })
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1001)) })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write([]byte("."))
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/bomb", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, _ *http.Request) {
		for i := range 200 {
			w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("a", 1000))
		}
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	c := New(Rules{Allow: loopback, MaxBody: 1000, Timeout: 2 * time.Second})
	for path, good := range map[string]bool{"/exact": true, "/long": false, "/endless": false, "/slow": false, "/silent": false, "/bomb": false, "/headers": false} {
		began := time.Now()
		resp, err := c.HTTP().Get(srv.URL + path)
		n := 0
		if err == nil {
			var b []byte
			b, err = io.ReadAll(resp.Body)
			n = len(b)
			_ = resp.Body.Close()
		}
		if (err == nil) != good || n > 1000 || good && n != 1000 {
			t.Errorf("%s: %d bytes, %v", path, n, err)
		}
		if (path == "/long" || path == "/endless") && !errors.Is(err, ErrTooLong) {
			t.Errorf("%s: %v", path, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s took %s", path, took)
		}
	}
}

// TestTLS: an old version and a certificate of nobody we know are refused, one of
// the configured roots is accepted.
func TestTLS(t *testing.T) {
	quiet := func(max uint16) *httptest.Server {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		srv.TLS = &tls.Config{MaxVersion: max, MinVersion: tls.VersionTLS10}
		srv.Config.ErrorLog = nil
		srv.StartTLS()
		t.Cleanup(srv.Close)
		return srv
	}
	old, now := quiet(tls.VersionTLS11), quiet(0)
	roots := x509.NewCertPool()
	roots.AddCert(now.Certificate())
	c := New(Rules{Allow: loopback, Roots: roots})
	if err := refusedBy(t, c, now.URL); err != nil {
		t.Error(err)
	}
	if err := refusedBy(t, c, old.URL); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	if err := refusedBy(t, New(Rules{Allow: loopback}), now.URL); err == nil {
		t.Error("a certificate of nobody we know is accepted")
	}
}

// TestRequests: what is sent cannot be made to hold a second call, or to name
// another host than it goes to.
func TestRequests(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	var heard atomic.Int32
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if line, _ := bufio.NewReader(conn).ReadString('\n'); line != "" {
				heard.Add(1)
			}
			_ = conn.Close()
		}
	}()
	c := New(Rules{Allow: loopback, Timeout: time.Second})
	for name, change := range map[string]func(*http.Request){
		"a line break in a header": func(r *http.Request) { r.Header.Set("X-A", "b\r\nHost: evil") },
		"a line break in a method": func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nX:" },
		"another host":             func(r *http.Request) { r.Host = "evil.example" },
		"an opaque URL":            func(r *http.Request) { r.URL.Opaque = "//evil.example/" },
		"a line break in a host":   func(r *http.Request) { r.URL.Host += "\r\nX: y" },
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+ln.Addr().String()+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		change(req)
		if resp, err := c.HTTP().Do(req); err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s: sent", name)
		}
	}
	if heard.Load() != 0 {
		t.Errorf("%d calls were heard", heard.Load())
	}
}

// TestDial is the same filter for other protocols.
func TestDial(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	var ours *Error
	if _, err := New(Rules{}).DialContext(t.Context(), "tcp", ln.Addr().String()); !errors.As(err, &ours) {
		t.Errorf("loopback: %v", err)
	}
	conn, err := New(Rules{Allow: loopback}).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if _, err := New(Rules{Allow: loopback}).DialContext(t.Context(), "udp", ln.Addr().String()); err == nil {
		t.Error("UDP is dialled")
	}
}
