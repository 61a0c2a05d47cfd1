package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"charm.land/lipgloss/v2"

	"stint/internal/moment"
)

// printable makes text of unknown origin safe to show: what could move the
// cursor, change colours, reorder or hide text is written as an escape.
func printable(s string) string {
	if !strings.ContainsFunc(s, unsafeRune) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case unsafeRune(r):
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteRune(r)
		}
		s = s[size:]
	}
	return b.String()
}

// unsafeRune holds for controls, formats (bidi overrides, zero widths), private
// use and every space that is not the plain one.
func unsafeRune(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }

// quote is printable text in quotation marks, shortened.
func quote(s string) string { return strconv.Quote(cutEnd(s, 60)) }

// width is the number of columns that s takes.
func width(s string) int { return lipgloss.Width(s) }

// cutMiddle shortens s to at most most columns. Names differ at their ends, so
// the middle goes.
func cutMiddle(s string, most int) string {
	if width(s) <= most {
		return s
	}
	if most < 3 {
		return cutEnd(s, most)
	}
	head := take(s, (most-1+1)/2, false)
	return head + "…" + take(s, most-1-width(head), true)
}

// cutEnd shortens s to at most most columns.
func cutEnd(s string, most int) string {
	if width(s) <= most {
		return s
	}
	if most < 1 {
		return ""
	}
	return take(s, most-1, false) + "…"
}

// take gives the longest part of s from its beginning or its end that takes no
// more than most columns.
func take(s string, most int, fromEnd bool) string {
	runes := []rune(s)
	n := 0
	for n < len(runes) {
		part := string(runes[:n+1])
		if fromEnd {
			part = string(runes[len(runes)-n-1:])
		}
		if width(part) > most {
			break
		}
		n++
	}
	if fromEnd {
		return string(runes[len(runes)-n:])
	}
	return string(runes[:n])
}

// wrap breaks text, made printable, into lines of at most most columns, at spaces.
// A word that is longer gets a line of its own and stays whole, to be copied.
func wrap(s string, most int) (lines []string) {
	for paragraph := range strings.Lines(s) {
		line := ""
		for _, word := range strings.Fields(paragraph) {
			word = printable(word)
			switch {
			case line == "":
				line = word
			case width(line)+1+width(word) > most:
				lines, line = append(lines, line), word
			default:
				line += " " + word
			}
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// left is a time that runs down, as on a clock: 19:12, 1:02:03, 3d 4h.
func left(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	s := int(d.Round(time.Second) / time.Second)
	switch {
	case s >= 48*3600:
		return fmt.Sprintf("%dd %dh", s/86400, s%86400/3600)
	case s >= 3600:
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s%3600/60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// clock is a point in time near now, in the reader's zone; with seconds where
// they matter.
func clock(t, now time.Time) string {
	if t.IsZero() {
		return "–"
	}
	t, now = t.Local(), now.Local()
	switch d := t.Sub(now).Abs(); {
	case d < 2*time.Minute:
		return t.Format("15:04:05")
	case t.YearDay() == now.YearDay() && t.Year() == now.Year():
		return t.Format("15:04")
	case d < 6*24*time.Hour:
		return t.Format("Mon 15:04")
	}
	return t.Format("2006-01-02")
}

// ago is a time relative to now, in words.
func ago(t, now time.Time) string { return moment.Ago(t, now) }

// plural is a number and its word.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// dash stands for a value that is not there.
func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// number is empty for zero, which stands for a number that is not there.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
