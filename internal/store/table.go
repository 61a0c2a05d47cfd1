package store

import (
	"fmt"
	"slices"
	"strings"
)

// kind is the type of a column.
type kind uint8

const (
	text kind = iota
	integer
	boolean
	binary
)

func (k kind) array() string {
	return [...]string{text: "text[]", integer: "bigint[]", boolean: "boolean[]", binary: "bytea[]"}[k]
}

type column struct {
	name string
	kind kind
}

// table describes the columns that a save writes, and so the statements that
// write them. The first keys columns are the key.
type table struct {
	name    string
	noun    string // for messages
	keys    int
	columns []column
	// versioned: the second column is "version", and a save replaces the version
	// before it, or the same.
	versioned bool
	// fixed columns never change once the row is there: a change writes the others
	// only, and one that has other values in them finds no row to replace. A
	// database rewrites each index that has a column which is written, whether its
	// value changed or not.
	fixed []string
	// derived columns are computed from the row's old columns (t.) and what is
	// saved ({name}) when a row is replaced.
	derived map[string]string
	// newer, if set, must hold for a row without version to be replaced.
	newer string
	// once: a row with the same key is an error.
	once bool

	insertOne, insertWide, insertMany string
	updateOne, updateMany             string
}

// write is one row to save, in the order of the columns. Numbers are int64 or nil.
type write []any

// build makes the statements; it is called once for each description.
func (t table) build() *table {
	names, params, arrays := make([]string, len(t.columns)), make([]string, len(t.columns)), make([]string, len(t.columns))
	number := map[string]string{}
	for i, c := range t.columns {
		names[i], params[i] = c.name, fmt.Sprintf("$%d", i+1)
		arrays[i] = params[i] + "::" + c.kind.array()
		number[c.name] = params[i]
	}
	columns := strings.Join(names, ", ")
	values := "VALUES (" + strings.Join(params, ", ") + ")"
	unnest := "unnest(" + strings.Join(arrays, ", ") + ") AS v(" + columns + ")"

	saved := func(name string) string { return number[name] }
	from := func(alias string) func(string) string { return func(name string) string { return alias + "." + name } }

	conflict := " ON CONFLICT (" + strings.Join(names[:t.keys], ", ") + ") DO "
	switch set := t.set(from("excluded")); {
	case t.once:
		conflict = ""
	case set == "":
		conflict += "NOTHING"
	case t.versioned:
		conflict += "UPDATE SET " + set + " WHERE t.version = excluded.version" + t.same(from("excluded"))
	case t.newer != "":
		conflict += "UPDATE SET " + set + " WHERE " + t.newer
	default:
		conflict += "UPDATE SET " + set
	}
	into := "INSERT INTO " + t.name + " AS t (" + columns + ") "
	t.insertOne = into + values + conflict
	if t.once {
		t.insertWide = into + "VALUES " + tuples(wide, len(t.columns))
	}
	t.insertMany = into + "SELECT " + columns + " FROM " + unnest + conflict
	if t.versioned {
		t.updateOne = "UPDATE " + t.name + " AS t SET " + t.set(saved) +
			" WHERE t." + names[0] + " = $1 AND t.version IN ($2 - 1, $2)" + t.same(saved)
		t.updateMany = "UPDATE " + t.name + " AS t SET " + t.set(from("v")) + " FROM " + unnest +
			" WHERE t." + names[0] + " = v." + names[0] + " AND t.version IN (v.version - 1, v.version)" + t.same(from("v"))
	}
	return &t
}

// wide is the number of rows in one statement of a database without arrays: it
// halves the time that many rows of a log take.
const wide = 16

// tuples is a list of rows of parameters: "($1, $2), ($3, $4)".
func tuples(rows, columns int) string {
	all := make([]string, rows)
	for r := range all {
		one := make([]string, columns)
		for c := range one {
			one[c] = fmt.Sprintf("$%d", r*columns+c+1)
		}
		all[r] = "(" + strings.Join(one, ", ") + ")"
	}
	return strings.Join(all, ", ")
}

// same is the condition that the fixed columns have the saved values.
func (t table) same(value func(string) string) string {
	var b strings.Builder
	for _, name := range t.fixed {
		b.WriteString(" AND t." + name + " = " + value(name))
	}
	return b.String()
}

// set lists the assignments, with the saved value of a column as value says.
func (t table) set(value func(string) string) string {
	var parts []string
	done := map[string]bool{}
	for _, c := range t.columns[t.keys:] {
		done[c.name] = true
		if slices.Contains(t.fixed, c.name) {
			continue
		}
		expr, ok := t.derived[c.name]
		if !ok {
			expr = value(c.name)
		}
		parts = append(parts, c.name+" = "+t.fill(expr, value))
	}
	for name, expr := range t.derived {
		if !done[name] {
			parts = append(parts, name+" = "+t.fill(expr, value))
		}
	}
	return strings.Join(parts, ", ")
}

// fill replaces {name} by the saved value of that column.
func (t table) fill(expr string, value func(string) string) string {
	for _, c := range t.columns {
		expr = strings.ReplaceAll(expr, "{"+c.name+"}", value(c.name))
	}
	return expr
}
