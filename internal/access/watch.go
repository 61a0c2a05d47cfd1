package access

import "time"

// TicketWatch is a grant that rests on its ticket. It is bookkeeping of who reads the
// ticket again: what ends the grant is recorded with the grant.
type TicketWatch struct {
	Grant  GrantID
	System string // the integration that keeps the ticket
	Ticket string
	// Read says that the ticket could be read since the grant began, and Closings what
	// its system then said of how often it had been closed.
	Read     bool
	Closings string
	ReadAt   time.Time // when it last could be read; before that, when the grant was made
	NextAt   time.Time // when it is to be read again
}
