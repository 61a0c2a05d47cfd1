// Package ahead knows what ends next, with all that it takes to end it without the store.
//
// It is read from the store every so often, and follows what this process commits. It is
// used only while the store takes no changes; otherwise rows decide. It ends nothing
// itself: it says what has ended by now, and is told what became of it.
//
// What other replicas committed since the last reading is not in it. So a replica that is
// cut off may end, at the end it knew, a grant that was extended elsewhere in the last
// seconds. That is the safe side, and the record says so when the store is back.
package ahead

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"stint/internal/access"
)

// Bounds of what is known ahead.
const (
	// Most is how many grants and how many removals are known ahead: those that end
	// next. It bounds memory, at about 2.5 KB each, and not what can live.
	Most = 4096
	// readEvery is how many backstops may lie between two readings of the store, and
	// readShare that these take no more than one part in so many of the time.
	readEvery = 5
	readShare = 50
)

// Ends is what ends next. Its methods are safe for concurrent use.
type Ends struct {
	each time.Duration // how soon what other replicas did is to be known, about

	mu sync.Mutex
	table
	told    time.Time // the store's time when it was last learned
	toldAt  time.Time // the host's then, with its monotonic reading
	readAt  time.Time // the host's at the last reading
	took    time.Duration
	stale   bool // something was committed that is not in it
	reading bool
	missed  []Commit // committed while the store was being read
}

// table is what is known of entitlements, and what ending them takes.
type table struct {
	items   map[access.EntitlementID]*item
	of      map[access.GrantID][]access.EntitlementID
	logins  map[string]access.Credential // sealed, by name
	places  map[access.Place]access.Connection
	revoked map[access.GrantID]bool
	cut     bool // more ends than is known here
}

// item is one entitlement and who holds it. What was done about it while the
// store was away is in the fields after holders.
type item struct {
	e       access.Entitlement
	holders map[access.GrantID]Holder
	owed    bool // one who left still knows the credential

	busy     bool
	attempts int
	next     time.Time // the host's time; not before
	gone     bool      // read back absent
	spoilt   bool      // credential made useless, sessions ended
}

// Holder is a grant that has not released its hold on something.
type Holder struct {
	Grant     access.GrantID
	Principal access.PrincipalID
	Person    access.Person
	Role      access.RoleName
	Request   access.RequestID
	Resources []access.ResourceName

	version int64
	end     time.Time // the store's time; zero: at once
}

// New knows nothing yet. each is how soon what others did is to be known, about.
func New(each time.Duration) *Ends { return &Ends{each: each, table: newTable()} }

func newTable() table {
	return table{items: map[access.EntitlementID]*item{}, of: map[access.GrantID][]access.EntitlementID{},
		logins: map[string]access.Credential{}, places: map[access.Place]access.Connection{}, revoked: map[access.GrantID]bool{}}
}

func (a *table) holderOf(g access.Grant) Holder {
	h := Holder{Grant: g.ID, Principal: g.Principal, Person: g.Person, Role: g.Role, Request: g.Request, version: g.Version, end: g.DueAt()}
	for _, t := range g.Targets {
		h.Resources = append(h.Resources, t.Resource)
	}
	if a.revoked[g.ID] {
		h.end = time.Time{}
	}
	return h
}

