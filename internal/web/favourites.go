package web

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"stint/internal/api"
	"stint/internal/web/views"
)

// maxNamed bounds a name that is made here, as names are bounded everywhere.
const maxNamed = 63

// keepFavourite keeps a role on a resource under a name. The star of a role sends the whole
// form of the page Request along, with star as the role: what was typed there comes back.
func (s *Site) keepFavourite(v *visit) error {
	f, w := v.r.PostForm, wishOf(v.r.PostForm)
	name, star := strings.TrimSpace(f.Get("name")), f.Get("star")
	if star == "" {
		if err := s.doors.Keep(v.r.Context(), v.Visitor, name, w); err != nil {
			return err
		}
		v.redirect("/")
		return nil
	}
	have, err := s.doors.Favourites(v.r.Context(), v.Visitor)
	if err != nil {
		return err
	}
	kept := w
	kept.Role = star
	if keptAs(have, w.Resource, star) == "" { // pressed twice, it is kept once
		err = s.doors.Keep(v.r.Context(), v.Visitor, cmp.Or(name, freeName(have, w.Resource, star)), kept)
	}
	return s.starred(v, w, err)
}

// forgetFavourite forgets one, by its name; on the page Request by the star that was pressed.
func (s *Site) forgetFavourite(v *visit) error {
	f := v.r.PostForm
	if star := f.Get("unstar"); star != "" {
		return s.starred(v, wishOf(f), s.doors.Forget(v.r.Context(), v.Visitor, star))
	}
	if err := s.doors.Forget(v.r.Context(), v.Visitor, f.Get("name")); err != nil {
		return err
	}
	to := "/"
	if f.Get("back") == "/request" {
		to = "/request"
	}
	v.redirect(to)
	return nil
}

// starred goes back to the form that a star was pressed on. A reason is never part of an
// address, so that a form in which something was typed is answered by itself.
func (s *Site) starred(v *visit, w views.Wish, err error) error {
	if err == nil && w.Reason == "" && w.Ticket == "" && w.Start == "" && w.Device == "" {
		v.redirect(w.Link())
		return nil
	}
	status := http.StatusOK
	var problem *api.Error
	if err != nil {
		problem = s.doors.Refusal(v.r.Context(), err)
		if problem.Kind == api.Unauthenticated || problem.Kind == api.Internal {
			s.refuse(v, problem)
			return nil
		}
		status = problem.Status
	}
	p, wrong := s.asking(v, w, "")
	if wrong != nil {
		return wrong
	}
	p.Problem = problem
	return s.showAsk(v, status, p)
}

// keptAs is the name under which a role on a resource is kept; empty where it is not.
func keptAs(have []views.Favourite, resource, role string) string {
	for _, f := range have {
		if f.Resource == resource && f.Role == role {
			return f.Name
		}
	}
	return ""
}

// freeName is a name for a favourite that none has yet, made of what it is about.
func freeName(have []views.Favourite, resource, role string) string {
	base := resource + "-" + role
	for n := 1; ; n++ {
		end := ""
		if n > 1 {
			end = fmt.Sprintf("-%d", n)
		}
		name := strings.TrimRight(base[:min(len(base), maxNamed-len(end))], ".-_") + end
		if !slices.ContainsFunc(have, func(f views.Favourite) bool { return f.Name == name }) {
			return name
		}
	}
}
