package ahead

import (
	"errors"
	"time"

	"stint/internal/access"
)

// Rows are what is to be known ahead, as they were at one moment.
type Rows interface {
	// Now is the store's time.
	Now() time.Time
	// EndingNext are the grants that time ends next, the soonest first.
	EndingNext(limit int) ([]access.Grant, error)
	// Removals are the entitlements in state removing, the longest due first.
	Removals(limit int) ([]access.Entitlement, error)
	// HoldsBy lists the holds of grants; HoldsOf those on entitlements.
	HoldsBy(...access.GrantID) ([]access.Hold, error)
	HoldsOf(...access.EntitlementID) ([]access.Hold, error)
	// GrantsOf and EntitlementsOf are those of the ids that exist.
	GrantsOf(...access.GrantID) ([]access.Grant, error)
	EntitlementsOf(...access.EntitlementID) ([]access.Entitlement, error)
	// Credential is a sealed login; access.NotFound where there is none.
	Credential(name string) (access.Credential, error)
}

// Reading is one reading of what ends next. What is committed meanwhile is added to it
// when it is kept.
type Reading struct {
	table
	ends  *Ends
	at    time.Time // the store's
	begun time.Time // the host's
}

// Reading begins one. There is one at a time; it is to be closed, kept or not.
func (a *Ends) Reading() *Reading {
	r := &Reading{ends: a, begun: time.Now()}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reading = true
	return r
}

// Close ends the reading.
func (r *Reading) Close() {
	r.ends.mu.Lock()
	defer r.ends.mu.Unlock()
	r.ends.reading, r.ends.missed = false, nil
}

// Read reads all that is to be known. It may run more than once.
func (r *Reading) Read(rows Rows) error {
	r.table, r.at = newTable(), rows.Now()
	gs, err := rows.EndingNext(Most)
	if err != nil {
		return err
	}
	if err := r.ends.load(rows, &r.table, gs); err != nil {
		return err
	}
	es, err := rows.Removals(Most)
	if err != nil {
		return err
	}
	for _, e := range es {
		r.item(e)
	}
	r.cut = len(gs) == Most || len(es) == Most
	return r.loadLogins(rows)
}

// Keep makes what was read what is known.
func (r *Reading) Keep() {
	a, next := r.ends, &r.table
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, x := range next.items {
		switch old := a.items[id]; {
		case old == nil:
		case old.e.State == x.e.State && old.e.Confirmed == x.e.Confirmed:
			x.busy, x.attempts, x.next, x.gone, x.spoilt = old.busy, old.attempts, old.next, old.gone, old.spoilt
		default: // another replica has made it anew, or begun to remove it
			x.busy = old.busy
		}
	}
	for g := range a.revoked {
		if _, live := next.of[g]; !live && !next.cut {
			delete(a.revoked, g) // it has ended
		}
	}
	for name, c := range a.logins { // of something that is just being made
		if _, ok := next.logins[name]; !ok && len(next.logins) < Most {
			next.logins[name] = c
		}
	}
	a.items, a.of, a.logins, a.places, a.cut, a.stale = next.items, next.of, next.logins, next.places, next.cut, false
	for _, c := range a.missed { // they may be in it already, or not
		a.followed(c)
		a.stale = true
	}
	// The store's time was read before the host's: what is reckoned from the two
	// is late, and so never ends anything early.
	a.told, a.toldAt, a.took = r.at, time.Now(), time.Since(r.begun)
	a.readAt = a.toldAt
}

// load puts into next what the grants hold, and who else holds it. A grant
// that is as it was, with an account of its own, is taken over as it is known.
func (a *Ends) load(rows Rows, next *table, gs []access.Grant) error {
	a.mu.Lock()
	for g := range a.revoked {
		next.revoked[g] = true
	}
	var look []access.GrantID
	known := map[access.GrantID]access.Grant{}
	for _, g := range gs {
		known[g.ID] = g
		ids := a.of[g.ID]
		if len(ids) == 1 && g.State == access.Active && g.Permissions.Mechanism == access.Account {
			x := a.items[ids[0]]
			if x != nil && x.holders[g.ID].version == g.Version && x.e.State == access.Present {
				next.add(x.e, g.ID, next.holderOf(g))
				continue
			}
		}
		look = append(look, g.ID)
	}
	a.mu.Unlock()
	if len(look) == 0 {
		return nil
	}
	own, err := rows.HoldsBy(look...)
	if err != nil {
		return err
	}
	ids := make([]access.EntitlementID, 0, len(own))
	for _, h := range own {
		ids = append(ids, h.Entitlement)
	}
	all, err := rows.HoldsOf(ids...)
	if err != nil {
		return err
	}
	var unknown []access.GrantID
	for _, h := range all {
		if _, ok := known[h.Grant]; !ok && h.ReleasedAt.IsZero() {
			unknown = append(unknown, h.Grant)
		}
	}
	others, err := rows.GrantsOf(unknown...)
	if err != nil {
		return err
	}
	for _, g := range others {
		known[g.ID] = g
	}
	es, err := rows.EntitlementsOf(ids...)
	if err != nil {
		return err
	}
	byID := map[access.EntitlementID]access.Entitlement{}
	for _, e := range es {
		byID[e.ID] = e
	}
	for _, h := range all {
		e := byID[h.Entitlement]
		g, ok := known[h.Grant]
		switch {
		case e.ID == "" || e.State == access.Gone:
		case !h.ReleasedAt.IsZero():
			if h.Settles > 0 && !h.Settled && e.Confirmed < h.Settles {
				next.item(e).owed = true
			}
		case ok:
			next.add(e, g.ID, next.holderOf(g))
		}
	}
	return nil
}

// loadLogins reads the sealed logins of the places where something ends.
func (next *table) loadLogins(rows Rows) error {
	for _, x := range next.items {
		name := x.e.Target.Connection.Credential
		if _, ok := next.logins[name]; ok || name == "" {
			continue
		}
		c, err := rows.Credential(name)
		switch {
		case err != nil && !errors.Is(err, access.NotFound):
			return err
		case err == nil && c.Gone(): // an older copy of it may still open the door to what is to be taken away
		default:
			next.logins[name] = c
		}
	}
	return nil
}

// Some is what was read of some grants, to be known besides the others.
type Some struct {
	table
	ends         *Ends
	told, toldAt time.Time
}

// Some begins to read what some grants hold, at the time that the rows say.
func (a *Ends) Some(rows Rows) *Some {
	return &Some{table: newTable(), ends: a, told: rows.Now(), toldAt: time.Now()}
}

// Add reads what grants hold.
func (s *Some) Add(rows Rows, gs []access.Grant) error { return s.ends.load(rows, &s.table, gs) }

// Logins reads the logins that ending all of it takes.
func (s *Some) Logins(rows Rows) error { return s.loadLogins(rows) }

// Join adds what was read of some grants.
func (a *Ends) Join(more *Some) {
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
