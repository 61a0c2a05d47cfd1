package ident

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/moment"
)

const (
	// IdleFor ends the browser session of an administrator that nobody uses: an open
	// laptop is not a signature.
	IdleFor = 15 * time.Minute
	// seenEvery is how often a session's use is written down.
	seenEvery = time.Minute
	// ConfirmFor is how fresh a browser session must be to make another login: what
	// was left signed in does not hand that on.
	ConfirmFor = time.Hour
	// browserPrefix keeps a browser's token and a client's apart.
	browserPrefix = "stint-web-"
)

// Browser is what is known of a browser that signs in.
type Browser struct {
	From   netip.Addr
	Client string // what it calls itself
}

// Arrival is somebody whom a provider vouches for.
type Arrival struct {
	Identity   access.Identity
	Auth       access.Auth
	Groups     []string          // all that the provider gives
	Attributes map[string]string // that the provider decides; empty: it has none
	// Create makes a user of somebody who is nobody yet, called Name.
	Create bool
	Name   string
}

// SignIn opens a session for whoever the provider vouches for: the user who is linked
// to exactly that subject, and nobody else whatever names agree. The provider's
// groups and attributes replace those that it gave before; regrouped says that they
// changed, so that what the user holds is to be decided again.
func (i *Ident) SignIn(ctx context.Context, a Arrival, b Browser) (out Login, regrouped bool, err error) {
	token, hash, err := i.newSecret(browserPrefix)
	if err != nil {
		return Login{}, false, err
	}
	groups, err := checkGroups(a.Groups)
	if err != nil {
		return Login{}, false, err
	}
	err = i.store.Update(ctx, func(tx Tx) error {
		old, err := tx.PrincipalByIdentity(a.Identity)
		if access.KindOf(err) == access.NotFound {
			old, err = a.newcomer(tx)
		}
		if err == nil {
			err = old.Usable(tx.Now())
		}
		if err != nil {
			return err
		}
		p, by := a.update(old, groups), access.Actor{Principal: old.ID, Person: old.Person, Address: b.From}
		what := changes(old, p)
		switch {
		case old.Version == 0:
			p.Version = 1
			err = tx.Append(principalEvent(PrincipalCreated, p, by, tx.Now(), "provider", a.Identity.Provider, "subject", a.Identity.Subject))
		case len(what) > 0:
			p.Version++
			err = tx.Append(changedEvent(p, what, by, tx.Now()))
		}
		if err == nil && p.Version != old.Version {
			err = tx.SavePrincipals(p)
		}
		if err != nil {
			return err
		}
		regrouped = old.Version > 0 && len(what) > 0
		out, err = open(tx, token, hash, p, a.Auth, b)
		return err
	})
	if err != nil {
		return Login{}, false, err
	}
	return out, regrouped, nil
}

// newcomer is the user that a stranger becomes; of version 0, for it is not saved.
func (a Arrival) newcomer(tx Tx) (access.Principal, error) {
	fail := func(err *access.Error) (access.Principal, error) { return access.Principal{}, err }
	link := "an administrator says who you are with: stint admin user link NAME --provider " + a.Identity.Provider + " --subject " + a.Identity.Subject
	if !a.Create {
		return fail(access.Fail(access.Denied, "not-linked", "nobody here is "+a.Identity.Subject+" of "+a.Identity.Provider).
			Because("no user is linked to that, and this provider makes none").Try(link))
	}
	if _, err := checkNames(a.Name, nil); err != nil {
		return fail(access.Fail(access.Denied, "bad-name", "no user can be made for you").
			Because("what " + a.Identity.Provider + " calls you is no name here: 1 to 63 of a-z, 0-9, '.', '_' and '-'").Try(link).Wrap(err))
	}
	id := access.NewPrincipalID(access.User, a.Name)
	switch err := absent(tx, id); access.KindOf(err) {
	case access.Conflict:
		return fail(access.Fail(access.Conflict, "name-taken", "no user can be made for you").
			Because("there is a " + string(id) + ", who is not linked to your account at " + a.Identity.Provider + ", and a name proves nothing").Try("if that is you, " + link))
	default:
		if err != nil {
			return access.Principal{}, err
		}
	}
	return access.Principal{ID: id, Person: access.Person(a.Name), CreatedAt: tx.Now()}.Link(a.Identity), nil
}

