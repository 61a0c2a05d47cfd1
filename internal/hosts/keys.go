package hosts

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
)

// Events of hosts' keys. Stored: only append.
const (
	// HostKeys is that a host's sshd shows other keys than before, as its agent says.
	HostKeys access.EventType = "host.keys"
	// HostCeiling: the host lets other things be done than before, by its own roster.
	HostCeiling access.EventType = "host.ceiling"
	// GatewayDoors: a gateway takes connections of other protocols, at other ports or by
	// another certificate than before, as it says.
	GatewayDoors access.EventType = "gateway.doors"
	// GatewayRekeyed is GatewayDoors where a certificate is another one than before: who
	// has a gateway's key could have clients sent to a certificate of their own.
	GatewayRekeyed access.EventType = "gateway.rekeyed"
	// HostCertified is that a host has certificates by which clients know its keys. That
	// each was made is a record of its own, before it was signed.
	HostCertified access.EventType = "host.certified"
	// HostEnded is that a host's agent took something away by its own clock, without being
	// told to: the control plane was not there, or late.
	HostEnded access.EventType = "host.ended"
)

// KeepKeys notes which keys the sshd of an agent's host shows, and gives the host with
// what is known of each: a key that was there before keeps its certificate. That keys
// are others than before is in the log.
func (r *Register) KeepKeys(ctx context.Context, agent access.DeviceID, keys []access.HostKey) (access.Host, error) {
	h, err := r.read(ctx, func(tx Tx) (access.Host, error) { return tx.HostByAgent(agent) })
	if err != nil {
		return h, err
	}
	same := func(a, b access.HostKey) bool { return a.Line == b.Line }
	if slices.EqualFunc(h.SSHKeys, keys, same) {
		return h, nil
	}
	err = r.store.Update(ctx, func(tx Tx) (err error) {
		if h, err = tx.HostByAgent(agent); err != nil {
			return err
		}
		was, now := h.SSHKeys, slices.Clone(keys)
		var prints []string
		for i, k := range now {
			if j := slices.IndexFunc(was, func(w access.HostKey) bool { return same(w, k) }); j >= 0 {
				now[i] = was[j]
			}
			prints = append(prints, k.Fingerprint)
		}
		h.Version++
		h.SSHKeys = now
		if err := tx.SaveHost(h); err != nil {
			return err
		}
		ev := event(HostKeys, h, access.System, tx.Now())
		ev.Facts["keys"] = strings.Join(prints, " ")
		return tx.Append(ev)
	})
	return h, err
}

// maxCeilingFact is how much of a ceiling is told in the log.
const maxCeilingFact = 4096

// KeepCeiling notes what a host lets be done, as its agent says; nil where it has no say of
// its own.
func (r *Register) KeepCeiling(ctx context.Context, h access.Host, c *access.Ceiling) (access.Host, error) {
	agent := h.Agent
	// What the door knows of a host may be some time old.
	h, err := r.read(ctx, func(tx Tx) (access.Host, error) { return tx.HostByAgent(agent) })
	if err != nil || reflect.DeepEqual(h.Ceiling, c) {
		return h, err
	}
	err = r.store.Update(ctx, func(tx Tx) (err error) {
		if h, err = tx.HostByAgent(agent); err != nil || reflect.DeepEqual(h.Ceiling, c) {
			return err
		}
		h.Version++
		h.Ceiling = c
		if err := tx.SaveHost(h); err != nil {
			return err
		}
		ev := event(HostCeiling, h, access.System, tx.Now())
		text := c.Text()
		ev.Facts["ceiling"] = strings.ToValidUTF8(text[:min(len(text), maxCeilingFact)], "")
		return tx.Append(ev)
	})
	return h, err
}

// KeepDoors notes where a gateway takes connections of other protocols than SSH, as it says:
// of those alone that an administrator said it carries. That it is otherwise than before is
// in the log, and an alarm where a certificate is another one.
func (r *Register) KeepDoors(ctx context.Context, gateway access.DeviceID, told []access.Door) (access.Host, error) {
	h, err := r.read(ctx, func(tx Tx) (access.Host, error) { return tx.HostByAgent(gateway) })
	if err != nil {
		return h, err
	}
	if doors, _, err := heard(h, told, time.Time{}); err != nil || slices.Equal(h.Doors, doors) {
		return h, err
	}
	err = r.store.Update(ctx, func(tx Tx) (err error) {
		if h, err = tx.HostByAgent(gateway); err != nil {
			return err
		}
		doors, was, err := heard(h, told, tx.Now())
		if err != nil || slices.Equal(h.Doors, doors) {
			return err
		}
		h.Version++
		h.Doors = doors
		if err := tx.SaveHost(h); err != nil {
			return err
		}
		var open []string
		for _, d := range told {
			text := string(d.Protocol) + ":" + strconv.Itoa(int(d.Port)) + " " + fingerprint(d.Certificate)
			if d.Domain != "" {
				text += " " + d.Domain // where browsers are sent
			}
			open = append(open, text)
		}
		t := GatewayDoors
		if len(was) > 0 {
			t = GatewayRekeyed
		}
		ev := event(t, h, access.System, tx.Now())
		ev.Facts["doors"] = strings.Join(open, ", ")
		if len(was) > 0 {
			ev.Facts["was"] = strings.Join(was, ", ")
		}
		return tx.Append(ev)
	})
	return h, err
}

