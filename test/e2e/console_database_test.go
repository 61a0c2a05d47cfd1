//go:build e2e

package e2e

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestConsoleDatabase goes with a session of PostgreSQL through the pages that sessions of SSH
// have: its statements are watched as they come, it is ended, and replayed with them beside it. What is in a
// statement is text there, whatever it looks like.
func TestConsoleDatabase(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	t.Cleanup(cancel)
	d := newDatabaseScene(t, ctx)
	at := readers(t, d.URL, "rosa", "olga")
	rosa, olga := at["rosa"], at["olga"]
	for name, r := range at {
		r.watched()
		r.sized(1440, 900)
		r.enters(codeOf(t, d.Stage, "admin", "user", "enroll", name))
	}

	uri, _, _, stop := d.proxy(ctx, "nils", "--as", "reader", "--for", "10m", "--why", "look at the orders")
	defer stop()
	c := connectTo(t, ctx, uri)
	query := func(text string) {
		t.Helper()
		_, err := c.Exec(ctx, text)
		must(t, err)
	}
	query("SELECT 'first nonce'")

	rosa.open("/sessions")
	rosa.see("nils on orders-db")
	rosa.until("a recording to watch", `[...document.querySelectorAll("#recordings a.btn")].some((a) => a.innerText === "Watch") ? "yes" : "no"`)
	rosa.js(`[...document.querySelectorAll("#recordings a.btn")].find((a) => a.innerText === "Watch").click()`)
	rosa.until("what was sent before", screen+`.includes("first nonce") ? "yes" : "no"`)
	query(`SELECT '<img src=x onerror=alert(1)><script>top.seen.push(1)</script>', 'second nonce'`)
	rosa.until("what comes, and its class", screen+`.split("\n").some((l) => l.startsWith("[read] SELECT '<img src=x onerror=alert(1)>")) && `+screen+`.includes("second nonce") ? "yes" : "no"`)
	if _, err := c.Exec(ctx, "CREATE TABLE third_nonce (id int)"); err == nil {
		t.Error("a reader makes a table")
	}
	rosa.until("what the server refused", screen+`.includes("third_nonce") ? "yes" : "no"`)
	rosa.axe("watching statements")
	rosa.shoot("watching-statements")
	rosa.unbroken("watching statements")
	id := rosa.js(`location.pathname.split("/").pop()`)

	olga.open("/sessions/" + id + "?end=1")
	olga.see("End this session?")
	olga.fill("why", "wrong database")
	olga.press("End the session")
	if err := fails(ctx, c); err == nil || !strings.Contains(err.Error(), "wrong database") {
		t.Errorf("nils is told: %v", err)
	}
	rosa.sized(1440, 900)
	must(t, eventually(ctx, func() error {
		rosa.open("/sessions/" + id)
		if text := rosa.js("document.body.innerText"); !strings.Contains(text, "closed: ") || !strings.Contains(text, "third_nonce") {
			return errors.New(text)
		}
		return nil
	}))
	rosa.see("CREATE TABLE third_nonce (id int)")
	rosa.axe("replay of statements")
	rosa.shoot("replay-statements")
	rosa.sized(1440, 900)
	rosa.open("/sessions/" + id + "?at=0")
	rosa.until("the player", `document.getElementById("play")?.hidden === false ? "yes" : "no"`)
	rosa.js(`document.querySelector("#seek").value = document.querySelector("#seek").max; document.querySelector("#seek").dispatchEvent(new Event("input")); ""`)
	rosa.until("the end", screen+`.includes("third_nonce") ? "yes" : "no"`)
	if got := rosa.js(`String(document.getElementById("screen").contentDocument.querySelectorAll("img, script, a, form, iframe").length)`); got != "0" {
		t.Errorf("what was sent is more than text: %s elements", got)
	}
	rosa.unbroken("replay of statements")
	rosa.fill("q", "second nonce")
	rosa.press("Find")
	rosa.until("what was found", `[...document.querySelectorAll(".replay-index code")].some((e) => e.innerText.includes("second nonce")) ? "yes" : "no"`)
}
