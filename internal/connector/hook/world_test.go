//go:build e2e

package hook

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/connectortest"
	"stint/internal/freeport"
)

// maria is a real MariaDB, one for all tests of the package.
type maria struct {
	dir  string
	port int
	cmd  *exec.Cmd
	n    int
}

var shared struct {
	sync.Mutex
	m *maria
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.m != nil {
		shared.m.stop()
		_ = os.RemoveAll(shared.m.dir)
	}
	stopElephant()
	os.Exit(code)
}

func program(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range filepath.SplitList(os.Getenv("PATH") + ":/usr/sbin:/usr/bin") {
		if i, err := os.Stat(filepath.Join(dir, name)); err == nil && !i.IsDir() {
			return filepath.Join(dir, name)
		}
	}
	t.Fatalf("%s is not there; scripts/setup installs it", name)
	return ""
}

func server(t testing.TB) *maria {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.m != nil {
		return shared.m
	}
	if os.Getuid() != 0 {
		t.Fatal("hooks are programs of root: run this as root")
	}
	dir, err := os.MkdirTemp("", "stint-maria-")
	must(t, err)
	m := &maria{dir: dir}
	out, err := exec.Command(program(t, "mariadb-install-db"), "--no-defaults", "--user=root", "--datadir="+filepath.Join(dir, "data"), "--auth-root-authentication-method=normal",
		"--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=4M").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m.start(t)
	shared.m = m
	m.sql(t, `CREATE DATABASE stint; CREATE TABLE stint.notes (name VARCHAR(190) PRIMARY KEY, value TEXT NOT NULL) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
		CREATE USER stint@'%' IDENTIFIED BY 'the hook''s "password"\\';`)
	return m
}

// start starts the server; a port that another took meanwhile is tried with the next.
func (m *maria) start(t testing.TB) {
	t.Helper()
	for range 5 {
		if m.port == 0 {
			port, err := freeport.Find()
			must(t, err)
			m.port = port
		}
		m.cmd = exec.Command(program(t, "mariadbd"), "--no-defaults", "--user=root", "--datadir="+filepath.Join(m.dir, "data"), "--socket="+filepath.Join(m.dir, "s"),
			"--pid-file="+filepath.Join(m.dir, "pid"), "--bind-address=127.0.0.1", fmt.Sprint("--port=", m.port), "--skip-name-resolve", "--innodb-log-file-size=4M",
			"--innodb-buffer-pool-size=16M", "--innodb-flush-method=nosync", "--performance-schema=off", "--skip-log-bin")
		must(t, m.cmd.Start())
		gone := make(chan struct{})
		go func(cmd *exec.Cmd) { _ = cmd.Wait(); close(gone) }(m.cmd)
		for end := time.Now().Add(2 * patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if _, err := m.try("SELECT 1"); err == nil {
				return
			}
			select {
			case <-gone:
			default:
				continue
			}
			break
		}
		m.stop()
		m.port = 0
	}
	t.Fatal("no MariaDB could be started")
}

func (m *maria) stop() {
	_ = m.cmd.Process.Kill()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("unix", filepath.Join(m.dir, "s")); err != nil {
			break
		} else {
			_ = c.Close()
		}
	}
}

