package apiserver

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/ident"
	"stint/internal/oidc"
	"stint/internal/policy"
	"stint/internal/web"
)

// doors are this server as the pages see it.
type doors struct{ *Server }

var _ web.Doors = doors{}

// arriveWithin bounds the calls of providers that one sign-in makes.
const arriveWithin = 20 * time.Second

// Visit says from where a call came, and to which address.
func (d doors) Visit(r *http.Request) (*url.URL, netip.Addr) {
	seen := d.seen(r)
	return &url.URL{Scheme: seen.Scheme, Host: seen.Host}, d.client(r)
}

// Admit counts a call of a page.
func (d doors) Admit(from netip.Addr, tries bool) error {
	if err := d.views.take(from.String()); err != nil || !tries {
		return err
	}
	return d.trips.take(from.String())
}

// Refusal makes of an error what may be shown.
func (d doors) Refusal(ctx context.Context, err error) *api.Error {
	f := frameOf(ctx)
	p := problemOf(err, f.trace)
	if p.Kind == api.Internal {
		d.log.Error("a page failed", "trace", f.trace, "route", f.route, "error", err)
	}
	return p
}

// caller is whose session the visitor has. One by recovery code is for making a passkey
// alone, and for ending sessions: see enroller.
func (d doors) caller(ctx context.Context, v web.Visitor) (ident.Caller, error) {
	c, err := d.enroller(ctx, v)
	if err == nil && c.Enrols {
		err = ident.OnlyEnrols()
	}
	return c, err
}

// enroller is whose session the visitor has, one by recovery code too.
func (d doors) enroller(ctx context.Context, v web.Visitor) (ident.Caller, error) {
	if v.Session == "" {
		return ident.Caller{}, access.Fail(access.Unauthenticated, "not-signed-in", "you are not signed in").Try("sign in")
	}
	ctx, done := d.askStore(ctx)
	defer done()
	find := d.ident.Session
	if v.Watches {
		find = d.ident.Watched
	}
	c, err := find(ctx, secretOf(v.Session), v.From)
	if err == nil {
		frameOf(ctx).principal = c.Principal.ID
		of := d.reads
		if v.Watches { // open pages look by themselves, and leave a person's clicks their share
			of = d.looks
		}
		err = of.take(string(c.Principal.ID))
	}
	return c, err
}

// Person is who is signed in.
func (d doors) Person(ctx context.Context, v web.Visitor) (web.Person, error) {
	c, err := d.enroller(ctx, v)
	if err != nil {
		return web.Person{}, err
	}
	p := c.Principal
	glass, reviews := d.glassOf(ctx, c)
	fresh := d.now().Sub(c.Login.CreatedAt) < freshFor
	seen, starts := false, false
	if set, err := d.broker.Documents(ctx); err == nil && !c.Enrols { // without them the rail is short, and the pages say why
		seen = oversees(set, p)
		if p.Admin {
			away, err := d.broker.StartAway(ctx)
			starts = err == nil && !away
		}
	}
	waiting, err := d.broker.ProposalsWaiting(ctx, callBy(c).asked(nil))
	if err != nil {
		return web.Person{}, err
	}
	return web.Person{Oversees: seen, Starts: starts, Principal: string(p.ID), Groups: texts(p.Groups), Admin: p.Admin, Auditor: p.Auditor, Author: p.Author, Proposals: waiting, Until: api.At(c.Login.ExpiresAt), Fresh: fresh, Enrols: c.Enrols, Glass: glass, Reviews: reviews,
		Few: p.Attributes[access.MessagesAttribute] == access.MessagesFew, Mail: p.Attributes[access.MailAttribute]}, nil
}

// integrations are those of identity providers, in the order of their names.
func (s *Server) integrations(ctx context.Context) (found []policy.Integration, err error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	for _, i := range set.Integrations() {
		if i.Type == oidc.Type {
			found = append(found, i)
		}
	}
	return found, nil
}

func (s *Server) providers(ctx context.Context) (all []oidc.Provider, err error) {
	found, err := s.integrations(ctx)
	for _, i := range found {
		all = append(all, oidc.Read(i.Name, i.Address, i.Options))
	}
	return all, err
}

