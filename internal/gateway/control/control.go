// Package control asks the control plane, over its API, what a gateway may not decide: it
// is a gateway.Authority whose answers come from there.
//
// Each call is proven by the gateway's own key, and made once: who knocks, knocks again,
// and a report is as good as the moment in which it was sent.
package control

import (
	"context"
	"errors"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/envelope"
	"stint/internal/gateway"
	"stint/internal/gateway/statement"
)

// Plane is the control plane. Its client is signed in by nothing but its device's key, and
// what may lead to access is believed in its voice only. A cut is taken from whoever can
// say it: it only ends.
type Plane struct {
	Client *api.Client
	Voice  *Voice
}

// Open asks for a permit.
func (p Plane) Open(ctx context.Context, f gateway.Facts) (gateway.Permit, error) {
	nonce := envelope.NewID()
	said, err := p.Client.OpenSession(ctx, api.SessionKnock{Protocol: f.Protocol, Key: f.Key, Certificate: f.Certificate, Resource: string(f.Resource), Login: f.Login, Ticket: f.Ticket, Verifier: f.Verifier, Source: f.Source.String(), Nonce: nonce})
	if err != nil {
		return gateway.Permit{}, told(err)
	}
	var got api.SessionPermit
	if err := p.Voice.Hear(said.Word, nonce, envelope.AboutPermit, &got); err != nil {
		return gateway.Permit{}, err
	}
	out := gateway.Permit{
		Session: gateway.SessionID(got.Session), Grant: access.GrantID(got.Grant), Person: got.Person, Resource: access.ResourceName(got.Resource),
		End: got.End.Time, Remaining: millis(got.RemainingMillis), Principal: got.Principal,
		Target: gateway.Target{Address: got.Target.Address, Name: got.Target.Name, Login: got.Target.Account, HostKeys: got.Target.HostKeys, HostAuthorities: got.Target.HostAuthorities, Database: got.Target.Database, Plain: got.Target.Plain},
		Rules: gateway.Rules{Shell: got.Rules.Shell, Exec: got.Rules.Exec, Pty: got.Rules.Pty, SFTP: gateway.FileMode(got.Rules.Files), Env: got.Rules.Env,
			Forward: got.Rules.Forward, Agent: got.Rules.Agent, X11: got.Rules.X11},
		Recording: gateway.Recording{Strict: got.Strict, OmitTyped: got.OmitTyped},
		Limits:    gateway.Limits{Rows: uint64(max(got.Limits.Rows, 0)), Bytes: uint64(max(got.Limits.Bytes, 0)), ReadOnly: got.Limits.ReadOnly},
	}
	if out.Limits.Guard, err = statement.NewGuard(got.Limits.Deny, got.Limits.DenyTables, got.Limits.DenyFunctions); err != nil {
		return gateway.Permit{}, access.Fail(access.Unavailable, "old-gateway", "the gateway does not know what the role denies, so nothing begins").Because(err.Error()).
			Try("an administrator brings stint-gateway to the release of stintd")
	}
	if w := got.Web; w != nil {
		out.Web = &gateway.Web{Host: w.Host, Drop: w.Drop, Assert: w.Assert, Bodies: w.Bodies, MostBody: w.MostBody}
		for _, r := range w.Rules {
			out.Web.Rules = append(out.Web.Rules, gateway.PathRule{Effect: gateway.Effect(r.Effect), Methods: r.Methods, Path: r.Path})
		}
	}
	if got.Keep {
		out.OnPartition = gateway.PartitionKeep
	}
	for _, c := range got.Rules.Commands {
		out.Rules.Commands = append(out.Rules.Commands, gateway.CommandRule{Effect: gateway.Effect(c.Effect), Pattern: c.Pattern})
	}
	return out, nil
}

