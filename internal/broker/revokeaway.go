package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
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
		if ids, more = b.ahead.matching(s); len(ids) == 0 {
			return nil, access.Fail(access.Unavailable, "no-store", "the store is out of reach, and nothing is known of "+s.String()+" without it").
				Because("nothing was ended").Try("end it on the target itself; Stint tells on every target what is its own")
		}
		err = nil
	}
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	b.ahead.mu.Lock()
	now := b.ahead.now()
	b.ahead.mu.Unlock()
	var es []entry
	for part := range slices.Chunk(ids, mergeBatch) { // bounded records
		e := entry{At: now, Did: didRevoke, Grants: part, Principal: c.Actor.Principal, Person: c.Actor.Person, Device: c.Actor.Device, What: s.String(), Why: why}
		if c.Actor.Address.IsValid() {
			e.Address = c.Actor.Address.String()
		}
		es = append(es, e)
	}
	err = b.jot(es...)
	b.ahead.endNow(ids)
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
	next := newAhead()
	err = b.Store.View(ctx, func(tx Tx) error {
		ids, next = nil, newAhead()
		next.told, next.toldAt = tx.Now(), time.Now()
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
			if err := b.loadHeld(tx, next, gs); err != nil {
				return err
			}
			for _, g := range gs {
				ids = append(ids, g.ID)
			}
			if more = len(gs) == dueBatch; !more || len(ids) >= aheadMost {
				return b.loadLogins(tx, next)
			}
			before = gs[len(gs)-1].ID
		}
	})
	if err == nil {
		b.ahead.join(next)
	}
	return ids, more, err
}

// join adds what was read of some grants.
func (a *ahead) join(more *ahead) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.told.IsZero() { // nothing could be read ahead so far
		a.told, a.toldAt = more.told, more.toldAt
	}
	for id, x := range more.items {
		if a.items[id] == nil {
			a.items[id] = x
		}
	}
	for g, ids := range more.of {
		if _, known := a.of[g]; !known {
			a.of[g] = ids
		}
	}
	for name, c := range more.logins {
		a.logins[name] = c
	}
}

// endNow lets grants end at once, whatever their time.
func (a *ahead) endNow(ids []access.GrantID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range ids {
		a.revoked[g] = true
		for _, id := range a.of[g] {
			if x := a.items[id]; x != nil {
				if h, ok := x.holders[g]; ok {
					h.end = time.Time{}
					x.holders[g] = h
				}
			}
		}
	}
}

// matching lists the grants that a revocation means, of those known. more says that
// not all are known.
func (a *ahead) matching(s Selector) (ids []access.GrantID, more bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := map[access.GrantID]bool{}
	for _, x := range a.items {
		for g, h := range x.holders {
			if !seen[g] && h.meant(g, s) {
				seen[g] = true
				ids = append(ids, g)
			}
		}
	}
	slices.Sort(ids)
	return ids, a.cut && s.Grant == ""
}

func (h holder) meant(g access.GrantID, s Selector) bool {
	switch {
	case s.Grant != "": // whole ids: an abbreviation could mean what is not known here
		return s.Grant == string(g) || s.Grant == string(h.request)
	case strings.Contains(s.User, ":"):
		return h.principal == access.PrincipalID(s.User)
	case s.User != "":
		return h.person == access.Person(s.User)
	case s.Role != "":
		return h.role == access.RoleName(s.Role)
	case s.Resource != "":
		return slices.Contains(h.resources, access.ResourceName(s.Resource))
	}
	return s.All
}

func decodeEntry(body []byte) (e entry, ok bool) {
	return e, json.Unmarshal(body, &e) == nil
}
