package policy

import (
	"fmt"
	"strings"

	"stint/internal/access"
)

// Problem is one thing wrong with a document, and where.
type Problem struct {
	File    string
	Line    int
	Message string // lower case, no full stop
	Hint    string // what would be right; may be empty
}

// String is the form for people: "policy.yaml:31: message; hint".
func (p Problem) String() string {
	s := p.Message
	if p.Hint != "" {
		s += "; " + p.Hint
	}
	if p.File == "" {
		return s
	}
	return source(p.File, p.Line) + ": " + s
}

// Problems is all that is wrong with a set of documents. As an error it is of
// the kind access.Invalid.
type Problems []Problem

// maxShown bounds the text of an error; the slice holds the rest.
const maxShown = 20

func (ps Problems) Error() string {
	var b strings.Builder
	for i, p := range ps {
		if i == maxShown {
			fmt.Fprintf(&b, "\nand %d more", len(ps)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	return b.String()
}

// Unwrap gives doors the one error type that they translate.
func (ps Problems) Unwrap() error {
	return access.Fail(access.Invalid, "invalid-documents", ps.Error())
}

// maxProblems bounds what one call collects, so that a hostile file cannot make
// its report larger than itself.
const maxProblems = 500

// report collects problems of one document.
type report struct {
	file     string
	problems Problems
}

func (r *report) add(line int, hint, format string, args ...any) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, Problem{File: r.file, Line: line, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
}

// err is nil when nothing was reported; a nil Problems in an error is not nil.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	return r.problems
}

// source is the place of something in the documents: "policy.yaml:31".
func source(file string, line int) string { return fmt.Sprintf("%s:%d", file, line) }
