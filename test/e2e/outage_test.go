//go:build e2e

package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

// ward is a stage of its own, whose store or disk can be taken away.
type ward struct {
	*stage.Stage
	t      *testing.T
	oracle *stage.Oracle
}

func newWard(t *testing.T, opt stage.Options) *ward {
	t.Helper()
	opt.Bin = "../../bin"
	s, err := stage.Open(t.Context(), opt, "mira", "noor")
	must(t, err)
	w := &ward{Stage: s, t: t}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of stintd's log:\n" + s.LogTail(40))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"mira", "noor"} {
		must(t, s.Enrol(t.Context(), name, "--group", "platform"))
	}
	must(t, s.Enrol(t.Context(), "aud", "--auditor"))
	must(t, s.Credential(t.Context(), "orders-connector"))
	must(t, s.Documents(t.Context(), documents))
	w.oracle, err = s.Oracle()
	must(t, err)
	t.Cleanup(func() { _ = w.oracle.Close() })
	return w
}

// lend gives somebody a session by an account for so long.
func (w *ward) lend(who string, d time.Duration) (api.Request, *sql.Conn) {
	w.t.Helper()
	var r api.Request
	must(w.t, w.As(who).JSON(w.t.Context(), &r, w.ask(d)...))
	var c api.Credential
	must(w.t, w.As(who).JSON(w.t.Context(), &c, "credentials", r.ID))
	return r, open(w.t, c.URI.Reveal()+"&sslrootcert="+w.Target.CAFile)
}

func (w *ward) ask(d time.Duration) []string {
	return []string{"request", "orders-db", "--as", "reader", "--for", d.String(), "--why", "look at the stuck orders"}
}

// refused insists that somebody who asks now is told no, and what to do.
func (w *ward) refused(what string) {
	w.t.Helper()
	r := w.As("noor").Run(w.t.Context(), w.ask(time.Minute)...)
	if r.Code != 69 || !strings.Contains(r.Err, "stint: error:") {
		w.t.Errorf("%s: a new request: exit %d\n%s%s", what, r.Code, r.Out, r.Err)
	}
	w.t.Logf("%s: %s", what, strings.TrimSpace(r.Err))
}

// granted insists that somebody who asks is served again within 30 seconds. (L-07)
func (w *ward) granted() (after time.Duration) {
	w.t.Helper()
	begun := time.Now()
	for {
		r := w.As("noor").Run(w.t.Context(), append(w.ask(time.Minute), "--no-wait")...)
		if r.Code == 0 {
			return time.Since(begun)
		}
		if time.Since(begun) > 30*time.Second {
			w.t.Fatalf("nothing is granted 30 s later: exit %d\n%s", r.Code, r.Err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// lives and ends look at a session from outside.
func lives(t *testing.T, c *sql.Conn, what string) {
	t.Helper()
	var one int
	if err := c.QueryRowContext(t.Context(), "SELECT 1").Scan(&one); err != nil {
		t.Errorf("%s: the session was cut early: %v", what, err)
	}
}

// proof verifies the whole log and looks for record types in it.
func (w *ward) proof(types ...string) {
	w.t.Helper()
	must(w.t, w.As("aud").Run(w.t.Context(), "audit", "verify").Failed())
	for n := range 80 { // a record has its number within a moment
		out := filepath.Join(w.t.TempDir(), fmt.Sprint("log", n, ".jsonl"))
		must(w.t, w.As("aud").Run(w.t.Context(), "audit", "export", "--out", out).Failed())
		text := string(readFile(w.t, out))
		lacks := slices.DeleteFunc(slices.Clone(types), func(typ string) bool { return strings.Contains(text, typ) })
		if len(lacks) == 0 {
			return
		}
		if n == 79 {
			w.t.Errorf("the log lacks %v", lacks)
		}
		time.Sleep(250 * time.Millisecond)
	}
}

func (w *ward) until(d time.Duration, what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not %s within %s", what, d)
		}
	}
}

// ready gives the words of /readyz.
func (w *ward) ready() string {
	resp, err := http.Get(w.URL + "/readyz")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	var b strings.Builder
	_, _ = fmt.Fprint(&b, resp.StatusCode, " ")
	buf := make([]byte, 4096)
	n, _ := resp.Body.Read(buf)
	b.Write(buf[:n])
	return b.String()
}

func onlyRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("mounting a small disk takes root: run this as root, as make test is")
	}
}

