//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestConnectWeb is a newcomer who does what docs/connect/web.md says, line by line, but for making the
// application, which is a test's, and for looking at it in a browser.
func TestConnectWeb(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	const token = "the-token-of-the-wiki"
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "seven pages\n")
	}))
	t.Cleanup(app.Close)
	server := freeAddress(t)
	page := sections(t, "../../docs/connect/web.md", "127.0.0.1:3000", app.Listener.Addr().String(), "stintd serve 2>", "stintd serve --listen "+server+" 2>")
	bin, err := filepath.Abs("../../bin")
	must(t, err)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "wiki.token"), []byte(token), 0o600))
	// As in TestConnectPostgreSQL: with -m each job has a process group, and the session is one.
	shell := exec.Command("bash", "--noprofile", "--norc", "-m")
	shell.Dir = dir
	shell.Env = []string{"PATH=" + bin + ":/usr/sbin:/usr/bin:/sbin:/bin", "STINT_SERVER=http://" + server, "HOME=" + dir, "TMPDIR=/tmp", "LC_ALL=C", "NO_COLOR=1", "STINT_NO_INPUT=1"}
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := shell.StdinPipe()
	must(t, err)
	log, err := os.Create(filepath.Join(dir, "shell.log"))
	must(t, err)
	shell.Stdout, shell.Stderr = log, log
	must(t, shell.Start())
	t.Cleanup(func() {
		_ = in.Close()
		ended := make(chan struct{})
		go func() { defer close(ended); _ = shell.Wait() }()
		endSession(shell.Process.Pid)
		<-ended
		if t.Failed() {
			for _, name := range []string{"stintd.log", "gateway.log", "proxy.log"} {
				text, _ := os.ReadFile(filepath.Join(dir, name))
				t.Logf("%s:\n%s", name, text)
			}
		}
	})
	_, err = in.Write([]byte("trap 'kill $(jobs -p) 2>/dev/null' EXIT\n"))
	must(t, err)
	seen, ports := map[string]string{}, map[string]string{} // ports that stand here for those of the page, found just before they are needed
	n := 0
	for _, s := range page[1:] {
		number, _, _ := strings.Cut(s.title, ".")
		for _, b := range s.blocks {
			if number == "1" {
				continue // the application is there
			}
			swap := []string{"127.0.0.1:7420", server}
			for _, p := range []string{"127.0.0.1:2022", "127.0.0.1:8443", "127.0.0.1:9107", "18080"} {
				if strings.Contains(b, p) && ports[p] == "" {
					if ports[p] = freeAddress(t); p == "18080" {
						_, ports[p], _ = net.SplitHostPort(ports[p]) // freeAddress gives both
					}
				}
				swap = append(swap, p, ports[p])
			}
			b = strings.NewReplacer(swap...).Replace(b)
			run := func() (string, string) {
				n++
				mark := filepath.Join(dir, fmt.Sprintf("done-%02d", n))
				was, err := os.ReadFile(log.Name())
				must(t, err)
				must(t, os.WriteFile(mark+".sh", []byte(b), 0o600))
				_, err = in.Write([]byte(". " + mark + ".sh < /dev/null; echo $? > " + mark + ".new; mv " + mark + ".new " + mark + "\n"))
				must(t, err)
				must(t, eventually(ctx, func() error { _, err := os.Stat(mark); return err }))
				all, err := os.ReadFile(log.Name())
				must(t, err)
				code, err := os.ReadFile(mark)
				must(t, err)
				return strings.TrimSpace(string(code)), string(all[len(was):])
			}
			code, text := run()
			if number == "8" { // the gateway brings a recording within a second or so, and nobody is told when
				must(t, eventually(ctx, func() error {
					if code != "0" || !strings.Contains(text, "GET /admin/users") {
						code, text = run()
						return fmt.Errorf("not there yet: %s %s", code, text)
					}
					return nil
				}))
			}
			seen[number] += text
			if code != "0" {
				t.Fatalf("%s: ended with %s\n%s\n%s", s.title, code, b, text)
			}
		}
	}
	must(t, eventually(ctx, func() error { // the last step ends all that the page began
		if left := inSession(shell.Process.Pid); len(left) > 1 {
			return fmt.Errorf("the page leaves behind: %v", left)
		}
		return nil
	}))
	_, port, _ := net.SplitHostPort(ports["127.0.0.1:8443"])
	for number, want := range map[string][]string{
		"4": {"enrolled as edge", "yes, ready"}, "6": {"https://wiki.apps.localhost:" + port + "/"}, "7": {"http://127.0.0.1:" + ports["18080"] + "/", "none is needed", "seven pages", "the role does not allow"},
		"8": {"/pages?of=mira", "GET /admin/users"}, "9": {"the log is whole"},
	} {
		for _, text := range want {
			if !strings.Contains(seen[number], text) {
				t.Errorf("step %s does not say %q:\n%s", number, text, seen[number])
			}
		}
	}
	if strings.Contains(seen["9"], "seven pages") {
		t.Errorf("it is reached after the end:\n%s", seen["9"])
	}
	for number, text := range seen {
		if strings.Contains(text, token) {
			t.Errorf("step %s shows the login:\n%s", number, text)
		}
	}
}
