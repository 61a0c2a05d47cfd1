package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"stint/internal/access"
)

// What people keep for themselves of what they look for in the log.
const (
	SearchSaved   access.EventType = "search.saved"
	SearchDeleted access.EventType = "search.deleted"

	maxSearches = 30
	maxSearch   = 1000 // bytes of one
)

// Search is what somebody looks for in the log, under a name of theirs. It gives no right
// to see anything.
type Search struct {
	Name  string `json:"name"`
	Query string `json:"query"` // as in the address of the page
}

func searchesName(p access.Person) string { return "searches/" + string(p) }

func readSearches(tx Tx, p access.Person) (all []Search, err error) {
	body, err := tx.Setting(searchesName(p))
	if err != nil || body == nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, fmt.Errorf("read the searches of a person: %w", err)
	}
	return all, nil
}

// Searches lists the caller's own, by name.
func (b *Broker) Searches(ctx context.Context, c Caller) (all []Search, err error) {
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		all, err = readSearches(tx, c.Principal.Person)
		return err
	})
	return all, err
}

// SaveSearch keeps one of the caller's, in the place of one of that name; without a query
// it forgets it.
func (b *Broker) SaveSearch(ctx context.Context, c Caller, s Search) error {
	if err := c.keeps(); err != nil {
		return err
	}
	if !access.ValidName(s.Name) {
		return access.Fail(access.Invalid, "bad-name", fmt.Sprintf("%.80q cannot be a name", s.Name)).
			Because("a name is 1 to 63 of a-z, 0-9, '.', '_', '-' and begins with a letter or digit")
	}
	if len(s.Query) > maxSearch {
		return access.Fail(access.Invalid, "search-too-long", "the search is too long to be kept")
	}
	return b.update(onBehalf(ctx, c.Principal.Person), func(tx Tx, fx *effects) error {
		all, err := readSearches(tx, c.Principal.Person)
		if err != nil {
			return err
		}
		at, there := slices.BinarySearchFunc(all, s.Name, func(o Search, name string) int { return strings.Compare(o.Name, name) })
		kind := SearchSaved
		switch {
		case s.Query == "" && !there:
			return access.Fail(access.NotFound, "no-such-search", "you keep no search of that name").Try("those that you keep are listed at /audit")
		case s.Query == "":
			all, kind = slices.Delete(all, at, at+1), SearchDeleted
		case there:
			all[at] = s
		case len(all) >= maxSearches:
			return access.Fail(access.TooMany, "too-many-searches", fmt.Sprintf("you keep %d searches already", len(all))).Try("forget one of them")
		default:
			all = slices.Insert(all, at, s)
		}
		var body []byte
		if len(all) > 0 {
			if body, err = json.Marshal(all); err != nil {
				return fmt.Errorf("write the searches of a person: %w", err)
			}
		}
		fx.event(b.alarmEvent(kind, tx.Now(), c.Actor, "name", s.Name, "query", s.Query))
		return tx.SaveSetting(searchesName(c.Principal.Person), body)
	})
}
