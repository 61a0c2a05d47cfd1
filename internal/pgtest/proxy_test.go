//go:build unix

package pgtest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// proxied gives a fresh database, a proxy before it and a connection through that.
func proxied(t *testing.T) (p *Proxy, direct, through *pgx.Conn, dsn string) {
	t.Helper()
	s := Shared(t)
	db := s.Database(t)
	p, err := NewProxy(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	dsn = with(strings.Replace(s.SuperuserDSN(db), s.Addr(), p.Addr(), 1), "sslmode", "disable")
	return p, connect(t, s.SuperuserDSN(db)), connect(t, dsn), dsn
}

func holds(text string) func([]byte) bool {
	return func(sent []byte) bool { return bytes.Contains(sent, []byte(text)) }
}

func exists(t *testing.T, conn *pgx.Conn, table string) bool {
	t.Helper()
	return one[bool](t, conn, "SELECT to_regclass('"+table+"') IS NOT NULL")
}

func TestCutBeforeIsFailedAndNotDone(t *testing.T) {
	p, direct, through, dsn := proxied(t)
	f := p.CutBefore(holds("CREATE TABLE"))
	if got := one[int](t, through, "SELECT 1"); got != 1 {
		t.Fatal("the fault struck what it does not match")
	}
	if _, err := through.Exec(t.Context(), "CREATE TABLE a (n int)"); err == nil {
		t.Error("the statement succeeded")
	}
	<-f.Done()
	if exists(t, direct, "a") {
		t.Error("the statement was done")
	}
	if _, err := connect(t, dsn).Exec(t.Context(), "CREATE TABLE a (n int)"); err != nil {
		t.Errorf("the fault struck twice: %v", err)
	}
}

func TestCutAfterIsFailedButDone(t *testing.T) {
	p, direct, through, _ := proxied(t)
	f := p.CutAfter(holds("CREATE TABLE"))
	if _, err := through.Exec(t.Context(), "CREATE TABLE a (n int)"); err == nil {
		t.Error("the statement succeeded")
	}
	<-f.Done()
	if !exists(t, direct, "a") {
		t.Error("the statement was not done")
	}
}

func TestHoldBeforeLandsAfterTheClientGaveUp(t *testing.T) {
	p, direct, through, _ := proxied(t)
	f := p.HoldBefore(holds("CREATE TABLE"))
	p.CutBefore(IsCancelRequest)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-f.Struck()
		cancel()
	}()
	if _, err := through.Exec(ctx, "CREATE TABLE a (n int)"); err == nil {
		t.Error("the statement succeeded")
	}
	if exists(t, direct, "a") {
		t.Fatal("done before it was released")
	}
	f.Release()
	f.Release() // harmless
	<-f.Done()
	if !exists(t, direct, "a") {
		t.Error("not done after it was released")
	}
}

func TestFaultEndsWhenTheTargetGoes(t *testing.T) {
	s := Start(t, Options{})
	p, err := NewProxy(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	through := connect(t, with(strings.Replace(s.SuperuserDSN("postgres"), s.Addr(), p.Addr(), 1), "sslmode", "disable"))
	f := p.CutAfter(holds("pg_sleep"))
	go func() {
		<-f.Struck()
		if err := s.Kill(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := through.Exec(t.Context(), "SELECT pg_sleep(600)"); err == nil {
		t.Error("the statement succeeded")
	}
	<-f.Done()
}

func TestCutSparesNewConnections(t *testing.T) {
	p, _, through, dsn := proxied(t)
	if p.Open() != 1 {
		t.Fatalf("%d open, want 1", p.Open())
	}
	p.Cut()
	if err := through.Ping(t.Context()); err == nil {
		t.Error("a cut connection answers")
	}
	if err := connect(t, dsn).Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRefuseSparesOpenConnections(t *testing.T) {
	p, _, through, dsn := proxied(t)
	for range 2 {
		if err := p.Refuse(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pgx.Connect(t.Context(), dsn); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v, want a refused connection", err)
	}
	if err := through.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := p.Resume(); err != nil {
			t.Fatal(err)
		}
	}
	if err := connect(t, dsn).Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestHangIsSilentUntilResume(t *testing.T) {
	p, _, through, dsn := proxied(t)
	p.Hang()
	p.Hang()
	answered := make(chan error, 1)
	go func() { answered <- through.Ping(context.Background()) }()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := pgx.Connect(ctx, dsn); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a new connection: %v, want silence", err)
	}
	select {
	case err := <-answered:
		t.Errorf("an open connection: %v, want silence", err)
	default:
	}
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestProxyCloseWhileHanging(t *testing.T) {
	p, _, through, _ := proxied(t)
	p.Hang()
	answered := make(chan error, 1)
	go func() { answered <- through.Ping(context.Background()) }()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err == nil {
		t.Error("a closed proxy answers")
	}
	if err := p.Resume(); err == nil {
		t.Error("a closed proxy resumed")
	}
}
