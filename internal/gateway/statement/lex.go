package statement

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// MostText is how many bytes of a text are looked at; a longer one is unknown.
const MostText = 256 << 10

// kind is what a token is.
type kind byte

const (
	word   kind = iota + 1 // an identifier or keyword
	quoted                 // an identifier in double quotes
	text                   // a string that is what stands between its quotes
	coded                  // a string with escapes, or in dollars, or of bits
	other                  // a number, a parameter, an operator, a bracket
)

// token is one word of a text. s is a name as the server compares it, before it is cut to
// 63 bytes, and of a text what stands between its quotes.
type token struct {
	s    string
	kind kind
}

// is reports whether it is one of the server's own words.
func (t token) is(s string) bool { return t.kind == word && t.s == s }

// mark reports whether it is a bracket or another single sign.
func (t token) mark(s string) bool { return t.kind == other && t.s == s }

func (t token) name() bool { return t.kind == word || t.kind == quoted }

var (
	errEnd  = errors.New("a string, name or comment has no end")
	errSign = errors.New("a sign that no statement has")
	errLong = errors.New("it is too long to be looked at")
	errForm = errors.New("a form of writing names or numbers that is not looked at")
)

// lexer reads tokens. Its methods leave at behind what they read.
type lexer struct {
	in     string
	at     int
	tokens []token
	// depends says that another lexer of the server's would tell other words: one with
	// standard_conforming_strings off, or with another client_encoding than UTF-8.
	depends bool
}

const operators = "~!@#^&|`?+-*/%<>="

func blank(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'
}
func newline(c byte) bool { return c == '\n' || c == '\r' }
func digit(c byte) bool   { return c >= '0' && c <= '9' }
func begins(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}
func goesOn(c byte) bool { return begins(c) || digit(c) || c == '$' }

// peek is the byte n behind, 0 where there is none.
func (l *lexer) peek(n int) byte {
	if l.at+n < len(l.in) {
		return l.in[l.at+n]
	}
	return 0
}

func (l *lexer) add(k kind, s string) { l.tokens = append(l.tokens, token{s, k}) }

// lex reads a whole text.
func lex(in string) (tokens []token, depends bool, err error) {
	if len(in) > MostText {
		return nil, false, errLong
	}
	l := &lexer{in: in, tokens: make([]token, 0, len(in)/6+1)}
	for i := range len(in) {
		if in[i] >= 0x80 {
			if !utf8.ValidString(in) {
				return nil, false, errSign
			}
			l.depends = true
			break
		}
	}
	for l.at < len(in) {
		if err := l.one(); err != nil {
			return nil, false, err
		}
	}
	return l.tokens, l.depends, nil
}

// one reads one token, or what stands between two.
func (l *lexer) one() error {
	c := l.in[l.at]
	next := l.peek(1)
	switch {
	case blank(c):
		l.at++
	case c == '-' && next == '-':
		l.line()
	case c == '/' && next == '*':
		return l.comment()
	case c == '\'':
		return l.str(text, false)
	case (c == 'e' || c == 'E') && next == '\'':
		l.at++
		return l.str(coded, true)
	case (c == 'b' || c == 'B' || c == 'x' || c == 'X') && next == '\'':
		l.at++
		return l.str(coded, false)
	case (c == 'n' || c == 'N') && next == '\'':
		l.at++
		return l.str(text, false)
	case (c == 'u' || c == 'U') && next == '&' && (l.peek(2) == '\'' || l.peek(2) == '"'):
		return errForm
	case c == '"':
		return l.identifier()
	case begins(c):
		l.word()
	case digit(c) || c == '.' && digit(next):
		return l.number()
	case c == '$':
		return l.dollar()
	case strings.IndexByte(operators, c) >= 0:
		l.operator()
	case c == ':' && (next == ':' || next == '='), c == '.' && next == '.':
		l.add(other, l.in[l.at:l.at+2])
		l.at += 2
	case strings.IndexByte(",()[].;:", c) >= 0:
		l.add(other, l.in[l.at:l.at+1])
		l.at++
	default:
		return errSign
	}
	return nil
}

// line reads a comment to the end of its line, which stays.
func (l *lexer) line() {
	for l.at < len(l.in) && !newline(l.in[l.at]) {
		l.at++
	}
}

// comment reads one that nests.
func (l *lexer) comment() error {
	depth := 0
	for l.at < len(l.in) {
		switch {
		case l.in[l.at] == '/' && l.peek(1) == '*':
			depth++
			l.at += 2
		case l.in[l.at] == '*' && l.peek(1) == '/':
			depth--
			l.at += 2
			if depth == 0 {
				return nil
			}
		default:
			l.at++
		}
	}
	return errEnd
}

