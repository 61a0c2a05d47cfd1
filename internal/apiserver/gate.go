package apiserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/ident"
)

// maxKey bounds an idempotency key.
const maxKey = 128

// gate lets a call in or refuses it. It runs before anything of the call but
// its route is looked at.
func (s *Server) gate(hc huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(hc)
	rt := s.routes[hc.Operation().OperationID]
	f := frameOf(r.Context())
	f.route = rt.name
	c, err := s.admit(w, r, rt)
	c.trace = f.trace
	f.principal = c.Principal.ID
	if err != nil {
		s.turnAway(w, f.trace, err)
		return
	}
	if rt.held && held(r) {
		if !s.own.enter(c.waiter()) {
			s.turnAway(w, f.trace, access.Fail(access.TooMany, "too-many-waits", "you wait for too much at once").Try("let some of it end first"))
			return
		}
		defer s.own.leave(c.waiter())
	}
	// Every call has an end from here on; streams move theirs as they write.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // the body is read; a deadline left would cut a held answer short
	deadline := writeWithin
	if rt.held {
		deadline += longestWait
	}
	_ = control.SetWriteDeadline(time.Now().Add(deadline))
	next(huma.WithValue(hc, callKey{}, c))
}

// admit does everything that must be true before a handler runs, the cheap
// checks first, and the replay guard only for those who proved themselves. The
// body comes last: a stranger's is not read, let alone kept.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, rt route) (call, error) {
	from := s.client(r)
	seen := s.seen(r)
	c := call{source: access.Source{IP: from}, base: seen.Scheme + "://" + seen.Host}
	if rt.who == public {
		return c, nil
	}
	if rt.who == device {
		of := s.codes
		if rt.browser {
			of = s.trips
		}
		if err := of.take(from.String()); err != nil {
			return c, err
		}
	}
	if rt.who == host || rt.who == gateway {
		of := s.strangers
		if rt.lease {
			of = s.renewers
		}
		if err := of.take(from.String()); err != nil {
			return c, err
		}
	}
	proved, err := s.prove(w, r, rt, &c)
	if err != nil {
		return c, err
	}
	body, err := readBody(w, r, rt)
	if err != nil {
		return c, err
	}
	c.body = sha256.Sum256(body)
	return c, proved.Covers(c.body)
}

// prove finds out from the headers alone whom a call is from, and whether they
// may make it.
func (s *Server) prove(w http.ResponseWriter, r *http.Request, rt route, c *call) (proved api.Proof, err error) {
	if c.key = r.Header.Get(api.HeaderIdempotency); len(c.key) > maxKey {
		return proved, access.Fail(access.Invalid, "bad-idempotency-key", "the idempotency key is too long")
	}
	var token api.Secret
	if rt.who != device && rt.who != host && rt.who != gateway {
		if token, _, err = api.ReadToken(r.Header); err != nil {
			return proved, err
		}
		if !rt.urgent {
			if err := s.slowed.refuse(slowOf(token, rt.writes()), s.now()); err != nil {
				return proved, err
			}
		}
	}
	proof, err := api.ReadProof(r.Header)
	if err != nil {
		return proved, err
	}
	if proved, err = api.VerifyHead(proof, api.Call{Method: r.Method, URL: s.seen(r), Token: token}, s.now(), proofWindow); err != nil {
		return proved, err
	}
	c.source.Device = access.DeviceID(proved.Thumbprint)
	if rt.who == device {
		return proved, s.fresh(r.Context(), w, proved)
	}
	if rt.who == host {
		return proved, s.ofHost(r.Context(), w, c, proved)
	}
	if rt.who == gateway {
		return proved, s.ofGateway(r.Context(), w, rt, c, proved)
	}
	if c.Caller, err = s.authenticate(r.Context(), rt, token, c.source.Device, c.source.IP); err != nil {
		return proved, err
	}
	if err := s.still(r, c.Login); err != nil {
		return proved, err
	}
	c.source.Auth = c.Login.Auth
	// A store that is away, or that can be read and takes no changes, does not say
	// whether a proof was used before. It is good for this very call only, and where
	// that takes away, doing it twice does what once does.
	if err := s.fresh(r.Context(), w, proved); err != nil && (!rt.storeless || access.KindOf(err) != access.Unavailable) {
		return proved, err
	}
	if err := rt.allows(c.Principal); err != nil {
		return proved, err
	}
	if c.Login.Glass != nil && !rt.glass {
		return proved, access.Fail(access.Denied, "break-glass-only", "this login is for break-glass access alone").
			Because("it was made with one-time codes").Try("ask with stint break-glass, or sign in with stint login when sign-in works again")
	}
	if c.Enrols && !rt.enrols {
		return proved, ident.OnlyEnrols()
	}
	if err = s.rate(rt, c.Principal.ID); err != nil && !rt.urgent {
		s.slowed.note(slowOf(token, rt.writes()), s.now())
	}
	return proved, err
}

