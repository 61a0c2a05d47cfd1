package httpgate

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"stint/internal/gateway"
)

// lockedLog is a log that is read while it is written.
type lockedLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lockedLog) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// office is an application with a login page. What a test changes of it, it changes before it
// begins.
type office struct {
	*world
	page     http.HandlerFunc // of the login
	post     http.HandlerFunc // what a right login is answered with; nil: a cookie, and to the front page
	password string

	posts atomic.Int64 // logins that were sent
	outs  atomic.Int64 // sessions that were ended
	asked atomic.Int64 // login pages

	mu   sync.Mutex
	live map[string]bool // its sessions
}

const formPage = `<html><!-- <form><input type=password name=password><input type=hidden name=csrf value=comment></form> -->
<script>var x = '<form><input type=password name=password><input type=hidden name=csrf value=script></form>'</script>
<template><form><input type=password name=password><input type=hidden name=csrf value=template></form></template>
<form action="https://elsewhere.test/take"><input type=hidden name=csrf value="a &amp; b"><input name=username><input type=password name=password></form></html>`

func (o *office) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.live)
}

// begin makes a session of the application's own.
func (o *office) begin(w http.ResponseWriter, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.live[id] = true
	http.SetCookie(w, &http.Cookie{Name: "sid", Value: id, Path: "/", HttpOnly: true, Secure: true})
}

// open is how many of its sessions are.
func (o *office) open() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.live)
}

func (o *office) knows(r *http.Request) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := r.CookiesNamed("sid")
	return len(all) == 1 && o.live[all[0].Value]
}

