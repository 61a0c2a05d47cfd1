package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx", to ask the server what it did
)

// load is what the database server has done since it was started.
type load struct {
	commits, rollbacks int64
	cpu                time.Duration // of all its processes
}

func (l load) since(before load) load {
	return load{l.commits - before.commits, l.rollbacks - before.rollbacks, l.cpu - before.cpu}
}

// load asks the server. With SQLite there is none, and it has done nothing.
func (h *house) load(ctx context.Context) (l load, err error) {
	if h.server == nil {
		return l, nil
	}
	// Another database, so that the question is not part of the answer.
	db, err := sql.Open("pgx", h.server.SuperuserDSN("postgres"))
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var file string
	if err := db.QueryRowContext(ctx, `SELECT xact_commit, xact_rollback, pg_read_file('postmaster.pid')
		FROM pg_stat_database WHERE datname = 'stint'`).Scan(&l.commits, &l.rollbacks, &file); err != nil {
		return l, err
	}
	first, _, _ := strings.Cut(file, "\n")
	l.cpu, err = cpuOfTree(first)
	return l, err
}

// clockTick is the unit of times in /proc: USER_HZ, which is 100 on every Linux.
const clockTick = 10 * time.Millisecond

// cpuOfTree is the processor time of a process and its children, those that have
// ended included.
func cpuOfTree(root string) (total time.Duration, err error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended, and its parent has its time
		}
		pid, rest, _ := strings.Cut(string(text), " ")
		f := strings.Fields(rest[strings.LastIndexByte(rest, ')')+1:]) // a name may have spaces
		if len(f) < 15 || pid != root && f[1] != root {
			continue
		}
		times := f[11:13] // utime, stime
		if pid == root {
			times = f[11:15] // and those of its children, cutime and cstime
		}
		for _, t := range times {
			n, err := strconv.ParseInt(t, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", name, err)
			}
			total += time.Duration(n) * clockTick
		}
	}
	return total, nil
}

// writeStatements writes what each statement cost, the dearest first.
func (h *house) writeStatements(ctx context.Context, file string) (err error) {
	db, err := sql.Open("pgx", h.server.SuperuserDSN("postgres"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, `SELECT calls, total_exec_time, rows, shared_blks_hit + shared_blks_read, query
		FROM pg_stat_statements ORDER BY total_exec_time DESC`)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var b strings.Builder
	fmt.Fprintf(&b, "%10s %12s %10s %10s  %s\n", "calls", "ms", "rows", "pages", "statement")
	for rows.Next() {
		var calls, affected, pages int64
		var ms float64
		var text string
		if err := rows.Scan(&calls, &ms, &affected, &pages, &text); err != nil {
			return err
		}
		fmt.Fprintf(&b, "%10d %12.1f %10d %10d  %s\n", calls, ms, affected, pages, strings.Join(strings.Fields(text), " "))
	}
	return errors.Join(rows.Err(), os.WriteFile(file, []byte(b.String()), 0o600))
}
