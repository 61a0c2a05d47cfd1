package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/internal/web/views"
)

func nastyCard() views.PolicyCard {
	return views.PolicyCard{Name: nasty, Effect: "deny", Description: nasty, Sentence: nasty, Lines: []string{nasty}, File: nasty, Source: nasty}
}

func nastyDiff() api.PolicyDiff {
	return api.PolicyDiff{Documents: []api.DocumentChange{{Kind: nasty, Name: nasty, Action: nasty, Fields: []api.FieldChange{{Field: nasty, Before: nasty, After: nasty}}}},
		Can:    []api.CanChange{{What: "gains", Resource: nasty, Role: nasty, Who: []string{nasty}, Before: nasty, After: nasty}},
		Ends:   []api.Lapse{{Request: nasty, Principal: nasty, Resource: nasty, Role: nasty, Why: nasty}},
		Second: []api.Grave{{Kind: nasty, Name: nasty, Why: nasty}}, TwoPersons: true, Warnings: []api.Problem{{Source: nasty, Text: nasty, Next: nasty}}}
}

func nastyReplay() api.PolicyReplay {
	return api.PolicyReplay{Asked: 1, Unknown: 1, Differ: []api.Replayed{{Request: nasty, Principal: nasty, Resource: nasty, Role: nasty, Duration: nasty, At: api.At(time.Now()), After: api.Decision{Outcome: "deny"}}}}
}

func nastyEdit() views.PolicyEdit {
	return views.PolicyEdit{Name: nasty, Mode: "form", Text: nasty, File: nasty, First: 3, Was: nasty,
		Form: views.PolicyForm{Kind: nasty, Name: nasty, Description: nasty, Subjects: nasty, Roles: nasty, Names: nasty, Labels: nasty, Approvers: nasty, Count: nasty, Reason: nasty, Max: nasty}}
}

var nastyTests = []views.PolicyTest{{Policy: nasty, Name: nasty, Source: nasty, Why: []string{nasty}}, {Name: nasty, OK: true, Reasons: []api.Reason{{Text: nasty, Source: nasty}}}}

func (s *stand) Policies(context.Context, Visitor, string, int) (views.Policies, error) {
	return views.Policies{Query: nasty, Files: []views.PolicyFile{{Name: nasty, Policies: []views.PolicyCard{nastyCard()}}}, Next: 1, Edits: true, Empty: true}, nil
}
func (s *stand) Policy(_ context.Context, _ Visitor, name string) (views.PolicyPage, error) {
	return views.PolicyPage{Card: nastyCard(), Reads: true, Author: nasty, Reach: []string{nasty}, ReachMore: 2, Schedules: []string{nasty}, Edit: nastyEdit()}, nil
}
func (s *stand) DraftPolicy(context.Context, Visitor, string) (views.PolicyEdit, error) {
	e := nastyEdit()
	e.New, e.Mode = true, "form"
	return e, nil
}
func (s *stand) CheckPolicy(_ context.Context, _ Visitor, e views.PolicyEdit) (views.PolicyEdit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.reason {
	case "problem":
		e.File, e.First = nasty, 1
		e.Problem = &api.Error{Status: 422, Kind: api.Invalid, Message: nasty, Why: nasty, Next: nasty, Faults: []api.Problem{{Source: nasty + ":1", Text: nasty, Next: nasty}, {Source: nasty, Text: nasty}}}
	case "conflict":
		e.Current = nasty
	default:
		e.Base, e.Changes = 7, &views.PolicyChanges{Diff: nastyDiff(), Replay: nastyReplay(), Tests: nastyTests, Checked: "checked " + e.Text}
	}
	return e, nil
}
func (s *stand) ApplyPolicy(context.Context, Visitor, views.PolicyEdit) (string, string, error) {
	return "done", "", nil
}
func (s *stand) PolicyTests(context.Context, Visitor, string, *string) (views.PolicyTests, error) {
	return views.PolicyTests{Text: nasty, Results: nastyTests, Ran: true, Problem: &api.Error{Status: 422, Message: nasty, Faults: []api.Problem{{Source: nasty, Text: nasty, Next: nasty}}}}, nil
}
func (s *stand) KeepPolicyTests(context.Context, Visitor, string, string) error { return nil }
func (s *stand) PolicyWho(context.Context, Visitor, string, int) (views.PolicyWho, error) {
	return views.PolicyWho{Resource: nasty, Next: 3, Rows: []views.PolicyCan{{Who: nasty, Role: nasty, How: nasty, Policy: nasty, Source: nasty}}}, nil
}
func (s *stand) TryPolicy(_ context.Context, _ Visitor, t views.PolicyTry) (views.PolicyTry, error) {
	t.Answer = &api.Explanation{Decision: api.Decision{Outcome: "deny", Reasons: []api.Reason{{Text: nasty, Policy: nasty, Source: nasty}}, Approvals: []api.Approval{{From: []string{nasty}, Count: 1}}},
		Policies: []api.RuleSaid{{Policy: nasty, Source: nasty, Text: nasty, Matched: true}}}
	t.Problem = &api.Error{Status: 403, Message: nasty, Why: nasty, Next: nasty}
	return t, nil
}