// newOffice is a gateway before one, that logs in by a form.
func newOffice(t *testing.T, form Form, change ...func(*office, *Config)) *office {
	t.Helper()
	o := &office{password: canary, live: map[string]bool{}, page: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		http.SetCookie(w, &http.Cookie{Name: "csrf", Value: "of-the-page", Path: "/", Secure: true})
		_, _ = io.WriteString(w, formPage)
	}}
	o.world = newWorld(t, func(c *Config, p *control) {
		c.LoginEvery, c.LogoutWithin = time.Hour, long
		p.login, _ = ByForm(form, "svc", canary)
		for _, f := range change {
			f(o, c)
		}
	})
	must(t, func() error { _, err := ByForm(form, "svc", canary); return err }())
	mux := o.app.mux
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) { o.asked.Add(1); o.page(w, r) })
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		n := o.posts.Add(1)
		page := r.CookiesNamed("csrf")
		right := r.PostFormValue("username") == "svc" && r.PostFormValue("password") == o.password && r.PostFormValue("realm") == "local"
		if form.Token != "" {
			right = right && r.PostFormValue("csrf") == "a & b" && len(page) == 1 && r.Header.Get("Referer") == "https://example.com/login"
		}
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Stint-Echo", r.PostFormValue("password"))
		switch {
		case !right:
			_, _ = io.WriteString(w, formPage+"wrong: "+r.PostFormValue("password"))
			return
		case o.post != nil:
			o.post(w, r)
			return
		}
		o.begin(w, fmt.Sprint("session-", n))
		http.SetCookie(w, &http.Cookie{Name: "csrf", Value: "of-the-login", Path: "/", Secure: true})
		w.Header().Set("Location", "/home?echo="+r.PostFormValue("password"))
		w.WriteHeader(http.StatusSeeOther)
		_, _ = io.WriteString(w, r.PostFormValue("password"))
	})
	mux.HandleFunc("POST /logout", func(_ http.ResponseWriter, r *http.Request) {
		if o.knows(r) {
			o.outs.Add(1)
			o.mu.Lock()
			defer o.mu.Unlock()
			delete(o.live, r.CookiesNamed("sid")[0].Value)
		}
	})
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		if !o.knows(r) {
			http.Redirect(w, r, "/login?next=/page", http.StatusFound)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "seen", Value: "1", Path: "/"})
		_, _ = fmt.Fprintf(w, "cookies %d", len(r.Cookies()))
	})
	mux.HandleFunc("/api", func(w http.ResponseWriter, r *http.Request) {
		if !o.knows(r) || r.URL.Query().Has("never") {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	return o
}

var plainForm = Form{Path: "/login", Token: "csrf", Fields: []Field{{"realm", "local"}}, Cookie: "sid", Shown: []string{"csrf"}, Logout: "POST /logout"}

const at = "https://" + host

// TestFormLogin: who has a session sees what only the login opens, and nothing by which it could
// be carried away; the application's session ends with theirs.
func TestFormLogin(t *testing.T) {
	for name, form := range map[string]Form{"with a token and a cookie": plainForm, "by where it leads": {Path: "/login", Fields: plainForm.Fields, Logout: "POST /logout", Shown: plainForm.Shown}} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, form)
			c := o.signedIn(true)
			u, _ := url.Parse(at)
			c.Jar.SetCookies(u, []*http.Cookie{{Name: "sid", Value: "mine", Secure: true}, {Name: "other", Value: "mine"}})
			r, text := o.get(c, at+"/page")
			if r.StatusCode != http.StatusOK || !strings.HasPrefix(text, "cookies ") {
				t.Fatalf("%s %s", r.Status, text)
			}
			r, text = o.get(c, at+"/page")
			if text != "cookies 3" { // sid, csrf, seen
				t.Errorf("the application has %s", text)
			}
			for _, k := range c.Jar.Cookies(u) {
				if strings.HasPrefix(k.Value, "session-") || k.Name == "seen" {
					t.Errorf("the browser has the application's %s", k.Name)
				}
				if k.Name == "csrf" && k.Value != "of-the-login" {
					t.Errorf("scripts read %q", k.Value)
				}
			}
			if names := fmt.Sprint(c.Jar.Cookies(u)); !strings.Contains(names, "csrf=of-the-login") {
				t.Errorf("the browser has %s", names)
			}
			for _, ask := range []string{"GET /login", "GET /login/", "GET /LOGIN", "POST /login"} {
				method, path, _ := strings.Cut(ask, " ")
				if r, text := o.ask(c, method, at+path, nil, "Origin", at); r.StatusCode != http.StatusForbidden || strings.Contains(text, "csrf") {
					t.Errorf("%s: %s %s", ask, r.Status, text)
				}
			}
			if o.posts.Load() != 1 {
				t.Errorf("%d logins were sent", o.posts.Load())
			}
			o.control.revoke()
			eventually(t, "the application's session is ended", func() bool { return o.outs.Load() == 1 })
			eventually(t, "the session is over", func() bool { return o.reg.Count() == 0 })
			sent, refused := o.tapes.sent()
			all := fmt.Sprint(sent, refused, r.Header, text)
			if !slices.Contains(sent, "POST /login") || !slices.Contains(sent, "POST /logout") || strings.Contains(all, "password=") {
				t.Errorf("recorded: %s", all)
			}
		})
	}
}