// Sign asks for the certificate of a session's leg to its target.
func (p Plane) Sign(ctx context.Context, id gateway.SessionID, publicKey []byte) ([]byte, error) {
	got, err := p.Client.SignSession(ctx, api.SessionSign{Session: string(id), Key: publicKey})
	return got.Certificate, told(err)
}

// Renew tells what is open and what has ended.
func (p Plane) Renew(ctx context.Context, r gateway.Report) (map[gateway.SessionID]gateway.Renewal, error) {
	in := api.SessionReport{Live: []string{}, Ended: []api.SessionEnded{}, Alarms: []api.SessionAlarm{}, Nonce: envelope.NewID()}
	for _, id := range r.Live {
		in.Live = append(in.Live, string(id))
	}
	for _, e := range r.Ended {
		in.Ended = append(in.Ended, api.SessionEnded{Session: string(e.Session), Reason: string(e.Reason), Text: clip(e.Text), At: api.At(e.At), TookMillis: e.Took.Milliseconds()})
	}
	for _, a := range r.Alarms {
		in.Alarms = append(in.Alarms, api.SessionAlarm{Session: string(a.Session), Pattern: clip(a.Pattern), Text: clip(a.Text), At: api.At(a.At)})
	}
	for _, x := range r.LeftOut {
		in.LeftOut = append(in.LeftOut, api.SessionLeftOut{Session: string(x.Session), Alarms: int64(x.Alarms)})
	}
	said, err := p.Client.RenewSessions(ctx, in)
	if err != nil {
		return nil, told(err)
	}
	var got api.SessionRenewals
	if err := p.Voice.Hear(said.Word, in.Nonce, envelope.AboutRenewals, &got); err != nil {
		return nil, err
	}
	out := map[gateway.SessionID]gateway.Renewal{}
	for _, x := range got.Renewals {
		a := gateway.Renewal{Remaining: millis(x.RemainingMillis), Paused: x.Paused}
		if x.Cut != nil {
			c := cut(*x.Cut)
			a.Cut = &c
		}
		out[gateway.SessionID(x.Session)] = a
	}
	return out, nil
}

// Cuts hears what is to end.
func (p Plane) Cuts(ctx context.Context, ready func(), each func(gateway.Cut)) error {
	return told(p.Client.FollowCuts(ctx, ready, func(x api.SessionCut) { each(cut(x)) }))
}

func cut(x api.SessionCut) gateway.Cut {
	return gateway.Cut{Session: gateway.SessionID(x.Session), Reason: gateway.Reason(x.Reason), Text: x.Text, Look: x.Look}
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// clip keeps a text within what the API takes, and whole letters of it.
func clip(s string) string {
	const most = 1000
	if len(s) <= most {
		return s
	}
	for i := range s {
		if i > most {
			return s[:i]
		}
	}
	return s
}

// kinds are those of refusals, which persons are shown.
var kinds = map[api.Kind]access.Kind{
	api.Invalid: access.Invalid, api.Denied: access.Denied, api.Unauthenticated: access.Unauthenticated, api.NotFound: access.NotFound, api.Conflict: access.Conflict,
	api.SetupFailed: access.SetupFailed, api.Pending: access.Pending, api.Expired: access.Expired, api.Unavailable: access.Unavailable, api.TooMany: access.TooMany,
}

// told is an answer of the control plane as the gateway's packages have it. That this
// gateway itself is refused is nothing that a person at its door could mend.
func told(err error) error {
	var e *api.Error
	if !errors.As(err, &e) {
		var u *api.Unreachable
		if errors.As(err, &u) {
			return access.Fail(access.Unavailable, "no-control-plane", "the gateway cannot reach its control plane").Try("try again in a moment").Wrap(err)
		}
		return err
	}
	kind := kinds[e.Kind]
	if kind == access.Unauthenticated {
		return access.Fail(access.Unavailable, "gateway-refused", "the control plane does not know this gateway").Try("tell an administrator").Wrap(err)
	}
	return access.Fail(kind, e.Code, e.Message).Because(e.Why).Try(e.Next)
}
