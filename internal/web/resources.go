package web

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// Estate is what the pages of resources need of the control plane.
type Estate interface {
	// Resources is a page of the resources that the visitor administers, audits, writes
	// policies for or owns.
	Resources(ctx context.Context, v Visitor, query, view, after string) (views.Resources, error)
	Resource(ctx context.Context, v Visitor, name string) (views.Resource, error)
	CheckResource(ctx context.Context, v Visitor, name string) error
	SurveyResource(ctx context.Context, v Visitor, name string) error
	// EditResource changes its document, or proposes that and gives the proposal's id.
	EditResource(ctx context.Context, v Visitor, name string, e views.ResourceEdit) (proposal string, err error)

	// Wizard is the form for a type, and the types that there are.
	Wizard(ctx context.Context, v Visitor, kind string) (views.Wizard, error)
	// AddResource checks a resource live and, unless that fails or it is only to be
	// checked, registers its credential and applies its documents, or proposes them.
	AddResource(ctx context.Context, v Visitor, n views.NewResource, password api.Secret, only bool) (Added, error)

	Standing(ctx context.Context, v Visitor, after string) (views.StandingList, error)
	Eligible(ctx context.Context, v Visitor, resource, account, privilege string) (views.Eligible, error)
	MakeEligible(ctx context.Context, v Visitor, resource, text string) (proposal string, err error)

	// Start is how far a new installation is, for administrators.
	Start(ctx context.Context, v Visitor) (views.Start, error)
	PutStartAway(ctx context.Context, v Visitor) error
}

// Added is what became of a resource that was to be added.
type Added struct {
	Report   api.CheckReport
	Kept     bool // it is there, or proposed
	Proposal string
}

func (s *Site) listResources(v *visit) error {
	q := v.r.URL.Query()
	r, err := s.doors.Resources(v.r.Context(), v.Visitor, strings.TrimSpace(q.Get("q")), q.Get("view"), q.Get("after"))
	if err != nil {
		return err
	}
	r.Proposed = proposedIn(q)
	live := "resources&" + url.Values{"q": {q.Get("q")}, "tab": {q.Get("view")}, "after": {q.Get("after")}}.Encode()
	return s.show(v, sheet{title: words.ResourcesTitle, lede: words.ResourcesLede, nav: "resources", live: live}, views.ResourcesPage(r))
}

// resourcesLive is what changes on that page. Its own view is the tab of the stream, whose
// view it is.
func (s *Site) resourcesLive(v *visit) (templ.Component, error) {
	q := v.r.URL.Query()
	r, err := s.doors.Resources(v.r.Context(), v.Visitor, strings.TrimSpace(q.Get("q")), q.Get("tab"), q.Get("after"))
	if err != nil {
		return nil, err
	}
	return views.ResourcesLive(r), nil
}

// resourceLive is what changes on the page of one resource.
func (s *Site) resourceLive(v *visit) (templ.Component, error) {
	r, err := s.doors.Resource(v.r.Context(), v.Visitor, v.r.URL.Query().Get("id"))
	if err != nil {
		return nil, err
	}
	return views.ResourceLive(r), nil
}

// proposedIn is the proposal that an address says something became.
func proposedIn(q url.Values) string {
	if p := q.Get("proposed"); strings.HasPrefix(p, "prp_") && len(p) <= 30 {
		return p
	}
	return ""
}

func resourcesUp() []ui.Crumb {
	return []ui.Crumb{{Href: "/resources", Label: words.ResourcesTitle}}
}

func (s *Site) showResource(v *visit) error { return s.resourcePage(v, nil, nil) }

// resourcePage shows a resource, with what an act on it met and what was typed for it.
func (s *Site) resourcePage(v *visit, problem *api.Error, typed *views.ResourceEdit) error {
	r, err := s.doors.Resource(v.r.Context(), v.Visitor, v.r.PathValue("name"))
	if err != nil {
		return err
	}
	sh := sheet{title: r.Name, nav: "resources", up: resourcesUp(), live: "resource&id=" + url.QueryEscape(r.Name)}
	if r.Problem = problem; problem != nil {
		sh.status = problem.Status
	}
	if typed != nil {
		r.Edit = *typed
	}
	r.Proposed = proposedIn(v.r.URL.Query())
	return s.show(v, sh, views.ResourcePage(r))
}

// kept reports whether an error is one that a form can show beside what was typed.
func (s *Site) kept(v *visit, err error) (*api.Error, bool) {
	problem := s.doors.Refusal(v.r.Context(), err)
	switch problem.Kind {
	case api.Unauthenticated, api.Denied, api.NotFound, api.Internal, api.TooMany:
		return problem, false
	}
	return problem, true
}

// acted goes back to the resource after an act on it.
func (s *Site) acted(v *visit, err error, typed *views.ResourceEdit) error {
	name := v.r.PathValue("name")
	if err == nil {
		v.redirect("/resources/" + url.PathEscape(name))
		return nil
	}
	problem, ok := s.kept(v, err)
	if !ok {
		s.refuse(v, problem)
		return nil
	}
	return s.resourcePage(v, problem, typed)
}

func (s *Site) checkResource(v *visit) error {
	return s.acted(v, s.doors.CheckResource(v.r.Context(), v.Visitor, v.r.PathValue("name")), nil)
}

func (s *Site) surveyResource(v *visit) error {
	return s.acted(v, s.doors.SurveyResource(v.r.Context(), v.Visitor, v.r.PathValue("name")), nil)
}

