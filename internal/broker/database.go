package broker

import (
	"context"
	"errors"
	"slices"
	"time"

	"stint/internal/access"
)

// databaseType is the type of the resources whose sessions a key opens, through gateways.
const databaseType = "postgres"

// brokeredPurpose and brokeredPlace bind the ciphertext of a login that only gateways use to
// its grant and its account.
const brokeredPurpose = "brokered login"

func brokeredPlace(g access.GrantID, e access.EntitlementID) string {
	return string(g) + "\x00" + string(e)
}

// KeyAsk is a key by which gateways for databases shall know the holder of a grant.
type KeyAsk struct {
	Protocol    access.Protocol // of the sessions that it opens
	Fingerprint string
	// Prepare looks at what was decided, before anything is written: an error of it is that
	// of the call.
	Prepare func(CertificateOrder) error
}

// RegisterKey decides about a key of the holder of an active grant, on the device that asked
// for it. When it returns, that it opens sessions is in the log. What it opens stands in its
// row and nowhere else, so there is nothing to sign: its serial is how it is found.
func (b *Broker) RegisterKey(ctx context.Context, c Caller, id string, ask KeyAsk) (out CertificateOrder, err error) {
	err = b.update(onBehalf(ctx, c.Principal.Person), func(tx Tx, fx *effects) error {
		r, g, err := b.heldOnDevice(tx, c, id)
		w := carriages[ask.Protocol]
		switch {
		case err != nil:
			return err
		case slices.ContainsFunc(g.Targets, func(t access.Target) bool { return t.Connection.Type != w.resource }) || !slices.Contains(w.mechanisms, g.Permissions.Mechanism):
			return noSuchSessions(r, ask.Protocol)
		case !throughGateway(g.Permissions):
			return access.Fail(access.Conflict, "not-through-gateway", "this access does not go through a gateway").
				Because("the role " + string(g.Role) + " does not say so").Try("connect with stint db, or see the credential with: stint credentials " + string(r.ID))
		}
		if err := b.alive(tx, g); err != nil {
			return err
		}
		if out, err = b.orderKey(tx, g, ask); err != nil {
			return err
		}
		if err := ask.Prepare(out); err != nil {
			return err
		}
		fx.event(out.Issued(c.Actor, &g))
		return tx.SaveCertificates(out.Certificate)
	})
	if err != nil {
		return CertificateOrder{}, err
	}
	return out, nil
}

// noSuchSessions says that a grant is for something else than the sessions of a protocol.
func noSuchSessions(r access.Request, p access.Protocol) error {
	code, what := "no-database", "databases"
	switch p {
	case access.HTTP:
		code, what = "no-web", "web applications"
	case access.TCP:
		code, what = "no-tcp", "ports"
	}
	return access.Fail(access.Conflict, code, "this grant opens no sessions with "+what).Try("see what it gives with: stint status " + string(r.ID))
}

// orderKey says what a key opens, from the rows alone.
func (b *Broker) orderKey(tx Tx, g access.Grant, ask KeyAsk) (CertificateOrder, error) {
	out := CertificateOrder{Held: g, Gateway: true, Certificate: access.Certificate{Kind: carriages[ask.Protocol].kind, Serial: b.serial()}}
	holds, err := tx.HoldsBy(g.ID)
	if err != nil {
		return out, err
	}
	var ids []access.EntitlementID
	for _, h := range holds {
		if h.ReleasedAt.IsZero() {
			ids = append(ids, h.Entitlement)
		}
	}
	es, err := tx.EntitlementsOf(ids...)
	if err != nil {
		return out, err
	}
	for _, e := range es {
		if slices.Contains(carriages[ask.Protocol].mechanisms, e.Mechanism) && (e.State == access.Present || e.State == access.Refreshing) {
			out.Logins = append(out.Logins, HostLogin{Resource: e.Target.Resource, Account: e.Account, Database: e.Target.Connection.Options["database"]})
		}
	}
	if len(out.Logins) == 0 {
		return out, access.Fail(access.Unavailable, "not-present", "the access is not on its server at this moment").Try("try again in a moment")
	}
	now := tx.Now()
	out.Certificate.Grant, out.Fingerprint, out.Principals = g.ID, ask.Fingerprint, []string{gatewayPrincipal(g.ID)}
	out.IssuedAt, out.NotBefore, out.NotAfter = now, now.Add(-backdate), now.Add(userCertificateFor)
	if g.ExpiresAt.Before(out.NotAfter) {
		out.NotAfter = g.ExpiresAt
	}
	out.NotAfter = out.NotAfter.Truncate(time.Second) // never later than the grant
	out.KeyID = "stint " + b.Installation + " grant=" + string(g.ID) + " person=" + string(g.Person)
	return out, nil
}

