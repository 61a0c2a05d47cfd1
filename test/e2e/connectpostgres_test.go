//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stint/internal/pgtest"
)

// TestConnectPostgreSQL is a newcomer who does what docs/connect/postgresql.md says, line by
// line, but for making the cluster and removing it. The cluster here is a test's: its certificate
// stands where the page has Debian's snakeoil one.
func TestConnectPostgreSQL(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	db, err := pgtest.Launch(ctx, pgtest.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	_, port, err := net.SplitHostPort(db.Addr())
	must(t, err)
	server := freeAddress(t)
	page := sections(t, "../../docs/connect/postgresql.md", "runuser -u postgres -- psql", "PGPASSFILE="+os.DevNull+" psql -d '"+db.SuperuserDSN("postgres")+"'", "-p 5440", "", "127.0.0.1:5440", net.JoinHostPort("127.0.0.1", port),
		"/etc/ssl/certs/ssl-cert-snakeoil.pem", db.CAFile,
		"stintd serve 2>", "stintd serve --listen "+server+" 2>")
	bin, err := filepath.Abs("../../bin")
	must(t, err)
	dir := t.TempDir()
	// With -m jobs are numbered, and each has a process group of its own; the session is one. It is not bound to
	// ctx, which is over before what is cleaned up: its end, and that of stdin, is the end of its jobs.
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
	seen := map[string]string{}
	ports := map[string]string{} // that stand here for those of the page, found just before they are needed
	n := 0
	for _, s := range page[1:] { // the part before the first title is what the test has done
		number, _, _ := strings.Cut(s.title, ".")
		for i, b := range s.blocks {
			if number == "1" && i == 0 || number == "10" && i == 1 {
				continue // the cluster is there, and goes with the test
			}
			swap := []string{"127.0.0.1:7420", server}
			for _, p := range []string{"127.0.0.1:2022", "127.0.0.1:6432", "127.0.0.1:9107", "15432"} {
				if strings.Contains(b, p) && ports[p] == "" {
					ports[p] = freeAddress(t)
					if p == "15432" {
						_, ports[p], _ = net.SplitHostPort(ports[p]) // freeAddress gives both
					}
				}
				swap = append(swap, p, ports[p])
			}
			b = strings.NewReplacer(swap...).Replace(b)
			n++
			mark := filepath.Join(dir, "done-"+string(rune('a'+n)))
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
			seen[number] += string(all[len(was):])
			if strings.TrimSpace(string(code)) != "0" {
				t.Fatalf("%s: ended with %s\n%s\n%s", s.title, code, b, all[len(was):])
			}
		}
	}
	must(t, eventually(ctx, func() error { // the last step ends all that the page began
		if left := inSession(shell.Process.Pid); len(left) > 1 {
			return fmt.Errorf("the page leaves behind: %v", left)
		}
		return nil
	}))
	for number, want := range map[string][]string{
		"4": {"enrolled as edge", "yes, ready"}, "6": {"(8 rows)", "refused"}, "7": {"postgresql://orders-db@127.0.0.1:" + ports["15432"] + "/orders", "none is needed", "\n39\n", "\n30\n"},
		"8": {"state = 'stuck'", "SELECT 8"}, "9": {"the log is whole"},
	} {
		for _, text := range want {
			if !strings.Contains(seen[number], text) {
				t.Errorf("step %s does not say %q:\n%s", number, text, seen[number])
			}
		}
	}
	// Which of the two psql shows is a race of the server with the gateway.
	if !strings.Contains(seen["9"], "the access was given back") && !strings.Contains(seen["9"], "canceling statement") {
		t.Errorf("psql is not told of the end:\n%s", seen["9"])
	}
	if strings.Contains(seen["9"], "stint_mira") {
		t.Errorf("the account is there after the end:\n%s", seen["9"])
	}
}

// inSession gives the processes of a session that have not ended, and what they are.
func inSession(leader int) map[int]string {
	left := map[int]string{}
	all, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is one
	for _, name := range all {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state parent group session, where the name can be anything
		before, after, _ := strings.Cut(string(text), " (")
		i := strings.LastIndex(after, ") ")
		f := strings.Fields(after[i+1:])
		pid, err := strconv.Atoi(before)
		if err == nil && i >= 0 && len(f) > 3 && f[0] != "Z" && f[3] == strconv.Itoa(leader) {
			left[pid] = after[:i]
		}
	}
	return left
}

// endSession waits for the end of a session's processes, and then ends those that are left.
func endSession(leader int) {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end.Add(5 * time.Second)); time.Sleep(50 * time.Millisecond) {
		left := inSession(leader)
		if len(left) == 0 {
			return
		}
		for pid := range left {
			if time.Now().After(end) {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
			}
		}
	}
}
