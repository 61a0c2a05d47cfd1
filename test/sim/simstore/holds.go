package simstore

import (
	"cmp"
	"slices"

	"stint/internal/access"
)

type holdTable struct {
	byGrant       map[access.GrantID][]access.Hold // by entitlement
	byEntitlement map[access.EntitlementID][]access.GrantID
	n             int
}

func newHoldTable() holdTable {
	return holdTable{byGrant: map[access.GrantID][]access.Hold{}, byEntitlement: map[access.EntitlementID][]access.GrantID{}}
}

func (t *holdTable) find(g access.GrantID, e access.EntitlementID) (int, bool) {
	return slices.BinarySearchFunc(t.byGrant[g], e, func(h access.Hold, e access.EntitlementID) int { return cmp.Compare(h.Entitlement, e) })
}

// SaveHolds writes holds, by grant and entitlement.
func (tx *Tx) SaveHolds(hs ...access.Hold) error {
	if err := tx.writes(); err != nil {
		return err
	}
	t := &tx.s.holds
	for _, h := range hs {
		h.ReleasedAt = instant(h.ReleasedAt)
		i, there := t.find(h.Grant, h.Entitlement)
		all := slices.Clone(t.byGrant[h.Grant]) // what was read before stays as it was
		var old *access.Hold
		if there {
			old = &all[i]
		}
		if err := tx.holdRule(old, h); err != nil {
			return tx.fail(err)
		}
		if there {
			all[i] = h
		} else {
			all = slices.Insert(all, i, h)
			of := t.byEntitlement[h.Entitlement]
			j, _ := slices.BinarySearch(of, h.Grant)
			putKey(tx, t.byEntitlement, h.Entitlement, slices.Insert(slices.Clone(of), j, h.Grant))
			t.n++
			tx.undone(func() { t.n-- })
		}
		putKey(tx, t.byGrant, h.Grant, all)
	}
	return nil
}

// HoldsBy lists the holds of grants.
func (tx *Tx) HoldsBy(ids ...access.GrantID) (found []access.Hold, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		found = append(found, tx.s.holds.byGrant[id]...)
	}
	return found, nil
}

// Host finds none: no simulated target has an agent.
func (tx *Tx) Host(string) (access.Host, error) {
	if tx.err != nil {
		return access.Host{}, tx.err
	}
	return access.Host{}, access.Fail(access.NotFound, "not-found", "there is no such host")
}

// HoldsOf lists the holds on entitlements.
func (tx *Tx) HoldsOf(ids ...access.EntitlementID) (found []access.Hold, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	t := &tx.s.holds
	for _, id := range once(ids) {
		for _, g := range t.byEntitlement[id] {
			i, _ := t.find(g, id)
			found = append(found, t.byGrant[g][i])
		}
	}
	if len(ids) > 1 {
		slices.SortFunc(found, func(a, b access.Hold) int {
			return cmp.Or(cmp.Compare(a.Grant, b.Grant), cmp.Compare(a.Entitlement, b.Entitlement))
		})
	}
	return found, nil
}
