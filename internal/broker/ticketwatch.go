package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
	"stint/internal/ticketdesk"
)

// A policy can have a grant rest on its ticket: closed, reassigned or not naming the
// resource any more, it ends the grant. What is watched is rows, so that neither a
// restart nor an outage loses one; who reads them is a loop outside of this package,
// which calls TicketsDue and CheckTicket. What a ticket is now counts, and how often it
// was closed where its system says so; not what was seen of it change. So a system that
// was down is asked again, and nothing is missed.

// watchTicket begins to watch the ticket of a grant that was just made of a request.
func (b *Broker) watchTicket(tx Tx, set *policy.Set, r access.Request, g access.Grant) error {
	rules := watching(set, r)
	if len(rules) == 0 || g.Ticket == "" {
		return nil
	}
	return tx.SaveTicketWatches(access.TicketWatch{Grant: g.ID, System: rules[0].From, Ticket: g.Ticket, ReadAt: tx.Now(), NextAt: tx.Now()})
}

// watching are the rules by which the ticket of a request's grant is watched: of the
// policy that gave it, and for an agent of the one that would have given it to its human.
// Policy gives nothing that would be watched in two systems.
func watching(set *policy.Set, r access.Request) (rules []policy.TicketRule) {
	for _, by := range []access.PolicyName{r.Decision.Policy, r.Decision.Behalf} {
		if rule, ok := set.Watches(by); ok {
			rules = append(rules, rule)
		}
	}
	return rules
}

// TicketsDue takes the watches that are due, the longest due first, and has each due
// again after the time given: whoever took one and died before it was checked delays it
// by no more than that. Those of grants that are over are forgotten.
func (b *Broker) TicketsDue(ctx context.Context, limit int, every time.Duration) (due []access.TicketWatch, err error) {
	err = b.Store.View(ctx, func(tx Tx) (err error) { due, err = tx.DueTicketWatches(limit); return err })
	if err != nil || len(due) == 0 {
		return nil, err // it is asked often, and writes only where there is something
	}
	err = b.update(ctx, func(tx Tx, _ *effects) error {
		due = nil
		ws, err := tx.DueTicketWatches(limit)
		if err != nil {
			return err
		}
		var over []access.GrantID
		for _, w := range ws {
			g, err := tx.Grant(w.Grant)
			switch {
			case missing(err) || err == nil && !g.Live():
				over = append(over, w.Grant)
				continue
			case err != nil:
				return err
			}
			w.NextAt = tx.Now().Add(every)
			due = append(due, w)
		}
		if err := tx.SaveTicketWatches(due...); err != nil {
			return err
		}
		return tx.DropTicketWatches(over...)
	})
	return due, err
}

// CheckTicket reads a ticket and ends the grants that rest on it if it no longer bears
// them. watches are all of that one ticket.
func (b *Broker) CheckTicket(ctx context.Context, watches []access.TicketWatch) error {
	set, err := b.Documents(ctx)
	if err != nil || len(watches) == 0 {
		return err
	}
	read := b.desk.Read(ctx, set, watches[0].System, watches[0].Ticket, 0)
	var failed []error // one grant that cannot be ended keeps no other one
	for _, w := range watches {
		if err := b.checkTicket(ctx, w, read); err != nil {
			failed = append(failed, fmt.Errorf("grant %s: %w", w.Grant, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	if errors.Is(read.Err, access.Unavailable) {
		failed = append(failed, read.Err)
	}
	return errors.Join(failed...)
}

// checkTicket ends one grant, or notes that its ticket could be read.
func (b *Broker) checkTicket(ctx context.Context, w access.TicketWatch, read ticketdesk.Reading) error {
	return b.update(ending(ctx, 1), func(tx Tx, fx *effects) error {
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		g, err := tx.Grant(w.Grant)
		if err != nil {
			return err
		}
		r, err := tx.Request(g.Request)
		if err != nil {
			return err
		}
		rules := slices.DeleteFunc(watching(set, r), func(rule policy.TicketRule) bool { return rule.From != w.System })
		if len(rules) == 0 || !g.Live() {
			return tx.DropTicketWatches(w.Grant) // its policies have changed, and watch it no more
		}
		w := w
		bears := slices.MinFunc(rules, func(a, b policy.TicketRule) int { return cmp.Compare(a.UnknownFor, b.UnknownFor) }).UnknownFor
		why := ""
		switch {
		case read.Err != nil: // down, or gone, or not ours to see: nobody knows which
			if tx.Now().Sub(w.ReadAt) < bears {
				return nil
			}
			why = "ticket " + w.Ticket + " could not be read for " + bears.String()
		case w.Read && w.Closings != read.Closings:
			why = "ticket " + w.Ticket + " was closed, and opened again"
			fallthrough
		default:
			for _, rule := range rules {
				if lapsed := rule.Lapsed(w.Ticket, read.Is, g.Person, g.Targets[0].Resource); lapsed != "" {
					why = lapsed
				}
			}
		}
		if why != "" {
			if err := tx.DropTicketWatches(w.Grant); err != nil {
				return err
			}
			_, err := b.endGrants(tx, fx, []access.Grant{g}, access.ByPolicy, why, access.System)
			return err
		}
		if w.Read && tx.Now().Sub(w.ReadAt) < ticketNoted {
			return nil
		}
		w.Read, w.Closings, w.ReadAt = true, read.Closings, tx.Now()
		return tx.SaveTicketWatches(w)
	})
}

// ticketNoted is how exactly it is noted when a ticket last could be read.
const ticketNoted = time.Minute
