package ident

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
)

// WorkloadFor is the longest that a login of a workload is good for. It ends earlier with
// what was shown for it.
const WorkloadFor = time.Hour

// Shown is what a workload showed, verified, and which service a document says that it is.
type Shown struct {
	Service  access.PrincipalID
	Exchange access.Exchange
	// Asked are the claims that the document's conditions look at: for the log.
	Asked []string
	// Once tells a token from all others; zero where there is nothing to tell it by, or
	// where it may be shown more than once.
	Once  access.Digest
	At    time.Time // issued
	Until time.Time // the end of what was shown

	Device access.DeviceID // signed the call; empty: no key did
	From   netip.Addr
	Client string
}

// Exchange gives a workload a login as the service that it is, which ends with what it
// showed and after an hour at most. A token that can be told from others is good for the
// device that showed it first, and without a device once.
func (i *Ident) Exchange(ctx context.Context, s Shown) (Login, error) {
	token, hash, err := i.newSecret(tokenPrefix)
	if err != nil {
		return Login{}, err
	}
	var out Login
	var replayed error // told after the commit, because it is in the log
	err = i.store.Update(ctx, func(tx Tx) error {
		out, replayed = Login{}, nil
		now := tx.Now()
		p, err := tx.Principal(s.Service)
		if err != nil {
			return notAccepted(err)
		}
		if err := p.Usable(now); err != nil || p.ID.Kind() != access.Service {
			return notAccepted(access.NotFound)
		}
		by := access.Actor{Principal: p.ID, Person: p.Person, Device: s.Device, Address: s.From}
		if s.Once != (access.Digest{}) {
			err := tx.UseExchange(s.Once, s.Device, s.Until)
			if access.KindOf(err) == access.Conflict {
				replayed = notAccepted(access.NotFound).Because("it was shown before, by another device or by none")
				return tx.Append(access.Event{Type: ExchangeReplayed, At: now, Entity: "exchange:" + short(hash), Version: 1, Actor: by, Facts: s.facts()})
			}
			if err != nil {
				return err
			}
		}
		end := now.Add(WorkloadFor)
		for _, other := range []time.Time{s.Until, p.Until} {
			if !other.IsZero() && other.Before(end) {
				end = other
			}
		}
		if end = end.Truncate(time.Millisecond); !now.Before(end) {
			return notAccepted(access.NotFound)
		}
		x, provider := s.Exchange, s.Exchange.Integration
		if provider == "" {
			provider = access.ByCertificate
		}
		l := access.Login{Token: hash, Principal: p.ID, Device: s.Device, CreatedAt: now, ExpiresAt: end, Kind: access.WorkloadLogin,
			Auth: access.Auth{Provider: provider, At: s.At}, From: s.From, Client: access.Label(s.Client), Exchange: &x}
		if err := tx.SaveLogin(l); err != nil {
			return err
		}
		ev := loginEvent(LoginCreated, l, 1, by, now)
		maps.Copy(ev.Facts, s.facts())
		out = Login{Token: token, Principal: p, ExpiresAt: end}
		return tx.Append(ev)
	})
	if err == nil {
		err = replayed
	}
	if err != nil {
		return Login{}, err
	}
	return out, nil
}

// notAccepted is the one answer to whoever shows what makes them no service: that there
// is no such service, that it is disabled, that a token was used are for the log.
func notAccepted(err error) *access.Error {
	if kind := access.KindOf(err); kind != access.NotFound {
		return access.Fail(kind, "exchange-failed", "the token could not be looked at").Wrap(err)
	}
	return access.Fail(access.Unauthenticated, "bad-workload-token", "the token is not accepted")
}

func (s Shown) facts() map[string]string {
	x := s.Exchange
	var said []string
	for _, name := range s.Asked {
		said = append(said, name+"="+x.Claims[name])
	}
	slices.Sort(said)
	out := facts("workload", x.Workload, "provider", x.Integration, "issuer", x.Issuer, "subject", access.Label(x.Subject), "audience", x.Audience,
		"claims", strings.Join(slices.Compact(said), " "), "uris", strings.Join(x.URIs, " "), "dns", strings.Join(x.DNS, " "))
	if x.Certificate != (access.Digest{}) {
		out["certificate"] = x.Certificate.String()
	}
	return out
}