// TestDiskFull: the store's disk fills up while people have access. Nothing new
// is granted; what ends is ended, what is revoked is revoked; and with room all
// goes on by itself, with everything in the log. (G-18, L-07)
func TestDiskFull(t *testing.T) {
	onlyRoot(t)
	w := newWard(t, stage.Options{Store: "sqlite", DataDisk: 32 << 20})
	mira, a := w.lend("mira", 6*time.Second)
	noor, b := w.lend("noor", time.Hour)
	release, err := stage.FillDisk(w.DataDir())
	must(t, err)
	// What is free inside the files is used up first: until then, all is well.
	w.until(60*time.Second, "refused", func() bool {
		return w.As("noor").Run(t.Context(), append(w.ask(time.Minute), "--no-wait")...).Code == 69
	})
	w.refused("disk full")
	if time.Now().Before(mira.Grant.ExpiresAt.Time) {
		lives(t, a, "before the end")
	}
	cut(t, a, time.Until(mira.Grant.ExpiresAt.Time)+20*time.Second)
	t.Logf("cut %s after the end", time.Since(mira.Grant.ExpiresAt.Time).Round(time.Millisecond))
	lives(t, b, "of another")
	r := w.As("root").Run(t.Context(), "revoke", "--grant", noor.Grant.ID, "--why", "the device was stolen")
	if r.Code != 0 {
		t.Errorf("a revocation: exit %d\n%s", r.Code, r.Err)
	}
	cut(t, b, 20*time.Second)
	t.Log(w.ready())
	must(t, w.oracle.Clean(t.Context(), 30*time.Second))
	must(t, release())
	t.Logf("granted again after %s", w.granted().Round(time.Millisecond))
	for who, id := range map[string]string{"mira": mira.ID, "noor": noor.ID} {
		must(t, w.As(who).Run(t.Context(), "wait", id, "--for", "ended", "--timeout", "60s").Failed())
	}
	w.until(60*time.Second, "merged", func() bool { return !strings.Contains(w.ready(), "journal") })
	w.proof("journal.removing", "journal.removed", "access.revoked")
}

// TestDatabaseAway: Stint's own database stands still, and then is stopped and
// started, while people have access on another server.
func TestDatabaseAway(t *testing.T) {
	w := newWard(t, stage.Options{Store: "postgres"})
	for _, way := range []struct {
		name       string
		away, back func() error
	}{
		{"stands still", w.Memory.Pause, w.Memory.Resume},
		{"is stopped", w.Memory.Stop, w.Memory.Restart},
	} {
		t.Run(way.name, func(t *testing.T) {
			w.t = t
			mira, a := w.lend("mira", 12*time.Second)
			_, b := w.lend("noor", time.Hour)
			time.Sleep(2 * time.Second) // it is known ahead
			must(t, way.away())
			back := true
			defer func() {
				if back {
					must(t, way.back())
				}
			}()
			lives(t, a, "before the end")
			lives(t, b, "before the revocation")
			over := make(chan time.Time, 1)
			go func() {
				var one int
				for a.QueryRowContext(context.Background(), "SELECT 1").Scan(&one) == nil {
					time.Sleep(10 * time.Millisecond)
				}
				over <- time.Now()
			}()
			if r := w.As("noor").Run(t.Context(), "revoke", "--user", "mira", "--why", "not mine to say"); r.Code != 69 {
				t.Errorf("a member revokes: exit %d\n%s", r.Code, r.Err)
			}
			asked := time.Now()
			must(t, w.As("root").Run(t.Context(), "revoke", "--user", "noor", "--why", "the device was stolen").Failed())
			cut(t, b, 20*time.Second)
			t.Logf("revoked in %s", time.Since(asked).Round(time.Millisecond))
			select {
			case at := <-over:
				late := at.Sub(mira.Grant.ExpiresAt.Time)
				t.Logf("cut %s after the end", late.Round(time.Millisecond))
				if late < 0 || late > 25*time.Second {
					t.Error("too early or too late")
				}
			case <-time.After(time.Until(mira.Grant.ExpiresAt.Time) + 40*time.Second):
				t.Error("the session lives on")
			}
			w.refused(way.name)
			must(t, w.oracle.Clean(t.Context(), 30*time.Second))
			back = false
			must(t, way.back())
			t.Logf("granted again after %s", w.granted().Round(time.Millisecond))
			must(t, w.As("mira").Run(t.Context(), "wait", mira.ID, "--for", "ended", "--timeout", "60s").Failed())
			w.until(60*time.Second, "merged", func() bool { return !strings.Contains(w.ready(), "journal") })
			w.proof("journal.removed", `"journal"`, "the device was stolen")
			must(t, w.As("root").Run(t.Context(), "revoke", "--all", "--why", "the next part of the test").Failed())
			must(t, w.oracle.Clean(t.Context(), 30*time.Second))
		})
	}
}

