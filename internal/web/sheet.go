package web

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/a-h/templ"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// sheet is a page before it is shown: what it is called, and what it needs around it.
type sheet struct {
	title string
	lede  string     // a sentence below the title
	own   bool       // the page has its own heading
	nav   string     // key of its link in the rail
	up    []ui.Crumb // the pages above it
	// live is what keeps it true: the name of a view, with ids as a query, such as
	// "request&id=req_…". Empty: nothing does.
	live string
	// signing loads the script that asks for passkeys.
	signing bool
	// replay loads the script that plays recordings, and lets the page have a frame of ours.
	replay bool
	// still runs no script: for pages that show a secret.
	still  bool
	status int // 200 unless said
}

// show answers with a whole page.
func (s *Site) show(v *visit, sh sheet, body templ.Component) error {
	f := ui.Frame{Title: sh.title, Lede: sh.lede, Own: sh.own, Crumbs: sh.up, Nav: sh.nav, Theme: v.theme(), Here: "/", Now: v.at, Signing: sh.signing, Replay: sh.replay, Still: sh.still, NoKeys: v.noKeys()}
	if v.r.Method == http.MethodGet {
		f.Here = localPath(v.r.URL.RequestURI())
	}
	if v.person.Principal != "" {
		f.Person, f.Groups = personOf(v.person), railOf(v.person)
		if sh.live != "" && !sh.still {
			f.Live = "/events?view=" + sh.live
		}
	}
	status := sh.status
	if status == 0 {
		status = http.StatusOK
	}
	v.secret = sh.still // which a page's length would tell something of, were it zipped with what others wrote
	v.w.Header().Set("Content-Security-Policy", policyOf(v.nonce, f))
	ctx := templ.WithNonce(v.r.Context(), v.nonce)
	return v.write(status, func(out *bytes.Buffer) error { return ui.Shell(f).Render(templ.WithChildren(ctx, body), out) })
}

// piece answers an act of htmx with a part of a page. Its nonce is its own; the browser
// takes the page's for it, if the answer is from here.
func (s *Site) piece(v *visit, status int, body templ.Component) error {
	v.w.Header().Set("Content-Security-Policy", policyOf(v.nonce, ui.Frame{Person: &ui.Person{}}))
	return v.write(status, func(out *bytes.Buffer) error { return body.Render(templ.WithNonce(v.r.Context(), v.nonce), out) })
}

// partly reports whether htmx asks, for a part of a page.
func (v *visit) partly() bool { return v.r.Header.Get("HX-Request-Type") == "partial" }

// write sends what render makes; nothing of it, if that fails.
func (v *visit) write(status int, render func(*bytes.Buffer) error) error {
	var out bytes.Buffer
	if err := render(&out); err != nil {
		return fmt.Errorf("render %s: %w", v.r.URL.Path, err)
	}
	h, body := v.w.Header(), &out
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Vary", "Accept-Encoding")
	if !v.secret && out.Len() > worthZipping && strings.Contains(v.r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = zipped(out.Bytes())
	}
	v.w.WriteHeader(status)
	_, _ = v.w.Write(body.Bytes()) // the browser may be gone
	return nil
}

// worthZipping is what goes into one packet anyway.
const worthZipping = 1200

// zippers are kept: to make one costs more than a page.
var zippers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // the level exists
	return z
}}

func zipped(b []byte) *bytes.Buffer {
	var out bytes.Buffer
	z := zippers.Get().(*gzip.Writer)
	defer zippers.Put(z)
	z.Reset(&out)
	_, _ = z.Write(b) // into memory
	_ = z.Close()
	return &out
}

// personOf is who is signed in, as the rail says it.
func personOf(p Person) *ui.Person {
	out := ui.Person{Name: name(p.Principal), Note: strings.Join(p.Groups, " · ")}
	switch {
	case p.Enrols:
		out.Note = words.RankRecovers
	case p.Admin:
		out.Note = words.RankAdmin
	case p.Auditor:
		out.Note = words.RankAuditor
	}
	return &out
}

