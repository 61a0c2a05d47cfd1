package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"stint/internal/access"
	"stint/internal/backup"
)

// notDumped are the tables whose rows mean nothing beyond this process and this
// moment: marks of commits, proofs that were used,
// sign-ins that were begun, tokens that were shown, calls on their way to hosts, which replicas live and what their clocks say, the schema's own.
var notDumped = []string{"schema_version", "commits", "proofs", "attempts", "exchanges", "marks", "replicas", "clocks", "host_calls"}

// dumpFirst is the order in which tables that refer to each other are written;
// all others follow by name.
var dumpFirst = []string{"requests", "request_targets", "votes", "grants", "grant_targets", "entitlements", "holds", "principals", "identities", "sessions"}

// Dump writes a backup of the whole store, as of one snapshot, to out. What the
// manifest says of program, installation and epoch comes from m. The snapshot is
// over before the first byte goes out: a slow reader holds nothing up. spool is
// an empty file that nobody else sees.
func (s *Store) Dump(ctx context.Context, m backup.Manifest, signer note.Signer, spool io.ReadWriteSeeker, out io.Writer) (backup.Manifest, error) {
	var w *backup.Writer
	err := s.View(ctx, func(tx *Tx) (err error) {
		if _, err := spool.Seek(0, io.SeekStart); err != nil { // it may run again
			return access.Fail(access.Unavailable, "backup-unwritten", "the backup could not be written").Wrap(err)
		}
		w = backup.NewWriter(spool)
		m.Store, m.At = s.d.name, tx.now
		if tx.d.arrays {
			if _, err := tx.exec("SET LOCAL statement_timeout = 0"); err != nil {
				return err
			}
		}
		if m.Schema, err = tx.schemaVersion(); err != nil {
			return err
		}
		h, err := tx.head()
		if err != nil {
			return err
		}
		m.Size, m.Root, m.Checkpoint = h.Size, h.Root.String(), string(h.Checkpoint)
		tables, err := tx.tables()
		if err != nil {
			return err
		}
		for _, t := range tables {
			if slices.Contains(notDumped, t) {
				continue
			}
			if err := tx.dumpTable(w, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return backup.Manifest{}, err
	}
	return w.Close(out, m, signer)
}

func (tx *Tx) schemaVersion() (v int64, err error) {
	err = tx.each("SELECT MAX(version_id) FROM schema_version", nil, func(row row) error { return row.Scan(&v) })
	return v, err
}

// tables lists the tables there are, in an order in which each comes after those
// that it refers to.
func (tx *Tx) tables() ([]string, error) {
	q := "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
	if tx.d.arrays {
		q = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename::text"
	}
	all, err := list(tx, func(row row) (name string, err error) { err = row.Scan(&name); return name, err }, q)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b string) int { return rank(a) - rank(b) })
	return all, nil
}

func rank(table string) int {
	if i := slices.Index(dumpFirst, table); i >= 0 {
		return i
	}
	return len(dumpFirst)
}

// storedColumn is a column as the database has it.
type storedColumn struct {
	backup.Column
	boolean bool // PostgreSQL's; 0 and 1 in a backup
}

func (tx *Tx) columns(table string) ([]storedColumn, error) {
	q := "SELECT name, type FROM pragma_table_info($1) ORDER BY cid"
	if tx.d.arrays {
		q = "SELECT column_name::text, data_type::text FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"
	}
	return list(tx, func(row row) (c storedColumn, err error) {
		var kind string
		if err := row.Scan(&c.Name, &kind); err != nil {
			return c, err
		}
		switch strings.ToLower(kind) {
		case "text":
			c.Kind = backup.Text
		case "integer", "bigint":
			c.Kind = backup.Integer
		case "boolean":
			c.Kind, c.boolean = backup.Integer, true
		case "blob", "bytea":
			c.Kind = backup.Binary
		default:
			return c, access.Fail(access.Internal, "backup-unwritten", "column "+c.Name+" of "+table+" has a type that no backup holds").Because(kind)
		}
		return c, nil
	}, q, table)
}

func (tx *Tx) dumpTable(w *backup.Writer, table string) error {
	cols, err := tx.columns(table)
	if err != nil {
		return err
	}
	names, plain := make([]string, len(cols)), make([]backup.Column, len(cols))
	for i, c := range cols {
		names[i], plain[i] = c.Name, c.Column
	}
	if err := w.Table(table, plain); err != nil {
		return err
	}
	q := "SELECT " + strings.Join(names, ", ") + " FROM " + table
	parts := []string{q}
	if table == "audit_records" { // the log in its order, which whoever checks the backup relies on
		parts = []string{q + " WHERE seq IS NOT NULL ORDER BY seq", q + " WHERE seq IS NULL ORDER BY id"}
	}
	values, into := make([]any, len(cols)), make([]any, len(cols))
	for i := range values {
		into[i] = &values[i]
	}
	for _, q := range parts {
		if err := tx.each(q, nil, func(row row) error {
			if err := row.Scan(into...); err != nil {
				return err
			}
			for i, c := range cols {
				values[i] = plainValue(values[i], c)
			}
			return w.Row(values)
		}); err != nil {
			return err
		}
	}
	return nil
}

// plainValue is a value without the driver's ways.
func plainValue(v any, c storedColumn) any {
	switch x := v.(type) {
	case bool:
		if x {
			return int64(1)
		}
		return int64(0)
	case []byte:
		if x == nil { // empty, and set
			return []byte{}
		}
		if c.Kind == backup.Text {
			return string(x)
		}
	case string:
		if c.Kind == backup.Binary {
			return []byte(x)
		}
	}
	return v
}

// Load fills a new, empty store with a backup, in one transaction with what
// finish adds: a restored store is there with all of it, or not at all. The
// schema is first that of the backup, and is brought up to date afterwards by
// Open. A store that holds anything is refused.
func Load(ctx context.Context, cfg Config, r *backup.Reader, finish func(*Tx) error) (err error) {
	cfg.schema = r.Manifest.Schema
	s, err := Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	load := func(tx *Tx) error {
		if err := tx.load(r); err != nil {
			return tx.fail(err)
		}
		return finish(tx)
	}
	if !s.d.arrays {
		return s.engine.update(ctx, load)
	}
	held, err := s.engine.number(ctx, load) // runs once, and waits for nobody
	if err == nil && !held {
		err = access.Fail(access.Conflict, "store-busy", "another stintd runs on this database").Try("stop every stintd of the installation first")
	}
	return err
}

func (tx *Tx) load(r *backup.Reader) error {
	have, err := tx.schemaVersion()
	if err != nil {
		return err
	}
	if have != r.Manifest.Schema {
		return access.Fail(access.Conflict, "store-not-empty", "the store exists already").
			Because(fmt.Sprintf("its schema has version %d, the backup's has %d", have, r.Manifest.Schema)).Try("restore into a new, empty database")
	}
	tables, err := tx.tables()
	if err != nil {
		return err
	}
	if tx.d.arrays {
		if _, err := tx.exec("SET LOCAL statement_timeout = 0"); err != nil {
			return err
		}
	}
	var rules []string // that were taken off, as statements
	for _, t := range tables {
		if slices.Contains(notDumped, t) {
			continue
		}
		full := false
		if err := tx.each("SELECT 1 FROM "+t+" LIMIT 1", nil, func(row) error { full = true; return nil }); err != nil {
			return err
		}
		if full {
			return access.Fail(access.Conflict, "store-not-empty", "the store is not empty").Because("table " + t + " has rows").Try("restore into a new, empty database")
		}
	}
	if rules, err = tx.suspendRules(tables); err != nil {
		return err
	}
	seen := map[string]bool{}
	for {
		t, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && (!slices.Contains(tables, t.Name) || slices.Contains(notDumped, t.Name)) {
			err = access.Fail(access.Invalid, "backup-damaged", "the backup holds a table that its schema has not").Because(t.Name)
		}
		if err == nil {
			seen[t.Name] = true
			err = tx.loadTable(t)
		}
		if err != nil {
			return err
		}
	}
	for _, t := range tables {
		if !seen[t] && !slices.Contains(notDumped, t) {
			return access.Fail(access.Invalid, "backup-damaged", "the backup lacks a table").Because(t)
		}
	}
	for _, q := range rules {
		if _, err := tx.exec(q); err != nil {
			return err
		}
	}
	return nil
}

// suspendRules takes the triggers off, which let no past be written, and gives
// the statements that put them back. Both are part of the transaction; checks and
// references hold all the while, references at its end.
func (tx *Tx) suspendRules(tables []string) (restore []string, err error) {
	if tx.d.arrays {
		for _, t := range tables {
			if _, err := tx.exec("ALTER TABLE " + t + " DISABLE TRIGGER USER"); err != nil {
				return nil, err
			}
			restore = append(restore, "ALTER TABLE "+t+" ENABLE TRIGGER USER")
		}
		return restore, nil
	}
	if _, err := tx.exec("PRAGMA defer_foreign_keys = ON"); err != nil {
		return nil, err
	}
	names, err := list(tx, func(row row) (name string, err error) {
		var sql string
		err = row.Scan(&name, &sql)
		restore = append(restore, sql)
		return name, err
	}, "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name")
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if _, err := tx.exec("DROP TRIGGER " + n); err != nil {
			return nil, err
		}
	}
	return restore, nil
}

