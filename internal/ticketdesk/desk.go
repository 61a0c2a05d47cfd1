// Package ticketdesk keeps what was read of tickets, for a short time. A transaction reads
// from it and never waits for a ticket system: whatever a decision looks at is read before.
// A system that does not answer is left alone for a moment, and few calls are under way.
package ticketdesk

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

const (
	// Good is how old what is known of a ticket may be when it is decided by;
	// Fresh how old it may be not to be read again for that.
	Good  = 30 * time.Second
	Fresh = 10 * time.Second
	// rest is how long a system that did not answer is left alone: whoever asks
	// meanwhile is told so at once, and nothing waits behind it.
	rest = 2 * time.Second
	// calls are those that may be under way at a time, and kept how
	// many answers are kept.
	calls = 8
	kept  = 256
)

// Systems is where tickets are, and who the people in them are here.
type Systems interface {
	// Look reads one ticket now. access.NotFound: there is none, or it may not be seen.
	// access.Unavailable: nothing can be said. It comes back soon after ctx is over.
	Look(ctx context.Context, in policy.Integration, id string) (access.Ticket, error)
	// Users are the enabled users.
	Users(ctx context.Context) ([]access.Principal, error)
	// Persons says whose identities are, of those that are linked to users.
	Persons(ctx context.Context, ids []access.Identity) (map[access.Identity]access.Person, error)
}

// Desk keeps what was read of tickets. Its methods are safe for concurrent use.
type Desk struct {
	systems Systems
	log     *slog.Logger
	calls   chan struct{}

	mu   sync.Mutex
	read map[ticketKey]Reading
	lost map[ticketKey]Reading // one ticket, or without an id all of a system: it did not answer
}

type ticketKey struct {
	version    int64 // of the documents: they say where, and whose identities count
	system, id string
}

// Reading is what one look came to.
type Reading struct {
	Is       policy.Ticket
	Closings string // how often it was closed, where the system says so
	Err      error  // access.Unavailable: nothing is known; access.NotFound: it is not there for us

	at time.Time // the host's
}

// New is a desk that has read nothing.
func New(s Systems, log *slog.Logger) *Desk {
	return &Desk{systems: s, log: log, calls: make(chan struct{}, calls), read: map[ticketKey]Reading{}, lost: map[ticketKey]Reading{}}
}

// known is what was read no longer ago than good.
func (d *Desk) known(k ticketKey, good time.Duration, now time.Time) (Reading, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r, ok := d.read[k]; ok && now.Sub(r.at) <= good {
		return r, true
	}
	for _, k := range []ticketKey{k, {system: k.system}} {
		if r, ok := d.lost[k]; ok && now.Sub(r.at) <= rest {
			return r, true
		}
	}
	return Reading{}, false
}

func (d *Desk) keep(k ticketKey, r Reading) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if errors.Is(r.Err, access.Unavailable) {
		maps.DeleteFunc(d.lost, func(_ ticketKey, old Reading) bool { return r.at.Sub(old.at) > rest })
		// One that cannot be read is no word about the others, or whoever writes it
		// would keep everybody's from being read.
		var e *access.Error
		if !errors.As(r.Err, &e) || e.Code != access.TicketUnreadable {
			k = ticketKey{system: k.system}
		}
		d.lost[k] = r
		return // what was read before is good for as long as it was
	}
	delete(d.lost, k)
	delete(d.lost, ticketKey{system: k.system})
	for old, is := range d.read {
		if len(d.read) < kept && r.at.Sub(is.at) <= Good {
			continue
		}
		delete(d.read, old)
	}
	d.read[k] = r
}

// Read reads a ticket, or gives what was read no longer ago than good.
func (d *Desk) Read(ctx context.Context, set *policy.Set, system, id string, good time.Duration) Reading {
	k := ticketKey{set.Version(), system, id}
	if r, ok := d.known(k, good, time.Now()); ok {
		return r
	}
	select {
	case d.calls <- struct{}{}:
		defer func() { <-d.calls }()
	case <-ctx.Done():
		return Reading{at: time.Now(), Err: Silent(system, "too much is asked of it at once")}.said()
	}
	if r, ok := d.known(k, good, time.Now()); ok { // somebody else was faster
		return r
	}
	r := d.look(ctx, set, system, id).said()
	if e := (*access.Error)(nil); errors.As(r.Err, &e) && (e.Kind != access.NotFound || e.Cause != nil) { // an id that is none is nobody's trouble
		d.log.Warn("a ticket was not read", "system", system, "error", r.Err)
	}
	if ctx.Err() == nil || r.Err == nil {
		d.keep(k, r)
	}
	return r
}

