package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/api"
	"stint/test/stage"
)

const documents = `
kind: Resource
name: orders-db
type: postgres
criticality: low
connection: {address: "ADDRESS", database: orders, credential: orders-connector, sslmode: verify-full, ca: CA}
---
kind: Role
name: suite
resources: {names: [orders-db]}
mechanism: account
postgres: {memberOf: [orders_owner], through: gateway, connectionLimit: 50}
maxDuration: 8h
---
kind: Policy
name: suite
subjects: ["*"]
roles: [suite]
require: {recording: true}
`

const (
	database = "regression"
	perFile  = 5 * time.Minute
)

// scene is a server, a gateway before it, and an account of a grant that is a superuser.
type scene struct {
	*stage.Stage
	options
	gateway *stage.Gateway
	boss    *api.Client
	key     stage.DatabaseKey
	tools   string
	account string
	kept    string // the account's own verifier
	results string // folder that the server can write to
	before  []string
	// Of the driver's tests: its source, and what was compiled.
	driver, compiled string
}

const directPassword = "for-the-side-without-a-gateway"

func openScene(ctx context.Context, o options) (s *scene, err error) {
	s = &scene{options: o}
	tools, err := filepath.Glob("/usr/lib/postgresql/*/bin/psql")
	if err != nil || len(tools) == 0 {
		return nil, errors.New("there is no psql in /usr/lib/postgresql: apt-get install postgresql")
	}
	slices.Sort(tools)
	s.tools = filepath.Dir(tools[len(tools)-1])
	// Nothing that the server does by itself shows in what the suite prints.
	if s.Stage, err = stage.Open(ctx, stage.Options{Bin: o.bin, Store: "sqlite", Config: "limits: {reads_per_second: 10000, writes_per_second: 10000, burst: 10000}\n", Target: map[string]string{"autovacuum": "off", "max_prepared_transactions": "10"}}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := errors.Join(s.Credential(ctx, "orders-connector"), s.Documents(ctx, documents)); err != nil {
		return s, err
	}
	if s.gateway, err = s.Stage.Gateway(ctx, "edge"); err != nil {
		return s, err
	}
	if s.boss, err = s.Client(ctx, "boss", "--admin"); err != nil {
		return s, err
	}
	r, err := s.boss.Submit(ctx, api.Ask{Resource: "orders-db", Role: "suite", Duration: "1h", Reason: "PostgreSQL's own tests"}, api.Wait{For: api.Ready, Time: 30 * time.Second})
	if err != nil {
		return s, err
	}
	if s.key, err = s.DatabaseKey(ctx, s.boss, r.ID); err != nil {
		return s, err
	}
	if err := s.asSuperuser(ctx, "postgres", func(c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT rolname, rolpassword FROM pg_authid WHERE rolname LIKE 'stint\_%\_01%'`).Scan(&s.account, &s.kept)
	}); err != nil {
		return s, err
	}
	if s.results, err = os.MkdirTemp("", "stint-compare-"); err != nil {
		return s, err
	}
	if err := errors.Join(os.Mkdir(filepath.Join(s.results, "results"), 0o700), os.Chmod(filepath.Join(s.results, "results"), 0o777), os.Chmod(s.results, 0o755)); err != nil {
		return s, err
	}
	if err := s.Target.Exec(ctx, "postgres", "ALTER ROLE "+s.quoted()+" SUPERUSER CREATEDB REPLICATION BYPASSRLS"); err != nil {
		return s, err
	}
	s.before, err = s.strings(ctx, "SELECT rolname::text FROM pg_roles")
	return s, err
}

func (s *scene) quoted() string { return pgx.Identifier{s.account}.Sanitize() }

func (s *scene) close() error {
	var errs []error
	if s.boss != nil {
		s.boss.Close()
	}
	if s.gateway != nil {
		errs = append(errs, s.gateway.Close())
	}
	if s.results != "" {
		errs = append(errs, os.RemoveAll(s.results))
	}
	return errors.Join(append(errs, s.Stage.Close())...)
}

func (s *scene) asSuperuser(ctx context.Context, database string, do func(*pgx.Conn) error) error {
	c, err := pgx.Connect(ctx, s.Target.SuperuserDSN(database))
	if err != nil {
		return err
	}
	return errors.Join(do(c), c.Close(context.WithoutCancel(ctx)))
}

func (s *scene) strings(ctx context.Context, query string) (all []string, err error) {
	err = s.asSuperuser(ctx, "postgres", func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, query)
		if err == nil {
			all, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		return err
	})
	return all, err
}

// fresh makes the database, and takes away what another side left in the cluster.
func (s *scene) fresh(ctx context.Context, settings ...string) error {
	if err := s.Target.DropDatabase(ctx, database); err != nil {
		return err
	}
	spaces, err := s.strings(ctx, "SELECT spcname::text FROM pg_tablespace WHERE spcname NOT LIKE 'pg\\_%'")
	if err != nil {
		return err
	}
	roles, err := s.strings(ctx, "SELECT rolname::text FROM pg_roles WHERE oid >= 16384")
	if err != nil {
		return err
	}
	var do []string
	for _, x := range spaces {
		do = append(do, "DROP TABLESPACE "+pgx.Identifier{x}.Sanitize())
	}
	for _, r := range roles {
		if !slices.Contains(s.before, r) {
			do = append(do, "DROP OWNED BY "+pgx.Identifier{r}.Sanitize(), "DROP ROLE "+pgx.Identifier{r}.Sanitize())
		}
	}
	do = append(do, "CREATE DATABASE "+database+" TEMPLATE template0 OWNER "+s.quoted())
	for _, set := range settings {
		do = append(do, "ALTER DATABASE "+database+" SET "+set)
	}
	return s.Target.Exec(ctx, "postgres", do...)
}

// side runs the files one way, and gives what psql printed for each.
func (s *scene) side(ctx context.Context, name string, files []string) (map[string]string, error) {
	if err := s.fresh(ctx, "lc_messages TO 'C'", "lc_monetary TO 'C'", "lc_numeric TO 'C'", "lc_time TO 'C'", "bytea_output TO 'hex'",
		"timezone_abbreviations TO 'Default'", "intervalstyle TO 'postgres_verbose'"); err != nil {
		return nil, err
	}
	way, err := s.way(ctx, name)
	if err != nil {
		return nil, err
	}
	env := append(way, "PATH=/usr/bin:/bin", "LC_MESSAGES=C", "LC_ALL=C", "HOME="+s.Dir, "PGGSSENCMODE=disable", "PGTZ=PST8PDT", "PGDATESTYLE=Postgres, MDY",
		"PG_ABS_SRCDIR="+s.suite, "PG_ABS_BUILDDIR="+s.results, "PG_LIBDIR="+filepath.Join(filepath.Dir(s.tools), "lib"), "PG_DLSUFFIX=.so", "PGCONNECT_TIMEOUT=30")
	fmt.Printf("dbcompare: %d files, %s\n", len(files), name)
	printed := map[string]string{}
	began := time.Now()
	for _, f := range files {
		out, err := s.psql(ctx, f, env)
		if err != nil {
			return nil, err
		}
		printed[f] = out
		if s.keep != "" {
			dir := filepath.Join(s.keep, name)
			if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, f+".out"), []byte(out), 0o644)); err != nil {
				return nil, err
			}
		}
	}
	fmt.Printf("dbcompare: %s took %.1f s\n", name, time.Since(began).Seconds())
	return printed, nil
}

// way is how libpq gets to the database: through the gateway, or without it.
func (s *scene) way(ctx context.Context, name string) (env []string, err error) {
	password := s.kept
	if name == "gateway" {
		file := func(name string) string { return filepath.Join(s.key.Folder, name) }
		env = []string{"PGHOST=" + s.key.Host, "PGPORT=" + s.key.Port, "PGUSER=orders-db", "PGSSLROOTCERT=" + file("authority.pem"), "PGSSLCERT=" + file("cert.pem"), "PGSSLKEY=" + file("key.pem")}
	} else {
		host, port, err := net.SplitHostPort(s.Target.Addr())
		if err != nil {
			return nil, err
		}
		password = directPassword
		env = []string{"PGHOST=" + host, "PGPORT=" + port, "PGUSER=" + s.account, "PGPASSWORD=" + password, "PGSSLROOTCERT=" + s.Target.CAFile}
	}
	// The account's own password is the gateway's alone; meanwhile it has another.
	return append(env, "PGDATABASE="+database, "PGSSLMODE=verify-full"), s.Target.Exec(ctx, "postgres", "ALTER ROLE "+s.quoted()+" PASSWORD '"+password+"'")
}

// psql runs a file as pg_regress does. That psql fails is what it prints.
func (s *scene) psql(ctx context.Context, name string, env []string) (string, error) {
	in, err := os.Open(filepath.Join(s.suite, "sql", name+".sql"))
	if err != nil {
		return "", err
	}
	defer func() { _ = in.Close() }() // it was read only
	within, done := context.WithTimeout(ctx, perFile)
	defer done()
	cmd := exec.CommandContext(within, filepath.Join(s.tools, "psql"), "-X", "-a", "-q", "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on")
	cmd.Stdin, cmd.Dir, cmd.Env, cmd.WaitDelay = in, s.results, append(slices.Clone(env), "PGAPPNAME=pg_regress/"+name), 5*time.Second
	out, err := cmd.CombinedOutput()
	said := strings.ReplaceAll(string(out), s.results, "RESULTS") // the server's errors name files there
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case within.Err() != nil:
		return said + "\npsql was stopped\n", nil
	case err != nil && !errors.As(err, &exit):
		return "", err
	case err != nil:
		return said + fmt.Sprintf("\npsql ended with %d\n", exit.ExitCode()), nil
	}
	return said, nil
}

// went fails where not as many sessions as files went through the gateway.
func (s *scene) went(ctx context.Context, files int) error {
	n := 0
	for x, err := range api.Each(func(cursor string) (api.Page[api.Session], error) {
		return s.boss.Sessions(ctx, api.SessionList{List: api.List{Cursor: cursor}})
	}) {
		if err != nil {
			return err
		}
		if x.Protocol == "postgres" && x.Gateway == "edge" {
			n++
		}
	}
	if n < files {
		return fmt.Errorf("%d sessions went through the gateway for %d files", n, files)
	}
	return nil
}

// expected is how many files print what PostgreSQL's developers expect of them. The others
// want a library of C that Debian does not have, or another locale.
func (s *scene) expected(printed map[string]string) (n int) {
	for name, out := range printed {
		variants, err := filepath.Glob(filepath.Join(s.suite, "expected", name+"_[0-9].out"))
		if err != nil {
			continue
		}
		if slices.ContainsFunc(append(variants, filepath.Join(s.suite, "expected", name+".out")), func(file string) bool {
			want, err := os.ReadFile(file)
			return err == nil && string(want) == out
		}) {
			n++
		}
	}
	return n
}
