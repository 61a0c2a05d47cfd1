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
	"github.com/chromedp/chromedp"

	"stint/test/stage"
)

// look is at what and how a person looks.
type look struct {
	name   string
	width  int64
	height int64
	scheme string
}

var looks = []look{{"telephone-dark", 390, 844, "dark"}, {"telephone-light", 390, 844, "light"}, {"desk-light", 1440, 900, "light"}, {"desk-dark", 1440, 900, "dark"}}

// as gives a person's browser that size and those colours.
func (r *reader) as(l look) {
	r.t.Helper()
	r.sized(l.width, l.height)
	r.scheme(l.scheme)
}

// sound holds what is true of each page that a journey comes by.
func (r *reader) sound(name string, l look) {
	r.t.Helper()
	if wide := r.js(`String(document.documentElement.scrollWidth <= innerWidth)`); wide != "true" {
		r.t.Errorf("%s, %s is wider than the screen", name, l.name)
	}
	r.unbroken(name + ", " + l.name)
}

// scripts lets the pages of a person run scripts, or none.
func (r *reader) scripts(run bool) {
	r.t.Helper()
	_, err := chromedp.Run(r.tab, chromedp.Action[string](func(ctx context.Context, at *chromedp.Target) (string, error) {
		_, err := cdp.Call(ctx, at, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !run})
		return "", err
	}))
	must(r.t, err)
}

// TestConsoleJourneys goes through the main journeys in every size and colour, and without
// scripts; TestConsoleKeys does by keys alone.
func TestConsoleJourneys(t *testing.T) {
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
	must(t, s.Enrol(ctx, "sam", "--group", "support"))
	at := readers(t, s.URL, "root", "omar", "vera", "mira", "sam")
	root, omar, vera, mira, sam := at["root"], at["omar"], at["vera"], at["mira"], at["sam"]
	for _, r := range at {
		r.watched()
	}
	root.begins(codeOf(t, s, "admin", "user", "enroll", "root"))
	key, digest := omar.begins(codeOf(t, s, "admin", "user", "add", "omar", "--group", "dba"))
	root.open("/passkeys/" + key)
	root.fill("digest", digest)
	root.press("Vouch with your passkey")
	root.see("one administrator")
	vera.enters(codeOf(t, s, "admin", "user", "enroll", "vera"))
	mira.enters(codeOf(t, s, "admin", "user", "enroll", "mira"))
	sam.enters(codeOf(t, s, "admin", "user", "enroll", "sam"))

	part := func(name string, tell func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			for _, r := range at {
				r.t = t
			}
			tell(t)
		})
	}
	for i, l := range looks {
		part(l.name, func(t *testing.T) {
			why := "audit of the orders, " + l.name
			vera.as(l)
			omar.as(l)
			vera.open("/request?resource=orders-db")
			vera.see("One person has to approve")
			vera.types("reason", why)
			vera.sound("the request", l)
			vera.press("Ask for approval")
			vera.see("vera asks for reader on orders-db")
			vera.sound("a request", l)
			omar.open("/requests")
			omar.see(why)
			omar.sound("the inbox", l)
			omar.run(`document.querySelector("#inbox a").click()`) // one tap of the two
			omar.see("Your decision")
			omar.sound("to decide", l)
			vera.open("/")
			vera.see("1 of group dba")
			if i%2 == 1 { // a no, with a word
				omar.fill("note", "not this week")
				omar.press("Deny")
				omar.see("Denied")
				vera.see("You hold no privileges right now.")
				vera.open("/requests?tab=own")
				vera.see("denied")
				vera.sound("what became of it", l)
				return
			}
			omar.press("Approve 15 min") // the other
			omar.see("signed by a passkey")
			omar.sound("decided", l)
			vera.see("stint db orders-db")
			vera.sound("held", l)
			vera.js(`document.querySelector("#held summary")?.click(), ""`)
			vera.types("why", "it takes longer than I thought")
			vera.press("Ask for more time") // which takes a yes, too
			omar.open("/requests")
			omar.see("longer than I thought")
			omar.run(`document.querySelector("#inbox a").click()`)
			omar.see("Your decision")
			vera.open("/")
			before := vera.js(`document.querySelector("#held [data-ends]").dataset.ends`)
			omar.press("Approve 15 min")
			omar.see("signed by a passkey")
			vera.until("longer", `document.querySelector("#held [data-ends]")?.dataset.ends > `+quoted(before)+` ? "yes" : "no"`)
			vera.press("End now")
			vera.see("read back as gone")
			vera.see("You hold no privileges right now.")
			vera.sound("ended", l)
		})
	}

	part("no scripts", func(t *testing.T) {
		for _, r := range []*reader{mira, sam, omar} {
			r.as(looks[0])
			r.scripts(false)
		}
		defer func() {
			for _, r := range []*reader{mira, sam, omar} {
				r.scripts(true)
			}
		}()
		mira.open("/request?resource=orders-db")
		mira.fill("reason", "order 4712 hangs at the till")
		mira.press("Preview")
		mira.see("You get this at once")
		mira.press("Get access now")
		mira.see("mira asks for reader")
		for deadline := time.Now().Add(30 * time.Second); ; { // who has no script loads the page again
			mira.open("/")
			if strings.Contains(mira.js("document.body.innerText"), "End now") || time.Now().After(deadline) {
				break
			}
		}
		mira.press("End now")
		mira.until("given back", `document.body && !document.body.innerText.includes("End now") ? "yes" : "no"`)
		for deadline := time.Now().Add(30 * time.Second); ; {
			mira.open("/")
			if strings.Contains(mira.js("document.body.innerText"), "You hold no privileges right now.") || time.Now().After(deadline) {
				break
			}
		}
		mira.see("You hold no privileges right now.")

		sam.open("/request?resource=orders-db")
		sam.fill("reason", "customer 4 waits for it")
		sam.fill("ticket", "INC-4")
		sam.press("Preview")
		sam.see("One person has to approve")
		sam.press("Ask for approval")
		sam.see("sam asks for reader")
		omar.open("/requests")
		omar.see("customer 4 waits for it")
		omar.open(omar.js(`document.querySelector("#inbox a").getAttribute("href")`))
		omar.fill("note", "call them first")
		omar.press("Deny")
		omar.until("decided", `document.body && !document.querySelector("button[value=deny]") ? "yes" : "no"`)
		sam.open("/requests?tab=own")
		sam.see("denied")
	})
}
