package apiserver

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
)

// TestInsights: what is asked, decided and given back is in the numbers, each number
// leads to what it is made of, and whom the log is not for gets none of it.
func TestInsights(t *testing.T) {
	w, admin := openHouse(t)
	w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	w.as(admin, api.UserAdd{Name: "omar", Groups: []string{"dba"}})
	w.as(admin, api.UserAdd{Name: "gus", Groups: []string{"guests"}})
	w.as(admin, api.UserAdd{Name: "vera", Auditor: true})
	mira, omar, gus, root := w.guest("mira"), w.guest("omar"), w.guest("gus"), w.guest("root")
	form := mira.askForm(resourceOf, "check order 4711")
	form.Set("act", "send")
	to := mira.post("/request", form).want(t, http.StatusSeeOther).header.Get("Location")
	mira.until("/", "stint db "+resourceOf)
	mira.post(to+"/end", nil).want(t, http.StatusSeeOther)
	mira.until("/", "read back as gone")
	form = gus.askForm(resourceOf, "yearly audit")
	form.Set("act", "send")
	asked := gus.post("/request", form).want(t, http.StatusSeeOther).header.Get("Location")
	omar.post(asked+"/decide", url.Values{"answer": {"deny"}, "note": {"not today"}, "digest": {omar.get(asked).form().Get("digest")}}).want(t, http.StatusSeeOther)

	p := root.get("/insights?days=7").want(t, http.StatusOK, "0 standing privileges are there all the time", "omar alone can approve", "50 % of 2 requests got access", "None of 1 took longer than 10 s", "These numbers need a week")
	links := regexp.MustCompile(`href="(/insights/list\?[^"]*)"`).FindAllStringSubmatch(p.text, -1)
	seen := map[string]bool{}
	for _, l := range links {
		at := regexp.MustCompile(`&amp;`).ReplaceAllString(l[1], "&")
		if !seen[at] {
			seen[at] = true
			root.get(at).want(t, http.StatusOK, "1–", "/r/req_")
		}
	}
	if len(seen) < 4 {
		t.Errorf("numbers lead to %d lists: %v", len(seen), seen)
	}
	root.get("/insights/list?of=requests&outcome=denied").want(t, http.StatusOK, "gus", asked)
	// Where the log has just that, the number leads there, too.
	log := regexp.MustCompile(`href="(/audit\?[^"]*)"`)
	for at, says := range map[string]string{"/insights": "mira", "/insights/list?of=removals": "is gone",
		"/insights/list?of=requests&day=" + time.Now().UTC().Format(time.DateOnly): "asked for"} {
		found := false
		for _, l := range log.FindAllStringSubmatch(root.get(at).want(t, http.StatusOK).text, -1) {
			if to := html.UnescapeString(l[1]); strings.Contains(to, "type=") {
				found = true
				root.until(to, says)
				gus.get(to).want(t, http.StatusOK)
				if x := gus.get(to).text; strings.Contains(x, "mira has") || strings.Contains(x, "of mira") || strings.Contains(x, "4711") {
					t.Errorf("gus sees records of others at %s", to)
				}
			}
		}
		if !found {
			t.Errorf("%s does not lead to the log", at)
		}
	}
	for _, at := range []string{"outcome=automatic", "outcome=denied", "outcome=failed", "outcome=waiting", "bin=1"} {
		if p := root.get("/insights/list?of=requests&" + at); strings.Contains(p.text, "The records of these days") {
			t.Errorf("%s leads to a search that finds something else", at)
		}
	}
	root.get("/insights/list?of=requests&outcome=expired").want(t, http.StatusOK, "There is nothing in these days that fits")
	for _, bad := range []string{"", "?of=votes", "?of=requests&outcome=%3Cscript%3E", "?of=requests&day=2026-13-01", "?of=requests&day=tomorrow", "?of=requests&bin=-1", "?of=requests&bin=99",
		"?of=removals&from=-1", "?of=removals&from=99999999999999999999"} {
		root.get("/insights/list"+bad).want(t, http.StatusUnprocessableEntity, "there is no such list")
	}
	root.get("/insights?days=1000000").want(t, http.StatusOK, `days=30" aria-current="page"`)

	vera := w.guest("vera")
	vera.get("/insights").want(t, http.StatusOK, `href="/insights"`)
	for _, at := range []string{"/insights", "/insights/list?of=requests"} {
		for _, g := range []*guest{mira, omar, gus} {
			g.get(at).want(t, http.StatusForbidden, "this is for auditors and administrators")
		}
	}
	if p := mira.get("/").want(t, http.StatusOK); regexp.MustCompile(`href="/insights"`).MatchString(p.text) {
		t.Error("the rail has a page that is not for her")
	}
}

// TestInsightsOfNothing says so, and keeps what it read for a minute.
func TestInsightsOfNothing(t *testing.T) {
	w, admin := openHouse(t)
	w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	mira, root := w.guest("mira"), w.guest("root")
	root.get("/insights").want(t, http.StatusOK, "Nobody has asked for anything yet", "Nothing had to be taken away", "Nobody can approve")
	form := mira.askForm(resourceOf, "check order 4711")
	form.Set("act", "send")
	mira.post("/request", form).want(t, http.StatusSeeOther)
	root.get("/insights").want(t, http.StatusOK, "Nobody has asked for anything yet")
}
