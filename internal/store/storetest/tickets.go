package storetest

import (
	"errors"
	"testing"
	"time"

	"stint/internal/access"
)

// favourites are of one person each, under names.
func favourites(t *testing.T, s Store) {
	now := storeNow(t, s)
	a := access.Favourite{Person: "ada", Name: "nightly", Resource: "db", Role: "reader", Duration: time.Hour, SavedAt: now}
	b, other := a, a
	b.Name, other.Person = "import", "omar"
	update(t, s, func(tx Tx) error {
		return errors.Join(tx.SaveFavourite(a), tx.SaveFavourite(b), tx.SaveFavourite(other))
	})
	of := func(p access.Person) []access.Favourite {
		return read(t, s, func(tx Tx) ([]access.Favourite, error) { return tx.Favourites(p) })
	}
	diff(t, of("ada"), []access.Favourite{b, a})
	a.Role, a.Duration = "owner", 30*time.Minute
	update(t, s, func(tx Tx) error {
		return errors.Join(tx.SaveFavourite(a), tx.DropFavourite("ada", "import"), tx.DropFavourite("ada", "never"))
	})
	diff(t, of("ada"), []access.Favourite{a})
	diff(t, of("omar"), []access.Favourite{other})
}

// watched tickets are due by their time, and come whole.
func watchedTickets(t *testing.T, s Store) {
	now := storeNow(t, s)
	w := func(g access.GrantID, due time.Duration) access.TicketWatch {
		return access.TicketWatch{Grant: g, System: "corp-jira", Ticket: "OPS-1", Read: true, Closings: "2", ReadAt: now, NextAt: now.Add(due)}
	}
	first, second, later := w("grt_b", -time.Second), w("grt_a", 0), w("grt_c", time.Hour)
	update(t, s, func(tx Tx) error { return tx.SaveTicketWatches(second, first, later) })
	due := func(limit int) []access.TicketWatch {
		return read(t, s, func(tx Tx) ([]access.TicketWatch, error) { return tx.DueTicketWatches(limit) })
	}
	diff(t, due(10), []access.TicketWatch{first, second})
	diff(t, due(1), []access.TicketWatch{first})
	first.NextAt, first.Read, first.Closings = now.Add(time.Hour), false, ""
	update(t, s, func(tx Tx) error {
		return errors.Join(tx.SaveTicketWatches(first), tx.DropTicketWatches("grt_a", "grt_never"))
	})
	if left := due(10); len(left) != 0 {
		t.Errorf("%v is due", left)
	}
}
