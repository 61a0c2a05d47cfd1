package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"stint/internal/api"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// Holder is what the pages of one's own access need of the control plane.
type Holder interface {
	// Access is what the visitor holds, and what is on its way to them: a window of it,
	// which begins after a mark.
	Access(ctx context.Context, v Visitor, after string) (views.Access, error)
	// Extend asks for more time on a grant of theirs, which is a request of its own.
	Extend(ctx context.Context, v Visitor, id, by, why string) (api.Request, error)
	// Voted are requests that the visitor voted on, the newest first: those before one. It gives
	// where older ones begin; empty after the last.
	Voted(ctx context.Context, v Visitor, before string) (all []api.Request, next string, err error)
	// Favourites are what they keep, by name; Keep and Forget are about those.
	Favourites(ctx context.Context, v Visitor) ([]views.Favourite, error)
	Keep(ctx context.Context, v Visitor, name string, w views.Wish) error
	Forget(ctx context.Context, v Visitor, name string) error
}

// home shows what somebody holds. A session by recovery code is for making a passkey, and
// is shown the way there.
func (s *Site) home(v *visit) error {
	if v.person.Enrols {
		return s.you(v)
	}
	a, err := s.doors.Access(v.r.Context(), v.Visitor, v.r.URL.Query().Get("after"))
	if err != nil {
		return err
	}
	a = a.At(v.at)
	live := "access"
	if a.After != "" {
		live += "&after=" + url.QueryEscape(a.After)
	}
	return s.show(v, sheet{title: words.TitleAccess, lede: words.LedeAccess, nav: "home", live: live}, views.AccessPage(a))
}

// accessLive is what changes on that page, in the window that it shows.
func (s *Site) accessLive(v *visit) (templ.Component, error) {
	return s.accessAt(v, v.r.URL.Query().Get("after"))
}

func (s *Site) accessAt(v *visit, after string) (templ.Component, error) {
	a, err := s.doors.Access(v.r.Context(), v.Visitor, after)
	if err != nil {
		return nil, err
	}
	return views.AccessLive(a.At(v.at)), nil
}

// homeIn is the address of the page of one's access in a form, and the window that it shows;
// false where the form is from another page.
func homeIn(form url.Values) (at, after string, ok bool) {
	u, err := url.Parse(localPath(form.Get("back")))
	if err != nil || u.Path != "/" || !form.Has("back") {
		return "/", "", false
	}
	after = u.Query().Get("after")
	return views.Access{After: after}.Here(), after, true
}

// back answers an act on something that one holds: where it was done on the page of one's
// access by a script, with all of that anew, and else with the page it came from.
func (s *Site) back(v *visit, id string) error {
	at, after, home := homeIn(v.r.PostForm)
	if v.partly() {
		body, err := s.accessAt(v, after)
		if err != nil {
			return err
		}
		return s.piece(v, http.StatusOK, body)
	}
	if home {
		v.redirect(at)
		return nil
	}
	v.redirect("/r/" + id)
	return nil
}

// extend asks for more time, and goes back to where it was asked: what is granted at once
// shows there, and what somebody has to approve is a request with a page of its own.
func (s *Site) extend(v *visit) error {
	f := v.r.PostForm
	r, err := s.doors.Extend(v.r.Context(), v.Visitor, v.r.PathValue("id"), strings.TrimSpace(f.Get("for")), strings.TrimSpace(f.Get("why")))
	if err != nil {
		return err
	}
	if r.State == api.RequestApproved || v.partly() {
		if !v.r.PostForm.Has("back") {
			v.r.PostForm.Set("back", "/")
		}
		return s.back(v, r.ID)
	}
	v.redirect("/r/" + r.ID)
	return nil
}
