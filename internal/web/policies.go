package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// Policymaker is what the pages of policies need of the control plane.
type Policymaker interface {
	// Policies are those that match all the words of a query, from a position on.
	Policies(ctx context.Context, v Visitor, query string, after int) (views.Policies, error)
	Policy(ctx context.Context, v Visitor, name string) (views.PolicyPage, error)
	// DraftPolicy is a new one to begin with.
	DraftPolicy(ctx context.Context, v Visitor, start string) (views.PolicyEdit, error)
	// CheckPolicy works out what a change would do. It changes nothing.
	CheckPolicy(ctx context.Context, v Visitor, e views.PolicyEdit) (views.PolicyEdit, error)
	// ApplyPolicy makes a change that was checked or, where that takes a second person,
	// proposes it. Of a deletion there is no name.
	ApplyPolicy(ctx context.Context, v Visitor, e views.PolicyEdit) (name, proposal string, err error)
	// PolicyTests are the tests of a policy, or others instead, and how they come out.
	PolicyTests(ctx context.Context, v Visitor, name string, instead *string) (views.PolicyTests, error)
	KeepPolicyTests(ctx context.Context, v Visitor, name, text string) error
	PolicyWho(ctx context.Context, v Visitor, resource string, after int) (views.PolicyWho, error)
	TryPolicy(ctx context.Context, v Visitor, t views.PolicyTry) (views.PolicyTry, error)
}

// maxPolicyForm bounds the forms that hold the text of a policy: 256 KiB, in which each
// byte may be three, and the fields beside it.
const maxPolicyForm = 1 << 20

// starters are what an empty house may begin with.
var starters = []views.PolicyStart{{Key: "oncall", Name: words.PolicyStartOnCall, Why: words.PolicyStartOnCallWhy},
	{Key: "staging", Name: words.PolicyStartStaging, Why: words.PolicyStartStagingWhy}, {Key: "write", Name: words.PolicyStartWrite, Why: words.PolicyStartWriteWhy}}

func (s *Site) listPolicies(v *visit) error {
	q := v.r.URL.Query()
	after, _ := strconv.Atoi(q.Get("after")) // what is no number is the beginning
	p, err := s.doors.Policies(v.r.Context(), v.Visitor, strings.TrimSpace(q.Get("q")), after)
	if err != nil {
		return err
	}
	p.Starters = starters
	return s.show(v, sheet{title: words.Policies, lede: words.PoliciesLede, nav: "policies"}, views.PoliciesPage(p))
}

// policyViews are the views of a policy that an address may name.
var policyViews = []string{"", "form", "source", "tests", "who", "try", views.PolicyDeletes}

func (s *Site) showPolicy(v *visit) error {
	ctx, q := v.r.Context(), v.r.URL.Query()
	p, err := s.doors.Policy(ctx, v.Visitor, v.r.PathValue("name"))
	if err != nil {
		return err
	}
	if p.View = q.Get("view"); !slices.Contains(policyViews, p.View) || !p.Reads && p.View != "who" && p.View != "try" {
		p.View = ""
	}
	first := ""
	if len(p.Reach) > 0 {
		first = p.Reach[0]
	}
	switch p.View {
	case "form", "source", views.PolicyDeletes:
		p.Edit.Mode = p.View
	case "tests":
		p.Tests, err = s.doors.PolicyTests(ctx, v.Visitor, p.Card.Name, nil)
	case "who":
		after, _ := strconv.Atoi(q.Get("after"))
		resource := strings.TrimSpace(q.Get("resource"))
		if resource == "" {
			resource = first
		}
		p.Who, err = s.doors.PolicyWho(ctx, v.Visitor, resource, after)
	case "try":
		p.Try = views.PolicyTry{Resource: first, For: "30m"}
	}
	if err != nil {
		return err
	}
	return s.policyPage(v, http.StatusOK, p)
}

func (s *Site) policyPage(v *visit, status int, p views.PolicyPage) error {
	return s.show(v, sheet{title: p.Card.Name, lede: p.Card.Description, nav: "policies", up: []ui.Crumb{{Href: "/policies", Label: words.Policies}}, status: status}, views.PolicyOne(p))
}

func (s *Site) newPolicy(v *visit) error {
	e, err := s.doors.DraftPolicy(v.r.Context(), v.Visitor, v.r.URL.Query().Get("start"))
	if err != nil {
		return err
	}
	if v.r.URL.Query().Get("view") == "source" {
		e.Mode = "source"
	}
	return s.newPolicyPage(v, http.StatusOK, e)
}

func (s *Site) newPolicyPage(v *visit, status int, e views.PolicyEdit) error {
	return s.show(v, sheet{title: words.PoliciesNew, lede: words.PolicyNewLede, nav: "policies", up: []ui.Crumb{{Href: "/policies", Label: words.Policies}}, status: status}, views.PolicyNewPage(e))
}

// editFields are the fields that a form of a policy may have, each once.
var editFields = []string{"mode", "act", "base", "was", "checked", "anyway", "text", "kind", "name", "description", "subjects", "roles", "names", "labels", "approvers", "count", "reason", "max", "mfa", "yields"}

