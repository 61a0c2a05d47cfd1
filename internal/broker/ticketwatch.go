package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// A policy can have a grant rest on its ticket: closed, reassigned or not naming the
// resource any more, it ends the grant. What is watched is rows, so that neither a
// restart nor an outage loses one; who reads them is a loop outside of this package,
// which calls TicketsDue and CheckTicket. What a ticket is now counts, and how often it
// was closed where its system says so; not what was seen of it change. So a system that
// was down is asked again, and nothing is missed.

// watchTicket begins to watch the ticket of a grant that was just made.
func (b *Broker) watchTicket(tx Tx, set *policy.Set, g access.Grant) error {
	rule, ok := set.Watches(g.Policy)
	if !ok || g.Ticket == "" {
		return nil
	}
	return tx.SaveTicketWatches(access.TicketWatch{Grant: g.ID, System: rule.From, Ticket: g.Ticket, ReadAt: tx.Now(), NextAt: tx.Now()})
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
	read := b.readTicket(ctx, set, watches[0].System, watches[0].Ticket, 0)
	var failed []error // one grant that cannot be ended keeps no other one
	for _, w := range watches {
		if err := b.checkTicket(ctx, w, read); err != nil {
			failed = append(failed, fmt.Errorf("grant %s: %w", w.Grant, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	if errors.Is(read.err, access.Unavailable) {
		failed = append(failed, read.err)
	}
	return errors.Join(failed...)
}

// checkTicket ends one grant, or notes that its ticket could be read.
func (b *Broker) checkTicket(ctx context.Context, w access.TicketWatch, read reading) error {
	return b.update(ending(ctx, 1), func(tx Tx, fx *effects) error {
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		g, err := tx.Grant(w.Grant)
		if err != nil {
			return err
		}
		rule, ok := set.Watches(g.Policy)
		if !ok || rule.From != w.System || !g.Live() {
			return tx.DropTicketWatches(w.Grant) // its policy has changed, and watches it no more
		}
		w := w
		why := ""
		switch {
		case read.err != nil: // down, or gone, or not ours to see: nobody knows which
			if tx.Now().Sub(w.ReadAt) < rule.UnknownFor {
				return nil
			}
			why = "ticket " + w.Ticket + " could not be read for " + rule.UnknownFor.String()
		case w.Read && w.Closings != read.closings:
			why = "ticket " + w.Ticket + " was closed, and opened again"
			fallthrough
		default:
			if lapsed := rule.Lapsed(w.Ticket, read.is, g.Person, g.Targets[0].Resource); lapsed != "" {
				why = lapsed
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
		w.Read, w.Closings, w.ReadAt = true, read.closings, tx.Now()
		return tx.SaveTicketWatches(w)
	})
}

// ticketNoted is how exactly it is noted when a ticket last could be read.
const ticketNoted = time.Minute
