package apiserver

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"stint/internal/api"
	"stint/internal/web/ui"
)

// forged is a call that a browser with the victim's cookie is made to send.
type forged struct {
	name, threat string // T-NN of docs/threat-model.md
	method, at   string
	header       map[string]string
	body         string
	want         int // 0: anything but a success
}

var regexpAssets = regexp.MustCompile(`/assets/[0-9a-f]{12}/[a-z0-9./-]+`)

const formType = "application/x-www-form-urlencoded"

// TestForgedCalls makes calls with a signed-in administrator's cookie, as pages of others
// and neighbours can have a browser make them. None does anything: afterwards the session,
// what was asked and the colours are as before. The same calls from a page of ours do.
func TestForgedCalls(t *testing.T) {
	w, admin, all := keyed(t, []string{fmt.Sprintf(guarded, "high", "console")}, "omar")
	omar := all["omar"]
	gus := w.as(admin, api.UserAdd{Name: "gus"})
	r := askVault(t, gus, "something broke")
	approve := omar.ballot(r.ID)
	approve.Set("answer", "approve")
	yes := approve.Encode()
	other := omar.ballot(r.ID)
	other.Set("answer", "approve")
	other.Set("digest", "sha256:"+strings.Repeat("1", 64))
	none := omar.ballot(r.ID)
	none.Set("answer", "approve")
	none.Set("digest", "sha256:"+strings.Repeat("0", 64))
	unsaid := omar.ballot(r.ID)
	unsaid.Set("answer", "approve")
	unsaid.Del("digest")
	decide := "/r/" + r.ID + "/decide"
	home := w.http.URL
	host := strings.TrimPrefix(home, "http://")
	own := map[string]string{"Origin": home, "Content-Type": formType}
	from := func(origin, site string, more ...string) map[string]string {
		h := map[string]string{"Content-Type": formType}
		if origin != "" {
			h["Origin"] = origin
		}
		if site != "" {
			h["Sec-Fetch-Site"] = site
		}
		for i := 0; i+1 < len(more); i += 2 {
			h[more[i]] = more[i+1]
		}
		return h
	}
	cases := []forged{
		{"a form of another site", "T-13", "POST", decide, from("https://evil.example", "cross-site"), yes, 403},
		{"a form of another site, in an old browser", "T-13", "POST", decide, from("https://evil.example", ""), yes, 403},
		{"a form of a neighbouring host", "T-13", "POST", decide, from("https://evil."+host, "same-site"), yes, 403},
		{"a form of another port", "T-13", "POST", decide, from("http://127.0.0.1:1", "same-site"), yes, 403},
		{"a form of this host over another scheme", "T-13", "POST", decide, from("https://"+host, "cross-site"), yes, 403},
		{"a form of a page in a sandbox", "T-13", "POST", decide, from("null", "cross-site"), yes, 403},
		{"a form of a page without an origin, in an old browser", "T-13", "POST", decide, from("null", ""), yes, 403},
		{"a form that does not say where it is from", "T-13", "POST", decide, from("", ""), yes, 403},
		{"a form with an origin that begins like ours", "T-13", "POST", decide, from(home+".evil.example", ""), yes, 403},
		{"a form with ours as a name and password", "T-13", "POST", decide, from("http://"+host+"@evil.example", ""), yes, 403},
		{"a form with no origin that can be read", "T-13", "POST", decide, from("%%%", ""), yes, 403},
		{"a site that says it is two things", "T-13", "POST", decide, from("", "same-origin, cross-site"), yes, 403},
		{"a referrer of ours in the place of an origin", "T-13", "POST", decide, from("", "", "Referer", home+"/requests"), yes, 403},
		{"a call without CORS, of text", "T-13", "POST", decide, from("https://evil.example", "cross-site", "Content-Type", "text/plain"), yes, 403},
		{"a form with files", "T-13", "POST", decide, from("https://evil.example", "cross-site", "Content-Type", "multipart/form-data; boundary=x"), "--x\r\nContent-Disposition: form-data; name=\"answer\"\r\n\r\napprove\r\n--x--", 403},
		{"JSON in the place of a form", "T-13", "POST", decide, from(home, "same-origin", "Content-Type", "application/json"), `{"answer":"approve"}`, 0},
		{"the fields in the address", "T-13", "POST", decide + "?" + yes, from(home, "same-origin"), "", 0},
		{"a vote by GET", "T-13", "GET", decide + "?" + yes, nil, "", 404},
		{"a vote by HEAD", "T-13", "HEAD", decide + "?" + yes, nil, "", 404},
		{"a vote by GET that says it is a POST", "T-13", "GET", decide + "?_method=POST&" + yes, map[string]string{"X-HTTP-Method-Override": "POST"}, "", 404},
		{"a vote by PUT", "T-13", "PUT", decide, own, yes, 404},
		{"a vote by another's method", "T-13", "POST", decide + "?_method=PATCH", from("https://evil.example", "cross-site", "X-HTTP-Method-Override", "PATCH"), yes, 403},
		{"what htmx says, from elsewhere", "T-13", "POST", decide, from("https://evil.example", "cross-site", "HX-Request", "true", "HX-Request-Type", "partial"), yes, 403},
		{"an address with a dot in it", "T-13", "POST", "/r/" + r.ID + "/./decide", from("https://evil.example", "cross-site"), yes, 403},
		{"an address that is written otherwise", "T-13", "POST", "/r/" + r.ID + "/%64ecide", from("https://evil.example", "cross-site"), yes, 403},
		{"a sign-out", "T-13", "POST", "/logout", from("https://evil.example", "cross-site"), "", 403},
		{"a sign-out by GET", "T-13", "GET", "/logout", nil, "", 404},
		{"a sign-in as somebody else", "T-13", "POST", "/login", from("https://evil.example", "cross-site"), "provider=corp", 403},
		{"a sign-in with a code of the attacker's", "T-13", "POST", "/enroll", from("https://evil.example", "cross-site"), "code=stint-enroll-x", 403},
		{"a sign-in with a passkey of the attacker's", "T-13", "POST", "/login/passkey", from("https://evil.example", "cross-site"), "proof=x", 403},
		{"a device of the attacker's", "T-13", "POST", "/device/answer", from("https://evil.example", "cross-site"), "code=BCDF-GHJK&answer=yes", 403},
		{"a device of the attacker's, by a link", "T-13", "GET", "/device/answer?code=BCDF-GHJK&answer=yes", nil, "", 404},
		{"a request in their name", "T-12e", "POST", "/request", from("https://evil.example", "cross-site"), "resource=db&role=reader&for=5m&reason=x", 403},
		{"a request in their name, by a link", "T-12e", "GET", "/request?resource=db&role=reader&for=5m&reason=because&send=1", nil, "", 200},
		{"a preview, which is no change, from elsewhere", "T-13", "POST", "/request/preview", from("https://evil.example", "cross-site"), "resource=db", 403},
		{"colours", "T-13", "POST", "/theme", from("https://evil.example", "cross-site"), "theme=dark&back=/", 403},
		{"a session of theirs ended", "T-13", "POST", "/signins/end", from("https://evil.example", "cross-site"), "id=x", 403},
		{"what a passkey should sign", "T-12c", "POST", "/r/" + r.ID + "/ask", from("https://evil.example", "cross-site"), yes, 403},
		{"a passkey made for the attacker", "T-12b", "POST", "/passkeys/ask", from("https://evil.example", "cross-site"), "", 403},
		{"the API by a cookie", "T-13", "GET", "/v1/requests", nil, "", 0},
		{"the API by a cookie, a vote", "T-13", "POST", "/v1/requests/" + r.ID + "/approve", from(home, "same-origin", "Content-Type", "application/json"), `{"digest":"` + r.Digest + `"}`, 0},
		{"a stream without the page's header", "T-13", "GET", "/events?view=requests", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, "", 0},
		{"the question whether a stream may be read from elsewhere", "T-13", "OPTIONS", "/events?view=requests", map[string]string{"Origin": "https://evil.example", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": ui.NonceHeader}, "", 0},
		{"the question whether a form may be sent from elsewhere", "T-13", "OPTIONS", decide, map[string]string{"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}, "", 0},
		{"a body without an end", "T-13", "POST", decide, own, "note=" + strings.Repeat("x", 1<<20), 0},
		{"a form that cannot be read", "T-13", "POST", decide, own, "%zz=%zz", 0},
		{"another request's digest", "T-12c", "POST", decide, own, other.Encode(), 0},
		{"a digest of nothing", "T-12c", "POST", decide, own, none.Encode(), 0},
		{"no digest", "T-12c", "POST", decide, own, unsaid.Encode(), 0},
	}
	for _, c := range cases {
		t.Run(c.threat+" "+c.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), c.method, home+c.at, strings.NewReader(c.body))
			check(t, err)
			for k, v := range c.header {
				req.Header.Set(k, v)
			}
			p := omar.do(req)
			if c.want != 0 && p.status != c.want || c.want == 0 && p.status < 400 {
				t.Errorf("%d, want %d: %s", p.status, c.want, p.text)
			}
			for name := range p.header {
				if strings.HasPrefix(name, "Access-Control-Allow") {
					t.Errorf("another site may read it: %s", name)
				}
			}
			if strings.Contains(p.header.Get("Set-Cookie"), "stint=") {
				t.Errorf("it changes the session: %s", p.header.Get("Set-Cookie"))
			}
		})
	}
	if len(cases) < 40 {
		t.Errorf("%d calls are tried", len(cases))
	}
	is, err := gus.Request(t.Context(), r.ID, api.Wait{})
	check(t, err)
	if is.State != api.RequestPending || len(is.Votes) != 0 {
		t.Errorf("the request is %s, with %d votes", is.State, len(is.Votes))
	}
	omar.get("/requests").want(t, 200, "something broke")
	if omar.cookie(t, "stint-theme") != "" {
		t.Error("the colours changed")
	}
	// And so that all of that says something: the same vote from our own page counts.
	omar.post(decide, approve).want(t, http.StatusSeeOther)
	if is, err = gus.Request(t.Context(), r.ID, api.Wait{}); err != nil || len(is.Votes) != 1 {
		t.Errorf("a vote from our own page does not count: %+v, %v", is.Votes, err)
	}
}

// TestCookiesOfNeighbours: of two cookies with one name none is believed, whoever set the
// other; one that somebody gave their victim becomes nobody's session; and a new sign-in
// never keeps the session that was there (T-35).
func TestCookiesOfNeighbours(t *testing.T) {
	w, _, all := keyed(t, []string{fmt.Sprintf(guarded, "high", "passkey")}, "omar")
	own := all["omar"].cookie(t, "stint")
	for name, cookies := range map[string]string{
		"the neighbour's first": "stint=evil; stint=" + own, "the neighbour's last": "stint=" + own + "; stint=evil", "twice the same": "stint=" + own + "; stint=" + own,
		"in quotes with more": `stint="` + own + `; x"`, "longer than any": "stint=" + own + strings.Repeat("x", 4096), "with another case": "STINT=" + own,
		"of https on http": "__Host-stint=" + own, "of a name that begins like it": "stint-=" + own, "chosen by the attacker": "stint=" + strings.Repeat("a", len(own)),
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.http.URL+"/requests", nil)
		check(t, err)
		req.Header.Set("Cookie", cookies)
		if p := w.browser().do(req); p.status != http.StatusSeeOther || strings.Contains(p.text, "omar") {
			t.Errorf("%s: %d", name, p.status)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.http.URL+"/requests", nil)
	check(t, err)
	req.Header.Set("Cookie", "stint="+own)
	if p := w.browser().do(req); p.status != http.StatusOK {
		t.Errorf("the one cookie: %d", p.status)
	}
}

// TestWhatPagesSay holds what keeps an answer from being kept, framed, sniffed or read by
// others (T-12c, T-35), of pages, errors, redirects, pieces, streams and assets.
func TestWhatPagesSay(t *testing.T) {
	w, admin, all := keyed(t, []string{fmt.Sprintf(guarded, "high", "passkey")}, "omar")
	omar := all["omar"]
	r := askVault(t, w.as(admin, api.UserAdd{Name: "gus"}), "something broke")
	for _, at := range []string{"/", "/requests", "/r/" + r.ID, "/request", "/you", "/signins", "/passkeys", "/recovery", "/login", "/r/none", "/nothing", "/_ui", "/logout", "/login/callback/none?state=x", "/events?view=none", "/../", "/%2e%2e/"} {
		p := omar.get(at)
		h := p.header
		if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" ||
			!strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d %v", at, p.status, h)
		}
		if kind := h.Get("Content-Type"); p.text != "" && kind != "text/html; charset=utf-8" && kind != "application/problem+json" && kind != "text/event-stream" && kind != "application/json" {
			t.Errorf("%s is of the type %q", at, kind)
		}
		if h.Get("Access-Control-Allow-Origin") != "" || h.Get("Server") != "" {
			t.Errorf("%s: %v", at, h)
		}
	}
	page := omar.get("/")
	for _, at := range regexpAssets.FindAllString(page.text, -1) {
		p := omar.get(at)
		if p.status != http.StatusOK || p.header.Get("X-Content-Type-Options") != "nosniff" || p.header.Get("Cross-Origin-Resource-Policy") != "same-origin" || p.header.Get("Set-Cookie") != "" || !strings.Contains(p.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", at, p.status, p.header)
		}
		other := omar.get(strings.Replace(at, "/assets/", "/assets/0", 1)) // of another release
		if other.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s of another release: %v", at, other.header)
		}
	}
	for _, at := range []string{"/assets/x/../../../etc/passwd", "/assets/x/%2e%2e/doc.go", "/assets/x/assets.go", "/assets/x/VENDOR.md", "/assets/x/"} {
		if p := omar.get(at); p.status == http.StatusOK {
			t.Errorf("%s: %s", at, p.text)
		}
	}
}

