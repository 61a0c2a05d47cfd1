package ident

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/moment"
)

// How long the token of an integration is good for, at most, and how long one from
// before it at most goes on being good, so that nobody has to be quick.
const (
	MaxTokenLife = 366 * 24 * time.Hour
	MaxOverlap   = 30 * 24 * time.Hour
)

// NewToken is a token to make for an integration.
type NewToken struct {
	Provider string
	For      time.Duration
	// Overlap is how long the tokens from before stay good; none: they end at once.
	Overlap time.Duration
}

// ProviderToken is what an outside service shows to be let in, until ExpiresAt. It is
// told this once.
type ProviderToken struct {
	Provider  string
	Name      string // in the log
	Token     access.Secret
	ExpiresAt time.Time
}

// AddToken makes a token for an integration, and brings the ends of those from before
// forward. That the integration is there is for the caller to see to.
func (i *Ident) AddToken(ctx context.Context, by Caller, n NewToken) (ProviderToken, error) {
	if err := administers(by); err != nil {
		return ProviderToken{}, err
	}
	switch {
	case !access.ValidName(n.Provider):
		return ProviderToken{}, badName("integration", n.Provider)
	case n.For <= 0 || n.For > MaxTokenLife:
		return ProviderToken{}, access.Fail(access.Invalid, "bad-duration", "a token is good for more than nothing and at most 366 days").Because(moment.Span(n.For) + " was asked")
	case n.Overlap < 0 || n.Overlap > MaxOverlap:
		return ProviderToken{}, access.Fail(access.Invalid, "bad-duration", "the tokens from before stay good for at most 30 days").Because(moment.Span(n.Overlap) + " was asked")
	}
	secret, hash, err := i.newSecret(providerPrefix)
	if err != nil {
		return ProviderToken{}, err
	}
	out := ProviderToken{Provider: n.Provider, Name: short(hash), Token: secret}
	err = i.store.Update(ctx, func(tx Tx) error {
		now := tx.Now()
		old, err := tx.IntegrationTokens(n.Provider)
		if err != nil {
			return err
		}
		for _, t := range old {
			if end := now.Add(n.Overlap); t.Good(now) && end.Before(t.ExpiresAt) {
				if err := endToken(tx, t, end, by.Actor); err != nil {
					return err
				}
			}
		}
		t := access.IntegrationToken{Token: hash, Provider: n.Provider, CreatedAt: now, ExpiresAt: now.Add(n.For), Version: 1}
		out.ExpiresAt = t.ExpiresAt
		if err := tx.SaveIntegrationToken(t); err != nil {
			return err
		}
		return tx.Append(tokenEvent(TokenCreated, t, by.Actor, now))
	})
	if err != nil {
		return ProviderToken{}, err
	}
	return out, nil
}

// endToken brings a token's end forward, to now or to later.
func endToken(tx Tx, t access.IntegrationToken, end time.Time, by access.Actor) error {
	now := tx.Now()
	t.Version++
	if t.Revoked = !now.Before(end); !t.Revoked {
		t.ExpiresAt = end
	}
	if err := tx.SaveIntegrationToken(t); err != nil {
		return err
	}
	return tx.Append(tokenEvent(TokenEnded, t, by, now))
}

// Tokens lists the tokens of an integration that are good, by their names in the log.
func (i *Ident) Tokens(ctx context.Context, by Caller, provider string) (good map[string]access.IntegrationToken, err error) {
	if err := administers(by); err != nil {
		return nil, err
	}
	err = i.store.View(ctx, func(tx Tx) error {
		good = map[string]access.IntegrationToken{}
		all, err := tx.IntegrationTokens(provider)
		for _, t := range all {
			if t.Good(tx.Now()) {
				good[short(t.Token)] = t
			}
		}
		return err
	})
	return good, err
}

// EndTokens ends the tokens of an integration at once and says how many there were.
func (i *Ident) EndTokens(ctx context.Context, by Caller, provider string) (n int, err error) {
	if err := administers(by); err != nil {
		return 0, err
	}
	err = i.store.Update(ctx, func(tx Tx) error {
		n = 0
		all, err := tx.IntegrationTokens(provider)
		if err != nil {
			return err
		}
		for _, t := range all {
			if !t.Good(tx.Now()) {
				continue
			}
			if err := endToken(tx, t, tx.Now(), by.Actor); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}

// Admit lets an outside service in that shows a token of the integration. It reads the
// store each time, so that the end of a token counts from the next call on. One of
// another integration is answered like none.
func (i *Ident) Admit(ctx context.Context, provider string, token access.Secret) error {
	return i.store.View(ctx, func(tx Tx) error {
		t, err := tx.IntegrationToken(digest(token))
		switch {
		case err != nil && access.KindOf(err) != access.NotFound:
			return err
		case err != nil || t.Provider != provider || t.Revoked:
			return access.Fail(access.Unauthenticated, "bad-token", "the token is not one of this integration").Try("make one with stint admin integration token")
		case !t.Good(tx.Now()):
			return access.Fail(access.Unauthenticated, "token-expired", "the token has expired").
				Because("it was good until " + stamp(t.ExpiresAt)).Try("make one with stint admin integration token")
		}
		return nil
	})
}

func tokenEvent(t access.EventType, k access.IntegrationToken, by access.Actor, now time.Time) access.Event {
	end := stamp(k.ExpiresAt)
	if k.Revoked {
		end = stamp(now)
	}
	return access.Event{Type: t, At: now, Entity: "token:" + short(k.Token), Version: k.Version, Actor: by,
		Facts: facts("provider", k.Provider, "expires_at", end)}
}