// heard is what is known of a gateway's doors once it has told of some, and the fingerprints
// of certificates that are others now. A door that it does not tell of is closed.
func heard(h access.Host, told []access.Door, now time.Time) (doors []access.Door, was []string, err error) {
	for _, d := range told {
		if err := h.CarryOnly(d.Protocol); err != nil {
			return nil, nil, err
		}
		d.Since = now
		for _, before := range h.Doors {
			switch {
			case before.Protocol != d.Protocol:
			case before.Certificate == d.Certificate:
				d.Since = before.Since
			default:
				was = append(was, string(d.Protocol)+" "+fingerprint(before.Certificate))
			}
		}
		doors = append(doors, d)
	}
	for _, before := range h.Doors {
		if !slices.ContainsFunc(told, func(d access.Door) bool { return d.Protocol == before.Protocol }) {
			before.Port = 0
			doors = append(doors, before)
		}
	}
	return doors, was, nil
}

func fingerprint(certificate string) string {
	sum := sha256.Sum256([]byte(certificate))
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// KeepCertificates notes the certificates that were made for keys of an agent's host.
// A key that is not the host's any more gets none.
func (r *Register) KeepCertificates(ctx context.Context, agent access.DeviceID, made []access.HostKey) error {
	if len(made) == 0 {
		return nil
	}
	return r.store.Update(ctx, func(tx Tx) error {
		h, err := tx.HostByAgent(agent)
		if err != nil {
			return err
		}
		h.SSHKeys = slices.Clone(h.SSHKeys)
		for i, k := range h.SSHKeys {
			if j := slices.IndexFunc(made, func(m access.HostKey) bool { return m.Line == k.Line }); j >= 0 {
				h.SSHKeys[i] = made[j]
			}
		}
		h.Version++
		if err := tx.SaveHost(h); err != nil {
			return err
		}
		ev := event(HostCertified, h, access.System, tx.Now())
		ev.Facts["names"], ev.Facts["until"] = strings.Join(made[0].Principals, " "), made[0].NotAfter.UTC().Format(time.RFC3339)
		return tx.Append(ev)
	})
}

// Named is a host by its name, enrolled or not.
func (r *Register) Named(ctx context.Context, name string) (access.Host, error) {
	return r.read(ctx, func(tx Tx) (access.Host, error) { return tx.Host(name) })
}

// KeysOf are the keys of a host's sshd, as its agent told last; none of one without an
// agent.
func (r *Register) KeysOf(ctx context.Context, host string) ([]access.HostKey, error) {
	h, err := r.read(ctx, func(tx Tx) (access.Host, error) { return tx.Host(host) })
	if err != nil && access.KindOf(err) == access.NotFound {
		return nil, nil
	}
	return h.SSHKeys, err
}

// Ended puts into the log what the agent of a host took away by its own clock: each once,
// however often it is told. What is not of an order for that host is left out.
func (r *Register) Ended(ctx context.Context, h access.Host, x access.EndedAlone) error {
	err := r.store.Update(ctx, func(tx Tx) error {
		e, err := tx.Entitlement(x.Entitlement)
		if err != nil && access.KindOf(err) != access.NotFound {
			return err
		}
		if err != nil || e.Target.Connection.Address != h.Name || e.Tag != x.Tag || e.Tag == "" {
			return nil // whose it is, is nobody's business who guesses
		}
		by := access.System
		by.Device = h.Agent
		facts := map[string]string{"host": h.Name, "resource": string(e.Target.Resource), "entitlement": string(e.ID), "person": string(e.Person), "mechanism": string(e.Mechanism), "ended_at": x.At.UTC().Format(access.Stamp)}
		if e.Account != "" {
			facts["account"] = e.Account
		}
		return tx.Append(access.Event{Type: HostEnded, At: tx.Now(), Entity: "host-end:" + string(e.ID), Version: 1, Actor: by, Facts: facts})
	})
	if errors.Is(err, access.Conflict) {
		return nil // it was told before
	}
	return err
}
