package broker

import (
	"context"
	"encoding/base64"
	"io"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/vault"
)

// The secrets of vaulted accounts come to orders here, and nowhere else. A secret is
// durable in the vault, as pending, before an order names it as the next one; it becomes
// the current one in the transaction that records what the target said. Between the two
// every attempt, of whichever process, goes on with the one that is pending: so at each
// moment the account opens with one of two secrets that are both kept, and one call that
// is late sets what the others set. An account has one live entitlement, be it lent or
// only rotated, and that has one lease: two rotations are never under way. RFD 43.

// turning is what the vault gives for one order.
type turning struct {
	entry        string
	number       int64 // of next; 0 where there is none
	secret, next access.Secret
	err          error // why there is no next, where there should be one
}

// newSecret makes a password of 256 random bits, or a certificate with its key. Of a token
// or a key the bits are what it is made from, or opened with, by the connector: so whatever
// the kind, what is durable first is all that the next attempt needs. RFD 46.
func (b *Broker) newSecret(e vault.Entry, now time.Time) (s access.Secret, until time.Time, err error) {
	if e.Kind == vault.Certificate {
		return vault.NewCertificate(e.Account, b.Rand, now)
	}
	var random [32]byte
	if _, err := io.ReadFull(b.Rand, random[:]); err != nil {
		return s, until, access.Fail(access.Internal, "no-randomness", "no secret could be made").Wrap(err)
	}
	return access.NewSecret([]byte(base64.RawURLEncoding.EncodeToString(random[:]))), until, nil
}

func (b *Broker) sealSecret(e vault.Entry, number int64, s access.Secret) ([]byte, error) {
	sealed, err := b.Vault.Seal(vault.Purpose, e.Place(number), s.Reveal())
	if err != nil {
		return nil, access.Fail(access.Internal, "seal", "the secret could not be sealed").Wrap(err)
	}
	return sealed, nil
}

func (b *Broker) openSecret(e vault.Entry, s vault.Version) (access.Secret, error) {
	plain, err := b.Vault.Open(vault.Purpose, e.Place(s.Number), s.Sealed)
	if err != nil {
		return access.Secret{}, access.Fail(access.Unavailable, "sealed", "the secret of the vault entry "+e.Name+" does not open").
			Because("it was sealed with another key, or for another place, or changed").Wrap(err)
	}
	return access.NewSecret(plain), nil
}

// ResealVaulted seals what the vault has with the current seal key. That is no change of
// the entry: its version stays.
func ResealVaulted(v Resealer, e vault.Entry) (vault.Entry, error) {
	secrets := make([]vault.Version, len(e.Secrets))
	for i, s := range e.Secrets {
		if len(s.Sealed) > 0 {
			var err error
			if s.Sealed, err = v.Reseal(vault.Purpose, e.Place(s.Number), s.Sealed); err != nil {
				return e, err
			}
		}
		secrets[i] = s
	}
	e.Secrets = secrets
	return e, nil
}

// secretsOf is what an entry gives for an order, with what is pending as the next. Where
// the current secret does not open, and nobody was given it, the order goes on with the
// next one alone: the target proves that one, and nobody needs the other.
func (b *Broker) secretsOf(e vault.Entry) (turning, error) {
	none, t := turning{entry: e.Name}, turning{entry: e.Name}
	var err error
	if p, ok := e.Pending(); ok {
		t.number = p.Number
		if t.next, err = b.openSecret(e, p); err != nil {
			return none, err
		}
	}
	if c, ok := e.Current(); ok {
		if t.secret, err = b.openSecret(e, c); err != nil && (e.Out != "" || t.next.Empty()) {
			t.next.Wipe()
			return none, err
		}
	}
	return t, nil
}

// unreadable tells, once, that the current secret of an entry does not open.
func (b *Broker) unreadable(tx Tx, e vault.Entry) (vault.Entry, bool, error) {
	c, ok := e.Current()
	if !ok {
		return e, false, nil
	}
	s, no := b.openSecret(e, c)
	s.Wipe()
	if no == nil {
		return e, false, nil
	}
	e, ev, first := e.Unreadable(tx.Now())
	if !first {
		return e, true, nil
	}
	if err := tx.SaveVault(e); err != nil {
		return e, true, err
	}
	return e, true, tx.Append(ev)
}

// beginTurn makes a next secret durable, where none is pending.
func (b *Broker) beginTurn(tx Tx, e vault.Entry, why string) (vault.Entry, error) {
	if p, under := e.Pending(); under && !p.Over(tx.Now()) {
		return e, nil
	}
	s, until, err := b.newSecret(e, tx.Now())
	if err != nil {
		return e, err
	}
	sealed, err := b.sealSecret(e, e.Next(), s)
	s.Wipe()
	if err != nil {
		return e, err
	}
	e, ev, err := e.Begin(vault.Fresh{Sealed: sealed, NotAfter: until}, why, tx.Now())
	if err != nil {
		return e, err
	}
	if err := tx.SaveVault(e); err != nil {
		return e, err
	}
	return e, tx.Append(ev)
}

