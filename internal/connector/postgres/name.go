package postgres

import (
	"strings"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
)

// The names of what we make. The longest is an account's: 6 + 12 + 1 + 43 = 62
// bytes, one less than what PostgreSQL keeps of a name.
const (
	prefix           = "stint_"
	groupPrefix      = "stintmark_group_" // no person's name can make an account look like a mark
	enablePrefix     = "stintmark_enable_"
	checkoutPrefix   = "stintmark_checkout_"
	quarantinePrefix = "stintquarantine_"
	claimRole        = "stint_claim"
	proofRole        = "stint_claim_proof"

	slugLen = 12
	tagLen  = 26 + 1 + 16 // ULID, "_", MAC
	maxName = 63          // NAMEDATALEN - 1
)

// accountName is the name of the account of one order. The person is there for
// who reads the target's catalogue; only the tag identifies.
func accountName(p access.Person, tag access.Tag) string {
	slug := []byte(p)[:min(len(p), slugLen)]
	for i, c := range slug {
		if !lowerAlnum(c) {
			slug[i] = '_'
		}
	}
	return prefix + string(slug) + "_" + string(tag)
}

// accountTag reads the tag from the end of an account's name; ok is false where
// the name is not in the form of accountName.
func accountTag(name string) (tag access.Tag, ok bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok || len(rest) < tagLen+1 || len(rest) > slugLen+1+tagLen {
		return "", false
	}
	slug, tag := rest[:len(rest)-tagLen-1], access.Tag(rest[len(rest)-tagLen:])
	if rest[len(slug)] != '_' || !validTag(tag) {
		return "", false
	}
	for i := range len(slug) {
		if !lowerAlnum(slug[i]) && slug[i] != '_' {
			return "", false
		}
	}
	return tag, true
}

// markName is the name of the mark of one order on a standing account.
func markName(m access.Mechanism, tag access.Tag) string {
	switch m {
	case access.Enable:
		return enablePrefix + string(tag)
	case access.Checkout:
		return checkoutPrefix + string(tag)
	}
	return groupPrefix + string(tag)
}

// markTag reads the mechanism and the tag of a mark.
func markTag(name string) (access.Mechanism, access.Tag, bool) {
	if t, ok := strings.CutPrefix(name, groupPrefix); ok {
		return access.Member, access.Tag(t), validTag(access.Tag(t))
	}
	if t, ok := strings.CutPrefix(name, enablePrefix); ok {
		return access.Enable, access.Tag(t), validTag(access.Tag(t))
	}
	if t, ok := strings.CutPrefix(name, checkoutPrefix); ok {
		return access.Checkout, access.Tag(t), validTag(access.Tag(t))
	}
	return "", "", false
}

// validTag reports whether t has the form of a tag, which keeps every name made
// from it within 63 bytes and free of anything to quote.
func validTag(t access.Tag) bool {
	if len(t) != tagLen {
		return false
	}
	for i := range len(t) {
		if i == 26 {
			if t[i] != '_' {
				return false
			}
		} else if !lowerAlnum(t[i]) {
			return false
		}
	}
	return true
}

// reserved reports whether a name is in one of our forms, and so can neither be
// lent nor be lent to.
func reserved(name string) bool {
	_, account := accountTag(name)
	_, _, mark := markTag(name)
	return account || mark || name == claimRole || name == proofRole || strings.HasPrefix(name, quarantinePrefix)
}

// checkName refuses names that PostgreSQL would not take as they are. It cuts
// those that are too long without an error, which could make one name another.
func checkName(what, name string) error {
	switch {
	case name == "":
		return access.Fail(access.Invalid, "bad-role-name", "the name of a "+what+" is empty")
	case len(name) > maxName:
		return access.Fail(access.Invalid, "bad-role-name", "the name of a "+what+" is longer than 63 bytes")
	case strings.ContainsRune(name, 0):
		return access.Fail(access.Invalid, "bad-role-name", "the name of a "+what+" has a NUL byte")
	case name == "public" || name == "none":
		// PostgreSQL reads these two as keywords even in quotes.
		return access.Fail(access.Invalid, "bad-role-name", name+" is not a "+what)
	}
	return nil
}

func lowerAlnum(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// ident quotes an identifier.
func ident(name string) string { return pgx.Identifier{name}.Sanitize() }

// idents quotes a list of identifiers.
func idents(names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = ident(n)
	}
	return strings.Join(q, ", ")
}

// literal quotes a string. Our connections set standard_conforming_strings, so
// a quote is all that can end it. (A NUL cannot be sent: pgx refuses it.)
func literal(s string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(s, "\x00", ""), "'", "''") + "'"
}
