package apiserver

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/ident"
	"stint/internal/passkey"
	"stint/internal/passkey/passkeytest"
	"stint/internal/store"
	"stint/internal/web"
)

// paged is a world whose pages have an address that passkeys can be for.
func paged(t testing.TB, files ...string) (w *world, admin *api.Client) {
	t.Helper()
	w = begin(t)
	w.http.URL = strings.Replace(w.http.URL, "127.0.0.1", "localhost", 1)
	u, err := url.Parse(w.http.URL)
	check(t, err)
	w.server.public = u
	admin = w.first()
	_, err = admin.SetCredential(t.Context(), "login", api.CredentialSet{Type: "fake", Address: "127.0.0.1:1", Username: "stint", Password: "hunter2"})
	check(t, err)
	for i, text := range append([]string{documents}, files...) {
		_, err = admin.Apply(t.Context(), api.Apply{Files: []api.File{{Name: fmt.Sprintf("%d.yaml", i), Text: text}}})
		check(t, err)
	}
	return w, admin
}

// guest is a person at a browser of their own, with an authenticator.
type guest struct {
	*browser
	name   string
	device *passkeytest.Device
	id     string // of the passkey
}

// guest lets a user in as a code does.
func (w *world) guest(name string) *guest {
	w.t.Helper()
	g := &guest{browser: w.browser(), name: name, device: passkeytest.New(passkey.ES256, "localhost", w.http.URL)}
	l, err := w.ident.Open(w.t.Context(), access.NewPrincipalID(access.User, name), access.Auth{Provider: access.ByCode, At: time.Now()}, ident.Browser{Client: "a test"})
	check(w.t, err)
	g.set(w.t, "stint", string(l.Token.Reveal()))
	return g
}

// asked is what the server tells a page's script.
type asked struct {
	web.Step
	Message string
}

func (b *browser) ask(at string, form url.Values) (p shown, s asked) {
	b.w.t.Helper()
	p = b.post(at, form)
	if err := json.Unmarshal([]byte(p.text), &s); err != nil {
		b.w.t.Fatalf("%s answers %d, no JSON: %s", at, p.status, p.text)
	}
	if s.Nonce != "" && form.Has("nonce") { // as the page's script does
		form.Set("nonce", s.Nonce.Reveal())
	}
	return p, s
}

func proofOf(t testing.TB, all ...web.Used) string {
	t.Helper()
	b, err := json.Marshal(all)
	check(t, err)
	return string(b)
}

// uses has the device sign.
func (g *guest) uses(challenge []byte, bends ...passkeytest.Bend) web.Used {
	a := g.device.Sign("", challenge, bends...)
	return web.Used{Credential: g.device.ID, ClientData: a.ClientData, AuthenticatorData: a.AuthenticatorData, Signature: a.Signature}
}

// makes makes a passkey on the page, and gives what came of it.
func (g *guest) makes(more ...url.Values) shown {
	t := g.w.t
	t.Helper()
	form := g.get("/passkeys").want(t, http.StatusOK).form()
	form.Set("name", "phone")
	for _, m := range more {
		for k, v := range m {
			form[k] = v
		}
	}
	_, s := g.ask("/passkeys/ask", form)
	if s.Create == nil {
		t.Fatalf("nothing to make: %+v", s)
	}
	made := g.device.Register(s.Create.Challenge)
	form.Set("proof", proofOf(t, web.Used{ClientData: made.ClientData, Attestation: made.Attestation}))
	p := g.post("/passkeys", form)
	if p.status == http.StatusSeeOther {
		g.id = strings.TrimPrefix(p.header.Get("Location"), "/passkeys/")
	}
	return p
}

// vouches has the guest's passkey sign for another.
func (g *guest) vouches(id, digest string) shown {
	t := g.w.t
	t.Helper()
	form := url.Values{"digest": {digest}}
	p, s := g.ask("/passkeys/"+id+"/ask", form)
	if s.Get == nil {
		return p
	}
	form.Set("proof", proofOf(t, g.uses(s.Get.Challenge)))
	return g.post("/passkeys/"+id+"/vouch", form)
}

// entry is a sign-in that was begun.
func (g *guest) entry(b *browser) (url.Values, []byte) {
	g.w.t.Helper()
	form := b.get("/login").want(g.w.t, http.StatusOK).form()
	_, s := b.ask("/login/passkey/ask", form)
	if s.Get == nil || len(s.Get.Allow) > 0 {
		g.w.t.Fatalf("asked: %+v", s)
	}
	form.Set("nonce", s.Nonce.Reveal())
	return form, s.Get.Challenge
}

