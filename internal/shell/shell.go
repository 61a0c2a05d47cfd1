// Package shell writes commands so that a person can copy them into a POSIX shell: what
// is put in stays one word, whatever it holds.
package shell

import (
	"strings"
	"unicode"
)

// Word quotes what a shell would not take as one plain word.
func Word(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func plain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.:/@+,", r)
}

// Line is a command in one line. Control characters become spaces: a terminal that is
// pasted into takes some of them for keys, before the shell sees any quote.
func Line(words ...string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = Word(strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
				return ' '
			}
			return r
		}, w))
	}
	return strings.Join(out, " ")
}
