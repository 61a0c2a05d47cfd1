package apiserver

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/ident"
	"stint/internal/policy"
	"stint/internal/provision"
	"stint/internal/scim"
)

// What outside services call is no part of the API: it has shapes, tokens and limits
// of its own, and no cookie, proof or login counts there.
const (
	scimRoot    = "/scim/v2/"
	signalsRoot = "/signals/v1/"
)

// outsideWithin bounds an answer to an outside service: a bulk has many operations.
const outsideWithin = 2 * time.Minute

// outside answers the calls of services that say who works here.
func (s *Server) outside(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.EscapedPath(), scimRoot); ok {
			name, path, _ := strings.Cut(rest, "/")
			s.provision(w, r, name, "/"+path)
			return
		}
		if s.chat != nil && strings.HasPrefix(r.URL.Path, "/chat/") {
			s.clicked(w, r)
			return
		}
		if name, ok := strings.CutPrefix(r.URL.EscapedPath(), logoutRoot); ok {
			s.signedOut(w, r, name)
			return
		}
		if name, ok := strings.CutPrefix(r.URL.EscapedPath(), signalsRoot); ok {
			s.signal(w, r, name)
			return
		}
		if r.URL.EscapedPath() == tokenPath {
			s.exchange(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// clicked hands on what a chat sends: whoever signs for it is for that to say.
func (s *Server) clicked(w http.ResponseWriter, r *http.Request) {
	f := frameOf(r.Context())
	f.route = "chat"
	if err := s.views.take(s.client(r).String()); err != nil {
		s.refuse(w, f.trace, err)
		return
	}
	if !s.work.enter() {
		s.metrics.shed.Inc()
		s.refuse(w, f.trace, busy())
		return
	}
	defer s.work.leave()
	s.chat.ServeHTTP(w, r)
}

// provision answers a call of SCIM. It is never shed: much of what comes in takes
// access away, and its own limits hold.
func (s *Server) provision(w http.ResponseWriter, r *http.Request, name, path string) {
	f := frameOf(r.Context())
	f.route = "scim"
	i, err := s.admitProvider(r, name, provision.Type)
	if err != nil {
		if access.KindOf(err) == access.Unauthenticated {
			w.Header().Set("WWW-Authenticate", `Bearer realm="scim"`) // RFC 6750 section 3
			s.metrics.signInFailures.WithLabelValues("provider-token").Inc()
			s.log.Info("an outside service is not let in", "trace", f.trace, "from", s.client(r), "cause", err)
		}
		scim.Refuse(w, err)
		return
	}
	f.principal = ident.ProviderActor(name).Principal
	if !s.serving.enter(name) {
		w.Header().Set("Retry-After", "1")
		scim.Refuse(w, errOfOneService)
		return
	}
	defer s.serving.leave(name)
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(outsideWithin)) // where there is none, nobody waits
	u := s.seen(r)
	server := scim.Server{Directory: paced{provision.For(i, s.provided, s.broker), &s.scans}, Base: u.Scheme + "://" + u.Host + scimRoot + name,
		Failed: func(err error) {
			s.log.Error("a call of a provisioning service failed", "trace", f.trace, "integration", name, "cause", err)
		}}
	server.Serve(w, r, path)
}

// paced reads all that a service provisioned, for a filter that no index serves, for a few
// callers at a time: it is the one call of SCIM that takes long.
type paced struct {
	scim.Directory
	room *room
}

// scansAtOnce is how many such calls are answered at a time, of all services.
const scansAtOnce = 2

func (p paced) List(ctx context.Context, q scim.Query) ([]scim.Resource, int, error) {
	if q.Attr == "" && q.Limit < 0 {
		if !p.room.enter() {
			return nil, 0, access.Fail(access.TooMany, "too-many-scans", "other filters that no index serves are being answered").Try("filter by userName, externalId, displayName or id, or try again in a moment")
		}
		defer p.room.leave()
	}
	return p.Directory.List(ctx, q)
}

// admitProvider lets a service in that shows a token of an integration which is there
// and is of a type that provisions.
func (s *Server) admitProvider(r *http.Request, name, typ string) (policy.Integration, error) {
	var none policy.Integration
	if err := s.knocks.take(s.client(r).String()); err != nil {
		return none, err
	}
	if s.provided == nil {
		return none, access.Fail(access.NotFound, "no-provisioning", "this server takes nothing from provisioning services").
			Try("an administrator sets one up as an integration of type scim or signals")
	}
	token, ok := bearer(r.Header)
	if !ok {
		return none, access.Fail(access.Unauthenticated, "no-token", "a provisioning service shows its token").Try("send Authorization: Bearer and the token")
	}
	// To find a token costs the store a question; whoever floods is not to have that asked
	// each time. Only who showed a good token is noted here, so a guess slows nobody down.
	slow := slowOf(api.Secret(token.Reveal()), true)
	if err := s.slowed.refuse(slow, s.now()); err != nil {
		return none, err
	}
	if err := s.ident.Admit(r.Context(), name, token); err != nil {
		return none, err
	}
	i, err := s.integration(r.Context(), name, typ)
	if err != nil {
		return none, err
	}
	if err := s.services.take(name); err != nil {
		s.slowed.note(slow, s.now())
		return i, err
	}
	return i, nil
}

// ofOneService is how many calls of one service are in work at a time: a bulk has a thousand
// operations, and each waits for the store. It is enough for any service that waits for
// its answers, and leaves the store to everybody else.
const ofOneService = 8

// errOfOneService asks a service to wait for its own calls.
var errOfOneService = access.Fail(access.TooMany, "too-many-at-once", "too many calls of this integration are being answered").
	Try("send fewer at a time; the answer's Retry-After says when to try again")

// integration is one that is there and of a type.
func (s *Server) integration(ctx context.Context, name string, types ...string) (policy.Integration, error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return policy.Integration{}, err
	}
	i, ok := set.Integration(name)
	switch {
	case !ok:
		return i, noSuch("integration", name, namesOf(set.Integrations(), func(i policy.Integration) string { return i.Name }))
	case !slices.Contains(types, i.Type):
		return i, access.Fail(access.Invalid, "other-type", "the integration "+name+" is of type "+i.Type).Because("this is for the type " + strings.Join(types, " or "))
	}
	return i, nil
}

