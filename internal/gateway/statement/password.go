package statement

import "strings"

// mostHinted bounds the texts that are suspected of a password by the letters in them: what
// is longer is data.
const mostHinted = 4 << 10

// hints reports whether the letters are there that a change of a password takes.
func hints(in string) bool {
	if len(in) > mostHinted {
		return false
	}
	in = strings.ToLower(in)
	return strings.Contains(in, "alter") && strings.Contains(in, "password")
}

// SetsPassword reports whether a text changes the password of an account, by its name or as
// the one that the session is. Whoever knows that account's password needs no gateway. known
// is as with Judge; where the words are not certain, the letters count. Program text (DO)
// and functions can hide it.
func (t Text) SetsPassword(account string, known bool) bool {
	if t.hints && (t.Why != nil || !known) {
		return true
	}
	for ts := t.tokens; len(ts) > 0; {
		n := ends(ts)
		if setsPassword(ts[:n], account) {
			return true
		}
		ts = ts[min(n+1, len(ts)):]
	}
	return false
}

// setsPassword is of one statement: ALTER ROLE (or USER, GROUP) name … PASSWORD.
func setsPassword(ts []token, account string) bool {
	if len(ts) < 4 || !ts[0].is("alter") || !ts[1].is("role") && !ts[1].is("user") && !ts[1].is("group") {
		return false
	}
	switch of := ts[2]; {
	case of.is("mapping") && ts[3].is("for"), !of.name(): // of a foreign server; a name that is none is a mistake
		return false
	case of.is("current_user"), of.is("current_role"), of.is("session_user"), same(of.s, account):
	default:
		return false
	}
	for _, t := range ts[3:] {
		switch {
		case t.is("set"), t.is("reset"), t.is("rename"): // other forms, in which the word is a name
			return false
		case t.is("password"):
			return true
		}
	}
	return false
}
