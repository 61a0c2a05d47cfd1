package broker

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"stint/internal/access"
)

// Bounds of what is known ahead.
const (
	// aheadMost is how many grants and how many removals are known ahead: those
	// that end next. It bounds memory, at about 2.5 KB each, and not what can live.
	aheadMost = 4096
	// aheadEvery is how many backstops may lie between two readings of the store, and
	// aheadShare that these take no more than one part in so many of the time.
	aheadEvery = 5
	aheadShare = 50
)

// ahead is what ends next, with all that it takes to end it without the store.
// It is read from the store every so often, and follows what this process
// commits. It is used only while the store takes no changes (away.go); otherwise
// rows decide.
//
// What other replicas committed since the last reading is not in it. So a replica
// that is cut off may end, at the end it knew, a grant that was extended
// elsewhere in the last seconds. That is the safe side, and the record says so
// when the store is back.
type ahead struct {
	each time.Duration // Config.Backstop

	mu     sync.Mutex
	items  map[access.EntitlementID]*item
	of     map[access.GrantID][]access.EntitlementID
	logins map[string]access.Credential // sealed, by name
	places map[access.Place]access.Connection

	told    time.Time // the store's time when it was last learned
	toldAt  time.Time // the host's then, with its monotonic reading
	readAt  time.Time // the host's at the last reading
	took    time.Duration
	cut     bool // more ends than is known here
	stale   bool // something was committed that is not in it
	reading bool
	missed  []effects // committed while the store was being read
	revoked map[access.GrantID]bool
}

// item is one entitlement and who holds it. What was done about it while the
// store was away is in the fields after holders.
type item struct {
	e       access.Entitlement
	holders map[access.GrantID]holder
	owed    bool // one who left still knows the credential

	busy     bool
	attempts int
	next     time.Time // the host's time; not before
	gone     bool      // read back absent
	spoilt   bool      // credential made useless, sessions ended
}

// holder is a grant that has not released its hold.
type holder struct {
	version   int64
	principal access.PrincipalID
	person    access.Person
	role      access.RoleName
	request   access.RequestID
	resources []access.ResourceName
	end       time.Time // the store's time; zero: at once
}

func newAhead() *ahead {
	return &ahead{items: map[access.EntitlementID]*item{}, of: map[access.GrantID][]access.EntitlementID{},
		logins: map[string]access.Credential{}, places: map[access.Place]access.Connection{}, revoked: map[access.GrantID]bool{}}
}

func (a *ahead) holderOf(g access.Grant) holder {
	h := holder{version: g.Version, principal: g.Principal, person: g.Person, role: g.Role, request: g.Request, end: g.DueAt()}
	for _, t := range g.Targets {
		h.resources = append(h.resources, t.Resource)
	}
	if a.revoked[g.ID] {
		h.end = time.Time{}
	}
	return h
}

// readAhead reads what ends next.
func (b *Broker) readAhead(ctx context.Context) error {
	a, begun := b.ahead, time.Now()
	a.mu.Lock()
	a.reading = true
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.reading, a.missed = false, nil
		a.mu.Unlock()
	}()
	var next *ahead
	var at time.Time
	err := b.Store.View(ctx, func(tx Tx) error {
		next, at = newAhead(), tx.Now()
		gs, err := tx.EndingNext(aheadMost)
		if err != nil {
			return err
		}
		if err := b.loadHeld(tx, next, gs); err != nil {
			return err
		}
		es, err := tx.Removals(aheadMost)
		if err != nil {
			return err
		}
		for _, e := range es {
			next.item(e)
		}
		next.cut = len(gs) == aheadMost || len(es) == aheadMost
		return b.loadLogins(tx, next)
	})
	if err != nil {
		return err
	}
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
		if _, ok := next.logins[name]; !ok && len(next.logins) < aheadMost {
			next.logins[name] = c
		}
	}
	a.items, a.of, a.logins, a.places, a.cut, a.stale = next.items, next.of, next.logins, next.places, next.cut, false
	for _, fx := range a.missed { // they may be in it already, or not
		a.followed(fx)
		a.stale = true
	}
	// The store's time was read before the host's: what is reckoned from the two
	// is late, and so never ends anything early.
	a.told, a.toldAt, a.took = at, time.Now(), time.Since(begun)
	a.readAt = a.toldAt
	return nil
}

