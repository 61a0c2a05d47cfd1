package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/internal/web/views"
)

// The stand's resources: everything that somebody wrote is an attack.

func nastyRow() views.ResourceRow {
	return views.ResourceRow{Name: nasty, Type: nasty, Env: nasty, Grade: nasty, Address: nasty, Owners: []string{nasty}, Labels: []string{nasty}, Live: 1, Standing: 2,
		Probe: views.Probe{At: time.Now(), By: nasty, Said: nasty, Steps: []api.CheckStep{{Name: nasty, Detail: nasty, Fix: nasty}}}}
}

func nastyStand() views.Stand {
	return views.Stand{Resource: nasty, Account: nasty, Privilege: nasty, Undo: nasty, Note: nasty, Since: time.Now()}
}

func (s *stand) Resources(_ context.Context, _ Visitor, query, view, after string) (views.Resources, error) {
	return views.Resources{Query: query, View: view, Next: nasty, After: nasty, All: 2, Matching: 2, Items: []views.ResourceRow{nastyRow()}, Adds: true, ByView: map[string]int{}}, nil
}
func (s *stand) Resource(context.Context, Visitor, string) (views.Resource, error) {
	return views.Resource{ResourceRow: nastyRow(), Description: nasty, Credential: nasty, Options: [][2]string{{nasty, nasty}}, Checks: true, Edits: true,
		Reach: []views.Reach{{Subject: nasty, Role: nasty, Policy: nasty, Effect: nasty, Longest: nasty}}, Holders: []views.Holder{{ID: "req_1", Who: nasty, Role: nasty, Until: time.Now()}},
		Survey: views.Survey{Can: true, Tried: true, At: time.Now(), Edges: 1, Accounts: 1, Said: nasty}, Found: []views.Stand{nastyStand()}, More: true,
		Edit: views.ResourceEdit{Owners: nasty, Criticality: "high", Labels: nasty}}, nil
}
func (s *stand) Wizard(context.Context, Visitor, string) (views.Wizard, error) {
	return views.Wizard{Types: []string{nasty}, Chosen: nasty, Options: []views.WizardOption{{Name: nasty, Doc: nasty, Default: nasty, Required: true}, {Name: "b", Values: []string{nasty}}, {Name: "c", Long: true}}}, nil
}
func (s *stand) AddResource(_ context.Context, _ Visitor, n views.NewResource, password api.Secret, only bool) (Added, error) {
	if n.Name == "refused" {
		return Added{}, &api.Error{Kind: api.Invalid, Message: nasty, Why: nasty, Next: nasty}
	}
	return Added{Report: api.CheckReport{OK: n.Name == "good", Steps: []api.CheckStep{{Name: nasty, Detail: nasty, Fix: nasty, OK: n.Name == "good"}}}, Kept: !only && n.Name == "good"}, nil
}
func (s *stand) Standing(context.Context, Visitor, string) (views.StandingList, error) {
	return views.StandingList{Items: []views.Stand{nastyStand()}, Next: nasty, Edges: 1, Accounts: 1, Failed: []string{nasty}}, nil
}
func (s *stand) Eligible(context.Context, Visitor, string, string, string) (views.Eligible, error) {
	return views.Eligible{Stand: nastyStand(), Text: nasty, Nobody: true, NewRole: true, NeverLent: true}, nil
}
func (s *stand) Start(context.Context, Visitor) (views.Start, error) {
	return views.Start{Lines: []views.StartLine{{Title: nasty, Note: nasty, Said: nasty, Href: "/x", Label: nasty, Command: nasty}, {Title: nasty, Unknown: true}, {Title: nasty, Done: true, Said: nasty}}}, nil
}

// TestWizardKeepsNoPassword: what was typed stays on the form after a refusal, a check that
// failed and one that passed; the password is in no answer.
func TestWizardKeepsNoPassword(t *testing.T) {
	const password = "correct-horse-battery"
	site := New(newStand())
	for _, c := range []struct {
		name, act, says string
		code            int
	}{
		{"refused", "add", "", http.StatusForbidden}, {"bad", "add", "Nothing was kept", http.StatusUnprocessableEntity}, {"good", "probe", "The check passed", http.StatusOK}, {"good", "add", "", http.StatusSeeOther},
	} {
		w := httptest.NewRecorder()
		form := url.Values{"type": {"x"}, "name": {c.name}, "address": {"db9:5432"}, "username": {"stint_login"}, "password": {password}, "groups": {"orders_read"}, "o-" + nasty: {"orders"}, "act": {c.act}}
		r := httptest.NewRequest(http.MethodPost, "/resources/new", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		site.ServeHTTP(w, r)
		text := w.Body.String()
		if w.Code != c.code || !strings.Contains(text, c.says) {
			t.Errorf("%+v: %d %s", c, w.Code, text)
		}
		if strings.Contains(text+w.Header().Get("Location"), password) {
			t.Errorf("%+v: the password is in the answer", c)
		}
		if c.code != http.StatusSeeOther && (!strings.Contains(text, "db9:5432") || !strings.Contains(text, "stint_login") || !strings.Contains(text, "orders_read")) {
			t.Errorf("%+v: what was typed is lost: %s", c, text)
		}
		tame(t, c.name, text, nonceIn(text))
	}
}

// nonceIn is the nonce of a page's scripts.
func nonceIn(text string) string {
	_, after, _ := strings.Cut(text, ` nonce="`)
	nonce, _, _ := strings.Cut(after, `"`)
	return nonce
}