// bearer reads the one bearer token of a call, RFC 6750 section 2.1.
func bearer(h http.Header) (access.Secret, bool) {
	all := h.Values("Authorization")
	if len(all) != 1 {
		return access.Secret{}, false
	}
	scheme, token, ok := strings.Cut(all[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > 512 {
		return access.Secret{}, false
	}
	return access.NewSecret([]byte(token)), true
}

type tokenIn struct {
	ByName
	Body api.TokenAdd
}

func (s *Server) addToken(ctx context.Context, c call, in *tokenIn) (*reply[api.TokenAdded], error) {
	if _, err := s.integration(ctx, in.Name, provision.Type, provision.Signals); err != nil {
		return nil, err
	}
	n := ident.NewToken{Provider: in.Name}
	var err error
	if n.For, err = api.ParseDuration(in.Body.For); err != nil {
		return nil, err
	}
	if in.Body.Overlap != "" {
		if n.Overlap, err = api.ParseDuration(in.Body.Overlap); err != nil {
			return nil, err
		}
	}
	t, err := s.ident.AddToken(ctx, c.Caller, n)
	if err != nil {
		return nil, err
	}
	return answer(api.TokenAdded{Integration: t.Provider, Name: t.Name, Token: api.Secret(t.Token.Reveal()), ExpiresAt: api.At(t.ExpiresAt)}), nil
}

// listTokens needs no integration: one that was deleted may have tokens yet.
func (s *Server) listTokens(ctx context.Context, c call, in *ByName) (*reply[api.Page[api.Token]], error) {
	good, err := s.ident.Tokens(ctx, c.Caller, in.Name)
	if err != nil {
		return nil, err
	}
	page := api.Page[api.Token]{Items: []api.Token{}}
	for name, t := range good {
		page.Items = append(page.Items, api.Token{Name: name, CreatedAt: api.At(t.CreatedAt), ExpiresAt: api.At(t.ExpiresAt)})
	}
	slices.SortFunc(page.Items, func(a, b api.Token) int { return strings.Compare(a.Name, b.Name) })
	return answer(page), nil
}

func (s *Server) endTokens(ctx context.Context, c call, in *ByName) (*reply[api.TokensEnded], error) {
	n, err := s.ident.EndTokens(ctx, c.Caller, in.Name)
	if err != nil {
		return nil, err
	}
	return answer(api.TokensEnded{Integration: in.Name, Ended: n}), nil
}