// keyed is a world in which the named people have active passkeys for the pages.
func keyed(t testing.TB, files []string, names ...string) (w *world, admin *api.Client, all map[string]*guest) {
	t.Helper()
	w, admin = paged(t, files...)
	all = map[string]*guest{"root": w.guest("root")}
	all["root"].makes().want(t, http.StatusSeeOther)
	for _, n := range names {
		check(t, func() error {
			_, err := admin.AddUser(t.Context(), api.UserAdd{Name: n, Groups: []string{"dba"}})
			return err
		}())
		g := w.guest(n)
		g.makes().want(t, http.StatusSeeOther)
		p, err := admin.Passkey(t.Context(), g.id)
		check(t, err)
		all["root"].vouches(g.id, p.Digest).want(t, http.StatusSeeOther)
		all[n] = g
	}
	return w, admin, all
}

// TestPasskeySignIn goes from a one-time code to a session by passkey, without any provider.
func TestPasskeySignIn(t *testing.T) {
	w, admin := paged(t)
	how, err := admin.SignIn(t.Context())
	check(t, err)
	if how.Browser || how.Passkeys {
		t.Errorf("nobody has a passkey: %+v", how)
	}
	w.browser().get("/login").want(t, http.StatusOK, "No identity provider", "one-time code")
	root := w.guest("root")
	root.makes().want(t, http.StatusSeeOther)
	root.get("/passkeys/"+root.id).want(t, http.StatusOK, "the first of all", "sha256:")
	added, err := admin.AddUser(t.Context(), api.UserAdd{Name: "noor", Groups: []string{"dba"}})
	check(t, err)

	noor := &guest{browser: w.browser(), name: "noor", device: passkeytest.New(passkey.ES256, "localhost", w.http.URL)}
	code := url.Values{"code": {" " + added.EnrollToken.Reveal() + "\n"}}
	if p := noor.post("/enroll", code).want(t, http.StatusSeeOther); p.header.Get("Location") != "/passkeys" {
		t.Errorf("sent to %q", p.header.Get("Location"))
	}
	w.browser().post("/enroll", code).want(t, http.StatusUnauthorized, "used before")
	noor.makes().want(t, http.StatusSeeOther)
	noor.get("/passkeys/"+noor.id).want(t, http.StatusOK, "It counts once somebody vouches for it")
	if p := noor.makes(); p.status != http.StatusConflict {
		t.Errorf("the same one twice: %d %s", p.status, p.text)
	}
	in := func(b *browser) shown {
		form, challenge := noor.entry(b)
		form.Set("proof", proofOf(t, noor.uses(challenge)))
		return b.post("/login/passkey", form)
	}
	in(w.browser()).want(t, http.StatusUnauthorized, "unknown-passkey") // nobody has vouched for it

	p, err := admin.Passkey(t.Context(), noor.id)
	check(t, err)
	mine, err := admin.Passkey(t.Context(), root.id)
	check(t, err)
	root.get("/passkeys").want(t, http.StatusOK, "They wait for your word", "of noor")
	root.vouches(noor.id, mine.Digest).want(t, http.StatusForbidden, "not the passkey that the person has told you of")
	root.vouches(noor.id, p.Digest).want(t, http.StatusSeeOther)
	if p, err = admin.Passkey(t.Context(), noor.id); err != nil || p.State != "active" || p.Anchor != "admin" {
		t.Errorf("vouched for: %+v, %v", p, err)
	}

	b := w.browser()
	in(b).want(t, http.StatusSeeOther)
	b.get("/you").want(t, http.StatusOK, "user:noor")
	b.get("/signins").want(t, http.StatusOK, "by passkey")
	if how, err = admin.SignIn(t.Context()); err != nil || !how.Browser || !how.Passkeys {
		t.Errorf("how people sign in: %+v, %v", how, err)
	}
	check(t, w.store.View(t.Context(), func(tx *store.Tx) error {
		all, err := tx.Logins("user:noor")
		for _, l := range all {
			if l.Auth.Provider == access.ByPasskey && (!l.Auth.MFA || strings.Join(l.Auth.Methods, " ") != "hwk user") {
				t.Errorf("facts of the sign-in: %+v", l.Auth)
			}
		}
		return err
	}))

	// A command line and a device are signed in by it.
	c := w.client()
	w.terminal(b, c)
	who, err := c.Whoami(t.Context())
	if err != nil || who.Principal != "user:noor" || who.Provider != "passkey" || !who.MFA {
		t.Errorf("the command line: %+v, %v", who, err)
	}
	report := w.verified(t, admin)
	if len(report.Problems) > 0 || report.Enrolled != 2 || report.Alone != 1 {
		t.Errorf("the log: %+v", report)
	}
}

