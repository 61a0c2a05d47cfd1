//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

// screen is the text in the frame of a session's page.
const screen = `(document.getElementById("screen")?.contentDocument?.body?.innerText ?? "")`

// smuggled is what a program writes that would like to be more than text, on a terminal and on a page.
const smuggled = `printf '\033]0;owned\007\033[31mred\033[0m \033]8;;http://evil.example/\007<img src=x onerror=alert(1)><script>top.seen.push(1)</script>\r\n'`

// carries enrols a host and a gateway, and lets persons through. Whoever is in the group
// reviewers sees what is recorded.
func carries(t *testing.T, ctx context.Context, s *stage.Stage) {
	t.Helper()
	address, listen, status := freeAddress(t), freeAddress(t), freeAddress(t)
	must(t, s.Documents(ctx, documents+"\n---\n"+strings.TrimSpace(strings.ReplaceAll(hostDocuments, "ADDRESS", address))+strings.TrimRight(gatewayRole, "\n")+
		"\n---\nkind: Policy\nname: session-review\neffect: watch\nsubjects: [group:reviewers]\nroles: [recorded]\n"))
	m := newMachine(t)
	m.serve(address)
	var code api.HostEnrolment
	must(t, s.As("root").JSON(ctx, &code, "admin", "host", "enroll", "web1"))
	m.run(code.Code.Reveal(), "stint-agent", "enroll", "--server", s.URL, "--code-file", "-")
	m.start()
	t.Cleanup(m.kill)
	state := filepath.Join(t.TempDir(), "gateway")
	var invite api.GatewayEnrolment
	must(t, s.As("root").JSON(ctx, &invite, "admin", "gateway", "enroll", "edge", "--address", listen))
	enroll := exec.CommandContext(ctx, "../../bin/stint-gateway", "enroll", "--state", state, "--server", s.URL, "--code-file", "-")
	enroll.Stdin = strings.NewReader(invite.Code.Reveal())
	if out, err := enroll.CombinedOutput(); err != nil {
		t.Fatalf("enroll: %v %s", err, out)
	}
	said, _ := runGateway(t, state, listen, status)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the gateway said:\n" + said.String())
		}
	})
	must(t, eventually(ctx, func() error {
		out, err := exec.CommandContext(ctx, "../../bin/stint-gateway", "status", "--state", state, "--status", status).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "yes, ready") {
			return errors.New(string(out) + said.String())
		}
		return nil
	}))
}

// text holds that what a session wrote is text on its page, and nothing more.
func (r *reader) text(name string) {
	r.t.Helper()
	r.until(name+": as text", screen+`.includes("red <img src=x onerror=alert(1)><script>top.seen.push(1)</script>") ? "yes" : "no"`)
	if got := r.js(`String(document.getElementById("screen").contentDocument.querySelectorAll("img, script, a, form, iframe").length) + document.title`); !strings.HasPrefix(got, "0") || strings.Contains(got, "owned") {
		r.t.Errorf("%s: what was written is more than text: %s", name, got)
	}
	r.unbroken(name)
}

