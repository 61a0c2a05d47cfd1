//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"stint/internal/api"
	"stint/test/stage"
)

const passkeyPolicy = `
kind: Policy
name: orders-by-passkey
description: Auditing the orders is approved with a passkey
subjects: [group:auditing]
roles: [reader]
require:
  approvals: [{from: [group:dba], count: 1, level: passkey}]
  maxDuration: 1h
`

// seat is a person at a machine: a tab of a real browser with an authenticator of its
// own, and the stint command.
type seat struct {
	*stage.Person
	tab context.Context
}

// seats starts a browser, with a tab for each of the people.
func seats(t *testing.T, names ...string) map[string]*seat {
	t.Helper()
	return seatsOf(t, set, names...)
}

// seatsOf does so for the people of another installation.
func seatsOf(t *testing.T, set *stage.Stage, names ...string) map[string]*seat {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-quic", true))
	alloc, end := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(end)
	browser, end := chromedp.NewContext(alloc)
	t.Cleanup(func() { chromedp.Cancel(browser); end() })
	must(t, chromedp.Do(browser, chromedp.Navigate("about:blank")))
	all := map[string]*seat{}
	for _, name := range names {
		tab, end := chromedp.NewContext(browser)
		t.Cleanup(end)
		must(t, chromedp.Do(tab, chromedp.Navigate("about:blank")))
		_, err := chromedp.Run(tab, chromedp.Action[string](func(ctx context.Context, at *chromedp.Target) (string, error) {
			if _, err := cdp.Call(ctx, at, webauthn.Enable, webauthn.EnableParams{}); err != nil {
				return "", err
			}
			made, err := cdp.Call(ctx, at, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
				Protocol: "ctap2", Transport: "internal", HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true}})
			if err != nil {
				return "", err
			}
			return string(made.AuthenticatorID), nil
		}))
		must(t, err)
		all[name] = &seat{set.As(name), tab}
	}
	return all
}

// signs runs a command that shows a page for the passkey, and presses its button as
// often as it can be pressed. It returns what the page showed.
func (s *seat) signs(t *testing.T, args ...string) (r stage.Result, page string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := s.Command(ctx, append(args, "--no-browser", "-o", "json")...)
	var out bytes.Buffer
	cmd.Stdout = &out
	errs, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	var mu sync.Mutex
	var said strings.Builder
	address, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(errs); lines.Scan(); {
			mu.Lock()
			said.WriteString(lines.Text() + "\n")
			mu.Unlock()
			if at, ok := strings.CutPrefix(lines.Text(), "use your passkey at "); ok {
				address <- at
			}
		}
	}()
	select {
	case at := <-address:
		must(t, chromedp.Do(s.tab, chromedp.Navigate(at)))
		page, err = chromedp.Run(s.tab, chromedp.Evaluate[string](`document.querySelector("main").innerText`))
		must(t, err)
		for over := false; !over; {
			select {
			case <-ended:
				over = true
			case <-time.After(100 * time.Millisecond):
				_, _ = chromedp.Run(s.tab, chromedp.Evaluate[bool](`(() => { const b = document.getElementById("go"); if (!b || b.disabled || b.hidden) return false; b.click(); return true })()`))
			}
		}
	case <-ended:
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return stage.Result{Args: args, Out: out.String(), Err: said.String(), Code: cmd.ProcessState.ExitCode()}, page
}

func (s *seat) passkey(t *testing.T, args ...string) (p api.Passkey) {
	t.Helper()
	r, _ := s.signs(t, append([]string{"passkey"}, args...)...)
	must(t, r.Failed())
	must(t, json.Unmarshal([]byte(r.Out), &p))
	return p
}

