package httpgate

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"

	"stint/internal/access"
	"stint/internal/gateway"
)

// Logins gives the login of a session at its application. It is asked once for each
// session, as it begins; the gateway has what it gives for as long as the session goes on.
type Logins interface {
	Login(ctx context.Context, id gateway.SessionID) (Login, error)
}

// Login is what the gateway says to an application in a person's place, and no one sees.
// Its zero value is none.
type Login struct {
	header, value string
	certificate   *tls.Certificate
	form          *formLogin
}

// Basic is a name and a password (RFC 7617).
func Basic(user, password string) (Login, error) {
	if strings.Contains(user, ":") {
		return Login{}, access.Fail(access.Invalid, "bad-login", "a name for basic authentication has no colon")
	}
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return Header("Authorization", r.Header.Get("Authorization"))
}

// Bearer is a token (RFC 6750).
func Bearer(token string) (Login, error) { return Header("Authorization", "Bearer "+token) }

// Header is a header by which an application knows who is allowed.
func Header(name, value string) (Login, error) {
	if !token(name) || !visible(value) || value == "" {
		return Login{}, access.Fail(access.Invalid, "bad-login", "the login is no header that can be sent")
	}
	switch name = http.CanonicalHeaderKey(name); name {
	case "Host", "Connection", "Upgrade", "Transfer-Encoding", "Content-Length", "Trailer", "Te", "Cookie", AssertionHeader:
		return Login{}, access.Fail(access.Invalid, "bad-login", "a login cannot be in the header "+name)
	}
	return Login{header: name, value: value}, nil
}

// Certificate is a client certificate with its key.
func Certificate(c tls.Certificate) (Login, error) {
	if len(c.Certificate) == 0 || c.PrivateKey == nil {
		return Login{}, access.Fail(access.Invalid, "bad-login", "the login is no certificate with its key")
	}
	return Login{certificate: &c}, nil
}

func token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
}

func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

func (l Login) sends() bool { return l.header != "" || l.form != nil }

// put adds the login to a request, in place of whatever the client had there.
func (l Login) put(h http.Header) {
	if l.header != "" {
		h[l.header] = []string{l.value}
	}
}

// Format hides it.
func (l Login) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[login]")) }

// MarshalText hides it.
func (l Login) MarshalText() ([]byte, error) { return []byte("[login]"), nil }
