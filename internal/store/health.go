package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Health is what a doctor wants to know of the store.
type Health struct {
	Schema   int64
	Settings string    // that decide whether a commit survives a crash, as text
	Unsafe   string    // which of them does not; empty when all are right
	Now      time.Time // the database's clock
	Untaken  int64     // work that is due for more than a minute; a thousand are counted at most
	Damage   string    // what a check of the file found; empty when nothing, or not looked for
}

// untakenAfter is how long work can be due before somebody should ask why.
const untakenAfter = time.Minute

// Health looks. With deep, which reads all of a SQLite file and holds nothing up,
// also for damage.
func (s *Store) Health(ctx context.Context, deep bool) (h Health, err error) {
	err = s.View(ctx, func(tx *Tx) (err error) {
		h = Health{Now: tx.now}
		if h.Schema, err = tx.schemaVersion(); err != nil {
			return err
		}
		if err := tx.each("SELECT COUNT(*) FROM (SELECT 1 FROM entitlements WHERE due_at IS NOT NULL AND due_at < $1 LIMIT 1000) AS late",
			[]any{tx.now.Add(-untakenAfter).UnixMilli()}, func(row row) error { return row.Scan(&h.Untaken) }); err != nil {
			return err
		}
		if tx.d.arrays {
			return tx.postgresHealth(&h)
		}
		return tx.sqliteHealth(&h, deep)
	})
	return h, err
}

func (tx *Tx) sqliteHealth(h *Health, deep bool) error {
	var mode string
	if err := tx.each("PRAGMA journal_mode", nil, func(row row) error { return row.Scan(&mode) }); err != nil {
		return err
	}
	h.Settings = "journal_mode " + mode + ", synchronous full"
	if mode != "wal" {
		h.Unsafe = "the journal mode is " + mode
	}
	if !deep {
		return nil
	}
	var found []string
	err := tx.each("PRAGMA quick_check(5)", nil, func(row row) error {
		var line string
		err := row.Scan(&line)
		if line != "ok" {
			found = append(found, line)
		}
		return err
	})
	h.Damage = strings.Join(found, "; ")
	return err
}

func (tx *Tx) postgresHealth(h *Health) error {
	var off, all []string
	err := tx.each("SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'server_version') ORDER BY name", nil, func(row row) error {
		var name, value string
		err := row.Scan(&name, &value)
		all = append(all, name+" "+value)
		if name != "server_version" && value == "off" {
			off = append(off, name)
		}
		return err
	})
	h.Settings = strings.Join(all, ", ")
	if len(off) > 0 {
		h.Unsafe = fmt.Sprintf("%s is off: what was committed may be gone after a crash", strings.Join(off, " and "))
	}
	return err
}