// TestPasskeys approves with a passkey of a real browser, and verifies that from the
// exported log alone.
func TestPasskeys(t *testing.T) {
	if _, err := os.Stat("/usr/bin/chromium"); err != nil {
		t.Fatal("this takes a browser: run make setup")
	}
	ctx := t.Context()
	at := seats(t, "root", "omar")
	root, omar := at["root"], at["omar"]
	must(t, root.Run(ctx, "apply", "-f", file(t, "passkeys.yaml", passkeyPolicy)).Failed())
	must(t, set.Enrol(ctx, "vera", "--group", "auditing"))
	vera := set.As("vera")

	// Nobody has a passkey, and nobody without a right to it begins.
	if r, _ := omar.signs(t, "passkey", "add", "--name", "laptop"); r.Code != 6 || !strings.Contains(r.Err, "no-first-passkey") {
		t.Errorf("the first of all by a member: exit %d\n%s", r.Code, r.Err)
	}
	first := root.passkey(t, "add", "--name", "first")
	if first.Anchor != "genesis" || first.State != "active" || !first.Client {
		t.Fatalf("the first passkey: %+v", first)
	}
	theirs := omar.passkey(t, "add", "--name", "laptop")
	if theirs.State != "proposed" {
		t.Fatalf("omar's: %+v", theirs)
	}
	if r := root.Run(ctx, "passkey", "vouch", theirs.ID, "--digest", first.Digest); r.Code != 3 || !strings.Contains(r.Err, "digest-differs") {
		t.Errorf("another digest: exit %d\n%s", r.Code, r.Err)
	}
	if p := root.passkey(t, "vouch", theirs.ID, "--digest", theirs.Digest); p.State != "active" || p.Anchor != "admin" {
		t.Errorf("vouched for: %+v", p)
	}

	var r api.Request
	must(t, vera.JSON(ctx, &r, "request", "orders-db", "--as", "reader", "--for", "30m", "--why", "yearly audit of the orders", "--no-wait"))
	defer func() { // others look at the same target
		must(t, set.As("root").Run(ctx, "revoke", "--user", "vera", "--why", "done").Failed())
	}()
	if got := omar.Run(ctx, "approve", r.ID, "--yes"); got.Code != 10 {
		t.Errorf("without a browser: exit %d\n%s", got.Code, got.Err)
	}
	got, page := omar.signs(t, "approve", r.ID, "--for", "10m", "--note", "the orders only", "--yes")
	must(t, got.Failed())
	for _, want := range []string{"user:omar approves for user:vera", "reader on orders-db", "10m", "yearly audit of the orders", "the orders only", "sha256:"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q:\n%s", want, page)
		}
	}
	must(t, json.Unmarshal([]byte(got.Out), &r))
	if r.State != api.RequestApproved || r.Votes[0].Level != "client" || r.Votes[0].Passkey != theirs.ID {
		t.Errorf("approved: %+v", r)
	}

	// The log is numbered within a second; then everything is verified, offline.
	log := filepath.Join(t.TempDir(), "log.jsonl")
	var text []byte
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		must(t, root.Run(ctx, "audit", "export", "--out", log).Failed())
		var err error
		text, err = os.ReadFile(log)
		must(t, err)
		if bytes.Contains(text, []byte(`"assertion":"{`)) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the vote is not in the log")
		}
	}
	var v struct {
		OK       bool `json:"ok"`
		Passkeys struct {
			Genesis                string
			Pinned                 bool
			Enrolled, Alone, Votes int
		}
	}
	must(t, root.JSON(ctx, &v, "audit", "verify", "--export", log, "--genesis", first.Digest))
	if !v.OK || v.Passkeys.Genesis != first.Digest || !v.Passkeys.Pinned || v.Passkeys.Enrolled != 2 || v.Passkeys.Alone != 1 || v.Passkeys.Votes != 1 {
		t.Errorf("verified: %+v", v)
	}
	if got := root.Run(ctx, "audit", "verify", "--export", log, "--genesis", theirs.Digest); got.Code != 1 || !strings.Contains(got.Err, "passkey-chain-broken") {
		t.Errorf("with another first passkey: exit %d\n%s", got.Code, got.Err)
	}
	for what, change := range map[string][2]string{
		"the request": {"yearly audit of the orders", "yearly audit of the people"}, "the vote": {"the orders only", "the orders also"}, "the duration": {"duration_ms\\\":600000", "duration_ms\\\":900000"},
	} {
		bent := bytes.Replace(text, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(bent, text) {
			t.Fatalf("%s: there is nothing to change", what)
		}
		must(t, os.WriteFile(log+".bent", bent, 0o600))
		if got := root.Run(ctx, "audit", "verify", "--export", log+".bent"); got.Code != 1 || !strings.Contains(got.Err, "record ") {
			t.Errorf("%s was changed in the log: exit %d\n%s", what, got.Code, got.Err)
		}
	}
}