// lend completes the order of a vaulted account that is about to be given to somebody.
// With turn, and while a rotation is under way, it gets another secret first.
func (b *Broker) lend(ctx context.Context, owner string, e access.Entitlement, o *connector.Order, turn bool) (*turning, error) {
	if e.Mechanism != access.Checkout || o.Renew == connector.Extend {
		return nil, nil
	}
	return b.next(ctx, owner, e, o, func(tx Tx, v vault.Entry) (vault.Entry, error) {
		c, known := v.Current()
		v, sealed, err := b.unreadable(tx, v)
		switch {
		case err != nil:
			return v, err
		case sealed && v.Out == "":
			return b.beginTurn(tx, v, "what the vault had does not open")
		case turn:
			return b.beginTurn(tx, v, "one of those who had it has left")
		case !known:
			return b.beginTurn(tx, v, v.Wanted)
		case c.Over(tx.Now()):
			return b.beginTurn(tx, v, "it had ended")
		case !v.DriftAt.IsZero():
			return b.beginTurn(tx, v, "it did not open the account any more")
		}
		return v, nil
	})
}

// heal has the order set another secret, because the current one does not open the
// account: somebody has changed it by hand.
func (b *Broker) heal(ctx context.Context, owner string, e access.Entitlement, o *connector.Order) (*turning, error) {
	b.Log.Warn("the secret of a vaulted account was changed by hand", "resource", e.Target.Resource, "account", e.Account)
	return b.next(ctx, owner, e, o, func(tx Tx, v vault.Entry) (vault.Entry, error) {
		if w, ev, ok := v.Drift(tx.Now()); ok {
			if err := tx.SaveVault(w); err != nil {
				return v, err
			}
			if err := tx.Append(ev); err != nil {
				return v, err
			}
			v = w
		}
		return b.beginTurn(tx, v, "it did not open the account any more")
	})
}

// next reads the entry of an entitlement that owner has on lease, changes it, and gives
// the order its secrets.
func (b *Broker) next(ctx context.Context, owner string, e access.Entitlement, o *connector.Order, change func(Tx, vault.Entry) (vault.Entry, error)) (*turning, error) {
	var v vault.Entry
	err := b.Store.Update(ctx, func(tx Tx) error {
		mine, err := tx.Leased(owner, e.ID)
		if err != nil {
			return err
		}
		if len(mine) == 0 || mine[0].State == access.Removing {
			return access.Fail(access.Conflict, "not-wanted", "the privilege is no longer wanted")
		}
		if v, err = tx.VaultedAt(e.Target.Connection.Place(), e.Account); err != nil {
			return err
		}
		if err = ofKind(v, e.Target.Connection); err != nil {
			return err
		}
		v, err = change(tx, v)
		return err
	})
	if err == nil {
		var t turning
		if t, err = b.secretsOf(v); err == nil {
			o.Secret, o.Next = t.secret, t.next
			return &t, nil
		}
	}
	return nil, &connector.Error{Outcome: connector.NotDone, Permanent: missing(err), Message: public(err), Cause: err}
}

// lent records, in the transaction that gives the credential to holders, that the secret
// is out, and which one it is.
func (b *Broker) lent(tx Tx, fx *effects, t *turning, to access.EntitlementID, turned bool) error {
	if t == nil {
		return nil
	}
	v, err := tx.Vaulted(t.entry)
	if err != nil {
		return err
	}
	changed := false
	var ev access.Event
	if turned {
		v, ev, changed = v.Commit(t.number, to, tx.Now())
	} else {
		v, ev, changed = v.Lend(to, tx.Now())
	}
	if !changed {
		return nil
	}
	fx.event(ev)
	return tx.SaveVault(v)
}

