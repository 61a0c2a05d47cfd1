package access

// TicketUnreadable is the code of an error of kind Unavailable that is about one ticket and
// says nothing about its system.
const TicketUnreadable = "ticket-unreadable"

// Ticket is what a ticket system says of one ticket. People in it are the system's own
// ids, the ones that never change hands; whose they are here, somebody else finds out.
type Ticket struct {
	ID   string // as the system writes it
	Open bool
	Text string // title, description and whatever else can name a resource

	Assignee string // empty: nobody
	Reporter string // empty: not known
	// Editors are all who wrote it or changed it, as far as the system says, the last
	// one last. Unless EditorsKnown, nothing is to be concluded from them.
	Editors      []string
	EditorsKnown bool

	// Closings is another text whenever the ticket was closed and opened again; empty
	// where the system does not say.
	Closings string
}
