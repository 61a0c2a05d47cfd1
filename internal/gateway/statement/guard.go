package statement

import (
	"fmt"
	"slices"
	"strings"
)

// Guard is what a role denies. Its zero value denies nothing, and a guard that denies
// anything denies code and what could not be told, too: what they do cannot be seen.
type Guard struct {
	classes   Classes
	tables    []name
	functions []name
}

// name is a table's or a function's; without a schema it is one of any.
type name struct {
	schema, name string
	holds        bool // it has values of other tables, and is denied with any
}

// holding are tables and views of the server's own in which values of others stand: what the
// planner knows of columns, and what is too large for a row.
var holding = []name{{"pg_catalog", "pg_statistic", true}, {"pg_catalog", "pg_stats", true}, {"pg_catalog", "pg_statistic_ext_data", true},
	{"pg_catalog", "pg_stats_ext", true}, {"pg_catalog", "pg_stats_ext_exprs", true}, {"", "pg_toast", true}}

func (n name) String() string {
	if n.schema == "" {
		return n.name
	}
	return n.schema + "." + n.name
}

// NewGuard makes a guard of the names of classes, tables and functions. Names are written
// as in SQL: hr.salaries, hr."Salaries", salaries.
func NewGuard(classes, tables, functions []string) (Guard, error) {
	var g Guard
	for _, c := range classes {
		i := slices.Index(classNames, c)
		if i < 0 {
			return Guard{}, fmt.Errorf("there is no class %q of statements", c)
		}
		g.classes |= 1 << i
	}
	for _, x := range []struct {
		in  []string
		out *[]name
	}{{tables, &g.tables}, {functions, &g.functions}} {
		for _, s := range x.in {
			n, err := parseName(s)
			if err != nil {
				return Guard{}, err
			}
			*x.out = append(*x.out, n)
		}
	}
	if len(g.tables) > 0 {
		g.tables = append(g.tables, holding...)
	}
	return g, nil
}

func parseName(s string) (name, error) {
	ts, _, err := lex(s)
	switch {
	case err == nil && len(ts) == 1 && ts[0].name():
		return name{name: ts[0].s}, nil
	case err == nil && len(ts) == 3 && ts[0].name() && ts[1].mark(".") && ts[2].name():
		return name{schema: ts[0].s, name: ts[2].s}, nil
	}
	return name{}, fmt.Errorf("%q is no name of a table or function", s)
}

// Denies reports whether there is anything that the guard denies.
func (g *Guard) Denies() bool { return g.classes != 0 || len(g.tables)+len(g.functions) > 0 }

// Refusal says why a text does not pass: by which rule, in a few words, and what to do.
type Refusal struct{ Rule, Why, Next string }

// Judge says whether a text passes. known says that its words are told as the server tells
// them, whatever they depend on. Nil is that it passes.
func (g *Guard) Judge(t Text, known bool) *Refusal {
	if !g.Denies() {
		return nil
	}
	if t.Why != nil {
		return &Refusal{"unknown", "what it does cannot be told: " + t.Why.Error(), "write it in a plainer form, or in parts"}
	}
	if t.Depends && !known {
		return &Refusal{"unknown", "where its strings end depends on settings of the session that are not certain now",
			`send it by itself, with standard_conforming_strings on and client_encoding UTF8, or without backslashes (E'…') and letters beyond ASCII`}
	}
	const elsewhere = "leave that part out, or ask for a role that allows it"
	if c := t.Classes & (g.classes | Code | Unknown); c != 0 {
		why := "the role denies statements of the class " + c.String()
		if c&g.classes == 0 {
			why = "what it does cannot be seen, and the role denies some of what it could do"
		}
		return &Refusal{"class " + c.String(), why, elsewhere}
	}
	shaping := t.Classes&(DDL|Privilege) != 0
	for i, w := range t.tokens {
		if !w.name() {
			continue
		}
		schema, after := "", token{}
		if i > 1 && t.tokens[i-1].mark(".") {
			schema = t.tokens[i-2].s
		}
		dotted := i > 0 && t.tokens[i-1].mark(".")
		if i+1 < len(t.tokens) {
			after = t.tokens[i+1]
		}
		for _, n := range g.tables {
			if same(w.s, n.name) && n.in(schema, dotted) || shaping && n.schema != "" && same(w.s, n.schema) && !after.mark(".") {
				why := "the role denies the table " + n.String() + ", and the statement has its name"
				if n.holds {
					why = "the role denies tables, and " + n.String() + " has values of any"
				}
				return &Refusal{"table " + n.String(), why, elsewhere}
			}
		}
		for _, n := range g.functions {
			called := after.mark("(") && n.in(schema, dotted)
			if same(w.s, n.name) && (called || dotted && !after.mark("(") || shaping) || shaping && n.schema != "" && same(w.s, n.schema) && !after.mark(".") {
				return &Refusal{"function " + n.String(), "the role denies the function " + n.String() + ", and the statement has its name", elsewhere}
			}
		}
	}
	return nil
}

// in reports whether what stands before a name's point can be the schema of n. Where
// nothing stands there, it is found by the search path, which may lead anywhere.
func (n name) in(schema string, dotted bool) bool {
	return !dotted || n.schema == "" || same(schema, n.schema)
}

const (
	longestName = 63 // the server cuts names there, NAMEDATALEN
	shortestCut = 28 // of letters beyond ASCII, which may be longer in the server's encoding
)

// same reports whether the server could take the one, in a statement, for the other. It folds
// letters beyond ASCII in some encodings, and cuts what is long.
func same(in, of string) bool {
	if in == of || len(in) > longestName && len(of) > longestName-4 && strings.HasPrefix(in, of) {
		return true
	}
	for i := range len(in) {
		if in[i] >= 0x80 {
			return strings.EqualFold(in, of) || len(of) >= shortestCut && len(in) > len(of) && strings.EqualFold(in[:len(of)], of)
		}
	}
	return false
}
