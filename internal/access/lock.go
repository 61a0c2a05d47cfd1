package access

import "time"

// Lock keeps a principal out until an administrator takes it away: nobody signs in as it,
// and nothing new is granted to it. Whatever else it has stays: groups, passkeys, tokens,
// who answers for it. It stands beside Disabled, which a provider may set and take away: no
// provider lets in who is locked. The zero value is none.
type Lock struct {
	With PrincipalID // whose lock it is: the principal's own, or that of the user who answers for it
	By   PrincipalID // who locked it
	Why  string
	At   time.Time
}

// Is reports whether there is one.
func (l Lock) Is() bool { return l.With != "" }

// Bar locks the principal. One that is locked already stays as it is: what was locked for
// itself is not let in with who answers for it.
func (p Principal) Bar(l Lock) (Principal, bool) {
	if p.Lock.Is() {
		return p, false
	}
	p.Lock = l
	p.Version++
	return p, true
}

// Unbar takes away the lock of a principal, from itself or from one that it answers for.
func (p Principal) Unbar(with PrincipalID) (Principal, bool) {
	if !p.Lock.Is() || p.Lock.With != with {
		return p, false
	}
	p.Lock = Lock{}
	p.Version++
	return p, true
}
