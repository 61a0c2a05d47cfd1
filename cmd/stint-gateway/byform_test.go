package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"stint/internal/access"
	"stint/internal/gateway/control"
)

// TestByForm: what the control plane says of a login by form is taken as documents may say it. Of what is not, the
// error says what is wrong and what to do, and nothing of the login.
func TestByForm(t *testing.T) {
	const secret = "never-shown-to-anybody"
	login := func(form string) control.WebLogin {
		var l control.WebLogin
		must(t, json.Unmarshal([]byte(`{"kind":"form","user":"svc","secret":"`+secret+`","form":`+form+`}`), &l))
		return l
	}
	for _, good := range []string{
		`{"path":"/login"}`,
		`{"path":"/login","post":"/session","user":"user[login]","password":"user[password]","token":"authenticity_token","fields":["realm=local","user[remember]=","next=a=b"],"cookie":"sid","shown":["csrf","XSRF-TOKEN"],"logout":"POST /logout"}`,
		`{"path":"/login","logout":"/out"}`,
	} {
		l, err := byForm(login(good))
		if err != nil || strings.Contains(fmt.Sprintf("%v %+v %#v", l, l, &l), secret) {
			t.Errorf("%s: %v, or it prints the login", good, err)
		}
	}
	for bad, says := range map[string][2]string{
		`null`:                            {"does not say how its form is sent", "version"},
		`{}`:                              {"the path of its page", "loginPath"},
		`{"path":"/"}`:                    {"the path of its page", "loginPath"},
		`{"path":"//elsewhere.test/x"}`:   {"the path of its page", "loginPath"},
		`{"path":"https://x.test/login"}`: {"the path of its page", "loginPath"},
		`{"path":"/a/../login"}`:          {"the path of its page", "loginPath"},
		`{"path":"/a\r\nHost: x"}`:        {"the path of its page", "loginPath"},
		`{"path":"/login","post":"/"}`:    {"the path that it is sent to", "loginPost"},
		`{"path":"/login","post":"https://elsewhere.test/take"}`: {"the path that it is sent to", "loginPost"},
		`{"path":"/login","logout":"DELETE /x"}`:                 {"the path for logging out", "logout"},
		`{"path":"/login","logout":"POST https://x.test/"}`:      {"the path for logging out", "logout"},
		`{"path":"/login","logout":"POST"}`:                      {"the path for logging out", "logout"},
		`{"path":"/login","user":"password"}`:                    {"two of its fields are called password", "loginUserField"},
		`{"path":"/login","token":"username"}`:                   {"two of its fields are called username", "loginToken"},
		`{"path":"/login","fields":["a=1","a=2"]}`:               {"two of its fields are called a", "loginFields"},
		`{"path":"/login","fields":["` + secret + `"]}`:          {"one of loginFields has no =", "NAME=VALUE"},
		`{"path":"/login","fields":[""]}`:                        {"one of loginFields has no =", "NAME=VALUE"},
		`{"path":"/login","fields":["=` + secret + `"]}`:         {"is no name of a field", "loginFields"},
		`{"path":"/login","user":"a b"}`:                         {"is no name of a field", "loginUserField"},
		`{"path":"/login","token":"x\u0000"}`:                    {"is no name of a field", "loginToken"},
		`{"path":"/login","cookie":"a;b"}`:                       {"is no name of a cookie", "loginCookie"},
		`{"path":"/login","shown":["csrf","a=b; Path=/"]}`:       {"is no name of a cookie", "browserCookies"},
		`{"path":"/login","shown":[""]}`:                         {"is no name of a cookie", "browserCookies"},
		`{"path":"/login","cookie":"sid","shown":["sid"]}`:       {"would be shown to browsers", "browserCookies"},
	} {
		_, err := byForm(login(bad))
		var e *access.Error
		if !errors.As(err, &e) {
			t.Errorf("%s is taken", bad)
			continue
		}
		if !strings.Contains(e.Message+": "+e.Why, says[0]) || !strings.Contains(e.Next, says[1]) {
			t.Errorf("%s: %q, because %q; next %q", bad, e.Message, e.Why, e.Next)
		}
		if strings.Contains(fmt.Sprintf("%v %+v %s", err, err, e.Next), secret) {
			t.Errorf("%s: the error has the login", bad)
		}
	}
	if _, err := byForm(control.WebLogin{Kind: "form", User: "svc", Form: &control.WebForm{Path: "/login"}}); err == nil || !strings.Contains(err.Error(), "there is no password") {
		t.Errorf("no password: %v", err)
	}
}
