package broker

import (
	"context"
	"fmt"

	"stint/internal/access"
	"stint/internal/policy"
)

// Compile checks documents by themselves, with what this server's connectors and
// integrations define. They become no version.
func (b *Broker) Compile(docs []policy.Document) (*policy.Set, error) {
	return policy.Compile(docs, b.schemas, 0)
}

// Login is what Stint signs in to an integration with.
type Login struct {
	Name     string
	Username string // empty where there is none
	Version  int64
	Secret   access.Secret
}

// OpenLogin opens a credential of an integration, for one use: the caller keeps it no
// longer than that. It is refused unless the integration names the credential and the
// credential is bound to the integration's type and address, so that a document which
// was changed sends no secret anywhere new. What is not registered is
// access.NotFound, what is bound elsewhere access.Invalid.
func (b *Broker) OpenLogin(ctx context.Context, i policy.Integration, name string) (Login, error) {
	named := false
	for _, n := range i.Logins() {
		named = named || n == name
	}
	if !named {
		return Login{}, access.Fail(access.Invalid, "no-credential", fmt.Sprintf("integration %s names no credential %q", i.Name, name))
	}
	at := access.Connection{Type: i.Type, Address: i.Address, Credential: name}
	var c access.Credential
	err := b.Store.View(ctx, func(tx Tx) (err error) { c, err = tx.Credential(name); return err })
	switch {
	case missing(err):
		return Login{}, access.Fail(access.NotFound, "no-credential", "no credential "+name+" is registered").Try(register(at))
	case err != nil:
		return Login{}, access.Fail(access.Unavailable, "store", "the store did not answer").Wrap(err)
	case c.Gone():
		return Login{}, deleted(at)
	case c.Type != i.Type || c.Address != i.Address:
		return Login{}, boundElsewhere(at, c)
	}
	secret, err := b.openLogin(c)
	if err != nil {
		return Login{}, err
	}
	return Login{Name: name, Username: c.Username, Version: c.Version, Secret: secret}, nil
}

// TriedIntegration notes that somebody had a test message sent, and how it went.
func (b *Broker) TriedIntegration(ctx context.Context, c Caller, name string, failed error) error {
	if err := c.admin(); err != nil {
		return err
	}
	ok, said := "yes", ""
	if failed != nil {
		ok, said = "no", failed.Error()
	}
	return b.update(ctx, func(tx Tx, fx *effects) error {
		fx.event(b.alarmEvent(IntegrationTested, tx.Now(), c.Actor, "integration", name, "ok", ok, "said", said))
		return nil
	})
}