// TestFormSays: whatever the application prints of the login, no browser is shown it, and each way
// in which a login does not work is told, and sends the password nowhere else and no second time.
func TestFormSays(t *testing.T) {
	html := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, text)
		}
	}
	to := func(where string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", where)
			w.WriteHeader(http.StatusFound)
		}
	}
	led := plainForm
	led.Cookie = ""
	for name, c := range map[string]struct {
		change func(*office)
		says   string
		posts  int64
		form   *Form
	}{
		"a wrong password":         {func(o *office) { o.password = "another" }, "refused the name or the password", 1, nil},
		"its page leads elsewhere": {func(o *office) { o.page = to("https://elsewhere.test/login") }, "another host", 0, nil},
		"its page leads on":        {func(o *office) { o.page = to("/sso") }, "status 302", 0, nil},
		"its page is too long":     {func(o *office) { o.page = html(formPage + strings.Repeat("x", mostPage)) }, "longer than", 0, nil},
		"its page has no form":     {func(o *office) { o.page = html("hello") }, "no form with a field", 0, nil},
		"its page has two":         {func(o *office) { o.page = html(formPage + formPage) }, "more than once", 0, nil},
		"its page has it in a script": {func(o *office) {
			o.page = html(formPage[:strings.Index(formPage, "<form action")] + "<form><input type=password name=password></form>")
		}, "no hidden field", 0, nil},
		"its page is none of HTML": {func(o *office) {
			o.page = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				_, _ = io.WriteString(w, formPage)
			}
		}, "no form with a field", 0, nil},
		"it sends elsewhere":   {func(o *office) { o.post = to("https://elsewhere.test/") }, "another host", 1, &led},
		"it sends back":        {func(o *office) { o.post = to("/login?wrong=1") }, "refused", 1, nil},
		"it fails":             {func(o *office) { o.post = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) } }, "status 500", 1, nil},
		"it says no":           {func(o *office) { o.post = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) } }, "refused", 1, nil},
		"it says nothing":      {func(o *office) { o.post = html("welcome " + canary) }, "did not set the cookie", 1, nil},
		"and it leads nowhere": {func(o *office) { o.post = html("welcome " + canary) }, "did not lead away", 1, &led},
		"it asks for a code":   {func(o *office) { o.post = html(`<form><input autocomplete="one-time-code" name=x></form>`) }, "second factor", 1, nil},
		"it leads to where it asks": {func(o *office) {
			o.post = to("/second")
			o.app.mux.HandleFunc("/second", html(`<form><input name=otp></form>`))
		}, "second factor", 1, &led},
		"it leads to where it does not": {func(o *office) { o.post = to("/back"); o.app.mux.HandleFunc("/back", to("/login")) }, "refused", 1, &led},
	} {
		t.Run(name, func(t *testing.T) {
			form := plainForm
			if c.form != nil {
				form = *c.form
			}
			var log lockedLog
			o := newOffice(t, form, func(o *office, k *Config) { k.Log = log.logger() })
			c.change(o)
			b := o.signedIn(false)
			for range 3 {
				r, text := o.get(b, at+"/page", "Accept", "text/html")
				if r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, c.says) || strings.Contains(text+fmt.Sprint(r.Header), canary) {
					t.Errorf("%s %v %s", r.Status, r.Header, text)
				}
			}
			if n := o.posts.Load(); n != c.posts {
				t.Errorf("the password was sent %d times", n)
			}
			if strings.Contains(log.String(), canary) {
				t.Error("the password is in the log")
			}
		})
	}
}

// TestFormWrongEverywhere: a password that was refused is not sent by the next session either.
func TestFormWrongEverywhere(t *testing.T) {
	o := newOffice(t, plainForm)
	o.password = "another"
	for range 3 {
		if r, text := o.get(o.signedIn(true), at+"/page"); r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, "refused") {
			t.Errorf("%s %s", r.Status, text)
		}
	}
	if n := o.posts.Load(); n != 1 {
		t.Errorf("the password was sent %d times", n)
	}
}

// TestFormOnce: requests that come at the same time log in once.
func TestFormOnce(t *testing.T) {
	o := newOffice(t, plainForm)
	c := o.signedIn(true)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if r, err := c.Get(at + "/page"); err != nil || r.StatusCode != http.StatusOK {
				t.Errorf("%v %v", r, err)
			} else {
				_ = r.Body.Close()
			}
		})
	}
	all.Wait()
	if o.posts.Load() != 1 || o.asked.Load() != 1 {
		t.Errorf("%d logins, of %d pages", o.posts.Load(), o.asked.Load())
	}
}