func (a *table) item(e access.Entitlement) *item {
	x := a.items[e.ID]
	if x == nil {
		x = &item{holders: map[access.GrantID]Holder{}}
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

func (a *table) add(e access.Entitlement, g access.GrantID, h Holder) {
	x := a.item(e)
	if _, ok := x.holders[g]; !ok {
		a.of[g] = append(a.of[g], e.ID)
	}
	x.holders[g] = h
}

// Commit is what one transaction of this process left, the newest version of each.
type Commit struct {
	Now          time.Time // the transaction's
	Entitlements []access.Entitlement
	Holds        []access.Hold
	Grants       []access.Grant
	Met          []access.Grant // that it only read
}

// Follow takes over what this process has just committed, and reports whether that
// can change what is known ahead.
func (a *Ends) Follow(c Commit) bool {
	if len(c.Entitlements)+len(c.Holds)+len(c.Grants)+len(c.Met) == 0 {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.reading {
		a.missed = append(a.missed, c)
	}
	if a.told.IsZero() { // the store may go away before it was ever read
		a.told, a.toldAt = c.Now, time.Now()
	}
	a.followed(c)
	return true
}

func (a *Ends) followed(c Commit) {
	for _, e := range c.Entitlements {
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
		case len(a.items) < 2*Most:
			a.item(e)
		}
		name := e.Target.Connection.Credential
		if _, ok := a.logins[name]; !ok && name != "" {
			a.stale = true
		}
	}
	grants := map[access.GrantID]access.Grant{}
	for _, g := range c.Grants {
		grants[g.ID] = g
	}
	for _, h := range c.Holds {
		x := a.items[h.Entitlement]
		if x == nil {
			continue
		}
		g, known := grants[h.Grant]
		switch {
		case !h.ReleasedAt.IsZero():
			delete(x.holders, h.Grant)
			x.owed = x.owed || h.Settles > 0 && !h.Settled
		case known && x.holders[g.ID].version <= g.Version:
			a.add(x.e, g.ID, a.holderOf(g))
		}
	}
	for _, g := range slices.Concat(c.Grants, c.Met) {
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

// Doubted has the store read again soon: a change of ours may be in it, or not.
func (a *Ends) Doubted() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stale = true
}

// Now reckons the store's time: never later than it is. Zero while nothing was read nor
// committed yet.
func (a *Ends) Now() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.now()
}

// Known says how many entitlements could be ended, and whether more ends than is known.
func (a *Ends) Known() (entitlements int, cut bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.items), a.cut
}

func (a *Ends) now() time.Time {
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
	return remove, spoil, true, e.Mechanism.Common() && (len(x.holders) > 1 || x.owed)
}

// EndNow lets grants end at once, whatever their time.
func (a *Ends) EndNow(ids []access.GrantID) {
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

// Revocable lists the grants that somebody means, of those known. cut says that not all
// are known.
func (a *Ends) Revocable(means func(Holder) bool) (ids []access.GrantID, cut bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := map[access.GrantID]bool{}
	for _, x := range a.items {
		for g, h := range x.holders {
			if !seen[g] && means(h) {
				seen[g] = true
				ids = append(ids, g)
			}
		}
	}
	slices.Sort(ids)
	return ids, a.cut
}

// Late reports whether something ended more than grace ago and is not known to
// be gone.
func (a *Ends) Late(grace time.Duration) bool {
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

// Quiet says for how long there is nothing to look at: until the store is to be read
// again, and until something could be late by grace. What is late already is looked
// at again each second.
func (a *Ends) Quiet(grace time.Duration) time.Duration {
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
func (a *Ends) every() time.Duration {
	every := a.each
	if !a.stale {
		every *= readEvery
	}
	return max(every, readShare*a.took)
}

// Taken is what Take hands out.
type Taken struct {
	Removals  []access.Entitlement // to be removed
	Spoilings []access.Entitlement // to stay, with a credential that is of no use
	// From is whom each is taken from. Who joins later is another matter. None where its
	// removal had been ordered, so that nobody held it any more.
	From map[access.EntitlementID][]access.GrantID
	Next time.Duration // until there is more
}

// Take hands out what has ended by now. Who takes it calls Done.
func (a *Ends) Take() (t Taken) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, host := a.now(), time.Now()
	t = Taken{From: map[access.EntitlementID][]access.GrantID{}, Next: time.Second}
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
				t.Removals, x.busy = append(t.Removals, x.e), true
			}
		case spoils && !x.spoilt && !spoil.After(now):
			if wait = x.next.Sub(host); wait <= 0 {
				t.Spoilings, x.busy = append(t.Spoilings, x.e), true
			}
		case spoils && !x.spoilt:
			wait = spoil.Sub(now)
		case removes:
			wait = remove.Sub(now)
		}
		if x.busy {
			t.From[x.e.ID] = x.heldBy()
		}
		if wait > 0 {
			t.Next = min(t.Next, wait)
		}
	}
	byID := func(x, y access.Entitlement) int { return cmp.Compare(x.ID, y.ID) } // not in the order of a map
	slices.SortFunc(t.Removals, byID)
	slices.SortFunc(t.Spoilings, byID)
	return t
}

// Outcome is what became of one that was taken: it is gone, or was spoilt as it should
// be, or is to be tried again.
type Outcome struct {
	Entitlement access.Entitlement
	Done        bool
}

// Done notes what became of what was taken, to be removed or to be spoilt.
func (a *Ends) Done(os []Outcome, spoiling bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range os {
		x := a.items[o.Entitlement.ID]
		if x == nil {
			continue
		}
		x.busy = false
		if o.Done {
			x.gone, x.spoilt, x.attempts = !spoiling, true, 0
			if !spoiling && o.Entitlement.Quarantined(a.now()) { // a call may still land: once more then
				x.gone, x.next = false, time.Now().Add(o.Entitlement.CallUntil.Sub(a.now()))
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

// Attempts is how often it was tried in vain to take something away.
func (a *Ends) Attempts(id access.EntitlementID) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if x := a.items[id]; x != nil {
		return x.attempts
	}
	return 0
}

// Learn keeps a sealed login that was just used.
func (a *Ends) Learn(c access.Credential) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.logins[c.Name] = c
}

// Forget drops a sealed login.
func (a *Ends) Forget(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.logins, name)
}

// Login gives the sealed login of that name, as it was last read.
func (a *Ends) Login(name string) (access.Credential, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.logins[name]
	return c, ok && c.Name != ""
}

// Wants reports whether the store should be read again.
func (a *Ends) Wants() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.readAt.IsZero() || time.Since(a.readAt) >= a.every()
}
