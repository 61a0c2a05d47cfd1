//go:build e2e

package e2e

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

// tabTo presses the tabulator until what is selected has the focus.
func (r *reader) tabTo(selector string) {
	r.t.Helper()
	for range 400 { // also from the top of a long page
		if r.js(`document.activeElement?.matches(`+quoted(selector)+`) ? "yes" : "no"`) == "yes" {
			return
		}
		r.keys("\t")
	}
	r.t.Fatalf("%s does not come to %s by keyboard at %s", r.name, selector, r.js("location.href"))
}

// consoleStage is an installation of its own, with the scene's documents.
func consoleStage(t *testing.T) (context.Context, *stage.Stage) {
	t.Helper()
	if _, err := os.Stat("/usr/bin/chromium"); err != nil {
		t.Fatal("this takes a browser: run make setup")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	t.Cleanup(cancel)
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: set.Store, Named: true}, "mira", "noor")
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
	return ctx, s
}

// TestConsoleGlass goes from a no to the closed review: by keyboard alone for who breaks
// the glass, on a page that is open for who reviews it.
func TestConsoleGlass(t *testing.T) {
	ctx, s := consoleStage(t)
	must(t, s.As("root").Run(ctx, "apply", "-f", file(t, "glass.yaml", glassPolicy)).Failed())
	must(t, s.Enrol(ctx, "sam", "--group", "support"))
	must(t, s.Enrol(ctx, "omar", "--group", "dba"))
	at := readers(t, s.URL, "sam", "omar")
	sam, omar := at["sam"], at["omar"]
	for _, r := range at {
		r.watched()
	}
	sam.sized(1440, 844)
	sam.enters(codeOf(t, s, "admin", "user", "enroll", "sam"))
	omar.enters(codeOf(t, s, "admin", "user", "enroll", "omar"))
	omar.open("/reviews")
	omar.see("No review is open.")
	omar.shoot("reviews-empty")
	omar.axe("reviews-empty")

	// From a no to the page.
	sam.open("/request?resource=orders-db&role=reader&for=3h")
	sam.see("In an emergency you can break the glass.")
	sam.keys("gb")
	sam.see("You can break the glass for")
	sam.shoot("glass-find")
	sam.axe("glass-find")
	sam.sized(1440, 844)
	sam.tabTo(`a[href^="/break-glass?"]`)
	sam.keys("\r")
	sam.see("What will happen")
	sam.see("omar")
	sam.shoot("glass")
	sam.axe("glass")
	sam.unbroken("glass")
	sam.sized(1440, 844)

	// By keyboard: a slip is no emergency, and what was typed stays.
	sam.tabTo("#reason")
	sam.keys("checkout is down, stuck locks")
	sam.tabTo("#typed")
	sam.keys("orders\r")
	sam.see("this is not orders-db")
	sam.shoot("glass-slip")
	sam.axe("glass-slip")
	sam.sized(1440, 844)
	if got := sam.js(`document.querySelector("#reason").value`); got != "checkout is down, stuck locks" {
		t.Errorf("what was typed is %q", got)
	}
	if open := reviewsOf(ctx, t, s, "omar"); len(open) != 0 {
		t.Fatalf("a slip broke the glass: %+v", open)
	}
	sam.tabTo("#typed")
	sam.chord("a") // all of it, and typed over
	sam.keys("orders-db")
	sam.tabTo(`main form button.danger`)
	sam.keys("\r")
	sam.see("sam asks for reader on orders-db")
	sam.keys("ga")
	sam.until("on My access", `location.pathname === "/" ? "yes" : "no"`)
	sam.see("stint db orders-db")
	sam.shoot("glass-held")

	// Who owns it sees it on a page that was open, and looks.
	omar.see("sam broke the glass: reader on orders-db")
	omar.until("the rail counts", `document.querySelector("#reviews li") ? "yes" : "no"`)
	omar.shoot("reviews")
	omar.axe("reviews")
	omar.unbroken("reviews")
	omar.open(omar.js(`document.querySelector("#reviews a").getAttribute("href")`))
	omar.see("The access has not ended")
	sam.sized(1440, 844)
	sam.keys("j")
	sam.until("the row", `document.activeElement.closest("#held [data-item]") ? "yes" : "no"`)
	sam.keys("x")
	sam.until("it asks", `document.querySelector("#sure[open]") ? "yes" : "no"`)
	sam.keys("\r")
	sam.see("· read back as gone")
	omar.see("Read back as gone from the target")
	omar.shoot("review")
	omar.axe("review")
	omar.js(`document.querySelector("input[value=justified]").click(), ""`)
	omar.fill("note", "two stuck locks cleared, INC-2041")
	omar.press("Close the review")
	omar.see("omar found it justified")
	omar.shoot("review-closed")
	omar.axe("review-closed")
	omar.unbroken("review")
	if open := reviewsOf(ctx, t, s, "omar"); len(open) != 0 {
		t.Errorf("still open: %+v", open)
	}
	sam.open("/reviews?tab=closed")
	sam.see("omar found it justified")
}