// TestHostilePasskey has sign-ins that must not be.
func TestHostilePasskey(t *testing.T) {
	w, admin, all := keyed(t, nil, "noor", "omar")
	noor, omar := all["noor"], all["omar"]
	refused := func(t *testing.T, p shown, b *browser) {
		t.Helper()
		if p.status < 400 || b.cookie(t, "stint") != "" {
			t.Errorf("%d, session %q: %s", p.status, b.cookie(t, "stint"), p.text)
		}
	}
	func() { // the counter is beyond nothing
		b := w.browser()
		form, challenge := noor.entry(b)
		form.Set("proof", proofOf(t, noor.uses(challenge)))
		b.post("/login/passkey", form).want(t, http.StatusSeeOther)
	}()
	zero := uint32(0)
	for what, bend := range map[string]passkeytest.Bend{
		"another challenge":           {Challenge: make([]byte, 32)},
		"another origin":              {Origin: "https://evil.example"},
		"another port":                {Origin: "http://localhost:1"},
		"another site":                {RPID: "evil.example"},
		"made, not used":              {Type: "webauthn.create"},
		"in a frame of another site":  {More: `,"crossOrigin":true`},
		"nobody there":                {Flags: 0x04},
		"nobody verified":             {Flags: 0x01},
		"a counter that goes back":    {Counter: &zero},
		"a signature of another kind": {Unsigned: func(a *access.Assertion) { a.Signature[8] ^= 1 }},
	} {
		t.Run(what, func(t *testing.T) {
			b := w.browser()
			form, challenge := noor.entry(b)
			form.Set("proof", proofOf(t, noor.uses(challenge, bend)))
			refused(t, b.post("/login/passkey", form), b)
		})
	}
	t.Run("another's passkey under this one's name", func(t *testing.T) {
		b := w.browser()
		form, challenge := noor.entry(b)
		u := omar.uses(challenge)
		u.Credential = noor.device.ID
		form.Set("proof", proofOf(t, u))
		refused(t, b.post("/login/passkey", form), b)
	})
	t.Run("twice", func(t *testing.T) {
		b := w.browser()
		form, challenge := noor.entry(b)
		form.Set("proof", proofOf(t, noor.uses(challenge)))
		b.post("/login/passkey", form).want(t, http.StatusSeeOther)
		b.post("/logout", nil).want(t, http.StatusSeeOther)
		refused(t, b.post("/login/passkey", form), b)
		again := proofOf(t, noor.uses(challenge)) // fresh, over the nonce that is used up
		form.Set("proof", again)
		refused(t, b.post("/login/passkey", form), b)
	})
	t.Run("in another browser", func(t *testing.T) { // login CSRF
		form, challenge := noor.entry(w.browser())
		form.Set("proof", proofOf(t, noor.uses(challenge)))
		other := w.browser()
		refused(t, other.post("/login/passkey", form), other)
		noor.entry(other) // which has a cookie of its own then
		refused(t, other.post("/login/passkey", form), other)
	})
	t.Run("from another site", func(t *testing.T) {
		b := w.browser()
		form, challenge := noor.entry(b)
		form.Set("proof", proofOf(t, noor.uses(challenge)))
		b.origin = "https://evil.example"
		refused(t, b.post("/login/passkey", form), b)
	})
	t.Run("too late", func(t *testing.T) {
		b := w.browser()
		form, challenge := noor.entry(b)
		form.Set("proof", proofOf(t, noor.uses(challenge)))
		check(t, w.store.Update(t.Context(), func(tx *store.Tx) error {
			a, err := tx.Attempt(attemptKey(form.Get("nonce")))
			if err != nil {
				return err
			}
			if left := a.ExpiresAt.Sub(a.CreatedAt); left > 5*time.Minute {
				t.Errorf("a sign-in is good for %v", left)
			}
			return nil
		}))
	})
	t.Run("a sign-in's signature is no vote and no word", func(t *testing.T) {
		// What is signed has a word of its own: nothing that is signed here is of use there.
		n := access.NewSecret([]byte("stint-nonce-x"))
		if access.SignInDigest(w.http.URL, n.Reveal()) == access.ActDigest(access.ActRecoveryCodes, "user:noor", "noor", n.Reveal()) {
			t.Error("two meanings of one digest")
		}
	})
	t.Run("onward", func(t *testing.T) {
		for _, next := range []string{"https://evil.example", "//evil.example", "/\\evil.example"} {
			b := w.browser()
			form, challenge := noor.entry(b)
			form.Set("next", next)
			form.Set("proof", proofOf(t, noor.uses(challenge)))
			if p := b.post("/login/passkey", form).want(t, http.StatusSeeOther); p.header.Get("Location") != "/" {
				t.Errorf("%q leads to %q", next, p.header.Get("Location"))
			}
		}
	})
	t.Run("removed, disabled", func(t *testing.T) {
		try := func(g *guest) {
			b := w.browser()
			form, challenge := g.entry(b)
			form.Set("proof", proofOf(t, g.uses(challenge)))
			refused(t, b.post("/login/passkey", form), b)
		}
		omar.post("/passkeys/"+omar.id+"/remove", url.Values{"note": {"lost"}}).want(t, http.StatusSeeOther)
		try(omar)
		_, err := admin.DisableUser(t.Context(), "noor")
		check(t, err)
		try(noor)
	})
	// Pages answer alike whether or not somebody has passkeys: nothing is asked but a nonce.
	for range 3 {
		noor.entry(w.browser())
	}
}

