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
}

// Credential shows the credential of an active grant to its holder, on the
// device that asked. That it is shown is in the log first.
func (b *Broker) Credential(ctx context.Context, c Caller, id string) (out Credential, err error) {
	err = b.update(onBehalf(ctx, c.Principal.Person), func(tx Tx, fx *effects) error {
		out = Credential{}
		r, err := b.find(tx, c, id)
		if err != nil {
			return err
		}
		switch {
		case r.Principal != c.Principal.ID:
			return access.Fail(access.Denied, "not-yours", "a credential is only for the holder of the grant")
		case r.Grant == "":
			return access.Fail(access.Conflict, "not-active", "the request is "+string(r.State)+"; there is no credential")
		case r.Device != c.Source.Device:
			return access.Fail(access.Denied, "other-device", "a credential is only for the device that asked").
				Try("ask from this device with: stint request " + string(r.Targets[0].Resource) + " --as " + string(r.Role))
		}
		g, err := tx.Grant(r.Grant)
		if err != nil {
			return err
		}
		if g.State != access.Active {
			return access.Fail(access.Conflict, "not-active", "the grant is "+string(g.State)+"; there is no credential")
		}
		if out.Sealed, err = tx.Sealed(g.ID); err != nil {
			return err
		}
		if err := b.certain(tx); err != nil {
			return err
		}
		if len(out.Sealed) == 0 {
			return access.Fail(access.NotFound, "no-credential", "this grant comes without a credential").
				Because("it gives your own account " + g.Targets[0].Account + " more rights").Try("connect with your own account")
		}
		g, ev, err := g.Show(c.Actor, tx.Now())
		if err != nil {
			return err
		}
		fx.grant(g)
		fx.event(ev)
		out.View = View{Request: r, Grant: &g, Have: r.Have(), Now: tx.Now()}
		return nil
	})
	if err != nil {
		return Credential{}, err
	}
	return out, nil
}
