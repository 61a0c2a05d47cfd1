//go:build e2e

package e2e

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"stint/internal/api"
	"stint/test/stage"
)

// watched has every page of the reader's count what its policy stopped, and what a script
// complained of.
func (r *reader) watched() {
	r.t.Helper()
	_, err := chromedp.Run(r.tab, chromedp.Action[string](func(ctx context.Context, at *chromedp.Target) (string, error) {
		done, err := cdp.Call(ctx, at, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `
			window.seen = [];
			addEventListener("securitypolicyviolation", (e) => seen.push(e.violatedDirective + " " + e.blockedURI + " " + e.sample));
			addEventListener("error", (e) => seen.push("error " + e.message));
			addEventListener("unhandledrejection", (e) => seen.push("rejection " + e.reason));`})
		return string(done.Identifier), err
	}))
	must(r.t, err)
}

// unbroken holds that nothing was stopped on the page and nothing failed.
func (r *reader) unbroken(name string) {
	r.t.Helper()
	if got := r.js(`JSON.stringify(window.seen)`); got != "[]" {
		r.t.Errorf("%s: %s", name, got)
	}
}

// scheme has the reader's system be light or dark. It wants no motion either: no picture is
// taken between two pages.
func (r *reader) scheme(value string) {
	r.t.Helper()
	_, err := chromedp.Run(r.tab, chromedp.Action[string](func(ctx context.Context, at *chromedp.Target) (string, error) {
		_, err := cdp.Call(ctx, at, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
		return "", err
	}))
	must(r.t, err)
}

// run runs statements on the page.
func (r *reader) run(statements string) {
	r.t.Helper()
	_, err := chromedp.Run(r.tab, chromedp.Evaluate[string](`(() => {`+statements+`
		; return "" })()`))
	must(r.t, err)
}

// until waits for an expression to be "yes".
func (r *reader) until(what, expression string) {
	r.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if r.js(expression) == "yes" {
			return
		}
	}
	r.t.Fatalf("%s: it did not happen: %s, at %s\n%s", what, expression, r.js("location.href"), r.js("JSON.stringify(window.seen)"))
}

// axe holds that the page has no fault that axe-core finds, of WCAG 2.2 at level AA and of
// its best practice, in both colours, at a desk and on a telephone.
func (r *reader) axe(name string) {
	r.t.Helper()
	source, err := os.ReadFile("testdata/axe-core-4.14.1.min.js")
	must(r.t, err)
	for _, width := range []int64{1440, 390} {
		r.sized(width, 844)
		for _, scheme := range []string{"light", "dark"} {
			r.scheme(scheme)
			r.run(`if (!window.axe) {` + string(source) + `}; window.faults = ""`)
			r.run(`axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(
				(x) => { window.faults = JSON.stringify(x.violations.map((v) => [v.id, v.help, v.nodes.map((n) => n.html + " " + n.failureSummary)])) }, (x) => { window.faults = "failed: " + x })`)
			r.until("axe", `window.faults ? "yes" : "no"`)
			if got := r.js(`window.faults`); got != "[]" {
				r.t.Errorf("%s, %s, %d px: %s", name, scheme, width, got)
			}
		}
	}
}

