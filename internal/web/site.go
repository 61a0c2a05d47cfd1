package web

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
	"time"

	"stint/internal/api"
	"stint/internal/web/assets"
)

// Site serves the pages. It is safe for concurrent use.
type Site struct {
	doors Doors
	mux   *http.ServeMux
	pages map[string]page // by pattern
	open  open
	looks chan struct{} // one for each stream that looks just now
}

const eventsPattern = "GET /events"

// Holds reports whether the page of a name is a stream, which lasts.
func Holds(name string) bool { return name == eventsPattern || name == exportPattern }

// page is one address. Those that are for somebody send everybody else to sign in.
type page struct {
	pattern string
	open    bool  // for everybody
	tries   bool  // tries a code, or makes the server call a provider
	asks    bool  // is called by a page's script, which wants JSON
	form    int64 // bytes that its form may have; 0: maxForm
	serve   func(*Site, *visit) error
}

// pages is the whole table.
func pages() []page {
	return []page{
		{pattern: "GET /{$}", serve: (*Site).home},
		{pattern: "GET /login", open: true, serve: (*Site).chooseWay},
		{pattern: "POST /login", open: true, tries: true, serve: (*Site).depart},
		{pattern: "GET /login/callback/{provider}", open: true, tries: true, serve: (*Site).arrive},
		{pattern: "POST /logout", serve: (*Site).signOut},
		{pattern: "GET /login/cli", serve: (*Site).askTerminal},
		{pattern: "POST /login/cli", tries: true, serve: (*Site).answerTerminal},
		{pattern: "GET /device", serve: (*Site).askCode},
		{pattern: "POST /device", tries: true, serve: (*Site).showDevice},
		{pattern: "POST /device/answer", tries: true, serve: (*Site).answerDevice},
		{pattern: "GET /signins", serve: (*Site).listSignIns},
		{pattern: "POST /signins/end", serve: (*Site).endSignIn},

		{pattern: "POST /login/passkey/ask", open: true, tries: true, asks: true, serve: (*Site).askSignIn},
		{pattern: "POST /login/passkey", open: true, tries: true, serve: (*Site).signInWith},
		{pattern: "GET /enroll", open: true, serve: (*Site).askEnrol},
		{pattern: "POST /enroll", open: true, tries: true, serve: (*Site).enrol},
		{pattern: "GET /passkeys", serve: (*Site).showPasskeys},
		{pattern: "POST /passkeys/ask", asks: true, serve: (*Site).askPasskey},
		{pattern: "POST /passkeys", serve: (*Site).addPasskey},
		{pattern: "GET /passkeys/{id}", serve: (*Site).showPasskey},
		{pattern: "POST /passkeys/{id}/ask", asks: true, serve: (*Site).askVouch},
		{pattern: "POST /passkeys/{id}/vouch", serve: (*Site).vouch},
		{pattern: "POST /passkeys/{id}/remove", serve: (*Site).removePasskey},
		{pattern: "GET /recovery", serve: (*Site).showRecovery},
		{pattern: "POST /recovery/ask", asks: true, serve: (*Site).askRecovery},
		{pattern: "POST /recovery", serve: (*Site).makeRecovery},

		{pattern: "GET /palette", serve: (*Site).palette},
		{pattern: "POST /keys", serve: (*Site).setKeys},
		{pattern: "POST /theme", open: true, serve: (*Site).setTheme},
		{pattern: "GET /insights", serve: (*Site).insights},
		{pattern: "GET /insights/list", serve: (*Site).insightList},
		{pattern: "GET /settings", serve: (*Site).settings},
		{pattern: "GET /settings/checks", serve: (*Site).checks},
		{pattern: "POST /settings/test", tries: true, serve: (*Site).testConnection},
		{pattern: "GET /_ui", serve: (*Site).showKit},
		{pattern: eventsPattern, asks: true, serve: (*Site).events},

		{pattern: "GET /people", serve: (*Site).listPeople},
		{pattern: "GET /people/{principal}", serve: (*Site).showPerson},
		{pattern: "POST /people/{principal}/end", serve: (*Site).endAllOf},
		{pattern: "POST /people/{principal}/offboard", serve: (*Site).offboard},
		{pattern: "POST /people/{principal}/enable", serve: (*Site).enable},
		{pattern: "POST /people/{principal}/lock", serve: (*Site).lock},
		{pattern: "POST /people/{principal}/unlock", serve: (*Site).unlock},
		{pattern: "GET /break-glass", serve: (*Site).glassPage},
		{pattern: "POST /break-glass", serve: (*Site).breakGlass},
		{pattern: "GET /reviews", serve: (*Site).listReviews},
		{pattern: "GET /reviews/{id}", serve: (*Site).showReview},
		{pattern: "POST /reviews/{id}/close", serve: (*Site).closeReview},
		{pattern: "GET /resources", serve: (*Site).listResources},
		{pattern: "GET /resources/new", serve: (*Site).askWizard},
		{pattern: "POST /resources/new", tries: true, serve: (*Site).addResource},
		{pattern: "GET /resources/{name}", serve: (*Site).showResource},
		{pattern: "POST /resources/{name}/check", serve: (*Site).checkResource},
		{pattern: "POST /resources/{name}/survey", serve: (*Site).surveyResource},
		{pattern: "POST /resources/{name}/edit", serve: (*Site).editResource},
		{pattern: "GET /resources/{name}/eligible", serve: (*Site).askEligible},
		{pattern: "POST /resources/{name}/eligible", serve: (*Site).makeEligible},
		{pattern: "GET /standing", serve: (*Site).listStanding},
		{pattern: "GET /start", serve: (*Site).start},
		{pattern: "POST /start/away", serve: (*Site).putStartAway},

		{pattern: "POST /messages", serve: (*Site).setMessages},
		{pattern: "GET /you", serve: (*Site).you},
		{pattern: "GET /request", serve: (*Site).askPage},
		{pattern: "POST /request", serve: (*Site).sendAsk},
		{pattern: "POST /request/preview", serve: (*Site).previewAsk},
		{pattern: "POST /favourites", serve: (*Site).keepFavourite},
		{pattern: "POST /favourites/forget", serve: (*Site).forgetFavourite},
		{pattern: "GET /enter/{resource}", serve: (*Site).enterWeb},
		{pattern: "GET /sessions", serve: (*Site).showSessions},
		{pattern: "GET /sessions/{id}", serve: (*Site).showSession},
		{pattern: "GET /sessions/{id}/screen", serve: (*Site).showScreen},
		{pattern: replayLivePattern, asks: true, serve: (*Site).watchLive},
		{pattern: "POST /sessions/{id}/pause", serve: (*Site).pauseTaped},
		{pattern: "POST /sessions/{id}/resume", serve: (*Site).resumeTaped},
		{pattern: "POST /sessions/{id}/stop", serve: (*Site).endTaped},
		{pattern: "GET /audit", serve: (*Site).showAudit},
		{pattern: "GET /audit/{seq}", serve: (*Site).showRecord},
		{pattern: exportPattern, serve: (*Site).exportAudit},
		{pattern: "POST /audit/searches", serve: (*Site).keepSearch},
		{pattern: "GET /requests", serve: (*Site).listRequests},
		{pattern: "GET /r/{id}", serve: (*Site).showRequest},
		{pattern: "POST /r/{id}/ask", asks: true, serve: (*Site).askVote},
		{pattern: "POST /r/{id}/decide", serve: (*Site).decide},
		{pattern: "POST /r/{id}/remark", serve: (*Site).remark},
		{pattern: "POST /r/{id}/withdraw", serve: (*Site).withdraw},
		{pattern: "POST /r/{id}/extend", serve: (*Site).extend},
		{pattern: "POST /r/{id}/end", serve: (*Site).endGrant},

		{pattern: "GET /policies", serve: (*Site).listPolicies},
		{pattern: "GET /policies/{name}", serve: (*Site).showPolicy},
		{pattern: "POST /policies/{name}", form: maxPolicyForm, serve: (*Site).editPolicy},
		{pattern: "POST /policies/{name}/tests", form: maxPolicyForm, serve: (*Site).testPolicy},
		{pattern: "POST /policies/{name}/try", serve: (*Site).tryPolicy},
		{pattern: "GET /new-policy", serve: (*Site).newPolicy},
		{pattern: "POST /new-policy", form: maxPolicyForm, serve: (*Site).makePolicy},
		{pattern: "GET /proposals", serve: (*Site).listProposals},
		{pattern: "GET /proposals/{id}", serve: (*Site).showProposal},
		{pattern: "POST /proposals/{id}", serve: (*Site).decideProposal},
	}
}

