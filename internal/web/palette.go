package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// Finder is what the palette needs of the control plane, besides what there is to ask for.
type Finder interface {
	// Shortcuts are what the visitor holds and may want again.
	Shortcuts(ctx context.Context, v Visitor) (views.Shortcuts, error)
	// Named are people and policies by all the words of a name, so many of each and as far
	// as the visitor may see them on their pages.
	Named(ctx context.Context, v Visitor, parts []string, most int) (views.Named, error)
}

const (
	// mostLines bounds each group of the palette, mostQuery what is looked for, and
	// mostParts how many words of it a name is asked about.
	mostLines = 7
	mostQuery = 80
	mostParts = 6
)

// palette shows what the visitor could go to or ask for. It does nothing: each line leads
// to the page on which that is done.
func (s *Site) palette(v *visit) error {
	query := strings.TrimSpace(v.r.URL.Query().Get("q"))
	if len(query) > mostQuery {
		query = strings.ToValidUTF8(query[:mostQuery], "")
	}
	p := views.Palette{Query: query}
	if !v.person.Enrols {
		all, kits, err := s.doors.Catalogue(v.r.Context(), v.Visitor)
		if err != nil {
			return err
		}
		mine, err := s.doors.Shortcuts(v.r.Context(), v.Visitor)
		if err != nil {
			return err
		}
		p.Groups = append(ownLines(mine, query), askLines(all, kits, query)...)
		if parts := strings.Fields(strings.ToLower(query)); len(parts) > 0 {
			named, err := s.doors.Named(v.r.Context(), v.Visitor, parts[:min(len(parts), mostParts)], mostLines)
			if err != nil {
				return err
			}
			p.Groups = append(p.Groups, namedLines(named)...)
		}
	}
	p.Groups = append(p.Groups, pageLines(railOf(v.person), query)...)
	p.Groups = slices.DeleteFunc(p.Groups, func(g views.PaletteGroup) bool { return len(g.Items) == 0 })
	if v.partly() {
		return s.piece(v, http.StatusOK, views.PaletteList(p))
	}
	return s.show(v, sheet{title: words.PaletteTitle, lede: words.PaletteLede}, views.PalettePage(p))
}

