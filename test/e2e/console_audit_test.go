//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"stint/internal/api"
	"stint/test/stage"
)

// key presses a key as a keyboard does.
func (r *reader) key(name, code string, number int64, text string) {
	r.t.Helper()
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
		_, err := chromedp.Run(r.tab, chromedp.Action[string](func(ctx context.Context, at *chromedp.Target) (string, error) {
			p := input.DispatchKeyEventParams{Type: kind, Key: name, Code: code, WindowsVirtualKeyCode: number}
			if kind == input.DispatchKeyEventTypeKeyDown {
				p.Text = text
			}
			_, err := cdp.Call(ctx, at, input.DispatchKeyEvent, p)
			return "", err
		}))
		must(r.t, err)
	}
}

// TestConsoleAudit searches the log by the keyboard alone, follows a record to its proof, and
// takes along what the command line exports.
func TestConsoleAudit(t *testing.T) {
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
	must(t, s.Enrol(ctx, "mira", "--group", "platform"))
	must(t, s.As("mira").Run(ctx, "request", "orders-db", "--as", "reader", "--for", "10m", "--why", "=1+1 order <b>4711</b> hangs").Failed())
	var held []api.Request
	must(t, s.As("mira").JSON(ctx, &held, "status"))
	if len(held) != 1 {
		t.Fatalf("mira holds %+v", held)
	}
	must(t, s.As("mira").Run(ctx, "end", held[0].ID, "--wait").Failed())

	at := readers(t, s.URL, "root", "mira")
	root, mira := at["root"], at["mira"]
	root.watched()
	mira.watched()
	root.begins(codeOf(t, s, "admin", "user", "enroll", "root"))
	root.sized(1440, 900)
	root.open("/")
	root.key("g", "KeyG", 71, "g")
	root.key("u", "KeyU", 85, "u")
	root.see("verified to")
	root.see("Records by time")
	root.shoot("audit")
	root.axe("audit")
	root.unbroken("audit")

	// Searched by the keyboard alone.
	root.sized(1440, 900)
	root.open("/audit")
	root.tabTo("#f-type")
	for _, c := range "grant" {
		root.key(string(c), "", int64(c)-32, string(c))
	}
	root.key("Enter", "Enter", 13, "\r")
	root.see("stint audit search --newest --since 24h --type grant")
	root.see("mira has reader on orders-db")
	if root.js(`[...document.querySelectorAll("#records code")].every((e) => e.textContent.startsWith("grant.")) ? "yes" : "no"`) != "yes" {
		t.Error("a filter does not filter")
	}
	if chip := root.js(`document.querySelector(".chips").textContent`); !strings.Contains(chip, "What happened: grant") {
		t.Errorf("the chips are %q", chip)
	}
	root.shoot("audit-search")
	root.axe("audit-search")
	root.sized(1440, 900)
	root.key("j", "KeyJ", 74, "j")
	root.key("Enter", "Enter", 13, "\r")
	root.see("The signed checkpoint")
	root.see("is in the log of")
	root.shoot("audit-record")
	root.axe("audit-record")
	root.unbroken("audit-record")
	root.open("/audit?text=4711&outcome=denied")
	root.see("No record matches.")
	root.see("if you drop")
	root.shoot("audit-none")
	root.axe("audit-none")
	root.open("/audit?range=banana")
	root.see("that is not a time")
	root.open("/audit?text=4711")
	root.fill("name", "order-4711")
	root.press("Keep")
	root.see("order-4711")
	root.unbroken("audit-saved")

	// Exactly this search, against what the command line exports of the whole log.
	out := filepath.Join(t.TempDir(), "log.jsonl")
	must(t, s.As("root").Run(ctx, "audit", "export", "--out", out).Failed())
	whole := map[int64]string{}
	f, err := os.Open(out)
	must(t, err)
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<21)
	for lines.Scan() {
		var l struct {
			Seq    *int64          `json:"seq"`
			Record json.RawMessage `json:"record"`
		}
		if json.Unmarshal(lines.Bytes(), &l) == nil && l.Seq != nil && l.Record != nil {
			whole[*l.Seq] = string(l.Record)
		}
	}
	must(t, lines.Err())
	take := func(format string) string {
		root.run(`window.taken = ""; fetch("/audit/export?type=grant&range=24h&format=` + format + `").then((r) => r.text()).then((x) => { window.taken = x })`)
		root.until("the file", `window.taken ? "yes" : "no"`)
		return root.js(`window.taken`)
	}
	want := 0
	for _, r := range whole {
		if strings.Contains(r, `"type":"grant.`) {
			want++
		}
	}
	found := strings.Split(strings.TrimSpace(take("jsonl")), "\n")
	if len(found) != want || want == 0 {
		t.Errorf("%d records in the file, %d in the export", len(found), want)
	}
	for _, line := range found {
		var l struct {
			Seq    int64           `json:"seq"`
			Record json.RawMessage `json:"record"`
		}
		must(t, json.Unmarshal([]byte(line), &l))
		if whole[l.Seq] != string(l.Record) {
			t.Errorf("record %d is %s in the file and %s in the export", l.Seq, l.Record, whole[l.Seq])
		}
	}
	rows, err := csv.NewReader(strings.NewReader(take("csv"))).ReadAll()
	if err != nil || len(rows) != want+1 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows {
		for _, c := range row {
			if c != "" && strings.ContainsRune("=+-@", rune(c[0])) {
				t.Errorf("a formula: %q", c)
			}
		}
	}

	// Others find themselves.
	mira.sized(390, 844)
	mira.enters(codeOf(t, s, "admin", "user", "enroll", "mira"))
	mira.open("/audit")
	mira.see("Your records")
	mira.see("mira asked for reader on orders-db")
	mira.shoot("audit-own")
	mira.axe("audit-own")
	mira.unbroken("audit-own")
	if strings.Contains(mira.js(`document.querySelector("#records").textContent`), "service:orders") {
		t.Error("what is not hers is shown")
	}
}
