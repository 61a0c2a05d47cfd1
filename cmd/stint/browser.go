package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"stint/internal/api"
	"stint/internal/moment"
)

// browserFor is how long a person may take; the server's own limits are as long.
const browserFor = 10 * time.Minute

// elsewhere signs in where a person is at a browser.
func (c *cli) elsewhere(device, open bool) func(context.Context, *connection) (api.LoginResult, error) {
	return func(ctx context.Context, conn *connection) (api.LoginResult, error) {
		how, err := conn.SignIn(ctx)
		if err == nil && !how.Browser || errors.Is(err, api.NotFound) {
			return api.LoginResult{}, &api.Error{Kind: api.Unauthenticated, Code: "no-browser-sign-in",
				Message: "sign-in by browser is not available on this server",
				Why:     "it knows local users only, who enrol each device with a one-time code",
				Next:    "get a code from an administrator (stint admin user add NAME), then stint login --enroll-token-file FILE"}
		}
		if err != nil {
			return api.LoginResult{}, err
		}
		ctx, cancel := context.WithTimeoutCause(ctx, browserFor, errNobodyCame)
		defer cancel()
		var l api.LoginResult
		if device {
			l, err = c.onDevice(ctx, conn)
		} else {
			l, err = c.inBrowser(ctx, conn, open)
		}
		if errors.Is(context.Cause(ctx), errNobodyCame) && err != nil {
			err = &api.Error{Kind: api.Expired, Code: "sign-in-late", Message: "nobody signed in within " + moment.Span(browserFor), Next: "begin again with stint login"}
		}
		return l, err
	}
}

var errNobodyCame = errors.New("nobody came")

// clientName is what the person reads in the browser.
func clientName() string {
	host, err := os.Hostname()
	if err != nil {
		return "stint"
	}
	return "stint on " + host
}

// inBrowser has the person sign in in a browser on this machine, which brings a code
// to an address here (RFC 8252 section 7.3). It is good only with a proof by this
// device and with the verifier, which never left this process (RFC 7636).
func (c *cli) inBrowser(ctx context.Context, conn *connection, open bool) (api.LoginResult, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		if ln, err = net.Listen("tcp", "[::1]:0"); err != nil {
			return api.LoginResult{}, &api.Error{Kind: api.Internal, Code: "no-loopback", Message: "the browser has no way back to this program", Why: cause(err), Next: "use stint login --device"}
		}
	}
	back := "http://" + ln.Addr().String() + "/"
	state, verifier := random(), random()
	sum := sha256.Sum256([]byte(verifier))
	at := conn.name + "/login/cli?" + url.Values{"redirect_uri": {back}, "state": {state}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])},
		"code_challenge_method": {"S256"}, "device": {conn.Device.ID()}, "client": {clientName()}}.Encode()

	w := waiter{host: ln.Addr().String(), state: state, issuer: conn.name, came: make(chan brought, 1)}
	srv := &http.Server{Handler: &w, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 32 << 10}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second) // the browser gets its page
		defer cancel()
		if srv.Shutdown(end) != nil {
			_ = srv.Close()
		}
		<-served
	}()

	c.say("sign in at " + at)
	c.say("and say yes if it shows the mark " + api.DeviceMark(conn.Device.ID()))
	if open && !c.openPage(ctx, at) {
		c.hint("no browser was opened; if there is none on this machine, use stint login --device")
	}
	select {
	case <-ctx.Done():
		return api.LoginResult{}, ctx.Err()
	case b := <-w.came:
		if b.err != nil {
			return api.LoginResult{}, b.err
		}
		return conn.RedeemTerminal(ctx, b.code, api.Secret(verifier))
	}
}

// random is 256 bits, base64url.
func random() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// waiter waits for the browser that brings the code.
type waiter struct {
	host, state, issuer string
	came                chan brought
}

type brought struct {
	code api.Secret
	err  error
}

// ServeHTTP takes the first call that knows the state. Others, such as a page that
// tries all ports, learn nothing and end nothing.
func (w *waiter) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	h := out.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	q := r.URL.Query()
	if r.Method != http.MethodGet || r.URL.Path != "/" || r.Host != w.host || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(w.state)) != 1 {
		out.WriteHeader(http.StatusNotFound)
		fmt.Fprint(out, page("This is not the page you are looking for."))
		return
	}
	var b brought
	said := "Done. You can close this page and go back to the terminal."
	switch {
	case q.Get("iss") != w.issuer: // RFC 9207
		b.err = &api.Error{Kind: api.Unauthenticated, Code: "mixed-up", Message: "the answer is by another server than the one that was asked",
			Next: "use the address that the administrators have named, with --server"}
		said = "This answer is by another server. Nobody was signed in."
	case q.Get("error") != "" || q.Get("code") == "":
		b.err = &api.Error{Kind: api.Denied, Code: "access_denied", Message: "it was refused in the browser", Next: "begin again with stint login"}
		said = "Nobody was signed in. You can close this page."
	default:
		b.code = api.Secret(q.Get("code"))
	}
	fmt.Fprint(out, page(said))
	select {
	case w.came <- b:
	default: // a second time
	}
}

func page(text string) string {
	return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>Stint</title><p>` + text + "\n"
}

// onDevice has the person confirm on another machine, RFC 8628.
func (c *cli) onDevice(ctx context.Context, conn *connection) (api.LoginResult, error) {
	d, err := conn.AskDevice(ctx, clientName())
	if err != nil {
		return api.LoginResult{}, err
	}
	c.say("open " + printable(d.VerificationURI) + " on any machine and type " + printable(d.UserCode))
	c.say("and say yes if it shows the mark " + api.DeviceMark(conn.Device.ID()))
	every := max(time.Duration(d.Interval)*time.Second, time.Second)
	for {
		select {
		case <-ctx.Done():
			return api.LoginResult{}, ctx.Err()
		case <-time.After(every):
		}
		l, err := conn.RedeemDevice(ctx, d.DeviceCode)
		var said *api.Error
		var away *api.Unreachable
		switch {
		case errors.As(err, &said) && said.Code == api.CodeSlowDown:
			every += 5 * time.Second // RFC 8628 section 3.5
		case errors.As(err, &said) && said.Code == api.CodePending, errors.As(err, &away): // it comes back, or the time is up
		default:
			return l, err
		}
	}
}
