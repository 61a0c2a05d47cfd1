package apiserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/ident"
	"stint/internal/oidc"
	"stint/internal/policy"
	"stint/internal/workload"
)

// tokenPath is the token endpoint. It speaks OAuth 2.0 and not the API's words, so that
// whatever else can exchange a token (RFC 8693) can sign in here too.
const tokenPath = "/v1/token"

// exchange answers a call of the token endpoint.
func (s *Server) exchange(w http.ResponseWriter, r *http.Request) {
	f := frameOf(r.Context())
	f.route = "exchange"
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		s.refuseExchange(w, r, &oauthProblem{Status: http.StatusMethodNotAllowed, Word: "invalid_request", Description: "the token endpoint takes POST", Code: "wrong-method"})
		return
	}
	err := s.exchanges.take(s.client(r).String())
	if err == nil && !s.exchanging.enter() {
		err = busy()
	} else if err == nil {
		defer s.exchanging.leave()
	}
	if err != nil {
		s.refuseExchange(w, r, err)
		return
	}
	out, err := s.exchanged(w, r)
	if err != nil {
		s.refuseExchange(w, r, err)
		return
	}
	f.principal = access.PrincipalID(out.Scope)
	w.Header().Set("Pragma", "no-cache") // RFC 6749 section 5.1; Cache-Control is there
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out) // whoever went away reads no error
}

func (s *Server) exchanged(w http.ResponseWriter, r *http.Request) (out api.Exchanged, err error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" || r.URL.RawQuery != "" {
		return out, badExchange("invalid_request", "send the parameters in the body, as application/x-www-form-urlencoded")
	}
	if len(r.Header.Values("Authorization")) > 0 {
		return out, badExchange("invalid_client", "nobody signs in here but by what they show")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxExchange))
	if err != nil {
		return out, badExchange("invalid_request", "the body did not arrive whole, or is longer than "+strconv.Itoa(maxExchange)+" bytes")
	}
	ask, err := readExchange(body)
	if err != nil {
		return out, err
	}
	shown := ident.Shown{From: s.client(r), Client: r.UserAgent()}
	if shown.Device, err = s.deviceOf(w, r, body); err != nil {
		return out, err
	}
	set, err := s.broker.Documents(r.Context())
	if err != nil {
		return out, err
	}
	var fit []ident.Shown
	if ask.subject != "" {
		fit, err = s.byToken(r.Context(), set, ask.subject, shown)
	} else {
		if err = s.lent(r); err == nil {
			fit, err = byCertificate(set, r, shown)
		}
	}
	if err != nil {
		return out, err
	}
	one, err := only(fit, ask.service)
	if err != nil {
		return out, err
	}
	login, err := s.ident.Exchange(r.Context(), one)
	if err != nil {
		return out, err
	}
	out = api.Exchanged{Token: api.Secret(login.Token.Reveal()), Issued: tokenAccess, Type: "Bearer", Scope: string(login.Principal.ID),
		ExpiresIn: int(time.Until(login.ExpiresAt) / time.Second)}
	if one.Device != "" {
		out.Type = "DPoP" // RFC 9449 section 5
	}
	if out.ExpiresIn < 0 {
		out.ExpiresIn = 0
	}
	return out, nil
}

// deviceOf is the key that signed the call, if one did: the login is bound to it.
func (s *Server) deviceOf(w http.ResponseWriter, r *http.Request, body []byte) (access.DeviceID, error) {
	if len(r.Header.Values(api.HeaderProof)) == 0 {
		return "", nil
	}
	raw, err := api.ReadProof(r.Header)
	var proof api.Proof
	if err == nil {
		proof, err = api.VerifyProof(raw, api.Call{Method: r.Method, URL: s.seen(r), Body: sha256.Sum256(body)}, s.now(), proofWindow)
	}
	if err == nil {
		err = s.fresh(r.Context(), w, proof)
	}
	if err == nil {
		return access.DeviceID(proof.Thumbprint), nil
	}
	var why *api.Error
	if errors.As(err, &why) && why.Kind == api.Unauthenticated {
		return "", &oauthProblem{Status: http.StatusBadRequest, Word: "invalid_dpop_proof", Description: why.Message + ": " + why.Why, Code: why.Code}
	}
	return "", err
}

// mostIssuers bounds how many integrations one token is verified for.
const mostIssuers = 8

// byToken verifies a token for each integration that may have issued it, and finds the
// documents that it fits.
func (s *Server) byToken(ctx context.Context, set *policy.Set, raw string, shown ident.Shown) (fit []ident.Shown, err error) {
	issuer, domain := oidc.Whose(raw)
	var why error = access.Fail(access.Unauthenticated, "bad-workload-token", "the token is not accepted").Because("no integration is for its issuer")
	tried := 0
	for _, i := range set.Integrations() {
		mine := i.Type == workload.Type && issuer != "" && i.Address == issuer || i.Type == workload.TypeSPIFFE && domain != "" && i.Options["trustDomain"] == domain
		if !mine {
			continue
		}
		if tried++; tried > mostIssuers {
			break
		}
		m, err := s.party.Machine(ctx, issuerOf(i), raw)
		if err != nil {
			if access.KindOf(why) != access.Unavailable {
				why = err
			}
			continue
		}
		one := shown
		one.Once, one.At, one.Until = m.Once, m.IssuedAt, m.Until
		kept := m.Claims.Kept()
		why = access.Fail(access.Unauthenticated, "bad-workload-token", "the token is not accepted").Because("it holds for " + i.Name + ", and no document says which service it is")
		for _, w := range set.Workloads() {
			if w.Integration != i.Name {
				continue
			}
			x := access.Exchange{Workload: w.Name, Integration: i.Name, Issuer: m.Issuer, Subject: m.Subject, Audience: m.Audience, Claims: kept}
			if !w.Fits(x) {
				s.log.Debug("a workload's token does not fit", "workload", w.Name, "claim", w.Conditions.Failing(m.Claims), "trace", frameOf(ctx).trace)
				continue
			}
			one.Service, one.Exchange, one.Asked = w.Service, x, claimsOf(w)
			fit = append(fit, one)
		}
	}
	if len(fit) == 0 {
		return nil, why
	}
	return fit, nil
}