// turn makes next secrets durable for the vaulted accounts among entitlements that are
// about to be removed, and opens them. It answers for each of these; with an error where
// the vault gave none: then the account is locked, and tried again.
func (b *Broker) turn(ctx context.Context, owner string, es []access.Entitlement) map[access.EntitlementID]turning {
	var mine []access.EntitlementID
	for _, e := range es {
		if e.Mechanism == access.Checkout {
			mine = append(mine, e.ID)
		}
	}
	if len(mine) == 0 {
		return nil
	}
	ctx, done := context.WithTimeout(ctx, answersWithin)
	defer done()
	found := map[access.EntitlementID]vault.Entry{}
	err := b.Store.Update(ending(ctx, len(mine)), func(tx Tx) error {
		clear(found)
		now, err := tx.Claimed(owner, mine...)
		if err != nil {
			return err
		}
		for _, e := range now {
			v, err := tx.VaultedAt(e.Target.Connection.Place(), e.Account)
			if missing(err) {
				continue // of nobody's vault: it stays without login
			} else if err != nil {
				return err
			}
			if e.Key != v.Key() { // a leftover, of an account that may be lent again
				if _, err := tx.LiveEntitlement(v.At, v.Key()); err == nil {
					continue
				} else if !missing(err) {
					return err
				}
			}
			if found[e.ID] = v; ofKind(v, e.Target.Connection) != nil {
				continue
			}
			if v, _, err = b.unreadable(tx, v); err != nil {
				return err
			}
			if v, err = b.beginTurn(tx, v, whyTurn(v, e)); err != nil {
				return err
			}
			found[e.ID] = v
		}
		return nil
	})
	turns := map[access.EntitlementID]turning{}
	for _, e := range es {
		id := e.ID
		if e.Mechanism != access.Checkout {
			continue
		}
		v, ok := found[id]
		switch {
		case err != nil:
			turns[id] = turning{err: err}
		case ok && ofKind(v, e.Target.Connection) != nil: // it is locked, and tried again
			turns[id] = turning{err: ofKind(v, e.Target.Connection)}
		case ok:
			t, err := b.secretsOf(v)
			t.err = err
			turns[id] = t
		}
	}
	return turns
}

func whyTurn(v vault.Entry, e access.Entitlement) string {
	switch {
	case v.Wanted != "":
		return v.Wanted
	case !v.DriftAt.IsZero():
		return "it did not open the account any more"
	case v.Out != "" || e.Confirmed > 0:
		return "returned"
	}
	return "its time has come"
}

// turnAgain is after how long a rotation is tried again that the target let end without
// one: the account is not there.
const turnAgain = 5 * time.Minute

// never notes that the target of an account takes no secrets by orders, and does not say
// what opens it.
func (b *Broker) never(tx Tx, r verdict) error {
	if r.turn == nil || r.turn.entry == "" {
		return nil
	}
	v, err := tx.Vaulted(r.turn.entry)
	if err != nil || v.Gone() || !v.NeverAt.IsZero() {
		return err
	}
	return tx.SaveVault(v.Never(r.said, tx.Now(), v.NextAt))
}

// returned records that an account came back with its next secret, in the transaction
// that records that the lending is gone.
func (b *Broker) returned(tx Tx, fx *effects, r verdict) error {
	t := r.turn
	if t == nil || t.entry == "" {
		return nil
	}
	v, err := tx.Vaulted(t.entry)
	if err != nil || v.Gone() { // taken out meanwhile: then its target takes no secrets
		return err
	}
	if r.shut {
		v, ev, first := v.Empty(r.said, tx.Now(), tx.Now().Add(v.NeverAgain(tx.Now())))
		if first {
			fx.event(ev)
		}
		return tx.SaveVault(v)
	}
	if !r.turned {
		said := "the account " + v.Account + " is not on the target, or belongs to another order there"
		fx.event(b.alarmEvent(RemovalTrouble, tx.Now(), access.System, "resource", string(v.Resource), "account", v.Account, "said", said))
		return tx.SaveVault(v.Defer(said, tx.Now().Add(turnAgain)))
	}
	v, ev, ok := v.Commit(t.number, "", tx.Now())
	if !ok {
		return nil
	}
	fx.event(ev)
	return tx.SaveVault(v)
}

// vaultedAt refuses to lend what the vault does not have. It reads the row, so that of a
// lending and a removal from the vault the store lets only one pass.
func vaultedAt(tx Tx, e access.Entitlement) error {
	if e.Mechanism != access.Checkout {
		return nil
	}
	v, err := tx.VaultedAt(e.Target.Connection.Place(), e.Account)
	if err == nil {
		return ofKind(v, e.Target.Connection)
	}
	if missing(err) {
		return access.Fail(access.NotFound, "not-vaulted", "the "+string(e.Target.Connection.SecretKind())+" of "+e.Account+" on "+string(e.Target.Resource)+" is not in the vault").
			Try("an administrator adds it: stint admin vault add NAME --resource " + string(e.Target.Resource) + " --account " + e.Account)
	}
	return err
}

// ofKind refuses to use what the vault has for a connection whose accounts open with
// something else: a document was changed after the account was put in.
func ofKind(v vault.Entry, c access.Connection) error {
	if v.Kind == c.SecretKind() {
		return nil
	}
	return access.Fail(access.Conflict, "other-kind", "the vault entry "+v.Name+" is a "+string(v.Kind)+", and the accounts of the resource open with a "+string(c.SecretKind())).
		Try("put back what the document said (connection.secret), or take the account out and add it again: stint admin vault rm " + v.Name)
}