func (s *Site) editResource(v *visit) error {
	f, name := v.r.PostForm, v.r.PathValue("name")
	e := views.ResourceEdit{Owners: strings.TrimSpace(f.Get("owners")), Criticality: f.Get("criticality"), Labels: strings.TrimSpace(f.Get("labels"))}
	proposal, err := s.doors.EditResource(v.r.Context(), v.Visitor, name, e)
	if err == nil && proposal != "" {
		v.redirect(proposedAt(name, proposal))
		return nil
	}
	return s.acted(v, err, &e)
}

func proposedAt(name, proposal string) string {
	return "/resources/" + url.PathEscape(name) + "?" + url.Values{"proposed": {proposal}}.Encode()
}

func (s *Site) askWizard(v *visit) error {
	w, err := s.doors.Wizard(v.r.Context(), v.Visitor, v.r.URL.Query().Get("type"))
	if err != nil {
		return err
	}
	w.New = views.NewResource{Type: w.Chosen, Criticality: "high", Role: "reader", Longest: "4h", Approve: true}
	return s.showWizard(v, http.StatusOK, w)
}

func (s *Site) showWizard(v *visit, status int, w views.Wizard) error {
	return s.show(v, sheet{title: words.WizardTitle, lede: words.WizardLede, nav: "resources", up: resourcesUp(), status: status}, views.WizardPage(w))
}

// addResource has it checked and added. What was typed stays on the form, but for the
// password, which goes nowhere but to the control plane.
func (s *Site) addResource(v *visit) error {
	f := v.r.PostForm
	field := func(name string) string { return strings.TrimSpace(f.Get(name)) }
	password := api.Secret(f.Get("password"))
	f.Del("password")
	w, err := s.doors.Wizard(v.r.Context(), v.Visitor, field("type"))
	if err != nil {
		return err
	}
	w.New = views.NewResource{Type: w.Chosen, Name: field("name"), Address: field("address"), Username: field("username"), Credential: field("credential"),
		Options: map[string]string{}, Owners: field("owners"), Criticality: field("criticality"), Labels: field("labels"),
		Role: field("role"), Groups: field("groups"), Longest: field("longest"), Who: field("who"), Approve: f.Get("approve") == "yes"}
	for _, o := range w.Options {
		if x := field("o-" + o.Name); x != "" {
			w.New.Options[o.Name] = x
		}
	}
	added, err := s.doors.AddResource(v.r.Context(), v.Visitor, w.New, password, field("act") != "add")
	if err != nil {
		problem, ok := s.kept(v, err)
		if !ok {
			s.refuse(v, problem)
			return nil
		}
		w.Problem = problem
		return s.showWizard(v, problem.Status, w)
	}
	switch {
	case added.Proposal != "":
		v.redirect("/resources?" + url.Values{"proposed": {added.Proposal}}.Encode())
		return nil
	case added.Kept:
		v.redirect("/resources/" + url.PathEscape(w.New.Name))
		return nil
	}
	w.Report = &added.Report
	status := http.StatusOK
	if !added.Report.OK {
		status = http.StatusUnprocessableEntity
	}
	return s.showWizard(v, status, w)
}

func (s *Site) listStanding(v *visit) error {
	l, err := s.doors.Standing(v.r.Context(), v.Visitor, v.r.URL.Query().Get("after"))
	if err != nil {
		return err
	}
	return s.show(v, sheet{title: words.StandingTitle, lede: words.StandingLede, nav: "resources", up: resourcesUp()}, views.StandingPage(l))
}

func (s *Site) askEligible(v *visit) error {
	q := v.r.URL.Query()
	return s.eligiblePage(v, q, nil, "")
}

func (s *Site) eligiblePage(v *visit, q url.Values, problem *api.Error, text string) error {
	e, err := s.doors.Eligible(v.r.Context(), v.Visitor, v.r.PathValue("name"), q.Get("account"), q.Get("privilege"))
	if err != nil {
		return err
	}
	sh := sheet{title: words.EligibleTitle, lede: words.EligibleLede, nav: "resources", up: append(resourcesUp(), ui.Crumb{Href: "/resources/" + url.PathEscape(e.Resource), Label: e.Resource})}
	e.Text = cmp.Or(text, e.Text)
	if e.Problem = problem; problem != nil {
		sh.status = problem.Status
	}
	return s.show(v, sh, views.EligiblePage(e))
}

func (s *Site) makeEligible(v *visit) error {
	f, name := v.r.PostForm, v.r.PathValue("name")
	proposal, err := s.doors.MakeEligible(v.r.Context(), v.Visitor, name, f.Get("text"))
	switch {
	case err == nil && proposal != "":
		v.redirect(proposedAt(name, proposal))
		return nil
	case err == nil:
		v.redirect("/resources/" + url.PathEscape(name))
		return nil
	}
	problem, ok := s.kept(v, err)
	if !ok {
		s.refuse(v, problem)
		return nil
	}
	return s.eligiblePage(v, f, problem, f.Get("text"))
}

func (s *Site) start(v *visit) error {
	l, err := s.doors.Start(v.r.Context(), v.Visitor)
	if err != nil {
		return err
	}
	return s.show(v, sheet{title: words.StartTitle, lede: words.StartLede, nav: "start"}, views.StartPage(l))
}

func (s *Site) putStartAway(v *visit) error {
	if err := s.doors.PutStartAway(v.r.Context(), v.Visitor); err != nil {
		return err
	}
	v.redirect("/")
	return nil
}
