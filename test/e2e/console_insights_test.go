//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/test/stage"
)

// TestConsoleInsights looks at insights and settings in a real browser, after a request
// that was granted and given back, and has a real receiver take a test message and, when
// it is gone, says that it did not.
func TestConsoleInsights(t *testing.T) {
	if _, err := os.Stat("/usr/bin/chromium"); err != nil {
		t.Fatal("this takes a browser: run make setup")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	const secret = "a-secret-of-the-hook-that-is-long"
	h := &hook{key: []byte(secret)}
	h.up(t)
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: set.Store, Named: true, Config: "egress: {allow: [127.0.0.1/32]}\n"}, "mira")
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
	must(t, s.Enrol(ctx, "mira", "--group", "platform"))
	root := readers(t, s.URL, "root")["root"]
	root.watched()
	root.begins(codeOf(t, s, "admin", "user", "enroll", "root"))

	root.open("/settings")
	root.see("Nothing is connected")
	root.shoot("settings-empty")
	root.axe("settings-empty")
	address := "http://" + h.addr + "/stint"
	doc := fmt.Sprintf("kind: Integration\nname: ops-hook\ntype: webhook\naddress: %s\ncredential: ops-hook\ndescription: the <b>night shift</b> listens here\n", address)
	must(t, s.As("root").Run(ctx, "apply", "-f", file(t, "hook.yaml", doc)).Failed())
	key := filepath.Join(t.TempDir(), "hook.secret")
	must(t, os.WriteFile(key, []byte(secret+"\n"), 0o600))
	must(t, s.As("root").Run(ctx, "admin", "credential", "set", "ops-hook", "--type", "webhook", "--address", address, "--password-file", key).Failed())
	root.open("/settings")
	root.see("never tried from here")
	root.see("the <b>night shift</b> listens here")
	root.press("Send a test")
	root.see("it was taken")
	if h.count("integration.tried") == 0 {
		t.Errorf("the receiver has %v", h.types)
	}
	h.down()
	root.press("Send a test")
	root.see("the message was not taken")
	root.open("/settings")
	root.see("it failed:")
	root.shoot("settings")
	root.axe("settings")
	root.unbroken("settings")
	root.open("/settings/checks")
	root.see("seal key")
	root.shoot("settings-checks")
	root.axe("settings-checks")

	asked := s.As("mira").Run(ctx, "request", "orders-db", "--as", "reader", "--for", "15m", "--why", "order 4711 hangs", "-o", "name")
	must(t, asked.Failed())
	must(t, s.As("mira").Run(ctx, "end", strings.TrimSpace(asked.Out), "--wait").Failed())
	root.open("/insights")
	root.see("These numbers need a week")
	root.see("got access")
	root.js(`document.querySelectorAll("main details").forEach((d) => d.open = true), ""`)
	root.shoot("insights")
	root.axe("insights")
	root.unbroken("insights")
	root.open("/insights/list?of=requests&days=7")
	root.see("mira")
	root.shoot("insights-list")
	root.axe("insights-list")
	root.unbroken("insights-list")
}
