package oidc

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"stint/internal/access"
)

const (
	// keptFor is how long keys are believed that cannot be asked for anew: a blip of
	// the issuer stops no pipeline, and one that is gone does.
	keptFor = 30 * time.Minute
	// keysApart is how often a key that is not known makes us ask again: a stranger's
	// tokens cause no more calls than that.
	keysApart = 5 * time.Second
	maxKeys   = 100
	minRSA    = 2048 // bits, RFC 7518 section 3.3
)

// published are the keys of one issuer.
type published struct {
	asking sync.Mutex // one asks, the others wait for what it hears; guards what follows
	keys   []jose.JSONWebKey
	at     time.Time // of keys
	tried  time.Time
	err    error // of the last try
}

// keysOf are the keys that an issuer publishes. With unknown a token names one that is
// not among them, and newer ones are asked for, unless that was done just now.
func (p *Party) keysOf(ctx context.Context, at Issuer, unknown bool) ([]jose.JSONWebKey, error) {
	name := at.Address + " " + at.Keys + " " + at.Domain
	p.mu.Lock()
	k := p.issuers[name]
	if k == nil {
		k = &published{}
		p.issuers[name] = k
	}
	p.mu.Unlock()
	k.asking.Lock()
	defer k.asking.Unlock()
	now := p.now()
	age, since := now.Sub(k.at), now.Sub(k.tried)
	if (unknown || k.keys == nil || age < 0 || age >= freshFor) && (k.tried.IsZero() || since < 0 || since >= keysApart) {
		// Whoever waits no longer must not make it seem that the issuer does not answer.
		within, done := context.WithTimeout(context.WithoutCancel(ctx), answerWithin)
		keys, err := p.askKeys(within, at)
		done()
		// From its end on: those who waited do not ask again, one after the other, an
		// issuer that took long to say nothing.
		if k.tried, k.err = p.now(), err; err == nil {
			k.keys, k.at, age = keys, now, 0
		}
	}
	if k.keys == nil || age < 0 || age >= keptFor {
		return nil, access.Fail(access.Unavailable, "issuer-unreachable", "the keys of "+at.Name+" cannot be had").Wrap(k.err)
	}
	return k.keys, nil
}

// askKeys asks for an issuer's discovery document, where one is needed, and its keys.
func (p *Party) askKeys(ctx context.Context, at Issuer) ([]jose.JSONWebKey, error) {
	where := at.Keys
	if where == "" {
		var said struct {
			Issuer string `json:"issuer"`
			Keys   string `json:"jwks_uri"`
		}
		if err := p.fetch(ctx, strings.TrimSuffix(at.Address, "/")+"/.well-known/openid-configuration", &said); err != nil {
			return nil, err
		}
		if said.Issuer != at.Address {
			return nil, errors.New("the issuer says that it is another one: " + strconv.QuoteToASCII(short(said.Issuer)))
		}
		where = said.Keys
	}
	own, err := url.Parse(at.Address)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(where)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != own.Scheme {
		return nil, errors.New("the address of the keys is no https address: " + strconv.QuoteToASCII(short(where)))
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := p.fetch(ctx, where, &set); err != nil {
		return nil, err
	}
	if len(set.Keys) > maxKeys {
		return nil, errors.New("there are more than " + strconv.Itoa(maxKeys) + " keys")
	}
	keys := []jose.JSONWebKey{} // not nil: that there is none was said
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if json.Unmarshal(raw, &k) == nil && at.accepts(k) { // of a kind that we do not know; others may do
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// accepts reports whether a key may sign tokens of the issuer. The keys of a SPIFFE
// bundle are for one kind of SVID each (SPIFFE Trust Domain and Bundle section 4.2.2).
func (at Issuer) accepts(k jose.JSONWebKey) bool {
	if r, ok := k.Key.(*rsa.PublicKey); ok && r.N.BitLen() < minRSA {
		return false
	}
	if at.Domain != "" {
		return k.IsPublic() && k.Valid() && k.Use == "jwt-svid" && k.KeyID != ""
	}
	return k.IsPublic() && k.Valid() && (k.Use == "" || k.Use == "sig")
}

// fetch reads one JSON document.
func (p *Party) fetch(ctx context.Context, at string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	res, err := p.http.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(r.URL.Host + " answers " + strconv.Itoa(res.StatusCode))
	}
	text, err := io.ReadAll(res.Body) // the client bounds it
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	return err
}
