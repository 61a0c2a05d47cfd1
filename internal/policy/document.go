package policy

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"stint/internal/access"
)

// File is a file of documents, as given to Parse.
type File struct{ Name, Text string }

// The kinds of document.
const (
	KindResource = "Resource"
	KindRole     = "Role"
	KindPolicy   = "Policy"
	KindSchedule = "Schedule"
	// KindIntegration is for what is outside and Stint talks with.
	KindIntegration = "Integration"
	// KindWorkload is for which programs a service is.
	KindWorkload = "Workload"
	// KindBundle is for several things that are asked for together.
	KindBundle = "Bundle"
)

var kinds = []string{KindResource, KindRole, KindPolicy, KindSchedule, KindIntegration, KindWorkload, KindBundle}

// Document is one document as it was written. Its Text is what is stored and
// versioned; everything else is read from it again by Compile.
type Document struct {
	Kind   string // Resource, Role, Policy, Schedule, Integration, Workload or Bundle
	Name   string
	File   string // where it came from, for people
	Line   int    // of the first line of Text in File
	Text   string // the YAML of this document alone
	Author access.PrincipalID
}

// entry is a document and what it says; exactly one of the others is set.
type entry struct {
	doc         Document
	resource    *Resource
	role        *Role
	rule        *Rule
	schedule    *Schedule
	integration *Integration
	workload    *Workload
	bundle      *Bundle
}

// Parse splits files into documents and checks the form of each: fields, names,
// values. It does not know other documents or types of resource; Compile does.
// The error is Problems.
func Parse(files []File) ([]Document, error) {
	var docs []Document
	var problems Problems
	seen := register{}
	for _, f := range files {
		r := &report{file: f.Name}
		for _, d := range split(r, f) {
			if len(docs) == maxDocuments {
				r.add(d.Line, "", "more than %d documents", maxDocuments)
				break
			}
			e, ok := readDocument(r, d, catalogue{})
			if ok && seen.first(r, e.doc) {
				docs = append(docs, e.doc)
			}
		}
		problems = append(problems, r.problems...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return docs, nil
}

func key(d Document) string { return d.Kind + "/" + d.Name }

// register notes the documents seen, and reports the second of a kind and name.
type register map[string]Document

func (seen register) first(r *report, d Document) bool {
	if before, dup := seen[key(d)]; dup {
		r.add(d.Line, "", "%s %s is defined twice, first at %s", d.Kind, d.Name, source(before.File, before.Line))
		return false
	}
	seen[key(d)] = d
	return true
}

// split cuts a file at its "---" lines. Only "\n" and "\r\n" end lines here; the
// other line breaks that YAML knows are refused as unprintable, or a document
// could hide behind one.
func split(r *report, f File) []Document {
	if len(f.Text) > maxFileSize {
		r.add(1, "split it", "the file is larger than %d KiB", maxFileSize>>10)
		return nil
	}
	text := strings.ReplaceAll(strings.TrimPrefix(f.Text, "\ufeff"), "\r\n", "\n")
	if !utf8.ValidString(text) {
		r.add(1, "", "the file is not UTF-8 text")
		return nil
	}
	if i := strings.IndexFunc(text, unprintable); i >= 0 {
		c, _ := utf8.DecodeRuneInString(text[i:])
		r.add(1+strings.Count(text[:i], "\n"), "", "the file holds a character that does not print: %U", c)
		return nil
	}
	var docs []Document
	var body strings.Builder
	start, line := 0, 0
	flush := func() {
		if start > 0 {
			docs = append(docs, Document{File: f.Name, Line: start, Text: strings.TrimRight(body.String(), " \t\n") + "\n"})
		}
		start = 0
		body.Reset()
	}
	content := false // the document has more than comments
	for l := range strings.Lines(text) {
		line++
		bare := strings.TrimSpace(l)
		if rest, ok := marker(l, "---"); ok {
			if !content {
				start = 0
			}
			flush()
			content = false
			if rest != "" && rest[0] != '#' {
				r.add(line, "begin the document in the next line", "text after ---")
			}
			continue
		}
		if _, ok := marker(l, "..."); ok {
			r.add(line, "separate documents with ---", "the end marker ... is not accepted")
			return nil
		}
		if bare == "" && start == 0 {
			continue
		}
		if start == 0 {
			start = line
		}
		content = content || bare != "" && bare[0] != '#'
		body.WriteString(l)
	}
	if content {
		flush()
	}
	return docs
}

// marker reports whether the line is the given document marker, and what else
// stands on it.
func marker(line, mark string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(line, mark)
	if !ok || rest != "" && !strings.ContainsRune(" \t\n", rune(rest[0])) {
		return "", false
	}
	return strings.TrimSpace(rest), true
}

// readDocument reads one document's text. Without schemas the sections of
// connectors are read, but their options are not checked.
func readDocument(r *report, d Document, schemas catalogue) (entry, bool) {
	before := len(r.problems)
	if len(d.Text) > maxDocumentSize {
		r.add(d.Line, "", "the document is larger than %d KiB", maxDocumentSize>>10)
		return entry{}, false
	}
	n, ok := parseYAML(r, d.Text, d.Line)
	if !ok {
		return entry{}, false
	}
	f := newForm(r, "the document", n.Line, n)
	if len(f.fields) > 0 {
		f.line = f.fields[0].line
	}
	kind, ok := f.must("kind")
	if !ok {
		return entry{}, false
	}
	if d.Kind = oneOf(r, "kind", kind, "", kinds); d.Kind == "" {
		return entry{}, false
	}
	f.what = "the " + d.Kind
	d.Name = f.name("name")
	f.what = fmt.Sprintf("%s %s", d.Kind, d.Name)

	e := entry{doc: d}
	src := place{file: d.File, line: f.line, raw: d.Text, first: d.Line}
	switch d.Kind {
	case KindResource:
		e.resource = readResource(f, src, schemas.resources)
	case KindRole:
		e.role = readRole(f, src, schemas.resources)
	case KindPolicy:
		e.rule = readRule(f, src, schemas.resources)
	case KindIntegration:
		e.integration = readIntegration(f, src, schemas.integrations)
	case KindSchedule:
		e.schedule = readSchedule(f, src)
	case KindBundle:
		e.bundle = readBundle(f, src)
	case KindWorkload:
		e.workload = readWorkload(f, src)
	}
	f.close()
	return e, len(r.problems) == before
}

// place is where a document stands.
type place struct {
	file  string
	line  int    // of the document's first field
	raw   string // its text, and the line in file where that begins
	first int
}

func (p place) String() string { return source(p.file, p.line) }

// at is another line of the same document.
func (p place) at(line int) string { return source(p.file, line) }
