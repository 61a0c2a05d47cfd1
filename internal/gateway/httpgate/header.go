package httpgate

import (
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"stint/internal/access"
	"stint/internal/gateway"
)

// AssertionHeader carries the gateway's word of who a request is.
const AssertionHeader = "Stint-Assertion"

// Headers by which applications are told who somebody is, where they come from, or what
// they really asked for. Whatever a client says in them is dropped. Ends with a dash: all
// that begin so.
var ours = []string{
	"stint-", "x-stint-", "forwarded", "x-forwarded", "x-forwarded-", "x-real-ip", "x-client-ip", "true-client-ip", "x-cluster-client-ip", "x-originating-ip", "x-remote-", "remote-",
	"cf-access-", "cf-connecting-", "fastly-client-", "x-envoy-", "x-amzn-oidc-", "x-goog-authenticated-", "x-goog-iap-", "x-ms-client-principal", "x-ms-client-principal-",
	"x-user", "x-user-", "x-username", "x-email", "x-group", "x-groups", "x-role", "x-roles", "x-auth-", "x-authenticated-", "x-webauth-", "x-pomerium-", "x-vouch-", "x-jwt-", "x-impersonate-", "impersonate-",
	"x-client-cert", "x-client-cert-", "client-cert", "client-cert-", "x-ssl-", "ssl-", "x-original-", "x-rewrite-", "x-http-method", "x-http-method-", "x-method-override", "x-host", "x-proxy-", "proxy", "proxy-",
	"x-accel-", "x-sendfile", "expect", "te", "trailer", "keep-alive", "transfer-encoding", "upgrade", "http2-settings",
}

// passes says whether a client's header is sent on. One with a character that some servers
// take for a dash, as CGI does with the underscore, is not.
func passes(name string) bool {
	l := strings.ToLower(name)
	for i := range len(l) {
		if c := l[i]; c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return !slices.ContainsFunc(ours, func(o string) bool { return l == o || strings.HasSuffix(o, "-") && strings.HasPrefix(l, o) })
}

// checkHop refuses a Connection header that has a proxy take away what it did not put
// there.
func checkHop(h http.Header) error {
	for _, v := range h["Connection"] {
		for f := range strings.SplitSeq(v, ",") {
			switch strings.ToLower(textproto.TrimString(f)) {
			case "", "close", "keep-alive", "upgrade", "te", "http2-settings":
			default:
				return ambiguous("its Connection header names " + f)
			}
		}
	}
	return nil
}

// cleaned is what of a client's headers is sent on. The gateway's cookie is not.
func cleaned(in http.Header, drop []string) http.Header {
	out := make(http.Header, len(in)+4)
	for name, values := range in {
		if name != "Cookie" && name != "Connection" && passes(name) && !slices.ContainsFunc(drop, func(d string) bool { return strings.EqualFold(d, name) }) {
			out[name] = values
		}
	}
	var kept []string
	for _, line := range in["Cookie"] {
		for c := range strings.SplitSeq(line, ";") {
			c = strings.TrimSpace(c)
			if name, _, _ := strings.Cut(c, "="); c != "" && !ownCookie(name) {
				kept = append(kept, c)
			}
		}
	}
	if len(kept) > 0 {
		out["Cookie"] = []string{strings.Join(kept, "; ")}
	}
	return out
}

// ownCookie says whether a cookie of that name is the gateway's.
func ownCookie(name string) bool {
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(name)), strings.ToLower(cookieName))
}

// dropped are headers of an application's that would reach beyond it: to other ports and
// protocols, to all hosts of a domain, or around the gateway.
var dropped = []string{"Alt-Svc", "Clear-Site-Data", "Strict-Transport-Security", "Public-Key-Pins", "Proxy-Authenticate", "Public-Key-Pins-Report-Only", "Proxy-Authentication-Info",
	"X-Accel-Redirect", "X-Sendfile", "Service-Worker-Allowed", AssertionHeader, endedHeader}

