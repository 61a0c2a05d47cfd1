//go:build unix

package pgtest

import (
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func one[T any](t *testing.T, conn *pgx.Conn, sql string) (v T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func with(dsn, key, value string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic(err)
	}
	q := u.Query()
	q.Set(key, value)
	u.RawQuery = q.Encode()
	return u.String()
}

func TestConnectionsAreChecked(t *testing.T) {
	s := Shared(t)
	db := s.Database(t)
	conn := connect(t, s.SuperuserDSN(db))
	if !one[bool](t, conn, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") {
		t.Error("the default connection has no TLS")
	}
	if got := one[string](t, conn, "SELECT current_database()"); got != db {
		t.Errorf("database %q, want %q", got, db)
	}
	if got := one[string](t, conn, "SHOW fsync"); got != "off" {
		t.Errorf("fsync %s, want off", got)
	}
	if !one[bool](t, conn, "SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'postgres'") {
		t.Error("the password is not kept as SCRAM")
	}

	plain := connect(t, with(s.SuperuserDSN(db), "sslmode", "disable"))
	if one[bool](t, plain, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") {
		t.Error("sslmode=disable has TLS")
	}

	other := Start(t, Options{})
	for name, dsn := range map[string]string{
		"wrong password":        s.DSN(s.User, "wrong", db),
		"no password":           s.DSN(s.User, "", db),
		"another authority":     with(s.SuperuserDSN(db), "sslrootcert", other.CAFile),
		"name not in the cert":  strings.Replace(s.SuperuserDSN(db), "127.0.0.1", "127.0.0.2", 1),
		"certificate of system": with(s.SuperuserDSN(db), "sslrootcert", ""),
	} {
		if conn, err := pgx.Connect(t.Context(), dsn); err == nil {
			_ = conn.Close(t.Context())
			t.Errorf("%s: connected", name)
		}
	}
}

func TestOptions(t *testing.T) {
	s := Start(t, Options{
		Fsync: true, MaxConnections: 17,
		Conf: map[string]string{"max_prepared_transactions": "5", "application_name": "it's"},
		HBA:  []string{"host postgres visitor 127.0.0.1/32 trust"},
	})
	if err := s.Exec(t.Context(), "postgres", "CREATE ROLE visitor LOGIN"); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, s.DSN("visitor", "", "postgres"))
	for name, want := range map[string]string{
		"fsync": "on", "max_connections": "17", "max_prepared_transactions": "5", "synchronous_commit": "on",
	} {
		if got := one[string](t, conn, "SHOW "+name); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
}

func TestRestartKeepsPortAndData(t *testing.T) {
	s := Start(t, Options{})
	port := s.Port
	if err := s.Exec(t.Context(), "postgres", "CREATE TABLE kept (n int)"); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, s.SuperuserDSN("postgres"))
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a session outlived the restart")
	}
	if err := s.Exec(t.Context(), "postgres", "SELECT * FROM kept"); err != nil || s.Port != port {
		t.Errorf("port %d, want %d; %v", s.Port, port, err)
	}
	if err := s.Stop(); err != nil || s.Running() {
		t.Errorf("stop: %v, running %v", err, s.Running())
	}
	if err := s.Exec(t.Context(), "postgres", "SELECT 1"); err == nil {
		t.Error("a stopped server answers")
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
}

