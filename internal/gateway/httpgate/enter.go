package httpgate

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"stint/internal/access"
	"stint/internal/gateway"
)

const (
	// cookieName begins with __Host-, which browsers take from the host itself only, by TLS
	// only, and for all of its paths (RFC 6265bis section 4.1.3.2).
	cookieName = "__Host-stint"
	enterName  = cookieName + "-enter" // of the way to the sign-in and back
	enterAge   = 600                   // seconds

	ownPath     = "/.stint/" // the gateway's own pages, at every host
	enterPath   = ownPath + "enter"
	endPath     = ownPath + "end"
	keysPath    = ownPath + "jwks.json"
	sessionPath = ownPath + "session"
)

// own answers what is the gateway's at every host.
func (s *Server) own(w http.ResponseWriter, r *http.Request, q *request) error {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case q.target.path == keysPath && reads:
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Header().Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(s.voice.jwks)
		return nil
	case q.target.path == enterPath && r.Method == http.MethodGet && q.browser:
		return s.enter(w, r, q)
	case q.target.path == sessionPath && reads, q.target.path == endPath && r.Method == http.MethodPost:
		if err := q.checkSite(r); err != nil {
			return err
		}
		o, err := s.who(r, q)
		if err != nil {
			return err
		}
		if q.target.path == endPath {
			o.End(gateway.ClientGone, "the person left")
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = w.Write([]byte("the session has ended; the access itself goes on until it is given back: stint end\n"))
			return nil
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		return json.NewEncoder(w).Encode(map[string]any{"session": o.ID, "resource": o.Resource, "person": o.Person, "ends_in_seconds": int(o.Remaining().Seconds())})
	}
	return access.Fail(access.NotFound, "no-page", "the gateway has no such page")
}

// cookie is the value of the one cookie of that name.
func cookie(r *http.Request, name string) (string, error) {
	var found []string
	for _, line := range r.Header["Cookie"] {
		for c := range strings.SplitSeq(line, ";") {
			if n, v, is := strings.Cut(strings.TrimSpace(c), "="); is && n == name {
				found = append(found, v)
			}
		}
	}
	switch {
	case len(found) > 1:
		return "", ambiguous("it has two cookies of one name")
	case len(found) == 0 || len(found[0]) > 4096:
		return "", nil
	}
	return found[0], nil
}

func setCookie(w http.ResponseWriter, name, value string, age int) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// derived is a value that follows from the browser's secret, for one purpose.
func derived(secret, purpose string) string {
	sum := sha256.Sum256([]byte("stint " + purpose + " " + secret))
	return b64.EncodeToString(sum[:])
}

// signIn sends a browser to the control plane's sign-in. What it has to bring back follows
// from a secret that only its cookie has: who did not begin here does not end here.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request, q *request) error {
	value, err := cookie(r, enterName)
	if err != nil {
		return err
	}
	secret, _, _ := strings.Cut(value, ".")
	if len(secret) != 26 { // rand.Text
		secret = rand.Text()
	}
	back := q.target.String()
	if len(back) > 2048 {
		back = "/"
	}
	setCookie(w, enterName, secret+"."+b64.EncodeToString([]byte(back)), enterAge)
	sum := sha256.Sum256([]byte(derived(secret, "verifier")))
	to := s.SignIn(Wish{Resource: q.resource, Back: "https://" + q.host + enterPath, State: derived(secret, "state"), Challenge: b64.EncodeToString(sum[:])})
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusFound)
	return nil
}

// enter takes the ticket that a browser brings from the sign-in, and begins a session.
func (s *Server) enter(w http.ResponseWriter, r *http.Request, q *request) error {
	again := access.Fail(access.Denied, "not-begun-here", "this browser was not on its way here").Try("open https://" + q.host + "/ and sign in again")
	value, err := cookie(r, enterName)
	if err != nil {
		return err
	}
	secret, where, _ := strings.Cut(value, ".")
	in, err := url.ParseQuery(q.target.query)
	ticket, state := in["ticket"], in["state"]
	if err != nil || len(secret) != 26 || len(ticket) != 1 || len(state) != 1 || ticket[0] == "" || len(ticket[0]) > 4096 ||
		subtle.ConstantTimeCompare([]byte(state[0]), []byte(derived(secret, "state"))) != 1 {
		return again
	}
	if old, err := cookie(r, cookieName); err == nil && old != "" { // who signs in again has one session
		if o, _ := s.find(q.place(old)); o != nil {
			o.End(gateway.ClientGone, "the person signed in again")
		}
	}
	fresh := rand.Text() + rand.Text()
	if _, err := s.open(r.Context(), gateway.Facts{Protocol: "http", Ticket: ticket[0], Verifier: derived(secret, "verifier"), Resource: q.resource, Source: q.source},
		q.place(fresh), q.self, Client{Source: q.source, Program: r.UserAgent(), Browser: true}); err != nil {
		return err
	}
	q.conn.meet()
	back, err := b64.DecodeString(where)
	to, wrong := readTarget(string(back))
	if err != nil || wrong != nil || strings.HasPrefix(to.path, ownPath) {
		to = target{path: "/", escaped: "/"}
	}
	setCookie(w, enterName, "", -1)
	setCookie(w, cookieName, fresh, 0)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer") // the ticket is in the address
	w.Header().Set("Location", to.String())
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// place is where the session of a cookie is found, at the request's host alone.
func (q *request) place(secret string) place {
	return place{sha256.Sum256([]byte(secret)), q.host}
}