func (m *maria) try(statements string) (string, error) {
	cmd := exec.Command("mariadb", "--no-defaults", "-uroot", "-S", filepath.Join(m.dir, "s"), "--batch", "--skip-column-names")
	cmd.Stdin = strings.NewReader(statements)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (m *maria) sql(t testing.TB, statements string) string {
	t.Helper()
	out, err := m.try(statements)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return out
}

// world is that server, with no notes and a login of the documented minimum.
type world struct {
	t      testing.TB
	m      *maria
	c      *Connector
	dir    string // of hooks
	target connector.Target
}

func newWorld(t *testing.T) *world {
	m := server(t)
	m.sql(t, `DELETE FROM stint.notes; REVOKE ALL PRIVILEGES, GRANT OPTION FROM stint@'%'; GRANT CREATE USER, CONNECTION ADMIN, PROCESS ON *.* TO stint@'%';
		GRANT SELECT ON mysql.global_priv TO stint@'%'; GRANT SELECT, INSERT, UPDATE, DELETE ON stint.notes TO stint@'%'`)
	dir := t.TempDir()
	text, err := os.ReadFile("../../../examples/vault/hooks/mariadb")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "mariadb"), text, 0o755))
	w := &world{t: t, m: m, c: New(dir), dir: dir}
	w.target = connector.Target{Connection: access.Connection{Type: Type, Address: freeport.Address(m.port), Credential: "maria", Options: map[string]string{"hook": "mariadb"}},
		Username: "stint", Password: access.NewSecret([]byte(`the hook's "password"\`))}
	return w
}

func (w *world) Connector() connector.Connector { return w.c }
func (w *world) Target() connector.Target       { return w.target }

func (w *world) Order(m access.Mechanism) connector.Order {
	w.t.Helper()
	shared.Lock()
	w.m.n++
	n := w.m.n
	shared.Unlock()
	o := connector.Order{Entitlement: "ent_1", Tag: connectortest.NewTag(), Mechanism: m, Person: "mira", ExpiresAt: time.Now().Add(time.Hour),
		Account: fmt.Sprint("vaulted_", n), Secret: access.NewSecret([]byte("kept-by-the-vault"))}
	w.m.sql(w.t, "CREATE USER "+o.Account+"@'%' IDENTIFIED BY 'kept-by-the-vault'")
	return o
}

// session is a client that stays.
type session struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out chan string
}

func (s *session) Alive() bool {
	if _, err := io.WriteString(s.in, "SELECT 'alive';\n"); err != nil {
		return false
	}
	select {
	case line, ok := <-s.out:
		return ok && line == "alive"
	case <-time.After(patience):
		return false
	}
}

func (s *session) Close() { _ = s.in.Close(); _ = s.cmd.Process.Kill() }

func (w *world) connect(account, password string) (*session, error) {
	conf := filepath.Join(w.t.TempDir(), "client.cnf")
	text := fmt.Sprintf("[client]\nhost=127.0.0.1\nport=%d\nprotocol=tcp\nuser=%s\npassword=\"%s\"\n", w.m.port, account, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(password))
	must(w.t, os.WriteFile(conf, []byte(text), 0o600))
	return talk(w.t, account, exec.Command("mariadb", "--defaults-file="+conf, "--batch", "--skip-column-names", "--unbuffered", "--skip-reconnect"))
}

// talk is a session by a client that answers each line.
func talk(t testing.TB, account string, client *exec.Cmd) (*session, error) {
	s := &session{cmd: client, out: make(chan string, 16)}
	var err error
	s.in, err = s.cmd.StdinPipe()
	must(t, err)
	out, err := s.cmd.StdoutPipe()
	must(t, err)
	must(t, s.cmd.Start())
	go func() {
		defer close(s.out)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			s.out <- lines.Text()
		}
		_ = s.cmd.Wait()
	}()
	if !s.Alive() {
		s.Close()
		return nil, fmt.Errorf("%s is not let in", account)
	}
	return s, nil
}

func (w *world) Session(o connector.Order, r connector.Receipt) (connectortest.Session, error) {
	var shown credential
	must(w.t, json.Unmarshal(r.Credential.Reveal(), &shown))
	s, err := w.connect(shown.Username, shown.Password)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (w *world) opens(account, password string) bool {
	s, err := w.connect(account, password)
	if err != nil {
		return false
	}
	s.Close()
	// The server may not have noticed yet.
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if w.m.sql(w.t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = '"+account+"'") == "0" {
			break
		}
	}
	return true
}

func (w *world) State(o connector.Order, r connector.Receipt) connectortest.State {
	w.t.Helper()
	st := connectortest.State{Exists: w.m.sql(w.t, "SELECT COUNT(*) FROM stint.notes WHERE name = 'mark-"+string(o.Tag)+"'") != "0"}
	locked := strings.Contains(w.m.sql(w.t, "SELECT Priv FROM mysql.global_priv WHERE User = '"+o.Account+"'"), `"account_locked":true`)
	st.Usable = st.Exists && !locked || r.Creation != "" && !locked && w.opens(o.Account, string(o.Secret.Reveal()))
	return st
}

func (w *world) Own(connectortest.Session, connector.Order) {
	w.t.Fatal("not for accounts of the vault")
}
func (w *world) Replace(connector.Order, connector.Receipt) {
	w.t.Fatal("not for accounts of the vault")
}
func (w *world) Grant(connector.Order)      { w.t.Fatal("not for accounts of the vault") }
func (w *world) Taken(connector.Order) bool { w.t.Fatal("not for accounts of the vault"); return false }
func (w *world) ForgeClaim(installation string, epoch int64) {
	w.m.sql(w.t, "REPLACE INTO stint.notes VALUES ('claim', '"+owner{installation, epoch, ""}.String()+"')")
}
func (w *world) Weaken() { w.m.sql(w.t, "REVOKE CONNECTION ADMIN ON *.* FROM stint@'%'") }

func (w *world) Restart() {
	w.t.Helper()
	w.m.stop()
	w.m.start(w.t)
}

// faulty is a hook that fails on demand, before or after it did what makes a privilege.
const faulty = `#!/bin/bash
in=$(cat)
cd "$(dirname "$0")"
[ ! -e hang ] || exec sleep 600
if jq -e '.do == "set" or .do == "lock" or .do == "note" and .new' <<<"$in" >/dev/null; then
	mv before used 2>/dev/null && exit 1
	if mv after used 2>/dev/null; then ./mariadb <<<"$in" >/dev/null; exit 1; fi
fi
exec ./mariadb <<<"$in"
`

type faults struct {
	w   *world
	dir string
}

func (f faults) arm(name string) { must(f.w.t, os.WriteFile(filepath.Join(f.dir, name), nil, 0o600)) }
func (f faults) CutBefore()      { f.arm("before") }
func (f faults) CutAfter()       { f.arm("after") }
func (f faults) Hang()           { f.arm("hang") }
func (f faults) Resume()         { _ = os.Remove(filepath.Join(f.dir, "hang")) }

func (w *world) Faulty() (connector.Target, connectortest.Faults) {
	must(w.t, os.WriteFile(filepath.Join(w.dir, "faulty"), []byte(faulty), 0o755))
	t := w.target
	t.Connection.Options = map[string]string{"hook": "faulty"}
	return t, faults{w, w.dir}
}

// TestConformance: a real MariaDB behind the hook of the examples does all that the contract
// asks of a connector.
func TestConformance(t *testing.T) {
	connectortest.Run(t, func(t *testing.T) connectortest.World { return newWorld(t) })
}

// TestHalfwayIn: a log-in that began with the password that was lent, and ends after the
// account came back, opens nothing.
func TestHalfwayIn(t *testing.T) {
	w := newWorld(t)
	ctx, done := context.WithTimeout(t.Context(), 2*patience)
	defer done()
	c, err := net.Dial("tcp", w.target.Connection.Address)
	must(t, err)
	defer c.Close()
	_, err = c.Read(make([]byte, 4)) // the server has greeted, and waits
	must(t, err)
	o := w.Order(access.Checkout)
	o.Next = access.NewSecret([]byte(newText()))
	for _, step := range []func(context.Context, connector.Target, []connector.Order) []connector.Result{w.c.Revoke, w.c.TerminateSessions, w.c.Remove} {
		if got := step(ctx, w.target, []connector.Order{o})[0]; got.Outcome != connector.Done {
			t.Fatal(got.Err)
		}
	}
	must(t, c.SetReadDeadline(time.Now().Add(patience)))
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("who was on the way in is not cut off: %v", err)
	}
}
