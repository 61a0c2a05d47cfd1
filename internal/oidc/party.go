package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"stint/internal/access"
)

// Party is the relying party. It is safe for concurrent use.
type Party struct {
	http *http.Client
	now  func() time.Time

	mu    sync.Mutex
	known map[string]*known // by issuer
	// issuers are those that vouch for programs, and what they publish.
	issuers map[string]*published
}

// New makes one that calls providers with the client, within limits of its own.
func New(client *http.Client, now func() time.Time) *Party {
	return &Party{http: bounded(client), now: now, known: map[string]*known{}, issuers: map[string]*published{}}
}

const (
	// freshFor is how long what a provider says of itself is believed. Its keys are
	// part of that: one that it withdraws is good for no longer.
	freshFor = 10 * time.Minute
	// failedFor keeps those who click again from calling a provider that is down.
	failedFor = 3 * time.Second
	// leeway is how far a provider's clock may be ahead of ours.
	leeway = time.Minute
	// maxToken bounds an ID token; with 200 groups one has about 10 kB.
	maxToken = 128 << 10
)

// algorithms are those by which an ID token may be signed: asymmetric ones alone,
// so that no public key is ever used as a shared secret.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

// known is what a provider says of itself.
type known struct {
	asking   sync.Mutex // one asks, the others wait for what it hears
	provider *oidc.Provider
	meta     metadata
	at       time.Time
	err      error
}

// metadata is of OpenID Connect Discovery 1.0 section 3 and RFC 9207 section 3.
type metadata struct {
	Auth       string   `json:"authorization_endpoint"`
	Token      string   `json:"token_endpoint"`
	Keys       string   `json:"jwks_uri"`
	UserInfo   string   `json:"userinfo_endpoint"`
	Algorithms []string `json:"id_token_signing_alg_values_supported"`
	Methods    []string `json:"token_endpoint_auth_methods_supported"`
	SaysIssuer bool     `json:"authorization_response_iss_parameter_supported"`
}

// Trip is one attempt to sign in, by one browser. State goes through the provider;
// the cookie never leaves the browser but to us. Both are random.
type Trip struct {
	State  string
	Cookie access.Secret
}

