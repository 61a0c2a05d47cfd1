package agent

import (
	"errors"
	"io/fs"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/envelope"
	"stint/internal/roster"
)

// Rosters is where the host says for itself what it does.
type Rosters interface {
	// Roster is the one that counts now; fs.ErrNotExist where the host has none and has
	// never had one.
	Roster() (roster.Roster, error)
}

// admit holds an order to make something against the host's own roster. What it returns
// has to be kept before anything is made: the entry as it was changed, and what was shown.
func (a *Agent) admit(c envelope.Call, o connector.Order, next *entry, known entry, there bool) ([]line, error) {
	if a.Rosters == nil {
		return nil, nil
	}
	r, err := a.Rosters.Roster()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	now := a.Clock.Wall()
	if floor := a.Ledger.floor(); floor.After(now) {
		now = floor
	}
	next.Begun = now.UTC()
	var k roster.Known
	if there {
		e := known.Order
		k = roster.Known{Order: access.Ordered{Mechanism: access.Mechanism(e.Mechanism), Account: e.Account, Rights: e.Rights, Options: e.Options}, Begun: known.Begun, Until: known.Until}
		if !known.Begun.IsZero() {
			next.Begun = known.Begun
		}
		next.Until = known.Until
	}
	var uses []roster.Use
	pins, _ := a.trusted()
	if err == nil {
		err = r.For(pins.Host)
	}
	if err == nil {
		uses, err = r.Judge(roster.Case{Host: pins.Host, Type: a.Connector.Type(), Connection: c.Options, Order: o, Known: k, Now: now,
			Shown: func(d access.Digest) []roster.Use {
				return a.Ledger.shown(func(u roster.Use) bool { return u.Request == d })
			},
			Under: func(t access.Tag) []roster.Use { return a.Ledger.shown(func(u roster.Use) bool { return u.Tag == t }) }})
	}
	if err == nil && !a.Ledger.roomFor(len(uses)) {
		err = access.Fail(access.Unavailable, "ledger-full", "the agent remembers as much of what was shown as it can, and takes no more")
	}
	if err != nil {
		a.Log.Error("ALARM: an order to make something is refused by this host's roster", "id", c.ID, "tag", string(o.Tag), "mechanism", string(o.Mechanism), "account", o.Account, "error", err)
		return nil, err
	}
	var xs []line
	for _, u := range uses {
		xs = append(xs, line{Use: &u})
		if u.Until.After(next.Until) {
			next.Until = u.Until.UTC()
		}
	}
	return xs, nil
}

// shown lists what was shown and is so.
func (l *Ledger) shown(is func(roster.Use) bool) (out []roster.Use) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.uses {
		if is(u) {
			out = append(out, u)
		}
	}
	return out
}

func (l *Ledger) roomFor(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.uses)+n > maxUses {
		l.forget()
	}
	return len(l.uses)+n <= maxUses
}

// Ceiling is what the host's roster lets be done, for the control plane to know; false
// where the host has none.
func (a *Agent) Ceiling() (access.Ceiling, bool) {
	if a.Rosters == nil {
		return access.Ceiling{}, false
	}
	r, err := a.Rosters.Roster()
	if errors.Is(err, fs.ErrNotExist) {
		return access.Ceiling{}, false
	}
	pins, _ := a.trusted()
	if err == nil {
		err = r.For(pins.Host)
	}
	if err != nil {
		return access.Ceiling{Why: err.Error()}, true
	}
	return r.Ceiling, true
}
