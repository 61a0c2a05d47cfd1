package vt

import (
	"strings"
	"unicode"
)

// maxLine is how many characters a line of text may have: a longer one is given in pieces.
const maxLine = 4096

// Stripper makes lines of text of a terminal's output, for search: what was typed over or
// rubbed out in the line is, sequences are dropped, and a cursor that goes elsewhere begins another line.
// Line is called for each that is not blank.
type Stripper struct {
	Line func(text string)

	parser    parser
	line      []rune
	at        int
	alternate bool
}

// Alternate says whether a program shows the alternate screen, as editors do.
func (s *Stripper) Alternate() bool { return s.alternate }

// Write reads bytes. It never fails.
func (s *Stripper) Write(b []byte) (int, error) {
	s.parser.feed(b, s)
	return len(b), nil
}

// Flush gives the line that has not ended yet.
func (s *Stripper) Flush() {
	text := strings.TrimRight(string(s.line), " ")
	s.line, s.at = s.line[:0], 0
	if text != "" {
		s.Line(text)
	}
}

// Text is the line that has not ended yet.
func (s *Stripper) Text() string { return strings.TrimRight(string(s.line), " ") }

func (s *Stripper) print(r rune) {
	r, _ = widthOf(r)
	if r == 0 || unicode.In(r, unicode.Mn, unicode.Me) && s.at == 0 {
		return
	}
	if s.at >= maxLine {
		s.Flush()
	}
	for len(s.line) < s.at {
		s.line = append(s.line, ' ')
	}
	if s.at < len(s.line) {
		s.line[s.at] = r
	} else {
		s.line = append(s.line, r)
	}
	s.at++
}

func (s *Stripper) control(b byte) {
	switch b {
	case '\n', '\v', '\f':
		s.Flush()
	case '\r':
		s.at = 0
	case '\b':
		s.at = max(0, s.at-1)
	case '\t':
		s.print(' ')
	}
}

func (s *Stripper) escape(inter, final byte) {
	if inter == 0 && (final == 'D' || final == 'E' || final == 'M' || final == 'c') {
		s.Flush()
	}
}

func (s *Stripper) sequence(p *parser, final byte) {
	if p.inter != 0 || p.prefix != 0 && p.prefix != '?' {
		return
	}
	n := p.count()
	switch final {
	case 'C':
		s.at = min(maxLine, s.at+n)
	case 'D':
		s.at = max(0, s.at-n)
	case 'G':
		s.at = min(maxLine, n-1)
	case 'K':
		if s.at < len(s.line) && p.param(0, 0) == 0 {
			s.line = s.line[:s.at]
		}
	case 'P':
		if s.at < len(s.line) {
			s.line = append(s.line[:s.at], s.line[min(len(s.line), s.at+n):]...)
		}
	case '@':
		if s.at < len(s.line) && len(s.line)+n <= maxLine {
			s.line = append(s.line, make([]rune, n)...)
			copy(s.line[s.at+n:], s.line[s.at:])
			for i := range n {
				s.line[s.at+i] = ' '
			}
		}
	case 'A', 'B', 'E', 'F', 'H', 'd', 'f', 'J', 'L', 'M', 'S', 'T', 'r':
		s.Flush()
	case 'h', 'l':
		if m := p.param(0, 0); p.prefix == '?' && (m == 1049 || m == 1047 || m == 47) {
			s.Flush()
			s.alternate = final == 'h'
		}
	}
}
