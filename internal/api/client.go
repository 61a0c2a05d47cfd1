package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Client makes calls to one control plane from one device. Set its fields
// before the first call and not after; then it is safe for concurrent use.
type Client struct {
	Server  *url.URL // see ParseServer
	Device  *Device
	Token   Secret // empty before sign-in
	Service bool   // Token is a service's
	// Fresh, if set, gives the token of each call, instead of Token: for logins that
	// are shorter than what is done with them. Its errors are those of the call.
	Fresh     func(context.Context) (Secret, error)
	UserAgent string

	// HTTP makes the connections; nil for a client with good limits. Its
	// redirect rule and cookies are not used.
	HTTP *http.Client
	// Patience is how long a call goes on trying while the server cannot be
	// reached or says 503; 0 is two seconds, less than 0 is one attempt.
	Patience time.Duration
	// Now is the clock that proofs are dated with; nil is time.Now.
	Now func() time.Time

	skew  atomic.Int64 // nanoseconds that the server's clock is ahead
	begin sync.Once
	http  *http.Client
}

const (
	defaultPatience = 2 * time.Second
	// answerTime bounds one attempt, besides what the call itself waits for.
	answerTime = 30 * time.Second
	// maxAnswer bounds what is read of an answer that is not a stream.
	maxAnswer = 8 << 20
)

var errNoDevice = errors.New("a client without a device cannot call")

// call is one call, however many attempts it takes.
type call struct {
	method   string
	path     []string // after Prefix, not escaped
	query    url.Values
	in, out  any
	form     url.Values    // instead of in
	wait     time.Duration // how long the server may hold the answer
	patience time.Duration // 0: the client's; less than 0: one attempt
	noToken  bool
	stream   bool // the answer is not read but handed on
}

// Do makes any call: path begins after Prefix and may carry a query. in is
// sent as JSON unless nil; the answer is read into out unless nil. A refusal
// is an *Error, a server that cannot be reached an *Unreachable.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	elements, query, err := split(path)
	if err != nil {
		return err
	}
	return c.do(ctx, call{method: method, path: elements, query: query, in: in, out: out})
}

// split takes a path with a query apart, as call wants them.
func split(path string) ([]string, url.Values, error) {
	bad := &Error{Kind: Invalid, Code: "bad-path", Message: quoted(path) + " is not a path"}
	u, err := url.ParseRequestURI(path)
	if err != nil || u.Host != "" || !strings.HasPrefix(u.Path, "/") {
		return nil, nil, bad
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, nil, bad
	}
	elements := strings.Split(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	for i, e := range elements {
		if elements[i], err = url.PathUnescape(e); err != nil {
			return nil, nil, bad
		}
	}
	return elements, query, nil
}

func (c *Client) do(ctx context.Context, k call) error {
	res, err := c.send(ctx, k)
	if err != nil {
		return err
	}
	return res.read(k.out)
}

// send makes attempts until there is an answer that is not a passing trouble.
func (c *Client) send(ctx context.Context, k call) (*answer, error) {
	u, err := c.address(k)
	if err != nil {
		return nil, err
	}
	var body []byte
	if k.in != nil {
		if body, err = json.Marshal(k.in); err != nil {
			return nil, fmt.Errorf("%s %s: %w", k.method, u.Path, err)
		}
	}
	if k.form != nil {
		body = []byte(k.form.Encode())
	}
	key := ""
	if k.method != http.MethodGet {
		var b [16]byte
		rand.Read(b[:]) // never fails
		key = hex.EncodeToString(b[:])
	}
	tries := newTries(c.patience(k))
	for {
		res, err := c.attempt(ctx, k, u, body, key)
		if err == nil {
			return res, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !c.freshProofHelps(err, tries) && !tries.again(ctx, err) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, publicOf(err)
		}
	}
}

// attempt is one HTTP exchange, with a proof of its own.
func (c *Client) attempt(ctx context.Context, k call, u *url.URL, body []byte, key string) (*answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(answerTime+k.wait, func() { cancel(errNoAnswer) })
	done := func() { late.Stop(); cancel(nil) }

	req, err := http.NewRequestWithContext(ctx, k.method, u.String(), bytes.NewReader(body))
	if err == nil {
		err = c.dress(ctx, req, k, body, key)
	}
	if err != nil {
		done()
		return nil, err
	}
	res, err := c.client().Do(req)
	if err != nil {
		err = unreachable(c.Server, err, context.Cause(ctx))
		done()
		return nil, err
	}
	if k.stream && res.StatusCode < 300 {
		late.Stop()
		return streamed(c.Server, res, cancel)
	}
	defer done()
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, unreachable(c.Server, err, context.Cause(ctx))
	}
	a := &answer{status: res.StatusCode, header: res.Header, text: text}
	return a, a.refusal()
}

// dress puts on the headers: token, proof, key.
func (c *Client) dress(ctx context.Context, req *http.Request, k call, body []byte, key string) error {
	h := req.Header
	h.Set("Accept", jsonType)
	if k.stream {
		h.Set("Accept", linesType)
	}
	if c.UserAgent != "" {
		h.Set("User-Agent", c.UserAgent)
	}
	if body != nil {
		h.Set("Content-Type", jsonType)
	}
	if k.form != nil {
		h.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if key != "" {
		h.Set(HeaderIdempotency, key)
	}
	about := Call{Method: k.method, URL: req.URL, Body: sha256.Sum256(body)}
	token := c.Token
	if c.Fresh != nil && !k.noToken {
		var err error
		if token, err = c.Fresh(ctx); err != nil {
			return err
		}
	}
	if !k.noToken && token != "" {
		scheme := schemeUser
		if c.Service {
			scheme = schemeService
		}
		h.Set("Authorization", scheme+" "+token.Reveal())
		about.Token = token
	}
	proof, err := c.Device.Proof(about, c.now().Add(time.Duration(c.skew.Load())))
	if err != nil {
		return err
	}
	h.Set(HeaderProof, proof)
	return nil
}

// address joins server, prefix and path. Elements are escaped; those that
// would lead elsewhere are refused.
func (c *Client) address(k call) (*url.URL, error) {
	if c.Device == nil {
		return nil, errNoDevice
	}
	if err := checkServer(c.Server); err != nil {
		return nil, err
	}
	escaped := make([]string, len(k.path))
	for i, p := range k.path {
		if p == "" || p == "." || p == ".." {
			return nil, &Error{Kind: Invalid, Code: "bad-name", Message: quoted(p) + " is not a name or an id"}
		}
		escaped[i] = url.PathEscape(p)
	}
	u, err := url.Parse(c.Server.Scheme + "://" + c.Server.Host + Prefix + "/" + strings.Join(escaped, "/"))
	if err != nil {
		return nil, fmt.Errorf("make the address of a call: %w", err)
	}
	u.RawQuery = k.query.Encode()
	return u, nil
}

func (c *Client) patience(k call) time.Duration {
	switch {
	case c.Patience < 0, k.patience < 0:
		return 0
	case k.patience > 0:
		return k.patience
	case c.Patience > 0:
		return c.Patience
	}
	return defaultPatience
}

func (c *Client) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c *Client) client() *http.Client {
	c.begin.Do(func() {
		h := &http.Client{Transport: newTransport()}
		if c.HTTP != nil {
			clone := *c.HTTP
			h = &clone
		}
		// A redirected call would need another proof, and could take the
		// token elsewhere.
		h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		h.Jar = nil
		c.http = h
	})
	return c.http
}

// Close closes idle connections.
func (c *Client) Close() { c.client().CloseIdleConnections() }