// TestFormAgain: where the application has ended its session the gateway logs in again, and sends
// again what only reads.
func TestFormAgain(t *testing.T) {
	o := newOffice(t, plainForm, func(_ *office, c *Config) { c.LoginEvery = time.Nanosecond })
	c := o.signedIn(true)
	for i, path := range []string{"/page", "/api", "/page"} {
		if r, text := o.get(c, at+path); r.StatusCode != http.StatusOK {
			t.Errorf("%s: %s %s", path, r.Status, text)
		}
		if o.posts.Load() != int64(i+1) {
			t.Errorf("%s: %d logins", path, o.posts.Load())
		}
		o.end()
	}
	r, text := o.ask(c, http.MethodPost, at+"/page", strings.NewReader("text"), "Origin", at)
	if r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, "logged in again") {
		t.Errorf("%s %s", r.Status, text)
	}
	if r, text := o.ask(c, http.MethodPost, at+"/page", strings.NewReader("text"), "Origin", at); r.StatusCode != http.StatusOK {
		t.Errorf("sent again: %s %s", r.Status, text)
	}
}

// TestFormNotForever: an application that never keeps the login is not asked again and again.
func TestFormNotForever(t *testing.T) {
	o := newOffice(t, plainForm)
	c := o.signedIn(true)
	if r, _ := o.get(c, at+"/api?never"); r.StatusCode != http.StatusUnauthorized { // it is who is logged in who may not
		t.Errorf("%s", r.Status)
	}
	o.end()
	for range 3 {
		if r, text := o.get(c, at+"/page"); r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, "asks to log in again") {
			t.Errorf("%s %s", r.Status, text)
		}
	}
	if o.posts.Load() != 1 {
		t.Errorf("%d logins", o.posts.Load())
	}
}

// TestFormWebSocket: one is opened as who is logged in.
func TestFormWebSocket(t *testing.T) {
	o := newOffice(t, plainForm)
	open := make(chan bool, 1)
	o.app.mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		open <- o.knows(r)
		_, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSet-Cookie: sid=given-away\r\nSec-WebSocket-Accept: " + acceptance(r.Header.Get("Sec-Websocket-Key")) + "\r\n\r\n")
		_ = rw.Flush()
	})
	_, _, got := o.websocket(o.cookieOf(o.signedIn(false)), "/ws", at)
	if got.StatusCode != http.StatusSwitchingProtocols || strings.Contains(fmt.Sprint(got.Header), "sid") || !receive(t, "it is asked for", open) {
		t.Errorf("%s %v", got.Status, got.Header)
	}
}

// TestFormSlow: a login page that does not come holds nobody up: not a client past the bound, and
// not the cut.
func TestFormSlow(t *testing.T) {
	hang := make(chan struct{})
	came := make(chan struct{}, 100)
	slow := func(o *office, _ *Config) {
		o.page = func(_ http.ResponseWriter, r *http.Request) {
			came <- struct{}{}
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		}
	}
	t.Cleanup(func() { close(hang) })
	t.Run("given up", func(t *testing.T) {
		o := newOffice(t, plainForm, slow, func(_ *office, c *Config) { c.LoginWithin = 50 * time.Millisecond })
		if r, text := o.get(o.signedIn(true), at+"/page"); r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, "it took longer than") || o.posts.Load() != 0 {
			t.Errorf("%s %s", r.Status, text)
		}
	})
	t.Run("cut", func(t *testing.T) {
		o := newOffice(t, plainForm, slow, func(_ *office, c *Config) { c.LoginWithin = time.Hour })
		c := o.signedIn(true)
		for len(came) > 0 {
			<-came
		}
		done := make(chan string, 1)
		go func() { _, text := o.get(c, at+"/page"); done <- text }()
		receive(t, "the login page is asked for", came)
		o.control.revoke()
		if text := receive(t, "the request ends", done); !strings.Contains(text, gateway.Revoked.Sentence()) {
			t.Error(text)
		}
		eventually(t, "the session is over", func() bool { return o.reg.Count() == 0 })
	})
}

