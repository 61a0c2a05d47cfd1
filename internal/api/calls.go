package api

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The calls of people and services. Each is one endpoint; ids may be any
// unambiguous prefix, of a request or of its grant.

// Wait asks the server to hold its answer until the request has got somewhere,
// or the time is up; the zero Wait asks for an answer at once.
type Wait struct {
	For  Until
	Time time.Duration
}

func (w Wait) query() url.Values {
	q := url.Values{}
	if w.Time > 0 {
		q.Set("for", string(w.For))
		q.Set("wait", FormatDuration(w.Time.Round(time.Second)))
	}
	return q
}

// List says which part of a list is wanted.
type List struct {
	Cursor string // Page.Next of the page before; empty for the first
	Limit  int    // 0: as the server likes
}

func (l List) query() url.Values {
	q := url.Values{}
	set(q, "cursor", l.Cursor)
	if l.Limit > 0 {
		q.Set("limit", strconv.Itoa(l.Limit))
	}
	return q
}

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// Each goes through all pages of a list, until the first error.
func Each[T any](page func(cursor string) (Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for cursor := ""; ; {
			p, err := page(cursor)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range p.Items {
				if !yield(item, nil) {
					return
				}
			}
			// A cursor that stands still would go round for ever.
			if p.Next == "" || p.Next == cursor {
				return
			}
			cursor = p.Next
		}
	}
}

// Enroll exchanges a one-time code for a login on the client's device. With
// bootstrap, the code is the server's bootstrap token and name becomes the
// first administrator. Token is not set by it: the caller keeps the result.
func (c *Client) Enroll(ctx context.Context, code Secret, bootstrap bool, name string) (LoginResult, error) {
	if c.Device == nil {
		return LoginResult{}, errNoDevice
	}
	in := Enroll{Code: code, Device: c.Device.JWK(), SealKey: c.Device.SealKey(), Bootstrap: bootstrap, Name: name}
	return get[LoginResult](ctx, c, call{method: http.MethodPost, path: []string{"enroll"}, in: in, noToken: true})
}

// Whoami says who the caller is.
func (c *Client) Whoami(ctx context.Context) (Whoami, error) {
	return get[Whoami](ctx, c, call{method: http.MethodGet, path: []string{"whoami"}})
}

// Logout ends the login, for which the token is good no more.
func (c *Client) Logout(ctx context.Context) error {
	return c.do(ctx, call{method: http.MethodPost, path: []string{"logout"}})
}

// LogKey is the audit log's public key as the server says it. Verify with the
// one pinned at sign-in, not with this one.
func (c *Client) LogKey(ctx context.Context) (LogKey, error) {
	return get[LogKey](ctx, c, call{method: http.MethodGet, path: []string{"log", "key"}})
}

// Submit asks for access.
func (c *Client) Submit(ctx context.Context, ask Ask, w Wait) (Request, error) {
	if c.Service && c.Device != nil && ask.SealKey == nil {
		ask.SealKey = c.Device.SealKey()
	}
	return get[Request](ctx, c, call{method: http.MethodPost, path: []string{"requests"}, query: w.query(), in: ask, wait: w.Time})
}

// Request reads one request.
func (c *Client) Request(ctx context.Context, id string, w Wait) (Request, error) {
	return get[Request](ctx, c, call{method: http.MethodGet, path: []string{"requests", id}, query: w.query(), wait: w.Time})
}

// RequestList narrows a list of requests.
type RequestList struct {
	List
	State RequestState // empty: every
	Mine  bool         // only one's own
}

// Requests lists requests, newest first.
func (c *Client) Requests(ctx context.Context, l RequestList) (Page[Request], error) {
	q := l.query()
	set(q, "state", string(l.State))
	if l.Mine {
		q.Set("mine", "true")
	}
	return get[Page[Request]](ctx, c, call{method: http.MethodGet, path: []string{"requests"}, query: q})
}

// Approvals lists the pending requests that wait for the caller's vote.
func (c *Client) Approvals(ctx context.Context, l List) (Page[Request], error) {
	return get[Page[Request]](ctx, c, call{method: http.MethodGet, path: []string{"approvals"}, query: l.query()})
}

// Grants lists live grants, each as the request it belongs to.
func (c *Client) Grants(ctx context.Context, l List) (Page[Request], error) {
	return get[Page[Request]](ctx, c, call{method: http.MethodGet, path: []string{"grants"}, query: l.query()})
}

// Approve votes for a request.
func (c *Client) Approve(ctx context.Context, id string, v VoteAsk) (Request, error) {
	return c.onRequest(ctx, id, "approve", v)
}

// Deny votes against a request; the vote's note says why.
func (c *Client) Deny(ctx context.Context, id string, v VoteAsk) (Request, error) {
	return c.onRequest(ctx, id, "deny", v)
}

// Cancel takes back one's own pending request.
func (c *Client) Cancel(ctx context.Context, id string) (Request, error) {
	return c.onRequest(ctx, id, "cancel", nil)
}

// Question asks who wants access something about a request; only who is asked to
// decide it may.
func (c *Client) Question(ctx context.Context, id, text string) (Request, error) {
	return c.onRequest(ctx, id, "question", RemarkAsk{Text: text})
}

// Answer answers the questions about one's own request.
func (c *Client) Answer(ctx context.Context, id, text string) (Request, error) {
	return c.onRequest(ctx, id, "answer", RemarkAsk{Text: text})
}

// End gives back one's own grant before its time.
func (c *Client) End(ctx context.Context, id string) (Request, error) {
	return c.onRequest(ctx, id, "end", nil)
}

// Extend asks for more time; the answer is a new request.
func (c *Client) Extend(ctx context.Context, id string, e ExtendAsk) (Request, error) {
	return c.onRequest(ctx, id, "extend", e)
}

func (c *Client) onRequest(ctx context.Context, id, verb string, in any) (Request, error) {
	return get[Request](ctx, c, call{method: http.MethodPost, path: []string{"requests", id, verb}, in: in})
}

// Credential fetches and opens the credential of one's own active grant. The
// server logs it first.
func (c *Client) Credential(ctx context.Context, id string) (Credential, error) {
	sealed, err := get[SealedCredential](ctx, c, call{method: http.MethodPost, path: []string{"requests", id, "credential"}})
	if err != nil {
		return Credential{}, err
	}
	return c.Device.OpenCredential(sealed)
}

// CredentialAnew is Credential for who has one already, of the digest known ("": none). It
// reports false, and nothing was shown, where that is the newest. The digest is of what is.
func (c *Client) CredentialAnew(ctx context.Context, id, known string) (got Credential, digest string, anew bool, err error) {
	k := call{method: http.MethodPost, path: []string{"requests", id, "credential"}}
	if known != "" {
		k.query = url.Values{"known": {known}}
	}
	sealed, err := get[SealedCredential](ctx, c, k)
	if err != nil || sealed.Unchanged {
		return Credential{}, known, false, err
	}
	if digest = SealedDigest(sealed.Sealed); digest == known {
		return Credential{}, known, false, nil
	}
	got, err = c.Device.OpenCredential(sealed)
	return got, digest, err == nil, err
}

func get[T any](ctx context.Context, c *Client, k call) (T, error) {
	var out T
	k.out = &out
	err := c.do(ctx, k)
	if err != nil {
		var zero T
		return zero, err
	}
	return out, nil
}
