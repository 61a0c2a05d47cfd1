package httpgate

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"stint/internal/access"
)

const longestTarget = 16 << 10

// target is what a request is for, read in the one way in which it can be read.
type target struct {
	path    string // decoded: what rules judge
	escaped string // the same, as it is sent
	query   string // as it came
}

func (t target) String() string {
	if t.query == "" {
		return t.escaped
	}
	return t.escaped + "?" + t.query
}

func ambiguous(why string) error {
	return access.Fail(access.Invalid, "ambiguous-request", "the request can be read in more than one way, so it is not sent on").Because(why).
		Try("write the path as it is meant, without tricks of spelling")
}

// readTarget reads a request's target (RFC 9112 section 3.2, in origin form only). What
// servers are known to read differently is refused: encoded slashes, dots and percent
// signs, parts that are empty or dots, backslashes, semicolons, what is no UTF-8. What is
// only spelt differently, such as %41 for A, is sent in one spelling.
func readTarget(uri string) (t target, err error) {
	if len(uri) > longestTarget {
		return t, access.Fail(access.Invalid, "too-long", "the request's target is too long")
	}
	if !strings.HasPrefix(uri, "/") {
		return t, ambiguous("its target does not begin with a slash")
	}
	path, query, asked := strings.Cut(uri, "?")
	if asked {
		if err := readQuery(query); err != nil {
			return t, err
		}
		t.query = query
	}
	if t.path, t.escaped, err = readPath(path); err != nil {
		return t, err
	}
	for i, part := range strings.Split(t.path[1:], "/") {
		switch {
		case part == "." || part == "..":
			return t, ambiguous("a part of its path is dots")
		case part == "" && i < strings.Count(t.path, "/")-1:
			return t, ambiguous("a part of its path is empty")
		}
	}
	return t, nil
}

// readQuery refuses what servers take apart differently. It changes nothing.
func readQuery(q string) error {
	for i := range len(q) {
		if q[i] <= ' ' || q[i] >= 0x7f || q[i] == '#' {
			return ambiguous("its query has characters that stand in none")
		}
	}
	if _, err := url.ParseQuery(q); err != nil {
		return ambiguous("its query cannot be taken apart: " + err.Error())
	}
	return nil
}

// readPath decodes a path, and writes it anew.
func readPath(p string) (decoded, escaped string, err error) {
	var d, e strings.Builder
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch {
		case c == '%':
			if i+2 >= len(p) || unhex(p[i+1]) < 0 || unhex(p[i+2]) < 0 {
				return "", "", ambiguous("its path has a percent sign with nothing encoded behind it")
			}
			c = byte(unhex(p[i+1])<<4 | unhex(p[i+2]))
			i += 2
			switch {
			case strings.IndexByte("/\\.;%", c) >= 0:
				return "", "", ambiguous("its path has an encoded " + string(c))
			case c < ' ' || c == 0x7f:
				return "", "", ambiguous("its path has an encoded control character")
			case unreserved(c):
				e.WriteByte(c)
			default:
				writeEscape(&e, c)
			}
		case c == '\\' || c == ';' || c == '#':
			return "", "", ambiguous("its path has a " + string(c))
		case c <= ' ' || c >= 0x7f:
			return "", "", ambiguous("its path has characters that stand in none")
		case unreserved(c) || strings.IndexByte("/!$&'()*+,=:@", c) >= 0:
			e.WriteByte(c)
		default: // what browsers leave as it is: [ ] | ^ and the like
			writeEscape(&e, c)
		}
		d.WriteByte(c)
	}
	if !utf8.ValidString(d.String()) {
		return "", "", ambiguous("its path is no UTF-8")
	}
	return d.String(), e.String(), nil
}

func writeEscape(b *strings.Builder, c byte) {
	const digits = "0123456789ABCDEF"
	b.WriteByte('%')
	b.WriteByte(digits[c>>4])
	b.WriteByte(digits[c&15])
}

// unreserved are the characters that mean the same encoded (RFC 3986 section 2.3). The dot
// is among them, and is refused before, encoded.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