// LoginAsk is a key that a gateway made for one session's login.
type LoginAsk struct {
	Key         []byte // X25519
	Fingerprint string
	Info        string // what the ciphertext is bound to
}

// LendLogin gives a gateway the login for the target of a session that it has open, sealed
// to the one key that it made for that. It is in the log before it is opened here: who reads
// the log knows of each time that a password was out, and of the process that had it.
func (b *Broker) LendLogin(ctx context.Context, gateway string, id access.SessionID, ask LoginAsk) ([]byte, error) {
	var open func() ([]byte, error)
	err := b.update(ctx, func(tx Tx, fx *effects) error {
		s, g, err := b.sessionOf(tx, gateway, id)
		if err != nil {
			return err
		}
		if carriages[s.Protocol].kind == access.UserCertificate || !throughGateway(g.Permissions) {
			return noLogin("it speaks " + string(s.Protocol))
		}
		e, err := tx.Entitlement(s.Held)
		if err != nil {
			return err
		}
		if e.State != access.Present && e.State != access.Refreshing {
			return access.Fail(access.Unavailable, "not-present", "the access is not on its server at this moment").Try("try again in a moment")
		}
		if open, err = b.loginFor(tx, g, e); err != nil {
			return err
		}
		s, ev, err := s.Lend(ask.Fingerprint, access.Actor{Principal: access.System.Principal, Person: g.Person}, tx.Now())
		if err != nil {
			return err
		}
		fx.event(ev)
		return tx.SaveSessions(s)
	})
	if err != nil {
		return nil, b.doubtSession(ctx, gateway, id, ask.Fingerprint, err)
	}
	plain, err := open()
	if err != nil {
		return nil, access.Fail(access.Internal, "cannot-open", "the login of the session cannot be opened").
			Try("an administrator looks whether the seal key is the one of this installation: stint admin doctor").Wrap(err)
	}
	defer clear(plain)
	return b.SealTo(ask.Key, ask.Info, plain)
}

func noLogin(why string) error {
	return access.Fail(access.Conflict, "no-login", "the target of this session is not opened by a login of Stint's").Because(why)
}

// loginFor finds the login that is lent to sessions under an entitlement. open unseals it.
func (b *Broker) loginFor(tx Tx, g access.Grant, e access.Entitlement) (open func() ([]byte, error), err error) {
	switch e.Target.Connection.Type {
	case webType:
		return b.webLogin(tx, e.Target.Connection)
	case tcpType:
		return nil, noLogin("it carries bytes, and adds none")
	}
	all, err := tx.Sealed(g.ID)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(x access.Sealed) bool { return x.Entitlement == e.ID })
	if at < 0 {
		return nil, access.Fail(access.NotFound, "no-credential", "there is no login for this session").Try("open it anew; if that does not help, ask for access anew")
	}
	return func() ([]byte, error) { return b.Vault.Open(brokeredPurpose, brokeredPlace(g.ID, e.ID), all[at].Blob) }, nil
}

// doubtSession puts into the log that a second key came for a session's login or its
// certificate, which refused says. What it was refused in was undone, so this is apart.
func (b *Broker) doubtSession(ctx context.Context, gateway string, id access.SessionID, key string, refused error) error {
	if e := (*access.Error)(nil); !errors.As(refused, &e) || e.Code != "lent-already" && e.Code != "certified-already" {
		return refused
	}
	err := b.update(ctx, func(tx Tx, fx *effects) error {
		s, _, err := b.sessionOf(tx, gateway, id)
		if err != nil || s.Certified == "" || s.Certified == key {
			return err
		}
		s, ev := s.Doubt(key, tx.Now())
		fx.event(ev)
		return tx.SaveSessions(s)
	})
	if err != nil {
		return err // it must not go unseen: whoever asks is told to come again
	}
	return refused
}