func issuerOf(i policy.Integration) oidc.Issuer {
	return oidc.ReadIssuer(i.Name, i.Type, i.Address, i.Options)
}

func claimsOf(w policy.Workload) (names []string) {
	for _, c := range w.Conditions {
		if !slices.Contains(names, c.Claim) {
			names = append(names, c.Claim)
		}
	}
	return names
}

// lent refuses the certificate of a connection that a proxy makes: it would be lent to
// whoever calls the proxy.
func (s *Server) lent(r *http.Request) error {
	if !s.trusted(peer(r)) {
		return nil
	}
	return access.Fail(access.Unauthenticated, "bad-workload-token", "the certificate is not accepted").
		Because("the connection comes from a proxy of this server, which would lend its certificate to whoever calls it").
		Try("connect to stintd without the proxy")
}

// byCertificate finds the documents that the connection's certificate fits, which the
// handshake verified. What a proxy says of one is not looked at.
func byCertificate(set *policy.Set, r *http.Request, shown ident.Shown) (fit []ident.Shown, err error) {
	no := access.Fail(access.Unauthenticated, "bad-workload-token", "the certificate is not accepted")
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil, no.Because("the connection has no client certificate that the client CA vouches for")
	}
	leaf := r.TLS.VerifiedChains[0][0]
	if leaf.IsCA {
		return nil, no.Because("it is an authority's own")
	}
	x := access.Exchange{Subject: leaf.Subject.String(), Issuer: leaf.Issuer.String(), Certificate: sha256.Sum256(leaf.Raw), DNS: leaf.DNSNames}
	for _, u := range leaf.URIs {
		x.URIs = append(x.URIs, u.String())
	}
	for _, w := range set.Workloads() {
		x.Workload = w.Name
		if w.Fits(x) {
			one := shown
			one.Service, one.Exchange, one.At, one.Until = w.Service, x, leaf.NotBefore, leaf.NotAfter
			fit = append(fit, one)
		}
	}
	if len(fit) == 0 {
		return nil, no.Because("no document has its names")
	}
	return fit, nil
}

// only chooses among the documents that fit: the first of the service that is wanted, or
// of the only one.
func only(fit []ident.Shown, wanted access.PrincipalID) (ident.Shown, error) {
	for _, one := range fit {
		switch {
		case wanted != "" && one.Service == wanted:
			return one, nil
		case wanted == "" && one.Service != fit[0].Service:
			return one, badExchange("invalid_scope", "what was shown fits more than one service; say which with scope=service:NAME")
		}
	}
	if wanted != "" {
		return ident.Shown{}, access.Fail(access.Unauthenticated, "bad-workload-token", "the token is not accepted").Because("it does not fit the service that was asked for")
	}
	return fit[0], nil
}

// refuseExchange answers with RFC 6749 section 5.2, and tells the log what it tells
// nobody else.
func (s *Server) refuseExchange(w http.ResponseWriter, r *http.Request, err error) {
	trace := frameOf(r.Context()).trace
	var p *oauthProblem
	if !errors.As(err, &p) {
		switch kind := access.KindOf(err); kind {
		case access.Unauthenticated:
			p = notTaken()
		case access.TooMany:
			p = &oauthProblem{Status: http.StatusTooManyRequests, Word: "slow_down", Description: "that is too many calls in too short a time", Code: "too-many-calls"}
		case access.Unavailable:
			p = &oauthProblem{Status: http.StatusServiceUnavailable, Word: "temporarily_unavailable", Description: "it cannot be looked at now; try again", Code: "issuer-unreachable"}
		default:
			s.log.Error("a call failed", "trace", trace, "route", "exchange", "error", err)
			p = &oauthProblem{Status: http.StatusInternalServerError, Word: "server_error", Description: "something went wrong inside Stint", Code: "internal"}
		}
	}
	out := *p
	out.Trace = trace
	if out.Code == "bad-workload-token" || out.Status >= http.StatusInternalServerError {
		s.metrics.signInFailures.WithLabelValues(out.Code).Inc()
		s.log.Info("a workload is not let in", "trace", trace, "from", s.client(r), "cause", err)
	}
	if out.Status == http.StatusTooManyRequests || out.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	body, err := json.Marshal(out)
	if err != nil { // a struct of texts
		http.Error(w, out.Word, out.Status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(out.Status)
	_, _ = w.Write(append(bytes.TrimSpace(body), '\n')) // the client may be gone
}
