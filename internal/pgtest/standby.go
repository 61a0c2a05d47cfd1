//go:build unix

package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Pair is a primary and a standby that follows it by streaming replication. A
// commit on the primary is acknowledged when the standby has it on disk, until a
// failover; then the new primary is alone until Rebuild gives it a standby again.
type Pair struct {
	Primary, Standby *Server

	opt    Options
	caFile string
}

// paired are the settings that replication needs.
func paired(opt Options) Options {
	conf := map[string]string{"wal_level": "replica", "hot_standby": "on", "max_wal_senders": "8", "wal_keep_size": "256MB", "full_page_writes": "on"}
	for name, value := range opt.Conf {
		conf[name] = value
	}
	opt.Conf = conf
	return opt
}

// LaunchPair starts both. The caller closes the pair; ctx bounds the start only.
func LaunchPair(ctx context.Context, opt Options) (p *Pair, err error) {
	p = &Pair{opt: opt}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
			p = nil
		}
	}()
	if p.Primary, err = Launch(ctx, paired(opt)); err != nil {
		return p, err
	}
	if p.Standby, err = Launch(ctx, paired(opt)); err != nil {
		return p, err
	}
	p.caFile = filepath.Join(p.Primary.dir, "pair-ca.crt")
	var both []byte
	for _, s := range []*Server{p.Primary, p.Standby} {
		ca, err := os.ReadFile(s.CAFile)
		if err != nil {
			return p, err
		}
		both = append(both, ca...)
	}
	if err = os.WriteFile(p.caFile, both, 0o644); err != nil {
		return p, err
	}
	return p, p.Rebuild(ctx)
}

// DSN leads to whichever of the two takes changes.
func (p *Pair) DSN(database string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.UserPassword(p.Primary.User, p.Primary.Password), Host: p.Primary.Addr() + "," + p.Standby.Addr(), Path: "/" + database,
		RawQuery: url.Values{"sslmode": {"verify-full"}, "sslrootcert": {p.caFile}, "target_session_attrs": {"read-write"}}.Encode(),
	}).String()
}

// Promote makes the standby the primary, and the other way around. The old primary
// must be fenced before it can take another change: this kills it if it runs, as
// soon as the new one is there.
func (p *Pair) Promote(ctx context.Context) error {
	if err := p.Standby.Exec(ctx, "postgres", "SELECT pg_promote(true, 30)"); err != nil {
		return fmt.Errorf("promote the standby: %w", err)
	}
	p.Primary, p.Standby = p.Standby, p.Primary
	if p.Standby.Running() {
		return p.Standby.Kill()
	}
	return nil
}

// Rebuild makes the standby anew from the primary, and waits until each commit is
// on both.
func (p *Pair) Rebuild(ctx context.Context) error {
	s := p.Standby
	s.mu.Lock()
	err := s.rebuild(ctx, p.Primary, p.opt)
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("rebuild the standby: %w", err)
	}
	if err := p.Primary.Exec(ctx, "postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, p.Primary.SuperuserDSN("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for {
		n := 0
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'").Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the standby does not follow: %w: %s", ctx.Err(), s.Log())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// rebuild replaces the data of a server by a copy of another one's. The caller
// holds s.mu.
func (s *Server) rebuild(ctx context.Context, from *Server, opt Options) error {
	if err := s.stop(syscall.SIGQUIT); err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	cmd := s.install.command(s.dir, "pg_basebackup", "--pgdata="+data, "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync",
		"--host="+from.Host, fmt.Sprintf("--port=%d", from.Port), "--username="+from.User, "--no-password")
	cmd.Env = append(cmd.Env, "PGPASSWORD="+from.Password)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_basebackup: %w: %s", err, out)
	}
	conf := filepath.Join(data, "postgresql.conf") // its own certificates, not those of the primary
	if err := errors.Join(os.WriteFile(conf, []byte(s.conf(paired(opt))), 0o600), s.install.give(conf)); err != nil {
		return err
	}
	s.Password = from.Password // the copy has the other's
	// A standby that has just caught up says "ready to accept read-only connections".
	return s.startAs(ctx, "database system is ready to accept read-only connections")
}

// Close ends both.
func (p *Pair) Close() error {
	var errs []error
	for _, s := range []*Server{p.Standby, p.Primary} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}