// update gives a principal what its provider says of it now.
func (a Arrival) update(p access.Principal, groups []access.Group) access.Principal {
	p = p.Provide(a.Identity.Provider, groups)
	all := map[string]string{}
	for name, v := range p.Attributes {
		all[name] = v
	}
	for name, v := range a.Attributes {
		if all[name] = v; v == "" {
			delete(all, name)
		}
	}
	if p.Attributes = all; len(all) == 0 {
		p.Attributes = nil
	}
	return p
}

// Open opens a session for a user who has proven by themselves who they are.
func (i *Ident) Open(ctx context.Context, id access.PrincipalID, auth access.Auth, b Browser) (out Login, err error) {
	token, hash, err := i.newSecret(browserPrefix)
	if err != nil {
		return Login{}, err
	}
	err = i.store.Update(ctx, func(tx Tx) error {
		p, err := tx.Principal(id)
		if err != nil {
			return notSignedIn(err)
		}
		if err := p.Usable(tx.Now()); err != nil {
			return err
		}
		out, err = open(tx, token, hash, p, auth, b)
		return err
	})
	if err != nil {
		return Login{}, err
	}
	return out, nil
}

func open(tx Tx, token access.Secret, hash access.Digest, p access.Principal, auth access.Auth, b Browser) (Login, error) {
	now := tx.Now()
	l := access.Login{Token: hash, Principal: p.ID, CreatedAt: now, ExpiresAt: now.Add(LoginFor),
		Kind: access.BrowserLogin, Auth: auth, From: b.From, Client: access.Label(b.Client)}
	// No key has this thumbprint: a version that knows no browsers takes the token for
	// one of a device that never calls.
	l.Device = access.DeviceID("browser-" + l.Name())
	if err := tx.SaveLogin(l); err != nil {
		return Login{}, err
	}
	by := access.Actor{Principal: p.ID, Person: p.Person, Device: l.Device, Address: b.From}
	return Login{Token: token, Principal: p, ExpiresAt: l.ExpiresAt}, tx.Append(loginEvent(LoginCreated, l, 1, by, now))
}

// Session finds whose a browser's token is, and notes that it is used. As with
// Authenticate, the store is read each time.
func (i *Ident) Session(ctx context.Context, token access.Secret, from netip.Addr) (Caller, error) {
	c, unseen, err := i.session(ctx, token, from)
	if err == nil && unseen >= seenEvery {
		// What cannot be written lets an administrator's session end sooner, never later.
		_ = i.store.Update(ctx, func(tx Tx) error { return tx.LoginSeen(c.Login.Token) })
	}
	return c, err
}

// Watched is Session for what an open page asks by itself. That is no use of the session:
// nobody may be in front of it, and it is to end after IdleFor as if the page were closed.
func (i *Ident) Watched(ctx context.Context, token access.Secret, from netip.Addr) (Caller, error) {
	c, _, err := i.session(ctx, token, from)
	return c, err
}

