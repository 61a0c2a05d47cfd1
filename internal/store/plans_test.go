package store

import (
	"context"
	"database/sql"
	"strings"
)

// asked is a session that notes what is asked in it.
type asked struct {
	session
	questions []question
}

type question struct {
	text string
	args []any
}

func (a *asked) query(ctx context.Context, q string, args []any) (*sql.Rows, error) {
	a.questions = append(a.questions, question{q, args})
	return a.session.query(ctx, q, args)
}

// Plans are the ways by which the database answers what fn asks, one text for each question.
// With hardly a row in its tables PostgreSQL would read them whole, and sort: it is told that
// this costs a lot, as it does with many.
func (s *Store) Plans(ctx context.Context, fn func(*Tx) error) (plans []string, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		plans = nil
		a := &asked{session: tx.db}
		tx.db = a
		err := fn(tx)
		tx.db = a.session
		if err != nil {
			return err
		}
		explain := "EXPLAIN QUERY PLAN "
		if s.d.arrays {
			explain = "EXPLAIN (COSTS OFF) "
			for _, off := range []string{"enable_seqscan", "enable_bitmapscan", "enable_sort"} {
				if _, err := tx.db.exec(ctx, "SET LOCAL "+off+" = off", nil); err != nil {
					return err
				}
			}
		}
		for _, q := range a.questions {
			var lines []string
			if err := tx.each(explain+q.text, q.args, func(r row) error {
				var line string
				var id, parent, unused int64
				into := []any{&line}
				if !s.d.arrays {
					into = []any{&id, &parent, &unused, &line}
				}
				err := r.Scan(into...)
				lines = append(lines, line)
				return err
			}); err != nil {
				return err
			}
			plans = append(plans, q.text+"\n"+strings.Join(lines, "\n"))
		}
		return nil
	})
	return plans, err
}

// LogPlans are those for records.
func (s *Store) LogPlans(ctx context.Context, q LogQuery) ([]string, error) {
	return s.Plans(ctx, func(tx *Tx) error {
		_, err := tx.logRecords(q)
		return err
	})
}
