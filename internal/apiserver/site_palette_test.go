package apiserver

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"stint/internal/api"
)

// TestPaletteNames: people and policies are found by their names by those who may see them
// on their pages, a few of however many, and a query is text and no pattern.
func TestPaletteNames(t *testing.T) {
	w, admin := openHouse(t)
	w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	w.as(admin, api.UserAdd{Name: "vera", Auditor: true})
	w.agent(admin, "fixer", "mira")
	for i := range 30 {
		_, err := admin.AddUser(t.Context(), api.UserAdd{Name: fmt.Sprintf("many-%02d", i)})
		check(t, err)
	}
	find := func(g *guest, q string) string {
		t.Helper()
		return g.get("/palette?q="+url.QueryEscape(q)).want(t, http.StatusOK).text
	}
	root, mira, vera := w.guest("root"), w.guest("mira"), w.guest("vera")
	for _, g := range []*guest{root, vera} {
		if p := find(g, "mir"); !strings.Contains(p, `href="/people/user:mira"`) {
			t.Errorf("%s does not find mira", g.name)
		}
		if p := find(g, "MANY 07"); strings.Count(p, `href="/people/user:many-`) != 1 {
			t.Errorf("%s: words and letters", g.name)
		}
		if n := strings.Count(find(g, "many"), `href="/people/user:many-`); n != 7 {
			t.Errorf("%s is shown %d of 30", g.name, n)
		}
	}
	// mira sees nobody but her agent, and that in the list alone.
	for _, q := range []string{"mir", "vera", "many", "user", "root", ":"} {
		if p := find(mira, q); strings.Contains(p, `href="/people/`) || strings.Contains(p, "many-") {
			t.Errorf("mira finds others by %q", q)
		}
	}
	if p := find(mira, "fix"); !strings.Contains(p, `href="/people?q=agent%3Afixer&amp;tab=agents"`) {
		t.Error("mira does not find her agent")
	}
	mira.get("/people?q=agent%3Afixer&tab=agents").want(t, http.StatusOK, "fixer")
	for _, g := range []*guest{root, mira, vera} {
		if p := find(g, "at-on"); !strings.Contains(p, `href="/policies/at-once"`) {
			t.Errorf("%s does not find the policy", g.name)
		}
		// What a policy says is not what it is called, and not everybody reads its source.
		if p := find(g, "maxDuration"); strings.Contains(p, `href="/policies/`) {
			t.Errorf("%s finds a policy by its text", g.name)
		}
	}
	for _, q := range []string{"%", "_", "%%%", "user:_", "' OR '1'='1", `\`, `"; DROP TABLE principals; --`, "*", "<script>alert(1)</script>", "\x00", "\xff\xfe", "ｍｉｒａ", "user:mira%", strings.Repeat("zq ", 4000), strings.Repeat("%", 5000)} {
		for _, g := range []*guest{root, mira} {
			p := find(g, q)
			if strings.Contains(p, `href="/people/user:`) && q != ":" || strings.Contains(p, "<script>alert") {
				t.Errorf("%s finds somebody by %.20q", g.name, q)
			}
		}
	}
}
