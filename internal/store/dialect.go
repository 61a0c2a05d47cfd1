package store

import (
	"encoding/json"
	"strings"
)

// dialect is what differs in the SQL of the two databases. There is little:
// PostgreSQL takes a batch as arrays, which saves round trips; SQLite, which
// has none to save, takes it row by row through a prepared statement.
type dialect struct {
	name   string
	arrays bool
}

var (
	sqliteDialect   = dialect{name: "sqlite"}
	postgresDialect = dialect{name: "postgres", arrays: true}
)

// idQuery is a query about one id or about many; the ids are argument $1, as
// text, as an array, or where a database has none as a JSON array.
type idQuery struct{ one, array, json string }

// byIDs makes an idQuery; "{ids}" stands where "= id" would.
func byIDs(q string) idQuery {
	with := func(ids string) string { return strings.Replace(q, "{ids}", ids, 1) }
	return idQuery{with("= $1"), with("= ANY($1)"), with("IN (SELECT value FROM json_each($1))")}
}

// about gives the query for the ids and its first argument. No id may stand there
// twice.
func (d dialect) about(q idQuery, ids []string) (string, any) {
	switch {
	case len(ids) == 1:
		return q.one, ids[0]
	case d.arrays:
		return q.array, ids
	}
	list, err := json.Marshal(ids)
	if err != nil { // text always can be
		list = []byte("[]")
	}
	return q.json, string(list)
}
