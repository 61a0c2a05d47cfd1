package broker

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/policy"
)

// probeWithin bounds the check of a target that nothing is registered for yet.
const probeWithin = 45 * time.Second

// Types are the kinds of resource that this server has a connector for, with what
// documents say of them.
func (b *Broker) Types() map[string]access.Schema {
	out := map[string]access.Schema{}
	for t, c := range b.Connectors {
		out[t] = c.Schema()
	}
	return out
}

// ProbeNew proves what CheckResource does of a target that no document names yet, with a
// login that is not registered; administrators only. With an empty password the credential
// that is registered under the connection's name is used, as it is bound. Nothing is kept
// but the record of the log.
func (b *Broker) ProbeNew(ctx context.Context, c Caller, name access.ResourceName, at access.Connection, username string, password access.Secret) (connector.Report, error) {
	if err := c.admin(); err != nil {
		return connector.Report{}, err
	}
	conn, ok := b.Connectors[at.Type]
	if !ok {
		return connector.Report{}, access.Fail(access.Invalid, "no-connector", "this server has no connector for "+at.Type)
	}
	if err := policy.CheckAddress(conn.Schema(), at.Address); err != nil {
		return connector.Report{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	t := connector.Target{Connection: at, Username: username, Password: password, Claim: b.signed(b.Epoch), Genuine: b.signedByUs}
	if password.Empty() {
		var err error
		if _, t, err = b.target(ctx, at); err != nil {
			return connector.Report{}, err
		}
	} else {
		t.Connection.Credential = "probe of " + at.Credential // no pool of a registered login is touched
		defer conn.Forget(t.Connection)
	}
	report := conn.Check(ctx, t)
	err := b.update(ctx, func(tx Tx, fx *effects) error {
		ok := "no"
		if report.OK() {
			ok = "yes"
		}
		fx.event(b.alarmEvent(ResourceChecked, tx.Now(), c.Actor, "resource", string(name), "ok", ok))
		return nil
	})
	return report, err
}

// KeepProbe keeps a report of ProbeNew as the last probe of the resource that there is now.
func (b *Broker) KeepProbe(ctx context.Context, c Caller, name access.ResourceName, rep connector.Report) error {
	if err := c.admin(); err != nil {
		return err
	}
	return b.update(ctx, func(tx Tx, _ *effects) error { return tx.SaveProbe(probeOf(name, c.Principal.ID, rep, tx.Now())) })
}

const startSetting = "getting-started"

// StartAway reports whether the list for new installations was put away.
func (b *Broker) StartAway(ctx context.Context) (away bool, err error) {
	err = b.Store.View(ctx, func(tx Tx) error {
		v, err := tx.Setting(startSetting)
		away = v != nil
		return err
	})
	return away, err
}

// PutStartAway puts it away, for all administrators.
func (b *Broker) PutStartAway(ctx context.Context, c Caller) error {
	if err := c.admin(); err != nil {
		return err
	}
	return b.update(ctx, func(tx Tx, _ *effects) error { return tx.SaveSetting(startSetting, []byte(c.Principal.ID)) })
}

// People are the users that there are, for whom an account on a target belongs to and who
// could approve. It is no answer to a caller.
func (b *Broker) People(ctx context.Context) ([]access.Principal, error) { return b.users(ctx) }

// OwnPasskeys is how many passkeys the caller has.
func (b *Broker) OwnPasskeys(ctx context.Context, c Caller) (n int, err error) {
	err = b.Store.View(ctx, func(tx Tx) error {
		all, err := tx.Passkeys(c.Principal.Person)
		n = 0
		for _, k := range all {
			if k.Principal == c.Principal.ID && k.State == access.PasskeyActive {
				n++
			}
		}
		return err
	})
	return n, err
}
