package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestLocalPath(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "/device?code=BCDF-GHJK": "/device?code=BCDF-GHJK", "/login/cli?redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2F": "/login/cli?redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2F",
		"": "/", "x": "/", "//evil.example": "/", "///evil.example": "/", "/\\evil.example": "/", "\\\\evil": "/", "https://evil.example": "/", "https:evil": "/",
		"javascript:alert(1)": "/", "/a\nb": "/", "/a\tb": "/", "?x": "/", "#x": "/", "/%zz": "/", "/" + strings.Repeat("a", maxNext): "/",
	} {
		if got := localPath(in); got != want {
			t.Errorf("localPath(%q) = %q, want %q", in, got, want)
		}
	}
}

// Wherever a browser is sent after signing in, it stays here.
func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{"/", "//x", "/\\x", "/x?y#z", "/.//x", "https://x"} {
		f.Add(s)
	}
	home := &url.URL{Scheme: "https", Host: "stint.example.com", Path: "/login/callback/corp"}
	f.Fuzz(func(t *testing.T, s string) {
		to, err := home.Parse(localPath(s))
		if err != nil || to.Host != home.Host || to.Scheme != home.Scheme {
			t.Errorf("%q leads to %v, %v", s, to, err)
		}
	})
}

func TestLoopbackAddress(t *testing.T) {
	for in, want := range map[string]bool{
		"http://127.0.0.1:1/": true, "http://127.0.0.1:65535/": true, "http://127.9.9.9:4711/": true, "http://[::1]:4711/": true,
		"http://localhost:4711/": false, "http://127.0.0.1:4711": false, "http://127.0.0.1/": false, "http://127.0.0.1:0/": false, "http://127.0.0.1:65536/": false,
		"https://127.0.0.1:4711/": false, "http://10.0.0.1:4711/": false, "http://127.0.0.1:4711/x": false, "http://127.0.0.1:4711//": false, "http://127.0.0.1:4711/?x": false,
		"http://127.0.0.1:4711/#": false, "http://x@127.0.0.1:4711/": false, "http://127.1:4711/": false, "http://[::ffff:127.0.0.1]:4711/": true, "http://127.0.0.1.evil:1/": false,
		"http://[::1%25lo]:4711/": false, "": false,
	} {
		if got := loopbackAddress(in); got != want {
			t.Errorf("loopbackAddress(%q) = %v, want %v", in, got, want)
		}
	}
}

// Each page is open to everybody, or for somebody who is signed in; those that change
// something are no GET, but for the way back from a provider.
func TestPages(t *testing.T) {
	open := map[string]bool{"GET /login": true, "POST /login": true, "GET /login/callback/{provider}": true,
		"POST /login/passkey/ask": true, "POST /login/passkey": true, "GET /enroll": true, "POST /enroll": true, "POST /theme": true}
	for _, p := range pages() {
		if p.open != open[p.pattern] {
			t.Errorf("%s: open is %v", p.pattern, p.open)
		}
		if p.serve == nil {
			t.Errorf("%s: serves nothing", p.pattern)
		}
	}
}

// TestFormLines: the lines of a text that a browser sends end as those of a document do.
func TestFormLines(t *testing.T) {
	s, got := newStand(), ""
	site := New(s)
	site.mux = http.NewServeMux()
	r := httptest.NewRequest(http.MethodPost, "https://stint.test/x", strings.NewReader("text="+url.QueryEscape("one\r\ntwo")))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", "https://stint.test")
	site.call(page{pattern: "POST /x", open: true, serve: func(_ *Site, v *visit) error { got = v.r.PostForm.Get("text"); return nil }}, httptest.NewRecorder(), r)
	if got != "one\ntwo" {
		t.Errorf("the text is %q", got)
	}
}
