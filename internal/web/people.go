package web

import (
	"context"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// Personnel is what the pages of people, services and agents need of the control plane.
type Personnel interface {
	// People is a page of those of a kind that match a query, from so many on.
	People(ctx context.Context, v Visitor, tab views.PeopleTab, query string, from int) (views.People, error)
	// Dossier is all there is to know of somebody; what changes by itself alone, if only
	// that is asked for. What they hold is a window after a mark, and what they may ask for
	// one from so many on.
	Dossier(ctx context.Context, v Visitor, id, after string, from int, live bool) (views.Dossier, error)
	// EndAll ends all that somebody and those they answer for hold.
	EndAll(ctx context.Context, v Visitor, id, why string) error
	// Lock keeps somebody out and ends all that they hold, until Unlock.
	Lock(ctx context.Context, v Visitor, id, why string) error
	Unlock(ctx context.Context, v Visitor, id, why string) error
	// Offboard disables somebody, and ends all that they have.
	Offboard(ctx context.Context, v Visitor, id string) error
	// Enable lets somebody in again, or proposes it where that takes two.
	Enable(ctx context.Context, v Visitor, id string) error
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return min(max(n, 0), 1_000_000)
}

func (s *Site) listPeople(v *visit) error {
	q := v.r.URL.Query()
	m, err := s.doors.People(v.r.Context(), v.Visitor, views.PeopleTab(q.Get("tab")), strings.TrimSpace(q.Get("q")), number(q.Get("from")))
	if err != nil {
		return err
	}
	if v.partly() {
		return s.piece(v, http.StatusOK, views.PeopleList(m))
	}
	sh := sheet{title: words.PeopleTitle, lede: words.PeopleLede, nav: "people"}
	if !m.All {
		sh.lede = words.PeopleLedeFew
	}
	return s.show(v, sh, views.PeoplePage(m))
}

func (s *Site) showPerson(v *visit) error {
	q := v.r.URL.Query()
	d, err := s.doors.Dossier(v.r.Context(), v.Visitor, v.r.PathValue("principal"), q.Get("after"), number(q.Get("open")), false)
	if err != nil {
		return err
	}
	return s.showDossier(v, http.StatusOK, d)
}

func (s *Site) showDossier(v *visit, status int, d views.Dossier) error {
	live := "person&id=" + url.QueryEscape(d.ID)
	if d.After != "" {
		live += "&after=" + url.QueryEscape(d.After)
	}
	return s.show(v, sheet{title: d.Name, nav: "people", status: status, up: []ui.Crumb{{Href: "/people", Label: words.PeopleTitle}}, live: live}, views.PersonPage(d.At(v.at)))
}

// personLive is what changes on that page.
func (s *Site) personLive(v *visit) (templ.Component, error) {
	q := v.r.URL.Query()
	d, err := s.doors.Dossier(v.r.Context(), v.Visitor, q.Get("id"), q.Get("after"), 0, true)
	if err != nil {
		return nil, err
	}
	return views.PersonLive(d.At(v.at)), nil
}

// did answers an act on somebody with their page, where its progress shows; what is
// refused is said there, with what was typed.
func (s *Site) did(v *visit, id string, err error) error {
	if err == nil {
		v.redirect(views.PersonLink(id))
		return nil
	}
	problem := s.doors.Refusal(v.r.Context(), err)
	if problem.Kind != api.Invalid && problem.Kind != api.Conflict {
		s.refuse(v, problem)
		return nil
	}
	d, err := s.doors.Dossier(v.r.Context(), v.Visitor, id, "", 0, false)
	if err != nil {
		return err
	}
	d.Problem, d.Why, d.Tried = problem, v.r.PostForm.Get("why"), path.Base(v.r.URL.Path)
	return s.showDossier(v, problem.Status, d)
}

func (s *Site) endAllOf(v *visit) error {
	id := v.r.PathValue("principal")
	return s.did(v, id, s.doors.EndAll(v.r.Context(), v.Visitor, id, strings.TrimSpace(v.r.PostForm.Get("why"))))
}

func (s *Site) lock(v *visit) error {
	id := v.r.PathValue("principal")
	return s.did(v, id, s.doors.Lock(v.r.Context(), v.Visitor, id, strings.TrimSpace(v.r.PostForm.Get("why"))))
}

func (s *Site) unlock(v *visit) error {
	id := v.r.PathValue("principal")
	return s.did(v, id, s.doors.Unlock(v.r.Context(), v.Visitor, id, strings.TrimSpace(v.r.PostForm.Get("why"))))
}

// offboard does it, once the name was typed.
func (s *Site) offboard(v *visit) error {
	id := v.r.PathValue("principal")
	d, err := s.doors.Dossier(v.r.Context(), v.Visitor, id, "", 0, false)
	if err != nil {
		return err
	}
	if strings.TrimSpace(v.r.PostForm.Get("typed")) != d.Name {
		d.Wrong = words.PersonWrongName(d.Name)
		return s.showDossier(v, http.StatusUnprocessableEntity, d)
	}
	return s.did(v, id, s.doors.Offboard(v.r.Context(), v.Visitor, id))
}

func (s *Site) enable(v *visit) error {
	id := v.r.PathValue("principal")
	return s.did(v, id, s.doors.Enable(v.r.Context(), v.Visitor, id))
}
