package words

import (
	"regexp"
	"time"
)

// Sentences of policy and of the control plane name people, groups and times as documents
// and the log do, for the command line prints the same ones. On a page they are told as
// people say them: "dba" and not "group:dba", and times in the reader's zone. What stands in
// quotes is somebody's text, or a piece of a document, and stays as it is.

// Part is a piece of a sentence: text, or a time.
type Part struct {
	Text string
	At   time.Time // set where it is a time
}

var (
	sentenceTime    = regexp.MustCompile(`\b\d{4}-\d\d-\d\d(?: \d\d:\d\d UTC|T\d\d:\d\d:\d\d(?:\.\d+)?Z)\b`)
	sentenceSubject = regexp.MustCompile(`(^|[\s(])((?:user|group|service|agent|oncall):[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)\b`)
	quoted          = regexp.MustCompile("\"[^\"]*\"|`[^`]*`|'[^' ]+'")
)

// Sentence is a sentence in its parts.
func Sentence(text string) (parts []Part) {
	from := 0
	for _, q := range append(quoted.FindAllStringIndex(text, -1), []int{len(text), len(text)}) {
		parts = plainParts(parts, text[from:q[0]])
		if q[0] < q[1] {
			parts = append(parts, Part{Text: text[q[0]:q[1]]})
		}
		from = q[1]
	}
	return parts
}

func plainParts(parts []Part, text string) []Part {
	say := func(s string) {
		if s != "" {
			parts = append(parts, Part{Text: sentenceSubject.ReplaceAllStringFunc(s, func(m string) string {
				x := sentenceSubject.FindStringSubmatch(m)
				return x[1] + Subject(x[2])
			})})
		}
	}
	from := 0
	for _, m := range sentenceTime.FindAllStringIndex(text, -1) {
		at, err := time.Parse("2006-01-02 15:04 UTC", text[m[0]:m[1]])
		if err != nil {
			at, err = time.Parse(time.RFC3339, text[m[0]:m[1]])
		}
		if err != nil { // no such day
			continue
		}
		say(text[from:m[0]])
		parts, from = append(parts, Part{Text: text[m[0]:m[1]], At: at}), m[1]
	}
	say(text[from:])
	return parts
}

// Plain is a sentence as one text, with its times as they were.
func Plain(text string) (out string) {
	for _, p := range Sentence(text) {
		out += p.Text
	}
	return out
}
