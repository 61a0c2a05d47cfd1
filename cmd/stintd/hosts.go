package main

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/apiserver"
	"stint/internal/connector/linux"
	"stint/internal/envelope"
	"stint/internal/hosts"
	"stint/internal/keys"
	"stint/internal/sshcert"
	"stint/internal/store"
)

// settingOrdersKey is the key that signs what agents of hosts are told to do, and, as
// with the others, those that were in use before it.
const settingOrdersKey = "keys/orders"

// openOrders opens the orders key, makes the first where there is none yet, and has
// each earlier key vouch for the one that followed it.
func openOrders(ctx context.Context, st *store.Store, id identity) (now *keys.OrdersSigner, rolls []string, err error) {
	var all [][]byte
	fresh, err := id.vault.NewOrdersKey(id.installation)
	if err != nil {
		return nil, nil, err
	}
	err = st.View(ctx, func(tx *store.Tx) (err error) { all, err = readKeys(tx, settingOrdersKey); return err })
	if err == nil && len(all) == 0 {
		err = st.Update(ctx, func(tx *store.Tx) error {
			if all, err = readKeys(tx, settingOrdersKey); err != nil || len(all) > 0 {
				return err // another replica was faster
			}
			all = [][]byte{fresh}
			return writeKeys(tx, settingOrdersKey, all)
		})
	}
	if err != nil {
		return nil, nil, err
	}
	var next ed25519.PublicKey
	for i, sealed := range all { // the one in use first
		s, err := id.vault.OrdersSigner(id.installation, sealed)
		if err != nil {
			return nil, nil, err
		}
		if i == 0 {
			now = s
		} else {
			roll, err := envelope.SealRoll(id.installation, next, s)
			if err != nil {
				return nil, nil, err
			}
			rolls = append(rolls, string(roll))
		}
		next = s.Public()
	}
	return now, rolls, nil
}

// newHosts makes what serves the agents of hosts.
func (p *process) newHosts(ctx context.Context) (served apiserver.Hosts, remote linux.Config, err error) {
	signer, rolls, err := openOrders(ctx, p.store, p.identity)
	if err != nil {
		return served, remote, err
	}
	recordings, err := openRecordingsKey(ctx, p.store, p.identity.vault)
	if err != nil {
		return served, remote, err
	}
	st := storeAs[hosts.Tx]{p.store, func(tx *store.Tx) hosts.Tx { return tx }}
	p.hosts = hosts.NewRegister(st, signer.Public())
	var peers hosts.Peers // stays nil with SQLite: a nil *Replica in it would be one
	if p.replica != nil {
		peers = p.replica
	}
	desk := hosts.NewDesk(p.hosts, st, peers, p.log.With("part", "hosts"))
	if p.replica != nil {
		p.replica.HearHosts(desk.Hear)
	}
	served = apiserver.Hosts{Register: p.hosts, Desk: desk, Installation: p.identity.installation, Orders: signer, Rolls: rolls, Recordings: recordings}
	remote = linux.Config{Courier: courier{desk}, Signer: signer, Installation: p.identity.installation, Epoch: p.identity.epoch, Distrust: desk.Distrust, Recordings: recordings}
	return served, remote, nil
}

// courier is the desk in the shape that the connector declares.
type courier struct{ desk *hosts.Desk }

func (c courier) Carry(ctx context.Context, p linux.Parcel) (envelope.Sealed, ed25519.PublicKey, error) {
	text, key, err := c.desk.Carry(ctx, access.HostCall{ID: p.ID, Host: p.Host, Call: string(p.Call), Ends: p.Ends, DueAt: p.Due})
	return envelope.Sealed(text), key, err
}

// hostLate is when an agent that is enrolled is missed: it is seen twice a minute.
const hostLate = 2 * time.Minute

// hostsOf looks at the hosts of resources: without an agent, or with one that is silent,
// nothing can be lent there, nor taken away before its end.
// unknown is why clients do not know a host by the certificates that it had made last, as
// when its agent was away while the authority was replaced; empty: they do, or it has none.
func (p *process) unknown(h access.Host) string {
	if p.shows == nil || len(h.SSHKeys) == 0 {
		return ""
	}
	why := ""
	for _, k := range h.SSHKeys {
		switch {
		case k.Certificate == "":
		case !time.Now().Before(k.NotAfter):
			why = "its certificate ended " + k.NotAfter.UTC().Format(time.RFC3339)
		case !slices.ContainsFunc(p.shows.Keys(), func(by sshcert.Key) bool { return by.Fingerprint() == k.Authority }):
			why = "its certificate is by an authority that was given up"
		default:
			return ""
		}
	}
	return why
}

func (p *process) hostsOf(ctx context.Context, x *examination) {
	all, err := p.hosts.List(ctx)
	if err != nil {
		x.broken("hosts", err, "nothing is known of them")
		return
	}
	set, err := p.broker.Documents(ctx)
	if err != nil {
		return // the documents say so themselves
	}
	resource := map[string]string{}
	for _, r := range set.Resources() {
		if r.Connection.Type == linux.Type {
			resource[r.Connection.Address] = string(r.Name)
		}
	}
	good := 0
	for _, h := range all {
		of, used := resource[h.Name]
		delete(resource, h.Name)
		switch {
		case !h.Enrolled() && used:
			x.warn("host "+h.Name, "no agent is enrolled", "nothing can be lent there", "stint admin host enroll "+of+", then stint-agent enroll on the host")
		case !h.Enrolled():
		case late(h, hostLate):
			saw := "its agent was never seen since it enrolled"
			if !h.SeenAt.IsZero() {
				saw = fmt.Sprintf("its agent was last seen %s ago", time.Since(h.SeenAt).Round(time.Second))
			}
			x.warn("host "+h.Name, saw, "nothing can be lent there, nor taken away before its end; what is there ends on time if the agent runs", "on the host: stint-agent status, systemctl status stint-agent")
		case !used:
			x.warn("host "+h.Name, "its agent is enrolled, and no resource is there", "whoever has the agent's key may ask for calls", "apply a resource at that address, or revoke it")
		case p.unknown(h) != "":
			x.warn("host "+h.Name, p.unknown(h), "stint ssh does not connect to it: it cannot be told from another", "its agent has a new one made by itself: on the host, stint-agent status, and its log for why it did not")
		default:
			good++
		}
	}
	for at, name := range resource {
		x.warn("host "+at, "no agent is enrolled", "nothing can be lent there", "stint admin host enroll "+name+", then stint-agent enroll on the host")
	}
	if good > 0 {
		x.ok("hosts", fmt.Sprintf("%d, each with an agent that asks for calls", good))
	}
}
