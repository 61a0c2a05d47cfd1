package statement

// hints reports whether the letters of a change of a password are there: ALTER, ROLE or its
// like with nothing but blanks and comments between, and PASSWORD behind it. It is for texts
// whose words are not certain, of any length, for what is around it can be made longer than
// anything is looked at. More comments than are worth to be read are as good as these letters.
func hints(in string) bool {
	work := 8*len(in) + 4096
	for i := 0; i+len("alter") < len(in); i++ {
		if !letters(in[i:], "alter") {
			continue
		}
		at := apart(in, i+len("alter"))
		if work -= at - i; work < 0 {
			return true
		}
		for _, w := range []string{"role", "user", "group"} {
			if !letters(in[at:], w) {
				continue
			}
			for at += len(w); at < len(in); at++ { // what it does not find here is behind no other either
				if letters(in[at:], "password") {
					return true
				}
			}
			return false
		}
	}
	return false
}

// letters reports whether a text begins with these small letters, written in any way.
func letters(in, word string) bool {
	if len(in) < len(word) {
		return false
	}
	for i := range len(word) {
		if in[i]|0x20 != word[i] {
			return false
		}
	}
	return true
}

// apart is where the blanks and comments end that begin at a place.
func apart(in string, at int) int {
	l := lexer{in: in, at: at}
	for l.at < len(in) {
		switch c := in[l.at]; {
		case blank(c):
			l.at++
		case c == '-' && l.peek(1) == '-':
			l.line()
		case c == '/' && l.peek(1) == '*':
			if l.comment() != nil {
				return len(in)
			}
		default:
			return l.at
		}
	}
	return len(in)
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