// New makes the site in front of the doors.
func New(doors Doors) *Site {
	s := &Site{doors: doors, mux: http.NewServeMux(), pages: map[string]page{}, looks: make(chan struct{}, looksAtOnce())}
	for _, p := range pages() {
		s.pages[p.pattern] = p
		s.mux.HandleFunc(p.pattern, func(w http.ResponseWriter, r *http.Request) { s.call(p, w, r) })
	}
	s.mux.HandleFunc(assets.Pattern, assets.Serve)
	return s
}

// Name is the pattern of the page that a call is for; empty where there is none.
func (s *Site) Name(r *http.Request) string {
	_, pattern := s.mux.Handler(r)
	return pattern
}

// ServeHTTP implements http.Handler, for calls that have a Name.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// visit is one call of a page.
type visit struct {
	Visitor
	w      http.ResponseWriter
	r      *http.Request
	person Person    // of pages that are for somebody
	nonce  string    // of the page's scripts
	at     time.Time // of the call; a stream keeps that of its beginning
	asks   bool      // the page's script calls, and not the browser by itself
	secret bool      // the page shows one
}

// maxForm bounds a form; ours hold a few short fields.
const maxForm int64 = 16 << 10

func (s *Site) call(p page, w http.ResponseWriter, r *http.Request) {
	v := &visit{w: w, r: r, nonce: newNonce(), at: time.Now(), asks: p.asks}
	v.Base, v.From = s.doors.Visit(r)
	v.Agent, v.Watches = r.UserAgent(), p.pattern == eventsPattern || p.pattern == replayLivePattern
	v.Session, v.Trip = v.cookie(sessionCookie), v.cookie(tripCookie)
	v.headers()
	if err := s.admit(p, v); err != nil {
		s.fail(v, err)
		return
	}
	if !p.open {
		var err error
		if v.person, err = s.doors.Person(r.Context(), v.Visitor); err != nil {
			if e := s.doors.Refusal(r.Context(), err); !p.asks && e.Kind == api.Unauthenticated {
				s.sendToLogin(v)
			} else {
				s.refuse(v, e)
			}
			return
		}
	}
	if err := p.serve(s, v); err != nil {
		s.fail(v, err)
	}
}

