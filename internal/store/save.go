package store

import (
	"fmt"
	"slices"

	"stint/internal/access"
)

// batch is the number of rows in one statement.
const batch = 1000

// save writes rows: new ones, and those that replace the version before or the
// same version.
func (tx *Tx) save(t *table, rows []write) error {
	if !t.versioned {
		return tx.put(t, t.insertOne, t.insertMany, rows)
	}
	var fresh, later []write
	for _, w := range rows {
		if w[1] == int64(1) {
			fresh = append(fresh, w)
		} else {
			later = append(later, w)
		}
	}
	if err := tx.put(t, t.insertOne, t.insertMany, fresh); err != nil {
		return err
	}
	return tx.put(t, t.updateOne, t.updateMany, later)
}

func changed(noun string, id, version any) error {
	return access.Fail(access.Conflict, "changed-meanwhile", fmt.Sprintf("the %s %v was changed meanwhile", noun, id)).
		Because(fmt.Sprintf("version %v does not follow the one that is stored", version)).Try("read it again and repeat")
}

// put runs a statement for each row, or for many of them. A row of a table with
// versions that it does not write fails the transaction.
func (tx *Tx) put(t *table, one, many string, rows []write) error {
	if !tx.d.arrays {
		for t.once && len(rows) >= wide {
			if _, err := tx.exec(t.insertWide, slices.Concat(rows[:wide]...)...); err != nil {
				return err
			}
			rows = rows[wide:]
		}
		for _, w := range rows {
			n, err := tx.exec(one, w...)
			if err != nil {
				return err
			}
			if n == 0 && t.versioned {
				return tx.fail(changed(t.noun, w[0], w[1]))
			}
		}
		return nil
	}
	for _, round := range rounds(rows, t.keys) {
		for len(round) > 0 {
			chunk := round[:min(batch, len(round))]
			round = round[len(chunk):]
			var check func(int64) error
			if t.versioned {
				check = func(n int64) error {
					if n < int64(len(chunk)) {
						return tx.culprit(t, chunk)
					}
					return nil
				}
			}
			if err := tx.later(check, many, arrays(t.columns, chunk)...); err != nil {
				return err
			}
		}
	}
	return nil
}

// culprit says which row of a batch was not written: all others have the version
// that was saved, or a later one of the same transaction.
func (tx *Tx) culprit(t *table, rows []write) error {
	ids := make([]string, len(rows))
	for i, w := range rows {
		ids[i] = w[0].(string)
	}
	stored := map[string]int64{}
	err := tx.each("SELECT "+t.columns[0].name+", version FROM "+t.name+" WHERE "+t.columns[0].name+" = ANY($1)", []any{ids}, func(r row) error {
		var id string
		var version int64
		err := r.Scan(&id, &version)
		stored[id] = version
		return err
	})
	if err != nil {
		return err
	}
	bad := rows[0]
	for _, w := range rows {
		if stored[w[0].(string)] < w[1].(int64) {
			bad = w
			break
		}
	}
	return changed(t.noun, bad[0], bad[1])
}

// rounds splits rows so that no key stands twice in a round: one statement
// changes a row once, but a batch may hold two versions of one thing.
func rounds(rows []write, keys int) [][]write {
	if len(rows) < 2 {
		return [][]write{rows}
	}
	var all [][]write
	seen := make(map[string]int, len(rows))
	for _, w := range rows {
		key := fmt.Sprint(w[:keys]...)
		n := seen[key]
		seen[key] = n + 1
		if n == len(all) {
			all = append(all, make([]write, 0, len(rows)-len(seen)+1))
		}
		all[n] = append(all[n], w)
	}
	return all
}

// arrays turns rows into one array for each column.
func arrays(columns []column, rows []write) []any {
	args := make([]any, len(columns))
	for i, c := range columns {
		switch c.kind {
		case text:
			args[i] = arrayOf(rows, i, func(v any) string { return v.(string) })
		case integer:
			args[i] = arrayOf(rows, i, func(v any) *int64 {
				if n, ok := v.(int64); ok {
					return &n
				}
				return nil
			})
		case boolean:
			args[i] = arrayOf(rows, i, func(v any) bool { return v.(bool) })
		case binary:
			args[i] = arrayOf(rows, i, func(v any) []byte { return v.([]byte) })
		}
	}
	return args
}

func arrayOf[T any](rows []write, i int, as func(any) T) []T {
	all := make([]T, len(rows))
	for n, w := range rows {
		all[n] = as(w[i])
	}
	return all
}
