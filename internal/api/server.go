package api

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ParseServer reads the address of a control plane: https://host[:port], or
// http:// for loopback addresses only. Over plain HTTP anybody on the way could
// read an enrolment code and change an answer.
func ParseServer(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(s, "/"))
	if err != nil {
		return nil, badServer(quoted(s)+" is not an address", "")
	}
	if err := checkServer(u); err != nil {
		return nil, err
	}
	return u, nil
}

func checkServer(u *url.URL) error {
	switch {
	case u == nil || u.Host == "" || u.Hostname() == "":
		return badServer("the server's address is not like https://stint.example:7420", "")
	case u.Port() != "" && !validPort(u.Port()):
		return badServer("there is no port "+quoted(u.Port()), "a port is a number from 1 to 65535; stintd listens on 7420 unless it is told another")
	case u.User != nil:
		return badServer("the server's address must not hold a password", "sign in with stint login instead")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return badServer("the server's address must end after host and port", "leave out what follows "+u.Host)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return badServer("plain http to "+quoted(u.Host)+" is not safe", "use https://"+u.Host)
	case u.Scheme != "http" && u.Scheme != "https":
		return badServer("the server's address does not begin with https://", "")
	}
	return nil
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

func badServer(message, next string) *Error {
	if next == "" {
		next = "set STINT_SERVER, or --server, to an address like https://stint.example:7420"
	}
	return &Error{Kind: Invalid, Code: "bad-server", Message: message, Next: next}
}

// WithCertificate makes connections with a client certificate.
func WithCertificate(cert tls.Certificate) *http.Client {
	t := newTransport()
	t.TLSClientConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: t}
}

// newTransport has a limit for each step but the answer itself, which may be
// held on purpose and is bounded per call.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    5 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}
