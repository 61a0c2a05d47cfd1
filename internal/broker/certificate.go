package broker

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
)

// hostType is the type of the resources whose sessions a certificate opens.
const hostType = "linux"

// How long certificates live. A person's is made anew for as long as the grant lasts,
// so that one that was copied is good for an hour at most; a host's is renewed by its
// agent long before.
const (
	userCertificateFor = time.Hour
	hostCertificateFor = 7 * 24 * time.Hour
	// backdate is for hosts whose clock is behind.
	backdate = 30 * time.Second
	// worthwhile is the shortest life of a certificate: who connects needs a moment.
	worthwhile = 2 * time.Second
)

// CertificateAsk is a key to certify, by its fingerprint, and that of the authority
// that will sign. What the two are is the door's to know.
type CertificateAsk struct {
	Fingerprint, Authority string
	// Prepare builds and checks the certificate that was decided. It is called in the
	// transaction, maybe more than once, before anything is written: what could never
	// be signed is in no log.
	Prepare func(CertificateOrder) error
}

// CertificateOrder is a certificate as it was decided, and where it opens what.
type CertificateOrder struct {
	access.Certificate
	ForceCommand string
	Sources      []netip.Prefix
	Forwarding   []string     // of "ports", "agent", "x11"
	Held         access.Grant // the grant it is for
	Logins       []HostLogin
	// Gateway says that it opens sessions through gateways only: no host knows its principal.
	Gateway bool
}

// HostLogin is where a certificate opens sessions, and of which account.
type HostLogin struct {
	Resource access.ResourceName
	Address  string // host and port
	Account  string
	Database string // of a database
}

// Certify decides about a certificate for a key of the holder of an active grant, on
// the device that asked for it. When it returns, that it is made is in the log; only
// then may the caller sign it.
func (b *Broker) Certify(ctx context.Context, c Caller, id string, ask CertificateAsk) (out CertificateOrder, err error) {
	// What there is to find out is found out where many can read at a time; where one
	// writes after the other, only that nothing has changed since.
	ctx = onBehalf(ctx, c.Principal.Person)
	var decided CertificateOrder
	if err := b.Store.View(ctx, func(tx Tx) error { decided, err = b.decideCertificate(tx, c, id, ask); return err }); err != nil {
		return CertificateOrder{}, err
	}
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		out = decided
		g, err := tx.Grant(out.Held.ID)
		if err != nil {
			return err
		}
		if now := tx.Now(); g.Version != out.Held.Version || !now.Before(g.ExpiresAt) || now.Sub(out.IssuedAt) > decidedWithin {
			if out, err = b.decideCertificate(tx, c, id, ask); err != nil {
				return err
			}
		} else if err := b.certain(tx); err != nil {
			return err
		}
		out.IssuedAt = tx.Now()
		fx.event(out.Issued(c.Actor, &out.Held))
		return tx.SaveCertificates(out.Certificate)
	})
	if err != nil {
		return CertificateOrder{}, err
	}
	return out, nil
}

// decidedWithin is how long what was decided may wait to be written down.
const decidedWithin = 5 * time.Second

// decideCertificate says what a certificate may be, and has it built and checked.
func (b *Broker) decideCertificate(tx Tx, c Caller, id string, ask CertificateAsk) (CertificateOrder, error) {
	g, err := b.heldForCertificate(tx, c, id)
	if err != nil {
		return CertificateOrder{}, err
	}
	out, err := b.orderCertificate(tx, g, ask)
	if err != nil {
		return CertificateOrder{}, err
	}
	return out, ask.Prepare(out)
}

// heldForCertificate is the grant, if the caller may have a certificate for it now.
func (b *Broker) heldForCertificate(tx Tx, c Caller, id string) (access.Grant, error) {
	r, g, err := b.heldOnDevice(tx, c, id)
	switch {
	case err != nil:
		return g, err
	case !certified(g.Permissions.Mechanism) || slices.ContainsFunc(g.Targets, func(t access.Target) bool { return t.Connection.Type != hostType }):
		return g, access.Fail(access.Conflict, "no-certificate", "this grant comes without a certificate").
			Because("one is for roles with the mechanism token, account or enable on resources of type " + hostType).Try("see what it gives with: stint status " + string(r.ID))
	}
	return g, b.alive(tx, g)
}

// heldOnDevice is the grant of a request, if the caller holds it and calls from the device
// that asked for it.
func (b *Broker) heldOnDevice(tx Tx, c Caller, id string) (r access.Request, g access.Grant, err error) {
	if r, err = b.find(tx, c, id); err != nil {
		return r, g, err
	}
	switch {
	case r.Principal != c.Principal.ID:
		return r, g, access.Fail(access.Denied, "not-yours", "a certificate is only for the holder of the grant")
	case r.Grant == "":
		return r, g, access.Fail(access.Conflict, "not-active", "the request is "+string(r.State)+"; there is no certificate")
	case r.Device != c.Source.Device:
		return r, g, access.Fail(access.Denied, "other-device", "a certificate is only for the device that asked").
			Try("ask from this device with: stint request " + string(r.Targets[0].Resource) + " --as " + string(r.Role))
	}
	g, err = tx.Grant(r.Grant)
	return r, g, err
}

// alive refuses a grant by which nobody connects now.
func (b *Broker) alive(tx Tx, g access.Grant) error {
	switch {
	case g.State != access.Active:
		return access.Fail(access.Conflict, "not-active", "the grant is "+string(g.State)+"; there is no certificate")
	case g.ExpiresAt.Sub(tx.Now()) < worthwhile:
		return access.Fail(access.Expired, "grant-ended", "the grant has ended, or ends at this moment")
	}
	return b.certain(tx)
}