// TestSecondPasskey has an older one sign for a new one, in the same form.
func TestSecondPasskey(t *testing.T) {
	w, admin, all := keyed(t, nil, "noor")
	noor := all["noor"]
	form := noor.get("/passkeys").want(t, http.StatusOK).form()
	form.Set("name", "key")
	_, s := noor.ask("/passkeys/ask", form)
	if s.Create == nil || s.Then == "" || len(s.Create.Exclude) != 1 {
		t.Fatalf("asked: %+v", s)
	}
	second := &guest{browser: noor.browser, device: passkeytest.New(passkey.EdDSA, "localhost", w.http.URL)}
	made := second.device.Register(s.Create.Challenge)
	one := web.Used{ClientData: made.ClientData, Attestation: made.Attestation}
	form.Set("proof", proofOf(t, one))
	_, s = noor.ask("/passkeys/ask", form)
	if s.Get == nil || len(s.Get.Allow) != 1 {
		t.Fatalf("asked then: %+v", s)
	}
	other := all["root"].uses(s.Get.Challenge)
	form.Set("proof", proofOf(t, one, other))
	noor.post("/passkeys", form).want(t, http.StatusForbidden, "not a passkey of yours")
	form.Set("proof", proofOf(t, one, noor.uses(s.Get.Challenge)))
	p := noor.post("/passkeys", form).want(t, http.StatusSeeOther)
	id := strings.TrimPrefix(p.header.Get("Location"), "/passkeys/")
	got, err := admin.Passkey(t.Context(), id)
	if err != nil || got.State != "active" || got.Anchor != "own" {
		t.Errorf("%+v, %v", got, err)
	}
	if r := w.verified(t, admin); len(r.Problems) > 0 || r.Enrolled != 3 {
		t.Errorf("the log: %+v", r)
	}
}

