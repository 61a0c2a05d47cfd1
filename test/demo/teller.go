package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// teller prints the story: headings, sentences, commands with their output, and
// checks. Plain text; colour only where the caller says so.
type teller struct {
	w      io.Writer
	colour bool
	pause  time.Duration // after each step, to be read
	checks int

	mu sync.Mutex // a command in the background prints while the story goes on
}

const margin = "    "

func (t *teller) write(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = io.WriteString(t.w, s) // nobody is there to be told
}

func (t *teller) line(s string) { t.write(s + "\n") }

func (t *teller) paint(code, s string) string {
	if !t.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// heading begins a step.
func (t *teller) heading(n int, title, why string) {
	t.line("\n" + t.paint("1", fmt.Sprintf("%2d  %s", n, title)) + "\n" + wrapped(why))
}

// said is a sentence between commands.
func (t *teller) said(s string) { t.line(wrapped(s)) }

// command is what somebody types.
func (t *teller) command(who string, words []string) {
	t.line("\n" + margin + t.paint("2", who+" $") + " " + t.paint("36", typed(words)))
}

// fact is something that was read from the target.
func (t *teller) fact(what, value string) {
	t.line(margin + t.paint("2", what+": ") + value)
}

func (t *teller) good(what string) {
	t.checks++
	t.line(margin + t.paint("32", "✓ ") + what)
}

func (t *teller) bad(what, want, got string) {
	t.line(margin + t.paint("31", "✗ ") + what + "\n" + margin + "  expected: " + want + "\n" + margin + "  but:      " + got)
}

// wrapped breaks a sentence into lines of at most 92 columns, with the margin.
func wrapped(s string) string {
	var b strings.Builder
	width := 0
	for i, w := range strings.Fields(s) {
		switch n := len([]rune(w)); {
		case i == 0:
			b.WriteString(margin + w)
			width = n
		case width+1+n > 92:
			b.WriteString("\n" + margin + w)
			width = n
		default:
			b.WriteString(" " + w)
			width += 1 + n
		}
	}
	return b.String()
}

// typed writes a command as a shell takes it.
func typed(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w
		if w == "" || strings.ContainsAny(w, " '\"$*?;&|<>()#\\") {
			out[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(w) + `"`
		}
	}
	return strings.Join(out, " ")
}

// output shows what a command prints as it comes, with a margin, and keeps it.
type output struct {
	t    *teller
	text bytes.Buffer
	mid  bool // in the middle of a line
}

func (o *output) Write(p []byte) (int, error) {
	o.text.Write(p)
	var b strings.Builder
	for l := range strings.Lines(string(p)) {
		if !o.mid && l != "\n" {
			b.WriteString(margin + "  ")
		}
		b.WriteString(l)
		o.mid = !strings.HasSuffix(l, "\n")
	}
	o.t.write(b.String())
	return len(p), nil
}