func reviewsOf(ctx context.Context, t *testing.T, s *stage.Stage, who string) (list []api.Review) {
	t.Helper()
	must(t, s.As(who).JSON(ctx, &list, "reviews"))
	return list
}

// TestConsoleOffboard has somebody gone who holds access on a real database: nothing is
// said to be gone while the database cannot say so.
func TestConsoleOffboard(t *testing.T) {
	ctx, s := consoleStage(t)
	must(t, s.Enrol(ctx, "mira", "--group", "platform"))
	must(t, s.Enrol(ctx, "axel", "--group", "platform"))
	oracle, err := s.Oracle()
	must(t, err)
	t.Cleanup(func() { _ = oracle.Close() })
	mira := s.As("mira")
	for _, role := range []string{"reader", "orders-owner"} {
		must(t, mira.Run(ctx, "request", "orders-db", "--as", role, "--for", "30m", "--why", "order 4711 hangs").Failed())
	}
	at := readers(t, s.URL, "root", "mira")
	root, gone := at["root"], at["mira"]
	for _, r := range at {
		r.watched()
	}
	gone.enters(codeOf(t, s, "admin", "user", "enroll", "mira"))
	gone.open("/")
	gone.see("stint db orders-db")
	root.sized(1440, 844)
	root.enters(codeOf(t, s, "admin", "user", "enroll", "root"))
	root.open("/people")
	root.see("holds 2 grants")
	root.shoot("people")
	root.axe("people")
	root.types("q", "mir")
	root.until("the search", `document.querySelectorAll("#people li").length === 1 ? "yes" : "no"`)
	root.unbroken("people")
	root.open("/people/user:mira")
	root.see("Holds now")
	root.shoot("person")
	root.axe("person")
	root.unbroken("person")

	// Locked out, and let in again: nothing else is lost.
	must(t, s.Enrol(ctx, "zoe", "--group", "platform"))
	must(t, s.As("zoe").Run(ctx, "request", "orders-db", "--as", "reader", "--for", "30m", "--why", "order 4711 hangs").Failed())
	root.sized(1440, 844)
	root.open("/people/user:zoe")
	root.js(`(() => { for (const d of document.querySelectorAll("#person-acts details:not(.cli)")) d.open = true; return "" })()`)
	root.shoot("person-lock")
	root.axe("person-lock")
	root.sized(1440, 844)
	root.js(`document.querySelector("#why-lock").value = "laptop stolen", ""`)
	root.press("Lock now")
	root.see("by root: laptop stolen")
	root.see("0 grants are live, 0 are being removed, 1 ended in the last hour.")
	if r := s.As("zoe").Run(ctx, "status"); r.Code == 0 {
		t.Error("who was locked is still signed in at the command line")
	}
	root.shoot("person-locked")
	root.axe("person-locked")
	root.sized(1440, 844)
	root.js(`document.querySelector("#why-unlock").value = "found again", ""`)
	root.press("Unlock")
	root.until("unlocked", `document.querySelector("#why-lock") ? "yes" : "no"`)
	root.unbroken("person-lock")
	root.open("/people/user:mira")

	must(t, s.Target.Pause())
	paused := true
	t.Cleanup(func() {
		if paused {
			_ = s.Target.Resume()
		}
	})
	root.sized(1440, 844)
	root.js(`(() => { for (const d of document.querySelectorAll("#person-acts details")) d.open = true; return "" })()`)
	root.shoot("person-acts")
	root.axe("person-acts")
	root.fill("typed", "mira")
	root.press("Offboard now")
	root.see("Removing…")
	root.see("waiting for PostgreSQL to confirm")
	root.until("the page stands still", `document.activeViewTransition ? "no" : "yes"`) // a screen that changes its size breaks off what moves
	root.shoot("person-removing")
	root.axe("person-removing")
	if said := root.js(`document.body.innerText`); strings.Contains(said, "read back as gone") {
		t.Errorf("something is said to be gone while the database stands still:\n%s", said)
	}
	must(t, s.Target.Resume())
	paused = false
	root.see("0 grants are live, 0 are being removed, 2 ended in the last hour.")
	root.see("read back as gone")
	must(t, oracle.Clean(ctx, 30*time.Second))
	root.shoot("person-gone")
	root.axe("person-gone")
	root.unbroken("person-gone")
	gone.open("/")
	gone.see("Sign in")
	if r := mira.Run(ctx, "status"); r.Code == 0 {
		t.Error("who was offboarded is still signed in at the command line")
	}
	root.press("Enable")
	root.until("enabled", `document.querySelector("#person-acts").innerText.includes("Offboard") ? "yes" : "no"`)
	root.unbroken("person-enabled")
}