// provider is one, with what Stint signs in there with, for one use.
func (s *Server) provider(ctx context.Context, name string) (oidc.Provider, access.Secret, error) {
	none := access.Secret{}
	found, err := s.integrations(ctx)
	if err != nil {
		return oidc.Provider{}, none, err
	}
	for _, i := range found {
		if i.Name != name {
			continue
		}
		l, err := s.broker.OpenLogin(ctx, i, i.Credential)
		if err != nil {
			s.log.Error("an identity provider cannot be used", "trace", frameOf(ctx).trace, "provider", name, "error", err)
			return oidc.Provider{}, none, access.Fail(access.Unavailable, "provider-unusable", "nobody can sign in with "+name+" now").
				Because("what Stint signs in there with is missing or bound elsewhere").Try("an administrator looks at: stint admin credential list").Wrap(err)
		}
		p := oidc.Read(i.Name, i.Address, i.Options)
		p.ClientID = l.Username
		return p, l.Secret, nil
	}
	return oidc.Provider{}, none, access.Fail(access.NotFound, "no-such-provider", "there is no such provider").Try("choose one at /login")
}

// Ways are the providers by which one can sign in, and whether passkeys are another way.
func (d doors) Ways(ctx context.Context) (ways []web.Way, passkeys bool, err error) {
	all, err := d.providers(ctx)
	if err != nil {
		return nil, false, err
	}
	for _, p := range all {
		ways = append(ways, web.Way{Name: p.Name, Title: p.Title})
	}
	passkeys, err = d.byPasskey(ctx)
	return ways, passkeys, err
}

// back is where a provider sends a browser back to: one address for each, so that
// the answer of one is never taken for another's.
func back(base *url.URL, provider string) string {
	return base.JoinPath("login", "callback", provider).String()
}

// Depart begins a sign-in at a provider.
func (d doors) Depart(ctx context.Context, v web.Visitor, provider, next string) (string, api.Secret, error) {
	ctx, done := context.WithTimeout(ctx, arriveWithin)
	defer done()
	p, secret, err := d.provider(ctx, provider)
	if err != nil {
		return "", "", err
	}
	secret.Wipe() // it is Arrive's
	redirect := back(v.Base, p.Name)
	state, cookie, err := d.ident.Depart(ctx, ident.Trip{Provider: p.Name, Redirect: redirect, Next: next, Cookie: secretOf(v.Trip), From: v.From})
	if err != nil {
		return "", "", err
	}
	to, err := d.party.Begin(ctx, p, redirect, oidc.Trip{State: string(state.Reveal()), Cookie: cookie})
	if err != nil {
		d.log.Warn("an identity provider does not answer", "trace", frameOf(ctx).trace, "provider", p.Name, "error", err)
		return "", "", err
	}
	return to, api.Secret(cookie.Reveal()), nil
}

// Arrive finishes it.
func (d doors) Arrive(ctx context.Context, v web.Visitor, provider string, q url.Values) (web.Arrival, error) {
	out, err := d.arrive(ctx, v, provider, q)
	if err != nil {
		d.notSignedIn(frameOf(ctx).trace, err)
		d.log.Debug("a sign-in failed", "trace", frameOf(ctx).trace, "provider", access.Label(provider), "error", err)
	}
	return out, err
}

func (d doors) arrive(ctx context.Context, v web.Visitor, provider string, q url.Values) (web.Arrival, error) {
	ctx, done := context.WithTimeout(ctx, arriveWithin)
	defer done()
	for name, values := range q { // RFC 6749 section 3.1: none more than once
		if len(values) > 1 {
			return web.Arrival{}, access.Fail(access.Invalid, "bad-answer", "the answer says "+access.Label(name)+" twice")
		}
	}
	state := q.Get("state")
	a, err := d.ident.Return(ctx, provider, access.NewSecret([]byte(state)), secretOf(v.Trip))
	if err != nil {
		return web.Arrival{}, err
	}
	p, secret, err := d.provider(ctx, a.Provider)
	if err != nil {
		return web.Arrival{}, err
	}
	defer secret.Wipe()
	who, err := d.party.Finish(ctx, p, secret, a.Redirect, oidc.Trip{State: state, Cookie: secretOf(v.Trip)},
		oidc.Answer{Code: q.Get("code"), Issuer: q.Get("iss"), Error: q.Get("error")})
	if err != nil {
		return web.Arrival{}, err
	}
	if who.Skipped > 0 {
		d.log.Info("groups of a provider are no names here and were left out", "provider", p.Name, "groups", who.Skipped)
	}
	l, regrouped, err := d.ident.SignIn(ctx, ident.Arrival{Identity: who.Identity, Auth: who.Auth, Groups: who.Groups, Attributes: who.Attributes, Create: p.Create, Name: who.Name},
		ident.Browser{From: v.From, Client: v.Agent})
	if err != nil {
		return web.Arrival{}, err
	}
	if regrouped {
		d.broker.Reconsider()
	}
	return d.opened(ctx, v, l, a.Next), nil
}

