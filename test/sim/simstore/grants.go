package simstore

import (
	"cmp"
	"slices"
	"time"

	"stint/internal/access"
)

type grantRow struct{ access.Grant }

func (g *grantRow) due() int64 { return millis(g.DueAt()) }

func (g *grantRow) watched() bool {
	return g.State == access.Active && (g.Endings.OnLogout || g.Endings.OnIdle > 0)
}

type grantTable struct {
	rows      map[access.GrantID]*grantRow
	byRequest map[access.RequestID]access.GrantID
	ids       *ordered[string]
	live      *ordered[string] // not terminal
	watched   *ordered[string]
	// conditional are those that are not over and whose conditions last.
	conditional *ordered[string]
	states      map[access.GrantState]*ordered[string]
	ends        *ordered[moment]
	begins      *ordered[moment] // scheduled ones
}

func newGrantTable() grantTable {
	t := grantTable{
		rows: map[access.GrantID]*grantRow{}, byRequest: map[access.RequestID]access.GrantID{}, ids: newIDs(), live: newIDs(), watched: newIDs(), conditional: newIDs(),
		states: map[access.GrantState]*ordered[string]{}, ends: newMoments(), begins: newMoments(),
	}
	for _, s := range []access.GrantState{access.Scheduled, access.Provisioning, access.Active, access.Ending, access.Ended, access.Failed} {
		t.states[s] = newIDs()
	}
	return t
}

// dueIn is the set that holds when the grant is due.
func (t *grantTable) dueIn(g *grantRow) *ordered[moment] {
	if g.State == access.Scheduled {
		return t.begins
	}
	return t.ends
}

func (t *grantTable) set(id access.GrantID, row *grantRow) {
	if old := t.rows[id]; old != nil {
		t.states[old.State].drop(string(id))
		t.dueIn(old).drop(moment{old.due(), string(id)})
		if old.watched() {
			t.watched.drop(string(id))
		}
		if old.Conditional && !old.Over() {
			t.conditional.drop(string(id))
		}
		if !old.Over() {
			t.live.drop(string(id))
		}
		if row == nil {
			t.ids.drop(string(id))
			delete(t.byRequest, old.Request)
		}
	}
	if row == nil {
		delete(t.rows, id)
		return
	}
	t.rows[id] = row
	t.byRequest[row.Request] = id
	t.ids.add(string(id))
	t.states[row.State].add(string(id))
	if due := row.due(); due != never {
		t.dueIn(row).add(moment{due, string(id)})
	}
	if row.watched() {
		t.watched.add(string(id))
	}
	if row.Conditional && !row.Over() {
		t.conditional.add(string(id))
	}
	if !row.Over() {
		t.live.add(string(id))
	}
}

// Grant reads one grant.
func (tx *Tx) Grant(id access.GrantID) (access.Grant, error) {
	if tx.err != nil {
		return access.Grant{}, tx.err
	}
	row := tx.s.grants.rows[id]
	if row == nil {
		return access.Grant{}, missing("grant")
	}
	return cloneGrant(row.Grant), nil
}

