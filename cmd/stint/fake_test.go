package main

import (
	"context"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/api"
)

// fake is a small Stint that speaks internal/api over real HTTP and checks
// every proof. Nothing happens on it by itself: what becomes of a request is
// told by its role, and by the test that plays the other persons.
//
//	reader   active at once            broken   cannot be set up
//	writer   after approval by a dba   slow     stays in provisioning
//	owner    denied by policy          hostile  as reader, with hostile text
//	                                   lent     as reader, on one's own account
type fake struct {
	*httptest.Server
	log *fakeLog

	mu         sync.Mutex // guards what follows
	changed    chan struct{}
	logins     map[string]fakeLogin // by token
	requests   []*api.Request       // oldest first
	sealTo     map[string][]byte    // by request
	waiting    int                  // calls that are held
	stop       api.Stop
	seen       []string // method and path of each call
	down       bool     // answers nothing any more
	provider   bool     // a browser can sign in
	polls      []string // what a polling device is told, one after the other; then it is signed in
	favourites []api.Favourite
	authority  ssh.Signer // of certificates; made when it is first needed
	address    string     // of the host that they are for, and its account; "": one that is not there
	account    string
	revoked    []uint64 // serials of certificates that ended early
	badList    bool     // the list of them is not one
}

// fakeAuthority stands for a certificate authority; nobody checks it here.
const fakeAuthority = "-----BEGIN CERTIFICATE-----\nfake\n-----END CERTIFICATE-----\n"

type fakeLogin struct {
	principal, thumbprint string
	sealKey               []byte
	service               bool
}

func newFake(tb testing.TB) *fake {
	f := &fake{changed: make(chan struct{}), logins: map[string]fakeLogin{}, sealTo: map[string][]byte{}, log: newFakeLog(tb)}
	f.logins["stint_service"] = fakeLogin{principal: "service:ci", service: true}
	mux := http.NewServeMux()
	f.routes(mux)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.seen = append(f.seen, r.Method+" "+r.URL.Path)
		down := f.down
		f.mu.Unlock()
		if down {
			panic(http.ErrAbortHandler)
		}
		mux.ServeHTTP(w, r)
	}))
	tb.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
	})
	return f
}

// change wakes those who wait.
func (f *fake) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	close(f.changed)
	f.changed = make(chan struct{})
}

// held waits until a call is held, which is when the program is waiting.
func (f *fake) held(ctx context.Context) error {
	for {
		f.mu.Lock()
		n, changed := f.waiting, f.changed
		f.mu.Unlock()
		if n > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// handler answers a call of who with a value or an error.
type handler func(who fakeLogin, r *http.Request, body []byte) (any, error)

func (f *fake) route(mux *http.ServeMux, pattern string, h handler) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		who, err := f.caller(r, body)
		var v any
		if err == nil {
			v, err = h(who, r, body)
		}
		answer(w, v, err)
	})
}

func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		e, ok := err.(*api.Error)
		if !ok {
			e = &api.Error{Kind: api.Internal, Code: "internal", Message: err.Error()}
		}
		e = e.Complete()
		e.Trace = "01TRACE"
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(e.Status)
		_ = json.NewEncoder(w).Encode(e)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // as AuditRecord demands
	_ = enc.Encode(v)
}