// TestDiskErrors: the store's files give errors instead of data: input/output
// errors where they are flushed, and a file system that turned read-only.
func TestDiskErrors(t *testing.T) {
	onlyRoot(t)
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace injects the errors, and it is not installed: run make setup")
	}
	w := newWard(t, stage.Options{Store: "sqlite"})
	for name, inject := range map[string]string{
		"flush": "fsync,fdatasync:error=EIO",
		"write": "pwrite64,write:error=EROFS",
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			mira, a := w.lend("mira", 8*time.Second)
			cmd := exec.Command(strace, "-f", "-q", "-o", "/dev/null", "-p", fmt.Sprint(w.Pid()), "-P", filepath.Join(w.DataDir(), "stint.db-wal"),
				"-e", "trace="+strings.SplitN(inject, ":", 2)[0], "-e", "inject="+inject)
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
			must(t, cmd.Start())
			stop := func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() }
			defer stop()
			w.until(30*time.Second, "refused", func() bool {
				return w.As("noor").Run(t.Context(), append(w.ask(time.Minute), "--no-wait")...).Code == 69
			})
			w.refused(name)
			cut(t, a, time.Until(mira.Grant.ExpiresAt.Time)+20*time.Second)
			t.Logf("cut %s after the end", time.Since(mira.Grant.ExpiresAt.Time).Round(time.Millisecond))
			stop()
			t.Logf("granted again after %s", w.granted().Round(time.Millisecond))
			must(t, w.As("mira").Run(t.Context(), "wait", mira.ID, "--for", "ended", "--timeout", "60s").Failed())
			w.until(60*time.Second, "merged", func() bool { return !strings.Contains(w.ready(), "journal") })
			w.proof("journal.removed")
			must(t, w.As("root").Run(t.Context(), "revoke", "--all", "--why", "the next part of the test").Failed())
			must(t, w.oracle.Clean(t.Context(), 30*time.Second))
		})
	}
}

// TestAuditFileFull: an audit file's disk is full. Up to the budget all goes on;
// beyond it nothing is granted, and what ends and is revoked does so. (G-26)
func TestAuditFileFull(t *testing.T) {
	onlyRoot(t)
	dir := t.TempDir()
	disk := filepath.Join(dir, "audit")
	must(t, os.Mkdir(disk, 0o700))
	must(t, syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1048576,mode=700"))
	t.Cleanup(func() { must(t, syscall.Unmount(disk, 0)) })
	w := newWard(t, stage.Options{Store: "sqlite", Config: fmt.Sprintf("audit: {files: [%q], backlog_records: 40}\n", filepath.Join(disk, "audit.jsonl"))})
	_, a := w.lend("mira", time.Hour)
	release, err := stage.FillDisk(disk)
	must(t, err)
	asked := 0
	w.until(60*time.Second, "over the budget", func() bool {
		asked++
		return w.As("noor").Run(t.Context(), append(w.ask(time.Minute), "--no-wait")...).Code == 69
	})
	if asked < 4 {
		t.Errorf("refused after %d requests: within the budget all goes on", asked)
	}
	w.refused("an audit file's disk full")
	if r := w.ready(); !strings.Contains(r, "log-not-exported") {
		t.Error(r)
	}
	must(t, w.As("root").Run(t.Context(), "revoke", "--all", "--why", "a drill with the audit file away").Failed())
	cut(t, a, 20*time.Second)
	must(t, w.oracle.Clean(t.Context(), 30*time.Second))
	must(t, release())
	t.Logf("granted again after %s", w.granted().Round(time.Millisecond))
	w.proof("access.revoked")
}

// TestSequencerBlocked: somebody holds the lock under which the log is numbered
// and signed. Nothing new is granted then; revocation goes on. (I-18)
func TestSequencerBlocked(t *testing.T) {
	w := newWard(t, stage.Options{Store: "postgres"})
	_, a := w.lend("mira", time.Hour)
	db, err := sql.Open("pgx", w.Memory.SuperuserDSN("stint"))
	must(t, err)
	defer db.Close()
	conn, err := db.Conn(t.Context())
	must(t, err)
	const lock = 0x7374696e74<<8 | 2 // internal/store: sequencerLock
	_, err = conn.ExecContext(t.Context(), "SELECT pg_advisory_lock($1)", int64(lock))
	must(t, err)
	must(t, w.As("noor").Run(t.Context(), append(w.ask(time.Minute), "--no-wait")...).Failed()) // a short wait is no reason
	w.until(40*time.Second, "held back", func() bool { return strings.Contains(w.ready(), "log-not-numbered") })
	w.refused("the log is not numbered")
	must(t, w.As("root").Run(t.Context(), "revoke", "--all", "--why", "a drill without a sequencer").Failed())
	cut(t, a, 20*time.Second)
	must(t, w.oracle.Clean(t.Context(), 30*time.Second))
	_, err = conn.ExecContext(context.Background(), "SELECT pg_advisory_unlock($1)", int64(lock))
	must(t, err)
	t.Logf("granted again after %s", w.granted().Round(time.Millisecond))
	w.proof("access.revoked")
}

// TestNoTemporaryFolder: nothing needs one.
func TestNoTemporaryFolder(t *testing.T) {
	w := newWard(t, stage.Options{Store: "sqlite", Env: []string{"TMPDIR=/nowhere", "SQLITE_TMPDIR=/nowhere"}})
	_, a := w.lend("mira", time.Hour)
	must(t, w.As("root").Run(t.Context(), "revoke", "--all", "--why", "nothing needs a temporary folder").Failed())
	cut(t, a, 20*time.Second)
	w.proof("access.revoked")
}
