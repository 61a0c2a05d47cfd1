package broker

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
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

const (
	// ticketGood is how old what is known of a ticket may be when it is decided by;
	// ticketFresh how old it may be not to be read again for that.
	ticketGood  = 30 * time.Second
	ticketFresh = 10 * time.Second
	// ticketRest is how long a system that did not answer is left alone: whoever asks
	// meanwhile is told so at once, and nothing waits behind it.
	ticketRest = 2 * time.Second
	// ticketCalls are the calls that may be under way at a time, and ticketsKept how
	// many answers are kept.
	ticketCalls = 8
	ticketsKept = 256
)

// desk keeps what was read of tickets, for a short time. A transaction reads from it and
// never waits for a ticket system: whatever a decision looks at is read before.
type desk struct {
	calls chan struct{}
	mu    sync.Mutex
	read  map[ticketKey]reading
	lost  map[ticketKey]reading // one ticket, or without an id all of a system: it did not answer
}

type ticketKey struct {
	version    int64 // of the documents: they say where, and whose identities count
	system, id string
}

// reading is what one look came to.
type reading struct {
	at       time.Time // the host's
	is       policy.Ticket
	closings string
	err      error // access.Unavailable: nothing is known; access.NotFound: it is not there for us
}

func newDesk() *desk {
	return &desk{calls: make(chan struct{}, ticketCalls), read: map[ticketKey]reading{}, lost: map[ticketKey]reading{}}
}

// known is what was read no longer ago than good.
func (d *desk) known(k ticketKey, good time.Duration, now time.Time) (reading, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r, ok := d.read[k]; ok && now.Sub(r.at) <= good {
		return r, true
	}
	for _, k := range []ticketKey{k, {system: k.system}} {
		if r, ok := d.lost[k]; ok && now.Sub(r.at) <= ticketRest {
			return r, true
		}
	}
	return reading{}, false
}

func (d *desk) keep(k ticketKey, r reading) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if errors.Is(r.err, access.Unavailable) {
		maps.DeleteFunc(d.lost, func(_ ticketKey, old reading) bool { return r.at.Sub(old.at) > ticketRest })
		// One that cannot be read is no word about the others, or whoever writes it
		// would keep everybody's from being read.
		var e *access.Error
		if !errors.As(r.err, &e) || e.Code != access.TicketUnreadable {
			k = ticketKey{system: k.system}
		}
		d.lost[k] = r
		return // what was read before is good for as long as it was
	}
	delete(d.lost, k)
	delete(d.lost, ticketKey{system: k.system})
	for old, is := range d.read {
		if len(d.read) < ticketsKept && r.at.Sub(is.at) <= ticketGood {
			continue
		}
		delete(d.read, old)
	}
	d.read[k] = r
}

// readTicket reads a ticket, or gives what was read no longer ago than good.
func (b *Broker) readTicket(ctx context.Context, set *policy.Set, system, id string, good time.Duration) reading {
	k := ticketKey{set.Version(), system, id}
	if r, ok := b.desk.known(k, good, time.Now()); ok {
		return r
	}
	select {
	case b.desk.calls <- struct{}{}:
		defer func() { <-b.desk.calls }()
	case <-ctx.Done():
		return reading{at: time.Now(), err: noTickets(system, "too much is asked of it at once")}.said()
	}
	if r, ok := b.desk.known(k, good, time.Now()); ok { // somebody else was faster
		return r
	}
	r := b.look(ctx, set, system, id).said()
	if e := (*access.Error)(nil); errors.As(r.err, &e) && (e.Kind != access.NotFound || e.Cause != nil) { // an id that is none is nobody's trouble
		b.Log.Warn("a ticket was not read", "system", system, "error", r.err)
	}
	if ctx.Err() == nil || r.err == nil {
		b.desk.keep(k, r)
	}
	return r
}

func noTickets(system, why string) *access.Error {
	return access.Fail(access.Unavailable, "no-ticket-system", "the ticket could not be read from "+system).Because(why).Try("try again when " + system + " answers")
}

// said puts a failure into the words for who asks.
func (r reading) said() reading {
	if r.err == nil {
		return r
	}
	r.is = policy.Ticket{Problem: public(r.err)}
	var e *access.Error
	if errors.As(r.err, &e) && e.Next != "" {
		r.is.Problem += "; " + e.Next
	}
	return r
}