// TestFormLogoutHangs: an application that does not answer when it is told does not hold up the
// end of a session.
func TestFormLogoutHangs(t *testing.T) {
	hang, came := make(chan struct{}), make(chan struct{}, 1)
	form := plainForm
	form.Logout = "/leave"
	o := newOffice(t, form)
	t.Cleanup(func() { close(hang) })
	o.app.mux.HandleFunc("/leave", func(http.ResponseWriter, *http.Request) { came <- struct{}{}; <-hang })
	if r, _ := o.get(o.signedIn(true), at+"/page"); r.StatusCode != http.StatusOK {
		t.Fatal(r.Status)
	}
	o.control.revoke()
	receive(t, "it is told", came)
	eventually(t, "the session is over while it does not answer", func() bool { return o.reg.Count() == 0 })
}

// TestFormReplaced: a login in the place of one that the application called over leaves none behind: not at
// the end, and not many until then.
func TestFormReplaced(t *testing.T) {
	o := newOffice(t, plainForm, func(_ *office, c *Config) { c.LoginEvery = time.Nanosecond })
	var last atomic.Value
	last.Store("")
	o.app.mux.HandleFunc("/odd", func(w http.ResponseWriter, r *http.Request) { // it knows each login once
		if id := r.CookiesNamed("sid")[0].Value; last.Swap(id) == id {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	c := o.signedIn(true)
	const logins = 2*mostBefore + 1
	for range logins {
		if r, text := o.get(c, at+"/odd"); r.StatusCode != http.StatusOK {
			t.Fatalf("%s %s", r.Status, text)
		}
	}
	if n := o.posts.Load(); n != logins {
		t.Errorf("%d logins", n)
	}
	eventually(t, "those long replaced are ended", func() bool { return o.open() == mostBefore+1 })
	if r, text := o.get(c, at+"/page"); r.StatusCode != http.StatusOK || o.posts.Load() != logins {
		t.Errorf("the latest was ended: %s %s", r.Status, text)
	}
	o.control.revoke()
	eventually(t, "all are ended", func() bool { return o.open() == 0 })
}

// TestFormUnclear: what a login opens that is not taken for one is ended, while the session goes on.
func TestFormUnclear(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"it fails": func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
		"it asks for a code": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, `<form><input autocomplete="one-time-code" name=x></form>`)
		},
		"it asks for another password": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, `<form><input type=password name=password></form>`)
		},
		"it leads on to where it breaks off": func(w http.ResponseWriter) {
			w.Header().Set("Location", "/broken")
			w.WriteHeader(http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, plainForm, func(o *office, _ *Config) {
				o.post = func(w http.ResponseWriter, _ *http.Request) { o.begin(w, "unclear"); answer(w) }
			})
			o.app.mux.HandleFunc("/broken", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
			if r, text := o.get(o.signedIn(true), at+"/page"); r.StatusCode < 500 {
				t.Errorf("%s %s", r.Status, text)
			}
			eventually(t, "it is ended", func() bool { return o.open() == 0 })
			if o.outs.Load() != 1 || o.reg.Count() == 0 {
				t.Errorf("%d were ended, %d sessions go on", o.outs.Load(), o.reg.Count())
			}
		})
	}
}

// TestFormCut: a session that ends while its login is on the way holds nobody up. What the login opens
// after that is ended, and what the application says of the password is not lost.
func TestFormCut(t *testing.T) {
	for name, right := range map[string]bool{"a right password": true, "a wrong one": false} {
		t.Run(name, func(t *testing.T) {
			came, answer := make(chan struct{}, 10), make(chan struct{})
			o := newOffice(t, plainForm, func(o *office, _ *Config) {
				o.post = func(w http.ResponseWriter, _ *http.Request) {
					came <- struct{}{}
					<-answer
					if right {
						o.begin(w, fmt.Sprint("session-", o.posts.Load()))
					} else {
						w.WriteHeader(http.StatusForbidden)
					}
				}
			})
			next := o.cutAsItLogsIn(came)
			close(answer)
			r, text := o.get(next, at+"/page")
			if right && (r.StatusCode != http.StatusOK || o.posts.Load() != 2) {
				t.Errorf("another session: %s after %d logins: %s", r.Status, o.posts.Load(), text)
			}
			if !right && (!strings.Contains(text, "refused the name or the password") || o.posts.Load() != 1) {
				t.Errorf("another session: %s after %d logins: %s", r.Status, o.posts.Load(), text)
			}
			if right {
				eventually(t, "the login of the session that is over is ended", func() bool { return o.outs.Load() == 1 && o.open() == 1 })
			}
		})
	}
}