// allows is the one place where a route's who is compared with a principal.
func (r route) allows(p access.Principal) error {
	switch {
	case r.who == anyone, r.who == auditors && (p.Auditor || p.Admin), r.who == admins && p.Admin:
		return nil
	}
	return access.Fail(access.Denied, "not-yours", "this is for "+r.who.String()).Because(string(p.ID) + " is none of them")
}

// fresh refuses a proof that was used before, or may have been.
func (s *Server) fresh(ctx context.Context, w http.ResponseWriter, p api.Proof) error {
	ctx, done := s.askStore(ctx)
	defer done()
	ok, err := s.replays.Fresh(ctx, access.DeviceID(p.Thumbprint), p.JTI, p.IssuedAt)
	var forgotten *ident.Forgotten
	switch {
	case errors.As(err, &forgotten):
		// The server has just started. The Date asks the client for a proof
		// from after that; it comes with the client's next attempt, at once.
		w.Header().Set("Date", forgotten.Since.UTC().Format(http.TimeFormat))
		return &api.Error{Kind: api.Unauthenticated, Code: api.CodeClockSkew, Message: "the server has just started and wants a new proof",
			Why: forgotten.Error(), Next: "try again"}
	case err != nil:
		return err
	case !ok:
		return &api.Error{Kind: api.Unauthenticated, Code: api.CodeProofReplayed, Message: "this very call was made before", Next: "make each call with a proof of its own"}
	}
	return nil
}

func (s *Server) rate(rt route, p access.PrincipalID) error {
	switch {
	case rt.urgent:
		return s.urgent.take(string(p))
	case rt.writes():
		return s.writes.take(string(p))
	}
	return s.reads.take(string(p))
}

// readBody reads the whole body, once: the proof covers it. What follows reads
// it from memory.
func readBody(w http.ResponseWriter, r *http.Request, rt route) ([]byte, error) {
	most := rt.body
	if most == 0 {
		most = maxBody
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err != nil {
		var tooBig *http.MaxBytesError
		if errors.As(err, &tooBig) {
			return nil, err
		}
		return nil, access.Fail(access.Invalid, "body-cut-short", "the body did not arrive whole").Wrap(err)
	}
	if len(body) > 0 {
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || kind != "application/json" {
			return nil, &api.Error{Kind: api.Invalid, Status: http.StatusUnsupportedMediaType, Code: "not-json",
				Message: "the body must be JSON", Next: "send Content-Type: application/json"}
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, nil
}

// turnAway refuses a call at the gate, and counts failed sign-ins. A proof of
// another time is none: the client sets its clock by the answer and is let in.
func (s *Server) turnAway(w http.ResponseWriter, trace string, err error) {
	switch p := problemOf(err, trace); {
	case p.Code == api.CodeClockSkew:
		s.log.Debug("a proof of another time", "trace", trace)
	case p.Kind == api.Unauthenticated:
		s.metrics.signInFailures.WithLabelValues(p.Code).Inc()
		s.log.Info("not signed in", "trace", trace, "code", p.Code)
	}
	s.refuse(w, trace, err)
}
