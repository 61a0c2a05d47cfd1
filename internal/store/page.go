package store

import (
	"fmt"
	"slices"
	"strings"
)

// plan is a list query by id, in pages. It runs as one query for each state and
// each way to a resource, every one of which an index answers in order, and
// merges what they give.
type plan struct {
	columns  string // SELECT … FROM …
	targets  string // the table of further targets
	resource string
	states   []string
	down     bool
	cursor   string
	limit    int
	extra    []string // conditions without arguments

	conds []string
	args  []any
}

// equal selects by a column unless value is empty.
func (p *plan) equal(column, value string) {
	if value != "" {
		p.where(column+" = $%d", value)
	}
}

func (p *plan) where(cond string, arg any) {
	p.args = append(p.args, arg)
	p.conds = append(p.conds, fmt.Sprintf(cond, len(p.args)))
}

// limited is the page size for what was asked.
func limited(asked, usual, most int) int {
	if asked <= 0 {
		return usual
	}
	return min(asked, most)
}

// oftenAsked are the limits of pages and of our own loops. What a caller of the API chose is
// bound, or there would be as many statements to keep as there are numbers.
var oftenAsked = []int{1, 20, 31, 50, 51, 100, 200, 1000}

// atMost ends a query with a limit.
func (p *plan) atMost(n int) string {
	if slices.Contains(oftenAsked, n) {
		return first(n)
	}
	p.args = append(p.args, int64(n))
	return fmt.Sprintf(" LIMIT $%d", len(p.args))
}

// first ends a query that our own loops run all the time. The number is part of
// the text: SQLite plans a statement anew each time a limit is bound to it.
func first(n int) string { return fmt.Sprintf(" LIMIT %d", n) }

// page runs the plan.
func page[T any](tx *Tx, p plan, scan func(row) (T, error), id func(T) string) ([]T, error) {
	order, past := " ORDER BY id", "id > $%d"
	if p.down {
		order, past = " ORDER BY id DESC", "id < $%d"
	}
	if p.cursor != "" {
		p.where(past, p.cursor)
	}
	p.conds = append(p.conds, p.extra...)
	states := p.states
	if len(states) == 0 {
		states = []string{""}
	}
	ways := []string{""}
	if p.resource != "" {
		ways = []string{"resource = $%d"}
		if p.targets != "" {
			ways = append(ways, "id IN (SELECT id FROM "+p.targets+" WHERE resource = $%d)")
		}
	}
	var all []T
	for _, state := range slices.Compact(slices.Sorted(slices.Values(states))) {
		for _, way := range ways {
			one := plan{conds: slices.Clone(p.conds), args: slices.Clone(p.args)}
			one.equal("state", state)
			if way != "" {
				one.where(way, p.resource)
			}
			q := p.columns
			if len(one.conds) > 0 {
				q += " WHERE " + strings.Join(one.conds, " AND ")
			}
			q += order + one.atMost(p.limit)
			some, err := list(tx, scan, q, one.args...)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
	}
	if len(states)*len(ways) > 1 {
		slices.SortFunc(all, func(a, b T) int {
			if p.down {
				a, b = b, a
			}
			return strings.Compare(id(a), id(b))
		})
		all = slices.CompactFunc(all, func(a, b T) bool { return id(a) == id(b) })
	}
	return all[:min(len(all), p.limit)], nil
}
