package broker

import (
	"context"
	"fmt"
	"slices"

	"stint/internal/access"
	"stint/internal/moment"
)

// Favourites lists the caller's own.
func (b *Broker) Favourites(ctx context.Context, c Caller) (fs []access.Favourite, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) (err error) { fs, err = tx.Favourites(c.Principal.Person); return err })
	return fs, err
}

// keeps refuses whoever is not a person: what they keep is under the person's name, who
// would ask by it for what a program wrote there.
func (c Caller) keeps() error {
	if c.Principal.ID.Kind() == access.User {
		return nil
	}
	return access.Fail(access.Denied, "not-a-person", "only people keep favourites").Because(string(c.Principal.ID) + " is not a user")
}

// SaveFavourite keeps one of the caller's, in the place of one of that name. What it
// names has to be there; whether they may have it is asked when they do.
func (b *Broker) SaveFavourite(ctx context.Context, c Caller, f access.Favourite) (access.Favourite, error) {
	if err := c.keeps(); err != nil {
		return f, err
	}
	if !access.ValidName(f.Name) {
		return f, access.Fail(access.Invalid, "bad-name", fmt.Sprintf("%q cannot be a name", f.Name)).
			Because("a name is 1 to 63 of a-z, 0-9, '.', '_', '-' and begins with a letter or digit")
	}
	if f.Duration <= 0 || f.Duration > access.MaxDuration {
		return f, access.Fail(access.Invalid, "bad-duration", "the duration is more than nothing and at most "+moment.Span(access.MaxDuration))
	}
	err := b.update(onBehalf(ctx, c.Principal.Person), func(tx Tx, fx *effects) error {
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		ask := Ask{Resource: f.Resource, Role: f.Role, Duration: f.Duration}.policy(c.Principal, c.Source)
		if _, err := set.Resolve(ask); err != nil {
			return err
		}
		have, err := tx.Favourites(c.Principal.Person)
		if err != nil {
			return err
		}
		if len(have) >= access.MaxFavourites && !slices.ContainsFunc(have, func(o access.Favourite) bool { return o.Name == f.Name }) {
			return access.Fail(access.TooMany, "too-many-favourites", fmt.Sprintf("you have %d favourites already", len(have))).Try("delete one with stint favourite delete")
		}
		f.Person, f.SavedAt = c.Principal.Person, tx.Now()
		fx.event(b.alarmEvent(FavouriteSaved, tx.Now(), c.Actor, "name", f.Name, "resource", string(f.Resource), "role", string(f.Role), "duration", f.Duration.String()))
		return tx.SaveFavourite(f)
	})
	return f, err
}

// DropFavourite forgets one of the caller's.
func (b *Broker) DropFavourite(ctx context.Context, c Caller, name string) error {
	if err := c.keeps(); err != nil {
		return err
	}
	return b.update(onBehalf(ctx, c.Principal.Person), func(tx Tx, fx *effects) error {
		have, err := tx.Favourites(c.Principal.Person)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(have, func(o access.Favourite) bool { return o.Name == name }) {
			return access.Fail(access.NotFound, "no-such-favourite", "you have no favourite "+fmt.Sprintf("%.80q", name)).Try("list them with stint favourite list")
		}
		fx.event(b.alarmEvent(FavouriteDeleted, tx.Now(), c.Actor, "name", name))
		return tx.DropFavourite(c.Principal.Person, name)
	})
}
