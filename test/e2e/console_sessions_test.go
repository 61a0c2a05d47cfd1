//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestConsoleSessions has an owner find a session of psql that is open on a real database,
// end it by the keyboard, and see it go when the database has said so and not before.
func TestConsoleSessions(t *testing.T) {
	ctx, s := consoleStage(t)
	must(t, s.Enrol(ctx, "mira", "--group", "platform"))
	must(t, s.Enrol(ctx, "omar", "--group", "dba"))
	oracle, err := s.Oracle()
	must(t, err)
	t.Cleanup(func() { _ = oracle.Close() })
	omar := readers(t, s.URL, "omar")["omar"]
	omar.watched()
	omar.sized(1440, 900)
	omar.enters(codeOf(t, s, "admin", "user", "enroll", "omar"))
	omar.open("/sessions")
	omar.see("Nothing is active.")
	omar.shoot("sessions-empty")
	omar.axe("sessions-empty")
	paused := false
	t.Cleanup(func() {
		if paused {
			_ = s.Target.Resume()
		}
	})
	for i, l := range looks {
		t.Run(l.name, func(t *testing.T) {
			omar.t = t
			omar.as(l)
			omar.open("/sessions")
			omar.see("Nothing is active.")
			lasts, end := context.WithCancel(ctx)
			defer end()
			psql := s.As("mira").Command(lasts, "db", "orders-db", "--as", "reader", "--for", "30m", "--why", "order 4711 hangs, "+l.name, "--", "-c", "select pg_sleep(600)")
			var said strings.Builder
			psql.Stdout, psql.Stderr = &said, &said
			psql.WaitDelay = 5 * time.Second
			must(t, psql.Start())
			done := make(chan error, 1)
			go func() { done <- psql.Wait() }()
			defer func() { end(); <-done }()

			// It comes by itself: the page was open.
			omar.see("mira on orders-db")
			omar.until("what the database has open", `document.querySelector("#live .list")?.innerText.includes("1 open") ? "yes" : "no"`)
			omar.sound("sessions", l)
			if i == 0 {
				omar.shoot("sessions")
				omar.axe("sessions")
				omar.as(l)
			}
			omar.tabTo(`#live a[href^="/sessions/"]`)
			omar.keys("\r")
			omar.see("order 4711 hangs, " + l.name)
			omar.see("What ends it")
			omar.sound("a session", l)
			if i == 0 {
				omar.shoot("session")
				omar.axe("session")
				omar.as(l)
			}
			omar.keys("gs")
			omar.until("on the list again", `location.pathname === "/sessions" && document.querySelector("#live a[href^='/r/']") ? "yes" : "no"`)
			omar.tabTo(`#live a[href^="/r/"]`)
			omar.keys("\r")
			omar.see("Take it away")
			omar.sound("its request", l)

			// The database stands still, and can confirm nothing.
			if i == 0 {
				must(t, s.Target.Pause())
				paused = true
			}
			omar.tabTo("#why")
			omar.keys("the import is done")
			omar.tabTo("main form button.danger")
			omar.keys("\r")
			if i == 0 {
				omar.until("it was ended", `document.querySelector("#why") ? "no" : "yes"`)
				omar.open("/sessions")
				omar.see("ending")
				omar.shoot("sessions-ending")
				omar.axe("sessions-ending")
				omar.as(l)
				if text := omar.js("document.body.innerText"); strings.Contains(text, "Nothing is active.") || !strings.Contains(text, "mira on orders-db") {
					t.Errorf("it is gone from the page, and the database has not said so:\n%s", text)
				}
				must(t, s.Target.Resume())
				paused = false
				omar.see("Nothing is active.")
			} else {
				omar.see("Read back as gone")
				omar.open("/sessions")
				omar.see("Nothing is active.")
			}
			omar.sound("sessions, gone", l)
			select {
			case err := <-done:
				if err == nil {
					t.Errorf("psql ended well:\n%s", said.String())
				}
				done <- err
			case <-time.After(30 * time.Second):
				t.Error("psql still runs")
			}
			must(t, oracle.Clean(ctx, 30*time.Second))
		})
	}
}
