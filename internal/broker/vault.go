package broker

import (
	"context"
	"errors"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/policy"
	"stint/internal/vault"
)

const (
	// vaultLook is how often is looked what is to be rotated, and vaultBatch how many
	// rotations are ordered in one transaction.
	vaultLook  = 15 * time.Second
	vaultBatch = 100
)

// watchVault orders the rotations that time, suspicion and what went wrong ask for. Each
// is an entitlement of its own (access.Turn), carried out by those who remove.
func (b *Broker) watchVault(ctx context.Context) {
	if len(b.lenders()) == 0 {
		return
	}
	t := time.NewTicker(vaultLook)
	defer t.Stop()
	for {
		if err := b.rotateDue(ctx); err != nil && ctx.Err() == nil {
			b.storeTrouble(ctx, "looking for secrets to rotate", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-b.vaulting:
		case <-t.C:
		}
	}
}

// lenders are the types whose connector lends vaulted accounts.
func (b *Broker) lenders() (types []string) {
	for t, s := range b.schemas {
		if slices.Contains(s.Mechanisms, access.Checkout) {
			types = append(types, t)
		}
	}
	slices.Sort(types)
	return types
}

func (b *Broker) pokeVault() {
	select {
	case b.vaulting <- struct{}{}:
	default:
	}
}

// rotateDue orders what is due, as many as one transaction takes. It passes everything that
// is due: what is stuck, because its target does not answer, holds up nothing behind it.
func (b *Broker) rotateDue(ctx context.Context) error {
	var names []string
	err := b.Store.View(ctx, func(tx Tx) (err error) {
		names, err = b.turnsDue(tx)
		return err
	})
	if err != nil || len(names) == 0 { // as nearly always: else each look would cost a transaction that writes
		return err
	}
	if len(names) == vaultBatch {
		defer b.pokeVault() // there may be more
	}
	return b.update(ctx, func(tx Tx, fx *effects) error {
		if b.certain(tx) != nil {
			return nil
		}
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		for _, name := range names {
			v, err := tx.Vaulted(name)
			if err != nil {
				return err
			}
			what, live, err := b.nextFor(tx, v)
			if err != nil {
				return err
			}
			switch what {
			case turnLent:
				if e, ev, ok := live.Renewed(v.Wanted, tx.Now()); ok {
					fx.entitlement(e)
					fx.event(ev)
				}
			case turnAlone:
				if err := b.orderTurn(tx, fx, set, v); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// turnsDue names the entries of which a rotation can be ordered now, at most a batch.
func (b *Broker) turnsDue(tx Tx) (names []string, err error) {
	if b.certain(tx) != nil { // of data or time in doubt nobody knows what is due
		return nil, nil
	}
	for last := (vault.Entry{}); ; {
		page, err := tx.DueVault(last, vaultBatch)
		if err != nil {
			return nil, err
		}
		for _, v := range page {
			what, _, err := b.nextFor(tx, v)
			if err != nil {
				return nil, err
			}
			if what != leave {
				names = append(names, v.Name)
			}
			if len(names) == vaultBatch {
				return names, nil
			}
		}
		if len(page) < vaultBatch {
			return names, nil
		}
		last = page[len(page)-1]
	}
}

type turnKind uint8

const (
	leave     turnKind = iota
	turnLent           // those who hold it get another one
	turnAlone          // it is lent to nobody
)

// nextFor says what is to be done about an entry that may be due.
func (b *Broker) nextFor(tx Tx, v vault.Entry) (turnKind, access.Entitlement, error) {
	at := v.RotateAt()
	due := !at.IsZero() && !at.After(tx.Now())
	live, err := tx.LiveEntitlement(v.At, v.Key())
	switch {
	case missing(err) && (due || v.Out != "" && !v.NextAt.After(tx.Now())): // came back, and without a rotation
		return turnAlone, live, nil
	case missing(err):
		return leave, live, nil
	case err != nil:
		return leave, live, err
	case v.Wanted != "" && v.Out != "" && live.State == access.Present: // else it gets one anyway
		return turnLent, live, nil
	}
	return leave, live, nil
}

// orderTurn orders a rotation of what is lent to nobody.
func (b *Broker) orderTurn(tx Tx, fx *effects, set *policy.Set, v vault.Entry) error {
	r, ok := set.Resource(v.Resource)
	var no error
	switch {
	case !ok:
		no = access.Fail(access.NotFound, "no-such-resource", "there is no resource "+string(v.Resource)+" any more").Try("apply it again, or take the account out: stint admin vault rm " + v.Name)
	case r.Connection.Place() != v.At:
		no = access.Fail(access.Conflict, "resource-moved", "the resource "+string(v.Resource)+" is at another address now")
	default:
		if no = ofKind(v, r.Connection); no == nil {
			no = registered(tx, r.Connection)
		}
	}
	if no != nil {
		return tx.SaveVault(v.Defer(public(no), tx.Now().Add(turnAgain)))
	}
	id := access.NewEntitlementID(tx.Now().UnixMilli(), b.entropy())
	e, ev := access.Turn(access.Entitlement{
		Target:  access.Target{Resource: r.Name, Criticality: r.Criticality, Connection: r.Connection, Account: v.Account},
		Account: v.Account, Claimed: b.Epoch, Tag: access.Tag(b.Tagger.Tag(b.Installation, string(v.At), b.Epoch, string(id))),
	}, id, whyTurn(v, access.Entitlement{}), tx.Now())
	fx.entitlement(e)
	fx.event(ev)
	return nil
}

// Vaulting is an account to put into the vault.
type Vaulting struct {
	Name        string
	Resource    access.ResourceName
	Account     string
	Secret      access.Secret // empty: Stint sets the first one itself
	RotateEvery time.Duration
}

// AddVaulted puts an account into the vault; administrators only. A secret that is given
// was seen to open the account; without one a fresh one is set, which nobody ever saw.
func (b *Broker) AddVaulted(ctx context.Context, c Caller, a Vaulting) (v vault.Entry, err error) {
	if err := c.admin(); err != nil {
		return v, err
	}
	set, err := b.Documents(ctx)
	if err != nil {
		return v, err
	}
	r, ok := set.Resource(a.Resource)
	if !ok {
		return v, noResource(set, a.Resource)
	}
	if schema := b.schemas[r.Type]; !slices.Contains(schema.Mechanisms, access.Checkout) {
		return v, access.Fail(access.Invalid, "not-lendable", "accounts of type "+r.Type+" cannot be in the vault").
			Because("its connector does not serve the mechanism checkout")
	}
	kind := r.Connection.SecretKind()
	var first vault.Fresh
	if !a.Secret.Empty() {
		if a.Secret, first.NotAfter, err = vault.Given(kind, a.Secret, time.Now()); err != nil {
			return v, err
		}
	}
	if err := b.tryVaulted(ctx, r.Connection, a); err != nil {
		return v, err
	}
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		if err := c.still(tx); err != nil {
			return err
		}
		v = vault.Entry{Name: a.Name, Resource: a.Resource, At: r.Connection.Place(), Account: a.Account, Kind: kind, RotateEvery: a.RotateEvery}
		var old *vault.Entry
		if was, err := tx.Vaulted(a.Name); err == nil {
			old = &was
		} else if !missing(err) {
			return err
		}
		if other, err := tx.VaultedAt(v.At, v.Account); err == nil && other.Name != v.Name {
			return access.Fail(access.Conflict, "vaulted-already", "the account "+v.Account+" is in the vault already, as "+other.Name)
		} else if err != nil && !missing(err) {
			return err
		}
		if !a.Secret.Empty() {
			if first.Sealed, err = b.sealSecret(v, vault.First(old), a.Secret); err != nil {
				return err
			}
		}
		var ev access.Event
		if v, ev, err = vault.Add(v, old, first, c.Actor, tx.Now()); err != nil {
			return err
		}
		fx.event(ev)
		return tx.SaveVault(v)
	})
	if err == nil {
		b.pokeVault()
	}
	return v, err
}

// tryVaulted asks the target whether the account can be in the vault, and whether the
// secret opens it.
func (b *Broker) tryVaulted(ctx context.Context, at access.Connection, a Vaulting) error {
	ctx, done := context.WithTimeout(ctx, callWithin)
	defer done()
	conn, t, err := b.target(ctx, at)
	if err != nil {
		return err
	}
	id := access.NewEntitlementID(time.Now().UnixMilli(), b.entropy())
	o := connector.Order{Entitlement: id, Tag: access.Tag(b.Tagger.Tag(b.Installation, string(at.Place()), b.Epoch, string(id))),
		Mechanism: access.Checkout, Account: a.Account, Next: a.Secret, ExpiresAt: time.Now()}
	if _, err := conn.Observe(ctx, t, o); err != nil {
		return err
	}
	if a.Secret.Empty() {
		return nil
	}
	kind := string(at.SecretKind())
	switch seen := conn.Verify(ctx, t, []connector.Order{o})[0]; {
	case seen.Turned:
		return nil
	case errors.Is(seen.Err, connector.ErrNotAlone):
		return access.Fail(access.Conflict, "not-alone", "the account "+a.Account+" opens with something else than this "+kind+", too").
			Because("what is lent has to be the only one, and the one that is rotated").
			Try("end the others on the target first, or leave the " + kind + " out: Stint sees to a fresh one then, and ends all others")
	case errors.Is(seen.Err, access.Pending):
		return access.Fail(access.Invalid, "secret-refused", "the "+kind+" does not open the account "+a.Account).
			Because("the target refused it").Try("check the " + kind + " and the account, or leave the " + kind + " out: Stint sets a fresh one then")
	default:
		return access.Fail(access.Unavailable, "secret-untried", "it could not be tried whether the "+kind+" opens the account "+a.Account).
			Because(public(seen.Err)).Try("see stint resource check, and whether the account may log in from where stintd runs")
	}
}

// Vaulted lists what is in the vault, or the one of a name, without ciphertext;
// administrators and auditors.
func (b *Broker) Vaulted(ctx context.Context, c Caller, name string) (vs []vault.Entry, err error) {
	if !c.Principal.Admin && !c.Principal.Auditor {
		return nil, access.Fail(access.Denied, "not-yours", "the vault is for administrators and auditors")
	}
	err = b.Store.View(ctx, func(tx Tx) (err error) {
		if vs, err = tx.Vault(); err != nil || name == "" {
			return err
		}
		vs, err = entryNamed(vs, name)
		return err
	})
	for i := range vs {
		for j := range vs[i].Secrets {
			vs[i].Secrets[j].Sealed = nil
		}
	}
	return vs, err
}

// entryNamed is the entry of a name, or an error with the nearest that there is.
func entryNamed(vs []vault.Entry, name string) ([]vault.Entry, error) {
	var names []string
	for _, v := range vs {
		if v.Name == name {
			return []vault.Entry{v}, nil
		}
		names = append(names, v.Name)
	}
	next := policy.DidYouMean(name, names)
	if next == "" {
		next = "stint admin vault ls says which there are"
	}
	return nil, access.Fail(access.NotFound, "no-such-entry", "there is no vault entry "+name).Try(next)
}

// changeVaulted changes one entry; administrators only.
func (b *Broker) changeVaulted(ctx context.Context, c Caller, name string, change func(Tx, vault.Entry) (vault.Entry, access.Event, error)) (v vault.Entry, err error) {
	if err := c.admin(); err != nil {
		return v, err
	}
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		if err := c.still(tx); err != nil {
			return err
		}
		all, err := tx.Vault()
		if err != nil {
			return err
		}
		found, err := entryNamed(all, name)
		if err != nil {
			return err
		}
		var ev access.Event
		if v, ev, err = change(tx, found[0]); err != nil {
			return err
		}
		fx.event(ev)
		return tx.SaveVault(v)
	})
	if err == nil {
		b.pokeVault()
	}
	return v, err
}

// RotateVaulted asks for another secret now, for a reason. While it is lent, all who hold
// it get the new one, and their sessions end.
func (b *Broker) RotateVaulted(ctx context.Context, c Caller, name, why string) (vault.Entry, error) {
	if why == "" {
		return vault.Entry{}, access.Fail(access.Invalid, "no-reason", "a rotation by hand needs a reason").Try("say it with --why")
	}
	return b.changeVaulted(ctx, c, name, func(tx Tx, v vault.Entry) (vault.Entry, access.Event, error) {
		v, ev := v.Want(why, c.Actor, tx.Now())
		return v, ev, nil
	})
}

// RemoveVaulted takes an account out of the vault. It stays on the target with the password
// that it has.
func (b *Broker) RemoveVaulted(ctx context.Context, c Caller, name string) (vault.Entry, error) {
	return b.changeVaulted(ctx, c, name, func(tx Tx, v vault.Entry) (vault.Entry, access.Event, error) {
		live, err := tx.LiveEntitlement(v.At, v.Key())
		// A rotation that its target does not do is no reason to keep what nobody has. It
		// goes on without secrets, and ends.
		stuck := err == nil && live.State == access.Removing && v.Out == "" && !v.NeverAt.IsZero()
		if err == nil && !stuck {
			return v, access.Event{}, access.Fail(access.Conflict, "lent", "the account "+v.Account+" is lent, or being rotated").
				Try("end it first: stint revoke --resource " + string(live.Target.Resource) + " --why …")
		} else if err != nil && !missing(err) {
			return v, access.Event{}, err
		}
		return v.Remove(c.Actor, tx.Now())
	})
}
