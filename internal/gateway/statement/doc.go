// Package statement says what the text of a statement can do to a PostgreSQL server, by
// its words alone, and whether a role's guard denies it.
//
//	text ──lex──► words ──► classes: read, write, ddl, … (advice, for whoever reads a recording)
//	                   └──► guard: no class, table or function that it denies is in the words
//
// It has the server's rules of where a word, a string and a comment begin and end
// (src/backend/parser/scan.l of PostgreSQL 15 to 18), and none of its grammar. So what it says
// errs to one side: a name that a guard denies is found wherever it stands, as a column's or
// as an alias too. What nests, and how deep, does not matter to it, its memory is bounded by the
// text, and a text costs microseconds.
//
// Invariants, each held by a test of this package:
//
//  1. A text whose words cannot be told as the server tells them is of the class unknown, and
//     denied by every guard.
//  2. Where the words depend on a setting of the session, that is said (Text.Depends), and
//     a guard denies the text unless whoever asks knows the setting.
//  3. Classes and names are those of every statement in a text, whatever stands around it.
//
// What a function, a view, a rule or an operator does is not in a text. The database role
// is the control; a guard keeps mistakes small and tells who tries.
package statement
