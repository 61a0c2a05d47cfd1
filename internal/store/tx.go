package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/clock"
)

// Tx is one transaction. It is used by one goroutine, until fn returns.
//
// Reads of what does not exist answer access.NotFound. After any other error
// the transaction will not be committed.
type Tx struct {
	ctx     context.Context
	db      session
	d       dialect
	now     time.Time
	at      clock.Reading // now, and whether it is to be trusted
	ids     *ids
	damaged func(error)

	records int   // audit records written
	budget  int   // writes left; 0: any number
	err     error // the first failure; it dooms the transaction

	waiting []statement // writes that are not sent yet
	wrote   bool        // some were sent
}

// session is a connection within a transaction.
type session interface {
	exec(ctx context.Context, q string, args []any) (affected int64, err error)
	query(ctx context.Context, q string, args []any) (*sql.Rows, error)
	// classify turns the database's error into ours.
	classify(err error) error
}

// Now is the store's time, one value for the whole transaction, UTC, whole
// milliseconds.
func (tx *Tx) Now() time.Time { return tx.now }

// Certain is nil when Now can be trusted, and otherwise an error of kind
// access.Unavailable with code "clock-unsure" that says why not. Nothing new is
// to be granted or shown then; what ends, ends by Now all the same.
func (tx *Tx) Certain() error {
	if tx.at.Trusted {
		return nil
	}
	return unsure(tx.at.Why)
}

// fail dooms the transaction.
func (tx *Tx) fail(err error) error {
	if tx.err == nil {
		tx.err = err
	}
	return err
}

func (tx *Tx) exec(q string, args ...any) (int64, error) {
	if err := tx.flush(); err != nil {
		return 0, err
	}
	if tx.budget > 0 {
		if tx.budget--; tx.budget == 0 {
			return 0, tx.fail(errLarge)
		}
	}
	tx.wrote = true
	n, err := tx.db.exec(tx.ctx, q, args)
	if err != nil {
		return 0, tx.fail(tx.db.classify(err))
	}
	return n, nil
}

// each runs a query and calls scan for each row.
func (tx *Tx) each(q string, args []any, scan func(row) error) error {
	if err := tx.flush(); err != nil {
		return err
	}
	rows, err := tx.db.query(tx.ctx, q, args)
	if err != nil {
		return tx.fail(tx.db.classify(err))
	}
	for rows.Next() {
		if err := scan(rows); err != nil {
			_ = rows.Close()
			return tx.fail(tx.readError(err))
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return tx.fail(tx.db.classify(err))
	}
	return nil
}

// readError leaves our own errors as they are.
func (tx *Tx) readError(err error) error {
	var ours *access.Error
	if errors.As(err, &ours) {
		return err
	}
	return tx.db.classify(err)
}

// row is what a scan function reads from.
type row interface{ Scan(dest ...any) error }

// list collects what a query gives.
func list[T any](tx *Tx, scan func(row) (T, error), q string, args ...any) ([]T, error) {
	var found []T
	err := tx.each(q, args, func(r row) error {
		v, err := scan(r)
		if err == nil {
			found = append(found, v)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// listGood is list, but a row that cannot be understood is reported and left out.
func listGood[T any](tx *Tx, scan func(row) (T, error), q string, args ...any) ([]T, error) {
	var found []T
	err := tx.each(q, args, func(r row) error {
		v, err := scan(r)
		var d *damage
		switch {
		case errors.As(err, &d):
			tx.damaged(err)
		case err != nil:
			return err
		default:
			found = append(found, v)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// one reads a single value, or answers access.NotFound with what was looked for.
func one[T any](tx *Tx, what string, scan func(row) (T, error), q string, args ...any) (T, error) {
	found, err := list(tx, scan, q, args...)
	if err != nil || len(found) == 0 {
		var none T
		if err == nil {
			err = access.Fail(access.NotFound, "no-such-"+what, "there is no such "+what)
		}
		return none, err
	}
	return found[0], nil
}

// listByIDs is listGood for a query with a place for ids, made by byIDs; each id
// once.
func listByIDs[T any, ID ~string](tx *Tx, scan func(row) (T, error), q idQuery, ids []ID, args ...any) ([]T, error) {
	var all []T
	for some := range slices.Chunk(distinct(ids), batch) {
		text, first := tx.d.about(q, some)
		found, err := listGood(tx, scan, text, append([]any{first}, args...)...)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// execByIDs is exec for a query with a place for ids; each id once.
// check, if set, gets how many rows each statement affected of those it was about.
func execByIDs[ID ~string](tx *Tx, check func(affected, of int64) error, q idQuery, ids []ID, args ...any) error {
	for some := range slices.Chunk(distinct(ids), batch) {
		text, first := tx.d.about(q, some)
		var all func(int64) error
		if check != nil {
			all = func(n int64) error { return check(n, int64(len(some))) }
		}
		if err := tx.later(all, text, append([]any{first}, args...)...); err != nil {
			return err
		}
		if !tx.d.arrays && tx.budget > 0 {
			if tx.budget -= len(some) - 1; tx.budget <= 0 { // it was one statement and many writes
				return tx.fail(errLarge)
			}
		}
	}
	return nil
}

// distinct lists ids as text, each once, in the order given.
func distinct[ID ~string](ids []ID) []string {
	all := make([]string, 0, len(ids))
	seen := make(map[ID]bool, len(ids))
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			all = append(all, string(id))
		}
	}
	return all
}
