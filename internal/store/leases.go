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
	q := entitlementColumns + " WHERE place = $1 AND removing = $2 AND due_at <= $3 ORDER BY due_at" + first(limit)
	if tx.d.arrays {
		q += " FOR UPDATE SKIP LOCKED"
	}
	found, err := listGood(tx, scanEntitlement, q, string(w.Place), w.Removals, tx.now.UnixMilli())
	if err != nil {
		return nil, err
	}
	ids := make([]access.EntitlementID, len(found))
	for i, e := range found {
		ids[i] = e.ID
	}
	if err := tx.Lease(owner, until, ids...); err != nil {
		return nil, err
	}
	if !until.After(tx.now) { // over already
		return nil, nil
	}
	return found, nil
}

var lease = byIDs(`UPDATE entitlements SET lease_owner = $2, lease_until = $3,
	due_at = CASE WHEN due_at < $3 THEN $3 ELSE due_at END
	WHERE id {ids} AND (lease_until IS NULL OR lease_until <= $4 OR lease_owner = $2)`)

// Lease takes the lease of entitlements just made in this transaction, or
// renews it. One that another owner has is access.Conflict.
func (tx *Tx) Lease(owner string, until time.Time, ids ...access.EntitlementID) error {
	return execByIDs(tx, func(n, of int64) error {
		if n != of {
			return access.Fail(access.Conflict, "leased", "somebody else works on it")
		}
		return nil
	}, lease, ids, owner, until.UnixMilli(), tx.now.UnixMilli())
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

var claimed = byIDs(entitlementColumns + " WHERE id {ids} AND lease_owner = $2 AND lease_until IS NOT NULL")

// Claimed returns those of the ids that owner took and nobody has taken since, be
// their lease run out or not, as they are now.
func (tx *Tx) Claimed(owner string, ids ...access.EntitlementID) ([]access.Entitlement, error) {
	found, err := listByIDs(tx, scanEntitlement, claimed, ids, owner)
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
	return execByIDs(tx, nil, unlease, ids, owner)
}

// RenewLeases lets all that owner took, and nobody has taken since, last until the
// given time.
func (tx *Tx) RenewLeases(owner string, until time.Time) error {
	_, err := tx.exec(`UPDATE entitlements SET lease_until = $2, due_at = CASE WHEN due_at < $2 THEN $2 ELSE due_at END
		WHERE lease_until IS NOT NULL AND lease_owner = $1`, owner, until.UnixMilli())
	return err
}

var cutLeases = byIDs(`UPDATE entitlements SET lease_until = $2,
	due_at = CASE WHEN due_at IS NULL THEN NULL WHEN COALESCE(next_at, 0) > $2 THEN next_at ELSE $2 END
	WHERE id {ids} AND lease_until > $2`)

// CutLeases lets leases on the ids end at until, where they would end later.
func (tx *Tx) CutLeases(until time.Time, ids ...access.EntitlementID) error {
	return execByIDs(tx, nil, cutLeases, ids, until.UnixMilli())
}

// DueWork lists the places with entitlements that are due and not on lease. It
// goes from place to place and looks at one row of each: all that is due may be
// very much.
func (tx *Tx) DueWork() ([]access.Work, error) {
	var all []access.Work
	err := tx.each(`WITH RECURSIVE places (place) AS (
			SELECT MIN(place) FROM entitlements WHERE due_at IS NOT NULL
			UNION ALL
			SELECT (SELECT MIN(e.place) FROM entitlements AS e WHERE e.due_at IS NOT NULL AND e.place > places.place)
			FROM places WHERE places.place IS NOT NULL
		)
		SELECT place,
			EXISTS (SELECT 1 FROM entitlements AS e WHERE e.place = places.place AND e.removing = $2 AND e.due_at <= $1),
			EXISTS (SELECT 1 FROM entitlements AS e WHERE e.place = places.place AND e.removing = $3 AND e.due_at <= $1)
		FROM places WHERE place IS NOT NULL ORDER BY place`, []any{tx.now.UnixMilli(), true, false}, func(row row) error {
		var place access.Place
		var removals, others bool
		if err := row.Scan(&place, &removals, &others); err != nil {
			return err
		}
		if removals {
			all = append(all, access.Work{Place: place, Removals: true})
		}
		if others {
			all = append(all, access.Work{Place: place})
		}
		return nil
	})
	return all, err
}

// TakeBack ends every lease of owners whose name begins with of and not with but,
// and returns what was under them, as it is now. Only of owners that are dead for
// certain may it be asked. An empty but is no exception.
func (tx *Tx) TakeBack(of, but string) ([]access.Entitlement, error) {
	// The comparison leads to the index of what is on lease; no order leads away from it.
	const theirs = " WHERE lease_until IS NOT NULL AND lease_owner >= $1 AND substr(lease_owner, 1, length($1)) = $1 AND ($2 = '' OR substr(lease_owner, 1, length($2)) <> $2)"
	es, err := listGood(tx, scanEntitlement, entitlementColumns+theirs, of, but)
	slices.SortFunc(es, func(a, b access.Entitlement) int { return cmp.Compare(a.ID, b.ID) })
	if err != nil || len(es) == 0 {
		return nil, err
	}
	_, err = tx.exec(`UPDATE entitlements SET lease_owner = '', lease_until = NULL,
		due_at = CASE WHEN due_at IS NULL THEN NULL ELSE COALESCE(next_at, 0) END`+theirs, of, but)
	return es, err
}

// MayExpire reports whether no other replica ends what is due just now, and sees
// to it that none begins to before the end of this transaction. All of them come
// at the same moment for the same grants, and of those who meet, all but one would
// have to do it again. It is a courtesy: whoever may connect to the database can
// hold that lock, so nothing may wait on the answer for long.
func (tx *Tx) MayExpire() (mine bool, err error) {
	if !tx.d.arrays {
		return true, nil // one process at a time
	}
	err = tx.each("SELECT pg_try_advisory_xact_lock($1)", []any{int64(expiryLock)}, func(row row) error { return row.Scan(&mine) })
	return mine, err
}
