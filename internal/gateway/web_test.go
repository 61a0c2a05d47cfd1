package gateway

import (
	"strings"
	"testing"
)

func TestWebAllows(t *testing.T) {
	w := Web{Rules: []PathRule{
		{Allow, []string{"GET"}, "/reports/**"}, {Allow, []string{"POST"}, "/reports/*/run"}, {Allow, []string{WebSocket}, "/live"},
		{Allow, []string{"*"}, "/open/v*.*/x"}, {Deny, []string{"*"}, "/reports/secret/**"}, {Alarms, []string{"GET"}, "/reports/salaries"},
		{Allow, []string{"PROPFIND", "LINK"}, "/dav/**"}, {Deny, []string{"*"}, "/dav/secret/**"}, {Alarms, []string{"*"}, "/dav/watched"}, {Allow, []string{"GET"}, "/"},
	}}
	if err := w.Check(); err != nil {
		t.Fatal(err)
	}
	for ask, want := range map[string]bool{
		"GET /": true, "GET /reports": true, "GET /reports/": true, "GET /reports/a/b": true, "HEAD /reports/a": true, "POST /reports/a": false,
		"POST /reports/7/run": true, "POST /reports//run": false, "POST /reports/7/8/run": false, "GET /live": false, "WEBSOCKET /live": true, "WEBSOCKET /reports/a": false,
		"PUT /open/v1.2/x": true, "PUT /open/v.2/x": false, "PUT /open/v1./x": false, "PROPFIND /open/v1.2/x": false, "PROPFIND /dav/a": true,
		"GET /reports/secret": false, "GET /reports/Secret": false, "GET /reports/SECRET/x": false, "GET /reports/secret./x": false, "GET /reports/secret /x": false,
		"GET /Reports/a": false, "PROPFIND /dav/secret/a": false, "LINK /dav/Secret": false, "GET /reportsX": false, "GET /other": false, "get /reports/a": false,
	} {
		method, path, _ := strings.Cut(ask, " ")
		if got, why, _ := w.Allows(method, path); got != want {
			t.Errorf("%s: %v (%s), want %v", ask, got, why, want)
		}
	}
	if _, _, alarms := w.Allows("GET", "/Reports/Salaries/"); len(alarms) != 1 {
		t.Errorf("alarms: %v", alarms)
	}
	if ok, _, alarms := w.Allows("PROPFIND", "/dav/watched"); !ok || len(alarms) != 1 {
		t.Errorf("alarms for a method that is not common: %v", alarms)
	}
	if ok, _, _ := new(Web).Allows("GET", "/"); ok {
		t.Error("the zero value allows")
	}
}

func TestWebCheck(t *testing.T) {
	for _, r := range []PathRule{
		{"", []string{"GET"}, "/"}, {Allow, nil, "/"}, {Allow, []string{"get"}, "/"}, {Allow, []string{"CONNECT"}, "/"}, {Allow, []string{"TRACE"}, "/"}, {Allow, []string{"GET"}, ""},
		{Allow, []string{"GET"}, "x"}, {Allow, []string{"GET"}, "/a//b"}, {Allow, []string{"GET"}, "/a/../b"}, {Allow, []string{"GET"}, "/./b"}, {Allow, []string{"GET"}, "/a**"},
		{Allow, []string{"GET"}, "/**/a/**"}, {Allow, []string{"GET"}, "/a;b"}, {Allow, []string{"GET"}, `/a\b`}, {Allow, []string{"GET"}, "/%61"}, {Allow, []string{"GET"}, "/" + strings.Repeat("a", longest)},
	} {
		w := Web{Rules: []PathRule{r}}
		if w.Check() == nil {
			t.Errorf("%q %v %q: taken", r.Effect, r.Methods, r.Path)
		}
	}
	for _, w := range []Web{{Bodies: -1}, {Bodies: mostBodies + 1}, {MostBody: -1}, {Host: "a\r\nb"}, {Host: "a/b"}} {
		if w.Check() == nil {
			t.Errorf("%+v: taken", w)
		}
	}
}

// FuzzWebDeny: whatever the spelling, what a deny rule matches is matched in other letters,
// and with dots, spaces and slashes at the end.
func FuzzWebDeny(f *testing.F) {
	f.Add("/admin/x", "/admin/**")
	f.Add("/a/b/c", "/a/*/c")
	f.Fuzz(func(t *testing.T, path, pattern string) {
		r := PathRule{Deny, []string{"GET"}, pattern}
		if r.check() != nil || !strings.HasPrefix(path, "/") || !r.matches("GET", path) {
			return
		}
		for _, other := range []string{strings.ToUpper(path), path + "/", path + ".", path + " "} {
			if !strings.EqualFold(other, path) && !strings.EqualFold(strings.TrimRight(other, "/. "), strings.TrimRight(path, "/. ")) {
				continue // letters that have no other case to go back to
			}
			if !r.matches("GET", other) {
				t.Fatalf("%q matches %q and not %q", pattern, path, other)
			}
		}
	})
}
