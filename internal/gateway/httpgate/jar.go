package httpgate

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
)

const (
	mostCookies = 200     // that are kept for one login
	mostCookie  = 4 << 10 // bytes of one
)

// jar keeps what an application sets. It is the application's whole knowledge of who is
// logged in, and no client has any of it but what is shown.
type jar struct {
	mu    sync.Mutex
	in    *cookiejar.Jar
	known map[string]bool
}

func newJar() *jar {
	in, _ := cookiejar.New(nil) // it has no error
	return &jar{in: in, known: map[string]bool{}}
}

// take takes the cookies out of an answer.
func (j *jar) take(at *url.URL, res *http.Response) {
	all := res.Cookies()
	res.Header.Del("Set-Cookie")
	j.mu.Lock()
	defer j.mu.Unlock()
	var kept []*http.Cookie
	for _, c := range all {
		c.Domain = "" // of this host alone
		key := c.Name + "\x00" + c.Path
		if len(c.Value) > mostCookie || len(key) > mostCookie || !j.known[key] && len(j.known) >= mostCookies {
			continue
		}
		j.known[key] = true
		kept = append(kept, c)
	}
	j.in.SetCookies(at, kept)
}

// put sends them along, and nothing that a client brought.
func (j *jar) put(at *url.URL, h http.Header) {
	h.Del("Cookie")
	r := http.Request{Header: h}
	for _, c := range j.in.Cookies(at) {
		r.AddCookie(c)
	}
}

// shown are those of some names, as browsers are told them.
func (j *jar) shown(at *url.URL, names []string) (out []*http.Cookie) {
	if len(names) == 0 {
		return nil
	}
	for _, c := range j.in.Cookies(at) {
		if slices.Contains(names, c.Name) && !strings.ContainsAny(c.Value, "\r\n") {
			out = append(out, &http.Cookie{Name: c.Name, Value: c.Value, Path: "/", Secure: true, SameSite: http.SameSiteLaxMode})
		}
	}
	return out
}
