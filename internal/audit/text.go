package audit

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// appendText appends valid UTF-8 as a JSON string in the one form this format
// has: characters that a terminal would obey or hide are escaped, all others
// stand for themselves.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0 // s[from:i] needs no escape and is not yet appended
	for i := 0; i < len(s); {
		c, n := rune(s[i]), 1
		if c >= utf8.RuneSelf {
			c, n = utf8.DecodeRuneInString(s[i:])
		}
		if escaped(c) {
			dst = append(dst, s[from:i]...)
			dst = appendEscape(dst, c)
			from = i + n
		}
		i += n
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// escaped is part of the format. It is spelled out, and not taken from
// Unicode's tables, because those change from one version to the next.
func escaped(c rune) bool {
	switch {
	case c < 0x7f:
		return c < 0x20 || c == '"' || c == '\\'
	case c <= 0x9f: // DEL and C1 controls
		return true
	case c < 0x61c:
		return false
	}
	return c == 0x61c || c == 0x180e || // invisible, and marks of direction
		c >= 0x200b && c <= 0x200f || c >= 0x2028 && c <= 0x202e ||
		c >= 0x2060 && c <= 0x206f || c == 0xfeff || c >= 0xfff9 && c <= 0xfffb
}

func appendEscape(dst []byte, c rune) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', byte(c))
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[c>>12&15], hex[c>>8&15], hex[c>>4&15], hex[c&15])
}

// scanner takes a line of this format apart. It is lenient where that is
// simpler: whoever uses it encodes the result again and compares, and that
// comparison is what makes reading strict. After a failure everything it
// returns is zero.
type scanner struct {
	rest   []byte
	failed bool
}

// lit takes exactly the given text.
func (s *scanner) lit(text string) {
	if s.failed || len(s.rest) < len(text) || string(s.rest[:len(text)]) != text {
		s.fail()
		return
	}
	s.rest = s.rest[len(text):]
}

// next reports whether c comes next, and takes it.
func (s *scanner) next(c byte) bool {
	if s.failed || len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// text takes a JSON string.
func (s *scanner) text() string {
	if !s.next('"') {
		s.fail()
		return ""
	}
	quote := bytes.IndexByte(s.rest, '"')
	if quote >= 0 && bytes.IndexByte(s.rest[:quote], '\\') < 0 {
		t := string(s.rest[:quote])
		s.rest = s.rest[quote+1:]
		return t
	}
	for i := 0; i < len(s.rest); i++ {
		switch s.rest[i] {
		case '\\':
			i++
		case '"':
			// The escapes this format writes mean the same in Go; others do not
			// survive the comparison.
			t, err := strconv.Unquote(`"` + string(s.rest[:i]) + `"`)
			if err != nil {
				s.fail()
				return ""
			}
			s.rest = s.rest[i+1:]
			return t
		}
	}
	s.fail()
	return ""
}

// number takes a whole number that is not negative.
func (s *scanner) number() int64 {
	i := 0
	for i < len(s.rest) && i < 20 && '0' <= s.rest[i] && s.rest[i] <= '9' {
		i++
	}
	n, err := strconv.ParseInt(string(s.rest[:i]), 10, 64)
	if s.failed || err != nil {
		s.fail()
		return 0
	}
	s.rest = s.rest[i:]
	return n
}

// done reports whether everything was taken and nothing failed.
func (s *scanner) done() bool { return !s.failed && len(s.rest) == 0 }

func (s *scanner) fail() { s.rest, s.failed = nil, true }
