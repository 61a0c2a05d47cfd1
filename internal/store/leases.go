package store

import (
	"cmp"
	"slices"
	"time"

	"stint/internal/access"
)

// A lease is on an entitlement, not in it: it has columns of its own, which
// saves leave alone, and changes no version.

// Claim leases up to limit due entitlements of the work to owner until the
// given time and returns them, the longest due first. What is under an
// unexpired lease, be it the owner's, is not returned.
func (tx *Tx) Claim(w access.Work, owner string, until time.Time, limit int) ([]access.Entitlement, error) {
	q := "SELECT id, due_at FROM entitlements WHERE place = $1 AND removing = $2 AND due_at <= $3 ORDER BY due_at, id" + first(limit)
	if tx.d.arrays {
		q += " FOR UPDATE SKIP LOCKED"
	}
	var ids []access.EntitlementID
	err := tx.each(q, []any{string(w.Place), w.Removals, tx.now.UnixMilli()}, func(row row) error {
		var id access.EntitlementID
		var due int64
		err := row.Scan(&id, &due)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := tx.Lease(owner, until, ids...); err != nil {
		return nil, err
	}
	found, err := tx.Leased(owner, ids...)
	if err != nil {
		return nil, err
	}
	place := make(map[access.EntitlementID]int, len(ids))
	for i, id := range ids {
		place[id] = i
	}
	slices.SortFunc(found, func(a, b access.Entitlement) int { return cmp.Compare(place[a.ID], place[b.ID]) })
	return found, nil
}

var lease = byIDs(`UPDATE entitlements SET lease_owner = $2, lease_until = $3,
	due_at = CASE WHEN due_at < $3 THEN $3 ELSE due_at END
	WHERE id {ids} AND (lease_until IS NULL OR lease_until <= $4 OR lease_owner = $2)`)

// Lease takes the lease of entitlements just made in this transaction, or
// renews it. One that another owner has is access.Conflict.
func (tx *Tx) Lease(owner string, until time.Time, ids ...access.EntitlementID) error {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	n, err := execByIDs(tx, lease, ids, owner, until.UnixMilli(), tx.now.UnixMilli())
	if err != nil {
		return err
	}
	if n != int64(len(ids)) {
		return tx.fail(access.Fail(access.Conflict, "leased", "somebody else works on it"))
	}
	return nil
}

var leased = byIDs(entitlementColumns + " WHERE id {ids} AND lease_owner = $2 AND lease_until > $3")

// Leased returns those of the ids that owner still has on lease, as they are now.
func (tx *Tx) Leased(owner string, ids ...access.EntitlementID) ([]access.Entitlement, error) {
	found, err := listByIDs(tx, scanEntitlement, leased, ids, owner, tx.now.UnixMilli())
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b access.Entitlement) int { return cmp.Compare(a.ID, b.ID) })
	return found, nil
}

var unlease = byIDs(`UPDATE entitlements SET lease_owner = '', lease_until = NULL,
	due_at = CASE WHEN due_at IS NULL THEN NULL ELSE COALESCE(next_at, 0) END
	WHERE id {ids} AND lease_owner = $2`)

// Unlease gives leases back: those on the ids, or without ids all that owner
// has. Those that another has by now stay with it.
func (tx *Tx) Unlease(owner string, ids ...access.EntitlementID) error {
	if len(ids) == 0 {
		_, err := tx.exec(`UPDATE entitlements SET lease_owner = '', lease_until = NULL,
			due_at = CASE WHEN due_at IS NULL THEN NULL ELSE COALESCE(next_at, 0) END
			WHERE lease_until IS NOT NULL AND lease_owner = $1`, owner)
		return err
	}
	_, err := execByIDs(tx, unlease, ids, owner)
	return err
}

// RenewLeases lets all that owner has on an unexpired lease last until the given
// time.
func (tx *Tx) RenewLeases(owner string, until time.Time) error {
	_, err := tx.exec(`UPDATE entitlements SET lease_until = $2, due_at = CASE WHEN due_at < $2 THEN $2 ELSE due_at END
		WHERE lease_owner = $1 AND lease_until > $3`, owner, until.UnixMilli(), tx.now.UnixMilli())
	return err
}

var cutLeases = byIDs(`UPDATE entitlements SET lease_until = $2,
	due_at = CASE WHEN due_at IS NULL THEN NULL WHEN COALESCE(next_at, 0) > $2 THEN next_at ELSE $2 END
	WHERE id {ids} AND lease_until > $2`)

// CutLeases lets leases on the ids end at until, where they would end later.
func (tx *Tx) CutLeases(until time.Time, ids ...access.EntitlementID) error {
	_, err := execByIDs(tx, cutLeases, ids, until.UnixMilli())
	return err
}

// DueWork lists the places with entitlements that are due and not on lease.
func (tx *Tx) DueWork() ([]access.Work, error) {
	return list(tx, func(row row) (access.Work, error) {
		var w access.Work
		err := row.Scan(&w.Place, &w.Removals)
		return w, err
	}, "SELECT DISTINCT place, removing FROM entitlements WHERE due_at <= $1 ORDER BY place, removing DESC", tx.now.UnixMilli())
}

// BreakLeases ends every lease but those of owners whose name begins with mine.
// Only a process that owns the store alone may do so: all other owners are dead.
func (tx *Tx) BreakLeases(mine string) error {
	_, err := tx.exec(`UPDATE entitlements SET lease_owner = '', lease_until = NULL,
		due_at = CASE WHEN due_at IS NULL THEN NULL ELSE COALESCE(next_at, 0) END
		WHERE lease_until IS NOT NULL AND substr(lease_owner, 1, length($1)) <> $1`, mine)
	return err
}