// editOf reads what was typed. It is strict: what the form does not have is refused.
func editOf(f url.Values) (e views.PolicyEdit, checked string, err error) {
	bad := &api.Error{Kind: api.Invalid, Code: "bad-form", Message: words.PolicyFormRefused, Next: words.PolicyFormRefusedNext}
	for name, values := range f {
		if !slices.Contains(editFields, name) || len(values) != 1 {
			return e, "", bad
		}
	}
	base, failed := strconv.ParseInt(f.Get("base"), 10, 64)
	if e.Mode = f.Get("mode"); failed != nil || base < 0 || e.Mode != "form" && e.Mode != "source" && e.Mode != views.PolicyDeletes {
		return e, "", bad
	}
	e.Base, e.Was, e.Anyway, e.First = base, f.Get("was"), f.Get("anyway") == "yes", 1
	e.Text = f.Get("text")
	e.Form = views.PolicyForm{Kind: f.Get("kind"), Name: f.Get("name"), Description: f.Get("description"), Subjects: f.Get("subjects"), Roles: f.Get("roles"), Names: f.Get("names"),
		Labels: f.Get("labels"), Approvers: f.Get("approvers"), Count: f.Get("count"), Reason: f.Get("reason"), Max: f.Get("max"), MFA: f.Get("mfa") == "yes", Yields: f.Get("yields") == "yes"}
	return e, f.Get("checked"), nil
}

// editPolicy checks what was typed and, where that was checked and is asked for, applies
// or proposes it. What is wrong is said on the page, with all that was typed.
func (s *Site) editPolicy(v *visit) error {
	p, err := s.doors.Policy(v.r.Context(), v.Visitor, v.r.PathValue("name"))
	if err != nil {
		return err
	}
	e, checked, err := editOf(v.r.PostForm)
	if err != nil {
		return err
	}
	if e.Name = p.Card.Name; e.Mode == "form" {
		e.Form.Name = e.Name
	}
	return s.changePolicy(v, e, checked, func(status int, e views.PolicyEdit) error {
		p.Edit, p.View = e, e.Mode
		return s.policyPage(v, status, p)
	})
}

func (s *Site) makePolicy(v *visit) error {
	e, checked, err := editOf(v.r.PostForm)
	if err != nil {
		return err
	}
	if e.New = true; e.Mode == views.PolicyDeletes {
		return &api.Error{Kind: api.Invalid, Code: "bad-form", Message: words.PolicyFormRefused, Next: words.PolicyFormRefusedNext}
	}
	return s.changePolicy(v, e, checked, func(status int, e views.PolicyEdit) error { return s.newPolicyPage(v, status, e) })
}

func (s *Site) changePolicy(v *visit, e views.PolicyEdit, checked string, show func(status int, e views.PolicyEdit) error) error {
	apply, base := v.r.PostForm.Get("act") == "apply", e.Base
	e, err := s.doors.CheckPolicy(v.r.Context(), v.Visitor, e)
	switch {
	case err != nil:
		return err
	case e.Problem != nil:
		return show(e.Problem.Status, e)
	case e.Current != "":
		return show(http.StatusConflict, e)
	case !apply:
		return show(http.StatusOK, e)
	case e.Changes.Checked != checked && e.Base != base:
		e.Notice = words.PolicyMoved
		return show(http.StatusConflict, e)
	case e.Changes.Checked != checked:
		e.Notice = words.PolicyOtherText
		return show(http.StatusConflict, e)
	case e.Changes.Failed() > 0 && !e.Anyway:
		e.Notice = words.PolicyTestFailFirst
		return show(http.StatusConflict, e)
	}
	name, proposal, err := s.doors.ApplyPolicy(v.r.Context(), v.Visitor, e)
	if err != nil {
		problem := s.doors.Refusal(v.r.Context(), err)
		if problem.Kind == api.Internal || problem.Kind == api.Unauthenticated || problem.Kind == api.TooMany {
			s.refuse(v, problem)
			return nil
		}
		e.Changes.MayNot = problem
		return show(problem.Status, e)
	}
	if proposal != "" {
		v.redirect("/proposals/" + url.PathEscape(proposal))
		return nil
	}
	to := "/policies"
	if name != "" {
		to += "/" + url.PathEscape(name)
	}
	v.redirect(to)
	return nil
}

// testPolicy runs tests as they are typed, or keeps them.
func (s *Site) testPolicy(v *visit) error {
	ctx, name, text := v.r.Context(), v.r.PathValue("name"), v.r.PostForm.Get("text")
	p, err := s.doors.Policy(ctx, v.Visitor, name)
	if err != nil {
		return err
	}
	p.View = "tests"
	if p.Tests, err = s.doors.PolicyTests(ctx, v.Visitor, name, &text); err != nil {
		return err
	}
	status := http.StatusOK
	switch {
	case p.Tests.Problem != nil:
		status = p.Tests.Problem.Status
	case v.r.PostForm.Get("act") == "save":
		if err := s.doors.KeepPolicyTests(ctx, v.Visitor, name, text); err != nil {
			if p.Tests.Problem = s.doors.Refusal(ctx, err); p.Tests.Problem.Kind == api.Internal || p.Tests.Problem.Kind == api.Unauthenticated {
				s.refuse(v, p.Tests.Problem)
				return nil
			}
			status = p.Tests.Problem.Status
			break
		}
		v.redirect(p.Card.Link("tests"))
		return nil
	}
	return s.policyPage(v, status, p)
}

// tryPolicy says what would be decided. Nothing is asked for.
func (s *Site) tryPolicy(v *visit) error {
	p, err := s.doors.Policy(v.r.Context(), v.Visitor, v.r.PathValue("name"))
	if err != nil {
		return err
	}
	field := func(name string) string { return strings.TrimSpace(v.r.PostForm.Get(name)) }
	p.View = "try"
	p.Try, err = s.doors.TryPolicy(v.r.Context(), v.Visitor, views.PolicyTry{Who: field("who"), OnCall: field("oncall"), Resource: field("resource"), Role: field("role"), For: field("for"),
		Reason: field("reason"), Ticket: field("ticket")})
	if err != nil {
		return err
	}
	status := http.StatusOK
	if p.Try.Problem != nil {
		status = p.Try.Problem.Status
	}
	return s.policyPage(v, status, p)
}
