package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

func tlsClient(conn net.Conn, c *tls.Config) net.Conn { return tls.Client(conn, c) }

// answer is what a server said to a call.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// post sends JSON. An answer that is none of success is an error: Later where the
// server asks for that, Refused where it is about what was sent, and otherwise one
// of the channel as a whole. No error holds the body of an answer: anybody can write
// one, and it would end up in front of administrators.
func post(ctx context.Context, client *http.Client, to string, header http.Header, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return answer{}, errors.New("the address is not one to send to")
	}
	req.Header = header.Clone()
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "Stint")
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, hostOnly(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, fmt.Errorf("read the answer: %w", hostOnly(err))
	}
	a := answer{resp.StatusCode, resp.Header, b}
	return a, a.err()
}

// hostOnly takes the URL out of an error: its path and query may be a secret.
func hostOnly(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func (a answer) err() error {
	why := "the receiver answers " + strconv.Itoa(a.status)
	switch {
	case a.status >= 200 && a.status < 300:
		return nil
	case a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable:
		if d, ok := retryAfter(a.header.Get("Retry-After")); ok {
			return &Later{d, why}
		}
	case a.status == http.StatusBadRequest || a.status == http.StatusRequestEntityTooLarge || a.status == http.StatusUnprocessableEntity:
		return &Refused{why}
	}
	return errors.New(why)
}

// retryAfter reads the header of that name (RFC 9110 section 10.2.3).
func retryAfter(s string) (time.Duration, bool) {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 && n < 1<<20 {
		return time.Duration(n) * time.Second, true
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(0, time.Until(at)), true
	}
	return 0, false
}