// railOf are the pages that there are for somebody.
func railOf(p Person) []ui.Group {
	keys := ui.Link{Key: "passkeys", Href: "/passkeys", Icon: "fingerprint", Label: words.RailPasskeys, Shortcut: "k"}
	logins := ui.Link{Key: "signins", Href: "/signins", Icon: "monitor-smartphone", Label: words.RailSignIns, Shortcut: "i"}
	if p.Enrols {
		return []ui.Group{{Links: []ui.Link{keys, logins}}}
	}
	out := []ui.Group{
		{Links: []ui.Link{
			{Key: "home", Href: "/", Icon: "key-round", Label: words.RailAccess, Shortcut: "a"},
			{Key: "ask", Href: "/request", Icon: "plus", Label: words.RailAsk, Shortcut: "n"},
			{Key: "requests", Href: "/requests", Icon: "inbox", Label: words.RailApprovals, Shortcut: "p"},
			{Key: "sessions", Href: "/sessions", Icon: "terminal", Label: words.SessionsTitle, Shortcut: "s"},
		}},
		{Name: words.RailYours, Links: []ui.Link{{Key: "you", Href: "/you", Icon: "user", Label: words.RailYou}, keys, logins,
			{Key: "device", Href: "/device", Icon: "monitor", Label: words.RailDevice}}},
	}
	if p.Glass {
		out[0].Links = append(out[0].Links, ui.Link{Key: "glass", Href: "/break-glass", Icon: "siren", Label: words.GlassNav, Shortcut: "b"})
	}
	if p.Admin || p.Auditor || p.Reviews > 0 {
		out[0].Links = append(out[0].Links, ui.Link{Key: "reviews", Href: "/reviews", Icon: "list-checks", Label: words.ReviewsTitle, Shortcut: "v", Badge: p.Reviews})
	}
	govern := ui.Group{Name: words.RailGovern}
	if p.Starts {
		govern.Links = append(govern.Links, ui.Link{Key: "start", Href: "/start", Icon: "list-checks", Label: words.StartRail})
	}
	govern.Links = append(govern.Links, ui.Link{Key: "policies", Href: "/policies", Icon: "scroll-text", Label: words.Policies, Shortcut: "o"})
	if p.Oversees {
		govern.Links = append(govern.Links, ui.Link{Key: "resources", Href: "/resources", Icon: "database", Label: words.ResourcesTitle, Shortcut: "d"})
	}
	if p.Admin || p.Author || p.Auditor {
		govern.Links = append(govern.Links, ui.Link{Key: "proposals", Href: "/proposals", Icon: "git-branch", Label: words.Proposals, Badge: p.Proposals})
	}
	if p.Admin || p.Auditor {
		govern.Links = append(govern.Links, ui.Link{Key: "people", Href: "/people", Icon: "users", Label: words.PeopleNav, Shortcut: "e"})
		govern.Links = append(govern.Links, ui.Link{Key: "insights", Href: "/insights", Icon: "activity", Label: words.Insights})
	}
	if log := (ui.Link{Key: "audit", Href: "/audit", Icon: "history", Label: words.AuditTitle, Shortcut: "u"}); p.Admin || p.Auditor {
		govern.Links = append(govern.Links, log)
	} else {
		log.Label = words.AuditOwnTitle
		out[1].Links = append(out[1].Links, log)
	}
	if p.Admin {
		govern.Links = append(govern.Links, ui.Link{Key: "settings", Href: "/settings", Icon: "settings", Label: words.Settings})
	}
	return append(out, govern)
}

// headers of every page. The Referer is for ourselves: without any, browsers say
// that a form's origin is null.
func (v *visit) headers() {
	h := v.w.Header()
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Content-Security-Policy", policyOf("", ui.Frame{Still: true}))
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
}

// policyOf is the Content-Security-Policy of a page. A script runs if it bears the nonce,
// and makes markup of text only through htmx, on pages that have it: see ui.Act.
func policyOf(nonce string, f ui.Frame) string {
	p := "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
	if f.Replay {
		p += "; frame-src 'self'"
	}
	switch {
	case f.Still:
		return p + "; trusted-types 'none'"
	case f.Person == nil:
		return p + "; script-src 'nonce-" + nonce + "'; connect-src 'self'; trusted-types 'none'"
	}
	return p + "; script-src 'nonce-" + nonce + "'; connect-src 'self'; trusted-types htmx"
}

func newNonce() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// leave sends the browser to another place than ours: not as the answer to a form,
// which our policy keeps at home wherever redirects lead, but from a page that says so.
func (s *Site) leave(v *visit, title, to string) error {
	v.w.Header().Set("Refresh", "0;url="+to)
	return s.show(v, sheet{title: title, still: true}, views.Go(to))
}

// fail shows what went wrong, why, and what to do.
func (s *Site) fail(v *visit, err error) {
	s.refuse(v, s.doors.Refusal(v.r.Context(), err))
}

// refuse is fail for what the doors have told already: they log what they tell, once.
func (s *Site) refuse(v *visit, e *api.Error) {
	if v.asks {
		v.refuse(e)
		return
	}
	trouble := views.Trouble{Message: e.Message, Why: e.Why, Next: e.Next, Code: e.Code, Trace: e.Trace, SignedIn: v.person.Principal != ""}
	sh := sheet{title: words.TitleTrouble, status: e.Status}
	var err error
	if v.partly() {
		err = s.piece(v, e.Status, views.TroublePiece(trouble))
	} else {
		err = s.show(v, sh, views.Failed(trouble))
	}
	if err != nil {
		http.Error(v.w, "internal error", http.StatusInternalServerError)
	}
}

// themes are what one can choose; empty is the system's.
var themes = map[string]bool{"light": true, "dark": true, "": true}

// theme is the visitor's choice. It is a cookie, so that the first answer has the colours.
func (v *visit) theme() string {
	if t := v.cookie(themeCookie).Reveal(); themes[t] {
		return t
	}
	return ""
}

func (s *Site) setTheme(v *visit) error {
	t := v.r.PostForm.Get("theme")
	if !themes[t] {
		return &api.Error{Kind: api.Invalid, Code: "bad-form", Message: "there are no such colours", Next: "choose light, dark, or the system's"}
	}
	until := time.Unix(1, 0)
	if t != "" {
		until = time.Now().AddDate(1, 0, 0)
	}
	v.setCookie(themeCookie, api.Secret(t), until)
	v.redirect(v.r.PostForm.Get("back"))
	return nil
}