// session is whose the token is, and for how long its session was not used.
func (i *Ident) session(ctx context.Context, token access.Secret, from netip.Addr) (c Caller, unseen time.Duration, err error) {
	err = i.store.View(ctx, func(tx Tx) error {
		l, err := tx.Login(digest(token))
		if err == nil && (l.Revoked || l.Is() != access.BrowserLogin) {
			err = access.NotFound
		}
		if err != nil {
			return notSignedIn(err)
		}
		p, err := tx.Principal(l.Principal)
		if err != nil {
			return notSignedIn(err)
		}
		now, seen := tx.Now(), l.CreatedAt
		if l.SeenAt.After(seen) {
			seen = l.SeenAt
		}
		unseen = now.Sub(seen)
		switch {
		case !now.Before(l.ExpiresAt):
			return access.Fail(access.Unauthenticated, "login-expired", "your session has ended").Because("it was good until " + stamp(l.ExpiresAt)).Try("sign in again")
		case p.Admin && unseen >= IdleFor:
			return access.Fail(access.Unauthenticated, "session-idle", "your session has ended").
				Because("an administrator's ends when it is not used for " + moment.Span(IdleFor)).Try("sign in again")
		}
		if err := p.Usable(now); err != nil {
			return err
		}
		c = Caller{Principal: p, Login: l, Actor: access.Actor{Principal: p.ID, Person: p.Person, Device: l.Device, Address: from}}
		c.Enrols, err = enrolsOnly(tx, p, l)
		return err
	})
	if err != nil {
		return Caller{}, 0, err
	}
	return c, unseen, nil
}

// Sessions are the caller's live logins, the newest first.
func (i *Ident) Sessions(ctx context.Context, c Caller) (live []access.Login, err error) {
	err = i.store.View(ctx, func(tx Tx) error {
		live, err = liveLogins(tx, c.Principal.ID)
		return err
	})
	return live, err
}

// SessionsOf are the live logins of a principal, static tokens among them, the newest
// first: one's own or, for administrators and auditors, anybody's.
func (i *Ident) SessionsOf(ctx context.Context, by Caller, p access.PrincipalID) (live []access.Login, err error) {
	if p != by.Principal.ID && !by.Principal.Admin && !by.Principal.Auditor {
		return nil, access.Fail(access.Denied, "not-yours", "the sessions of others are for administrators and auditors")
	}
	err = i.store.View(ctx, func(tx Tx) error {
		live, err = liveLogins(tx, p)
		return err
	})
	return live, err
}

func liveLogins(tx Tx, p access.PrincipalID) ([]access.Login, error) {
	all, err := tx.Logins(p)
	if err != nil {
		return nil, err
	}
	glass, err := tx.GlassLogins(p)
	if err != nil {
		return nil, err
	}
	all = append(all, glass...)
	slices.SortStableFunc(all, func(a, b access.Login) int { return a.CreatedAt.Compare(b.CreatedAt) })
	all = slices.DeleteFunc(all, func(l access.Login) bool { return l.Revoked || !tx.Now().Before(l.ExpiresAt) })
	slices.Reverse(all)
	return all, nil
}

// EndSession ends one of the caller's own logins, named as in Sessions or by an
// unambiguous beginning of that.
func (i *Ident) EndSession(ctx context.Context, c Caller, name string) (ended access.Login, err error) {
	err = i.store.Update(ctx, func(tx Tx) error {
		all, err := liveLogins(tx, c.Principal.ID)
		if err != nil {
			return err
		}
		var found []access.Login
		for _, l := range all {
			if name != "" && strings.HasPrefix(l.Name(), strings.ToLower(name)) {
				found = append(found, l)
			}
		}
		switch {
		case len(found) == 0:
			return access.Fail(access.NotFound, "no-such-session", "you have no such session").Try("stint signins lists yours")
		case len(found) > 1:
			return access.Fail(access.Conflict, "ambiguous-id", "more than one of your sessions begins like this").Try("give more of the id")
		}
		ended = found[0]
		revoke := tx.RevokeLogin
		if ended.Glass != nil {
			revoke = tx.RevokeGlassLogin
		}
		if err := revoke(ended.Token); err != nil {
			return err
		}
		return tx.Append(loginEvent(LoginEnded, ended, 2, c.Actor, tx.Now()))
	})
	if err != nil {
		return access.Login{}, err
	}
	return ended, nil
}
