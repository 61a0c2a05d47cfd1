package simstore

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
)

// entitlementRow is an entitlement and the lease on it. due is when somebody may
// next take it up: when it is to be tried next and no lease is on it.
type entitlementRow struct {
	access.Entitlement
	owner string
	until int64 // of the lease; never: none
	due   int64
}

func (e *entitlementRow) live() bool { return e.State != access.Gone }

// work is the due entitlements of one place and kind.
type work struct {
	access.Work
	due *ordered[moment]
}

func compareWork(a *work, b access.Work) int {
	if c := cmp.Compare(a.Place, b.Place); c != 0 || a.Removals == b.Removals {
		return c
	}
	if a.Removals {
		return -1
	}
	return 1
}

type placeKey struct {
	place access.Place
	key   string
}

type placeState struct {
	place access.Place
	state access.EntitlementState
}

type entitlementTable struct {
	rows   map[access.EntitlementID]*entitlementRow
	ids    *ordered[string]
	live   *ordered[string] // not gone
	states map[placeState]*ordered[string]
	places []access.Place // sorted; of every entitlement there ever was
	wanted map[placeKey]access.EntitlementID
	works  []*work // sorted; removals of a place first
	leases map[string]*ordered[string]
}

func newEntitlementTable() entitlementTable {
	return entitlementTable{
		rows: map[access.EntitlementID]*entitlementRow{}, ids: newIDs(), live: newIDs(), states: map[placeState]*ordered[string]{},
		wanted: map[placeKey]access.EntitlementID{}, leases: map[string]*ordered[string]{},
	}
}

func (t *entitlementTable) work(w access.Work) *work {
	i, ok := slices.BinarySearchFunc(t.works, w, compareWork)
	if !ok {
		t.works = slices.Insert(t.works, i, &work{w, newMoments()})
	}
	return t.works[i]
}

func (t *entitlementTable) set(id access.EntitlementID, row *entitlementRow) {
	if old := t.rows[id]; old != nil {
		place := old.Target.Connection.Place()
		t.states[placeState{place, old.State}].drop(string(id))
		if old.due != never {
			t.work(access.Work{Place: place, Removals: old.State == access.Removing}).due.drop(moment{old.due, string(id)})
		}
		if old.until != never {
			if held := t.leases[old.owner]; len(held.lists) == 1 && len(held.lists[0]) == 1 {
				delete(t.leases, old.owner) // each piece of work has an owner of its own
			} else {
				held.drop(string(id))
			}
		}
		if old.live() {
			t.live.drop(string(id))
			delete(t.wanted, placeKey{place, old.Key})
		}
		if row == nil {
			t.ids.drop(string(id))
		}
	}
	if row == nil {
		delete(t.rows, id)
		return
	}
	place := row.Target.Connection.Place()
	t.rows[id] = row
	t.ids.add(string(id))
	if t.states[placeState{place, row.State}] == nil {
		t.states[placeState{place, row.State}] = newIDs()
	}
	if i, known := slices.BinarySearch(t.places, place); !known {
		t.places = slices.Insert(t.places, i, place)
	}
	t.states[placeState{place, row.State}].add(string(id))
	if row.due != never {
		t.work(access.Work{Place: place, Removals: row.State == access.Removing}).due.add(moment{row.due, string(id)})
	}
	if row.until != never {
		if t.leases[row.owner] == nil {
			t.leases[row.owner] = newIDs()
		}
		t.leases[row.owner].add(string(id))
	}
	if row.live() {
		t.live.add(string(id))
		if row.Key != "" {
			t.wanted[placeKey{place, row.Key}] = id
		}
	}
}

// put replaces a row within the transaction.
func (tx *Tx) putEntitlement(id access.EntitlementID, row *entitlementRow) {
	t := &tx.s.entitlements
	old := t.rows[id]
	t.set(id, row)
	tx.undone(func() { t.set(id, old) })
}