func (b *Broker) look(ctx context.Context, set *policy.Set, system, id string) reading {
	r := reading{at: time.Now()}
	in, ok := set.Integration(system)
	if !ok || b.Tickets == nil {
		r.err = noTickets(system, "this server does not know it")
		return r
	}
	var l Login
	if in.Credential != "" {
		if l, r.err = b.OpenLogin(ctx, in, in.Credential); r.err != nil {
			// Nothing was asked: whether the ticket is there is not known.
			r.err = noTickets(system, "what Stint signs in to it with cannot be used").Wrap(r.err)
			return r
		}
	}
	t, err := b.Tickets.Look(ctx, in, l, id)
	switch {
	case errors.Is(err, access.NotFound):
		r.err = err
	case err != nil && !errors.Is(err, access.Unavailable):
		r.err = noTickets(system, "it was not understood").Wrap(err)
	case err != nil:
		r.err = err
	}
	if r.err != nil {
		return r
	}
	r.closings = t.Closings
	r.is, r.err = b.personify(ctx, in, t)
	r.at = time.Now()
	return r
}

// personify says which persons the people of a ticket are: by the identities that were
// linked to users here, or by an attribute of theirs; never by a name or an address.
// Whoever is nobody's, or more than one person's, is nobody.
func (b *Broker) personify(ctx context.Context, in policy.Integration, t access.Ticket) (policy.Ticket, error) {
	people := map[string]access.Person{"": ""}
	ids := append([]string{t.Assignee, t.Reporter}, t.Editors...)
	attribute, provider := in.Options["attribute"], in.Options["identity"]
	if provider == "" {
		provider = in.Name
	}
	if attribute != "" {
		who, err := b.readRoster(ctx)
		if err != nil {
			return policy.Ticket{}, noTickets(in.Name, "the users here could not be read").Wrap(err)
		}
		for _, p := range who.users {
			id := p.Attributes[attribute]
			if id == "" || !slices.Contains(ids, id) {
				continue
			}
			if other, twice := people[id]; twice && other != p.Person {
				people[id] = "" // and stays so: an entry that is there differs from any person
				continue
			}
			people[id] = p.Person
		}
	} else {
		err := b.Store.View(ctx, func(tx Tx) error {
			for _, id := range ids {
				if _, done := people[id]; done || len(people) > 200 {
					continue
				}
				p, err := tx.PrincipalByIdentity(access.Identity{Provider: provider, Subject: id})
				if err != nil && !missing(err) {
					return err
				}
				people[id] = p.Person
			}
			return nil
		})
		if err != nil {
			return policy.Ticket{}, noTickets(in.Name, "the users here could not be read").Wrap(err)
		}
	}
	out := policy.Ticket{Open: t.Open, Text: t.Text, Assignee: people[t.Assignee], Reporter: people[t.Reporter]}
	if t.EditorsKnown {
		for _, id := range t.Editors {
			out.Editors = append(out.Editors, people[id])
		}
	}
	return out, nil
}

// readTickets reads, before a transaction, the tickets that deciding the ask will look
// at. It returns an error of kind access.Unavailable where a system did not answer;
// deciding goes on without, and grants nothing on it.
func (b *Broker) readTickets(ctx context.Context, a policy.Ask) (lost error) {
	if a.Ticket == "" {
		return nil
	}
	set, err := b.Documents(ctx)
	if err != nil || !set.Wants(policy.AtRequest).Tickets {
		return nil // deciding says what is wrong with the documents
	}
	a.Principal = set.Knows(a.Principal, time.Now())
	for _, system := range set.TicketSystems(a) {
		if r := b.readTicket(ctx, set, system, a.Ticket, ticketFresh); errors.Is(r.err, access.Unavailable) {
			lost = r.err
		}
	}
	return lost
}

// ticketsKnown is what was read of the ask's ticket, for deciding.
func (b *Broker) ticketsKnown(set *policy.Set, a policy.Ask) map[string]policy.Ticket {
	var known map[string]policy.Ticket
	a.Principal = set.Knows(a.Principal, time.Now())
	for _, system := range set.TicketSystems(a) {
		if r, ok := b.desk.known(ticketKey{set.Version(), system, a.Ticket}, ticketGood, time.Now()); ok {
			if known == nil {
				known = map[string]policy.Ticket{}
			}
			known[system] = r.is
		}
	}
	return known
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
	var by access.PolicyName
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		r, err := b.find(tx, c, id)
		if err != nil {
			return err
		}
		who, err := tx.Principal(r.Principal)
		a, by = askOf(r, who), r.Decision.Policy
		return err
	})
	if err != nil {
		return nil // the vote itself says what is wrong
	}
	lost := b.readTickets(ctx, a)
	if lost != nil && set.TicketFrom(by) != "" {
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
