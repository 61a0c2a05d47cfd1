package workload

import (
	"errors"
	"slices"
	"strings"
)

// Condition is what one claim has to be: one of the texts of Is, or a text that one of
// the patterns of Like describes. One of the two is empty.
type Condition struct {
	Claim string
	Is    []string
	Like  []string
}

// Conditions hold together.
type Conditions []Condition

// Hold reports whether claims meet every condition. Without a condition they never do.
func (cs Conditions) Hold(c Claims) bool {
	if len(cs) == 0 {
		return false
	}
	return !slices.ContainsFunc(cs, func(x Condition) bool { return !x.holds(c) })
}

func (x Condition) holds(c Claims) bool {
	text, there := c[x.Claim]
	if !there || text == "" {
		return false
	}
	return slices.Contains(x.Is, text) || slices.ContainsFunc(x.Like, func(p string) bool { return CheckPattern(p) == nil && match(p, text) })
}

// Failing names the first claim that does not meet its condition, for the server's own
// log; empty when all do.
func (cs Conditions) Failing(c Claims) string {
	for _, x := range cs {
		if !x.holds(c) {
			return x.Claim
		}
	}
	return ""
}

// CheckName says what is wrong with the name of a claim, or nil.
func CheckName(name string) error {
	if name == "" || len(name) > maxName || !printable(name) || strings.ContainsAny(name, " *") {
		return errors.New("is not the name of a claim: visible ASCII without spaces; within an object write object/name")
	}
	return nil
}

// CheckText says what is wrong with a text that a claim has to be, or nil.
func CheckText(text string) error {
	switch {
	case text == "" || len(text) > maxText || !printable(text):
		return errors.New("is not the text of a claim: 1 to 1024 bytes of visible ASCII")
	case strings.Contains(text, "*"):
		return errors.New("holds a star, which is one here: patterns stand under like")
	}
	return nil
}

// separators part the names in a claim: corp/orders, system:serviceaccount:web:batch.
const separators = "/:"

// CheckPattern says what is wrong with a pattern, or nil. A star is a run, which may be
// empty, within one part of the text: it passes over no "/" and no ":". Two stars, at
// the end and after a "/" or ":", are all that follows, and something does.
func CheckPattern(p string) error {
	stars := strings.Count(p, "*")
	body := p
	switch {
	case p == "" || len(p) > maxText || !printable(p):
		return errors.New("is not a pattern: 1 to 1024 bytes of visible ASCII")
	case stars == 0:
		return errors.New("holds no star; texts stand under claims")
	case strings.Contains(p, "***"):
		return errors.New("holds three stars")
	case strings.Contains(p, "**"):
		var ok bool
		if body, ok = strings.CutSuffix(p, "**"); !ok || strings.Contains(body, "**") || body == "" || !strings.ContainsRune(separators, rune(body[len(body)-1])) {
			return errors.New("holds two stars that are not at its end, after a / or a :, so that names which only begin alike would fit")
		}
	}
	if strings.Trim(body, "*"+separators) == "" {
		return errors.New("fits every text, which is no condition")
	}
	return nil
}

// match reports whether a pattern that CheckPattern accepts describes the whole text.
func match(p, text string) bool {
	for {
		i := strings.IndexByte(p, '*')
		switch {
		case i < 0:
			return p == text
		case len(text) < i || text[:i] != p[:i]:
			return false
		}
		text, p = text[i:], p[i+1:]
		if p == "*" { // the second of two, which are the end
			return text != ""
		}
		// The star ends where the next part begins; a part is short, so all places
		// where it can end are tried.
		end := strings.IndexAny(text, separators)
		if end < 0 {
			end = len(text)
		}
		if !strings.Contains(p, "*") { // the rest is text: there is one place
			return len(text) >= len(p) && len(text)-len(p) <= end && strings.HasSuffix(text, p)
		}
		next := p[:strings.IndexByte(p, '*')]
		if strings.ContainsAny(next, separators) { // the star ends at the first of it
			lead := strings.IndexAny(next, separators)
			if end-lead < 0 || !strings.HasPrefix(text[end-lead:], next) {
				return false
			}
			text = text[end-lead:]
			continue
		}
		// Within one part, the earliest place leaves most to the stars that follow.
		at := strings.Index(text[:end], next)
		if at < 0 {
			return false
		}
		text = text[at:]
	}
}

// Certificate is what has to be in a client certificate: names of RFC 5280 section
// 4.2.1.6. The subject's common name is never looked at.
type Certificate struct {
	URI string // the only URI in it: spiffe://corp.example/batch
	DNS string // one of the host names in it
}

// Names are those of a verified certificate.
type Names struct {
	URIs, DNS []string
}

// Holds reports whether a certificate has the names. Nothing asked is held by none.
// With several URIs it is not one identity (SPIFFE X509-SVID section 2).
func (c Certificate) Holds(n Names) bool {
	if c.URI == "" && c.DNS == "" {
		return false
	}
	return (c.URI == "" || len(n.URIs) == 1 && n.URIs[0] == c.URI) && (c.DNS == "" || slices.Contains(n.DNS, c.DNS))
}