// SaveGrants writes grants. The request of a new one must be saved before.
func (tx *Tx) SaveGrants(gs ...access.Grant) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for _, fresh := range []bool{true, false} {
		for _, g := range gs {
			if fresh == (g.Version == 1) {
				if err := tx.saveGrant(g); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (tx *Tx) saveGrant(g access.Grant) error {
	t := &tx.s.grants
	row, old := &grantRow{cloneGrant(g)}, t.rows[g.ID]
	if g.Version == 1 {
		if err := newGrantRule(row, tx.s.requests.rows[g.Request]); err != nil {
			return tx.fail(err)
		}
		if err := grantChecks(row); err != nil {
			return tx.fail(err)
		}
	}
	if old == nil && g.Version != 1 || old != nil && !(follows(g.Version, old.Version) && row.fixed(old)) {
		return tx.fail(changed("grant", g.ID, g.Version))
	}
	if old != nil {
		if err := tx.grantRule(old, row); err != nil {
			return tx.fail(err)
		}
	}
	if err := grantChecks(row); err != nil {
		return tx.fail(err)
	}
	if other, there := t.byRequest[g.Request]; there && other != g.ID {
		return tx.fail(taken("the grant of request " + string(g.Request)))
	}
	t.set(g.ID, row)
	tx.undone(func() { t.set(g.ID, old) })
	return nil
}

// Grants lists grants, newest first.
func (tx *Tx) Grants(q access.GrantQuery) ([]access.Grant, error) {
	if tx.err != nil {
		return nil, tx.err
	}
	t := &tx.s.grants
	sets := []*ordered[string]{t.ids}
	switch {
	case q.Watched:
		sets[0] = t.watched
	case q.Conditional && len(q.States) > 0 && !slices.Contains(q.States, access.Ended) && !slices.Contains(q.States, access.Failed):
		sets[0] = t.conditional
	case len(q.States) > 0:
		sets = sets[:0]
		for _, s := range uniq(q.States) {
			sets = append(sets, t.states[s])
		}
	}
	if len(sets) == 1 && len(sets[0].lists) == 0 {
		return nil, nil // as nearly always where one is only looked for
	}
	ids := newest(sets, string(q.Before), limited(q.Limit, 100, 1000), func(id string) bool {
		g := t.rows[access.GrantID(id)]
		return (q.Principal == "" || g.Principal == q.Principal) && (q.Person == "" || g.Person == q.Person) &&
			(q.Role == "" || g.Role == q.Role) && (q.Resource == "" || on(g.Targets, q.Resource)) &&
			(!q.Conditional || g.Conditional) && (len(q.States) == 0 || slices.Contains(q.States, g.State))
	})
	var found []access.Grant
	for _, id := range ids {
		found = append(found, cloneGrant(t.rows[access.GrantID(id)].Grant))
	}
	return found, nil
}

// DueGrants are those whose DueAt has come: ends before beginnings, the longest
// due first.
func (tx *Tx) DueGrants(limit int) (found []access.Grant, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	t, now := &tx.s.grants, tx.now.UnixMilli()
	for _, set := range [...]*ordered[moment]{t.ends, t.begins} {
		if m, ok := set.first(); !ok || m.at > now {
			continue // as nearly always
		}
		for m := range set.all() {
			if m.at > now || len(found) >= limit {
				break
			}
			found = append(found, cloneGrant(t.rows[access.GrantID(m.id)].Grant))
		}
	}
	return found, nil
}

// EndingNext are those that time ends next, the soonest first.
func (tx *Tx) EndingNext(limit int) (found []access.Grant, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	t := &tx.s.grants
	for m := range t.ends.all() {
		if len(found) >= limit {
			break
		}
		found = append(found, cloneGrant(t.rows[access.GrantID(m.id)].Grant))
	}
	return found, nil
}

// GrantsOf are those of the ids that exist.
func (tx *Tx) GrantsOf(ids ...access.GrantID) (found []access.Grant, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for _, id := range once(ids) {
		if row := tx.s.grants.rows[id]; row != nil {
			found = append(found, cloneGrant(row.Grant))
		}
	}
	return found, nil
}

// once lists each id once, in the order given.
func once[ID ~string](ids []ID) []ID {
	if len(ids) < 2 {
		return ids
	}
	seen := make(map[ID]bool, len(ids))
	all := make([]ID, 0, len(ids))
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			all = append(all, id)
		}
	}
	return all
}

// SaveSealed keeps the credentials of live grants, one for each entitlement, the
// newest revision.
func (tx *Tx) SaveSealed(ss ...access.Sealed) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for _, x := range ss {
		if tx.s.grants.rows[x.Grant] == nil {
			return tx.fail(broken("a credential of no grant"))
		}
		x.Blob, x.At = list(x.Blob), instant(x.At)
		all := slices.Clone(tx.s.sealed[x.Grant])
		i, there := slices.BinarySearchFunc(all, x, func(a, b access.Sealed) int { return cmp.Compare(a.Entitlement, b.Entitlement) })
		switch {
		case !there:
			all = slices.Insert(all, i, x)
		case x.Rev >= all[i].Rev: // a late worker does not bring an old credential back
			all[i] = x
		default:
			continue
		}
		putKey(tx, tx.s.sealed, x.Grant, all)
	}
	return nil
}

// Sealed lists the credentials of a grant; none is no error.
func (tx *Tx) Sealed(id access.GrantID) ([]access.Sealed, error) {
	if tx.err != nil {
		return nil, tx.err
	}
	all := list(tx.s.sealed[id])
	for i := range all {
		all[i].Blob = list(all[i].Blob)
	}
	return all, nil
}

// DropSealed erases the credentials of grants.
func (tx *Tx) DropSealed(ids ...access.GrantID) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for _, id := range ids {
		dropKey(tx, tx.s.sealed, id)
	}
	return nil
}

// NextDue is when something that is not due yet next becomes due: a request, a
// grant, an entitlement or a lease; zero when nothing ever will.
func (tx *Tx) NextDue() (time.Time, error) {
	if tx.err != nil {
		return time.Time{}, tx.err
	}
	next, from := int64(never), moment{at: tx.now.UnixMilli() + 1}
	sooner := func(set *ordered[moment]) {
		m, ok := set.first()
		if ok && m.at < from.at {
			m, ok = set.next(from)
		}
		if ok && (next == never || m.at < next) {
			next = m.at
		}
	}
	sooner(tx.s.requests.due)
	sooner(tx.s.grants.ends)
	sooner(tx.s.grants.begins)
	for _, w := range tx.s.entitlements.works {
		sooner(w.due)
	}
	if next == never {
		return time.Time{}, nil
	}
	return timeOf(next), nil
}