// TestConsoleReplay goes with a session from its first line to its last: watched live by whom
// a policy names, paused, ended, and replayed with the commands beside it. Its owner sees that it is there, and
// nothing of what is done in it.
func TestConsoleReplay(t *testing.T) {
	ctx, s := consoleStage(t)
	carries(t, ctx, s)
	must(t, s.Enrol(ctx, "nils", "--group", "platform"))
	must(t, s.Enrol(ctx, "rosa", "--group", "reviewers"))
	must(t, s.Enrol(ctx, "omar", "--group", "dba"))
	at := readers(t, s.URL, "rosa", "omar")
	rosa, omar := at["rosa"], at["omar"]
	for name, r := range at {
		r.watched()
		r.sized(1440, 900)
		r.enters(codeOf(t, s, "admin", "user", "enroll", name))
	}

	// nils asks, and has a session in which what he sends is shown.
	var out lockedText
	ssh := s.As("nils").Command(ctx, "ssh", "web1", "--as", "recorded", "--for", "10m", "--why", "look at the disk", "--", smuggled+"; echo first nonce; exec cat")
	ssh.Stdout, ssh.Stderr, ssh.WaitDelay = &out, &out, 3*time.Second
	types, err := ssh.StdinPipe() // of the system: Wait waits for nobody who reads from another
	must(t, err)
	must(t, ssh.Start())
	done := make(chan error, 1)
	go func() { done <- ssh.Wait() }()
	must(t, eventually(ctx, func() error {
		if !strings.Contains(out.String(), "first nonce") {
			return errors.New("it is not open: " + out.String())
		}
		return nil
	}))
	say := func(text string) {
		t.Helper()
		_, err := io.WriteString(types, text+"\n")
		must(t, err)
	}

	// Live.
	rosa.open("/sessions")
	rosa.see("nils on web1")
	rosa.until("a recording to watch", `[...document.querySelectorAll("#recordings a.btn")].some((a) => a.innerText === "Watch") ? "yes" : "no"`)
	rosa.shoot("recordings-live")
	rosa.js(`[...document.querySelectorAll("#recordings a.btn")].find((a) => a.innerText === "Watch").click()`)
	rosa.until("what was shown before", screen+`.includes("first nonce") ? "yes" : "no"`)
	say("second <b>nonce</b>")
	rosa.until("what comes, at the beginning of its line", screen+`.split("\n").some((l) => l.startsWith("second <b>nonce</b>")) ? "yes" : "no"`)
	rosa.text("watching")
	rosa.axe("watching")
	rosa.shoot("watching")
	rosa.unbroken("watching")
	id := rosa.js(`location.pathname.split("/").pop()`)
	omar.open("/sessions/" + id)
	omar.see("The recording is not yours to see.")
	if text := omar.js(`document.documentElement.outerHTML`); strings.Contains(text, "nonce</b>") || strings.Contains(text, "first nonce") {
		t.Error("its owner sees what is done in it")
	}
	omar.axe("a session of theirs")

	// Paused: nothing passes until it goes on.
	rosa.press("Pause")
	rosa.see("paused")
	say("third nonce")
	rosa.press("Let it go on")
	must(t, eventually(ctx, func() error {
		if !strings.Contains(out.String(), "third nonce") {
			return errors.New("it does not go on: " + out.String())
		}
		return nil
	}))
	rosa.until("what came after the pause", screen+`.includes("third nonce") ? "yes" : "no"`)

	// Its owner ends it; the page that watches becomes the replay by itself.
	omar.open("/sessions/" + id + "?end=1")
	omar.see("End this session?")
	omar.fill("why", "wrong host")
	omar.press("End the session")
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatal("it goes on: " + out.String())
	}
	if !strings.Contains(out.String(), "wrong host") {
		t.Errorf("nils is told: %q", out.String())
	}
	rosa.see("What was run")
	must(t, eventually(ctx, func() error {
		rosa.open("/sessions/" + id)
		if text := rosa.js("document.body.innerText"); !strings.Contains(text, "closed: killed") || !strings.Contains(text, "echo first nonce; exec cat") {
			return errors.New(text)
		}
		return nil
	}))
	rosa.shoot("replay")
	rosa.axe("replay")
	rosa.sized(1440, 900)

	// By keys and by the commands beside it.
	rosa.open("/sessions/" + id + "?at=0")
	rosa.until("the player", `document.getElementById("play")?.hidden === false ? "yes" : "no"`)
	rosa.until("nothing yet", screen+`.includes("Nothing was shown yet") ? "yes" : "no"`)
	rosa.js(`document.querySelector("#seek").value = document.querySelector("#seek").max; document.querySelector("#seek").dispatchEvent(new Event("input")); ""`)
	rosa.until("the end", screen+`.includes("third nonce") ? "yes" : "no"`)
	rosa.text("replay")
	rosa.js(`document.querySelector("[data-at]").click()`)
	rosa.until("its first command", screen+`.includes("third nonce") ? "no" : "yes"`)
	rosa.js(`document.getElementById("speed").value = "16"; document.activeElement?.blur(); ""`)
	rosa.keys(" ")
	rosa.until("played to its end", screen+`.includes("third nonce") ? "yes" : "no"`)
	rosa.fill("q", "second")
	rosa.press("Find")
	rosa.until("what was found", `[...document.querySelectorAll(".replay-index code")].some((e) => e.innerText.includes("second <b>nonce</b>")) ? "yes" : "no"`)
	rosa.unbroken("replay")

	if r := s.As("rosa").Run(ctx, "session", "verify", id); r.Code != 0 || !strings.Contains(r.Out, "holds: ") {
		t.Errorf("verified: %d %s %s", r.Code, r.Out, r.Err)
	}
	if r := s.As("omar").Run(ctx, "session", "verify", id); r.Code == 0 {
		t.Errorf("verified by its owner: %s", r.Out)
	}
	if err := eventually(ctx, func() error { // records get their numbers a moment later
		log := s.As("root").Run(ctx, "audit", "search", "--type", "recording.opened", "-o", "json")
		for _, what := range []string{`"watch"`, `"replay"`, `"search"`, `"verify"`} {
			if !strings.Contains(log.Out, what) {
				return fmt.Errorf("the log does not say that somebody opened it to %s: %s", what, log.Out)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