func TestKillLosesNothingThatWasAcknowledged(t *testing.T) {
	s := Start(t, Options{})
	if err := s.Exec(t.Context(), "postgres", "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)"); err != nil {
		t.Fatal(err)
	}
	main := s.proc
	children := main.children()
	if len(children) == 0 {
		t.Fatal("no children found")
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range append(children, main.cmd.Process.Pid) {
		if state, _, ok := readStat(pid); ok && state != 'Z' && state != 'X' {
			t.Errorf("process %d lives on in state %c", pid, state)
		}
	}
	if s.Running() {
		t.Error("running after Kill")
	}
	if err := s.Kill(); err == nil {
		t.Error("killed twice")
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if got := one[int](t, connect(t, s.SuperuserDSN("postgres")), "SELECT n FROM kept"); got != 7 {
		t.Errorf("read %d, want 7", got)
	}
	if !strings.Contains(s.Log(), "not properly shut down") {
		t.Error("the log does not tell of a crash")
	}
}

func TestPauseFreezesOpenSessionsToo(t *testing.T) {
	s := Start(t, Options{})
	conn := connect(t, s.SuperuserDSN("postgres"))
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		n   int
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		var a answer
		a.err = conn.QueryRow(context.Background(), "SELECT 1").Scan(&a.n)
		answered <- a
	}()
	for _, pid := range append(s.proc.children(), s.proc.cmd.Process.Pid) {
		if state, _, ok := readStat(pid); ok && state != 'T' && state != 'Z' {
			t.Errorf("process %d in state %c while paused", pid, state)
		}
	}
	select {
	case a := <-answered:
		t.Fatalf("a frozen server answered: %+v", a)
	case <-time.After(50 * time.Millisecond): // absence can only be waited for
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if a := <-answered; a.err != nil || a.n != 1 {
		t.Errorf("after Resume: %+v", a)
	}
	if err := s.Pause(); err != nil { // closing a frozen server works too
		t.Fatal(err)
	}
}

func TestCloseRemovesEverything(t *testing.T) {
	s, err := Launch(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	pids := append(s.proc.children(), s.proc.cmd.Process.Pid)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(s.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data folder is still there: %v", err)
	}
	for _, pid := range pids {
		if state, parent, ok := readStat(pid); ok && state != 'Z' && parent == os.Getpid() {
			t.Errorf("process %d lives on", pid)
		}
	}
	if err := s.Restart(); err == nil {
		t.Error("a closed server restarted")
	}
}

func TestLaunchSaysWhatIsWrong(t *testing.T) {
	s, err := Launch(t.Context(), Options{Conf: map[string]string{"shared_buffers": "a lot"}})
	if err == nil {
		_ = s.Close()
		t.Fatal("started with a wrong setting")
	}
	if !strings.Contains(err.Error(), "shared_buffers") {
		t.Errorf("the error does not name the setting: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := Launch(ctx, Options{}); !errors.Is(err, context.Canceled) {
		_ = s.Close()
		t.Errorf("with a context that is over: %v", err)
	}
}

func TestSharedIsOneServer(t *testing.T) {
	a, b := Shared(t), Shared(t)
	if a != b {
		t.Error("two servers")
	}
	if x, y := a.Database(t), a.Database(t); x == y {
		t.Errorf("one database for two: %s", x)
	}
}

// A test binary that is killed must not leave its server behind.
func TestServerDiesWithItsParent(t *testing.T) {
	if os.Getenv("PGTEST_CHILD") != "" {
		s, err := Launch(t.Context(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(os.Getenv("PGTEST_CHILD"), []byte(s.dir+"\n"+cache.current.dir+"\n"+s.SuperuserDSN("postgres")), 0o600); err != nil {
			t.Fatal(err)
		}
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		_ = self.Kill()
		select {}
	}
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Log("only Linux promises this")
		return
	}
	note := filepath.Join(t.TempDir(), "note")
	cmd := exec.Command(os.Args[0], "-test.run=^TestServerDiesWithItsParent$")
	cmd.Env = append(os.Environ(), "PGTEST_CHILD="+note)
	if err := cmd.Run(); err == nil {
		t.Fatal("the child was not killed")
	}
	text, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	t.Cleanup(func() {
		if err := errors.Join(os.RemoveAll(lines[0]), os.RemoveAll(lines[1])); err != nil {
			t.Error(err)
		}
	})
	dsn := lines[2]
	deadline := time.Now().Add(20 * time.Second)
	for {
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			return
		}
		_ = conn.Close(t.Context())
		if time.Now().After(deadline) {
			t.Fatal("the server lives on")
		}
	}
}