// Entitlement reads one entitlement.
func (tx *Tx) Entitlement(id access.EntitlementID) (access.Entitlement, error) {
	if tx.err != nil {
		return access.Entitlement{}, tx.err
	}
	row := tx.s.entitlements.rows[id]
	if row == nil {
		return access.Entitlement{}, missing("entitlement")
	}
	return cloneEntitlement(row.Entitlement), nil
}

// SaveEntitlements writes entitlements. A lease on one stays on it.
func (tx *Tx) SaveEntitlements(es ...access.Entitlement) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for _, fresh := range []bool{true, false} {
		for _, e := range es {
			if fresh == (e.Version == 1) {
				if err := tx.saveEntitlement(e); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (tx *Tx) saveEntitlement(e access.Entitlement) error {
	t := &tx.s.entitlements
	row, old := &entitlementRow{Entitlement: cloneEntitlement(e), until: never, due: never}, t.rows[e.ID]
	if e.Wanted() {
		if row.due = millis(e.NextAt); row.due == never {
			row.due = 0 // work without a time is work for now, never work forgotten
		}
	}
	if e.Version == 1 {
		if err := newEntitlementRule(row); err != nil {
			return tx.fail(err)
		}
		if err := entitlementChecks(row); err != nil {
			return tx.fail(err)
		}
	}
	if old == nil && e.Version != 1 || old != nil && !(follows(e.Version, old.Version) && row.fixed(old)) {
		return tx.fail(changed("entitlement", e.ID, e.Version))
	}
	if old != nil {
		if err := entitlementRule(old, row); err != nil {
			return tx.fail(err)
		}
		row.owner, row.until = old.owner, old.until
		if row.State == access.Gone { // nobody's work any more
			row.owner, row.until = "", never
		}
		if row.due != never && old.until != never && row.due < old.until {
			row.due = old.until
		}
	}
	if err := entitlementChecks(row); err != nil {
		return tx.fail(err)
	}
	if other, there := t.wanted[placeKey{e.Target.Connection.Place(), e.Key}]; there && other != e.ID && row.live() && e.Key != "" {
		return tx.fail(taken("the live entitlement of " + e.Key))
	}
	tx.putEntitlement(e.ID, row)
	return nil
}

// Entitlements lists entitlements, oldest first.
func (tx *Tx) Entitlements(q access.EntitlementQuery) ([]access.Entitlement, error) {
	if tx.err != nil {
		return nil, tx.err
	}
	t := &tx.s.entitlements
	limit := limited(q.Limit, 1000, 10000)
	sets := []*ordered[string]{t.ids}
	if len(q.States) > 0 {
		sets = sets[:0]
		places := t.places
		if q.Place != "" {
			places = []access.Place{q.Place}
		}
		for _, s := range uniq(q.States) {
			for _, p := range places {
				if set := t.states[placeState{p, s}]; set != nil {
					sets = append(sets, set)
				}
			}
		}
	}
	var ids []string
	for _, set := range sets {
		n := 0
		for id := range set.from(string(q.After)) {
			row := t.rows[access.EntitlementID(id)]
			if id == string(q.After) || q.Place != "" && row.Target.Connection.Place() != q.Place || q.Resource != "" && row.Target.Resource != q.Resource {
				continue
			}
			ids = append(ids, id)
			if n++; n == limit {
				break
			}
		}
	}
	if len(sets) > 1 {
		slices.Sort(ids)
	}
	var found []access.Entitlement
	for _, id := range ids[:min(len(ids), limit)] {
		found = append(found, cloneEntitlement(t.rows[access.EntitlementID(id)].Entitlement))
	}
	return found, nil
}

// EntitlementsOf are those of the ids that exist.
func (tx *Tx) EntitlementsOf(ids ...access.EntitlementID) (found []access.Entitlement, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for _, id := range once(ids) {
		if row := tx.s.entitlements.rows[id]; row != nil {
			found = append(found, cloneEntitlement(row.Entitlement))
		}
	}
	return found, nil
}

// LiveEntitlement is the one of that place and key that is not gone.
func (tx *Tx) LiveEntitlement(p access.Place, key string) (access.Entitlement, error) {
	if tx.err != nil {
		return access.Entitlement{}, tx.err
	}
	id, there := tx.s.entitlements.wanted[placeKey{p, key}]
	if !there {
		return access.Entitlement{}, missing("entitlement")
	}
	return cloneEntitlement(tx.s.entitlements.rows[id].Entitlement), nil
}

// Claim leases up to limit due entitlements of the work to owner until the
// given time and returns them, the longest due first.
func (tx *Tx) Claim(w access.Work, owner string, until time.Time, limit int) ([]access.Entitlement, error) {
	if err := tx.writes(); err != nil {
		return nil, err
	}
	t := &tx.s.entitlements
	i, ok := slices.BinarySearchFunc(t.works, w, compareWork)
	if !ok {
		return nil, nil
	}
	now := tx.now.UnixMilli()
	var ids []access.EntitlementID
	for m := range t.works[i].due.all() {
		if m.at > now || len(ids) >= limit {
			break
		}
		ids = append(ids, access.EntitlementID(m.id))
	}
	if err := tx.Lease(owner, until, ids...); err != nil {
		return nil, err
	}
	var found []access.Entitlement
	for _, id := range ids {
		if row := t.rows[id]; row.owner == owner && row.until > now {
			found = append(found, cloneEntitlement(row.Entitlement))
		}
	}
	return found, nil
}

// Lease takes the lease of entitlements, or renews it. One that another owner
// has is access.Conflict.
func (tx *Tx) Lease(owner string, until time.Time, ids ...access.EntitlementID) error {
	if err := tx.writes(); err != nil {
		return err
	}
	now, end := tx.now.UnixMilli(), until.UnixMilli()
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		old := tx.s.entitlements.rows[id]
		if old == nil || old.until != never && old.until > now && old.owner != owner {
			return tx.fail(access.Fail(access.Conflict, "leased", "somebody else works on it"))
		}
		row := *old
		row.owner, row.until = owner, end
		if row.due != never && row.due < end {
			row.due = end
		}
		tx.putEntitlement(id, &row)
	}
	return nil
}

// Leased returns those of the ids that owner still has on lease, as they are now.
func (tx *Tx) Leased(owner string, ids ...access.EntitlementID) (found []access.Entitlement, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	now := tx.now.UnixMilli()
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		if row := tx.s.entitlements.rows[id]; row != nil && row.owner == owner && row.until != never && row.until > now {
			found = append(found, cloneEntitlement(row.Entitlement))
		}
	}
	return found, nil
}

// Claimed returns those of the ids that owner took and nobody has taken since, be
// their lease run out or not, as they are now.
func (tx *Tx) Claimed(owner string, ids ...access.EntitlementID) (found []access.Entitlement, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		if row := tx.s.entitlements.rows[id]; row != nil && row.owner == owner && row.until != never {
			found = append(found, cloneEntitlement(row.Entitlement))
		}
	}
	return found, nil
}

