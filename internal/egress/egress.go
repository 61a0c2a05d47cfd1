package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// Rules are what an installation decides about outgoing calls. The zero value
// allows the public Internet.
type Rules struct {
	Allow   []netip.Prefix // addresses beyond those of the public Internet, as CheckRule accepts them
	Roots   *x509.CertPool // nil: those of the system
	MaxBody int64          // bytes of an answer; 0: 4 MiB
	Timeout time.Duration  // of a whole call, its answer read to the end; 0: 15 s

	// Resolver is for tests; nil: the system's.
	Resolver *net.Resolver
}

// Defaults.
const (
	maxBody   = 4 << 20
	callLimit = 15 * time.Second
	dialLimit = 5 * time.Second
	maxHeader = 64 << 10
)

// Client makes outgoing calls. It is safe for concurrent use.
type Client struct {
	rules  Rules
	dialer *net.Dialer
	http   *http.Client
}

// Error is a call that the rules do not let pass. It is no failure of the network,
// and trying again does not help.
type Error struct{ What, Why, Next string }

func (e *Error) Error() string {
	s := e.What + ": " + e.Why
	if e.Next != "" {
		s += "; " + e.Next
	}
	return s
}

// New makes a client.
func New(r Rules) *Client {
	if r.MaxBody <= 0 {
		r.MaxBody = maxBody
	}
	if r.Timeout <= 0 {
		r.Timeout = callLimit
	}
	c := &Client{rules: r}
	c.dialer = &net.Dialer{Timeout: dialLimit, Resolver: r.Resolver, ControlContext: c.control}
	c.http = &http.Client{
		Timeout: r.Timeout,
		Transport: &transport{max: r.MaxBody, next: &http.Transport{
			Proxy: nil, DialContext: c.dialer.DialContext, ForceAttemptHTTP2: true, DisableCompression: true,
			TLSClientConfig: c.TLS(""), TLSHandshakeTimeout: dialLimit, ResponseHeaderTimeout: r.Timeout, MaxResponseHeaderBytes: maxHeader,
			MaxIdleConns: 20, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
		}},
		CheckRedirect: func(to *http.Request, via []*http.Request) error {
			return &Error{"the call to " + via[0].URL.Host + " was not finished", "the answer sends it on to " + to.URL.Host, "write the address that it sends to, if that is right"}
		},
	}
	return c
}

// HTTP is the client for calls over HTTP, and for libraries that make them.
func (c *Client) HTTP() *http.Client { return c.http }

// DialContext opens a connection to host:port under the rules, for protocols other
// than HTTP. Whoever uses it bounds what it reads, and in time.
func (c *Client) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return c.dialer.DialContext(ctx, network, address)
}

// TLS is the configuration for connections to the server of that name.
func (c *Client) TLS(server string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.rules.Roots, ServerName: server}
}

// control is called with the address that the system is about to be asked for.
func (c *Client) control(ctx context.Context, network, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !strings.HasPrefix(network, "tcp") {
		return &Error{"no call was made", network + " " + address + " is not an address of TCP", ""}
	}
	if ctx.Value(plain{}) != nil && !to.Addr().Unmap().IsLoopback() {
		return &Error{"no call was made to " + to.Addr().String(), "it would be sent unencrypted", ""}
	}
	if why := refused(to.Addr(), c.rules.Allow); why != "" {
		return &Error{"no call was made to " + to.Addr().String(), why, "if that is where it should go, allow it with stintd serve --egress-allow " + single(to.Addr())}
	}
	return nil
}

func single(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen()).String()
}

// transport checks what is sent and bounds what comes back.
type transport struct {
	next http.RoundTripper
	max  int64
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := checkRequest(req); err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // the contract of RoundTripper
		}
		return nil, err
	}
	if req.URL.Scheme == "http" {
		req = req.WithContext(context.WithValue(req.Context(), plain{}, true))
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		_ = resp.Body.Close()
		return nil, &Error{"the answer of " + req.URL.Host + " was not read", "it is encoded as " + fmt.Sprintf("%.20q", e) + ", which nobody asked for", ""}
	}
	resp.Body = &bounded{body: resp.Body, left: t.max, host: req.URL.Host}
	return resp, nil
}

var (
	hostForm   = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)
	numberForm = regexp.MustCompile(`^(0[xX][0-9a-fA-F]*|[0-9]+)$`)
)

func checkRequest(req *http.Request) error {
	u := req.URL
	bad := func(why string) error { return &Error{"no call was made to " + fmt.Sprintf("%.80q", u.Host), why, ""} }
	host := u.Hostname()
	_, notAddr := netip.ParseAddr(host)
	switch {
	case u.User != nil:
		return bad("the URL holds a user")
	case u.Opaque != "" || host == "":
		return bad("the URL names no host")
	case req.Host != "" && req.Host != u.Host:
		return bad("the call names another host than it goes to")
	case notAddr != nil && (!hostForm.MatchString(host) || numberForm.MatchString(host[strings.LastIndexByte(host, '.')+1:])):
		return bad("that is not the name of a host, and not an address as it is usually written")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && onlyHere(u):
		return nil
	case u.Scheme == "http":
		return bad("it would be sent unencrypted")
	}
	return bad("the scheme is " + fmt.Sprintf("%.20q", u.Scheme))
}

// plain marks the context of a call without TLS. It is dialled to loopback only:
// whatever answers for localhost decides nothing.
type plain struct{}

// onlyHere reports whether a URL names this host and no other.
func onlyHere(u *url.URL) bool {
	a, err := netip.ParseAddr(u.Hostname())
	return err == nil && a.Unmap().IsLoopback() || u.Hostname() == "localhost"
}

// ErrTooLong is that an answer is longer than the rules allow.
var ErrTooLong = errors.New("the answer is too long")

// bounded is a body that fails where it is too long.
type bounded struct {
	body io.ReadCloser
	left int64
	host string
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("read from %s: %w", b.host, ErrTooLong)
	}
	if int64(len(p)) > b.left+1 { // one more byte tells too long from just so long
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n - 1, fmt.Errorf("read from %s: %w", b.host, ErrTooLong)
	}
	return n, err
}

func (b *bounded) Close() error { return b.body.Close() }
