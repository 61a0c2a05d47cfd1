package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"stint/internal/freeport"
	"stint/internal/pgtest"
)

// Options of a stage.
type Options struct {
	Bin   string // folder of stint and stintd
	Store string // sqlite | postgres
	Log   io.Writer
	// Fsync makes the servers' commits durable, at their real price.
	Fsync bool
	// Config is appended to stintd's configuration file.
	Config string
	// Env is added to stintd's environment.
	Env []string
	// DataDisk puts the data folder on a disk of its own of so many bytes, which
	// takes root; 0: where the stage is.
	DataDisk int
	// Target bends the target server.
	Target map[string]string
	// Named makes people reach the server as localhost, which its configuration says:
	// passkeys are for names.
	Named bool
	// Replicas is how many stintd share the store, behind a load balancer; 0 is 1.
	// SQLite serves one.
	Replicas int
	// Database, if set, is where stintd keeps its state, instead of a PostgreSQL of
	// the stage's own.
	Database string
	// Before, if set, is done to each server before its first start.
	Before func(*Server)
}

// Stage is a running installation and its target.
type Stage struct {
	Options
	Dir    string
	Target *pgtest.Server // the database that people ask for
	Memory *pgtest.Server // stintd's own database; nil with SQLite
	URL    string
	// Keep leaves Dir where it is when the stage closes: state that shows a fault.
	Keep bool

	Servers  []*Server
	balancer *balancer // nil with one server
	mu       sync.Mutex
	people   map[string]*Person
	disks    []string // mounted
}

// Names on the target that the scene sets up.
const (
	Database  = "orders"
	Connector = "stint_connector"
	Dormant   = "dba_admin"
)

// scene makes the orders database: tables, groups, a dormant administrator, a
// standing account for each of the people, and the login of the connector with
// no more than the documented minimum.
func scene(password string, people []string) (server, database []string) {
	server = []string{
		`CREATE ROLE orders_read NOLOGIN`, `CREATE ROLE orders_owner NOLOGIN`,
		`CREATE ROLE ` + Dormant + ` NOLOGIN`,
		`CREATE ROLE ` + Connector + ` LOGIN CREATEROLE PASSWORD '` + password + `'`,
		`GRANT pg_signal_backend, pg_read_all_stats TO ` + Connector,
	}
	for _, p := range people {
		server = append(server, `CREATE ROLE `+p+` LOGIN PASSWORD 'standing-`+p+`'`)
	}
	database = []string{
		`CREATE TABLE orders (id int PRIMARY KEY, customer text NOT NULL, total numeric NOT NULL, state text NOT NULL)`,
		`INSERT INTO orders SELECT n, 'customer ' || n % 7, n * 12.5, CASE WHEN n % 5 = 0 THEN 'stuck' ELSE 'shipped' END FROM generate_series(1, 40) n`,
		`GRANT USAGE ON SCHEMA public TO orders_read, orders_owner`,
		`GRANT SELECT ON orders TO orders_read`,
		`GRANT ALL ON orders TO orders_owner`,
		`GRANT CREATE ON SCHEMA public TO orders_owner`,
		`GRANT orders_owner TO ` + Dormant,
	}
	return server, database
}

// Open starts everything and signs the administrator in. Close ends it.
func Open(ctx context.Context, opt Options, people ...string) (s *Stage, err error) {
	dir, err := os.MkdirTemp("", "stint-stage-")
	if err != nil {
		return nil, err
	}
	s = &Stage{Options: opt, Dir: dir, people: map[string]*Person{}}
	if s.Bin, err = filepath.Abs(opt.Bin); err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
			s = nil
		}
	}()
	if s.Target, err = pgtest.Launch(ctx, pgtest.Options{Fsync: opt.Fsync, MaxConnections: 1200, Conf: opt.Target}); err != nil {
		return s, err
	}
	const password = "the-connector's-own-login"
	server, database := scene(strings.ReplaceAll(password, "'", "''"), people)
	if err := s.Target.CreateDatabase(ctx, Database); err != nil {
		return s, err
	}
	if err := s.Target.Exec(ctx, "postgres", server...); err != nil {
		return s, err
	}
	if err := s.Target.Exec(ctx, Database, database...); err != nil {
		return s, err
	}
	if err := os.WriteFile(s.path("connector-password"), []byte(password), 0o600); err != nil {
		return s, err
	}
	switch opt.Store {
	case "sqlite":
	case "postgres":
		if opt.Database != "" {
			break
		}
		if s.Memory, err = pgtest.Launch(ctx, pgtest.Options{Fsync: opt.Fsync}); err != nil {
			return s, err
		}
		if err := s.Memory.CreateDatabase(ctx, "stint"); err != nil {
			return s, err
		}
	default:
		return s, fmt.Errorf("stage: no store %q; sqlite and postgres exist", opt.Store)
	}
	if opt.DataDisk > 0 {
		if err := s.mountData(); err != nil {
			return s, err
		}
	}
	for i := range max(opt.Replicas, 1) {
		v := &Server{s: s, name: "data"}
		if i > 0 {
			v.name += "-" + strconv.Itoa(i+1)
		}
		if v.listen, err = freeAddress(); err != nil {
			return s, err
		}
		if opt.Before != nil {
			opt.Before(v)
		}
		s.Servers = append(s.Servers, v)
	}
	listen := s.Servers[0].listen
	if len(s.Servers) > 1 {
		if listen, err = freeAddress(); err != nil {
			return s, err
		}
		if s.balancer, err = balance(listen, s.Servers); err != nil {
			return s, err
		}
	}
	s.URL = "http://" + listen
	if opt.Named {
		_, port, err := net.SplitHostPort(listen)
		if err != nil {
			return s, err
		}
		s.URL = "http://localhost:" + port
		opt.Config += "public_url: " + s.URL + "\n"
	}
	if err := os.WriteFile(s.path("stintd.yaml"), []byte(opt.Config), 0o600); err != nil {
		return s, err
	}
	for _, v := range s.Servers {
		if err := v.Start(ctx); err != nil {
			return s, err
		}
	}
	if err := s.Serving(ctx); err != nil {
		return s, err
	}
	root, err := s.person("root")
	if err != nil {
		return s, err
	}
	r := root.Run(ctx, "login", "--bootstrap-token-file", filepath.Join(s.path("data"), "bootstrap-token"), "--name", "root")
	return s, r.Failed()
}

