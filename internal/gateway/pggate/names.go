package pggate

import "stint/internal/gateway/statement"

// origin is a statement that was prepared: its number, and what it is.
type origin struct {
	n       uint64
	classes statement.Classes
}

// The spaces that names are in, as Close says them.
const (
	ofStatements = 'S'
	ofPortals    = 'P'
)

// named is what a message has to do with a name: Parse and Bind give it to what, Close takes
// it, and Execute carries out what has it.
type named struct {
	space byte
	name  string
	of    string // of Bind: the statement's
	what  origin // of Execute: what the record says
}

// names are those of prepared statements and portals. What the server has said that it did
// is there. What it was asked for and has not answered is expected, and no more: it may be
// refused, or skipped. A name that is not remembered, because there are too many, is of
// number 0.
type names struct {
	statements, portals map[string]origin
	asked               map[nameKey]expected
}

type nameKey struct {
	space byte
	name  string
}

// expected is what a name will be of when all is answered that changes it.
type expected struct {
	what    origin
	changes int
}

func newNames() names {
	return names{map[string]origin{}, map[string]origin{}, map[nameKey]expected{}}
}

// will is what a name is of when all is done that was asked.
func (x *names) will(space byte, name string) origin {
	if e, is := x.asked[nameKey{space, name}]; is {
		return e.what
	}
	if space == ofStatements {
		return x.statements[name]
	}
	return x.portals[name]
}

// ask notes what a message is to do.
func (x *names) ask(kind byte, n *named) {
	if kind == 'E' {
		return
	}
	if kind == 'B' {
		n.what = x.will(ofStatements, n.of)
	}
	k := nameKey{n.space, n.name}
	x.asked[k] = expected{n.what, x.asked[k].changes + 1}
}

// settle forgets a message that was asked, answered or not.
func (x *names) settle(kind byte, n *named) {
	if kind == 'E' {
		return
	}
	k := nameKey{n.space, n.name}
	e := x.asked[k]
	if e.changes--; e.changes > 0 {
		x.asked[k] = e
	} else {
		delete(x.asked, k)
	}
}

// apply is that the server did what it was asked.
func (x *names) apply(kind byte, n *named) {
	switch {
	case kind == 'P':
		remember(x.statements, n.name, n.what)
	case kind == 'B':
		remember(x.portals, n.name, x.statements[n.of])
	case kind == 'C' && n.space == ofStatements:
		delete(x.statements, n.name)
	case kind == 'C':
		delete(x.portals, n.name)
	}
}

func remember(names map[string]origin, name string, what origin) {
	if _, there := names[name]; !there && len(names) >= mostNames {
		for some := range names {
			delete(names, some)
			break
		}
	}
	names[name] = what
}
