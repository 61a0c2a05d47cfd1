package store

import (
	"context"
	"database/sql/driver"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// A statement to a database on the other side of a network costs the way there
// and back. What a transaction writes is therefore kept until it reads again, or
// is to be committed, and then sent in one message; the database does it in the
// order in which it was written. A write that fails then dooms the transaction
// as it would have at once.

// pipeline is a session that can send several statements together.
type pipeline interface {
	// send executes statements in order, and gives for each the rows affected. It
	// ends with the first that fails.
	send(ctx context.Context, all []statement) (affected []int64, err error)
}

// statement is a write that waits. check, if set, is told how many rows it
// affected, and may refuse.
type statement struct {
	q     string
	args  []any
	check func(affected int64) error
}

// later is exec for a write whose outcome only check wants to know. check belongs
// to this transaction, and must not write.
func (tx *Tx) later(check func(affected int64) error, q string, args ...any) error {
	if _, ok := tx.db.(pipeline); ok {
		if tx.err == nil {
			tx.waiting = append(tx.waiting, statement{q, args, check})
		}
		return tx.err
	}
	n, err := tx.exec(q, args...)
	if err == nil && check != nil {
		if err = check(n); err != nil {
			err = tx.fail(err)
		}
	}
	return err
}

// flush sends what waits.
func (tx *Tx) flush() error {
	all := tx.waiting
	tx.waiting = nil
	if len(all) == 0 || tx.err != nil {
		return tx.err
	}
	tx.wrote = true
	affected, err := tx.db.(pipeline).send(tx.ctx, all)
	if err != nil {
		return tx.fail(tx.db.classify(err))
	}
	for i, s := range all {
		if s.check == nil {
			continue
		}
		if err := s.check(affected[i]); err != nil {
			return tx.fail(err)
		}
	}
	return nil
}

func (db *pgSession) send(ctx context.Context, all []statement) (affected []int64, err error) {
	defer db.answered()
	raw := db.conn.Raw(func(dc any) error {
		c, ok := dc.(*stdlib.Conn)
		if !ok {
			return driver.ErrBadConn
		}
		var b pgx.Batch
		for _, s := range all {
			b.Queue(s.q, s.args...)
		}
		results := c.Conn().SendBatch(ctx, &b)
		for range all {
			tag, xerr := results.Exec()
			if xerr != nil {
				err = xerr
				break
			}
			affected = append(affected, tag.RowsAffected())
		}
		if cerr := results.Close(); err == nil {
			err = cerr
		}
		return nil
	})
	if err == nil {
		err = raw
	}
	return affected, err
}
