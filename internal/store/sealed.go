package store

import "stint/internal/access"

var sealedTable = table{
	name: "sealed", noun: "sealed credential", keys: 2,
	columns: []column{{"grant_id", text}, {"entitlement_id", text}, {"resource", text}, {"rev", integer}, {"blob", binary}, {"at", integer}},
	newer:   "excluded.rev >= t.rev", // a late worker does not bring an old credential back
}.build()

// SaveSealed keeps the credentials of live grants, one for each entitlement, the
// newest revision.
func (tx *Tx) SaveSealed(ss ...access.Sealed) error {
	rows := make([]write, 0, len(ss))
	for _, s := range ss {
		rows = append(rows, write{string(s.Grant), string(s.Entitlement), string(s.Resource), s.Rev, s.Blob, millis(s.At)})
	}
	return tx.save(sealedTable, rows)
}

// Sealed lists the credentials of a grant; none is no error.
func (tx *Tx) Sealed(id access.GrantID) ([]access.Sealed, error) {
	return list(tx, func(row row) (access.Sealed, error) {
		var s access.Sealed
		var at int64
		err := row.Scan(&s.Grant, &s.Entitlement, &s.Resource, &s.Rev, &s.Blob, &at)
		s.At = instant(at)
		return s, err
	}, "SELECT grant_id, entitlement_id, resource, rev, blob, at FROM sealed WHERE grant_id = $1 ORDER BY entitlement_id", string(id))
}

var dropSealed = byIDs("DELETE FROM sealed WHERE grant_id {ids}")

// DropSealed erases the credentials of grants.
func (tx *Tx) DropSealed(ids ...access.GrantID) error {
	return execByIDs(tx, nil, dropSealed, ids)
}
