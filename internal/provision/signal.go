package provision

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/ident"
	"stint/internal/policy"
	"stint/internal/signals"
)

// Signals is the type of an integration that sends security events.
const Signals = "signals"

// Its options.
const (
	optionIssuer   = "issuer"
	optionAudience = "audience"
	optionKeys     = "keys"
	optionSubjects = "subjectIssuer"
	optionEnds     = "ends"
	optionPoll     = "poll"
)

// SignalsSchema is what a document of such an integration may say.
func SignalsSchema() access.Schema {
	path, form := `(/[A-Za-z0-9._~-]*)+`, "write a path, beginning with /"
	return access.Schema{Type: Signals, Integration: map[string]access.Option{
		optionIssuer:   {Doc: "the iss of its tokens; its address if left out"},
		optionAudience: {Doc: "the aud of its tokens, which the stream is set up with", Required: true},
		optionKeys:     {Doc: "where its keys are, a path at its address", Required: true, Pattern: path, Form: form},
		optionSignIn:   {Doc: "the integration whose subjects the events are about", Required: true, Pattern: `[a-z0-9][a-z0-9._-]{0,62}`, Form: "write the name of an integration"},
		optionSubjects: {Doc: "the iss of its subjects; that of its tokens if left out"},
		optionEnds:     {Doc: "what a doubt about a session, a credential or a device ends", Values: []string{"logins", "grants"}, Default: "grants"},
		optionPoll:     {Doc: "where to fetch events that were not pushed, a path at its address; needs a credential", Pattern: path, Form: form},
	}}
}

// SignalTx is what receiving events needs of a transaction, besides.
type SignalTx interface {
	SignalSeen(provider, jti string) (bool, error)
	SaveSignal(provider, jti string, forget time.Time) error
}

// Doubter ends what somebody holds who may sign in again. It is the broker.
type Doubter interface {
	Ender
	EndFor(ctx context.Context, actor access.Actor, id access.PrincipalID, provider, why string, grants bool) error
}

// Receiver takes the security events of integrations. It is safe for concurrent use.
type Receiver struct {
	Store Store
	Ender Doubter
	Keys  *signals.Keys
	Now   func() time.Time
	Log   *slog.Logger
}

// Receive verifies one token of an integration and does what it says, once: a
// *signals.Problem says what is wrong with it, any other error that it is to be sent
// again.
func (r *Receiver) Receive(ctx context.Context, i policy.Integration, raw string) error {
	t, err := r.verify(ctx, i, raw)
	if err != nil {
		return err
	}
	seen := false
	err = r.Store.View(ctx, func(tx Tx) (err error) { seen, err = tx.SignalSeen(i.Name, t.JTI); return err })
	if err != nil || seen {
		return err
	}
	for _, e := range t.Events {
		if err := r.act(ctx, i, e); err != nil {
			return err
		}
	}
	// Noted only now: what was begun and not finished is to come again, and does no harm
	// twice.
	return r.Store.Update(ctx, func(tx Tx) error {
		return tx.SaveSignal(i.Name, t.JTI, tx.Now().Add(-2*signals.MaxAge))
	})
}

func (r *Receiver) verify(ctx context.Context, i policy.Integration, raw string) (signals.Token, error) {
	want := signals.Expect{Issuer: i.Options[optionIssuer], Audience: i.Options[optionAudience], Now: r.Now()}
	if want.Issuer == "" {
		want.Issuer = i.Address
	}
	var t signals.Token
	for _, fresh := range []bool{false, true} {
		var err error
		if want.Keys, err = r.Keys.At(ctx, at(i, optionKeys), fresh); err != nil {
			return t, err
		}
		if t, err = signals.Verify(raw, want); !signals.UnknownKey(err) || fresh {
			return t, err
		}
	}
	return t, nil
}

// at is the URL of a path at an integration's address.
func at(i policy.Integration, option string) string {
	return strings.TrimSuffix(i.Address, "/") + i.Options[option]
}

// act does what one event means for whom it is about.
func (r *Receiver) act(ctx context.Context, i policy.Integration, e signals.Event) error {
	issuer := i.Options[optionSubjects]
	if issuer == "" {
		if issuer = i.Options[optionIssuer]; issuer == "" {
			issuer = i.Address
		}
	}
	switch {
	case e.Meaning == signals.Unwelcome:
		r.Log.Warn("an integration sends events that nobody reads; take them out of its stream", "integration", i.Name, "type", e.Type)
		return nil
	case e.Meaning == signals.Nothing:
		return nil
	case e.Issuer != issuer:
		return &signals.Problem{Code: "invalid_request", Text: "the subject is another issuer's"}
	}
	id := access.Identity{Provider: i.Options[optionSignIn], Subject: e.Subject}
	var p access.Principal
	err := r.Store.View(ctx, func(tx Tx) (err error) { p, err = tx.PrincipalByIdentity(id); return err })
	if access.KindOf(err) == access.NotFound {
		r.Log.Info("a security event is about nobody here", "integration", i.Name, "type", e.Type)
		return nil
	}
	if err != nil {
		return err
	}
	actor, short := ident.ProviderActor(i.Name), e.Type[strings.LastIndexByte(e.Type, '/')+1:]
	switch e.Meaning {
	case signals.Gone:
		return r.Ender.Leave(ctx, actor, p.ID, i.Name, i.Name+" says "+short)
	case signals.Back:
		return r.Store.Update(ctx, func(tx Tx) error { return ident.Enable(tx, actor, p.ID, i.Name) })
	}
	return r.Ender.EndFor(ctx, actor, p.ID, i.Name, i.Name+" says "+short, i.Options[optionEnds] != "logins")
}

// Poll fetches the events of an integration that were not pushed, until there are no
// more. bearer is what it is asked with.
func (r *Receiver) Poll(ctx context.Context, c *http.Client, i policy.Integration, bearer string) error {
	var acks []string
	wrong := map[string]*signals.Problem{}
	for range maxPolls {
		tokens, more, err := signals.Poll(ctx, c, at(i, optionPoll), bearer, acks, wrong)
		if err != nil {
			return err
		}
		acks, wrong = nil, map[string]*signals.Problem{}
		for jti, raw := range tokens {
			var p *signals.Problem
			switch err := r.Receive(ctx, i, raw); {
			case err == nil:
				acks = append(acks, jti)
			case errors.As(err, &p):
				r.Log.Warn("a security event is refused", "integration", i.Name, "jti", jti, "code", p.Code, "why", p.Text)
				wrong[jti] = p
			default:
				return err // it comes again with the next poll
			}
		}
		if !more && len(tokens) == 0 {
			return nil
		}
	}
	return nil // the rest with the next poll
}

// maxPolls bounds one poll: a transmitter may be faster than we are.
const maxPolls = 100

// Polled reports whether events are to be fetched from an integration.
func Polled(i policy.Integration) bool { return i.Type == Signals && i.Options[optionPoll] != "" }
