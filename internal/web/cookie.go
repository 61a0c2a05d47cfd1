package web

import (
	"net/http"
	"net/netip"
	"strings"
	"time"

	"stint/internal/api"
)

// The cookies. Over https their names begin with __Host-, by which a browser keeps
// them to this very host and its root (RFC 6265bis section 4.1.3.2).
const (
	sessionCookie = "stint"
	tripCookie    = "stint-trip"
	themeCookie   = "stint-theme"
	keysCookie    = "stint-keys"

	maxCookie = 512
	tripFor   = 10 * time.Minute
)

func (v *visit) cookieName(name string) string {
	if v.Base.Scheme == "https" {
		return "__Host-" + name
	}
	return name
}

// cookie is empty where there is none, or more than one: of two with one name nobody
// can tell which is ours.
func (v *visit) cookie(name string) api.Secret {
	all := v.r.CookiesNamed(v.cookieName(name))
	if len(all) != 1 || len(all[0].Value) > maxCookie {
		return ""
	}
	return api.Secret(all[0].Value)
}

// setCookie sets a cookie, or takes it away if until has passed. Lax, not Strict:
// links in messages lead here, and who follows one is signed in all the same.
func (v *visit) setCookie(name string, value api.Secret, until time.Time) {
	c := &http.Cookie{Name: v.cookieName(name), Value: value.Reveal(), Path: "/", HttpOnly: true, Secure: v.Base.Scheme == "https", SameSite: http.SameSiteLaxMode}
	if c.MaxAge = int(time.Until(until) / time.Second); c.MaxAge <= 0 {
		c.MaxAge = -1
	}
	http.SetCookie(v.w, c)
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}