// freed is the row without its lease.
func (e *entitlementRow) freed() *entitlementRow {
	row := *e
	row.owner, row.until = "", never
	if row.due != never {
		if row.due = millis(row.NextAt); row.due == never {
			row.due = 0
		}
	}
	return &row
}

// Unlease gives leases back: those on the ids, or without ids all that owner
// has. Those that another has by now stay with it.
func (tx *Tx) Unlease(owner string, ids ...access.EntitlementID) error {
	if err := tx.writes(); err != nil {
		return err
	}
	if len(ids) == 0 {
		for _, id := range tx.held(owner) {
			tx.putEntitlement(id, tx.s.entitlements.rows[id].freed())
		}
		return nil
	}
	for _, id := range once(ids) {
		if row := tx.s.entitlements.rows[id]; row != nil && row.owner == owner && row.until != never {
			tx.putEntitlement(id, row.freed())
		}
	}
	return nil
}

// held lists what an owner has on lease, run out or not.
func (tx *Tx) held(owner string) (ids []access.EntitlementID) {
	for id := range tx.s.entitlements.leases[owner].all() {
		ids = append(ids, access.EntitlementID(id))
	}
	return ids
}

// RenewLeases lets all that owner took, and nobody has taken since, last until the
// given time.
func (tx *Tx) RenewLeases(owner string, until time.Time) error {
	if err := tx.writes(); err != nil {
		return err
	}
	end := until.UnixMilli()
	for _, id := range tx.held(owner) {
		row := *tx.s.entitlements.rows[id]
		row.until = end
		if row.due != never && row.due < end {
			row.due = end
		}
		tx.putEntitlement(id, &row)
	}
	return nil
}