// derive makes a value that only who has the cookie can make: 256 bits, base64url.
func (t Trip) derive(what string) string {
	m := hmac.New(sha256.New, t.Cookie.Reveal())
	m.Write([]byte("stint sign-in " + what + "\n" + t.State))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func (t Trip) nonce() string    { return t.derive("nonce") }
func (t Trip) verifier() string { return t.derive("code verifier") }

// Begin is the address that the browser is sent to. redirect is where it comes back.
func (p *Party) Begin(ctx context.Context, at Provider, redirect string, t Trip) (string, error) {
	k, err := p.discover(ctx, at)
	if err != nil {
		return "", err
	}
	more := []oauth2.AuthCodeOption{oidc.Nonce(t.nonce()), oauth2.S256ChallengeOption(t.verifier())}
	for name, value := range map[string]string{"acr_values": at.Classes, "prompt": at.Prompt, "max_age": seconds(at.MaxAge)} {
		if value != "" {
			more = append(more, oauth2.SetAuthURLParam(name, value))
		}
	}
	return k.client(at, access.Secret{}, redirect).AuthCodeURL(t.State, more...), nil
}

func seconds(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return strconv.FormatInt(int64(d/time.Second), 10)
}

// Answer is what a browser brings back from a provider.
type Answer struct {
	Code   string
	Issuer string // "iss", RFC 9207
	Error  string // "error" of RFC 6749 section 4.1.2.1
}

// Finish redeems what the browser brought back. The caller has used the attempt up
// and made sure that it is this browser's, and this provider's.
func (p *Party) Finish(ctx context.Context, at Provider, secret access.Secret, redirect string, t Trip, a Answer) (Person, error) {
	k, err := p.discover(ctx, at)
	if err != nil {
		return Person{}, err
	}
	switch {
	case a.Issuer != "" && a.Issuer != at.Issuer:
		return Person{}, refuse("mixed-up", "the answer is not by the provider that was asked", "it says that it is by another issuer")
	case a.Issuer == "" && k.meta.SaysIssuer:
		return Person{}, refuse("mixed-up", "the answer does not say which provider it is by", "this provider always says so (RFC 9207)")
	case a.Error == "access_denied":
		return Person{}, access.Fail(access.Denied, "provider-refused", at.Name+" did not let you in").Because("it answered access_denied").Try("ask whoever administers it")
	case a.Error != "":
		return Person{}, refuse("provider-refused", at.Name+" did not sign you in", "it answered "+strconv.QuoteToASCII(short(a.Error)))
	case a.Code == "":
		return Person{}, refuse("no-code", "the answer of "+at.Name+" holds no code", "")
	}
	token, err := k.client(at, secret, redirect).Exchange(oidc.ClientContext(ctx, p.http), a.Code, oauth2.VerifierOption(t.verifier()))
	if err != nil {
		return Person{}, exchangeError(at, err)
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" || len(raw) > maxToken {
		return Person{}, refuse("bad-id-token", at.Name+" did not say who you are", "there is no ID token in its answer, or one that is too long").
			Try("see that the scope openid is allowed for the client")
	}
	return p.read(ctx, k, at, t, raw, token.AccessToken)
}

// read makes a person of an ID token that holds.
func (p *Party) read(ctx context.Context, k *known, at Provider, t Trip, raw, accessToken string) (Person, error) {
	bad := func(why string, cause error) (Person, error) {
		return Person{}, refuse("bad-id-token", "what "+at.Name+" says about you does not hold", why).
			Try("try again; if it stays, the server's log says more").Wrap(cause)
	}
	id, err := k.provider.Verifier(&oidc.Config{ClientID: at.ClientID, SupportedSigningAlgs: k.algorithms(), Now: p.now}).Verify(oidc.ClientContext(ctx, p.http), raw)
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		return bad("its ID token is not good any more; compare the clocks", err)
	case err != nil:
		return bad("its ID token is not signed by it, or not for us", err)
	}
	var c claims
	if err := id.Claims(&c); err != nil {
		return bad("its claims cannot be read", err)
	}
	now := p.now()
	switch {
	case subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(t.nonce())) != 1:
		return bad("its ID token is for another attempt", nil)
	// OpenID Connect Core 1.0 section 3.1.3.7, 3 to 5: for nobody else, or for us first.
	case c.Party != "" && c.Party != at.ClientID, len(id.Audience) > 1 && c.Party == "":
		return bad("its ID token is for another client as well", nil)
	case id.IssuedAt.IsZero() || id.IssuedAt.After(now.Add(leeway)):
		return bad("its ID token is of a time that has not come; compare the clocks", nil)
	case c.NotBefore.time().After(now.Add(leeway)):
		return bad("its ID token is not good yet; compare the clocks", nil)
	case c.AuthTime.time().After(now.Add(leeway)):
		return bad("it says that you signed in at a time that has not come", nil)
	case at.MaxAge > 0 && c.AuthTime == 0:
		return bad("it does not say when you signed in there (auth_time)", nil)
	case at.MaxAge > 0 && now.Sub(c.AuthTime.time()) > at.MaxAge+leeway:
		return bad("you signed in there too long ago", nil)
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(accessToken); err != nil {
			return bad("its ID token belongs to another access token", err)
		}
	}
	all := map[string]any{}
	if err := id.Claims(&all); err != nil {
		return bad("its claims cannot be read", err)
	}
	if at.UserInfo {
		if all, err = p.more(ctx, k, at, id.Subject, accessToken, all); err != nil {
			return Person{}, err
		}
		if _, here := all[at.GroupsClaim]; here {
			delete(c.Elsewhere, at.GroupsClaim) // it was elsewhere, and this is it
		}
	}
	return person(at, id.Subject, c, all)
}

