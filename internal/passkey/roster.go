package passkey

import (
	"stint/internal/access"
)

// CodeCounterWentBack is the code of the error that says that a passkey may have a copy.
const CodeCounterWentBack = "counter-went-back"

// Roster is passkeys at one moment, by their names. It checks votes.
type Roster struct {
	keys map[access.PasskeyID]access.Passkey
	used []access.Passkey
}

// NewRoster makes a roster.
func NewRoster(ps ...access.Passkey) *Roster {
	r := &Roster{keys: make(map[access.PasskeyID]access.Passkey, len(ps))}
	for _, p := range ps {
		r.keys[p.ID] = p
	}
	return r
}

// Prove is that of access.Prover.
func (r *Roster) Prove(by access.Person, challenge access.Digest, a access.Assertion, recount bool) (access.Level, error) {
	p, err := r.prove(by, challenge, a, recount)
	if err != nil {
		return access.LevelChat, err
	}
	return p.Level(), nil
}

func (r *Roster) prove(by access.Person, challenge access.Digest, a access.Assertion, recount bool) (access.Passkey, error) {
	p, ok := r.keys[a.Passkey]
	switch {
	case !ok || p.Person != by:
		return p, bad("no-such-passkey", "this is not a passkey of yours").Try("list them with: stint passkey list")
	case p.State != access.PasskeyActive:
		return p, bad("passkey-not-active", "the passkey "+string(p.ID)+" is "+string(p.State)).Try("use another one, or see: stint passkey list")
	}
	counter, err := Verify(a, p.Key, Expect{Challenge: challenge[:], RPID: p.RPID, Origin: p.Origin})
	if err != nil || recount {
		return p, err
	}
	// Where it counts at all, it counts up: a second authenticator with the same key
	// shows in a counter that does not (section 6.1.1).
	if (counter != 0 || p.Counter != 0) && counter <= p.Counter {
		return p, bad(CodeCounterWentBack, "the passkey's counter went back: there may be a copy of it").
			Try("remove it with: stint passkey delete " + string(p.ID) + ", and tell an administrator")
	}
	p.Counter = counter
	r.keys[p.ID] = p
	r.used = append(r.used, p)
	return p, nil
}

// Used are the passkeys that signed something new, with their counters gone on. Who
// asked must keep them, or the same counter would be good again.
func (r *Roster) Used() []access.Passkey { return r.used }

// Active reports whether any of the passkeys can sign.
func (r *Roster) Active() bool {
	for _, p := range r.keys {
		if p.State == access.PasskeyActive {
			return true
		}
	}
	return false
}
