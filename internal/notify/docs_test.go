package notify

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stint/internal/access"
	"stint/internal/audit"
)

var update = flag.Bool("update", false, "write what the pages show anew")

// shown are the messages as the pages under docs/messages show them.
func shown(t *testing.T) map[string]string {
	t.Helper()
	site := Site{URL: "https://stint.example.com", Requests: "https://stint.example.com/r/", Installation: "inst-1"} // as stintd makes it with a public_url
	asked := sample(1)
	chat := OfRequest(site, asked, nil)
	yes := asked
	approved(&yes)
	active := OfRequest(site, yes, grantOf(yes))
	ended := OfRequest(site, yes, over(grantOf(yes)))
	no := asked
	denied(&no)
	own := func(r access.Request, g *access.Grant) string {
		m, ok := OfOwn(site, r, g)
		if !ok {
			t.Fatal("who asked is told nothing")
		}
		return strings.TrimSuffix(plain(m), "\n")
	}
	pretty := func(v any) string {
		b, err := encode(v)
		if err != nil {
			t.Fatal(err)
		}
		var out any
		if err := json.Unmarshal(b, &out); err != nil {
			t.Fatal(err)
		}
		var w strings.Builder
		e := json.NewEncoder(&w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(out); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(w.String(), "\n")
	}
	mail := func(m Message, nth int) string {
		b, err := letter(site, "ops-mail", m, "stint@example.com", []string{"dba@example.com"}, nth)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(strings.ReplaceAll(string(b), "\r\n", "\n"))
	}
	trouble := access.Event{Type: "removal.trouble", At: began, Entity: "note_1", Version: 1, Actor: access.System,
		Facts: map[string]string{"entitlement": "ent_00000000000000000000000001", "resource": "orders-db", "account": "stint_mira_0001", "said": "connection refused"}}
	end := access.Event{Type: access.EntitlementGone, At: began.Add(time.Hour), Entity: "ent_00000000000000000000000001", Version: 9, Actor: access.System, Facts: map[string]string{"resource": "orders-db"}}
	record, err := audit.Encode(audit.Record{ID: "rec_00000000000000000000000001", Event: access.Event{Type: access.RequestApproved, At: yes.DecidedAt, Entity: string(yes.ID), Version: 2,
		Actor: access.Actor{Principal: "user:omar", Person: "omar"}, Facts: map[string]string{"approver": "user:omar", "note": "go ahead", "principal": "user:mira", "person": "mira"}}})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"plain-asked":     strings.TrimSuffix(plain(chat), "\n"),
		"plain-active":    strings.TrimSuffix(plain(active), "\n"),
		"plain-ended":     strings.TrimSuffix(plain(ended), "\n"),
		"plain-denied":    strings.TrimSuffix(plain(OfRequest(site, no, nil)), "\n"),
		"plain-trouble":   strings.TrimSuffix(plain(OfTrouble(trouble)), "\n"),
		"own-ready":       own(yes, grantOf(yes)),
		"own-soon":        strings.TrimSuffix(plain(OfSoon(site, yes, grantOf(yes))), "\n"),
		"mail-asked":      mail(chat, 0),
		"mail-denied":     mail(OfRequest(site, no, nil), 1),
		"slack-asked":     pretty(slackBody(chat, true)),
		"slack-ended":     pretty(slackBody(ended, true)),
		"teams-asked":     pretty(teamsBody(chat)),
		"page-trigger":    pretty(pageBody(site, OfTrouble(trouble), "ROUTING_KEY")),
		"page-resolve":    pretty(pageBody(site, OfTrouble(end), "ROUTING_KEY")),
		"webhook-request": pretty(event{access.RequestApproved, yes.DecidedAt.Format(access.Stamp), eventData{"inst-1", 41, record}}),
	}
}

var shownBlock = regexp.MustCompile("(?s)<!-- shown: ([a-z-]+) -->\n```[a-z]*\n(.*?)\n```")

// TestPagesShowMessages: the pages show each message as it is, and all of them.
func TestPagesShowMessages(t *testing.T) {
	want := shown(t)
	pages, err := filepath.Glob("../../docs/messages/*.md")
	if err != nil || len(pages) < 5 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	seen := map[string]bool{}
	for _, p := range pages {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		text := shownBlock.ReplaceAllStringFunc(string(b), func(block string) string {
			m := shownBlock.FindStringSubmatch(block)
			seen[m[1]] = true
			text, ok := want[m[1]]
			if !ok {
				t.Errorf("%s shows %s, which is no message", p, m[1])
				return block
			}
			if d := cmp.Diff(m[2], text); d != "" && !*update {
				t.Errorf("%s: %s is not what is sent (-page +sent):\n%s", p, m[1], d)
			}
			return strings.Replace(block, "\n"+m[2]+"\n```", "\n"+text+"\n```", 1)
		})
		if *update {
			if err := os.WriteFile(p, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name := range want {
		if !seen[name] {
			t.Errorf("no page shows %s", name)
		}
	}
}

// TestPagesNameOptions: each type has a page, which names every option.
func TestPagesNameOptions(t *testing.T) {
	for _, s := range Schemas() {
		name := map[string]string{Paging: "paging"}[s.Type]
		if name == "" {
			name = s.Type
		}
		b, err := os.ReadFile("../../docs/messages/" + name + ".md")
		if err != nil {
			t.Error(err)
			continue
		}
		all, err := os.ReadFile("../../docs/messages/README.md")
		if err != nil {
			t.Fatal(err)
		}
		for o := range s.Integration {
			if !strings.Contains(string(b)+string(all), "`"+o+"`") {
				t.Errorf("the page of %s does not name the option %s", s.Type, o)
			}
		}
		if !strings.Contains(string(b), "type: "+s.Type+"\n") {
			t.Errorf("the page of %s has no example", s.Type)
		}
	}
}
