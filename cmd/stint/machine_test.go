package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stint/internal/api"
)

// TestGithubToken: a job's token is asked for with the job's bearer, at an address that
// nobody else can read, and the bearer goes nowhere but there.
func TestGithubToken(t *testing.T) {
	elsewhere := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	for name, x := range map[string]struct {
		handle func(w http.ResponseWriter, r *http.Request, n int)
		want   string
	}{
		"as GitHub": {func(w http.ResponseWriter, r *http.Request, _ int) {
			if r.Header.Get("Authorization") != "bearer job" || r.URL.Query().Get("audience") != "https://stint.example" || r.URL.Query().Get("api-version") != "2.0" {
				w.WriteHeader(400)
			}
			_, _ = io.WriteString(w, `{"count": 9, "value": "a.b.c"}`)
		}, "a.b.c"},
		"busy at first": {func(w http.ResponseWriter, _ *http.Request, n int) {
			if n == 1 {
				w.WriteHeader(503)
				return
			}
			_, _ = io.WriteString(w, `{"value": "a.b.c"}`)
		}, "a.b.c"},
		"no right":   {func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(403) }, ""},
		"a redirect": {func(w http.ResponseWriter, r *http.Request, _ int) { http.Redirect(w, r, other.URL, http.StatusFound) }, ""},
		"no value":   {func(w http.ResponseWriter, _ *http.Request, _ int) { _, _ = io.WriteString(w, `{}`) }, ""},
		"no JSON":    {func(w http.ResponseWriter, _ *http.Request, _ int) { _, _ = io.WriteString(w, `<html>`) }, ""},
		"endless": {func(w http.ResponseWriter, _ *http.Request, _ int) {
			_, _ = io.WriteString(w, `{"value": "`+strings.Repeat("x", 1<<20)+`"}`)
		}, ""},
		"a value of none": {func(w http.ResponseWriter, _ *http.Request, _ int) { _, _ = io.WriteString(w, `{"value": null}`) }, ""},
	} {
		n := 0
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n++; x.handle(w, r, n) }))
		got, err := githubToken(t.Context(), srv.URL+"/?api-version=2.0", "job", "https://stint.example")
		srv.Close()
		if got.Reveal() != x.want || (err == nil) != (x.want != "") || err != nil && !errors.Is(err, api.Unauthenticated) {
			t.Errorf("%s: %q, %v", name, got.Reveal(), err)
		}
		if err != nil && strings.Contains(err.Error(), "job ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if elsewhere > 0 {
		t.Error("the bearer went elsewhere")
	}
	for _, bad := range []string{"http://runner.example/token", "ftp://127.0.0.1/", "https://u@runner.example", "::", ""} {
		if _, err := githubToken(t.Context(), bad, "job", "a"); !errors.Is(err, api.Unauthenticated) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestSaid: what names the platform is found in its order, and a token file holds one word.
func TestSaid(t *testing.T) {
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(dir, "token")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, x := range map[string]struct {
		flag    string
		env     []string
		want    string
		fetches string
	}{
		"nothing":                   {"", nil, "", ""},
		"the flag before all":       {file("a.b.c\n"), []string{"STINT_TOKEN_FILE=/none", "STINT_ID_TOKEN=d.e.f"}, "the token in " + file("a.b.c\n"), "a.b.c"},
		"a variable that is a file": {"", []string{"STINT_TOKEN_FILE=" + file("a.b.c\n"), "STINT_ID_TOKEN=d.e.f"}, "the token in " + file("a.b.c\n"), "a.b.c"},
		"a variable":                {"", []string{"STINT_ID_TOKEN=d.e.f", "STINT_TOKEN=stint_x"}, "the token in STINT_ID_TOKEN", "d.e.f"},
		"a certificate":             {"", []string{"STINT_CLIENT_CERT=/c.pem", "STINT_TOKEN=stint_x"}, "the certificate in /c.pem", ""},
		"a static token":            {"", []string{"STINT_TOKEN=stint_x"}, "", ""},
	} {
		c := newCLI(x.env, strings.NewReader(""), io.Discard, io.Discard)
		c.tokenFile = x.flag
		p, err := c.said()
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case p == nil && x.want != "", p != nil && p.name != x.want:
			t.Errorf("%s: %+v", name, p)
		case x.fetches != "":
			if got, err := p.fetch(t.Context()); err != nil || got.Reveal() != x.fetches {
				t.Errorf("%s: %q, %v", name, got.Reveal(), err)
			}
		}
		if (x.want != "") != c.platformed() {
			t.Errorf("%s: somebody is asked: %v", name, !c.platformed())
		}
	}
	for name, text := range map[string]string{"empty": "", "blank": "\n \n", "two words": "a b", "JSON": `{"token": "a"}`, "huge": strings.Repeat("x", maxPlatformToken+1)} {
		if got, err := readToken(file(text)); err == nil || strings.Contains(err.Error(), "xxxx") {
			t.Errorf("%s: %q, %v", name, got.Reveal(), err)
		}
	}
	if _, err := readToken(filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there is read")
	}
	c := newCLI(nil, strings.NewReader(""), io.Discard, io.Discard)
	static := &platform{"a file", func(context.Context) (api.Secret, error) { return "stint_static", nil }}
	if _, err := c.exchange(t.Context(), &api.Client{}, static); !errors.Is(err, api.Invalid) {
		t.Errorf("a static token where one of the platform belongs: %v", err)
	}
}
