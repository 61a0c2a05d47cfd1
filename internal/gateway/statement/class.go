package statement

import (
	"math/bits"
	"strings"
)

// Classes is a set of classes. The zero value is that of a text without statements.
type Classes uint16

// The classes. A text has those of all that is in it.
const (
	Read        Classes = 1 << iota
	Write               // rows are put in, changed or taken out
	DDL                 // tables, schemas and other objects are made, changed or dropped
	Privilege           // roles, rights, owners; becoming another role
	Call                // something is carried out whose text is not here: a function that is not known, a procedure, what was prepared
	Code                // program text for the server, or a function that carries out a text which it is given
	Server              // the server's files, programs, settings, and others' sessions
	Maintenance         // vacuum, analyze, reindex, locks
	Session             // settings of the session, notifications, advisory locks
	Transaction         // begin, commit, savepoints
	Unknown             // it could not be told
)

var classNames = []string{"read", "write", "ddl", "privilege", "call", "code", "server", "maintenance", "session", "transaction", "unknown"}

// Names are the classes there are.
func Names() []string { return append([]string(nil), classNames...) }

// String names the classes of the set, "" where there are none.
func (c Classes) String() string {
	all := make([]string, 0, bits.OnesCount16(uint16(c)))
	for i, name := range classNames {
		if c&(1<<i) != 0 {
			all = append(all, name)
		}
	}
	return strings.Join(all, "+")
}

// Text is a text that was looked at.
type Text struct {
	Classes Classes
	// Depends says that the words are these only while standard_conforming_strings is on
	// and the client's encoding is UTF-8.
	Depends bool
	// Why says why it could not be looked at, nil where it could.
	Why    error
	tokens []token
	// hints says that a text whose words are not certain could change a password.
	hints bool
}

// Look tells the words of a text, and its classes.
func Look(in string) Text {
	tokens, depends, err := lex(in)
	if err != nil {
		return Text{Classes: Unknown, Why: err, hints: hints(in)}
	}
	t := Text{Depends: depends, tokens: tokens, hints: depends && hints(in)}
	for len(tokens) > 0 {
		n := ends(tokens)
		t.Classes |= classify(tokens[:n], 0)
		tokens = tokens[min(n+1, len(tokens)):]
	}
	return t
}

// ends is where the first statement does: at a semicolon outside of brackets. One that
// opens brackets and does not close them is no statement, and ends everything.
func ends(ts []token) int {
	depth := 0
	for i, t := range ts {
		switch {
		case t.mark("("), t.mark("["):
			depth++
		case t.mark(")"), t.mark("]"):
			depth--
		case t.mark(";") && depth <= 0:
			return i
		}
	}
	return len(ts)
}

const deepest = 8 // statements within statements: EXPLAIN, PREPARE, DECLARE

// first are statements that are known by their first word alone.
var first = table(map[Classes]string{
	Read:                "show fetch move",
	Write:               "truncate",
	Privilege:           "grant revoke reassign security",
	Code:                "do",
	Call:                "execute",
	Code | Server:       "load",
	DDL | Server:        "import",
	DDL:                 "comment",
	Write | Maintenance: "refresh",
	Maintenance:         "vacuum analyze analyse cluster reindex checkpoint lock",
	Session:             "close listen unlisten notify discard deallocate",
	Transaction:         "begin start commit end rollback abort savepoint release",
})

// objects are what CREATE, ALTER and DROP do, by the kind of object.
var objects = table(map[Classes]string{
	DDL: "table view index sequence schema type domain database statistics collation publication " +
		"text materialized large",
	DDL | Code:         "function procedure routine trigger rule aggregate operator cast transform access conversion extension language",
	Privilege:          "role user group policy owned default",
	DDL | Server:       "tablespace server foreign subscription",
	Privilege | Server: "system",
})

// before are words that may stand between CREATE, ALTER or DROP and the kind of object.
var before = set("or replace temp temporary global local unlogged unique recursive constraint trusted procedural event")

func table(of map[Classes]string) map[string]Classes {
	all := map[string]Classes{}
	for c, words := range of {
		for _, w := range strings.Fields(words) {
			all[w] = c
		}
	}
	return all
}

func set(words string) map[string]bool {
	all := map[string]bool{}
	for _, w := range strings.Fields(words) {
		all[w] = true
	}
	return all
}

// classify gives the classes of one statement.
func classify(ts []token, depth int) Classes {
	for len(ts) > 0 && ts[0].mark("(") {
		ts = ts[1:]
	}
	switch {
	case len(ts) == 0:
		return 0
	case ts[0].kind != word, depth > deepest:
		return Unknown
	}
	if c, known := first[ts[0].s]; known {
		return c | within(ts[1:])&(Write|Code|Server|Privilege)
	}
	switch ts[0].s {
	case "select", "values", "table", "with":
		return Read | within(ts)
	case "insert", "update", "delete", "merge":
		return Write | within(ts)
	case "call":
		return Call | within(ts)
	case "explain":
		return Read | classify(afterOptions(ts[1:]), depth+1)
	case "prepare":
		if len(ts) > 2 && ts[1].is("transaction") && (ts[2].kind == text || ts[2].kind == coded) { // it is a name, too
			return Transaction
		}
		return inner(ts, "as", depth)
	case "declare":
		return Read | inner(ts, "for", depth)
	case "copy":
		return copies(ts)
	case "set", "reset":
		return setting(ts)
	case "create", "alter", "drop":
		return object(ts)
	}
	return Unknown
}