// str reads a string from its quote on, with what continues it: a string on a later line
// belongs to the one before, in the manner of the first.
func (l *lexer) str(k kind, escapes bool) error {
	var all strings.Builder
	for parts := 0; ; parts++ {
		l.at++ // the quote
		begun := l.at
		for {
			if l.at >= len(l.in) {
				return errEnd
			}
			c := l.in[l.at]
			if c == '\\' {
				if escapes {
					l.at += 2
					continue
				}
				l.depends = true // it would escape, with standard_conforming_strings off
			}
			if c == '\'' {
				if l.peek(1) != '\'' {
					break
				}
				l.at++
			}
			l.at++
		}
		part := ""
		if k == text {
			part = strings.ReplaceAll(l.in[begun:l.at], "''", "'")
		}
		l.at++
		more := l.continued()
		if parts == 0 && !more { // as nearly always, and nothing is copied
			l.add(k, part)
			return nil
		}
		all.WriteString(part)
		if !more {
			l.add(k, all.String())
			return nil
		}
	}
}

// continued goes to the quote of what continues a string, if anything does: between the
// two is at least one newline, blanks, and comments to the end of a line.
func (l *lexer) continued() bool {
	was, lines := l.at, 0
	for l.at < len(l.in) {
		switch c := l.in[l.at]; {
		case newline(c):
			lines++
			l.at++
		case blank(c):
			l.at++
		case c == '-' && l.peek(1) == '-':
			l.line()
		case c == '\'' && lines > 0:
			return true
		default:
			l.at = was
			return false
		}
	}
	l.at = was
	return false
}

// identifier reads a name in double quotes.
func (l *lexer) identifier() error {
	l.at++
	begun := l.at
	for l.at < len(l.in) {
		if l.in[l.at] != '"' {
			l.at++
			continue
		}
		if l.peek(1) == '"' {
			l.at += 2
			continue
		}
		s := strings.ReplaceAll(l.in[begun:l.at], `""`, `"`)
		l.at++
		if s == "" {
			return errForm
		}
		l.add(quoted, s)
		return nil
	}
	return errEnd
}

// word reads a name or keyword, in small letters as the server folds it.
func (l *lexer) word() {
	begun, upper := l.at, false
	for l.at < len(l.in) && goesOn(l.in[l.at]) {
		c := l.in[l.at]
		upper = upper || c >= 'A' && c <= 'Z'
		l.at++
	}
	s := l.in[begun:l.at]
	if upper {
		s = lower(s)
	}
	l.add(word, s)
}

// lower folds ASCII letters, and no others.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// number reads a number, and whatever letters stand behind it: the server refuses those.
func (l *lexer) number() error {
	begun := l.at
	for l.at < len(l.in) {
		c := l.in[l.at]
		if c == '.' && l.peek(1) == '.' { // 1..10
			break
		}
		if c >= 0x80 || c == '$' {
			return errForm
		}
		if !goesOn(c) && c != '.' {
			break
		}
		l.at++
		if (c == 'e' || c == 'E') && (l.peek(0) == '+' || l.peek(0) == '-') && digit(l.peek(1)) {
			l.at++
		}
	}
	// An exponent, or the base of a whole number. Everything else is a mistake that the
	// server may tell differently, from release to release.
	s := lower(l.in[begun:l.at])
	if len(s) > 1 && s[0] == '0' && (s[1] == 'x' || s[1] == 'o' || s[1] == 'b') {
		s = strings.Trim(s[2:], "0123456789abcdef_")
	} else {
		mantissa, exponent, _ := strings.Cut(s, "e")
		s = strings.Trim(mantissa, "0123456789_.") + strings.Trim(exponent, "0123456789_+-")
	}
	if s != "" || l.peek(0) == '\'' || l.peek(0) == '"' {
		return errForm
	}
	l.add(other, "0")
	return nil
}

// dollar reads a parameter, or a string between two dollar tags.
func (l *lexer) dollar() error {
	if digit(l.peek(1)) {
		l.at++
		for digit(l.peek(0)) {
			l.at++
		}
		if l.at < len(l.in) && (goesOn(l.in[l.at]) || l.in[l.at] == '\'' || l.in[l.at] == '"') {
			return errForm
		}
		l.add(other, "$")
		return nil
	}
	end := l.at + 1
	for end < len(l.in) && l.in[end] != '$' && goesOn(l.in[end]) {
		end++
	}
	if end >= len(l.in) || l.in[end] != '$' {
		return errSign
	}
	tag := l.in[l.at : end+1]
	size := strings.Index(l.in[end+1:], tag)
	if size < 0 {
		return errEnd
	}
	l.at = end + 1 + size + len(tag)
	l.add(coded, "")
	return nil
}

// operator reads one, up to where a comment begins.
func (l *lexer) operator() {
	begun := l.at
	for l.at < len(l.in) && strings.IndexByte(operators, l.in[l.at]) >= 0 {
		if two := l.in[l.at:min(l.at+2, len(l.in))]; l.at > begun && (two == "--" || two == "/*") {
			break
		}
		l.at++
	}
	l.add(other, l.in[begun:l.at])
}