// certified reports whether sessions of a host open with a certificate under a mechanism.
func certified(m access.Mechanism) bool {
	return m == access.Token || m == access.Account || m == access.Enable
}

// orderCertificate says what a certificate for the grant may be, from the rows alone.
func (b *Broker) orderCertificate(tx Tx, g access.Grant, ask CertificateAsk) (CertificateOrder, error) {
	out := CertificateOrder{Held: g, Certificate: access.Certificate{Kind: access.UserCertificate, Serial: b.serial()}}
	out.Certificate.Grant = g.ID
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
		if !certified(e.Mechanism) || e.State != access.Present && e.State != access.Refreshing {
			continue
		}
		out.Principals = append(out.Principals, "stint-"+string(e.Tag))
		out.Logins = append(out.Logins, HostLogin{e.Target.Resource, e.Target.Connection.Address, e.Account, e.Target.Connection.Options["database"]})
	}
	if len(out.Principals) == 0 { // never one without: it would be for every account
		return out, access.Fail(access.Unavailable, "not-present", "the access is not on its host at this moment").Try("try again in a moment")
	}
	if throughGateway(g.Permissions) {
		out.Gateway, out.Principals = true, []string{gatewayPrincipal(g.ID)}
	}
	slices.Sort(out.Principals)
	if err := out.restrict(g.Permissions.Options); err != nil {
		return out, err
	}
	now := tx.Now()
	out.Authority, out.Fingerprint, out.IssuedAt, out.NotBefore = ask.Authority, ask.Fingerprint, now, now.Add(-backdate)
	out.NotAfter = now.Add(userCertificateFor)
	if g.ExpiresAt.Before(out.NotAfter) {
		out.NotAfter = g.ExpiresAt
	}
	out.NotAfter = out.NotAfter.Truncate(time.Second) // never later than the grant
	out.KeyID = "stint " + b.Installation + " grant=" + string(g.ID) + " person=" + string(g.Person)
	return out, nil
}

func (b *Broker) serial() access.Serial {
	e := b.entropy()
	return access.NewSerial([8]byte(e[:8]))
}

// restrict takes over what the role says of sessions. The host's own line says the same
// once more; a certificate that says less than it would still be held to it.
func (o *CertificateOrder) restrict(options map[string]string) error {
	wrong := func(name string) error {
		return access.Fail(access.Internal, "bad-option", "the role's "+name+" cannot be read, so no certificate is made").Try("an owner of the role mends it, and you ask anew")
	}
	o.ForceCommand = options["forceCommand"]
	if text := options["sourceAddress"]; text != "" {
		for part := range strings.SplitSeq(text, ",") {
			p, err := netip.ParsePrefix(part)
			if a, e := netip.ParseAddr(part); e == nil {
				p, err = netip.PrefixFrom(a, a.BitLen()), nil
			}
			if err != nil || p != p.Masked() {
				return wrong("sourceAddress")
			}
			o.Sources = append(o.Sources, p)
		}
	}
	if text := options["forwarding"]; text != "" {
		for part := range strings.SplitSeq(text, ",") {
			if !slices.Contains([]string{"ports", "agent", "x11"}, part) {
				return wrong("forwarding")
			}
			if !slices.Contains(o.Forwarding, part) {
				o.Forwarding = append(o.Forwarding, part)
			}
		}
	}
	return nil
}

// CertifyHost decides about a certificate by which clients know a host: for the names
// they call it by. As with Certify, it is in the log when this returns. Who calls must
// know that the key is the host's.
func (b *Broker) CertifyHost(ctx context.Context, actor access.Actor, resource access.ResourceName, names []string, ask CertificateAsk) (out CertificateOrder, err error) {
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		now := tx.Now()
		out = CertificateOrder{Certificate: access.Certificate{Kind: access.HostCertificate, Serial: b.serial(), Resource: resource, Authority: ask.Authority, Fingerprint: ask.Fingerprint,
			KeyID: "stint " + b.Installation + " host=" + string(resource), Principals: slices.Compact(slices.Sorted(slices.Values(names))),
			IssuedAt: now, NotBefore: now.Add(-backdate), NotAfter: now.Add(hostCertificateFor).Truncate(time.Second)}}
		if err := b.certain(tx); err != nil {
			return err
		}
		if err := ask.Prepare(out); err != nil {
			return err
		}
		fx.event(out.Issued(actor, nil))
		return tx.SaveCertificates(out.Certificate)
	})
	if err != nil {
		return CertificateOrder{}, err
	}
	return out, nil
}

// RevokeHostCertificates takes back those of a host that left.
func (b *Broker) RevokeHostCertificates(ctx context.Context, actor access.Actor, resource access.ResourceName, why string) error {
	return b.update(ctx, func(tx Tx, fx *effects) error {
		cs, err := tx.Certificates(access.CertificateQuery{Resource: resource, Valid: true, Limit: 10_000})
		if err != nil {
			return err
		}
		for _, c := range cs {
			if c.Kind != access.HostCertificate || !c.RevokedAt.IsZero() {
				continue
			}
			gone, ev, err := c.Revoke(actor, why, tx.Now())
			if err != nil {
				return err
			}
			fx.event(ev)
			if err := tx.RevokeCertificate(gone); err != nil {
				return err
			}
		}
		return nil
	})
}

// RevokedCertificates are those that hosts and clients must not believe any more though
// their end has not come, and the time at which that was so.
func (b *Broker) RevokedCertificates(ctx context.Context) (cs []access.Certificate, at time.Time, err error) {
	err = b.Store.View(ctx, func(tx Tx) error {
		at = tx.Now()
		cs, err = tx.RevokedCertificates()
		return err
	})
	return cs, at, err
}
