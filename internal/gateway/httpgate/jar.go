package httpgate

import (
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
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
	known map[string]time.Time // what is kept, by name and path, and until when; zero: as long as the login
}

func newJar() *jar {
	in, _ := cookiejar.New(nil) // it has no error
	return &jar{in: in, known: map[string]time.Time{}}
}

// take takes the cookies out of an answer.
func (j *jar) take(at *url.URL, res *http.Response) {
	all := res.Cookies()
	res.Header.Del("Set-Cookie")
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	var kept []*http.Cookie
	for _, c := range all {
		c.Domain = "" // of this host alone
		if !strings.HasPrefix(c.Path, "/") {
			c.Path = directory(at.Path)
		}
		key := c.Name + "\x00" + c.Path
		until, gone := lasts(c, now)
		if gone {
			delete(j.known, key)
			kept = append(kept, c)
			continue
		}
		_, replaces := j.known[key]
		if len(c.Value) > mostCookie || len(key) > mostCookie || !replaces && !j.room(now) {
			continue
		}
		j.known[key] = until
		kept = append(kept, c)
	}
	j.in.SetCookies(at, kept)
}

// room says whether one more is kept. What has expired takes none up.
func (j *jar) room(now time.Time) bool {
	if len(j.known) >= mostCookies {
		maps.DeleteFunc(j.known, func(_ string, until time.Time) bool { return !until.IsZero() && !until.After(now) })
	}
	return len(j.known) < mostCookies
}

// lasts is until when a cookie is kept, and whether it is one that takes another away (RFC 6265,
// section 5.3).
func lasts(c *http.Cookie, now time.Time) (until time.Time, gone bool) {
	switch {
	case c.MaxAge < 0:
		return until, true
	case c.MaxAge > 0:
		return now.Add(time.Duration(c.MaxAge) * time.Second), false
	}
	return c.Expires, !c.Expires.IsZero() && !c.Expires.After(now)
}

// directory is the path of a cookie that names none (RFC 6265, section 5.1.4).
func directory(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
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