// TestConsole looks at the frame in a real browser: its policy stops nothing of ours and
// what was smuggled in, it has no fault that axe finds, it stays true by itself, and it
// says so when it is cut off.
func TestConsole(t *testing.T) {
	if _, err := os.Stat("/usr/bin/chromium"); err != nil {
		t.Fatal("this takes a browser: run make setup")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
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
	must(t, s.Enrol(ctx, "vera", "--group", "auditing"))
	vera := s.As("vera")

	at := readers(t, s.URL, "root", "omar")
	root, omar := at["root"], at["omar"]
	root.watched()
	omar.watched()
	root.open("/login")
	root.see("one-time code")
	root.axe("login")
	root.unbroken("login")
	root.begins(codeOf(t, s, "admin", "user", "enroll", "root"))
	for _, p := range []struct{ at, name, says string }{{"/_ui", "kit", "On its way"}, {"/", "home-admin", "My access"}, {"/requests", "requests-empty", "Nothing waits for you"}, {"/passkeys", "passkeys-first", "Make one"},
		{"/sessions", "sessions-empty", "Sessions"}, {"/you", "you", "You hear of"}, {"/device", "device", "code"}, {"/recovery", "recovery-make", "Make recovery codes"}} {
		root.open(p.at)
		root.see(p.says)
		root.shoot(p.name)
		root.axe(p.name)
		root.unbroken(p.name)
	}

	// A choice of colours is in the first answer, and stays.
	root.scheme("light")
	root.sized(1440, 844)
	root.open("/requests")
	root.run(`document.querySelector("button[name=theme]").click()`)
	root.until("light", `document.documentElement.dataset.theme === "light" && location.pathname === "/requests" ? "yes" : "no"`)
	root.run(`document.querySelector("button[name=theme]").click()`)
	root.until("dark", `document.documentElement.dataset.theme === "dark" && getComputedStyle(document.documentElement).backgroundColor === "rgb(17, 18, 20)" ? "yes" : "no"`)

	// Countdowns go by themselves.
	root.open("/_ui")
	was := root.js(`document.querySelector("#k-1 [data-left]").textContent`)
	root.until("the clock", `document.querySelector("#k-1 [data-left]").textContent !== `+quoted(was)+` && document.title.startsWith("(2:") ? "yes" : "no"`)
	root.unbroken("kit")

	// What somebody smuggled into a page does nothing; what bears the nonce does, so this
	// test can fail.
	root.open("/requests")
	smuggle := func(nonce string) {
		root.run(`
			document.querySelector("#planted")?.remove();
			const e = document.createElement("div");
			e.id = "planted";
			e.setAttribute("hx-get", "/_ui");
			e.setAttribute("hx-trigger", "load");
			e.setAttribute("hx-select", "h1");
			` + nonce + `
			document.querySelector("main").append(e);
			htmx.process(e);`)
	}
	smuggle(`e.setAttribute("hx-nonce", document.querySelector("script[nonce]").nonce)`)
	root.until("an act of the page", `document.querySelector("#planted").innerText.includes("Parts of the pages") ? "yes" : "no"`)
	for _, nonce := range []string{``, `e.setAttribute("hx-nonce", "AAAAAAAAAAAAAAAAAAAAAA")`} {
		smuggle(nonce)
		root.until("taken away", `document.querySelector("#planted").hasAttribute("hx-get") ? "no" : "yes"`)
		time.Sleep(time.Second) // in which it would have acted
		if got := root.js(`document.querySelector("#planted").innerText`); got != "" {
			t.Errorf("what was smuggled in acted: %s", got)
		}
	}
	root.run(`
		const e = document.querySelector("#planted"), s = document.createElement("script");
		try { e.innerHTML = "<b>x</b>"; seen.push("innerHTML") } catch {}
		try { s.src = "/assets/x/app.js"; document.head.append(s); seen.push("script") } catch {}
		try { e.setAttribute("onclick", "seen.push('handler')"); e.click() } catch {}`)
	root.until("the policy speaks", `seen.length >= 3 ? "yes" : "no"`)
	if got := root.js(`JSON.stringify(seen)`); strings.Contains(got, `"innerHTML"`) || strings.Contains(got, `"script"`) || strings.Contains(got, `"handler"`) {
		t.Errorf("the policy: %s", got)
	}

	// A page that is open learns of what happens, and of what happened while it was cut off.
	omar.begins(codeOf(t, s, "admin", "user", "add", "omar", "--group", "dba"))
	omar.open("/requests")
	omar.see("Nothing waits for you")
	var r api.Request
	must(t, vera.JSON(ctx, &r, "request", "orders-db", "--as", "reader", "--for", "30m", "--why", `<div hx-post="/logout" hx-trigger="load">audit`, "--no-wait"))
	began := time.Now()
	omar.see(`<div hx-post="/logout" hx-trigger="load">audit`)
	t.Logf("a request was on an open page %s after the command", time.Since(began).Round(time.Millisecond))
	omar.unbroken("requests")
	omar.axe("requests")
	must(t, s.Kill())
	omar.until("cut off", `document.querySelector("#cut") && !document.querySelector("#cut").hidden ? "yes" : "no"`)
	omar.sized(390, 844)
	omar.shoot("cut-off")
	must(t, s.Start(ctx))
	must(t, s.Serving(ctx))
	must(t, vera.Run(ctx, "cancel", r.ID).Failed())
	omar.see("Nothing waits for you")
	omar.until("healed", `document.querySelector("#cut").hidden ? "yes" : "no"`)
}