// answered makes the headers of an application's answer fit the host that the person knows.
func (q *request) answered(h http.Header) {
	for _, n := range dropped {
		h.Del(n)
	}
	if q.session.login.sends() {
		h.Del("Www-Authenticate") // a browser would ask the person for the login that only the gateway has
	}
	for _, n := range []string{"Location", "Content-Location"} {
		if v := h.Get(n); v != "" {
			h.Set(n, q.home(v))
		}
	}
	if v := h.Get("Refresh"); v != "" {
		if wait, u, is := strings.Cut(v, "="); is && strings.HasSuffix(strings.ToLower(strings.TrimSpace(wait)), "url") {
			h.Set("Refresh", wait+"="+q.home(strings.Trim(strings.TrimSpace(u), `"'`)))
		}
	}
	if lines := h["Set-Cookie"]; len(lines) > 0 {
		h.Del("Set-Cookie")
		for _, l := range lines {
			if c := hostOnly(l); c != "" {
				h.Add("Set-Cookie", c)
			}
		}
	}
}

// hostOnly is a cookie of an application's that is for its own host, and by TLS only; ""
// where it is none that it may set. It is put together anew, so that there is one reading
// of it.
func hostOnly(line string) string {
	c, err := http.ParseSetCookie(line)
	if err != nil || ownCookie(c.Name) {
		return ""
	}
	c.Domain, c.Secure = "", true
	if !strings.HasPrefix(c.Path, "/") {
		c.Path = ""
	}
	return c.String()
}

// home is where a location leads, by the name that the person knows the application by.
// What leads elsewhere is left as it is: the browser goes there, and nothing of the gateway's does.
func (q *request) home(location string) string {
	u, err := url.Parse(strings.TrimSpace(location))
	if err != nil {
		return "/"
	}
	if u.Host == "" || !q.upstream(u) {
		return location
	}
	u.Scheme, u.Host, u.User = "https", q.host, nil
	return u.String()
}

// upstream says whether a URL is one of the application, by its own names.
func (q *request) upstream(u *url.URL) bool { return ofTarget(&q.session.Permit, u) }

func ofTarget(p *gateway.Permit, u *url.URL) bool {
	if u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	for _, own := range []string{p.Target.Address, p.Target.Name, hostHeader(p)} {
		if own != "" && (strings.EqualFold(u.Host, own) || strings.EqualFold(u.Hostname(), own)) {
			return true
		}
	}
	return false
}

// hostHeader is the Host that an application gets.
func hostHeader(p *gateway.Permit) string {
	if p.Web.Host != "" {
		return p.Web.Host
	}
	if p.Target.Name != "" {
		return p.Target.Name
	}
	return p.Target.Address
}

// checkSite refuses what a page of another origin has the browser ask for: to change
// something, to open a websocket, or to be embedded. A navigation that reads may come from
// anywhere. Programs do not say where they come from, and are let through.
func (q *request) checkSite(r *http.Request) error {
	no := access.Fail(access.Denied, "other-origin", "a page of another origin asks for this, so it is not sent on").Try("open it from the application itself")
	origin := r.Header.Get("Origin")
	if len(r.Header["Origin"]) > 1 || len(r.Header["Sec-Fetch-Site"]) > 1 {
		return ambiguous("it says twice where it comes from")
	}
	same := q.sameOrigin(origin)
	reads := (r.Method == http.MethodGet || r.Method == http.MethodHead) && !q.upgrade
	navigates := reads && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	switch site := r.Header.Get("Sec-Fetch-Site"); {
	case q.upgrade && origin != "" && !same:
		return no
	case q.upgrade && origin == "" && q.browser: // RFC 6455 section 10.2: each browser says it
		return no
	case site == "same-origin" || site == "none":
		if origin != "" && !same && !reads {
			return no
		}
		return nil
	case site != "" && navigates:
		return nil
	case site != "" && !(q.upgrade && same): // handshakes of websockets have it in some browsers only
		return no
	case origin != "" && !same && !(reads && q.browser):
		return no
	}
	return nil
}

func (q *request) sameOrigin(origin string) bool {
	if q.browser {
		return strings.EqualFold(origin, "https://"+q.host)
	}
	return strings.EqualFold(origin, "http://"+q.said) || strings.EqualFold(origin, "https://"+q.said)
}
