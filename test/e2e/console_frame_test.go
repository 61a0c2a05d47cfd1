//go:build e2e

package e2e

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"stint/internal/api"
	"stint/test/stage"
)

// keys types on the keyboard, into whatever has the focus.
func (r *reader) keys(text string) {
	r.t.Helper()
	r.ready()
	must(r.t, chromedp.Do(r.tab, chromedp.KeyEvent(text)))
}

// ready waits for the page's script: what a page says can be read before that has run, and
// a key that is pressed meanwhile goes nowhere.
func (r *reader) ready() {
	r.t.Helper()
	r.until("loaded", `document.readyState === "complete" ? "yes" : "no"`)
}

// chord types with Control held.
func (r *reader) chord(key string) {
	r.t.Helper()
	r.ready()
	must(r.t, chromedp.Do(r.tab, chromedp.KeyEvent(key, chromedp.KeyModifiers(chromedp.ModifierCtrl))))
}

// TestConsoleKeys asks, decides, extends and gives back by the keyboard alone.
func TestConsoleKeys(t *testing.T) {
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
	must(t, s.Enrol(ctx, "mira", "--group", "platform"))

	at := readers(t, s.URL, "root", "omar", "vera", "mira")
	root, omar, vera, mira := at["root"], at["omar"], at["vera"], at["mira"]
	for _, r := range at {
		r.watched()
	}
	root.begins(codeOf(t, s, "admin", "user", "enroll", "root"))
	key, digest := omar.begins(codeOf(t, s, "admin", "user", "add", "omar", "--group", "dba"))
	root.open("/passkeys/" + key)
	root.fill("digest", digest)
	root.press("Vouch with your passkey")
	root.see("one administrator")

	// Found by the palette, typed, and sent: nothing but keys.
	mira.sized(1440, 844)
	mira.enters(codeOf(t, s, "admin", "user", "enroll", "mira"))
	mira.open("/")
	mira.see("You hold no privileges right now.")
	mira.chord("k")
	mira.until("a list", `document.querySelector("#palette[open] a[role=option]") ? "yes" : "no"`)
	mira.keys("orders")
	mira.until("the role that is open", `document.querySelector("#palette [aria-selected=true]")?.innerText.includes("on orders-db") ? "yes" : "no"`)
	mira.until("the field says which is selected", `document.getElementById(document.querySelector("#palette-q").getAttribute("aria-activedescendant"))?.getAttribute("aria-selected") === "true" ? "yes" : "no"`)
	mira.shoot("palette")
	mira.axe("palette")
	mira.sized(1440, 844)
	mira.keys("\r")
	mira.see("Say a little more")
	mira.unbroken("palette")
	mira.until("the reason", `(document.querySelector("#reason")?.focus(), document.activeElement?.id === "reason") ? "yes" : "no"`)
	mira.keys("order 4711 hangs")
	mira.see("You get this at once")
	mira.chord("\r")
	mira.see("mira asks for reader")
	mira.keys("ga")
	mira.see("stint db orders-db")
	mira.until("on My access", `location.pathname === "/" ? "yes" : "no"`)

	// Its row, more time, and the end, which asks first.
	mira.until("a row with a clock", `document.querySelector("#held [data-item]") ? "yes" : "no"`)
	mira.keys("j")
	mira.until("the row", `document.activeElement.closest("[data-item]") ? "yes" : "no"`)
	mira.keys("+")
	mira.until("the field for more time", `document.activeElement.name === "for" ? "yes" : "no"`)
	mira.keys("\x1b")
	mira.run(`document.activeElement.blur(); document.querySelector("details.pop").open = false`)
	mira.keys("j")
	mira.keys("x")
	mira.until("it asks", `document.querySelector("#sure[open]") ? "yes" : "no"`)
	mira.shoot("sure")
	mira.axe("sure")
	mira.sized(1440, 844)
	mira.keys("\x1b")
	mira.see("stint db orders-db")
	mira.keys("j")
	mira.keys("x")
	mira.until("it asks again", `document.querySelector("#sure[open]") ? "yes" : "no"`)
	mira.keys("\r")
	mira.see("read back as gone")
	mira.keys("?")
	mira.see("prepares it, and you confirm")
	mira.shoot("keys")
	mira.axe("keys")
	mira.keys("\x1b")
	mira.unbroken("keys")

	// Turned off, they do nothing; the palette is no single letter, and stays.
	mira.open("/you")
	mira.press("Turn single keys off")
	mira.see("Single keys are off")
	mira.keys("?")
	mira.chord("k")
	mira.until("the palette, and no list of keys", `document.querySelector("#palette[open]") && !document.querySelector("#keys[open]") ? "yes" : "no"`)

	// Decided: prepared by a key, and given by the passkey.
	var r api.Request
	must(t, s.As("vera").JSON(ctx, &r, "request", "orders-db", "--as", "reader", "--for", "30m", "--why", "yearly audit", "--no-wait"))
	omar.sized(1440, 844)
	omar.open("/requests")
	omar.see("yearly audit")
	omar.keys("j")
	omar.keys("d")
	omar.until("a place for the note", `document.activeElement?.name === "note" ? "yes" : "no"`)
	omar.keys("not now")
	omar.open("/requests")
	omar.see("yearly audit")
	omar.keys("j")
	omar.keys("a")
	omar.until("the yes, prepared", `document.activeElement?.value === "approve" ? "yes" : "no"`)
	must(t, s.As("vera").JSON(ctx, &r, "status", r.ID))
	if r.State != api.RequestPending {
		t.Fatalf("a key decided: %+v", r)
	}
	omar.shoot("decide")
	omar.axe("decide")
	omar.sized(390, 844)
	omar.until("still prepared", `(document.querySelector("[data-do=approve]").focus(), "yes")`)
	omar.keys("\r")
	omar.see("signed by a passkey")
	omar.unbroken("decide")
	vera.sized(1440, 844)
}
