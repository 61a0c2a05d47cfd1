package store

import "strings"

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

// idQuery is a query about one id or about many; the ids are argument $1.
type idQuery struct{ one, many string }

// byIDs makes an idQuery; "{ids}" stands where "= id" would.
func byIDs(q string) idQuery {
	return idQuery{strings.Replace(q, "{ids}", "= $1", 1), strings.Replace(q, "{ids}", "= ANY($1)", 1)}
}
