package simstore

import (
	"cmp"
	"slices"

	"stint/internal/access"
)

type favouriteKey struct {
	person access.Person
	name   string
}

// Favourites lists those of a person, by name.
func (tx *Tx) Favourites(p access.Person) (found []access.Favourite, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for k, f := range tx.s.favourites {
		if k.person == p {
			found = append(found, f)
		}
	}
	slices.SortFunc(found, func(a, b access.Favourite) int { return cmp.Compare(a.Name, b.Name) })
	return found, nil
}

// SaveFavourite keeps one, in the place of one of that name.
func (tx *Tx) SaveFavourite(f access.Favourite) error {
	if err := tx.writes(); err != nil {
		return err
	}
	f.SavedAt = instant(f.SavedAt)
	putKey(tx, tx.s.favourites, favouriteKey{f.Person, f.Name}, f)
	return nil
}

// DropFavourite forgets one; that there is none is no error.
func (tx *Tx) DropFavourite(p access.Person, name string) error {
	if err := tx.writes(); err != nil {
		return err
	}
	dropKey(tx, tx.s.favourites, favouriteKey{p, name})
	return nil
}

// SaveTicketWatches writes watches.
func (tx *Tx) SaveTicketWatches(ws ...access.TicketWatch) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for _, w := range ws {
		w.ReadAt, w.NextAt = instant(w.ReadAt), instant(w.NextAt)
		putKey(tx, tx.s.ticketWatches, w.Grant, w)
	}
	return nil
}

// DueTicketWatches are those whose NextAt has come, the longest due first.
func (tx *Tx) DueTicketWatches(limit int) (found []access.TicketWatch, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for _, w := range tx.s.ticketWatches {
		if !w.NextAt.After(tx.now) {
			found = append(found, w)
		}
	}
	slices.SortFunc(found, func(a, b access.TicketWatch) int {
		return cmp.Or(a.NextAt.Compare(b.NextAt), cmp.Compare(a.Grant, b.Grant))
	})
	return found[:min(len(found), limit)], nil
}

// DropTicketWatches forgets those of grants.
func (tx *Tx) DropTicketWatches(ids ...access.GrantID) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for _, id := range ids {
		dropKey(tx, tx.s.ticketWatches, id)
	}
	return nil
}