// TestHostHeader: where the address that people use is known, what a call says of it leads
// nowhere else; and where it is not, redirects have no host in them at all (T-35).
func TestHostHeader(t *testing.T) {
	w := begin(t)
	w.first()
	for _, at := range []string{"/", "/requests", "/login/cli", "/r/x"} {
		c, err := net.Dial("tcp", strings.TrimPrefix(w.http.URL, "http://"))
		check(t, err)
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\nForwarded: host=evil.example\r\nConnection: close\r\n\r\n", at)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		check(t, err)
		text := make([]byte, 1<<16)
		n, _ := res.Body.Read(text)
		if to := res.Header.Get("Location"); !strings.HasPrefix(to, "/login") && to != "" || strings.Contains(string(text[:n]), "evil.example") {
			t.Errorf("%s leads to %q", at, to)
		}
		c.Close()
	}
	// A name that was pointed at a loopback address (DNS rebinding) is another origin to the
	// browser, and is refused here: over plain http only loopback's own names are served.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.http.URL+"/login", nil)
	check(t, err)
	req.Host = "evil.example"
	if p := w.browser().do(req); p.status == http.StatusOK {
		t.Errorf("a name that somebody pointed at us: %d", p.status)
	}
	w.server.public = &url.URL{Scheme: "https", Host: "stint.example.com"}
	req.Host = "evil.example"
	if p := w.browser().do(req); strings.Contains(p.text+fmt.Sprint(p.header), "evil.example") {
		t.Errorf("the answer has the name that the call said: %v %s", p.header, p.text)
	}
}