// cutAsItLogsIn ends one session while its login is at a place that came tells of, and is a browser with another.
func (o *office) cutAsItLogsIn(came <-chan struct{}) *http.Client {
	o.t.Helper()
	first, next := o.signedIn(true), o.signedIn(true)
	done := make(chan string, 1)
	go func() { _, text := o.get(first, at+"/page"); done <- text }()
	receive(o.t, "it is there", came)
	o.control.send(gateway.Cut{Session: "ses_1", Reason: gateway.Revoked})
	if text := receive(o.t, "the request ends", done); !strings.Contains(text, gateway.Revoked.Sentence()) {
		o.t.Error(text)
	}
	eventually(o.t, "one session is over, and the other not", func() bool { return o.reg.Count() == 1 })
	return next
}

// TestFormCutUnknown: where the application never says how it took the password of a session that is over, it is
// not sent for a while, and that is no refusal.
func TestFormCutUnknown(t *testing.T) {
	came, hang := make(chan struct{}, 10), make(chan struct{})
	o := newOffice(t, plainForm, func(o *office, c *Config) {
		c.LogoutWithin = time.Millisecond
		o.post = func(http.ResponseWriter, *http.Request) { came <- struct{}{}; <-hang }
	})
	t.Cleanup(func() { close(hang) })
	if r, text := o.get(o.cutAsItLogsIn(came), at+"/page"); !strings.Contains(text, "did not say how it took") || o.posts.Load() != 1 {
		t.Errorf("another session: %s after %d logins: %s", r.Status, o.posts.Load(), text)
	}
	for _, l := range o.server.lanes.all {
		if l.fails != 0 {
			t.Errorf("%d refusals are counted", l.fails)
		}
	}
}

// TestFormNotSent: a password that was not written keeps no other session from sending it.
func TestFormNotSent(t *testing.T) {
	form := plainForm
	form.Token = ""
	var d net.Dialer
	t.Run("a refused connection", func(t *testing.T) {
		var dials atomic.Int64
		o := newOffice(t, form, func(_ *office, c *Config) {
			c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				if dials.Add(1) == 1 {
					return nil, syscall.ECONNREFUSED
				}
				return d.DialContext(ctx, "tcp", address)
			}
		})
		if r, text := o.get(o.signedIn(true), at+"/page"); r.StatusCode != http.StatusBadGateway || !strings.Contains(text, "did not answer") {
			t.Errorf("%s %s", r.Status, text)
		}
		if r, text := o.get(o.signedIn(true), at+"/page"); r.StatusCode != http.StatusOK {
			t.Errorf("another session: %s %s", r.Status, text)
		}
	})
	t.Run("the session ends", func(t *testing.T) {
		came := make(chan struct{}, 1)
		var dials atomic.Int64
		o := newOffice(t, form, func(_ *office, c *Config) {
			c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				if dials.Add(1) == 1 {
					came <- struct{}{}
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return d.DialContext(ctx, "tcp", address)
			}
		})
		if r, text := o.get(o.cutAsItLogsIn(came), at+"/page"); r.StatusCode != http.StatusOK || o.posts.Load() != 1 {
			t.Errorf("another session: %s %s", r.Status, text)
		}
	})
}

