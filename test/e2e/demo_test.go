//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemo goes by what the demo prints, and by nothing else: to its address, with its code,
// to access that works and that is read back as gone, within a minute.
func TestDemo(t *testing.T) {
	if _, err := os.Stat("/usr/bin/chromium"); err != nil {
		t.Fatal("this takes a browser: run make setup")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	demo := filepath.Join(t.TempDir(), "demo")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", demo, "stint/test/demo").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, demo, "-bin", "../../bin", "-store", set.Store, "-console")
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	started := time.Now()
	said := make(chan string)
	go func() {
		defer close(said)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			said <- lines.Text()
		}
	}()
	defer func() {
		must(t, cmd.Process.Signal(syscall.SIGTERM))
		for range said { // until it ends
			continue
		}
		_ = cmd.Wait() // interrupted, which it says
	}()
	address, code := regexp.MustCompile(`http://localhost:\d+/enroll`), regexp.MustCompile(`^\s*(mira|omar), who \w+\s+(stint-enroll-\S+)`)
	home, codes := "", map[string]string{}
	for line := range said {
		if m := address.FindString(line); m != "" {
			home = strings.TrimSuffix(m, "/enroll")
		}
		if m := code.FindStringSubmatch(line); m != nil {
			codes[m[1]] = m[2]
		}
		if len(codes) == 2 {
			break
		}
	}
	if home == "" || len(codes) != 2 {
		t.Fatalf("the demo says the address %q and %d codes", home, len(codes))
	}
	go func() {
		for range said { // the rest is for terminals
			continue
		}
	}()
	t.Logf("the demo was ready after %s", time.Since(started).Round(100*time.Millisecond))

	at := readers(t, home, "mira", "omar")
	mira, omar := at["mira"], at["omar"]
	began := time.Now()
	mira.open("/enroll")
	mira.fill("code", codes["mira"])
	mira.press("Continue")
	mira.see("You have none yet")
	mira.follows("/request")
	mira.see("Open to you")
	mira.follows("/request?resource=orders-db")
	mira.see("Say a little more")
	mira.types("reason", "why is order 5 stuck")
	mira.types("for", "5m")
	mira.see("You get this at once")
	mira.press("Get access now")
	mira.see("mira asks for reader")
	mira.follows("/")
	mira.see("stint db orders-db")
	mira.press("End now")
	mira.see("read back as gone")
	took := time.Since(began)
	t.Logf("from the address to access that came and went: %s", took.Round(100*time.Millisecond))
	if took > time.Minute {
		t.Errorf("it took %s", took)
	}

	// And the other way, with the second person.
	mira.open("/request?resource=orders-db&role=reader&for=30m")
	mira.types("reason", "why is order 10 stuck")
	mira.see("One person has to approve")
	mira.press("Ask for approval")
	mira.see("mira asks for reader")
	omar.enters(codes["omar"])
	omar.open("/requests")
	omar.see("why is order 10 stuck")
	omar.run(`document.querySelector("#inbox a").click()`) // one tap
	omar.see("Your decision")
	omar.press("Approve") // and the other
	omar.see("Approved")
	mira.open("/")
	mira.see("stint db orders-db")
}

// follows follows a link of the page.
func (r *reader) follows(to string) {
	r.t.Helper()
	r.until("a link to "+to, `(() => { for (const a of document.querySelectorAll("a[href]:not([data-open])")) if (a.getAttribute("href") === `+quoted(to)+` || a.getAttribute("href").startsWith(`+quoted(to+"&")+`)) { a.click(); return "yes" } return "no" })()`)
}
