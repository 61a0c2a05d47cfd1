package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The suite speaks the simple protocol, and COPY. A driver's own tests speak the extended
// one: prepared statements, portals, binary values, batches and pipelines, cancelling. What
// is compared of them is which pass, fail and are skipped.

const (
	driver     = "github.com/jackc/pgx/v5"
	perPackage = 15 * time.Minute // one test after the other, of which some wait
)

var (
	// The driver's adapter for database/sql is left out: its tests open more sessions in a
	// second than one gateway may, which is 100 calls.
	driverPackages = []string{"pgx", "pgconn", "pgtype", "pgxpool"}
	outcome        = regexp.MustCompile(`(?m)^\s*--- (PASS|FAIL|SKIP): (\S+) \(`)
	temporary      = regexp.MustCompile(`/tmp/[A-Za-z]+[0-9]+`) // folders, in names of tests
)

// buildDriver compiles the driver's tests, from the module cache.
func (s *scene) buildDriver(ctx context.Context) (err error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", driver).Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	s.driver = strings.TrimSpace(string(out))
	s.compiled = filepath.Join(s.Dir, "driver")
	if err := os.Mkdir(s.compiled, 0o700); err != nil {
		return err
	}
	fmt.Println("dbcompare: the tests of", driver)
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", s.compiled+string(filepath.Separator), ".", "./pgconn", "./pgtype", "./pgxpool")
	cmd.Dir = s.driver
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go test -c: %w: %s", err, said)
	}
	return nil
}

// drive runs the driver's tests one way, and gives which of them passed, failed and were
// skipped, a line each.
func (s *scene) drive(ctx context.Context, name string) (map[string]string, error) {
	if err := s.fresh(ctx); err != nil {
		return nil, err
	}
	if err := s.Target.Exec(ctx, database, "CREATE EXTENSION hstore", "CREATE EXTENSION ltree", "CREATE DOMAIN uint64 AS numeric(20,0)", `CREATE ROLE " tricky, ' } "" \\ test user " SUPERUSER`); err != nil {
		return nil, err
	}
	env, err := s.way(ctx, name)
	if err != nil {
		return nil, err
	}
	words := map[string]string{"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password", "PGDATABASE": "dbname", "PGSSLMODE": "sslmode", "PGSSLROOTCERT": "sslrootcert", "PGSSLCERT": "sslcert", "PGSSLKEY": "sslkey"}
	var dsn []string
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		if word := words[name]; word != "" {
			dsn = append(dsn, word+"="+value)
		}
	}
	printed := map[string]string{}
	began := time.Now()
	for _, p := range driverPackages {
		within, done := context.WithTimeout(ctx, perPackage)
		cmd := exec.CommandContext(within, filepath.Join(s.compiled, p+".test"), "-test.v", "-test.parallel", "1", "-test.timeout", perPackage.String())
		cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + s.Dir, "PGX_TEST_DATABASE=" + strings.Join(dsn, " ")}
		cmd.Dir, cmd.WaitDelay = filepath.Join(s.driver, p), 5*time.Second
		if p == "pgx" {
			cmd.Dir = s.driver
		}
		out, err := cmd.CombinedOutput()
		done()
		var exit *exec.ExitError
		if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
			return nil, errors.Join(err, ctx.Err())
		}
		var lines []string
		for _, m := range outcome.FindAllStringSubmatch(string(out), -1) {
			lines = append(lines, m[1]+" "+temporary.ReplaceAllString(m[2], "/tmp/some"))
		}
		slices.Sort(lines)
		if name == "gateway" { // it may call again as often as at first
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Second):
			}
		}
		printed["driver/"+p] = strings.Join(lines, "\n") + "\n"
		if s.keep != "" {
			dir := filepath.Join(s.keep, name)
			if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "driver-"+p+".out"), out, 0o600)); err != nil {
				return nil, err
			}
		}
	}
	fmt.Printf("dbcompare: the driver's, %s, took %.1f s\n", name, time.Since(began).Seconds())
	return printed, nil
}