// TestFormForms: what no login can be, and that none prints anything.
func TestFormForms(t *testing.T) {
	l, err := ByForm(plainForm, "svc", canary)
	must(t, err)
	if s := fmt.Sprintf("%v %+v %#v %s", l, l, &l, l); strings.Contains(s, canary) {
		t.Error("it prints the password")
	}
	for _, bad := range []Form{{}, {Path: "/"}, {Path: "login"}, {Path: "https://elsewhere.test/login"}, {Path: "//elsewhere.test/login"}, {Path: "/a/../login"}, {Path: "/login", Post: "https://elsewhere.test"}, {Path: "/login", Logout: "DELETE /x"}, {Path: "/login", Logout: "x"},
		{Path: "/login", Token: "password"}, {Path: "/login", User: "password"}, {Path: "/login", Fields: []Field{{"username", "x"}}}, {Path: "/login", Cookie: "sid", Shown: []string{"sid"}}} {
		if _, err := ByForm(bad, "svc", canary); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	if _, err := ByForm(plainForm, "svc", ""); err == nil {
		t.Error("no password is taken")
	}
}

// TestFormCookies: an application cannot make the gateway keep cookies without end, nor cookies of
// other hosts.
func TestFormCookies(t *testing.T) {
	j := newJar()
	u, _ := url.Parse("https://app.test/")
	for i := range 10 * mostCookies {
		res := &http.Response{Header: http.Header{"Set-Cookie": {fmt.Sprintf("c%d=1; Path=/", i), "big=" + strings.Repeat("x", mostCookie+1), "wide=1; Domain=test"}}}
		j.take(u, res)
		if len(res.Header) > 0 {
			t.Fatal("they are passed on")
		}
	}
	if n := len(j.in.Cookies(u)); n != mostCookies {
		t.Errorf("%d are kept", n)
	}
	other, _ := url.Parse("https://other.test/")
	if len(j.in.Cookies(other)) > 0 {
		t.Error("another host gets some")
	}
}

// TestFormCookiesGiveRoom: cookies that were taken away, replaced or expired take up no room.
func TestFormCookiesGiveRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJar()
		u, _ := url.Parse("https://app.test/a/b")
		take := func(form string) {
			res := &http.Response{Header: http.Header{}}
			for i := range mostCookies {
				res.Header.Add("Set-Cookie", fmt.Sprintf(form, i))
			}
			j.take(u, res)
		}
		kept := func(what string, want int) {
			t.Helper()
			if n := len(j.in.Cookies(u)); n != want || len(j.known) != want {
				t.Errorf("%s: %d are kept, and %d counted", what, n, len(j.known))
			}
		}
		take("a%d=1; Path=/")
		take("a%d=2; Path=/")
		kept("replaced", mostCookies)
		take("a%d=; Path=/; Max-Age=0")
		kept("taken away", 0)
		take("b%d=1")
		take("b%d=1; Path=/a")
		take("b%d=1; Path=a")
		kept("of the same path, said in three ways", mostCookies)
		take("b%d=; Path=/a; Expires=Thu, 01 Jan 1970 00:00:00 GMT")
		kept("taken away by a date", 0)
		take("c%d=1; Max-Age=60")
		take("d%d=1")
		kept("full", mostCookies)
		time.Sleep(time.Minute)
		take("d%d=1; Max-Age=60")
		kept("expired", mostCookies)
		time.Sleep(time.Minute)
		take("e%d=1; Max-Age=9223372036854775807")
		take("f%d=1; Expires=Fri, 31 Dec 9999 23:59:59 GMT")
		if len(j.known) > mostCookies || len(j.in.Cookies(u)) > mostCookies {
			t.Errorf("%d are counted, %d are kept", len(j.known), len(j.in.Cookies(u)))
		}
	})
}

// FuzzLoginPage: no page makes it fail or take longer than it is long, and what is taken from one is a
// value that stands in it.
func FuzzLoginPage(f *testing.F) {
	f.Add([]byte(formPage))
	f.Add([]byte(`<form><input type=password name=password type=hidden><input type=hidden name=csrf value=1></form>`))
	f.Add([]byte(`<form><form></form><input name=csrf type=HIDDEN value='`))
	f.Add([]byte(`<template><template></template><form><input type=password name=password>`))
	f.Fuzz(func(t *testing.T, page []byte) {
		if v, why := readPage(page).token("csrf", "password"); (v == "") == (why == "") || len(v) > mostToken {
			t.Errorf("%q %q", v, why)
		}
	})
}