// loadHeld puts into next what the grants hold, and who else holds it. A grant
// that is as it was, with an account of its own, is taken over as it is known.
func (b *Broker) loadHeld(tx Tx, next *ahead, gs []access.Grant) error {
	a := b.ahead
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
	own, err := tx.HoldsBy(look...)
	if err != nil {
		return err
	}
	ids := entitlementIDs(own)
	all, err := tx.HoldsOf(ids...)
	if err != nil {
		return err
	}
	var unknown []access.GrantID
	for _, h := range all {
		if _, ok := known[h.Grant]; !ok && h.ReleasedAt.IsZero() {
			unknown = append(unknown, h.Grant)
		}
	}
	others, err := tx.GrantsOf(unknown...)
	if err != nil {
		return err
	}
	for _, g := range others {
		known[g.ID] = g
	}
	es, err := tx.EntitlementsOf(ids...)
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
func (b *Broker) loadLogins(tx Tx, next *ahead) error {
	for _, x := range next.items {
		name := x.e.Target.Connection.Credential
		if _, ok := next.logins[name]; ok || name == "" {
			continue
		}
		c, err := tx.Credential(name)
		switch {
		case err != nil && !missing(err):
			return err
		case err == nil && c.Gone(): // an older copy of it may still open the door to what is to be taken away
		default:
			next.logins[name] = c
		}
	}
	return nil
}

func (a *ahead) item(e access.Entitlement) *item {
	x := a.items[e.ID]
	if x == nil {
		x = &item{holders: map[access.GrantID]holder{}}
		a.items[e.ID] = x
	}
	// What stands in the documents of a place is there once and not for each grant.
	at := e.Target.Connection
	if have, ok := a.places[at.Place()]; ok && have.Equal(at) {
		e.Target.Connection = have
	} else {
		a.places[at.Place()] = at
	}
	x.e = e
	return x
}

func (a *ahead) add(e access.Entitlement, g access.GrantID, h holder) {
	x := a.item(e)
	if _, ok := x.holders[g]; !ok {
		a.of[g] = append(a.of[g], e.ID)
	}
	x.holders[g] = h
}

// follow takes over what this process has just committed, and reports whether that
// can change what is known ahead.
func (a *ahead) follow(fx effects) bool {
	if len(fx.ents.keys)+len(fx.holds.keys)+len(fx.grants.keys)+len(fx.met) == 0 {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.reading {
		a.missed = append(a.missed, fx)
	}
	if a.told.IsZero() { // the store may go away before it was ever read
		a.told, a.toldAt = fx.now, time.Now()
	}
	a.followed(fx)
	return true
}

func (a *ahead) followed(fx effects) {
	for _, e := range fx.ents.newest() {
		x := a.items[e.ID]
		switch {
		case x != nil && x.e.Version > e.Version: // newer was read already
		case e.State == access.Gone:
			delete(a.items, e.ID)
		case x != nil:
			if x.e.State != e.State || x.e.Confirmed != e.Confirmed {
				x.gone, x.spoilt, x.attempts, x.next = false, false, 0, time.Time{}
			}
			a.item(e)
			x.owed = x.owed && e.Confirmed < e.Rev
		case len(a.items) < 2*aheadMost:
			a.item(e)
		}
		if _, ok := a.logins[e.Target.Connection.Credential]; !ok {
			a.stale = true
		}
	}
	for _, h := range fx.holds.newest() {
		x := a.items[h.Entitlement]
		if x == nil {
			continue
		}
		g, known := fx.grants.get(h.Grant)
		switch {
		case !h.ReleasedAt.IsZero():
			delete(x.holders, h.Grant)
			x.owed = x.owed || h.Settles > 0 && !h.Settled
		case known && x.holders[g.ID].version <= g.Version:
			a.add(x.e, g.ID, a.holderOf(g))
		}
	}
	for _, g := range append(fx.grants.newest(), fx.met...) {
		ids, known := a.of[g.ID]
		a.stale = a.stale || !known && g.Live() && g.State != access.Scheduled
		if !g.Live() {
			delete(a.of, g.ID)
			delete(a.revoked, g.ID)
		}
		for _, id := range ids {
			x := a.items[id]
			if x == nil {
				continue
			}
			switch h, holds := x.holders[g.ID]; {
			case h.version > g.Version: // newer was read already: we heard late of our own commit
			case holds && g.Live():
				x.holders[g.ID] = a.holderOf(g)
			default:
				delete(x.holders, g.ID)
			}
		}
	}
}

// doubted has the store read again soon: a change of ours may be in it, or not.
func (a *ahead) doubted() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stale = true
}

// now reckons the store's time: never later than it is. Zero while nothing was read
// nor committed yet.
func (a *ahead) now() time.Time {
	if a.told.IsZero() {
		return time.Time{}
	}
	return a.told.Add(time.Since(a.toldAt))
}

// ends says when the entitlement is to be removed, and when its credential is to
// be made useless although it stays. ok is false where that never comes.
//
// Who shares an entitlement keeps it until the last of them ends. But where they
// share one credential, each who leaves takes it along in the head. With a store
// the credential is then replaced, and the others get the new one. Without one
// nobody could be given it: the old one is made useless all the same, at the
// first end, and the others get the new one when the store is back. Access that
// should end ends; who stays waits.
func (x *item) ends() (remove time.Time, spoil time.Time, removes, spoils bool) {
	e := x.e
	switch {
	case e.Existing || !e.Observed || e.State == access.Gone:
		return remove, spoil, false, false
	case e.State == access.Removing:
		return e.RemovingAt, spoil, true, false
	case len(x.holders) == 0:
		return remove, spoil, false, false
	}
	first := true
	for _, h := range x.holders {
		if first || h.end.After(remove) {
			remove = h.end
		}
		if first || h.end.Before(spoil) {
			spoil = h.end
		}
		first = false
	}
	if x.owed {
		spoil = time.Time{}
	}
	return remove, spoil, true, e.Mechanism == access.Enable && (len(x.holders) > 1 || x.owed)
}

// late reports whether something ended more than grace ago and is not known to
// be gone.
func (a *ahead) late(grace time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if now.IsZero() {
		return false
	}
	for _, x := range a.items {
		remove, spoil, removes, spoils := x.ends()
		if removes && !x.gone && remove.Add(grace).Before(now) && !x.e.NextAt.After(now) || spoils && !x.spoilt && spoil.Add(grace).Before(now) {
			return true
		}
	}
	return false
}

// quiet says for how long there is nothing to look at: until the store is to be read
// again, and until something could be late by grace. What is late already is looked
// at again each second.
func (a *ahead) quiet(grace time.Duration) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.readAt.IsZero() {
		return 0
	}
	now, left := a.now(), a.every()-time.Since(a.readAt)
	for _, x := range a.items {
		remove, spoil, removes, spoils := x.ends()
		if removes && !x.gone {
			left = min(left, max(remove.Sub(now)+grace, x.e.NextAt.Sub(now), 0))
		}
		if spoils && !x.spoilt {
			left = min(left, max(spoil.Sub(now)+grace, 0))
		}
	}
	return left
}