// Silent is the error where a system says nothing of a ticket.
func Silent(system, why string) *access.Error {
	return access.Fail(access.Unavailable, "no-ticket-system", "the ticket could not be read from "+system).Because(why).Try("try again when " + system + " answers")
}

// said puts a failure into the words for who asks.
func (r Reading) said() Reading {
	if r.Err == nil {
		return r
	}
	var e *access.Error
	if !errors.As(r.Err, &e) || e.Kind == access.Internal {
		e = Silent("its system", "it was not understood")
	}
	r.Is = policy.Ticket{Problem: e.Message}
	if e.Why != "" {
		r.Is.Problem += ": " + e.Why
	}
	if e.Next != "" {
		r.Is.Problem += "; " + e.Next
	}
	return r
}

// Prepare reads, before a transaction, the tickets that deciding the ask will look at. It
// returns an error of kind access.Unavailable where a system did not answer; deciding goes
// on without, and grants nothing on it.
func (d *Desk) Prepare(ctx context.Context, set *policy.Set, a policy.Ask) (lost error) {
	for _, system := range set.TicketSystems(shifts(set, a)) {
		if r := d.Read(ctx, set, system, a.Ticket, Fresh); errors.Is(r.Err, access.Unavailable) {
			lost = r.Err
		}
	}
	return lost
}

// Known is what was read of the ask's ticket, for deciding, by system.
func (d *Desk) Known(set *policy.Set, a policy.Ask) map[string]policy.Ticket {
	var known map[string]policy.Ticket
	for _, system := range set.TicketSystems(shifts(set, a)) {
		if r, ok := d.known(ticketKey{set.Version(), system, a.Ticket}, Good, time.Now()); ok {
			if known == nil {
				known = map[string]policy.Ticket{}
			}
			known[system] = r.Is
		}
	}
	return known
}

// shifts is the ask with who asks, and who answers for them, on the shifts of now.
func shifts(set *policy.Set, a policy.Ask) policy.Ask {
	a.Principal = set.Knows(a.Principal, time.Now())
	if a.Answers != nil {
		by := set.Knows(*a.Answers, time.Now())
		a.Answers = &by
	}
	return a
}

func (d *Desk) look(ctx context.Context, set *policy.Set, system, id string) Reading {
	r := Reading{at: time.Now()}
	in, ok := set.Integration(system)
	if !ok {
		r.Err = Silent(system, "this server does not know it")
		return r
	}
	t, err := d.systems.Look(ctx, in, id)
	switch {
	case err != nil && !errors.Is(err, access.NotFound) && !errors.Is(err, access.Unavailable):
		r.Err = Silent(system, "it was not understood").Wrap(err)
	case err != nil:
		r.Err = err
	}
	if r.Err != nil {
		return r
	}
	r.Closings = t.Closings
	r.Is, r.Err = d.personify(ctx, in, t)
	r.at = time.Now()
	return r
}

// mostPeople are so many people of one ticket whose identities are looked up.
const mostPeople = 200

// personify says which persons the people of a ticket are: by the identities that were
// linked to users here, or by an attribute of theirs; never by a name or an address.
// Whoever is nobody's, or more than one person's, is nobody.
func (d *Desk) personify(ctx context.Context, in policy.Integration, t access.Ticket) (policy.Ticket, error) {
	people := map[string]access.Person{"": ""}
	ids := append([]string{t.Assignee, t.Reporter}, t.Editors...)
	attribute, provider := in.Options["attribute"], in.Options["identity"]
	if provider == "" {
		provider = in.Name
	}
	if attribute != "" {
		users, err := d.systems.Users(ctx)
		if err != nil {
			return policy.Ticket{}, Silent(in.Name, "the users here could not be read").Wrap(err)
		}
		for _, p := range users {
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
		var of []access.Identity
		for _, id := range ids {
			if x := (access.Identity{Provider: provider, Subject: id}); id != "" && len(of) < mostPeople && !slices.Contains(of, x) {
				of = append(of, x)
			}
		}
		known, err := d.systems.Persons(ctx, of)
		if err != nil {
			return policy.Ticket{}, Silent(in.Name, "the users here could not be read").Wrap(err)
		}
		for id, p := range known {
			people[id.Subject] = p
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
