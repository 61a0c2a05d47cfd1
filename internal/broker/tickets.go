package broker

import (
	"context"

	"stint/internal/access"
	"stint/internal/policy"
	"stint/internal/ticketdesk"
)

// Tickets reads tickets in the systems that keep them.
//
// Look reads one ticket now. access.NotFound: there is none, or it may not be seen, in
// words that do not tell the two apart. access.Unavailable: nothing can be said. It MUST
// come back soon after ctx is over, and send the login nowhere but to the integration's
// address.
type Tickets interface {
	Look(ctx context.Context, in policy.Integration, l Login, id string) (access.Ticket, error)
}

// ticketSystems is what the desk reads with.
type ticketSystems struct{ *Broker }

// Look signs in with what the integration's document names, and with nothing else.
func (b ticketSystems) Look(ctx context.Context, in policy.Integration, id string) (t access.Ticket, err error) {
	if b.Tickets == nil {
		return t, ticketdesk.Silent(in.Name, "this server does not know it")
	}
	var l Login
	if in.Credential != "" {
		if l, err = b.OpenLogin(ctx, in, in.Credential); err != nil {
			// Nothing was asked: whether the ticket is there is not known.
			return t, ticketdesk.Silent(in.Name, "what Stint signs in to it with cannot be used").Wrap(err)
		}
	}
	return b.Tickets.Look(ctx, in, l, id)
}

func (b ticketSystems) Users(ctx context.Context) ([]access.Principal, error) {
	return b.approvers.Users(ctx)
}

func (b ticketSystems) Persons(ctx context.Context, ids []access.Identity) (of map[access.Identity]access.Person, err error) {
	err = b.Store.View(ctx, func(tx Tx) error {
		of = map[access.Identity]access.Person{}
		for _, id := range ids {
			p, err := tx.PrincipalByIdentity(id)
			if err != nil && !missing(err) {
				return err
			}
			of[id] = p.Person
		}
		return nil
	})
	return of, err
}

// readTickets reads, before a transaction, the tickets that deciding the ask will look
// at. It returns an error of kind access.Unavailable where a system did not answer.
func (b *Broker) readTickets(ctx context.Context, a policy.Ask) (lost error) {
	if a.Ticket == "" {
		return nil
	}
	set, err := b.Documents(ctx)
	if err != nil || !set.Wants(policy.AtRequest).Tickets {
		return nil // deciding says what is wrong with the documents
	}
	if a.Principal.ID.Kind() == access.Agent { // it is decided as its human's too
		if err := b.Store.View(onBehalf(ctx, a.Principal.Person), func(tx Tx) (err error) { a, err = answering(tx, a); return err }); err != nil {
			return nil // deciding says what is wrong
		}
	}
	return b.desk.Prepare(ctx, set, a)
}

// askOf is what a request asks, for looking up its ticket.
func askOf(r access.Request, who access.Principal) policy.Ask {
	return policy.Ask{Principal: who, Resource: r.Targets[0].Resource, Role: r.Role, Duration: r.Duration, Start: r.Start,
		Reason: r.Reason, Ticket: r.Ticket, Source: r.Source, Emergency: r.Emergency.Is()}
}

// readTicketsFor reads the tickets that a yes to a request will look at. It refuses the
// yes where the system that the request's policy names does not answer: it would count,
// and what it grants would fail for want of the ticket.
func (b *Broker) readTicketsFor(ctx context.Context, c Caller, id string) error {
	set, err := b.Documents(ctx)
	if err != nil || !set.Wants(policy.AtRequest).Tickets {
		return nil
	}
	var a policy.Ask
	var by access.Decision
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		r, err := b.find(tx, c, id)
		if err != nil {
			return err
		}
		who, err := tx.Principal(r.Principal)
		a, by = askOf(r, who), r.Decision
		return err
	})
	if err != nil {
		return nil // the vote itself says what is wrong
	}
	lost := b.readTickets(ctx, a)
	if lost != nil && (set.TicketFrom(by.Policy) != "" || set.TicketFrom(by.Behalf) != "") {
		return lost
	}
	return nil
}

// readTicketsOf reads the tickets that grants which are to begin rest on.
func (b *Broker) readTicketsOf(ctx context.Context, ids []access.GrantID) (lost map[access.GrantID]bool) {
	set, err := b.Documents(ctx)
	if err != nil || !set.Wants(policy.AtRequest).Tickets {
		return nil
	}
	lost = map[access.GrantID]bool{}
	asks := map[access.GrantID]policy.Ask{}
	err = b.Store.View(ctx, func(tx Tx) error {
		gs, err := tx.GrantsOf(ids...)
		if err != nil {
			return err
		}
		for _, g := range gs {
			who, err := tx.Principal(g.Principal)
			if err != nil {
				return err
			}
			asks[g.ID] = policy.Ask{Principal: who, Resource: g.Targets[0].Resource, Role: g.Role, Ticket: g.Ticket, Source: g.Source, Emergency: g.Emergency.Is()}
		}
		return nil
	})
	if err != nil {
		return nil
	}
	for _, id := range ids {
		lost[id] = b.readTickets(ctx, asks[id]) != nil
	}
	return lost
}

// previewTickets reads the tickets that explaining the ask will look at.
func (b *Broker) previewTickets(ctx context.Context, c Caller, a Ask, as access.PrincipalID) {
	who := c.Principal
	if as != who.ID {
		err := b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) (err error) { who, err = tx.Principal(as); return err })
		if err != nil {
			return // explaining says what is wrong
		}
	}
	_ = b.readTickets(ctx, a.policy(who, c.Source)) // what could not be read, the explanation says
}
