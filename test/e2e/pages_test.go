//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"stint/internal/api"
	"stint/test/stage"
)

// reader is a person at a real browser, with cookies and an authenticator of their own.
type reader struct {
	t    *testing.T
	name string
	home string
	tab  context.Context
}

// readers starts a browser, with a profile for each of the people.
func readers(t *testing.T, home string, names ...string) map[string]*reader {
	t.Helper()
	return readersBy(t, home, nil, names...)
}

// readersBy is readers of a browser with further flags.
func readersBy(t *testing.T, home string, flags []chromedp.ExecAllocatorOption, names ...string) map[string]*reader {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-quic", true))
	alloc, end := chromedp.NewExecAllocator(context.Background(), append(opts, flags...)...)
	t.Cleanup(end)
	browser, end := chromedp.NewContext(alloc)
	t.Cleanup(func() { chromedp.Cancel(browser); end() })
	must(t, chromedp.Do(browser, chromedp.Navigate("about:blank")))
	all := map[string]*reader{}
	for _, name := range names {
		tab, end := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
		t.Cleanup(end)
		must(t, chromedp.Do(tab, chromedp.Navigate("about:blank")))
		_, err := chromedp.Run(tab, chromedp.Action[string](func(ctx context.Context, at *chromedp.Target) (string, error) {
			// Each of them looks at their page: one that is hidden is not followed until it is seen again.
			if _, err := cdp.Call(ctx, at, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}); err != nil {
				return "", err
			}
			if _, err := cdp.Call(ctx, at, webauthn.Enable, webauthn.EnableParams{}); err != nil {
				return "", err
			}
			made, err := cdp.Call(ctx, at, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
				Protocol: "ctap2", Transport: "internal", HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true}})
			if err != nil {
				return "", err
			}
			return string(made.AuthenticatorID), nil
		}))
		must(t, err)
		all[name] = &reader{t, name, home, tab}
		all[name].scheme("light")
	}
	return all
}

// sized gives the browser the size of a telephone, or of a desk.
func (r *reader) sized(width, height int64) {
	r.t.Helper()
	must(r.t, chromedp.Do(r.tab, chromedp.EmulateViewport(width, height)))
}

func (r *reader) open(at string) {
	r.t.Helper()
	if strings.HasPrefix(at, "/") {
		at = r.home + at
	}
	must(r.t, chromedp.Do(r.tab, chromedp.Navigate(at)))
}

// js evaluates an expression that gives a text.
func (r *reader) js(expression string) string {
	text, err := chromedp.Run(r.tab, chromedp.Evaluate[string](expression))
	if err != nil {
		return "" // the page is just changing
	}
	return text
}

// see waits until the page says something.
func (r *reader) see(words string) string {
	r.t.Helper()
	var text string
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if text = r.js(`document.body ? document.body.innerText : ""`); strings.Contains(text, words) {
			return text
		}
	}
	r.t.Fatalf("%s does not see %q at %s:\n%s", r.name, words, r.js("location.href"), text)
	return ""
}

func quoted(s string) string { return strconv.QuoteToASCII(s) }

// fill fills in a field by its name.
func (r *reader) fill(name, value string) {
	r.t.Helper()
	if r.js(`(() => { const e = document.querySelector('[name=`+name+`]:not([type=hidden])'); if (!e) return "no"; e.value = `+quoted(value)+`; return "yes" })()`) != "yes" {
		r.t.Fatalf("%s finds no field %s at %s", r.name, name, r.js("location.href"))
	}
}

// press presses the button that says so.
func (r *reader) press(label string) {
	r.t.Helper()
	if r.js(`(() => { for (const b of document.querySelectorAll("button")) if (b.innerText.startsWith(`+quoted(label)+`)) { b.click(); return "yes" } return "no" })()`) != "yes" {
		r.t.Fatalf("%s finds no button %q at %s:\n%s", r.name, label, r.js("location.href"), r.js("document.body.innerText"))
	}
}

// shoot takes pictures of the page, light and dark, on a telephone and on a desk, where
// PAGES says to keep them, and holds that nothing is wider than the screen.
func (r *reader) shoot(name string) {
	r.t.Helper()
	dir := os.Getenv("PAGES")
	for _, width := range []int64{1440, 390} {
		r.sized(width, 844)
		if wide := r.js(`String(document.documentElement.scrollWidth)`); wide != strconv.FormatInt(width, 10) {
			r.t.Errorf("%s is %s px wide on a screen of %d", name, wide, width)
		}
		if dir == "" {
			continue
		}
		for _, scheme := range []string{"light", "dark"} {
			r.scheme(scheme)
			png, err := chromedp.Run(r.tab, chromedp.CaptureScreenshot())
			must(r.t, err)
			must(r.t, os.WriteFile(filepath.Join(dir, name+"-"+strconv.FormatInt(width, 10)+"-"+scheme+".png"), png, 0o600))
		}
	}
}

// code is a one-time code of a user.
func codeOf(t *testing.T, s *stage.Stage, args ...string) string {
	t.Helper()
	var got struct {
		EnrollToken string `json:"enroll_token"`
	}
	must(t, s.As("root").JSON(t.Context(), &got, args...))
	return got.EnrollToken
}

// begins lets a person in with a code, who makes a passkey, and gives its id and digest.
func (r *reader) begins(code string) (id, digest string) {
	r.t.Helper()
	r.open("/login")
	r.see("one-time code")
	r.open("/enroll")
	r.fill("code", code)
	r.press("Continue")
	r.see("You have none yet")
	r.fill("name", r.name+"'s telephone")
	r.press("Make a passkey")
	text := r.see("sha256:")
	_, id, _ = strings.Cut(r.js("location.pathname"), "/passkeys/")
	_, digest, _ = strings.Cut(text, "sha256:")
	digest, _, _ = strings.Cut(digest, "\n")
	return id, "sha256:" + strings.TrimSpace(digest)
}

