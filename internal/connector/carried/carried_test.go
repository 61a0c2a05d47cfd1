package carried

import (
	"context"
	"errors"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// ledger is one that says what a test has it say.
type ledger func(id access.EntitlementID) (Standing, error)

func (l ledger) Carried(_ context.Context, ids []access.EntitlementID) (out []Standing, err error) {
	for _, id := range ids {
		s, err := l(id)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

type short struct{}

func (short) Carried(context.Context, []access.EntitlementID) ([]Standing, error) { return nil, nil }

var two = []connector.Order{{Entitlement: "ent_a"}, {Entitlement: "ent_b"}}

// TestGone: gone is what is not wanted and has no session open, and nothing else.
func TestGone(t *testing.T) {
	for name, c := range map[string]struct {
		ledger Ledger
		gone   bool
	}{
		"over":               {ledger(func(access.EntitlementID) (Standing, error) { return Standing{}, nil }), true},
		"wanted":             {ledger(func(access.EntitlementID) (Standing, error) { return Standing{Wanted: true}, nil }), false},
		"open":               {ledger(func(access.EntitlementID) (Standing, error) { return Standing{Open: 1}, nil }), false},
		"wanted and open":    {ledger(func(access.EntitlementID) (Standing, error) { return Standing{true, 2}, nil }), false},
		"it does not answer": {ledger(func(access.EntitlementID) (Standing, error) { return Standing{}, errors.New("away") }), false},
		"it answers too few": {short{}, false},
		"there is no ledger": {nil, false},
		"one of two is open": {ledger(func(id access.EntitlementID) (Standing, error) {
			return Standing{Open: map[access.EntitlementID]int{"ent_b": 1}[id]}, nil
		}), false},
		"and the other is so": {ledger(func(id access.EntitlementID) (Standing, error) {
			return Standing{Open: map[access.EntitlementID]int{"ent_a": 1}[id]}, nil
		}), false},
	} {
		all := New(c.ledger)[0].Verify(t.Context(), connector.Target{}, two)
		if len(all) != 2 || all[0].Gone() && all[1].Gone() != c.gone {
			t.Errorf("%s: %+v", name, all)
		}
		if c.gone != (all[0].Gone() && all[1].Gone()) {
			t.Errorf("%s: %+v", name, all)
		}
	}
}

// TestOpen: a session is over by its gateway's word, or when the gateway cannot be carrying it any more.
func TestOpen(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		s    access.Session
		end  time.Time
		open bool
	}{
		"live":                      {access.Session{}, now.Add(time.Hour), true},
		"live past the end":         {access.Session{}, now.Add(-time.Hour), true},
		"closed by its gateway":     {access.Session{ClosedAt: now, Keeps: true, Reason: "revoked"}, now.Add(time.Hour), false},
		"lost":                      {access.Session{ClosedAt: now, Reason: access.SessionLost}, now.Add(time.Hour), false},
		"lost, and kept":            {access.Session{ClosedAt: now, Keeps: true, Reason: access.SessionLost}, now.Add(time.Hour), true},
		"lost, and kept to its end": {access.Session{ClosedAt: now, Keeps: true, Reason: access.SessionLost}, now.Add(-time.Second), false},
	} {
		if Open(c.s, c.end, now) != c.open {
			t.Errorf("%s: open is %t", name, !c.open)
		}
	}
}

// TestRemoveWaits: what gateways are about to close is waited for, and what they do not close not for ever.
func TestRemoveWaits(t *testing.T) {
	var asked atomic.Int64
	closes := ledger(func(access.EntitlementID) (Standing, error) {
		if asked.Add(1) < 5 {
			return Standing{Open: 1}, nil
		}
		return Standing{}, nil
	})
	c := New(closes)[0]
	for _, r := range c.Remove(t.Context(), connector.Target{}, two) {
		if r.Outcome != connector.Done {
			t.Errorf("%+v", r)
		}
	}
	if seen := c.Verify(t.Context(), connector.Target{}, two); !seen[0].Gone() || !seen[1].Gone() {
		t.Errorf("it did not wait: %+v", seen)
	}
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	open := New(ledger(func(access.EntitlementID) (Standing, error) { return Standing{Open: 1}, nil }))[0]
	done := make(chan struct{})
	go func() { defer close(done); open.Remove(ctx, connector.Target{}, two) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("it waits past the end of its context")
	}
}

// TestRules: what a rule may look like, and what no gateway would take.
func TestRules(t *testing.T) {
	re := regexp.MustCompile(`^(?:` + rulePattern + `)$`)
	for _, good := range []string{"* /**", "GET /", "GET POST /api/**", "GET /a/*/b", "GET /a/b.css", "GET /a*.js", "GET /**/edit", "DELETE /a/", "WEBSOCKET /live", "GET /.well-known/x", "PROPFIND /dav/**"} {
		if !re.MatchString(good) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{"", "GET", "/a", "get /a", "GET a", "GET /a//b", "GET /a/../b", "GET /./b", "GET /..", "GET /a**", "GET /**/x/**", "GET /a?b", "GET /a;b", "GET /a%2fb", `GET /a\b`, "GET /a,b", "GET  /a", "CONNECT /a", "TRACE /a", "* GET /a", "GET /a b", "GET /***"} {
		if re.MatchString(bad) {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestForms: every pattern of the schemas can be read, and those of logins by form let through
// what a gateway takes.
func TestForms(t *testing.T) {
	for _, s := range []access.Schema{HTTP(), TCP()} {
		for _, all := range []map[string]access.Option{s.Connection, s.Role} {
			for name, o := range all {
				if _, err := regexp.Compile(`^(?:` + o.Pattern + `)$`); err != nil {
					t.Errorf("%s %s: %v", s.Type, name, err)
				}
			}
		}
	}
	for name, c := range map[string]struct{ good, bad []string }{
		"loginPath":          {[]string{"/login", "/accounts/login/", "/sign_in?local=1&x=", "/index.php"}, []string{"", "/", "login", "//host/login", "/a/../login", "/a//b", "https://host/login", "/login;x", "/lo%67in", "/login#x", "/**", "/log in", "/a\n"}},
		"logout":             {[]string{"/logout", "POST /logout", "GET /logout"}, []string{"DELETE /logout", "POST", "POST  /logout", "POST /"}},
		"loginFields":        {[]string{"realm=local", "user[remember]=", "a=b=c d"}, []string{"realm", "=x", "a=b\nc", "a b=c"}},
		"loginToken":         {[]string{"csrf_token", "authenticity_token", "user[csrf]", "javax.faces.ViewState"}, []string{"", "a b", "a=b", "<x>"}},
		"loginCookie":        {[]string{"sid", "JSESSIONID", "__Host-sid"}, []string{"", "a b", "a=b", "a;b"}},
		"browserCookies":     {[]string{"XSRF-TOKEN"}, []string{"a;b"}},
		"loginUserField":     {[]string{"username", "j_username", "user[login]"}, []string{"", "a&b"}},
		"loginPasswordField": {[]string{"password", "user[password]"}, []string{"", "a&b"}},
	} {
		o := HTTP().Connection[name]
		re := regexp.MustCompile(`^(?:` + o.Pattern + `)$`)
		if o.Needs != "login=form" {
			t.Errorf("%s needs %q", name, o.Needs)
		}
		for _, x := range c.good {
			if !re.MatchString(x) {
				t.Errorf("%s: %q is refused", name, x)
			}
		}
		for _, x := range c.bad {
			if re.MatchString(x) {
				t.Errorf("%s: %q is taken", name, x)
			}
		}
	}
}