// TestRecovery has codes that are used, guessed, replaced and raced for.
func TestRecovery(t *testing.T) {
	w, admin, all := keyed(t, nil, "noor")
	noor := all["noor"]
	codes := func() []string {
		t.Helper()
		form := noor.get("/recovery").want(t, http.StatusOK).form()
		noor.post("/recovery", form).want(t, http.StatusForbidden) // who has a passkey signs
		_, s := noor.ask("/recovery/ask", form)
		form.Set("proof", proofOf(t, noor.uses(s.Get.Challenge)))
		p := noor.post("/recovery", form).want(t, http.StatusOK, "shown this once")
		var found []string
		for _, line := range strings.Split(p.text, "<code>")[1:] {
			code, _, _ := strings.Cut(line, "<")
			found = append(found, code)
		}
		if len(found) != 8 {
			t.Fatalf("%d codes: %s", len(found), p.text)
		}
		if p = noor.post("/recovery", form); p.status < 400 {
			t.Error("one signature made codes twice")
		}
		return found
	}
	old := codes()
	fresh := codes()
	bare := w.as(admin, api.UserAdd{Name: "bare"})
	if _, err := bare.RecoveryCodes(t.Context(), api.RecoveryAsk{Nonce: make([]byte, 32)}); err == nil || !strings.Contains(err.Error(), "for whoever has a passkey") {
		t.Errorf("codes without a passkey that signs for them: %v", err)
	}
	w.browser().post("/enroll", url.Values{"code": {old[0]}}).want(t, http.StatusUnauthorized, "not valid")

	// Of many at once one gets in.
	var in atomic.Int32
	var wg sync.WaitGroup
	for range 12 {
		b := w.browser()
		wg.Go(func() {
			if b.post("/enroll", url.Values{"code": {fresh[0]}}).status == http.StatusSeeOther {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	if in.Load() != 1 {
		t.Errorf("one code let %d in", in.Load())
	}

	// Who came so makes a passkey, and does nothing else.
	check(t, func() error { _, err := admin.RemovePasskey(t.Context(), noor.id, "lost"); return err }())
	lost := &guest{browser: w.browser(), name: "noor", device: passkeytest.New(passkey.ES256, "localhost", w.http.URL)}
	lost.post("/enroll", url.Values{"code": {fresh[1]}}).want(t, http.StatusSeeOther)
	lost.get("/requests").want(t, http.StatusForbidden, "recovery-only")
	lost.get("/recovery").want(t, http.StatusOK)
	lost.post("/recovery", url.Values{"nonce": {"AAAA"}}).want(t, http.StatusForbidden, "recovery-only")
	c := w.client()
	_, err := c.Enroll(t.Context(), api.Secret(fresh[2]), false, "")
	check(t, err)
	l, err := func() (api.LoginResult, error) {
		c = w.client()
		return c.Enroll(t.Context(), api.Secret(fresh[3]), false, "")
	}()
	check(t, err)
	c.Token = l.Token
	_, err = c.Whoami(t.Context())
	check(t, err)
	if _, err = c.Submit(t.Context(), api.Ask{Resource: "db", Role: "reader", Duration: "1h", Reason: "look"}, api.Wait{}); err == nil || !strings.Contains(err.Error(), "making a passkey alone") {
		t.Errorf("a command line by recovery code asks: %v", err)
	}
	if _, err = c.RecoveryCodes(t.Context(), api.RecoveryAsk{Nonce: make([]byte, 32)}); err == nil {
		t.Error("a code made codes")
	}
	lost.makes().want(t, http.StatusSeeOther)
	lost.get("/requests").want(t, http.StatusForbidden) // proposed is not active
	p, err := admin.Passkey(t.Context(), lost.id)
	check(t, err)
	all["root"].vouches(lost.id, p.Digest).want(t, http.StatusSeeOther)
	lost.get("/requests").want(t, http.StatusOK)
	// Whoever found another code is not let in by the passkey that the person made.
	if _, err = c.Approvals(t.Context(), api.List{}); err == nil || !strings.Contains(err.Error(), "no such login") {
		t.Errorf("another login by recovery code goes on: %v", err)
	}

	// Guessing is counted.
	b := w.browser()
	for i := 0; ; i++ {
		if p := b.post("/enroll", url.Values{"code": {fmt.Sprintf("stint-recover-%043d", i)}}); p.status == http.StatusTooManyRequests {
			break
		}
		if i == 100 {
			t.Fatal("a hundred guesses are let through")
		}
	}
}

// TestLastAdministrator comes back with a recovery code, when nobody is left to vouch.
func TestLastAdministrator(t *testing.T) {
	w, admin, all := keyed(t, nil)
	root := all["root"]
	form := root.get("/recovery").form()
	_, s := root.ask("/recovery/ask", form)
	form.Set("proof", proofOf(t, root.uses(s.Get.Challenge)))
	_, after, _ := strings.Cut(root.post("/recovery", form).want(t, http.StatusOK).text, "<code>")
	code, _, _ := strings.Cut(after, "<")
	root.post("/passkeys/"+root.id+"/remove", nil).want(t, http.StatusSeeOther)

	b := w.browser()
	b.post("/enroll", url.Values{"code": {code}}).want(t, http.StatusSeeOther)
	again := &guest{browser: b, name: "root", device: passkeytest.New(passkey.ES256, "localhost", w.http.URL)}
	again.makes().want(t, http.StatusSeeOther)
	again.get("/passkeys/"+again.id).want(t, http.StatusOK, "Nobody vouched for it")
	again.get("/requests").want(t, http.StatusOK)
	if r := w.verified(t, admin); len(r.Problems) != 1 || !strings.Contains(r.Problems[0].What, "recovery code") {
		t.Errorf("the log: %+v", r)
	}
}

func attemptKey(nonce string) access.Digest { return sha256.Sum256([]byte(nonce)) }

// terminal signs a command line in with a browser.
func (w *world) terminal(b *browser, c *api.Client) {
	w.t.Helper()
	ctx := context.Background()
	d, err := c.AskDevice(ctx, "a test")
	check(w.t, err)
	b.post("/device", url.Values{"code": {d.UserCode}}).want(w.t, http.StatusOK, "Is this your device?")
	b.post("/device/answer", url.Values{"code": {d.UserCode}, "answer": {"yes"}}).want(w.t, http.StatusOK)
	l, err := c.RedeemDevice(ctx, d.DeviceCode)
	check(w.t, err)
	c.Token = l.Token
}
