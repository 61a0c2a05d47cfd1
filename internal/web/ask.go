package web

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// Asker is what the page on which one asks needs of the control plane.
type Asker interface {
	// Catalogue is what the visitor could ask for, and the bundles that there are.
	Catalogue(ctx context.Context, v Visitor) ([]views.Choice, []views.NamedBundle, error)
	// Devices are where they could use it, the one signed in on last first.
	Devices(ctx context.Context, v Visitor) ([]views.Place, error)
	// Foresee is what would become of a wish. It changes nothing.
	Foresee(ctx context.Context, v Visitor, w views.Wish) (views.Outlook, error)
	// Ask asks for it, and gives the request's id; of a bundle none.
	Ask(ctx context.Context, v Visitor, w views.Wish) (id string, err error)
}

// mostFound is how many resources the page lists before it wants a narrower search.
const mostFound = 50

// wishOf reads the fields of the form.
func wishOf(f url.Values) views.Wish {
	field := func(name string) string { return strings.TrimSpace(f.Get(name)) }
	zone, _ := strconv.Atoi(field("zone")) // of the reader, in minutes; without a script it is UTC
	return views.Wish{Resource: field("resource"), Role: field("role"), Bundle: field("bundle"), For: views.UntilHour(cmp.Or(field("other"), field("for")), zone, time.Now()),
		Reason: field("reason"), Ticket: field("ticket"), Start: field("start"), Device: field("device"), Key: field("key")}
}

// askPage shows what there is to ask for or, when that is chosen, the form with what would
// become of it. What an address says is looked at and nothing more; and it says no reason.
func (s *Site) askPage(v *visit) error {
	q := v.r.URL.Query()
	w := views.Wish{Resource: q.Get("resource"), Role: q.Get("role"), Bundle: q.Get("bundle"), For: q.Get("for"), Key: newNonce()}
	p, err := s.asking(v, w, q.Get("q"))
	if err != nil {
		return err
	}
	if v.partly() {
		return s.piece(v, http.StatusOK, views.Found(p))
	}
	return s.showAsk(v, http.StatusOK, p)
}

// showAsk shows the page.
func (s *Site) showAsk(v *visit, status int, p views.Ask) error {
	sh := sheet{title: words.TitleAsk, lede: words.LedeAsk, nav: "ask", status: status}
	if p.Chosen != nil || p.Kit != nil {
		sh.lede = words.LedeAskFor
		sh.up = []ui.Crumb{{Href: "/request", Label: words.TitleAsk}}
		sh.title = words.TitleAskFor(cmp.Or(p.Wish.Bundle, p.Wish.Resource))
	}
	return s.show(v, sh, views.AskPage(p))
}

// previewAsk shows the form again with what would become of it.
func (s *Site) previewAsk(v *visit) error {
	p, err := s.asking(v, wishOf(v.r.PostForm), "")
	if err != nil {
		return err
	}
	if v.partly() && p.Outlook != nil {
		return s.piece(v, http.StatusOK, views.OutlookBox(p))
	}
	return s.showAsk(v, http.StatusOK, p)
}

// sendAsk asks. What is refused is said on the form, with all that was typed.
func (s *Site) sendAsk(v *visit) error {
	w := wishOf(v.r.PostForm)
	if v.r.PostForm.Get("act") == "preview" {
		return s.previewAsk(v)
	}
	id, err := s.doors.Ask(v.r.Context(), v.Visitor, w)
	if err == nil {
		to := "/"
		if id != "" {
			to = "/r/" + id
		}
		v.redirect(to)
		return nil
	}
	problem := s.doors.Refusal(v.r.Context(), err)
	if problem.Kind == api.Unauthenticated || problem.Kind == api.Internal || problem.Kind == api.TooMany {
		s.refuse(v, problem)
		return nil
	}
	p, err := s.asking(v, w, "")
	if err != nil {
		return err
	}
	p.Problem = problem
	return s.showAsk(v, problem.Status, p)
}

// asking is the page for a wish, completed with the least of what is left open.
func (s *Site) asking(v *visit, w views.Wish, query string) (p views.Ask, err error) {
	ctx := v.r.Context()
	all, kits, err := s.doors.Catalogue(ctx, v.Visitor)
	if err != nil {
		return p, err
	}
	p.Kits, p.None = kits, len(all) == 0
	if w.Bundle != "" {
		if i := slices.IndexFunc(kits, func(k views.NamedBundle) bool { return k.Name == w.Bundle }); i >= 0 {
			p.Kit = &kits[i]
		}
	} else if w.Resource != "" {
		p.Chosen = &views.Choice{Name: w.Resource} // it may not be open to them, or not be there: the outlook says so
		if i := slices.IndexFunc(all, func(c views.Choice) bool { return c.Name == w.Resource }); i >= 0 {
			p.Chosen = &all[i]
		}
		var longest time.Duration
		for _, r := range p.Chosen.Roles {
			longest = max(longest, r.Longest)
		}
		if p.Presets = views.Presets(longest); w.Role == "" && len(p.Chosen.Roles) > 0 {
			w.Role = p.Chosen.Roles[0].Name
		}
		if w.For == "" && len(p.Presets) > 0 {
			w.For = p.Presets[0]
		}
	}
	p.Wish, p.Query = w, strings.TrimSpace(query)
	if p.Chosen == nil && p.Kit == nil || !v.partly() {
		if p.Kept, err = s.doors.Favourites(ctx, v.Visitor); err != nil {
			return p, err
		}
	}
	if p.Chosen == nil && p.Kit == nil {
		p.Found, p.More = found(all, p.Query)
		p.Kept = slices.DeleteFunc(p.Kept, func(f views.Favourite) bool { return !matches(p.Query, f.Name+" "+f.Resource+" "+f.Role) })
		return p, nil
	}
	if p.Devices, err = s.doors.Devices(ctx, v.Visitor); err != nil {
		return p, err
	}
	o, err := s.doors.Foresee(ctx, v.Visitor, w)
	p.Outlook = &o
	return p, err
}

// found are the resources that all the words of a query are about.
func found(all []views.Choice, query string) (out []views.Choice, more int) {
	parts := strings.Fields(strings.ToLower(query))
	for _, c := range all {
		text := strings.ToLower(strings.Join([]string{c.Name, c.Description, c.Type, c.Env, c.Grade}, " "))
		for _, r := range c.Roles {
			text += " " + strings.ToLower(r.Name+" "+r.Description)
		}
		switch {
		case slices.ContainsFunc(parts, func(w string) bool { return !strings.Contains(text, w) }):
		case len(out) < mostFound:
			out = append(out, c)
		default:
			more++
		}
	}
	return out, more
}