// caller checks proof and token as a server does.
func (f *fake) caller(r *http.Request, body []byte) (fakeLogin, error) {
	proof, err := api.ReadProof(r.Header)
	if err != nil {
		return fakeLogin{}, err
	}
	public := r.URL.Path == "/v1/enroll" || r.URL.Path == "/v1/break-glass/login" || r.URL.Path == "/v1/log/key" || r.URL.Path == "/v1/sign-in" || strings.HasPrefix(r.URL.Path, "/v1/login/")
	var token api.Secret
	var service bool
	if !public {
		if token, service, err = api.ReadToken(r.Header); err != nil {
			return fakeLogin{}, err
		}
	}
	u := *r.URL
	u.Scheme, u.Host = "http", r.Host
	p, err := api.VerifyProof(proof, api.Call{Method: r.Method, URL: &u, Body: sha256.Sum256(body), Token: token}, time.Now(), time.Minute)
	if err != nil || public {
		return fakeLogin{thumbprint: p.Thumbprint}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	who, ok := f.logins[token.Reveal()]
	if !ok || who.service != service || !service && who.thumbprint != p.Thumbprint {
		return fakeLogin{}, &api.Error{Kind: api.Unauthenticated, Code: "bad-token", Message: "the sign-in is not valid"}
	}
	return who, nil
}

func (f *fake) find(id string) (*api.Request, error) {
	for _, r := range f.requests {
		if strings.HasPrefix(r.ID, id) || r.Grant != nil && strings.HasPrefix(r.Grant.ID, id) {
			return r, nil
		}
	}
	return nil, &api.Error{Kind: api.NotFound, Code: "not-found", Message: "there is no such request"}
}

// submit decides by the role.
func (f *fake) submit(who fakeLogin, r *http.Request, body []byte) (any, error) {
	var ask api.Ask
	if err := json.Unmarshal(body, &ask); err != nil {
		return nil, err
	}
	if ask.Resource != "orders-db" && ask.Resource != hostResource {
		return nil, &api.Error{Kind: api.NotFound, Code: "unknown-resource", Message: "there is no resource " + ask.Resource, Next: "did you mean orders-db?"}
	}
	f.mu.Lock()
	n := len(f.requests) + 1
	req := &api.Request{ID: fmt.Sprintf("req_%026d", n), State: api.RequestApproved, Principal: who.principal, Person: strings.TrimPrefix(who.principal, "user:"),
		Resource: ask.Resource, Role: ask.Role, Duration: ask.Duration, Granted: ask.Duration, Reason: ask.Reason, Ticket: ask.Ticket,
		Digest: fmt.Sprintf("sha256:%064d", n), CreatedAt: api.At(time.Now()), Votes: []api.Vote{},
		Decision: api.Decision{Outcome: api.OutcomeAllow, Approvals: []api.Approval{},
			Reasons: []api.Reason{{Policy: "orders-read", Source: "policy.yaml:31", Text: "platform may read orders"}}}}
	f.mu.Unlock()
	f.decide(req)
	if ask.DryRun {
		req.ID, req.Grant, req.DryRun, req.CreatedAt = "", nil, true, api.Time{}
		return req, nil
	}
	if req.State == api.RequestDenied && ask.Reason == "unrecorded" {
		return nil, &api.Error{Kind: api.Denied, Code: "reason-too-short", Message: "denied by policy", Why: "orders-read asks for a reason of 10 characters (policy.yaml:31)"}
	}
	seal := who.sealKey
	if who.service {
		seal = ask.SealKey
	}
	f.change(func() {
		f.requests = append(f.requests, req)
		f.sealTo[req.ID] = seal
	})
	return *req, nil
}

// decide gives the request the fate of its role.
func (f *fake) decide(r *api.Request) {
	switch r.Role {
	case "owner":
		r.State, r.Granted, r.Decision.Outcome = api.RequestDenied, "", api.OutcomeDeny
		r.Decision.Reasons = []api.Reason{{Policy: "freeze", Source: "policy.yaml:44", Text: "nobody changes orders on Sunday"}}
		if r.Reason == "a fire" { // then it is open to them
			r.BreakGlass = "reader"
		}
	case "writer":
		r.State, r.Granted, r.Decision.Outcome = api.RequestPending, "", api.OutcomeApprove
		r.Decision.Approvals = []api.Approval{{From: []string{"group:dba"}, Count: 1}}
	case "broken":
		f.grant(r, api.GrantFailed)
		r.Grant.EndReason, r.Grant.Detail = api.EndFailed, "the target refused the connector's password"
	case "slow":
		f.grant(r, api.GrantProvisioning)
		r.Grant.Detail = "the target does not answer"
	case "hostile":
		f.grant(r, api.GrantActive)
		r.Decision.Reasons[0].Text = "bell\a and \x1b]0;title\a"
	default:
		f.grant(r, api.GrantActive)
	}
	if r.Role == "lent" {
		r.Grant.Account = "mira_dba"
	}
}

func (f *fake) grant(r *api.Request, s api.GrantState) {
	now := time.Now()
	d, err := api.ParseDuration(r.Duration)
	if err != nil {
		panic(err)
	}
	r.State, r.Granted = api.RequestApproved, r.Duration
	r.Grant = &api.Grant{ID: "grt_" + strings.TrimPrefix(r.ID, "req_"), State: s, ExpiresAt: api.At(now.Add(d))}
	if s == api.GrantActive {
		r.Grant.ActiveAt = api.At(now)
	}
}

// end is the end of a grant as one step.
func end(r *api.Request, why api.EndReason) {
	now := api.At(time.Now())
	r.Grant.State, r.Grant.EndReason, r.Grant.EndedAt, r.Grant.VerifiedGoneAt = api.GrantEnded, why, now, now
}

// hold answers with the request once it has got as far as asked.
func (f *fake) hold(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
	wait, _ := time.ParseDuration(r.URL.Query().Get("wait"))
	until := time.NewTimer(wait)
	defer until.Stop()
	for {
		f.mu.Lock()
		req, err := f.find(r.PathValue("id"))
		var now api.Request
		if err == nil {
			now = *req
			if req.Grant != nil {
				g := *req.Grant
				now.Grant = &g
			}
		}
		changed := f.changed
		f.mu.Unlock()
		if err != nil || wait == 0 || now.Reached(api.Until(r.URL.Query().Get("for"))) {
			return now, err
		}
		f.change(func() { f.waiting++; changed = nil })
		f.mu.Lock()
		changed = f.changed
		f.mu.Unlock()
		select {
		case <-r.Context().Done():
		case <-until.C:
			wait = 0
		case <-changed:
		}
		f.mu.Lock()
		f.waiting--
		f.mu.Unlock()
		if r.Context().Err() != nil {
			return now, r.Context().Err()
		}
	}
}

// onRequest lets do change a request.
func (f *fake) onRequest(do func(who fakeLogin, r *api.Request, body []byte) error) handler {
	return func(who fakeLogin, hr *http.Request, body []byte) (out any, err error) {
		f.change(func() {
			var r *api.Request
			if r, err = f.find(hr.PathValue("id")); err == nil {
				if err = do(who, r, body); err == nil {
					out = *r
				}
			}
		})
		return out, err
	}
}

func (f *fake) vote(approve bool) handler {
	return f.onRequest(func(who fakeLogin, r *api.Request, body []byte) error {
		var v api.VoteAsk
		if err := json.Unmarshal(body, &v); err != nil {
			return err
		}
		switch {
		case v.Digest != r.Digest:
			return &api.Error{Kind: api.Conflict, Code: "digest-differs", Message: "the request is not the one that was read"}
		case r.State != api.RequestPending:
			return &api.Error{Kind: api.Conflict, Code: "already-decided", Message: "the request is already " + string(r.State)}
		case who.principal == r.Principal:
			return &api.Error{Kind: api.Denied, Code: "own-request", Message: "nobody approves their own request"}
		}
		r.Votes = append(r.Votes, api.Vote{Principal: who.principal, Person: strings.TrimPrefix(who.principal, "user:"), Approve: approve,
			For: v.For, Note: v.Note, At: api.At(time.Now())})
		if !approve {
			r.State = api.RequestDenied
			return nil
		}
		f.grant(r, api.GrantActive)
		if v.For != "" {
			r.Granted = v.For
		}
		return nil
	})
}

// credential seals to the device that asked, as a server does.
func (f *fake) credential(who fakeLogin, hr *http.Request, _ []byte) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, err := f.find(hr.PathValue("id"))
	switch {
	case err != nil:
		return nil, err
	case r.Principal != who.principal:
		return nil, &api.Error{Kind: api.Denied, Code: "not-yours", Message: "the credential is only for its holder"}
	case r.Grant == nil || r.Grant.State != api.GrantActive:
		return nil, &api.Error{Kind: api.Conflict, Code: "not-active", Message: "the grant is not active"}
	case r.Grant.Account != "":
		return nil, &api.Error{Kind: api.NotFound, Code: "no-credential", Message: "this grant comes without a credential"}
	}
	uri := url.URL{Scheme: "postgres", User: url.UserPassword("s_mira", "p w/1"), Host: "127.0.0.1:5432", Path: "orders",
		RawQuery: "sslmode=verify-full"}
	plain, err := json.Marshal(api.Credential{Type: "postgres", URI: api.Secret(uri.String()), Username: "s_mira", Password: "p w/1",
		Host: "127.0.0.1", Port: 5432, Database: "orders", CA: fakeAuthority, ExpiresAt: r.Grant.ExpiresAt})
	if err != nil {
		return nil, err
	}
	key, err := ecdh.X25519().NewPublicKey(f.sealTo[r.ID])
	if err != nil {
		return nil, err
	}
	to, err := hpke.NewDHKEMPublicKey(key)
	if err != nil {
		return nil, err
	}
	sealed, err := hpke.Seal(to, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(api.CredentialInfo(r.Grant.ID)), plain)
	return api.SealedCredential{Request: r.ID, Grant: r.Grant.ID, Sealed: sealed, ExpiresAt: r.Grant.ExpiresAt}, err
}
