package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Unreachable says that there was no answer. Whether the server did what was
// asked is not known; asking again with the same Idempotency-Key, as the
// client itself does, is safe.
type Unreachable struct {
	Server string // scheme and host
	Cause  error
}

func (e *Unreachable) Error() string { return "cannot reach " + e.Server + ": " + e.Cause.Error() }

// Unwrap returns the cause.
func (e *Unreachable) Unwrap() error { return e.Cause }

var (
	errNoAnswer = errors.New("no answer in time")
	errSilent   = fmt.Errorf("nothing came for %s", FormatDuration(silence))
)

// unreachable wraps what the transport says, without the URL of url.Error,
// whose query may say more than a message should. cause is why the attempt's
// context ended, if it did.
func unreachable(server *url.URL, err, cause error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(cause, errNoAnswer) || errors.Is(cause, errSilent) {
		err = cause
	}
	return &Unreachable{Server: server.Scheme + "://" + server.Host, Cause: err}
}

// refused is a refusal with what the headers say about asking again.
type refused struct {
	public *Error
	date   time.Time     // the server's clock; zero if not said
	after  time.Duration // Retry-After; zero if not said
}

func (r *refused) Error() string { return r.public.Error() }

func (r *refused) Unwrap() error { return r.public }

func publicOf(err error) error {
	var r *refused
	if errors.As(err, &r) {
		return r.public
	}
	return err
}

// tries decides whether, and when, to ask again.
type tries struct {
	until    time.Time
	backoff  time.Duration
	skewed   bool
	replayed int
}

const (
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = 2 * time.Second
	maxReplayed  = 2
)

func newTries(patience time.Duration) *tries {
	return &tries{until: time.Now().Add(patience), backoff: firstBackoff}
}

// freshProofHelps reports whether only the proof was wrong, and mends it.
func (c *Client) freshProofHelps(err error, t *tries) bool {
	var r *refused
	if !errors.As(err, &r) {
		return false
	}
	switch r.public.Code {
	case CodeClockSkew:
		if t.skewed || r.date.IsZero() {
			return false
		}
		t.skewed = true
		c.skew.Store(int64(r.date.Sub(c.now())))
		return true
	case CodeProofReplayed:
		t.replayed++
		return t.replayed <= maxReplayed
	}
	return false
}

// again waits before the next attempt; false if there should be none.
func (t *tries) again(ctx context.Context, err error) bool {
	wait, passing := t.backoff, false
	var r *refused
	var u *Unreachable
	switch {
	case errors.As(err, &r):
		s := r.public.Status
		passing = s == http.StatusServiceUnavailable || s == http.StatusBadGateway || s == http.StatusGatewayTimeout
		wait = max(wait, r.after)
	case errors.As(err, &u):
		passing = !lasting(u.Cause)
	}
	wait += rand.N(wait/2 + 1) // so that many clients do not come back at once
	if !passing || time.Now().Add(wait).After(t.until) {
		return false
	}
	t.backoff = min(2*t.backoff, maxBackoff)
	return pause(ctx, wait)
}

// pause waits, and reports whether it was for the whole time.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// lasting reports whether asking again would give the same error.
func lasting(err error) bool {
	var cert *tls.CertificateVerificationError
	var dns *net.DNSError
	return errors.As(err, &cert) || errors.As(err, &dns) && dns.IsNotFound ||
		errors.Is(err, http.ErrSchemeMismatch) || errors.Is(err, errNoAnswer)
}

// retryAfter reads whole seconds; dates are not worth the trouble.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 || n > 3600 {
		return 0
	}
	return time.Duration(n) * time.Second
}
