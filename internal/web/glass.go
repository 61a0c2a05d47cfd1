package web

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// Glass is what the pages of break-glass access need of the control plane.
type Glass interface {
	// Emergencies are what the visitor could break the glass for.
	Emergencies(ctx context.Context, v Visitor) ([]views.Choice, error)
	// Alarm is what that would set off on a resource, now.
	Alarm(ctx context.Context, v Visitor, resource string) (views.Alarm, error)
	// BreakGlass breaks it, and gives the request's id. What lacks only words is refused
	// without a request.
	BreakGlass(ctx context.Context, v Visitor, w views.GlassWish) (id string, err error)

	// Reviews are reviews that the visitor may see, the newest first, from a cursor on.
	Reviews(ctx context.Context, v Visitor, closed bool, after string) (views.Reviews, error)
	Review(ctx context.Context, v Visitor, id string) (views.Review, error)
	CloseReview(ctx context.Context, v Visitor, id, finding, note string) error
}

// glassPage shows what the glass can be broken for or, when that is chosen, the form and
// what it would set off. An address brings no reason along, and does nothing.
func (s *Site) glassPage(v *visit) error {
	q := v.r.URL.Query()
	g, err := s.glassOf(v, views.GlassWish{Resource: q.Get("resource"), Role: q.Get("role"), Key: newNonce()}, q.Get("q"))
	if err != nil {
		return err
	}
	return s.showGlass(v, http.StatusOK, g)
}

func (s *Site) showGlass(v *visit, status int, g views.Glass) error {
	sh := sheet{title: words.GlassTitle, lede: words.GlassLede, nav: "glass", status: status}
	if g.Chosen != nil {
		sh.title, sh.lede, sh.up = words.GlassOn(g.Chosen.Name), "", []ui.Crumb{{Href: "/break-glass", Label: words.GlassTitle}}
	}
	return s.show(v, sh, views.GlassPage(g))
}

func (s *Site) glassOf(v *visit, w views.GlassWish, query string) (g views.Glass, err error) {
	ctx := v.r.Context()
	all, err := s.doors.Emergencies(ctx, v.Visitor)
	if err != nil {
		return g, err
	}
	g.None, g.Query, g.Wish = len(all) == 0, strings.TrimSpace(query), w
	i := slices.IndexFunc(all, func(c views.Choice) bool { return c.Name == w.Resource })
	if i < 0 {
		if w.Resource != "" {
			g.Query = w.Resource
		}
		g.Found, g.More = found(all, g.Query)
		return g, nil
	}
	g.Chosen = &all[i]
	if !slices.ContainsFunc(g.Chosen.Roles, func(r views.RoleChoice) bool { return r.Name == w.Role }) {
		g.Wish.Role = g.Chosen.Roles[0].Name
	}
	var longest time.Duration
	for _, r := range g.Chosen.Roles {
		if r.Name == g.Wish.Role {
			longest = r.Longest
		}
	}
	g.Presets = views.Presets(longest)
	if n := len(g.Presets); g.Wish.For == "" && n > 0 {
		g.Wish.For = g.Presets[n-1]
	}
	if g.Devices, err = s.doors.Devices(ctx, v.Visitor); err != nil {
		return g, err
	}
	g.Alarm, err = s.doors.Alarm(ctx, v.Visitor, g.Chosen.Name)
	return g, err
}

// breakGlass does it, once the name was typed. What is refused is said on the form, with
// all that was typed.
func (s *Site) breakGlass(v *visit) error {
	f := v.r.PostForm
	field := func(name string) string { return strings.TrimSpace(f.Get(name)) }
	w := views.GlassWish{Resource: field("resource"), Role: field("role"), For: cmp.Or(field("other"), field("for")), Reason: field("reason"),
		Device: field("device"), Key: field("key"), Typed: field("typed"), Drill: field("drill") == "yes"}
	wrong := ""
	if w.Typed != w.Resource {
		wrong = words.GlassWrongName(w.Resource)
	} else if id, err := s.doors.BreakGlass(v.r.Context(), v.Visitor, w); err == nil {
		v.redirect("/r/" + id)
		return nil
	} else {
		problem := s.doors.Refusal(v.r.Context(), err)
		if problem.Kind == api.Unauthenticated || problem.Kind == api.Internal || problem.Kind == api.TooMany {
			s.refuse(v, problem)
			return nil
		}
		return s.glassAgain(v, w, "", problem)
	}
	return s.glassAgain(v, w, wrong, nil)
}

func (s *Site) glassAgain(v *visit, w views.GlassWish, wrong string, problem *api.Error) error {
	g, err := s.glassOf(v, w, "")
	if err != nil {
		return err
	}
	status := http.StatusUnprocessableEntity
	if problem != nil {
		status = problem.Status
	}
	g.Wrong, g.Problem = wrong, problem
	return s.showGlass(v, status, g)
}

func (s *Site) listReviews(v *visit) error {
	m, err := s.reviewsOf(v)
	if err != nil {
		return err
	}
	live := ""
	if !m.Closed && !m.Later {
		live = "reviews"
	}
	return s.show(v, sheet{title: words.ReviewsTitle, lede: words.ReviewsLede, nav: "reviews", live: live}, views.ReviewsPage(m))
}

func (s *Site) reviewsOf(v *visit) (views.Reviews, error) {
	q := v.r.URL.Query()
	return s.doors.Reviews(v.r.Context(), v.Visitor, q.Get("tab") == "closed", q.Get("after"))
}

// reviewsLive is what changes on that page.
func (s *Site) reviewsLive(v *visit) (templ.Component, error) {
	m, err := s.reviewsOf(v)
	return views.ReviewsLive(m), err
}

func (s *Site) showReview(v *visit) error {
	r, err := s.doors.Review(v.r.Context(), v.Visitor, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	return s.review(v, http.StatusOK, r)
}

func (s *Site) review(v *visit, status int, r views.Review) error {
	return s.show(v, sheet{title: views.ReviewTitle(r.Review), nav: "reviews", status: status, up: []ui.Crumb{{Href: "/reviews", Label: words.ReviewsTitle}},
		live: "review&id=" + url.QueryEscape(r.ID)}, views.ReviewPage(r))
}

// reviewLive is what changes on the page of one review.
func (s *Site) reviewLive(v *visit) (templ.Component, error) {
	r, err := s.doors.Review(v.r.Context(), v.Visitor, v.r.URL.Query().Get("id"))
	if err != nil {
		return nil, err
	}
	return views.ReviewLive(r), nil
}

func (s *Site) closeReview(v *visit) error {
	id, f := v.r.PathValue("id"), v.r.PostForm
	note := strings.TrimSpace(f.Get("note"))
	err := s.doors.CloseReview(v.r.Context(), v.Visitor, id, f.Get("finding"), note)
	if err == nil {
		v.redirect("/reviews/" + id)
		return nil
	}
	problem := s.doors.Refusal(v.r.Context(), err)
	if problem.Kind != api.Invalid && problem.Kind != api.Conflict {
		s.refuse(v, problem)
		return nil
	}
	r, err := s.doors.Review(v.r.Context(), v.Visitor, id) // and keeps what was typed
	if err != nil {
		return err
	}
	r.Problem, r.Typed = problem, note
	return s.review(v, problem.Status, r)
}