// every is how old the last reading may be.
func (a *ahead) every() time.Duration {
	every := a.each
	if !a.stale {
		every *= aheadEvery
	}
	return max(every, aheadShare*a.took)
}

// taking is what take hands out.
type taking struct {
	removals, spoilings []access.Entitlement
	// from is whom each is taken from. Who joins later is another matter. None where its
	// removal had been ordered, so that nobody held it any more.
	from map[access.EntitlementID][]access.GrantID
	next time.Duration // until there is more
}

// take hands out what has ended by now. Who takes it calls done.
func (a *ahead) take() (t taking) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, host := a.now(), time.Now()
	t = taking{from: map[access.EntitlementID][]access.GrantID{}, next: time.Second}
	if now.IsZero() {
		return t
	}
	for _, x := range a.items {
		remove, spoil, removes, spoils := x.ends()
		if x.busy || x.gone {
			continue
		}
		wait := time.Duration(-1)
		switch {
		case removes && !remove.After(now):
			if wait = x.next.Sub(host); wait <= 0 {
				t.removals, x.busy = append(t.removals, x.e), true
			}
		case spoils && !x.spoilt && !spoil.After(now):
			if wait = x.next.Sub(host); wait <= 0 {
				t.spoilings, x.busy = append(t.spoilings, x.e), true
			}
		case spoils && !x.spoilt:
			wait = spoil.Sub(now)
		case removes:
			wait = remove.Sub(now)
		}
		if x.busy {
			t.from[x.e.ID] = x.heldBy()
		}
		if wait > 0 {
			t.next = min(t.next, wait)
		}
	}
	byID := func(x, y access.Entitlement) int { return cmp.Compare(x.ID, y.ID) } // not in the order of a map
	slices.SortFunc(t.removals, byID)
	slices.SortFunc(t.spoilings, byID)
	return t
}

// done notes what became of what was taken.
func (a *ahead) done(rs []removal, spoiling bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range rs {
		x := a.items[r.entitlement.ID]
		if x == nil {
			continue
		}
		x.busy = false
		if r.gone {
			x.gone, x.spoilt, x.attempts = !spoiling, true, 0
			if !spoiling && r.entitlement.Quarantined(a.now()) { // a call may still land: once more then
				x.gone, x.next = false, time.Now().Add(r.entitlement.CallUntil.Sub(a.now()))
			}
			continue
		}
		x.attempts++
		x.next = time.Now().Add(access.Backoff(x.attempts))
	}
}

// heldBy lists the grants that hold it.
func (x *item) heldBy() []access.GrantID {
	return slices.Sorted(maps.Keys(x.holders)) // they go into records: not in the order of a map
}

func (a *ahead) attemptsAt(id access.EntitlementID) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if x := a.items[id]; x != nil {
		return x.attempts
	}
	return 0
}

// learn keeps a sealed login that was just used.
func (a *ahead) learn(c access.Credential) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.logins[c.Name] = c
}

// forget drops a sealed login.
func (a *ahead) forget(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.logins, name)
}

// login gives the sealed login of that name, as it was last read.
func (a *ahead) login(name string) (access.Credential, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.logins[name]
	return c, ok && c.Name != ""
}

// wants reports whether the store should be read again.
func (a *ahead) wants() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.readAt.IsZero() || time.Since(a.readAt) >= a.every()
}
