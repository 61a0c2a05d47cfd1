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
		_, err := tx.put(t, t.insertOne, t.insertMany, rows)
		return err
	}
	var fresh, later []write
	for _, w := range rows {
		if w[1] == int64(1) {
			fresh = append(fresh, w)
		} else {
			later = append(later, w)
		}
	}
	for _, part := range []struct {
		one, many string
		rows      []write
	}{{t.insertOne, t.insertMany, fresh}, {t.updateOne, t.updateMany, later}} {
		missed, err := tx.put(t, part.one, part.many, part.rows)
		if err != nil {
			return err
		}
		if missed != nil {
			return tx.fail(changed(t.noun, missed[0], missed[1]))
		}
	}
	return nil
}

func changed(noun string, id, version any) error {
	return access.Fail(access.Conflict, "changed-meanwhile", fmt.Sprintf("the %s %v was changed meanwhile", noun, id)).
		Because(fmt.Sprintf("version %v does not follow the one that is stored", version)).Try("read it again and repeat")
}

// put runs a statement for each row and gives the first row that it did not
// write, if the table has versions.
func (tx *Tx) put(t *table, one, many string, rows []write) (missed write, err error) {
	if !tx.d.arrays {
		for t.once && len(rows) >= wide {
			if _, err := tx.exec(t.insertWide, slices.Concat(rows[:wide]...)...); err != nil {
				return nil, err
			}
			rows = rows[wide:]
		}
		for _, w := range rows {
			n, err := tx.exec(one, w...)
			if err != nil {
				return nil, err
			}
			if n == 0 && missed == nil {
				missed = w
			}
		}
		return missed, nil
	}
	for _, round := range rounds(rows, t.keys) {
		for len(round) > 0 {
			chunk := round[:min(batch, len(round))]
			round = round[len(chunk):]
			n, err := tx.exec(many, arrays(t.columns, chunk)...)
			if err != nil {
				return nil, err
			}
			if t.versioned && n < int64(len(chunk)) {
				return tx.culprit(t, chunk)
			}
		}
	}
	return nil, nil
}

// culprit finds which row of a batch was not written: all others have the
// version that was saved.
func (tx *Tx) culprit(t *table, rows []write) (write, error) {
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
		return nil, err
	}
	for _, w := range rows {
		if stored[w[0].(string)] != w[1] {
			return w, nil
		}
	}
	return rows[0], nil
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