// Workloads are all logins of workloads that are good.
func (i *Ident) Workloads(ctx context.Context) (live []access.Login, err error) {
	err = i.store.View(ctx, func(tx Tx) error { live, err = tx.LiveLogins(access.WorkloadLogin); return err })
	return live, err
}

// EndWorkload ends a login of a workload that the documents speak of no more as they did.
// One that has ended is left as it is.
func (i *Ident) EndWorkload(ctx context.Context, l access.Login, why string) error {
	return i.store.Update(ctx, func(tx Tx) error {
		l, err := tx.Login(l.Token)
		if err != nil || l.Revoked {
			return err
		}
		if err := tx.RevokeLogin(l.Token); err != nil {
			return err
		}
		ev := loginEvent(LoginEnded, l, 2, access.System, tx.Now())
		ev.Facts["why"] = why
		return tx.Append(ev)
	})
}

// ServiceView is a service with the ways it gets in.
type ServiceView struct {
	Principal access.Principal
	Tokens    []access.Login // static ones that are good, the newest first
	Logins    int            // of workloads, that are good
	LastUsed  time.Time      // of any of them, to the minute; zero: never, as far as is known
}

// Services lists all services, for administrators and auditors.
func (i *Ident) Services(ctx context.Context) (all []ServiceView, now time.Time, err error) {
	err = i.store.View(ctx, func(tx Tx) error {
		all, now = nil, tx.Now()
		ps, err := tx.Principals(access.Service)
		if err != nil {
			return err
		}
		for _, p := range ps {
			v := ServiceView{Principal: p}
			ls, err := tx.Logins(p.ID)
			if err != nil {
				return err
			}
			for _, l := range slices.Backward(ls) {
				if l.SeenAt.After(v.LastUsed) {
					v.LastUsed = l.SeenAt
				}
				switch {
				case l.Revoked || !now.Before(l.ExpiresAt):
				case l.Is() == access.WorkloadLogin:
					v.Logins++
				default:
					v.Tokens = append(v.Tokens, l)
				}
			}
			all = append(all, v)
		}
		return nil
	})
	return all, now, err
}

// used writes down that a service's token was used, once a minute at most. That nobody
// uses one any more is what makes it worth looking at; what cannot be written is not.
func (i *Ident) used(ctx context.Context, l access.Login, now time.Time) {
	if kind := l.Is(); kind != access.ServiceLogin && kind != access.WorkloadLogin || now.Sub(l.SeenAt) < seenEvery {
		return
	}
	_ = i.store.Update(ctx, func(tx Tx) error { return tx.LoginSeen(l.Token) })
}

// WorkloadsOf are all logins of a service's workloads that are kept, the oldest first,
// also those that have ended: what was asked for with them may go on.
func (i *Ident) WorkloadsOf(ctx context.Context, p access.PrincipalID) (all []access.Login, err error) {
	err = i.store.View(ctx, func(tx Tx) error {
		if all, err = tx.Logins(p); err == nil {
			all = slices.DeleteFunc(all, func(l access.Login) bool { return l.Exchange == nil })
		}
		return err
	})
	return all, err
}

// When something about a service is worth looking at.
const (
	unusedFor = 30 * 24 * time.Hour
	soonEnds  = 14 * 24 * time.Hour
)

// Remarks say what of a service is worth looking at; workloads is how many documents
// make programs the service.
func (v ServiceView) Remarks(now time.Time, workloads int) (out []string) {
	p := v.Principal
	if p.Usable(now) != nil {
		return nil
	}
	if p.Until.Sub(now) < soonEnds && !p.Until.IsZero() {
		out = append(out, "ends in "+days(p.Until.Sub(now)))
	}
	for _, l := range v.Tokens {
		static := "static token " + l.Name()[:8]
		switch idle := now.Sub(later(l.SeenAt, l.CreatedAt)); {
		case idle >= unusedFor:
			out = append(out, static+" was not used for "+days(idle))
		case workloads > 0:
			out = append(out, static+" beside workload identity")
		default:
			out = append(out, static)
		}
	}
	if len(v.Tokens) == 0 && workloads == 0 {
		out = append(out, "has no way in")
	}
	return out
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func days(d time.Duration) string {
	if n := int(d / (24 * time.Hour)); n != 1 {
		return strconv.Itoa(n) + " days"
	}
	return "1 day"
}
