package store

import (
	"cmp"
	"slices"

	"stint/internal/access"
)

var holdTable = table{
	name: "holds", noun: "hold", keys: 2,
	columns: []column{{"grant_id", text}, {"entitlement_id", text}, {"needs", integer}, {"released_at", integer},
		{"settles", integer}, {"settled", boolean}},
}.build()

// SaveHolds writes holds, by grant and entitlement.
func (tx *Tx) SaveHolds(hs ...access.Hold) error {
	rows := make([]write, 0, len(hs))
	for _, h := range hs {
		rows = append(rows, write{string(h.Grant), string(h.Entitlement), h.Needs, millis(h.ReleasedAt), h.Settles, h.Settled})
	}
	return tx.save(holdTable, rows)
}

const holdColumns = "SELECT grant_id, entitlement_id, needs, released_at, settles, settled FROM holds"

var (
	holdsBy = byIDs(holdColumns + " WHERE grant_id {ids}")
	holdsOf = byIDs(holdColumns + " WHERE entitlement_id {ids}")
)

func scanHold(row row) (access.Hold, error) {
	var h access.Hold
	var released *int64
	err := row.Scan(&h.Grant, &h.Entitlement, &h.Needs, &released, &h.Settles, &h.Settled)
	h.ReleasedAt = instantOf(released)
	return h, err
}

// HoldsBy lists the holds of grants.
func (tx *Tx) HoldsBy(ids ...access.GrantID) ([]access.Hold, error) {
	return sortHolds(listByIDs(tx, scanHold, holdsBy, ids))
}

// HoldsOf lists the holds on entitlements.
func (tx *Tx) HoldsOf(ids ...access.EntitlementID) ([]access.Hold, error) {
	return sortHolds(listByIDs(tx, scanHold, holdsOf, ids))
}

func sortHolds(hs []access.Hold, err error) ([]access.Hold, error) {
	slices.SortFunc(hs, func(a, b access.Hold) int {
		return cmp.Or(cmp.Compare(a.Grant, b.Grant), cmp.Compare(a.Entitlement, b.Entitlement))
	})
	return hs, err
}
