package sim

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/policy"
	"stint/internal/ticketwatch"
)

// A ticket system keeps tickets, some of which somebody's access rests on: closed, they
// end it. deskDocument says so, and what the role is that is had by ticket alone.
const deskDocument = "---\nkind: Integration\nname: desk\ntype: desk\naddress: https://desk.example.com\n" +
	"---\nkind: Role\nresources: {type: %[1]s}\nname: mender\nmechanism: account\n%[1]s: {memberOf: [app_read, app_write]}\nmaxDuration: 1h\n" +
	"---\nkind: Policy\nname: by-ticket\nsubjects: [group:platform, group:guests]\nroles: [mender]\n" +
	"when: ticket.reporter != principal.person && ticket.editedBy != principal.person\nrequire:\n" +
	"  ticket: {from: desk, names: resource, endOnClose: true, unknownFor: 5m}\n  maxDuration: 1h\n"

var deskSchema = access.Schema{Type: "desk", Tickets: true, Integration: map[string]access.Option{}}

// deskAt is the ticket system as a place that calls go to.
var deskAt = access.Connection{Type: kind, Address: "desk"}

const (
	// ticketsEvery is how often a watched ticket is read, and ticketsLook how often it is
	// looked for those that are due.
	ticketsEvery = 20 * time.Second
	ticketsLook  = 5 * time.Second
	// rests is how long access may rest on a ticket after it was closed: until it is read
	// again, with the time that such a call may take.
	rests = ticketsEvery + ticketsLook + 10*time.Second
	// unknownFor is how long it may rest on one that nobody can read.
	unknownFor = 5 * time.Minute
)

// desk is the ticket system.
type desk struct {
	mu      sync.Mutex
	tickets map[string]*ticket
}

type ticket struct {
	open     bool
	text     string
	by       string // who wrote it
	closings int
	closed   time.Time // when it first was
	reopened time.Time // when it last was
}

// look reads one ticket, as anybody does who is let in.
func (d *desk) look(id string) (access.Ticket, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tickets[id]
	if t == nil {
		return access.Ticket{}, access.Fail(access.NotFound, "no-ticket", "there is no ticket "+id)
	}
	return access.Ticket{ID: id, Open: t.open, Text: t.text, Reporter: t.by, Editors: []string{t.by}, EditorsKnown: true, Closings: strconv.Itoa(t.closings)}, nil
}

// deskSeam is the ticket system as one life of one process reaches it.
type deskSeam struct{ r *replica }

func (x deskSeam) Look(ctx context.Context, _ policy.Integration, _ broker.Login, id string) (t access.Ticket, err error) {
	s := targetSeam{r: x.r}
	if s.undisturbed(ctx, deskAt.Place()) {
		return x.r.w.desk.look(id)
	}
	if h, _ := s.call(ctx, "ticket", deskAt, id, 1, func(int) { t, err = x.r.w.desk.look(id) }); h != answered {
		return access.Ticket{}, access.Fail(access.Unavailable, "desk", "the ticket system did not answer").Wrap(h.fails())
	}
	return t, err
}

// watcher is the broker as the loop that reads tickets sees it: each check is told apart
// by the request that the ticket is for.
type watcher struct{ *broker.Broker }

func (x watcher) CheckTicket(ctx context.Context, ws []access.TicketWatch) error {
	n, _ := strconv.Atoi(strings.TrimPrefix(ws[0].Ticket, "T-"))
	return x.Broker.CheckTicket(context.WithValue(ctx, askKey{}, n), ws)
}

// watchTickets runs that loop for as long as a process lives.
func (r *replica) watchTickets(ctx context.Context) {
	ticketwatch.Watch{Desk: watcher{r.Broker}, Every: ticketsEvery, Look: ticketsLook, Log: discard}.Run(ctx)
}

// byTicket has somebody who is about to ask do so with a ticket, which is there by then,
// and closed at some time.
func (w *world) byTicket(a *ask) {
	if sponsors[a.who] != "" || a.glass || !w.chance(0.12) {
		return
	}
	a.role, a.ticket = "mender", fmt.Sprint("T-", len(w.asks))
	a.d = min(a.d, roleTimes[a.role])
	t := &ticket{open: true, text: "look at " + string(a.resource()), by: "olga"}
	switch {
	case w.chance(0.08):
		t.text, a.baseless = "look at something else", true
	case w.chance(0.08):
		t.by, a.baseless = a.who, true
	case w.chance(0.08):
		t.open, t.closings, a.baseless = false, 1, true
	}
	d := w.desk
	d.mu.Lock()
	d.tickets[a.ticket] = t
	d.mu.Unlock()
	if a.baseless || w.chance(0.3) {
		return
	}
	w.in(a.ahead+w.between(time.Second, 5*time.Minute), "close", a.ticket, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		t.open, t.closed = false, w.now()
		t.closings++
	})
	if w.chance(0.2) {
		w.in(a.ahead+5*time.Minute+w.between(time.Second, 5*time.Minute), "open", a.ticket, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			t.open, t.reopened = true, w.now()
		})
	}
}

// closedAt is when the ticket behind the request was first closed; zero where it was not,
// or there is none.
func (a *ask) closedAt() time.Time {
	if a.ticket == "" {
		return time.Time{}
	}
	d := a.w.desk
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.tickets[a.ticket].closed
}

// onTicket reports whether access that rests on a ticket may end for what is known of it,
// or not known.
func (a *ask) onTicket(now time.Time) bool {
	return a.ticket != "" && (!a.closedAt().IsZero() || !a.w.oracle.peaceful(deskAt.Place(), now, unknownFor+3*time.Minute))
}

// restsUntil is when access ends at the latest because its ticket was closed. A ticket
// that was opened again before anybody read it is as if it had not been closed.
func (a *ask) restsUntil() (t time.Time, bounded bool) {
	at := a.closedAt()
	if at.IsZero() {
		return t, false
	}
	a.w.desk.mu.Lock()
	reopened := a.w.desk.tickets[a.ticket].reopened
	a.w.desk.mu.Unlock()
	if !reopened.IsZero() && (a.active.IsZero() || a.active.Add(peace).After(at) || !a.w.oracle.peaceful(deskAt.Place(), at, peace)) {
		return t, false
	}
	return at.Add(rests), true
}
