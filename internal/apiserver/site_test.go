package apiserver

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/ident"
	"stint/internal/oidc/oidctest"
	"stint/internal/store"
)

// withProvider connects a provider to a world, as an administrator does. options are
// further lines of the document.
func (w *world) withProvider(admin *api.Client, name string, options ...string) *oidctest.Provider {
	w.t.Helper()
	idp := oidctest.Start(w.t)
	text := "kind: Integration\nname: " + name + "\ntype: oidc\naddress: " + idp.URL + "\ncredential: " + name + "\n" + strings.Join(options, "\n")
	_, err := admin.SetCredential(w.t.Context(), name, api.CredentialSet{Type: "oidc", Address: idp.URL, Username: idp.ClientID, Password: api.Secret(idp.Secret)})
	check(w.t, err)
	_, err = admin.Apply(w.t.Context(), api.Apply{Files: []api.File{{Name: name + ".yaml", Text: text}}})
	check(w.t, err)
	return idp
}

// browser is one that follows no redirect by itself, so that a test sees each step.
type browser struct {
	w      *world
	c      *http.Client
	origin string // of forms; empty: the server's own
	same   bool   // says Sec-Fetch-Site: same-origin instead
}

func (w *world) browser() *browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	check(w.t, err)
	return &browser{w: w, c: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// shown is an answer.
type shown struct {
	status int
	header http.Header
	text   string
}

func (b *browser) do(req *http.Request) shown {
	b.w.t.Helper()
	res, err := b.c.Do(req)
	check(b.w.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	check(b.w.t, err)
	return shown{res.StatusCode, res.Header, string(text)}
}

func (b *browser) get(at string) shown {
	b.w.t.Helper()
	req, err := http.NewRequestWithContext(b.w.t.Context(), http.MethodGet, b.address(at), nil)
	check(b.w.t, err)
	return b.do(req)
}

func (b *browser) post(at string, form url.Values) shown {
	b.w.t.Helper()
	req, err := http.NewRequestWithContext(b.w.t.Context(), http.MethodPost, b.address(at), strings.NewReader(form.Encode()))
	check(b.w.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	switch {
	case b.same:
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	case b.origin != "":
		req.Header.Set("Origin", b.origin)
	default:
		req.Header.Set("Origin", b.w.http.URL)
	}
	return b.do(req)
}

func (b *browser) address(at string) string {
	if strings.HasPrefix(at, "http") {
		return at
	}
	return b.w.http.URL + at
}

var (
	onward = regexp.MustCompile(`id="go"[^>]*href="([^"]*)"`)
	hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// onward is where a page takes the browser by itself.
func (p shown) onward(t testing.TB) string {
	t.Helper()
	m := onward.FindStringSubmatch(p.text)
	if m == nil {
		t.Fatalf("%d: no way onward in %s", p.status, p.text)
	}
	return html.UnescapeString(m[1])
}

// form are the hidden fields of a page.
func (p shown) form() url.Values {
	q := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(p.text, -1) {
		q.Set(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return q
}

func (p shown) want(t testing.TB, status int, texts ...string) shown {
	t.Helper()
	if p.status != status {
		t.Fatalf("got %d, want %d: %s", p.status, status, p.text)
	}
	for _, s := range texts {
		if !strings.Contains(p.text, s) {
			t.Errorf("the page does not say %q: %s", s, p.text)
		}
	}
	return p
}

// cookie is the value of one; empty without.
func (b *browser) cookie(t testing.TB, name string) string {
	t.Helper()
	u, err := url.Parse(b.w.http.URL)
	check(t, err)
	for _, c := range b.c.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (b *browser) set(t testing.TB, name, value string) {
	t.Helper()
	u, err := url.Parse(b.w.http.URL)
	check(t, err)
	b.c.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

func (*world) addr() netip.Addr { return netip.MustParseAddr("127.0.0.1") }

// depart goes to a provider and gives the address it sends the browser back to.
func (b *browser) depart(provider, next string) string {
	b.w.t.Helper()
	to := b.post("/login", url.Values{"provider": {provider}, "next": {next}}).want(b.w.t, http.StatusOK).onward(b.w.t)
	return oidctest.Visit(b.w.t, to).String()
}

// signIn signs the browser in, and gives where it was sent then.
func (b *browser) signIn(provider, next string) string {
	b.w.t.Helper()
	p := b.get(b.depart(provider, next)).want(b.w.t, http.StatusSeeOther)
	return p.header.Get("Location")
}

func TestBrowserSession(t *testing.T) {
	w := begin(t)
	admin := w.first()
	idp := w.withProvider(admin, "corp", `create: "yes"`, "title: The Corporation")
	b := w.browser()
	if p := b.get("/"); p.status != http.StatusSeeOther || p.header.Get("Location") != "/login" {
		t.Fatalf("signed out: %d %s", p.status, p.header.Get("Location"))
	}
	b.get("/login").want(t, http.StatusOK, "Sign in with The Corporation")
	if to := b.signIn("corp", "/signins"); to != "/signins" {
		t.Errorf("sent to %q", to)
	}
	b.get("/you").want(t, http.StatusOK, "user:mira", "platform")
	b.get("/signins").want(t, http.StatusOK, "browser", "this one", "by corp")
	u, err := admin.User(t.Context(), "mira")
	check(t, err)
	if len(u.Groups) != 1 || u.Groups[0] != "platform" {
		t.Errorf("groups %v", u.Groups)
	}
	// The groups of the provider follow it; the session of before ends with a new one.
	before := b.cookie(t, "stint")
	idp.User(map[string]any{"sub": "subject-1", "groups": []string{"dba"}})
	b.signIn("corp", "/")
	b.get("/you").want(t, http.StatusOK, "dba")
	if _, err := w.ident.Session(t.Context(), access.NewSecret([]byte(before)), w.addr()); access.KindOf(err) != access.Unauthenticated {
		t.Errorf("the session of before: %v", err)
	}
	token := b.cookie(t, "stint")
	if p := b.post("/logout", nil); p.status != http.StatusSeeOther {
		t.Fatalf("signing out: %d %s", p.status, p.text)
	}
	b.get("/").want(t, http.StatusSeeOther)
	if _, err := w.ident.Session(t.Context(), access.NewSecret([]byte(token)), w.addr()); access.KindOf(err) != access.Unauthenticated {
		t.Errorf("the session that was signed out: %v", err)
	}
}

// A disabled user is out with the next page, and gets in no more.
func TestBrowserDisabled(t *testing.T) {
	w := begin(t)
	admin := w.first()
	w.withProvider(admin, "corp", `create: "yes"`)
	b := w.browser()
	b.signIn("corp", "/")
	_, err := admin.DisableUser(t.Context(), "mira")
	check(t, err)
	b.get("/").want(t, http.StatusSeeOther)
	b.get(b.depart("corp", "/")).want(t, http.StatusUnauthorized, "disabled")
}

// TestWhoIsWho holds that a subject finds a user, and nothing else does.
func TestWhoIsWho(t *testing.T) {
	w := begin(t)
	admin := w.first()
	w.as(admin, api.UserAdd{Name: "noor", Groups: []string{"dba"}})
	corp, other := w.withProvider(admin, "corp", `create: "yes"`, "nameClaim: name"), w.withProvider(admin, "other", `create: "yes"`, "nameClaim: name")
	strict := w.withProvider(admin, "strict")
	refused := func(name string, claims map[string]any, code string) {
		t.Helper()
		b := w.browser()
		p := b.get(b.depart(name, "/"))
		if p.status < 400 || !strings.Contains(p.text, code) {
			t.Errorf("%v at %s: %d %s, want %s", claims, name, p.status, p.text, code)
		}
		if b.cookie(t, "stint") != "" {
			t.Errorf("%v at %s: a session was opened", claims, name)
		}
	}
	is := func(name, user string) {
		t.Helper()
		b := w.browser()
		b.signIn(name, "/")
		b.get("/you").want(t, http.StatusOK, "user:"+user+"<")
	}
	mail := map[string]any{"sub": "attacker", "name": "noor", "email": "noor@corp.example", "email_verified": true, "preferred_username": "noor"}
	corp.User(mail)
	refused("corp", mail, "name-taken") // a name proves nothing, an address neither
	for _, bad := range []string{"", "Noor", "root user", "../etc", "stint", "noor\x00", "*", "user:noor"} {
		claims := map[string]any{"sub": "attacker", "name": bad, "email": "noor@corp.example"}
		corp.User(claims)
		refused("corp", claims, "name")
	}
	strict.User(map[string]any{"sub": "subject-9", "name": "noor"})
	refused("strict", nil, "not-linked")

	corp.User(map[string]any{"sub": "subject-1", "name": "mira"})
	is("corp", "mira")
	// The same subject of another provider is somebody else; so is another subject of
	// the same name and address.
	other.User(map[string]any{"sub": "subject-1", "name": "mira"})
	refused("other", nil, "name-taken")
	other.User(map[string]any{"sub": "subject-1", "name": "mira2"})
	is("other", "mira2")
	corp.User(map[string]any{"sub": "subject-2", "name": "mira", "email": "mira@corp.example"})
	refused("corp", nil, "name-taken")
	// A name that changes there changes nothing here.
	corp.User(map[string]any{"sub": "subject-1", "name": "noor"})
	is("corp", "mira")

	check(t, admin.Do(t.Context(), http.MethodPost, "/admin/users/noor/link", api.Identity{Provider: "strict", Subject: "subject-9"}, nil))
	is("strict", "noor")
	// Groups that one provider gives are not another's, nor the administrator's.
	strict.User(map[string]any{"sub": "subject-9", "groups": []string{"platform"}})
	is("strict", "noor")
	u, err := admin.User(t.Context(), "noor")
	check(t, err)
	if strings.Join(u.Groups, ",") != "dba,platform" {
		t.Errorf("groups %v", u.Groups)
	}
}

// TestHostileCallback has somebody come back who did not set out, or twice.
func TestHostileCallback(t *testing.T) {
	w := begin(t)
	admin := w.first()
	w.withProvider(admin, "corp", `create: "yes"`)
	w.withProvider(admin, "other", `create: "yes"`)
	refused := func(t *testing.T, b *browser, at string) {
		t.Helper()
		p := b.get(at)
		if p.status < 400 || b.cookie(t, "stint") != "" {
			t.Errorf("%d, session %q: %s", p.status, b.cookie(t, "stint"), p.text)
		}
	}
	with := func(at string, change func(q url.Values)) string {
		u, err := url.Parse(at)
		check(t, err)
		q := u.Query()
		change(q)
		u.RawQuery = q.Encode()
		return u.String()
	}
	t.Run("another browser", func(t *testing.T) { // login CSRF
		at := w.browser().depart("corp", "/")
		refused(t, w.browser(), at)
		b := w.browser()
		b.depart("corp", "/") // one with a trip of its own
		refused(t, b, at)
	})
	t.Run("twice", func(t *testing.T) {
		b := w.browser()
		at := b.depart("corp", "/")
		b.get(at).want(t, http.StatusSeeOther)
		b.post("/logout", nil).want(t, http.StatusSeeOther)
		refused(t, b, at)
	})
	t.Run("at another provider's address", func(t *testing.T) {
		b := w.browser()
		refused(t, b, strings.Replace(b.depart("corp", "/"), "/callback/corp", "/callback/other", 1))
	})
	t.Run("no state", func(t *testing.T) {
		b := w.browser()
		refused(t, b, with(b.depart("corp", "/"), func(q url.Values) { q.Del("state") }))
	})
	t.Run("a state made up", func(t *testing.T) {
		b := w.browser()
		refused(t, b, with(b.depart("corp", "/"), func(q url.Values) { q.Set("state", "stint-state-x") }))
	})
	t.Run("two states", func(t *testing.T) {
		b := w.browser()
		refused(t, b, with(b.depart("corp", "/"), func(q url.Values) { q.Add("state", "x") }))
	})
	t.Run("another code", func(t *testing.T) {
		b := w.browser()
		theirs := w.browser().depart("corp", "/")
		u, err := url.Parse(theirs)
		check(t, err)
		refused(t, b, with(b.depart("corp", "/"), func(q url.Values) { q.Set("code", u.Query().Get("code")) }))
	})
	t.Run("too late", func(t *testing.T) {
		b := w.browser()
		at := b.depart("corp", "/")
		u, err := url.Parse(at)
		check(t, err)
		check(t, w.store.Update(t.Context(), func(tx *store.Tx) error {
			a, err := tx.Attempt(hashOf(u.Query().Get("state")))
			if err != nil {
				return err
			}
			a.Key, a.CreatedAt, a.ExpiresAt = hashOf("stint-state-late"), tx.Now().Add(-access.AttemptFor), tx.Now()
			return tx.SaveAttempt(a)
		}))
		refused(t, b, with(at, func(q url.Values) { q.Set("state", "stint-state-late") }))
	})
	t.Run("sent away afterwards", func(t *testing.T) {
		for _, next := range []string{"https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "/a\r\nSet-Cookie: x=y", "http:/evil", "\\\\evil", strings.Repeat("/a", 2000)} {
			b := w.browser()
			if to := b.signIn("corp", next); to != "/" {
				t.Errorf("%q sent the browser to %q", next, to)
			}
		}
	})
}

// TestPagesAreGuarded holds what is true of every page.
func TestPagesAreGuarded(t *testing.T) {
	w := begin(t)
	admin := w.first()
	w.withProvider(admin, "corp", `create: "yes"`)
	in := w.browser()
	in.signIn("corp", "/")
	for _, at := range []string{"/", "/login", "/device", "/signins"} {
		p := in.get(at).want(t, http.StatusOK)
		for name, want := range map[string]string{"Cache-Control": "no-store", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
			"Cross-Origin-Opener-Policy": "same-origin", "Referrer-Policy": "same-origin"} {
			if p.header.Get(name) != want {
				t.Errorf("%s: %s is %q", at, name, p.header.Get(name))
			}
		}
		csp := p.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, want) || strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
				t.Errorf("%s: %s", at, csp)
			}
		}
		for _, script := range regexp.MustCompile(`<script[^>]*>[^<]*`).FindAllString(p.text, -1) {
			if !regexp.MustCompile(`^<script src="/assets/[0-9a-f]{12}/[a-z0-9./-]+\.js" nonce="[\w-]{22}" defer>$`).MatchString(script) {
				t.Errorf("%s has a script that is none of ours: %s", at, script)
			}
		}
		if strings.Contains(p.text, " style=") || regexp.MustCompile(` on[a-z]+=`).MatchString(p.text) {
			t.Errorf("%s has a style or a handler in it", at)
		}
	}
	for _, at := range []string{"/logout", "/signins/end", "/login", "/login/cli", "/device", "/device/answer"} {
		t.Run("a form from elsewhere "+at, func(t *testing.T) {
			evil := *in
			evil.origin = "https://evil.example"
			evil.post(at, url.Values{"provider": {"corp"}}).want(t, http.StatusForbidden)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.http.URL+at, strings.NewReader("provider=corp"))
			check(t, err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			in.do(req).want(t, http.StatusForbidden) // one that says nothing
			req.Header.Set("Sec-Fetch-Site", "cross-site")
			in.do(req).want(t, http.StatusForbidden)
			req.Header.Set("Sec-Fetch-Site", "same-site") // a neighbour is not us
			in.do(req).want(t, http.StatusForbidden)
		})
		if p := in.get(at); at != "/login" && at != "/login/cli" && at != "/device" && p.status != http.StatusMethodNotAllowed && p.status != http.StatusNotFound {
			t.Errorf("GET %s: %d", at, p.status)
		}
	}
	in.get("/you").want(t, http.StatusOK, "user:mira") // all of that changed nothing

	for _, token := range []string{"x", "stint-web-x", in.cookie(t, "stint") + "x", admin.Token.Reveal()} {
		other := w.browser()
		other.set(t, "stint", token)
		other.get("/").want(t, http.StatusSeeOther)
	}
	// The other way around: a browser's token is no client's, whatever key signs.
	c := w.client()
	c.Token = api.Secret(in.cookie(t, "stint"))
	if _, err := c.Whoami(t.Context()); problemOf(err, "").Kind != api.Unauthenticated {
		t.Errorf("a browser's token called the API: %v", err)
	}
	c.Service = true
	if _, err := c.Whoami(t.Context()); problemOf(err, "").Kind != api.Unauthenticated {
		t.Errorf("a browser's token called the API as a service: %v", err)
	}
}

// Cookies are of this host alone where there is https; and there is no signing in
// over plain http from afar.
func TestCookies(t *testing.T) {
	for _, c := range []struct{ public, cookie string }{{"https://stint.example.com", "__Host-stint"}, {"", "stint"}} {
		w := begin(t)
		admin := w.first()
		w.withProvider(admin, "corp", `create: "yes"`)
		if c.public != "" {
			u, err := url.Parse(c.public)
			check(t, err)
			w.server.public = u
		}
		b := w.browser()
		b.same = true
		raw := b.post("/login", url.Values{"provider": {"corp"}}).want(t, http.StatusOK).header.Get("Set-Cookie")
		want := c.cookie + "-trip="
		if !strings.HasPrefix(raw, want) || !strings.Contains(raw, "; Path=/;") || !strings.Contains(raw, "HttpOnly") || !strings.Contains(raw, "SameSite=Lax") ||
			strings.Contains(raw, "Secure") != (c.public != "") || strings.Contains(raw, "Domain") {
			t.Errorf("%q: the cookie is %s", c.public, raw)
		}
	}
	w := begin(t, func(c *Config) { c.PublicURL = &url.URL{Scheme: "http", Host: "stint.example.com"} })
	w.browser().get("/login").want(t, http.StatusUnprocessableEntity, "needs https")
}

// TestTerminal signs a command line in, by what a browser brings it.
func TestTerminal(t *testing.T) {
	w := begin(t)
	admin := w.first()
	idp := w.withProvider(admin, "corp", `create: "yes"`)
	idp.User(map[string]any{"sub": "subject-1", "preferred_username": "mira", "amr": []string{"pwd", "otp"}, "acr": "high", "auth_time": time.Now().Add(-time.Minute).Unix()})
	c := w.client()
	verifier := strings.Repeat("v", 43)
	sum := sha256.Sum256([]byte(verifier))
	ask := url.Values{"redirect_uri": {"http://127.0.0.1:4711/"}, "state": {strings.Repeat("s", 22)}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])},
		"code_challenge_method": {"S256"}, "device": {c.Device.ID()}, "client": {"stint on <b>laptop</b>"}}
	b := w.browser()
	p := b.get("/login/cli?"+ask.Encode()).want(t, http.StatusSeeOther)
	to := p.header.Get("Location")
	u, err := url.Parse(to)
	check(t, err)
	next := b.signIn("corp", u.Query().Get("next"))
	p = b.get(next).want(t, http.StatusOK, "user:mira", "stint on &lt;b&gt;laptop", api.DeviceMark(c.Device.ID()))
	form := p.form()
	brought := func(answer string) url.Values {
		t.Helper()
		form.Set("answer", answer)
		back, err := url.Parse(b.post("/login/cli", form).want(t, http.StatusOK).onward(t))
		check(t, err)
		if back.Scheme+"://"+back.Host+back.Path != "http://127.0.0.1:4711/" || back.Query().Get("state") != ask.Get("state") || back.Query().Get("iss") != w.http.URL {
			t.Errorf("sent to %s", back)
		}
		return back.Query()
	}
	if q := brought("no"); q.Get("error") != "access_denied" || q.Has("code") {
		t.Errorf("a no brings %v", q)
	}
	code := api.Secret(brought("yes").Get("code"))

	wrong := func(name string, c *api.Client, code, verifier api.Secret) {
		t.Helper()
		if l, err := c.RedeemTerminal(t.Context(), code, verifier); problemOf(err, "").Kind != api.Unauthenticated {
			t.Errorf("%s: %v, %v", name, l.Principal, err)
		}
	}
	wrong("another device", w.client(), code, api.Secret(verifier))
	wrong("another verifier", c, code, api.Secret(strings.Repeat("w", 43)))
	wrong("another code", c, "stint-code-x", api.Secret(verifier))
	l, err := c.RedeemTerminal(t.Context(), code, api.Secret(verifier))
	check(t, err)
	wrong("used before", c, code, api.Secret(verifier))
	c.Token = l.Token
	me, err := c.Whoami(t.Context())
	check(t, err)
	if me.Principal != "user:mira" || me.Provider != "corp" || strings.Join(me.Methods, " ") != "otp pwd" || !me.MFA {
		t.Errorf("got %+v", me)
	}
	all, err := c.Logins(t.Context())
	check(t, err)
	if len(all.Items) != 2 || !all.Items[0].This || all.Items[0].Kind != "device" || all.Items[1].Kind != "browser" || all.Items[0].ExpiresAt.After(all.Items[1].ExpiresAt.Time) ||
		all.Items[0].Class != "high" || all.Items[0].AuthTime.IsZero() {
		t.Errorf("got %+v", all.Items)
	}
	// Whoever ends the browser's session before the code was redeemed ends that, too.
	form.Set("answer", "yes")
	late := api.Secret(brought("yes").Get("code"))
	_, err = c.EndLogin(t.Context(), all.Items[1].ID[:8])
	check(t, err)
	wrong("of a session that ended", c, late, api.Secret(verifier))
	b.get("/").want(t, http.StatusSeeOther)
	if _, err := c.EndLogin(t.Context(), all.Items[1].ID); problemOf(err, "").Kind != api.NotFound {
		t.Errorf("ended twice: %v", err)
	}
	if _, err := admin.EndLogin(t.Context(), all.Items[0].ID); problemOf(err, "").Kind != api.NotFound {
		t.Errorf("another's session: %v", err)
	}
	_, err = c.EndLogin(t.Context(), all.Items[0].ID)
	check(t, err)
	if _, err := c.Whoami(t.Context()); problemOf(err, "").Kind != api.Unauthenticated {
		t.Errorf("the ended session: %v", err)
	}
}

func TestTerminalAsksOnlyForItself(t *testing.T) {
	w := begin(t)
	admin := w.first()
	w.withProvider(admin, "corp", `create: "yes"`)
	b := w.browser()
	b.signIn("corp", "/")
	good := url.Values{"redirect_uri": {"http://127.0.0.1:4711/"}, "state": {strings.Repeat("s", 22)}, "code_challenge": {strings.Repeat("A", 43)},
		"code_challenge_method": {"S256"}, "device": {strings.Repeat("A", 43)}, "client": {"x"}}
	b.get("/login/cli?"+good.Encode()).want(t, http.StatusOK)
	for name, value := range map[string][]string{
		"redirect_uri": {"", "https://evil.example/", "http://evil.example/", "http://127.0.0.1.evil.example:80/", "http://localhost:4711/", "http://127.0.0.1:4711/x", "http://127.0.0.1:4711",
			"http://127.0.0.1/", "http://127.0.0.1:0/", "http://127.0.0.1:4711/?a", "http://127.0.0.1:4711/#a", "http://evil@127.0.0.1:4711/", "http://0x7f.1:4711/", "http://10.0.0.1:4711/",
			"javascript:alert(1)", "http://[::ffff:10.0.0.1]:4711/", "http://127.0.0.1:04711/"},
		"state":                 {"", "short", strings.Repeat("s", 129), "with space and more of it"},
		"code_challenge":        {"", "x", strings.Repeat("A", 44)},
		"code_challenge_method": {"", "plain"},
		"device":                {"", "x"},
	} {
		for _, v := range value {
			q := url.Values{}
			for k, vs := range good {
				q[k] = vs
			}
			q.Set(name, v)
			b.get("/login/cli?"+q.Encode()).want(t, http.StatusUnprocessableEntity)
			q.Set("answer", "yes")
			b.post("/login/cli", q).want(t, http.StatusUnprocessableEntity)
		}
	}
}

// TestDeviceFlow signs a device in that has no browser, RFC 8628.
func TestDeviceFlow(t *testing.T) {
	w := begin(t)
	admin := w.first()
	c := w.client()
	if _, err := c.AskDevice(t.Context(), "x"); problemOf(err, "").Code != "no-browser-sign-in" {
		t.Errorf("without a provider: %v", err)
	}
	w.withProvider(admin, "corp", `create: "yes"`)
	d, err := c.AskDevice(t.Context(), "stint on build-7")
	check(t, err)
	if d.VerificationURI != w.http.URL+"/device" || d.ExpiresIn != 600 || d.Interval != 5 || !regexp.MustCompile(`^[B-Z]{4}-[B-Z]{4}$`).MatchString(d.UserCode) {
		t.Errorf("got %+v", d)
	}
	poll := func(code string) {
		t.Helper()
		if l, err := c.RedeemDevice(t.Context(), d.DeviceCode); problemOf(err, "").Code != code {
			t.Errorf("got %v, %v, want %s", l.Principal, err, code)
		}
	}
	poll(api.CodePending)
	poll(api.CodeSlowDown)
	if _, err := w.client().RedeemDevice(t.Context(), d.DeviceCode); problemOf(err, "").Code != "bad-code" {
		t.Errorf("another device: %v", err)
	}
	b := w.browser()
	at, err := url.Parse(b.get("/device?code="+d.UserCode).want(t, http.StatusSeeOther).header.Get("Location"))
	check(t, err)
	b.get(b.signIn("corp", at.Query().Get("next"))).want(t, http.StatusOK, d.UserCode)
	b.post("/device", url.Values{"code": {"BBBB-BBBB"}}).want(t, http.StatusNotFound, "no-such-code")
	p := b.post("/device", url.Values{"code": {" " + strings.ToLower(strings.ReplaceAll(d.UserCode, "-", "")) + " "}}).
		want(t, http.StatusOK, "user:mira", "stint on build-7", api.DeviceMark(c.Device.ID()))
	poll(api.CodeSlowDown) // to look is not to say yes
	form := p.form()
	form.Set("answer", "yes")
	b.post("/device/answer", form).want(t, http.StatusOK)
	b.post("/device/answer", form).want(t, http.StatusNotFound) // once
	l, err := c.RedeemDevice(t.Context(), d.DeviceCode)
	check(t, err)
	poll("code-used")
	c.Token = l.Token
	me, err := c.Whoami(t.Context())
	check(t, err)
	if me.Principal != "user:mira" || me.Provider != "corp" {
		t.Errorf("got %+v", me)
	}

	c = w.client()
	d, err = c.AskDevice(t.Context(), "")
	check(t, err)
	b.post("/device/answer", url.Values{"code": {d.UserCode}, "answer": {"no"}}).want(t, http.StatusOK)
	poll("access_denied")
	d, err = c.AskDevice(t.Context(), "")
	check(t, err)
	check(t, w.store.Update(t.Context(), func(tx *store.Tx) error { // time does not pass faster for tests
		a, err := tx.Attempt(hashOf(d.DeviceCode.Reveal()))
		if err != nil {
			return err
		}
		a.Key, a.Alias, a.CreatedAt, a.ExpiresAt = hashOf("stint-code-late"), hashOf("alias"), tx.Now().Add(-access.AttemptFor), tx.Now()
		return tx.SaveAttempt(a)
	}))
	d.DeviceCode = "stint-code-late"
	poll("expired_token")
}

// A session that is not fresh makes no other login, and one of an administrator that
// nobody used is over.
func TestSessionAges(t *testing.T) {
	w := begin(t)
	admin := w.first()
	w.withProvider(admin, "corp", `create: "yes"`)
	b := w.browser()
	b.signIn("corp", "/")
	age := func(created, seen time.Duration) { // a session of before, in the place of the one that is
		t.Helper()
		token := fmt.Sprintf("stint-web-%s-%s", created, seen)
		check(t, w.store.Update(t.Context(), func(tx *store.Tx) error {
			l, err := tx.Login(hashOf(b.cookie(t, "stint")))
			if err != nil {
				return err
			}
			l.Token, l.CreatedAt, l.SeenAt = hashOf(token), tx.Now().Add(-created), tx.Now().Add(-seen)
			l.ExpiresAt = l.CreatedAt.Add(ident.LoginFor)
			return tx.SaveLogin(l)
		}))
		b.set(t, "stint", token)
	}
	age(ident.ConfirmFor+time.Minute, 0)
	b.get("/").want(t, http.StatusOK)
	b.get("/device").want(t, http.StatusSeeOther)
	b.post("/device/answer", url.Values{"code": {"BBBB-BBBB"}, "answer": {"yes"}}).want(t, http.StatusUnauthorized, "sign-in-again")
	age(2*time.Hour, time.Hour)
	b.get("/").want(t, http.StatusOK)
	yes := true
	_, err := admin.SetUser(t.Context(), "mira", api.UserSet{Admin: &yes})
	check(t, err)
	b.get("/").want(t, http.StatusOK) // it was used a moment ago, and that was written down
	age(2*time.Hour, ident.IdleFor-time.Minute)
	b.get("/").want(t, http.StatusOK)
	age(2*time.Hour, ident.IdleFor)
	b.get("/").want(t, http.StatusSeeOther)
	b.signIn("corp", "/")
	age(ident.LoginFor+time.Minute, 0)
	b.get("/").want(t, http.StatusSeeOther)
}