func nastyProposal() api.Proposal {
	return api.Proposal{ID: nasty, State: "pending", Kind: nasty, Principal: nasty, Person: nasty, Summary: nasty, Why: []string{nasty}, Digest: nasty, Mine: true, Stale: true, DecidedBy: nasty, Note: nasty}
}
func (s *stand) Proposals(context.Context, Visitor, bool, string) (views.Proposals, error) {
	return views.Proposals{All: []api.Proposal{nastyProposal()}, Next: nasty}, nil
}
func (s *stand) Proposal(context.Context, Visitor, string) (views.ProposalPage, error) {
	p := nastyProposal()
	d, r := nastyDiff(), nastyReplay()
	p.Diff = &d
	return views.ProposalPage{Proposal: p, Texts: []views.TextDiff{{Title: nasty, Lines: []views.DiffLine{{Mark: "+", Text: nasty}}}}, Replay: &r}, nil
}
func (s *stand) DecideProposal(context.Context, Visitor, string, string, string, bool) error {
	return nil
}

func (s *stand) post(t *testing.T, at string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, at, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	New(s).ServeHTTP(w, r)
	return w
}

// TestPolicyAnswersAreTame: what a form comes back with is as tame as a page, keeps what
// was typed, and nothing is applied but what was checked.
func TestPolicyAnswersAreTame(t *testing.T) {
	edit := func(kv ...string) url.Values {
		f := url.Values{"mode": {"source"}, "base": {"7"}, "was": {""}, "text": {nasty}, "act": {"apply"}}
		for i := 0; i < len(kv); i += 2 {
			f.Set(kv[i], kv[i+1])
		}
		return f
	}
	for _, c := range []struct {
		what, how, at string
		form          url.Values
		code          int
	}{
		{"what would change", "", "/policies/x", edit("act", "check"), 200},
		{"a problem", "problem", "/policies/x", edit(), 422},
		{"a conflict", "conflict", "/policies/x", edit(), 409},
		{"not what was checked", "", "/policies/x", edit("checked", "other"), 409},
		{"tests fail", "", "/policies/x", edit("checked", "checked "+nasty), 409},
		{"all well", "", "/policies/x", edit("checked", "checked "+nasty, "anyway", "yes"), 303},
		{"a new one", "", "/new-policy", edit("act", "check", "mode", "form"), 200},
		{"a field that there is not", "", "/policies/x", edit("extra", "1"), 403},
		{"a field twice", "", "/policies/x", url.Values{"mode": {"source"}, "base": {"7"}, "text": {"a", "b"}}, 403},
		{"no version", "", "/policies/x", edit("base", "-1"), 403},
		{"no mode", "", "/policies/x", edit("mode", "x"), 403},
		{"too much", "", "/policies/x", edit("text", strings.Repeat("x", maxPolicyForm)), 403},
		{"a try", "", "/policies/x/try", url.Values{"who": {nasty}}, 403},
		{"tests", "", "/policies/x/tests", url.Values{"text": {nasty}}, 422},
		{"no answer", "", "/proposals/x", url.Values{"answer": {"maybe"}}, 403},
	} {
		s := newStand()
		s.reason = c.how
		w := s.post(t, c.at, c.form)
		if w.Code != c.code {
			t.Errorf("%s: %d, want %d: %s", c.what, w.Code, c.code, w.Body)
			continue
		}
		if c.code == 303 {
			continue
		}
		m := regexp.MustCompile(`'nonce-([\w-]{22})'`).FindStringSubmatch(w.Header().Get("Content-Security-Policy"))
		if m == nil {
			t.Errorf("%s: no policy", c.what)
			continue
		}
		tame(t, c.what, w.Body.String(), m[1])
		if c.code != 403 && c.form.Get("text") != "" && !strings.Contains(w.Body.String(), "onerror=alert(1)") {
			t.Errorf("%s: what was typed is lost", c.what)
		}
	}
	// The other pages keep their bound.
	if w := newStand().post(t, "/r/x/remark", url.Values{"text": {strings.Repeat("x", int(maxForm))}}); w.Code != http.StatusForbidden {
		t.Errorf("a form of another page is unbounded: %d", w.Code)
	}
}
