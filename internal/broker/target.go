package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/policy"
)

// credentialPurpose and place bind a sealed connector login to where it stands.
const credentialPurpose = "connector-credential"

func credentialPlace(c access.Credential) string {
	return c.Name + "\x00" + c.Type + "\x00" + c.Address + "\x00" + c.Username
}

// Resealer seals anew what an older seal key sealed.
type Resealer interface {
	Reseal(purpose, place string, sealed []byte) ([]byte, error)
}

// ResealCredential seals a connector login with the current seal key. That is no
// change of the credential: its version stays.
func ResealCredential(v Resealer, c access.Credential) (access.Credential, error) {
	sealed, err := v.Reseal(credentialPurpose, credentialPlace(c), c.Sealed)
	c.Sealed = sealed
	return c, err
}

// loginCache keeps opened connector logins for a moment: opening one reads the
// store, which a burst of grants need not do each time. Another replica's
// change is seen after keepLogin.
type loginCache struct {
	mu sync.Mutex
	m  map[string]cachedLogin
}

type cachedLogin struct {
	cred     access.Credential
	password access.Secret
	until    time.Time
}

const keepLogin = 2 * time.Second

func (l *loginCache) get(name string, now time.Time) (cachedLogin, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.m[name]
	return c, ok && now.Before(c.until)
}

func (l *loginCache) put(name string, c cachedLogin) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil {
		l.m = map[string]cachedLogin{}
	}
	for n, old := range l.m { // what is not used stays no longer than its moment
		if time.Now().After(old.until) {
			delete(l.m, n)
		}
	}
	l.m[name] = c
}

func (l *loginCache) forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.m, name)
}

// target finds the connector of a connection and opens the login for it.
func (b *Broker) target(ctx context.Context, at access.Connection) (connector.Connector, connector.Target, error) {
	conn, ok := b.Connectors[at.Type]
	if !ok {
		return nil, connector.Target{}, access.Fail(access.Invalid, "no-connector", "this server has no connector for "+at.Type)
	}
	if b.schemas[at.Type].NoCredential {
		return conn, b.unsigned(at), nil
	}
	c, ok := b.logins.get(at.Credential, time.Now())
	if !ok {
		err := b.Store.View(ctx, func(tx Tx) (err error) { c.cred, err = tx.Credential(at.Credential); return err })
		switch {
		case missing(err):
			return nil, connector.Target{}, access.Fail(access.NotFound, "no-credential", "no credential "+at.Credential+" is registered").Try(register(at))
		case err == nil && c.cred.Gone():
			return nil, connector.Target{}, deleted(at)
		case err != nil:
			return nil, connector.Target{}, access.Fail(access.Unavailable, "store", "the store did not answer").Wrap(err)
		}
		if c.password, err = b.openLogin(c.cred); err != nil {
			return nil, connector.Target{}, err
		}
		b.ahead.Learn(c.cred)
		c.until = time.Now().Add(keepLogin)
		b.logins.put(at.Credential, c)
	}
	return b.signIn(conn, at, c.cred, c.password)
}

// endingTarget is target for what is taken away: where the store does not give
// the login, the one last read from it serves.
func (b *Broker) endingTarget(ctx context.Context, at access.Connection) (connector.Connector, connector.Target, error) {
	if b.schemas[at.Type].NoCredential {
		return b.target(ctx, at)
	}
	known, ok := b.ahead.Login(at.Credential)
	if !ok || !b.pulse.isAway() {
		conn, t, err := b.target(ctx, at)
		if !ok || !storeFailed(err) && !isDeleted(err) {
			return conn, t, err
		}
	}
	conn, ok := b.Connectors[at.Type]
	if !ok {
		return b.target(ctx, at) // which says what is missing
	}
	password, err := b.openLogin(known)
	if err != nil {
		return nil, connector.Target{}, err
	}
	return b.signIn(conn, at, known, password)
}

// unsigned is the target of a connection that takes no login.
func (b *Broker) unsigned(at access.Connection) connector.Target {
	return connector.Target{Connection: at, Claim: b.signed(b.Epoch), Genuine: b.signedByUs}
}