// matches reports whether a text has all the words of a query in it.
func matches(query, text string) bool {
	text = strings.ToLower(text)
	for _, w := range strings.Fields(strings.ToLower(query)) {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// few are the first of the items, each once.
func few(items []views.PaletteItem) []views.PaletteItem {
	var out []views.PaletteItem
	for _, x := range items {
		if len(out) == mostLines {
			break
		}
		if !slices.ContainsFunc(out, func(y views.PaletteItem) bool { return x.Href == y.Href }) {
			out = append(out, x)
		}
	}
	return out
}

// ownLines are what somebody holds, keeps and had before.
func ownLines(m views.Shortcuts, query string) []views.PaletteGroup {
	var held, kept, again []views.PaletteItem
	for _, h := range m.Held {
		until := words.PaletteUntil(h.Until().Format("15:04 UTC"))
		if title := words.PaletteEnd(h.Role, h.Resource); matches(query, title) {
			held = append(held, views.PaletteItem{Icon: h.Icon(), Title: title, Note: until, Href: "/r/" + h.ID + "#acts", Env: h.Env, Grade: h.Grade})
		}
		if title := words.PaletteExtend(h.Role, h.Resource); matches(query, title) && h.Grant != nil && h.Grant.State == api.GrantActive {
			held = append(held, views.PaletteItem{Icon: "plus", Title: title, Note: until, Href: "/#more-" + h.ID, Env: h.Env, Grade: h.Grade})
		}
	}
	for _, f := range m.Favourites {
		if note := words.PaletteRequest(f.Role, f.Resource) + ", " + views.Spoken(f.For); matches(query, f.Name+" "+note) {
			kept = append(kept, views.PaletteItem{Icon: "star", Title: f.Name, Note: note, Href: f.Link()})
		}
	}
	for _, w := range m.Again {
		if title := words.PaletteRequest(w.Role, w.Resource); matches(query, title) {
			again = append(again, views.PaletteItem{Icon: "history", Title: title, Note: views.Spoken(w.For), Href: w.Link()})
		}
	}
	return []views.PaletteGroup{{Key: "held", Name: words.PaletteHeld, Items: few(held)}, {Key: "kept", Name: words.PaletteKept, Items: few(kept)}, {Key: "again", Name: words.PaletteAgain, Items: few(again)}}
}

// askLines are roles that are open to somebody: of each resource the least, or those that
// the query is about. Names that begin with the query come first.
func askLines(all []views.Choice, kits []views.NamedBundle, query string) []views.PaletteGroup {
	var begins, other, bundles []views.PaletteItem
	for _, c := range all {
		about := strings.Join([]string{c.Name, c.Description, c.Type, views.TypeName(c.Type), c.Env, c.Grade, words.PaletteAsk}, " ")
		roles := c.Roles
		if matches(query, about) {
			roles = roles[:min(1, len(roles))]
		}
		for _, r := range roles {
			if !matches(query, about+" "+r.Name+" "+r.Description) {
				continue
			}
			x := views.PaletteItem{Icon: views.TypeIcon(c.Type), Title: words.PaletteRequest(r.Name, c.Name), Note: views.TypeName(c.Type) + " · " + views.RolesText(c.Roles),
				Href: views.Wish{Resource: c.Name, Role: r.Name}.Link(), Env: c.Env, Grade: c.Grade}
			if strings.HasPrefix(strings.ToLower(c.Name), strings.ToLower(query)) {
				begins = append(begins, x)
			} else {
				other = append(other, x)
			}
		}
		if len(begins) >= mostLines {
			break
		}
	}
	for _, k := range kits {
		if note := views.KitText(k); matches(query, k.Name+" "+note) {
			bundles = append(bundles, views.PaletteItem{Icon: "box", Title: k.Name, Note: note, Href: views.Wish{Bundle: k.Name}.Link()})
		}
	}
	return []views.PaletteGroup{{Key: "ask", Name: words.PaletteAsk, Items: few(append(begins, other...))}, {Key: "kits", Name: words.PaletteBundles, Items: few(bundles)}}
}

// namedLines are people and policies that were looked for by name.
func namedLines(n views.Named) []views.PaletteGroup {
	var people, rules []views.PaletteItem
	for _, p := range n.People {
		href := views.PersonLink(p.ID)
		if !n.All { // whose page is not theirs to see, whose line in the list is
			href = "/people?" + url.Values{"tab": {string(views.TabOf(p))}, "q": {p.ID}}.Encode()
		}
		people = append(people, views.PaletteItem{Icon: views.KindIcon(p.ID), Title: p.Name, Note: views.WhoNote(p), Href: href})
	}
	for _, name := range n.Policies {
		rules = append(rules, views.PaletteItem{Icon: "scroll-text", Title: name, Href: "/policies/" + url.PathEscape(name)})
	}
	return []views.PaletteGroup{{Key: "people", Name: words.PalettePeople, Items: few(people)}, {Key: "policies", Name: words.PalettePolicies, Items: few(rules)}}
}

// searched are the pages of the rail that take a query of their own.
var searched = []string{"people", "resources", "policies", "audit"}

// pageLines are the pages of somebody's rail, and the search on those that have one.
func pageLines(rail []ui.Group, query string) []views.PaletteGroup {
	var pages, further []views.PaletteItem
	for _, g := range rail {
		for _, l := range g.Links {
			if matches(query, l.Label) {
				pages = append(pages, views.PaletteItem{Icon: l.Icon, Title: l.Label, Href: l.Href})
			}
			if query != "" && slices.Contains(searched, l.Key) {
				further = append(further, views.PaletteItem{Icon: "search", Title: words.PaletteLookFor(query, l.Label), Href: l.Href + "?q=" + url.QueryEscape(query)})
			}
		}
	}
	return []views.PaletteGroup{{Key: "pages", Name: words.PalettePages, Items: few(pages)}, {Key: "look", Name: words.PaletteLook, Items: further}}
}

// setKeys turns the keys of one letter on and off.
func (s *Site) setKeys(v *visit) error {
	until := time.Unix(1, 0)
	if v.r.PostForm.Get("keys") == "off" {
		until = time.Now().AddDate(1, 0, 0)
	}
	v.setCookie(keysCookie, "off", until)
	v.redirect("/you")
	return nil
}

// noKeys reports whether the visitor turned them off.
func (v *visit) noKeys() bool { return v.cookie(keysCookie) == "off" }
