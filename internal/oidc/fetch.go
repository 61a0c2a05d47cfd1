package oidc

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// answerWithin bounds one call to a provider, and answerBytes what it may say.
	// Real discovery documents and key sets have some kilobytes.
	answerWithin = 10 * time.Second
	answerBytes  = 1 << 20
)

var errTooMuch = errors.New("the answer is longer than a provider's may be")

// bounded is a client that follows no redirects, keeps no cookies, and reads no
// more and waits no longer than is sensible. The library reads whatever comes.
func bounded(c *http.Client) *http.Client {
	b := *c
	if b.Transport == nil {
		b.Transport = http.DefaultTransport
	}
	b.Transport = capped{b.Transport}
	b.Jar = nil
	if b.Timeout == 0 || b.Timeout > answerWithin {
		b.Timeout = answerWithin
	}
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &b
}

type capped struct{ next http.RoundTripper }

func (c capped) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= 300 && res.StatusCode < 400 {
		_ = res.Body.Close()
		return nil, fmt.Errorf("%s answers with a redirect, which is not followed", r.URL.Host)
	}
	res.Body = &cappedBody{res.Body, answerBytes}
	return res, nil
}

type cappedBody struct {
	io.ReadCloser
	left int64
}

func (b *cappedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooMuch
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1] // one more than allowed tells that there is more
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooMuch
	}
	return n, err
}
