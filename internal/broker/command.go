package broker

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
)

// Ran is a command that a host says it ran under an order of elevation.
type Ran struct {
	ID             access.SessionID
	Entitlement    access.EntitlementID
	Tag            access.Tag
	Account, RunAs string
	Line           string // the program and its arguments
	Terminal       bool
	Began          time.Time          // by the host's clock
	Ended          *access.CommandEnd // nil while it runs
}

// clocksApart is how far a host's clock may be ahead of the store's: further, and its calls
// are not taken at all.
const clocksApart = time.Hour

// lateCommands bounds what a host tells of, in all, after a grant's end: it may have been away
// for long, and what is told now of then was not seen by anybody else.
const lateCommands = 1000

// TakeCommand writes down that a host runs a command, and how it ended, as a session: each
// once, however often it is told. What is not of an order for that host is refused for good,
// with access.Invalid.
func (b *Broker) TakeCommand(ctx context.Context, h access.Host, r Ran) error {
	return b.update(ctx, func(tx Tx, fx *effects) error {
		if !access.ValidSessionID(r.ID, tx.Now().Add(clocksApart)) || r.Ended != nil && r.Ended.Root != "" && len(r.Ended.Root) != 64 {
			return access.Fail(access.Invalid, "bad-command", "the report is not in the form of one")
		}
		o, err := orderOf(tx, h, r)
		if err != nil {
			return err
		}
		e, g := o.Entitlement, o.Grant
		by := access.System
		by.Device = h.Agent
		s, err := tx.Session(r.ID)
		switch {
		case missing(err):
			if err := roomForCommand(tx, h, o); err != nil {
				return err
			}
			s = access.Session{ID: r.ID, Gateway: access.HostCarrier(h.Name), Protocol: access.Elevation, Grant: g.ID, Request: g.Request, Principal: g.Principal, Person: e.Person, Role: g.Role,
				Resource: e.Target.Resource, Address: e.Target.Connection.Address, Account: clean(r.Account), Held: e.ID, Keeps: true, Strict: true, OverAt: g.ExpiresAt,
				Command: access.Command{Line: clean(r.Line), RunAs: clean(r.RunAs), Terminal: r.Terminal}}
			var ev access.Event
			s, ev = s.Begin(by, r.Began, o.till, o.grants, tx.Now())
			fx.event(ev)
			if err := tx.SaveSessions(s); err != nil {
				return err
			}
		case err != nil:
			return err
		case s.Gateway != access.HostCarrier(h.Name) || s.Held != e.ID: // another's, of which it hears nothing
			return errNoOrder
		}
		if r.Ended == nil || !s.ClosedAt.IsZero() && s.Reason != access.SessionLost {
			fx.changed = append(fx.changed, s.Request)
			return nil // it was told before
		}
		end := *r.Ended
		end.Cut, end.Signal, end.Root, end.Began, end.Till, end.Grants = clean(end.Cut), clean(end.Signal), clean(end.Root), r.Began, o.till, o.grants
		s, ev, err := s.Exit(by, end, tx.Now())
		if err != nil {
			return err
		}
		fx.event(ev)
		fx.changed = append(fx.changed, s.Request)
		return tx.SaveSessions(s)
	})
}

// errNoOrder does not say which of its facts was wrong: that is nobody's business who guesses.
var errNoOrder = access.Fail(access.Invalid, "no-such-order", "there is no order for this host by which that command could have run")

// order is what a host ran a command by.
type order struct {
	access.Entitlement
	access.Grant           // that it counts for
	grants       string    // all that hold it: where a standing account is lent to several persons, the host knows the account alone
	till         time.Time // when the last of them ends, or has ended
}

// orderOf finds it.
func orderOf(tx Tx, h access.Host, r Ran) (o order, err error) {
	o.Entitlement, err = tx.Entitlement(r.Entitlement)
	if err != nil && !missing(err) {
		return o, err
	}
	if e := o.Entitlement; err != nil || e.Target.Connection.Address != h.Name || e.Mechanism != access.Elevate || e.Tag != r.Tag || e.Tag == "" {
		return o, errNoOrder
	}
	holds, err := tx.HoldsOf(o.Entitlement.ID)
	if err != nil {
		return o, err
	}
	var ids []access.GrantID
	var all []string
	for _, x := range holds {
		ids, all = append(ids, x.Grant), append(all, string(x.Grant))
	}
	gs, err := tx.GrantsOf(ids...)
	if err != nil {
		return o, err
	}
	if len(gs) == 0 {
		return o, errNoOrder
	}
	// The one that goes on, and of those the newest.
	o.Grant = slices.MaxFunc(gs, func(a, b access.Grant) int {
		return cmp.Or(cmp.Compare(goesOn(a), goesOn(b)), cmp.Compare(a.ID, b.ID))
	})
	o.grants = strings.Join(all, ",")
	for _, g := range gs {
		till := g.ExpiresAt
		if !g.EndedAt.IsZero() && g.EndedAt.Before(till) {
			till = g.EndedAt
		}
		if till.After(o.till) {
			o.till = till
		}
	}
	return o, nil
}

// roomForCommand bounds what a host can write down in the name of a grant: what runs at once,
// as of gateways, and what is told when the grant is over.
func roomForCommand(tx Tx, h access.Host, o order) error {
	q := access.SessionQuery{Grant: o.Grant.ID, Gateway: access.HostCarrier(h.Name), Live: true, Limit: sessionsOfGrant}
	if !tx.Now().Before(o.till) {
		q.Live, q.Since, q.Limit = false, o.till, lateCommands
	}
	there, err := tx.Sessions(q)
	if err == nil && len(there) >= q.Limit {
		err = access.Fail(access.Invalid, "too-many-commands", "the host tells of more commands of that grant than are written down").
			Because(strconv.Itoa(q.Limit) + " are, at once or after its end")
	}
	return err
}

func goesOn(g access.Grant) int {
	if g.State == access.Active {
		return 1
	}
	return 0
}

// HostIsHeard notes that a host which runs commands is heard of, and so are those.
func (b *Broker) HostIsHeard(ctx context.Context, host string) error {
	return b.update(ctx, func(tx Tx, _ *effects) error { return tx.RenewSessions(access.HostCarrier(host)) })
}

// clean keeps a host's words from keeping a record out of the log.
func clean(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
