package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/ahead"
)

// revokeAway revokes while the store takes no changes: on the target, from what
// is known ahead, with the person's name in the journal. Where the store can
// still be read (its disk is full), the rights of the caller and the grants are
// read from it, as always. Where it cannot, only administrators can revoke, and
// only what is known ahead. It only ever takes away; that is why it may rest on
// what was true some seconds ago.
func (b *Broker) revokeAway(ctx context.Context, c Caller, s Selector, why string) ([]access.GrantID, error) {
	ids, more, err := b.readSelected(ctx, c, s)
	if storeFailed(err) {
		if err := c.admin(); err != nil {
			return nil, access.Fail(access.Unavailable, "no-store", "the store is out of reach, and only administrators can revoke without it").Wrap(err)
		}
		if ids, more = s.ahead(b.ahead); len(ids) == 0 {
			return nil, access.Fail(access.Unavailable, "no-store", "the store is out of reach, and nothing is known of "+s.String()+" without it").
				Because("nothing was ended").Try("end it on the target itself; Stint tells on every target what is its own")
		}
		err = nil
	}
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	now := b.ahead.Now()
	var es []entry
	for part := range slices.Chunk(ids, mergeBatch) { // bounded records
		e := entry{At: now, Did: didRevoke, Grants: part, Principal: c.Actor.Principal, Person: c.Actor.Person, Device: c.Actor.Device, What: s.String(), Why: why}
		if c.Actor.Address.IsValid() {
			e.Address = c.Actor.Address.String()
		}
		es = append(es, e)
	}
	err = b.jot(es...)
	b.ahead.EndNow(ids)
	b.pulse.away.CompareAndSwap(0, time.Now().UnixNano()) // a change has just failed
	b.wakeAway()
	b.Log.Warn("access is revoked without the store", "what", s.String(), "by", c.Actor.Principal, "grants", len(ids))
	if err != nil {
		return ids, access.Fail(access.Unavailable, "revoked-unrecorded", "the access is being taken away, and no record of that is safe yet").
			Because("neither the store nor the journal takes it").Try("repeat the command when the store is back")
	}
	if more {
		return ids, access.Fail(access.Unavailable, "revoked-in-part", fmt.Sprintf("the access of %d grants is being taken away, and there is more", len(ids))).
			Because("without the store no more can be ended at a time").Try("repeat the command when the store is back; nothing new is granted before")
	}
	return ids, nil
}

// readSelected finds what a revocation means by reading alone; more of it than is
// known ahead it does not take.
func (b *Broker) readSelected(ctx context.Context, c Caller, s Selector) (ids []access.GrantID, more bool, err error) {
	ctx, done := context.WithTimeout(ctx, answersWithin)
	defer done()
	var next *ahead.Some
	err = b.Store.View(ctx, func(tx Tx) error {
		ids, next = nil, b.ahead.Some(tx)
		set := b.documentsOrNone(tx)
		before := access.GrantID("")
		for {
			gs, err := b.selected(tx, c, set, s, before)
			if err == nil && len(gs) == 0 && len(ids) == 0 {
				err = known(tx, set, s)
			}
			if err != nil {
				return err
			}
			if err := next.Add(tx, gs); err != nil {
				return err
			}
			for _, g := range gs {
				ids = append(ids, g.ID)
			}
			if more = len(gs) == dueBatch; !more || len(ids) >= ahead.Most {
				return next.Logins(tx)
			}
			before = gs[len(gs)-1].ID
		}
	})
	if err == nil {
		b.ahead.Join(next)
	}
	return ids, more, err
}

// ahead lists the grants that the selector means, of those known ahead. more says that
// it may mean others.
func (s Selector) ahead(a *ahead.Ends) (ids []access.GrantID, more bool) {
	ids, cut := a.Revocable(s.means)
	return ids, cut && s.Grant == ""
}

// means reports whether the selector means the grant of a holder.
func (s Selector) means(h ahead.Holder) bool {
	switch {
	case s.Grant != "": // whole ids: an abbreviation could mean what is not known here
		return s.Grant == string(h.Grant) || s.Grant == string(h.Request)
	case strings.Contains(s.User, ":"):
		return h.Principal == access.PrincipalID(s.User)
	case s.User != "":
		return h.Person == access.Person(s.User)
	case s.Role != "":
		return h.Role == access.RoleName(s.Role)
	case s.Resource != "":
		return slices.Contains(h.Resources, access.ResourceName(s.Resource))
	}
	return s.All
}

func decodeEntry(body []byte) (e entry, ok bool) {
	return e, json.Unmarshal(body, &e) == nil
}