// loadWide is how many rows go into one statement for PostgreSQL.
const loadWide = 100

func (tx *Tx) loadTable(t *backup.Table) error {
	cols, err := tx.columns(t.Name)
	if err != nil {
		return err
	}
	have := map[string]storedColumn{}
	for _, c := range cols {
		have[c.Name] = c
	}
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		if have[c.Name].Kind != c.Kind {
			return access.Fail(access.Invalid, "backup-damaged", "the backup has a column that its schema has not").Because(t.Name + "." + c.Name)
		}
		names[i] = c.Name
	}
	rows := 1
	if tx.d.arrays {
		rows = loadWide
	}
	insert := func(n int) string {
		return "INSERT INTO " + t.Name + " (" + strings.Join(names, ", ") + ") VALUES " + tuples(n, len(names))
	}
	full := insert(rows)
	var args []any
	for n := 0; ; {
		row, err := t.Row()
		if errors.Is(err, io.EOF) {
			if n > 0 {
				_, err = tx.exec(insert(n), args...)
				return err
			}
			return nil
		}
		if err != nil {
			return err
		}
		for i, v := range row {
			if x, ok := v.(int64); ok && have[names[i]].boolean {
				v = x != 0
			}
			args = append(args, v)
		}
		if n++; n == rows {
			if _, err := tx.exec(full, args...); err != nil {
				return err
			}
			n, args = 0, args[:0]
		}
	}
}

// ForgetCodes makes every one-time code worthless: one that was used after a
// backup was made would be good once more.
func (tx *Tx) ForgetCodes() error {
	_, err := tx.exec("DELETE FROM enrolments WHERE used_at IS NULL")
	return err
}
