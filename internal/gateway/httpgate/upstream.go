package httpgate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"stint/internal/access"
	"stint/internal/gateway"
)

const (
	connectWithin = 10 * time.Second
	mostAnswer    = 256 << 10 // bytes of an answer's headers
	mostConns     = 64        // of one session to its application
)

// transport carries requests of one session to its application, whatever they say of
// where they go.
func (s *Server) transport(p *gateway.Permit, l Login) (*http.Transport, error) {
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ctx, done := context.WithTimeout(ctx, connectWithin)
			defer done()
			return s.Dial(ctx, p.Target.Address)
		},
		TLSHandshakeTimeout: connectWithin, DisableCompression: true, MaxResponseHeaderBytes: mostAnswer,
		MaxConnsPerHost: mostConns, MaxIdleConnsPerHost: mostConns, IdleConnTimeout: 30 * time.Second,
		Protocols: new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	if p.Target.Plain {
		if l.certificate != nil {
			return nil, access.Fail(access.Internal, "bad-permit", "a certificate is no login without TLS")
		}
		return t, nil
	}
	roots, err := authorities(p.Target.HostAuthorities)
	if err != nil {
		return nil, err
	}
	t.TLSClientConfig = &tls.Config{RootCAs: roots, ServerName: p.Target.Name, MinVersion: tls.VersionTLS12}
	if p.Target.Name == "" {
		return nil, access.Fail(access.Internal, "bad-permit", "the application has no name that its certificate could be for")
	}
	if l.certificate != nil {
		t.TLSClientConfig.Certificates = []tls.Certificate{*l.certificate}
	}
	return t, nil
}

// authorities are those whose word of an application's name is taken.
func authorities(all []string) (*x509.CertPool, error) {
	if len(all) == 1 && all[0] == gateway.SystemAuthorities {
		return x509.SystemCertPool()
	}
	roots := x509.NewCertPool()
	for _, a := range all {
		if !roots.AppendCertsFromPEM([]byte(a)) {
			return nil, access.Fail(access.Internal, "bad-permit", "an authority of the application is no certificate")
		}
	}
	return roots, nil
}

// away says that an application did not answer. Of errors it tells their kind only: they
// name addresses, and who may use a resource need not know where it is.
func away(err error) *access.Error {
	why := "it could not be reached, or is not the application that the resource names"
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &cert):
		why = "its certificate is not the one that the resource names"
	case errors.Is(err, context.DeadlineExceeded):
		why = fmt.Sprintf("it did not answer within %s", connectWithin)
	}
	return access.Fail(access.Unavailable, "target-away", "the application did not answer").Because(why).Wrap(err).
		Try("try again; if it stays so, ask who runs Stint to look at the resource")
}