// opened is a session that was opened. The one that the browser had before ends.
func (d doors) opened(ctx context.Context, v web.Visitor, l ident.Login, next string) web.Arrival {
	if v.Session != "" {
		if c, err := d.ident.Session(ctx, secretOf(v.Session), v.From); err == nil {
			if err := d.ident.Logout(ctx, c); err != nil {
				d.log.Warn("the session before was not ended", "trace", frameOf(ctx).trace, "error", err)
			}
		}
	}
	return web.Arrival{Session: api.Secret(l.Token.Reveal()), Until: api.At(l.ExpiresAt), Next: next}
}

// SignOut ends the visitor's session.
func (d doors) SignOut(ctx context.Context, v web.Visitor) error {
	c, err := d.enroller(ctx, v)
	if err != nil {
		return err
	}
	return d.ident.Logout(ctx, c)
}

// SignIns are the visitor's logins.
func (d doors) SignIns(ctx context.Context, v web.Visitor) ([]api.Login, error) {
	c, err := d.enroller(ctx, v)
	if err != nil {
		return nil, err
	}
	return d.sessions(ctx, c)
}

// EndSignIn ends one of them.
func (d doors) EndSignIn(ctx context.Context, v web.Visitor, id string) error {
	c, err := d.enroller(ctx, v)
	if err != nil {
		return err
	}
	_, err = d.ident.EndSession(ctx, c, id)
	return err
}

// SetMessages says which messages the visitor is sent.
func (d doors) SetMessages(ctx context.Context, v web.Visitor, few bool) error {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.writes.take(string(c.Principal.ID))
	}
	if err != nil {
		return err
	}
	return d.ident.SetMessages(ctx, c, few)
}

// AllowTerminal makes the code by which a command line signs in as the visitor.
func (d doors) AllowTerminal(ctx context.Context, v web.Visitor, t web.Terminal) (api.Secret, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return "", err
	}
	var challenge access.Digest
	raw, err := base64.RawURLEncoding.Strict().DecodeString(t.Challenge)
	if err != nil || copy(challenge[:], raw) != sha256.Size {
		return "", access.Fail(access.Invalid, "bad-terminal", "the challenge is not S256").Try("begin again with stint login")
	}
	code, err := d.ident.AllowTerminal(ctx, c, ident.Terminal{Device: access.DeviceID(t.Device), Challenge: challenge, Client: t.Client})
	return api.Secret(code.Reveal()), err
}

// Asking is the device that waits under a code.
func (d doors) Asking(ctx context.Context, v web.Visitor, code string) (web.Asking, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return web.Asking{}, err
	}
	if err := d.codes.take(string(c.Principal.ID)); err != nil { // whoever guesses, from however many addresses
		return web.Asking{}, err
	}
	a, err := d.ident.AskedBy(ctx, strings.TrimSpace(code))
	if err != nil {
		return web.Asking{}, err
	}
	return web.Asking{Device: string(a.Device), Client: a.Client, From: a.From, At: api.At(a.CreatedAt)}, nil
}

// AnswerDevice lets it sign in as the visitor, or not.
func (d doors) AnswerDevice(ctx context.Context, v web.Visitor, code string, allow bool) error {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.codes.take(string(c.Principal.ID))
	}
	if err != nil {
		return err
	}
	return d.ident.AnswerDevice(ctx, c, strings.TrimSpace(code), allow)
}