// discover asks a provider for what it says of itself, unless that is known.
func (p *Party) discover(ctx context.Context, at Provider) (*known, error) {
	p.mu.Lock()
	k := p.known[at.Issuer]
	if k == nil {
		k = &known{}
		p.known[at.Issuer] = k
	}
	p.mu.Unlock()
	k.asking.Lock()
	defer k.asking.Unlock()
	age := p.now().Sub(k.at)
	switch {
	case k.at.IsZero() || age < 0:
	case k.err == nil && age < freshFor:
		return k.copied(), nil
	case k.err != nil && age < failedFor:
		return nil, k.err
	}
	provider, meta, err := p.ask(ctx, at)
	if err != nil {
		k.at, k.err = p.now(), access.Fail(access.Unavailable, "provider-unreachable", at.Name+" cannot be asked who you are").
			Because("what it says of itself at "+at.Issuer+" could not be had").Try("try again; if it stays, the server's log says more").Wrap(err)
		if ctx.Err() != nil {
			k.at = time.Time{} // the browser went away; that says nothing about the provider
		}
		return nil, k.err
	}
	k.provider, k.meta, k.at, k.err = provider, meta, p.now(), nil
	return k.copied(), nil
}

// copied is for use without the lock.
func (k *known) copied() *known { return &known{provider: k.provider, meta: k.meta} }

func (p *Party) ask(ctx context.Context, at Provider) (*oidc.Provider, metadata, error) {
	var meta metadata
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, p.http), at.Issuer)
	if err == nil {
		err = provider.Claims(&meta)
	}
	if err != nil {
		return nil, meta, err
	}
	issuer, err := url.Parse(at.Issuer)
	if err != nil {
		return nil, meta, err
	}
	endpoints := []string{meta.Auth, meta.Token, meta.Keys}
	if meta.UserInfo != "" {
		endpoints = append(endpoints, meta.UserInfo)
	}
	for _, e := range endpoints {
		u, err := url.Parse(e)
		if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != issuer.Scheme {
			return nil, meta, errors.New("it names an endpoint that is no https address: " + strconv.QuoteToASCII(short(e)))
		}
	}
	return provider, meta, nil
}

// algorithms are ours that the provider says it uses; RS256 where it does not say.
func (k *known) algorithms() []string {
	var both []string
	for _, a := range algorithms {
		if slices.Contains(k.meta.Algorithms, a) {
			both = append(both, a)
		}
	}
	if len(both) == 0 {
		return []string{oidc.RS256}
	}
	return both
}

func (k *known) client(at Provider, secret access.Secret, redirect string) *oauth2.Config {
	e := k.provider.Endpoint()
	// Never both ways in turn, as the library would: some providers take the first
	// for an attack on the code.
	e.AuthStyle = oauth2.AuthStyleInHeader
	if len(k.meta.Methods) > 0 && !slices.Contains(k.meta.Methods, "client_secret_basic") {
		e.AuthStyle = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{ClientID: at.ClientID, ClientSecret: string(secret.Reveal()), Endpoint: e, RedirectURL: redirect, Scopes: at.Scopes}
}

// exchangeError says no more than the provider's code of what went wrong: the rest
// of its answer is a stranger's text.
func exchangeError(at Provider, err error) error {
	var said *oauth2.RetrieveError
	switch {
	case errors.As(err, &said) && said.ErrorCode != "":
		e := refuse("code-refused", at.Name+" did not take the code that it gave", "it answered "+strconv.QuoteToASCII(short(said.ErrorCode)))
		if said.ErrorCode == "invalid_client" || said.ErrorCode == "unauthorized_client" {
			return e.Try("an administrator registers the client's secret again: stint admin credential set")
		}
		return e.Try("sign in again")
	case errors.As(err, &said):
		return access.Fail(access.Unavailable, "provider-unreachable", at.Name+" did not take the code that it gave").
			Because("it answered with status " + strconv.Itoa(said.Response.StatusCode)).Try("sign in again")
	}
	return access.Fail(access.Unavailable, "provider-unreachable", at.Name+" cannot be asked who you are").Try("sign in again").Wrap(err)
}

func refuse(code, what, why string) *access.Error {
	e := access.Fail(access.Unauthenticated, code, what)
	if why != "" {
		e = e.Because(why)
	}
	return e
}

// short cuts a stranger's text.
func short(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most]
	}
	return s
}