func (s *Stage) path(name string) string { return filepath.Join(s.Dir, name) }

func freeAddress() (string, error) {
	port, err := freeport.Find()
	return freeport.Address(port), err
}

// database is the URL of stintd's own database; empty with SQLite.
func (s *Stage) database() string {
	if s.Memory != nil {
		return s.Memory.SuperuserDSN("stint")
	}
	return s.Database
}

// Serving waits until there is an answer where clients ask.
func (s *Stage) Serving(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for !serves(ctx, strings.TrimPrefix(s.URL, "http://")) {
		select {
		case <-ctx.Done():
			return errors.New("stage: the load balancer finds no server")
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// Start starts the first stintd and waits until it serves. Meanwhile it can be
// killed, which ends the wait.
func (s *Stage) Start(ctx context.Context) error { return s.Servers[0].Start(ctx) }

// Signal, Kill, Stop, Pid and the log are those of the first stintd.
func (s *Stage) Signal(sig syscall.Signal) error { return s.Servers[0].Signal(sig) }

// Kill ends stintd without a chance to do anything.
func (s *Stage) Kill() error { return s.Servers[0].Kill() }

// Stop ends stintd as an administrator would.
func (s *Stage) Stop() error { return s.Servers[0].Stop() }

// Pid is the process id of stintd; 0 when it does not run.
func (s *Stage) Pid() int { return s.Servers[0].Pid() }

// LogTail is the end of stintd's log.
func (s *Stage) LogTail(lines int) string { return s.Servers[0].LogTail(lines) }

// ServerLog is all that stintd wrote.
func (s *Stage) ServerLog() string { return s.Servers[0].Log() }

// DataFile is the SQLite database of stintd.
func (s *Stage) DataDir() string { return s.path("data") }

// Close ends everything and removes it, but for Dir if Keep says so.
func (s *Stage) Close() error {
	var errs []error
	if s.balancer != nil {
		s.balancer.close()
	}
	for _, v := range s.Servers {
		errs = append(errs, v.close())
	}
	if s.Target != nil {
		errs = append(errs, s.Target.Close())
	}
	if s.Memory != nil {
		errs = append(errs, s.Memory.Close())
	}
	for _, disk := range s.disks {
		errs = append(errs, syscall.Unmount(disk, 0))
	}
	if !s.Keep {
		errs = append(errs, os.RemoveAll(s.Dir))
	}
	return errors.Join(errs...)
}

// Documents applies YAML as the administrator. The words ADDRESS and CA stand
// for the target's.
func (s *Stage) Documents(ctx context.Context, yaml string) error {
	ca, err := os.ReadFile(s.Target.CAFile)
	if err != nil {
		return err
	}
	quoted, err := json.Marshal(string(ca)) // a JSON string is a YAML string
	if err != nil {
		return err
	}
	yaml = strings.NewReplacer("ADDRESS", s.Target.Addr(), "CA", string(quoted)).Replace(yaml)
	if err := os.WriteFile(s.path("documents.yaml"), []byte(yaml), 0o600); err != nil {
		return err
	}
	return s.As("root").Run(ctx, "apply", "-f", "documents.yaml").Failed()
}

// Credential registers the connector's login.
func (s *Stage) Credential(ctx context.Context, name string) error {
	return s.As("root").Run(ctx, "admin", "credential", "set", name, "--type", "postgres", "--address", s.Target.Addr(),
		"--username", Connector, "--password-file", s.path("connector-password")).Failed()
}
