package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// reader collects the lines of a fingerprint.
type reader struct {
	f      *fingerprint
	names  map[uint32]string // of roles
	gapsBy [][]uint32        // who may have been at work in f.Gaps, before the names are known
	count  int               // of the lines that were read
	bytes  int               // of their text
}

type foundDatabase struct {
	name   string
	closed bool
	may    []uint32 // who may connect; 0 is everybody
}

// What is not a role stands in the lists of roles as one of these; no role has
// such an oid. 0 is PUBLIC in access control lists.
const (
	oidAnybody     = 0
	oidCreaterole  = 1
	oidReplication = 2
)

// gapped notes something that could not be read.
func (r *reader) gapped(what string, by []uint32) {
	r.f.Gaps, r.gapsBy = append(r.f.Gaps, gap{What: what}), append(r.gapsBy, by)
}

// cluster reads what all databases have in common, and lists these.
func (r *reader) cluster(ctx context.Context, conn *pgx.Conn) (dbs []foundDatabase, err error) {
	b := &pgx.Batch{}
	b.Queue(rolesAndPowersSQL).Query(func(rows pgx.Rows) error {
		var oid uint32
		var name string
		var rank foundRank
		_, err := pgx.ForEachRow(rows, []any{&oid, &name, &rank.Powers, &rank.In}, func() error {
			r.names[oid], r.f.Roles[name] = name, rank
			rank = foundRank{}
			return nil
		})
		return err
	})
	b.Queue(databasesSQL).Query(func(rows pgx.Rows) error {
		dbs = nil
		var d foundDatabase
		var owner string
		_, err := pgx.ForEachRow(rows, []any{&d.name, &d.closed, &owner, &d.may}, func() error {
			dbs = append(dbs, d)
			r.f.Owners[d.name] = owner
			d = foundDatabase{}
			return nil
		})
		return err
	})
	for _, sql := range clusterSQL {
		b.Queue(sql).Query(func(rows pgx.Rows) error { return r.lines(rows, "") })
	}
	return dbs, conn.SendBatch(ctx, b).Close()
}

// database reads one of them, on a connection to it.
func (r *reader) database(ctx context.Context, conn *pgx.Conn, name string) error {
	b := &pgx.Batch{}
	b.Queue("SET jit = off") // compiling takes longer than reading
	for _, sql := range databaseSQL {
		b.Queue(sql).Query(func(rows pgx.Rows) error { return r.lines(rows, name) })
	}
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	return r.jobs(ctx, conn, name)
}

// jobs reads what is scheduled. The tables are those of the extensions and of
// nobody else: a view in their place would run as our login what its owner likes,
// and so would a policy on a table, if it were not refused.
func (r *reader) jobs(ctx context.Context, conn *pgx.Conn, database string) error {
	for _, s := range schedulers {
		var there bool
		var may []uint32
		if err := conn.QueryRow(ctx, schedulerSQL, s.extension, s.schema, s.table).Scan(&there, &may); err != nil {
			return err
		}
		if !there {
			continue
		}
		if _, err := run(ctx, conn, "SET row_security = off"); err != nil {
			return err
		}
		rows, err := conn.Query(ctx, s.sql)
		if err == nil {
			err = r.lines(rows, database)
		}
		if hasCode(err, codeNoPrivilege) {
			r.gapped("the jobs of "+s.extension+" in database "+database+" cannot be read by the connector's login", may)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lines reads rows of kind, key, what, by, undo, lost, object.
func (r *reader) lines(rows pgx.Rows, database string) error {
	l := line{Database: database}
	_, err := pgx.ForEachRow(rows, []any{&l.Kind, &l.Key, &l.What, &l.by, &l.Undo, &l.Lost, &l.Object}, func() error {
		r.keep(l)
		l = line{Database: database}
		return nil
	})
	return err
}

// keep adds a line while there is room.
func (r *reader) keep(l line) {
	r.count++
	r.bytes += len(l.Key) + len(l.What) + len(l.Undo) + len(l.Lost) + len(l.Object)
	if r.tooMuch() != nil {
		r.f.Lines = nil // they are of no use any more
		return
	}
	r.f.Lines = append(r.f.Lines, l)
}

// tooMuch refuses to compare what was not kept.
func (r *reader) tooMuch() error {
	switch {
	case r.count > maxLines:
		return refuse(fmt.Sprintf("there are more than %d things to compare", maxLines), "")
	case r.bytes > maxBytes:
		return refuse(fmt.Sprintf("what there is to compare is larger than %d MiB", maxBytes>>20), "")
	}
	return nil
}

// name gives the roles of all lines their names. Most are known; those of
// accounts of ours are looked up, and what was dropped has none.
func (r *reader) name(ctx context.Context, conn *pgx.Conn) error {
	asked := map[uint32]bool{}
	for _, list := range append(r.lists(), r.gapsBy...) {
		for _, oid := range list {
			if _, known := r.names[oid]; !known && oid > oidReplication {
				asked[oid] = true
			}
		}
	}
	oids := make([]uint32, 0, len(asked))
	for oid := range asked {
		oids = append(oids, oid)
	}
	if len(oids) > 0 {
		rows, err := conn.Query(ctx, "SELECT oid, rolname FROM pg_roles WHERE oid = ANY ($1::oid[])", oids)
		if err != nil {
			return err
		}
		var oid uint32
		var name string
		if _, err := pgx.ForEachRow(rows, []any{&oid, &name}, func() error { r.names[oid] = name; return nil }); err != nil {
			return err
		}
	}
	for i := range r.f.Lines {
		r.f.Lines[i].By = r.resolve(r.f.Lines[i].by)
	}
	for i := range r.f.Gaps {
		r.f.Gaps[i].By = r.resolve(r.gapsBy[i])
	}
	return nil
}

func (r *reader) lists() [][]uint32 {
	ls := make([][]uint32, len(r.f.Lines))
	for i, l := range r.f.Lines {
		ls[i] = l.by
	}
	return ls
}

func (r *reader) resolve(oids []uint32) []string {
	names := make([]string, 0, len(oids))
	for _, oid := range oids {
		switch oid {
		case oidAnybody:
			names = append(names, anybody)
		case oidCreaterole:
			names = append(names, createrole)
		case oidReplication:
			names = append(names, replication)
		default:
			name, ok := r.names[oid]
			if !ok {
				name = unnamed(oidText(oid))
			}
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
