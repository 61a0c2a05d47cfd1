package broker

import (
	"context"

	"stint/internal/access"
)

// Credential is what the holder of a grant gets to see: ciphertext that only
// the device which asked can open.
type Credential struct {
	View   View
	Sealed []access.Sealed
	// Unchanged says that the newest is the one that was known: nothing was shown.
	Unchanged bool
}

// Newest is the ciphertext that counts.
func (c Credential) Newest() access.Sealed {
	newest := c.Sealed[0]
	for _, x := range c.Sealed[1:] {
		if x.Rev > newest.Rev {
			newest = x
		}
	}
	return newest
}

// Credential shows the credential of an active grant to its holder, on the
// device that asked. That it is shown is in the log first.
func (b *Broker) Credential(ctx context.Context, c Caller, id string) (Credential, error) {
	return b.CredentialAnew(ctx, c, id, nil)
}

// CredentialAnew is Credential for who may have the ciphertext already: one that known
// holds for is not shown again. That takes no turn of who writes: programs ask all the time.
func (b *Broker) CredentialAnew(ctx context.Context, c Caller, id string, known func(access.Sealed) bool) (out Credential, err error) {
	if known != nil {
		err = b.Store.View(ctx, func(tx Tx) error {
			if out, err = b.credential(tx, c, id); err == nil {
				out.Unchanged = known(out.Newest())
			}
			return err
		})
		if err != nil || out.Unchanged {
			return out, err
		}
	}
	err = b.update(onBehalf(ctx, c.Principal.Person), func(tx Tx, fx *effects) error {
		if out, err = b.credential(tx, c, id); err != nil {
			return err
		}
		g, ev, err := out.View.Grant.Show(c.Actor, tx.Now())
		if err != nil {
			return err
		}
		fx.grant(g)
		fx.event(ev)
		out.View.Grant = &g
		return nil
	})
	if err != nil {
		return Credential{}, err
	}
	return out, nil
}

// credential is the credential of a grant, where the caller may see it now.
func (b *Broker) credential(tx Tx, c Caller, id string) (Credential, error) {
	r, err := b.find(tx, c, id)
	if err != nil {
		return Credential{}, err
	}
	switch {
	case r.Principal != c.Principal.ID:
		return Credential{}, access.Fail(access.Denied, "not-yours", "a credential is only for the holder of the grant")
	case r.Grant == "":
		return Credential{}, access.Fail(access.Conflict, "not-active", "the request is "+string(r.State)+"; there is no credential")
	case r.Device != c.Source.Device:
		return Credential{}, access.Fail(access.Denied, "other-device", "a credential is only for the device that asked").
			Try("ask from this device with: stint request " + string(r.Targets[0].Resource) + " --as " + string(r.Role))
	}
	g, err := tx.Grant(r.Grant)
	if err != nil {
		return Credential{}, err
	}
	if g.State != access.Active {
		return Credential{}, access.Fail(access.Conflict, "not-active", "the grant is "+string(g.State)+"; there is no credential")
	}
	if throughGateway(g.Permissions) {
		return Credential{}, access.Fail(access.Denied, "through-gateway", "this access goes through a gateway, and its password is shown to nobody").
			Because("the role " + string(g.Role) + " says so").Try("connect with: stint db " + string(g.Targets[0].Resource) + ", or with other programs by: stint proxy " + string(g.Targets[0].Resource))
	}
	sealed, err := tx.Sealed(g.ID)
	if err != nil {
		return Credential{}, err
	}
	if err := b.certain(tx); err != nil {
		return Credential{}, err
	}
	if len(sealed) == 0 {
		return Credential{}, access.Fail(access.NotFound, "no-credential", "this grant comes without a credential").
			Because("it gives your own account " + g.Targets[0].Account + " more rights").Try("connect with your own account")
	}
	return Credential{View: View{Request: r, Grant: &g, Have: r.Have(), Now: tx.Now()}, Sealed: sealed}, nil
}