// TestPages is a life without any identity provider: a code, a passkey, a sign-in by it,
// a command line signed in by that, a request that another person decides on a telephone
// with a passkey, and the exported log that verifies all of it, offline.
func TestPages(t *testing.T) {
	if _, err := os.Stat("/usr/bin/chromium"); err != nil {
		t.Fatal("this takes a browser: run make setup")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: set.Store, Named: true}, "mira")
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of stintd's log:\n" + s.LogTail(40))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	must(t, s.Credential(ctx, "orders-connector"))
	must(t, s.Documents(ctx, documents))
	must(t, s.As("root").Run(ctx, "apply", "-f", file(t, "passkeys.yaml", passkeyPolicy)).Failed())

	at := readers(t, s.URL, "root", "omar")
	root, omar := at["root"], at["omar"]
	omar.sized(390, 844)
	root.open("/login")
	root.shoot("login-empty")
	_, genesis := root.begins(codeOf(t, s, "admin", "user", "enroll", "root"))
	root.see("All other passkeys lead back to this one")
	root.shoot("passkey-first")
	key, digest := omar.begins(codeOf(t, s, "admin", "user", "add", "omar", "--group", "dba"))
	omar.see("It counts once somebody vouches for it")
	omar.shoot("passkey-proposed")
	omar.open("/passkeys")
	omar.shoot("passkeys")

	// An administrator hears the digest on the telephone.
	root.open("/passkeys")
	root.see("They wait for your word")
	root.shoot("passkeys-admin")
	root.open("/passkeys/" + key)
	root.fill("digest", genesis)
	root.press("Vouch with your passkey")
	root.see("not the passkey that the person has told you of")
	root.fill("digest", digest)
	root.shoot("vouch")
	root.press("Vouch with your passkey")
	root.see("one administrator")

	// Signed out, and in again without a name or a code.
	omar.open("/")
	omar.press("Sign out")
	omar.see("Sign in with a passkey")
	omar.shoot("login")
	omar.press("Sign in with a passkey")
	omar.see("My access")
	omar.shoot("home")

	// The command line, by that.
	person := s.As("omar")
	said := cliLogin(ctx, t, person, func(line string) {
		if at, ok := strings.CutPrefix(line, "sign in at "); ok {
			omar.open(at)
			omar.see("wants to sign in as")
			omar.shoot("cli")
			omar.press("Yes, sign it in")
		}
	}, "login", "--no-browser")
	if !strings.Contains(said, "as user:omar") {
		t.Fatalf("stint login: %s", said)
	}
	var me api.Whoami
	must(t, person.JSON(ctx, &me, "whoami"))
	if me.Provider != "passkey" || !me.MFA {
		t.Errorf("signed in by passkey: %+v", me)
	}

	must(t, s.Enrol(ctx, "vera", "--group", "auditing"))
	vera := s.As("vera")
	var r api.Request
	must(t, vera.JSON(ctx, &r, "request", "orders-db", "--as", "reader", "--for", "30m", "--why", "yearly audit of the <b>orders</b>", "--no-wait"))
	omar.open("/requests")
	omar.see("yearly audit")
	omar.shoot("requests")
	omar.open("/r/" + r.ID)
	omar.see("yearly audit of the <b>orders</b>")
	omar.shoot("decide")
	omar.fill("for", "10m")
	omar.fill("note", "the orders only")
	omar.press("Approve 30 min")
	omar.see("signed by a passkey")
	omar.shoot("decided")
	must(t, vera.JSON(ctx, &r, "status", r.ID))
	if r.State != api.RequestApproved || r.Votes[0].Level != "passkey" || r.Votes[0].For != "10m" {
		t.Errorf("approved: %+v", r)
	}

	// Fresh recovery codes, shown once.
	omar.open("/recovery")
	omar.press("Make recovery codes")
	omar.see("stint-recover-")
	omar.shoot("recovery")
	omar.open("/signins")
	omar.shoot("signins")
	omar.open("/r/none")
	omar.shoot("error")

	must(t, s.As("root").Run(ctx, "revoke", "--user", "vera", "--why", "done").Failed())
	log := filepath.Join(t.TempDir(), "log.jsonl")
	var text []byte
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		must(t, s.As("root").Run(ctx, "audit", "export", "--out", log).Failed())
		text, err = os.ReadFile(log)
		must(t, err)
		if bytes.Contains(text, []byte(`"recovery.created"`)) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the last of it is not in the log")
		}
	}
	var v struct {
		OK       bool `json:"ok"`
		Passkeys struct {
			Genesis                string
			Pinned                 bool
			Enrolled, Alone, Votes int
		}
	}
	must(t, s.As("root").JSON(ctx, &v, "audit", "verify", "--export", log, "--genesis", genesis))
	if !v.OK || v.Passkeys.Genesis != genesis || !v.Passkeys.Pinned || v.Passkeys.Enrolled != 2 || v.Passkeys.Alone != 1 || v.Passkeys.Votes != 1 {
		t.Errorf("verified: %+v", v)
	}
	bent := bytes.Replace(text, []byte("the orders only"), []byte("the orders also"), 1)
	must(t, os.WriteFile(log, bent, 0o600))
	if got := s.As("root").Run(ctx, "audit", "verify", "--export", log); got.Code != 1 || !strings.Contains(got.Err, "record ") {
		t.Errorf("a word was changed in the log: exit %d\n%s", got.Code, got.Err)
	}
	if bytes.Contains(text, []byte("stint-recover-")) || bytes.Contains(text, []byte("stint-enroll-")) {
		t.Error("the log has a code in it")
	}
}
