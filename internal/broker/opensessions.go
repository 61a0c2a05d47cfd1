package broker

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

const (
	// countedFor is how long a count of sessions is good for whoever looks next: pages that
	// are open must not become load on the targets.
	countedFor = 3 * time.Second
	// countWithin is how long a page waits for a target to count.
	countWithin = 2 * time.Second
	// openAtMost bounds the grants that are counted for one caller at a time.
	openAtMost = 200
)

// Open is an active grant, and what is open under it on its targets.
type Open struct {
	View
	Sessions   int       // -1: not known
	LastActive time.Time // zero where none is open, or that is not known
	At         time.Time // when it was read; zero where it was not
}

// openCount is what a target said of one entitlement.
type openCount struct {
	connector.Observation
	at time.Time
}

// countCache keeps counts for a moment. The zero value is ready.
type countCache struct {
	mu sync.Mutex // guards by; nothing is called under it
	by map[access.EntitlementID]openCount
}

func (c *countCache) get(id access.EntitlementID, now time.Time) (openCount, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, ok := c.by[id]
	return x, ok && now.Sub(x.at) < countedFor
}

func (c *countCache) put(es []access.Entitlement, seen []connector.Observation, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil || len(c.by) > 10*openAtMost { // what is forgotten is read again
		c.by = map[access.EntitlementID]openCount{}
	}
	for i, e := range es {
		c.by[e.ID] = openCount{seen[i], now}
	}
}

// OpenList is a part of the open grants that somebody may see.
type OpenList struct {
	Open []Open
	Next access.GrantID // the before of what is older; empty after the last
	// Cut tells that the caller owns more resources than were looked at.
	Cut bool
}

// OpenSessions lists so many grants that the caller may see and that are active, or ended
// and not read back as gone, the newest first, with the sessions that their targets have
// open for them now. Owners see those at what they own. It asks the targets and changes
// nothing; one that does not answer is not known, and keeps none of the others.
func (b *Broker) OpenSessions(ctx context.Context, c Caller, before access.GrantID, n int) (l OpenList, err error) {
	n = min(n, openAtMost)
	q := access.GrantQuery{States: []access.GrantState{access.Active, access.Ending}, Before: before, Limit: n + 1}
	var vs []View
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) (err error) {
		l, vs = OpenList{}, nil
		var gs []access.Grant
		if c.Principal.Admin || c.Principal.Auditor {
			gs, err = tx.Grants(q)
		} else {
			gs, l.Cut, err = b.openFor(tx, c, q)
		}
		if err != nil {
			return err
		}
		if len(gs) > n {
			gs, l.Next = gs[:n], gs[n-1].ID
		}
		vs, err = grantViews(tx, gs)
		return err
	})
	if err != nil {
		return OpenList{}, err
	}
	l.Open, err = b.countOpen(ctx, c.only(vs))
	return l, err
}

// ownedAtMost is at how many resources of an owner is looked.
const ownedAtMost = 100

// openFor are the caller's own grants and those at what they own.
func (b *Broker) openFor(tx Tx, c Caller, q access.GrantQuery) (gs []access.Grant, cut bool, err error) {
	own := q
	own.Principal = c.Principal.ID
	if gs, err = tx.Grants(own); err != nil || c.Glass != nil {
		return gs, false, err
	}
	set, err := b.documents(tx)
	if err != nil {
		return nil, false, err
	}
	looked := 0
	for _, r := range set.Resources() {
		if !c.owns(set, r.Name) {
			continue
		}
		if looked == ownedAtMost {
			cut = true
			break
		}
		looked++
		q.Resource = r.Name
		more, err := tx.Grants(q)
		if err != nil {
			return nil, false, err
		}
		gs = append(gs, more...)
	}
	slices.SortFunc(gs, func(x, y access.Grant) int { return strings.Compare(string(y.ID), string(x.ID)) })
	gs = slices.CompactFunc(gs, func(x, y access.Grant) bool { return x.ID == y.ID })
	return gs[:min(len(gs), q.Limit)], cut, nil
}

// OpenSession is the one of the request, which the caller sees where they would see it among
// all.
func (b *Broker) OpenSession(ctx context.Context, c Caller, id access.RequestID) (Open, error) {
	var vs []View
	err := b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		vs = nil
		r, err := tx.Request(id)
		if err == nil && r.Grant == "" {
			err = errNotFound
		}
		if err != nil {
			return err
		}
		g, err := tx.Grant(r.Grant)
		if err != nil {
			return err
		}
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		if g.Request != r.ID || g.State != access.Active && g.State != access.Ending {
			return errNotFound
		}
		if !c.Principal.Admin && !c.Principal.Auditor && g.Principal != c.Principal.ID && !c.ownsAll(set, r.Targets) {
			return errNotFound
		}
		vs, err = grantViews(tx, []access.Grant{g})
		return err
	})
	if err != nil {
		return Open{}, err
	}
	if vs = c.only(vs); len(vs) == 0 {
		return Open{}, errNotFound
	}
	all, err := b.countOpen(ctx, vs)
	if err != nil {
		return Open{}, err
	}
	return all[0], nil
}

func (b *Broker) countOpen(ctx context.Context, vs []View) ([]Open, error) {
	if len(vs) == 0 {
		return nil, nil
	}
	var ids []access.GrantID
	for _, v := range vs {
		ids = append(ids, v.Grant.ID)
	}
	var holds []access.Hold
	var es []access.Entitlement
	err := b.Store.View(ctx, func(tx Tx) (err error) {
		if holds, err = tx.HoldsBy(ids...); err != nil {
			return err
		}
		es, err = tx.EntitlementsOf(entitlementIDs(holds)...)
		return err
	})
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var ask []access.Entitlement
	for _, e := range es {
		if _, fresh := b.counts.get(e.ID, now); !fresh && e.State == access.Present {
			ask = append(ask, e)
		}
	}
	var asked sync.WaitGroup
	for _, part := range byConnection(ask) {
		asked.Go(func() { b.countAt(ctx, part) })
	}
	asked.Wait()
	of := map[access.GrantID][]access.EntitlementID{}
	for _, h := range holds {
		of[h.Grant] = append(of[h.Grant], h.Entitlement)
	}
	out := make([]Open, len(vs))
	for i, v := range vs {
		out[i] = Open{View: v}
		for n, id := range of[v.Grant.ID] {
			x, ok := b.counts.get(id, now)
			if !ok || x.Presence != connector.Present || x.Observation.Sessions < 0 {
				out[i].Sessions, out[i].At = -1, time.Time{}
				break
			}
			out[i].Sessions += x.Observation.Sessions
			if x.Observation.LastActive.After(out[i].LastActive) {
				out[i].LastActive = x.Observation.LastActive
			}
			if n == 0 || x.at.Before(out[i].At) {
				out[i].At = x.at
			}
		}
		if out[i].At.IsZero() {
			out[i].Sessions = -1
		}
	}
	return out, nil
}

// countAt asks one target.
func (b *Broker) countAt(ctx context.Context, es []access.Entitlement) {
	at := es[0].Target.Connection
	call, cancel := context.WithTimeout(withWork(ctx, string(at.Place())+" "+at.Credential), countWithin)
	defer cancel()
	conn, t, err := b.target(call, at)
	if err != nil {
		return
	}
	leave, ok := b.lanes.making.enter(call, at.Place())
	if !ok {
		return
	}
	orders := make([]connector.Order, len(es))
	for i, e := range es {
		orders[i] = b.order(e)
	}
	seen := conn.Verify(call, t, orders)
	leave(call.Err() == nil)
	b.counts.put(es, seen, time.Now())
}