// kind is the kind of an error as the doors tell it; empty without one.
func (s *Site) kind(v *visit, err error) api.Kind {
	if err == nil {
		return ""
	}
	return s.doors.Refusal(v.r.Context(), err).Kind
}

// admit is everything that must be true of a call before a page looks at it.
func (s *Site) admit(p page, v *visit) error {
	if v.Base.Scheme != "https" && !loopback(v.Base.Hostname()) {
		return &api.Error{Kind: api.Invalid, Code: "not-safe", Message: "signing in needs https here",
			Why:  "over plain http anybody on the way could take your session",
			Next: "an administrator gives stintd a certificate, or a public_url with https behind a proxy (docs/reference/config.md)"}
	}
	if err := s.doors.Admit(v.From, p.tries); err != nil {
		return err
	}
	if v.r.Method == http.MethodGet {
		return nil
	}
	// CrossOriginProtection, in front of us, has refused those that say they come from
	// elsewhere. A browser that says nothing at all is not believed either.
	if v.r.Header.Get("Sec-Fetch-Site") == "" && v.r.Header.Get("Origin") == "" {
		return &api.Error{Kind: api.Denied, Code: "cross-origin", Message: "this form did not say which page it is from",
			Next: "use a current browser, and no proxy that takes headers away"}
	}
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, cmp.Or(p.form, maxForm))
	if err := v.r.ParseForm(); err != nil {
		return &api.Error{Kind: api.Invalid, Code: "bad-form", Message: "the form cannot be read", Next: "load the page again, and send less"}
	}
	// Browsers end the lines of a form's texts with two characters (the HTML standard,
	// section 4.10.21.4); documents and certificates have one.
	for _, values := range v.r.PostForm {
		for i := range values {
			values[i] = strings.ReplaceAll(values[i], "\r\n", "\n")
		}
	}
	return nil
}

// sendToLogin has the visitor sign in, and come back if there is something to come
// back to.
func (s *Site) sendToLogin(v *visit) {
	next := "/"
	if v.r.Method == http.MethodGet {
		next = v.r.URL.RequestURI()
	}
	q := url.Values{}
	if next = localPath(next); next != "/" {
		q.Set("next", next)
	}
	if v.Session != "" {
		q.Set("ended", "1")
	}
	v.redirect((&url.URL{Path: "/login", RawQuery: q.Encode()}).String())
}

// redirect answers with another page of ours.
func (v *visit) redirect(to string) {
	v.w.Header().Set("Location", localPath(to))
	v.w.WriteHeader(http.StatusSeeOther)
}

// localPath is s if it is the address of a page of ours, else "/".
func localPath(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") ||
		strings.ContainsAny(s, "\\\r\n\t") || len(s) > maxNext {
		return "/"
	}
	return s
}

// maxNext bounds where to go after signing in; a command line's address is the longest.
const maxNext = 2048
