//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConsoleResources adds a real database by the wizard: a wrong password first, which
// keeps nothing; then a check, then the resource with its first role. It is checked and
// asked for standing privileges on its page, and what was typed as a password stands on
// no page and in no log. (T-17)
func TestConsoleResources(t *testing.T) {
	ctx, s := consoleStage(t)
	root := readers(t, s.URL, "root")["root"]
	root.watched()
	root.begins(codeOf(t, s, "admin", "user", "enroll", "root"))
	password, err := os.ReadFile(filepath.Join(s.Dir, "connector-password"))
	must(t, err)
	ca, err := os.ReadFile(s.Target.CAFile)
	must(t, err)

	root.open("/start")
	root.see("A first resource, and its check passed")
	root.shoot("start")
	root.axe("start")
	root.unbroken("start")

	root.open("/resources/new")
	root.see("What is it?")
	root.shoot("wizard-types")
	root.axe("wizard-types")
	root.open("/resources/new?type=postgres")
	root.shoot("wizard")
	root.axe("wizard")
	fill := func(password string) {
		for name, value := range map[string]string{"name": "till-db", "address": s.Target.Addr(), "o-database": "orders", "o-ca": string(ca), "username": "stint_connector", "password": password,
			"owners": "group:dba", "labels": "team=till", "role": "till-reader", "groups": "orders_read", "longest": "1h", "who": "group:platform"} {
			root.fill(name, value)
		}
	}
	fill("a-wrong-password-of-some-length")
	root.press("Check and add")
	root.see("The check failed. Nothing was kept")
	root.shoot("wizard-failed")
	root.axe("wizard-failed")
	root.unbroken("wizard-failed")
	if text := s.As("root").Run(ctx, "get", "resources").Out; strings.Contains(text, "till-db") {
		t.Errorf("a failed check kept the resource:\n%s", text)
	}
	fill(string(password))
	root.press("Check only")
	root.see("Nothing was kept: type the password again and add it.")
	fill(string(password))
	root.press("Check and add")
	root.until("added", `location.pathname.startsWith("/resources/") && location.pathname !== "/resources/new" || location.search.includes("proposal") ? "yes" : "no"`)
	root.open("/resources/till-db")
	acts := func(label, says string) { // on a page that says the same before
		root.run(`window.before = true`)
		root.press(label)
		root.until(label, `!window.before && document.readyState === "complete" && document.body.innerText.includes(`+quoted(says)+`) ? "yes" : "no"`)
	}
	acts("Check now", "The check passed")
	acts("Ask the target now", "superuser")
	root.shoot("resource")
	root.axe("resource")
	root.unbroken("resource")
	for _, p := range []struct{ at, name, says string }{{"/resources", "resources", "till-db"}, {"/standing", "standing", "Standing privileges"}} {
		root.open(p.at)
		if text := root.see(p.says); strings.Contains(text, string(password)) {
			t.Errorf("the password stands on %s", p.at)
		}
		root.shoot(p.name)
		root.axe(p.name)
		root.unbroken(p.name)
	}
	if strings.Contains(s.ServerLog(), string(password)) {
		t.Error("the password stands in the log of the server")
	}
}