// isDeleted reports whether an error is that of deleted. Where what must be taken away
// was made with such a login all the same, a copy that is still known is used.
func isDeleted(err error) bool {
	var e *access.Error
	return errors.As(err, &e) && e.Code == "credential-deleted"
}

// deleted says that the login of a connection is one that somebody took away.
func deleted(at access.Connection) *access.Error {
	return access.Fail(access.NotFound, "credential-deleted", "the credential "+at.Credential+" was deleted").Try(register(at))
}

func register(at access.Connection) string {
	return "register it with: stint admin credential set " + at.Credential + " --type " + at.Type + " --address " + at.Address + " --username … --password-file …"
}

// ForgetLogin drops what is kept of a login, and closes what is open with it, on this
// replica: it was set anew, or deleted. Others keep it for keepLogin. What is known of
// one set anew stays for ends without the store, until that is read again: an old login
// that may still do is better there than none.
func (b *Broker) ForgetLogin(c access.Credential) {
	b.logins.forget(c.Name)
	if c.Gone() {
		b.ahead.Forget(c.Name)
	}
	b.examine.poke()
	if conn, ok := b.Connectors[c.Type]; ok {
		conn.Forget(access.Connection{Type: c.Type, Address: c.Address, Credential: c.Name})
	}
}

func (b *Broker) openLogin(c access.Credential) (access.Secret, error) {
	plain, err := b.Vault.Open(credentialPurpose, credentialPlace(c), c.Sealed)
	if err != nil {
		return access.Secret{}, access.Fail(access.Unavailable, "sealed", "the credential "+c.Name+" does not open").Because("it was sealed with another key, or changed").Wrap(err)
	}
	return access.NewSecret(plain), nil
}

// signIn makes the target of a connection and its login, if they belong together.
func (b *Broker) signIn(conn connector.Connector, at access.Connection, c access.Credential, password access.Secret) (connector.Connector, connector.Target, error) {
	if c.Type != at.Type || c.Address != at.Address {
		return nil, connector.Target{}, boundElsewhere(at, c)
	}
	return conn, connector.Target{Connection: at, Username: c.Username, Password: password,
		Claim: b.signed(b.Epoch), Genuine: b.signedByUs}, nil
}

func boundElsewhere(at access.Connection, c access.Credential) *access.Error {
	return access.Fail(access.Invalid, "credential-bound-elsewhere", "the credential "+at.Credential+" is bound to another address").
		Because(fmt.Sprintf("it is for %s at %s, not for %s at %s", c.Type, c.Address, at.Type, at.Address)).
		Try("register it for the new address with: stint admin credential set " + at.Credential + " …")
}

// claimID is what stands in the place of an entitlement in the tag that proves a
// claim. The proof is of the installation and the epoch, and not of the target:
// one target may be reached by several addresses and may move, and a later epoch
// that was proven anywhere is later everywhere.
const (
	claimPlace = "claim"
	claimID    = "ent_00000000000000000000000000"
)

func (b *Broker) signed(epoch int64) connector.Claim {
	return connector.Claim{Installation: b.Installation, Epoch: epoch, Proof: b.Tagger.Tag(b.Installation, claimPlace, epoch, claimID)}
}

func (b *Broker) signedByUs(c connector.Claim) bool {
	id, ok := b.Tagger.Check(b.Installation, claimPlace, c.Epoch, c.Proof)
	return ok && id == claimID && c.Installation == b.Installation
}

// claimCache remembers for a while which places are claimed by us.
type claimCache struct {
	mu sync.Mutex
	m  map[access.Place]time.Time // until when to believe it
}

const believeClaim = time.Minute

// claim makes sure that the place is ours, and nobody else's in our name, before
// anything is made there.
func (b *Broker) claim(ctx context.Context, conn connector.Connector, t connector.Target) error {
	place, now := t.Connection.Place(), time.Now()
	if err := b.company.certain(place); err != nil {
		return err
	}
	b.claims.mu.Lock()
	ok := now.Before(b.claims.m[place])
	b.claims.mu.Unlock()
	if ok {
		return nil
	}
	return b.claimAnew(ctx, conn, t)
}