// CutLeases lets leases on the ids end at until, where they would end later.
func (tx *Tx) CutLeases(until time.Time, ids ...access.EntitlementID) error {
	if err := tx.writes(); err != nil {
		return err
	}
	end := until.UnixMilli()
	for _, id := range once(ids) {
		old := tx.s.entitlements.rows[id]
		if old == nil || old.until == never || old.until <= end {
			continue
		}
		row := *old
		row.until = end
		if row.due != never {
			row.due = max(end, millis(row.NextAt))
		}
		tx.putEntitlement(id, &row)
	}
	return nil
}

// TakeBack ends every lease of owners whose name begins with of and not with but,
// and returns what was under them. An empty but is no exception.
func (tx *Tx) TakeBack(of, but string) (found []access.Entitlement, err error) {
	if err := tx.writes(); err != nil {
		return nil, err
	}
	var ids []access.EntitlementID
	for owner, set := range tx.s.entitlements.leases {
		if !strings.HasPrefix(owner, of) || but != "" && strings.HasPrefix(owner, but) {
			continue
		}
		for id := range set.all() {
			ids = append(ids, access.EntitlementID(id))
		}
	}
	slices.Sort(ids) // the map's order does not show
	for _, id := range ids {
		row := tx.s.entitlements.rows[id]
		found = append(found, cloneEntitlement(row.Entitlement))
		tx.putEntitlement(id, row.freed())
	}
	return found, nil
}

// Bury finds nobody: replicas in one process have no sessions to lose, and those
// that shall know of each other's death are told (broker.Peers stays nil).
func (tx *Tx) Bury(string) (dead bool, err error) { return false, nil }

// MayExpire is always so: transactions are one at a time.
func (tx *Tx) MayExpire() (mine bool, err error) { return true, nil }

// DueWork lists the places with entitlements that are due and not on lease.
func (tx *Tx) DueWork() (due []access.Work, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	now := tx.now.UnixMilli()
	for _, w := range tx.s.entitlements.works {
		if m, ok := w.due.first(); ok && m.at <= now {
			due = append(due, w.Work)
		}
	}
	return due, nil
}

// Removals are those in state removing, the longest due first.
func (tx *Tx) Removals(limit int) (found []access.Entitlement, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	t := &tx.s.entitlements
	var due []moment
	for _, w := range t.works {
		if w.Removals {
			due = slices.AppendSeq(due, w.due.all())
		}
	}
	slices.SortFunc(due, compareMoments)
	for _, m := range due[:min(len(due), limit)] {
		found = append(found, cloneEntitlement(t.rows[access.EntitlementID(m.id)].Entitlement))
	}
	return found, nil
}

// LeftGroup is the newest membership of that place and key that is gone.
func (tx *Tx) LeftGroup(p access.Place, key string) (access.Entitlement, error) {
	if tx.err != nil {
		return access.Entitlement{}, tx.err
	}
	t := &tx.s.entitlements
	newest := ""
	if gone := t.states[placeState{p, access.Gone}]; gone != nil && strings.HasPrefix(key, "group:") {
		for id := range gone.all() {
			if t.rows[access.EntitlementID(id)].Key == key {
				newest = id
			}
		}
	}
	if newest == "" {
		return access.Entitlement{}, missing("entitlement")
	}
	return cloneEntitlement(t.rows[access.EntitlementID(newest)].Entitlement), nil
}
