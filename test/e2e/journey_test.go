//go:build e2e

package e2e

import (
	"context"
	"os"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

// TestConsoleJourney asks in the console, sees who would be asked, has another person say
// yes with a passkey, holds, extends and gives back, and reads that it is gone: at a desk
// and on a telephone, without a page being loaded again by hand.
func TestConsoleJourney(t *testing.T) {
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

	vera.sized(1440, 844)
	vera.enters(codeOf(t, s, "admin", "user", "enroll", "vera"))
	vera.open("/")
	vera.see("You hold no privileges right now.")
	vera.shoot("access-empty")
	vera.axe("access-empty")
	vera.open("/request")
	vera.see("orders-db")
	vera.shoot("request-find")
	vera.axe("request-find")
	vera.sized(1440, 844)
	vera.open("/request?resource=orders-db")
	vera.see("One person has to approve")
	vera.see("omar")
	const why = `yearly audit <b onclick="x">of</b> the orders`
	vera.types("reason", why)
	vera.until("the preview follows", `document.querySelector("#outlook [data-copy]").dataset.copy.includes("yearly audit") ? "yes" : "no"`)
	vera.shoot("request-asks")
	vera.axe("request-asks")
	vera.unbroken("request")
	omar.open("/requests")
	omar.see("Nothing waits for you")
	vera.press("Ask for approval")
	vera.see("vera asks for reader on orders-db")
	vera.shoot("request-own")
	vera.axe("request-own")
	vera.open("/")
	vera.see("asked: 1 of group dba")
	vera.shoot("access-coming")
	vera.axe("access-coming")

	// The other person's page says so by itself; they decide on a telephone.
	omar.sized(390, 844)
	omar.see(`yearly audit <b onclick="x">of</b> the orders`)
	omar.shoot("inbox")
	omar.axe("inbox")
	omar.unbroken("inbox")
	omar.open(omar.js(`document.querySelector("#inbox a").getAttribute("href")`))
	omar.see("Your decision")
	omar.press("Approve 15 min")
	omar.see("signed by a passkey")
	omar.open("/requests?tab=done")
	omar.see("vera")
	omar.shoot("inbox-done")
	omar.axe("inbox-done")

	// And hers says that it is there.
	vera.see("stint db orders-db")
	vera.until("a clock", `document.querySelector("#held [data-left]") ? "yes" : "no"`)
	vera.shoot("access-held")
	vera.axe("access-held")
	vera.unbroken("access")
	vera.open("/sessions")
	vera.see("orders-db")
	vera.shoot("sessions")
	vera.axe("sessions")
	vera.open("/")
	vera.see("stint db orders-db")
	vera.sized(390, 844)
	vera.press("End now")
	vera.see("read back as gone")
	vera.see("You hold no privileges right now.")
	vera.shoot("access-ended")
	vera.axe("access-ended")
	vera.unbroken("access")

	// At once, longer, and back.
	mira.enters(codeOf(t, s, "admin", "user", "enroll", "mira"))
	mira.open("/request?resource=orders-db&role=reader")
	mira.see("Say a little more")
	mira.js(`document.querySelector("button.star[value=reader]").click(), ""`)
	mira.until("a star", `document.querySelector("button.star.on") ? "yes" : "no"`)
	mira.shoot("request-star")
	mira.open("/request")
	mira.see("Favourites")
	mira.shoot("request-favourites")
	mira.axe("request-favourites")
	mira.open("/request?resource=orders-db")
	mira.see("Say a little more")
	mira.shoot("request-lacks")
	mira.types("reason", "order 4711 hangs")
	mira.see("You get this at once")
	mira.shoot("request-at-once")
	mira.axe("request-at-once")
	mira.press("Get access now")
	mira.see("mira asks for reader")
	mira.open("/")
	mira.see("stint db orders-db")
	mira.js(`document.querySelector("#held summary")?.click(), ""`)
	mira.types("why", "it still hangs, the fix is on its way")
	// Its row comes anew while they type: what they opened stays open.
	if is := mira.js(`(() => { const d = document.querySelector("#held details.pop"); d.open = false; document.dispatchEvent(new Event("htmx:after:swap")); return d.open ? "open" : "closed" })()`); is != "open" {
		t.Errorf("after its row came anew, where mira types is %s", is)
	}
	before := mira.js(`document.querySelector("#held [data-ends]").dataset.ends`)
	mira.shoot("access-extend")
	mira.press("Extend")
	mira.until("longer", `document.querySelector("#held [data-ends]")?.dataset.ends > `+quoted(before)+` ? "yes" : "no"`)
	mira.press("End now")
	mira.see("read back as gone")
	mira.unbroken("access")
	var all []api.Request
	must(t, s.As("mira").JSON(ctx, &all, "status"))
	if len(all) != 0 {
		t.Errorf("mira still holds %+v", all)
	}
	mira.open("/request?resource=orders-db&role=shared-admin&for=8h")
	mira.see("This is not open to you")
	mira.shoot("request-no")
	mira.axe("request-no")
}

// enters lets a person in with a code.
func (r *reader) enters(code string) {
	r.t.Helper()
	r.open("/enroll")
	r.fill("code", code)
	r.press("Continue")
	r.see("You have none yet")
}

// types fills in a field as a person does: the page hears of it.
func (r *reader) types(name, value string) {
	r.t.Helper()
	r.fill(name, value)
	r.js(`(() => { const e = document.querySelector('[name=` + name + `]:not([type=hidden])'); e.dispatchEvent(new InputEvent("input", {bubbles: true})); e.dispatchEvent(new Event("change", {bubbles: true})); return "" })()`)
}
