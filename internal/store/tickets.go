package store

import (
	"time"

	"stint/internal/access"
)

var favouriteTable = table{
	name: "favourites", noun: "favourite", keys: 2,
	columns: []column{{"person", text}, {"name", text}, {"resource", text}, {"role", text}, {"duration", integer}, {"saved_at", integer}},
}.build()

func favouriteRow(f access.Favourite) write {
	return write{string(f.Person), f.Name, string(f.Resource), string(f.Role), int64(f.Duration), millis(f.SavedAt)}
}

func scanFavourite(row row) (access.Favourite, error) {
	var f access.Favourite
	var duration, at int64
	err := row.Scan(&f.Person, &f.Name, &f.Resource, &f.Role, &duration, &at)
	f.Duration, f.SavedAt = time.Duration(duration), instant(at)
	return f, err
}

const favouriteColumns = "SELECT person, name, resource, role, duration, saved_at FROM favourites"

// Favourites lists those of a person, by name.
func (tx *Tx) Favourites(p access.Person) ([]access.Favourite, error) {
	return list(tx, scanFavourite, favouriteColumns+" WHERE person = $1 ORDER BY name", string(p))
}

// SaveFavourite keeps one, in the place of one of that name.
func (tx *Tx) SaveFavourite(f access.Favourite) error {
	return tx.save(favouriteTable, []write{favouriteRow(f)})
}

// DropFavourite forgets one; that there is none is no error.
func (tx *Tx) DropFavourite(p access.Person, name string) error {
	_, err := tx.exec("DELETE FROM favourites WHERE person = $1 AND name = $2", string(p), name)
	return err
}

var ticketWatchTable = table{
	name: "ticket_watches", noun: "watched ticket", keys: 1,
	columns: []column{{"grant_id", text}, {"next_at", integer}, {"body", text}},
}.build()

type ticketWatchBody struct {
	System   string `json:"system"`
	Ticket   string `json:"ticket"`
	Read     bool   `json:"read,omitempty"`
	Closings string `json:"closings,omitempty"`
	ReadAt   stamp  `json:"read_at,omitempty"`
}

func ticketWatchRow(w access.TicketWatch) (write, error) {
	body, err := encode(ticketWatchBody{w.System, w.Ticket, w.Read, w.Closings, stampOf(w.ReadAt)})
	return write{string(w.Grant), w.NextAt.UnixMilli(), body}, err
}

func scanTicketWatch(row row) (access.TicketWatch, error) {
	var w access.TicketWatch
	var next int64
	var text string
	if err := row.Scan(&w.Grant, &next, &text); err != nil {
		return w, err
	}
	var b ticketWatchBody
	if err := decode(text, "watched ticket", string(w.Grant), &b); err != nil {
		return w, err
	}
	w.System, w.Ticket, w.Read, w.Closings, w.ReadAt, w.NextAt = b.System, b.Ticket, b.Read, b.Closings, b.ReadAt.time(), instant(next)
	return w, nil
}

// SaveTicketWatches writes watches.
func (tx *Tx) SaveTicketWatches(ws ...access.TicketWatch) error {
	rows := make([]write, 0, len(ws))
	for _, w := range ws {
		row, err := ticketWatchRow(w)
		if err != nil {
			return tx.fail(err)
		}
		rows = append(rows, row)
	}
	return tx.save(ticketWatchTable, rows)
}

// DueTicketWatches are those whose NextAt has come, the longest due first.
func (tx *Tx) DueTicketWatches(limit int) ([]access.TicketWatch, error) {
	return listGood(tx, scanTicketWatch, "SELECT grant_id, next_at, body FROM ticket_watches WHERE next_at <= $1 ORDER BY next_at, grant_id"+first(limit), tx.now.UnixMilli())
}

var dropTicketWatches = byIDs("DELETE FROM ticket_watches WHERE grant_id {ids}")

// DropTicketWatches forgets those of grants.
func (tx *Tx) DropTicketWatches(ids ...access.GrantID) error {
	return execByIDs(tx, nil, dropTicketWatches, ids)
}

// TicketWatch reads the watch of a grant.
func (tx *Tx) TicketWatch(id access.GrantID) (access.TicketWatch, error) {
	return one(tx, "watched ticket", scanTicketWatch, "SELECT grant_id, next_at, body FROM ticket_watches WHERE grant_id = $1", string(id))
}