// claimAnew asks the target itself.
func (b *Broker) claimAnew(ctx context.Context, conn connector.Connector, t connector.Target) error {
	place, now := t.Connection.Place(), time.Now()
	if err := conn.Claim(ctx, t, t.Claim); err != nil {
		return err
	}
	b.claims.mu.Lock()
	defer b.claims.mu.Unlock()
	if b.claims.m == nil {
		b.claims.m = map[access.Place]time.Time{}
	}
	b.claims.m[place] = now.Add(believeClaim)
	return nil
}

// SetCredential registers the login with which Stint itself signs in to a
// target; administrators only. Its type and address stay while it cannot be let go
// where it is (access.Credential.LetGo).
func (b *Broker) SetCredential(ctx context.Context, c Caller, cred access.Credential, password access.Secret) error {
	if err := c.admin(); err != nil {
		return err
	}
	schema, ok := b.schemas[cred.Type]
	if !ok {
		next := policy.DidYouMean(cred.Type, slices.Sorted(maps.Keys(b.schemas)))
		return access.Fail(access.Invalid, "no-connector", "this server has no connector or integration of type "+cred.Type).Try(next)
	}
	outside := schema.Integration != nil || schema.Carried // of these, many have a secret and no user name
	if !access.ValidName(cred.Name) || cred.Username == "" && !outside || password.Empty() {
		return access.Fail(access.Invalid, "incomplete-credential", "a credential needs a name, a type, an address, a user name and a password")
	}
	if err := policy.CheckAddress(schema, cred.Address); err != nil {
		return err
	}
	sealed, err := b.Vault.Seal(credentialPurpose, credentialPlace(cred), password.Reveal())
	if err != nil {
		return access.Fail(access.Internal, "seal", "the credential could not be sealed").Wrap(err)
	}
	cred.Sealed = sealed
	var left *access.Credential // as it was where it is bound no more
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		left, cred.Version, cred.SetAt = nil, 1, tx.Now()
		old, err := tx.Credential(cred.Name)
		switch {
		case err == nil:
			cred.Version = old.Version + 1
			if old.Moves(cred) {
				if err := old.LetGo(tx); err != nil {
					return err
				}
				left = &old
			}
		case !missing(err):
			return err
		}
		if err := tx.SaveCredential(cred); err != nil {
			return err
		}
		fx.event(access.Event{Type: CredentialSet, At: tx.Now(), Entity: "credential:" + cred.Name, Version: cred.Version, Actor: c.Actor,
			Facts: map[string]string{"type": cred.Type, "address": cred.Address, "username": cred.Username}})
		return nil
	})
	if err != nil {
		return err
	}
	if left != nil {
		b.ForgetLogin(*left)
	}
	b.ForgetLogin(cred)
	return nil
}

// CheckResource proves that Stint can create and remove on a resource;
// administrators and the resource's owners.
func (b *Broker) CheckResource(ctx context.Context, c Caller, name access.ResourceName) (connector.Report, error) {
	set, err := b.Documents(ctx)
	if err != nil {
		return connector.Report{}, err
	}
	r, ok := set.Resource(name)
	if !ok {
		return connector.Report{}, noResource(set, name)
	}
	if !c.Principal.Admin && !c.owns(set, name) {
		return connector.Report{}, access.Fail(access.Denied, "not-yours", "checking "+string(name)+" is for its owners and administrators")
	}
	conn, t, err := b.target(ctx, r.Connection)
	if err != nil {
		return connector.Report{}, err
	}
	report := conn.Check(ctx, t)
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		ok := "no"
		if report.OK() {
			ok = "yes"
		}
		fx.event(b.alarmEvent(ResourceChecked, tx.Now(), c.Actor, "resource", string(name), "ok", ok))
		return tx.SaveProbe(probeOf(name, c.Principal.ID, report, tx.Now()))
	})
	return report, err
}
