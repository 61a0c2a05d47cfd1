package views

import (
	"time"

	"stint/internal/api"
	"stint/internal/web/words"
)

// Palette is what one can go to or ask for, as far as a few words match.
type Palette struct {
	Query  string
	Groups []PaletteGroup
}

// PaletteGroup is a kind of it.
type PaletteGroup struct {
	Key, Name string
	Items     []PaletteItem
}

// PaletteItem is one line, which leads somewhere and does nothing by itself.
type PaletteItem struct {
	Icon, Title, Note string
	Href              string
	Env, Grade        string
}

// Shortcuts are what somebody holds and may want again, for the palette.
type Shortcuts struct {
	Held       []Held
	Favourites []Favourite
	Again      []Wish
}

// Named are people and policies that were looked for by name. All says that the visitor may
// see the pages of the people, and not just their lines in the lists.
type Named struct {
	All      bool
	People   []api.User
	Policies []string
}

// KindIcon is the picture of a kind of principal.
func KindIcon(id string) string { return kindIcon(id) }

// TabOf is the list in which somebody stands.
func TabOf(u api.User) PeopleTab {
	switch {
	case u.Kind == "agent":
		return TabAgents
	case u.Kind == "service":
		return TabServices
	case u.Sponsor != "":
		return TabVendors
	}
	return TabPeople
}

// WhoNote says what kind of principal somebody is.
func WhoNote(u api.User) string {
	note := words.PaletteKinds[string(TabOf(u))]
	if u.Disabled {
		note += " · " + words.PeopleDisabled
	}
	if u.Lock != nil {
		note += " · " + words.PeopleLocked
	}
	return note
}

// TypeIcon is the picture of a kind of target.
func TypeIcon(kind string) string { return typeIcon(kind) }

// TypeName is what people call it.
func TypeName(kind string) string { return typeName(kind) }

// Spoken is a duration as people say it.
func Spoken(text string) string { return spoken(text) }

// RolesText are the names of roles.
func RolesText(rs []RoleChoice) string { return rolesText(rs) }

// KitText is what a bundle holds.
func KitText(k NamedBundle) string { return kitText(k) }

// count of all lines.
func (p Palette) count() (n int) {
	for _, g := range p.Groups {
		n += len(g.Items)
	}
	return n
}

// Until is when it ends; zero where there is nothing yet.
func (h Held) Until() time.Time {
	if h.Grant == nil {
		return time.Time{}
	}
	return h.Grant.ExpiresAt.UTC()
}