// afterOptions leaves out what may stand between EXPLAIN and its statement.
func afterOptions(ts []token) []token {
	if len(ts) > 1 && ts[0].mark("(") && ts[1].kind == word {
		switch ts[1].s {
		case "select", "with", "values", "table":
			return ts
		}
		depth := 0
		for i, t := range ts {
			if t.mark("(") {
				depth++
			} else if t.mark(")") {
				if depth--; depth == 0 {
					return ts[i+1:]
				}
			}
		}
	}
	for len(ts) > 0 && (ts[0].is("analyze") || ts[0].is("analyse") || ts[0].is("verbose")) {
		ts = ts[1:]
	}
	return ts
}

// outside is the first place of one of the words outside of brackets, -1 where there is none.
func outside(ts []token, words ...string) int {
	depth := 0
	for i, t := range ts {
		switch {
		case t.mark("("):
			depth++
		case t.mark(")"):
			depth--
		case depth == 0 && t.kind == word:
			for _, w := range words {
				if t.s == w && i > 0 {
					return i
				}
			}
		}
	}
	return -1
}

// inner are the classes of the statement behind a word.
func inner(ts []token, word string, depth int) Classes {
	i := outside(ts, word)
	if i < 0 {
		return Unknown
	}
	return classify(ts[i+1:], depth+1)
}

// copies is COPY: of a table or of what a statement gives, from or to the client, a file of
// the server's, or a program there.
func copies(ts []token) Classes {
	i := outside(ts, "from", "to")
	if i < 0 || i+1 >= len(ts) {
		return Unknown
	}
	c := Write
	if ts[i].s == "to" {
		c = Read
	}
	if ts[1].mark("(") {
		c |= within(ts[1:i])
	}
	if j := outside(ts[i:], "where"); j >= 0 {
		c |= within(ts[i+j:])
	}
	switch where := ts[i+1]; {
	case where.is("stdin"), where.is("stdout"):
	case where.is("program"):
		c |= Server | Code
	case where.kind == text, where.kind == coded:
		c |= Server
	default:
		c |= Unknown
	}
	return c
}

// setting is SET and RESET. Names of settings are compared without regard to case, quoted
// or not; "role" is one of them.
func setting(ts []token) Classes {
	for _, t := range ts {
		if t.name() && (strings.EqualFold(t.s, "role") || strings.EqualFold(t.s, "session_authorization") || t.is("authorization")) {
			return Privilege
		}
	}
	for _, t := range ts[1:min(3, len(ts))] {
		if t.is("transaction") {
			return Transaction
		}
	}
	return Session
}

// object is CREATE, ALTER and DROP.
func object(ts []token) Classes {
	i := 1
	for i < len(ts) && ts[i].kind == word && before[ts[i].s] {
		i++
	}
	if i >= len(ts) || ts[i].kind != word {
		return Unknown
	}
	c, known := objects[ts[i].s]
	if !known {
		return Unknown
	}
	if ts[0].s == "drop" {
		c &^= Code
	}
	for _, t := range ts[i+1:] {
		switch {
		case t.is("owner"), t.is("authorization"), t.is("security"), t.is("grant"), t.is("privileges"):
			c |= Privilege
		case t.is("trigger") && ts[i].is("schema"): // a schema with what is in it
			c |= Code
		}
	}
	seen := Code | Server
	switch ts[i].s {
	case "table", "view", "materialized", "rule", "schema": // what holds queries; elsewhere the words name events
		seen |= Write
	}
	c |= within(ts[i:]) & seen
	if j := outside(ts[i:], "as"); j >= 0 && seen&Write != 0 && ts[0].is("create") { // what it is made of is carried out
		c |= within(ts[i+j+1:]) & Call
	}
	return c
}

// level is what stands between two brackets, or outside of all.
type level struct{ begun, with, selects bool }

// within are the classes that come from words and functions anywhere in a statement.
func within(ts []token) (c Classes) {
	levels, inserts := make([]level, 1, 8), false
	for i, t := range ts {
		at := &levels[len(levels)-1]
		// Whether a statement can begin with this word: INSERT is a name as well, of a column
		// and of what is selected.
		begins := !at.begun || at.with && !at.selects
		at.with = at.with || !at.begun && t.is("with")
		at.selects = at.selects || t.is("select")
		at.begun = true
		switch {
		case t.mark("("):
			levels = append(levels, level{})
		case t.mark(")") && len(levels) > 1:
			levels = levels[:len(levels)-1]
		}
		var before, after token
		if i > 0 {
			before = ts[i-1]
		}
		if i+1 < len(ts) {
			after = ts[i+1]
		}
		if t.kind == word && !before.mark(".") {
			switch t.s {
			case "insert", "delete", "merge":
				if !before.is("on") { // ON DELETE CASCADE
					c |= Write
				}
			case "update":
				if !before.is("on") && !before.is("for") && (!before.is("key") || i < 2 || !ts[i-2].is("no")) {
					c |= Write
				}
			case "into": // SELECT … INTO makes a table
				if !inserts {
					c |= DDL
				}
			case "execute":
				c |= Call
			}
		}
		inserts = begins && (t.is("insert") || t.is("merge"))
		if t.name() && after.mark("(") {
			c |= function(ts, i)
		}
	}
	return c
}
