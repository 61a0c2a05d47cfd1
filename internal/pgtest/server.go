//go:build unix

package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/jackc/pgx/v5"

	"stint/internal/freeport"
)

const (
	superuser    = "postgres"
	localAddress = "127.0.0.1"
)

// Options bend a Server. The zero value is right for most tests.
type Options struct {
	// Fsync makes commits survive a crash of the machine, at their real price:
	// for benchmarks.
	Fsync bool
	// MaxConnections is 100 when zero.
	MaxConnections int
	// Conf holds lines of postgresql.conf, by name; they win over our own.
	Conf map[string]string
	// HBA holds lines of pg_hba.conf that come before our own, which ask each
	// login from the loopback address, with TLS or without, for SCRAM.
	HBA []string
}

// A Server is one running PostgreSQL cluster. Its methods may be called from any
// goroutine.
type Server struct {
	Host     string // always 127.0.0.1, which the certificate names
	Port     int
	User     string // the superuser
	Password string // the superuser's
	CAFile   string // the authority that signed the server's certificate, PEM

	install install
	dir     string // ours: data, certificates
	log     *serverLog

	mu     sync.Mutex // guards what follows; also makes starting and stopping one at a time
	proc   *process   // nil when not running
	closed bool
}

// Launch starts a new cluster. The caller closes it; ctx bounds the start only.
// Tests use Start or Shared.
func Launch(ctx context.Context, opt Options) (*Server, error) {
	cache.hold()
	s, err := launch(ctx, opt)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", errors.Join(err, cache.release()))
	}
	return s, nil
}

func launch(ctx context.Context, opt Options) (*Server, error) {
	t, err := cache.get()
	if err != nil {
		return nil, err
	}
	dir, err := t.install.folder("stint-pg-")
	if err != nil {
		return nil, err
	}
	s := &Server{
		Host: localAddress, User: superuser, Password: t.password, CAFile: filepath.Join(dir, "ca.crt"),
		install: t.install, dir: dir, log: newServerLog(),
	}
	if err := s.prepare(t, opt); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	// Somebody may take the port between our look and the server's bind.
	for range 5 {
		if s.Port, err = freeport.Find(); err != nil {
			break
		}
		if err = s.start(ctx); !errors.Is(err, errPortTaken) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

func (s *Server) prepare(t *template, opt Options) error {
	if err := t.copyTo(s.dir); err != nil {
		return err
	}
	if err := writeCertificates(s.dir); err != nil {
		return err
	}
	conf, hba := filepath.Join(s.dir, "data", "postgresql.conf"), filepath.Join(s.dir, "data", "pg_hba.conf")
	return errors.Join(
		os.WriteFile(conf, []byte(s.conf(opt)), 0o600),
		os.WriteFile(hba, []byte(hbaLines(opt)), 0o600),
		s.install.give(filepath.Join(s.dir, "server.key"), filepath.Join(s.dir, "server.crt"), s.CAFile, conf, hba),
	)
}

// conf is the text of postgresql.conf: a file, not arguments, so that ALTER SYSTEM
// and a reload work as on a real server.
func (s *Server) conf(opt Options) string {
	onOff := map[bool]string{true: "on", false: "off"}
	conf := map[string]string{
		"listen_addresses":        s.Host,
		"unix_socket_directories": "",
		"max_connections":         strconv.Itoa(max(opt.MaxConnections, 0)),
		"password_encryption":     "scram-sha-256",
		"ssl":                     "on",
		"ssl_cert_file":           filepath.Join(s.dir, "server.crt"),
		"ssl_key_file":            filepath.Join(s.dir, "server.key"),
		"ssl_ca_file":             s.CAFile,
		"fsync":                   onOff[opt.Fsync],
		"full_page_writes":        onOff[opt.Fsync],
		"synchronous_commit":      "on", // else Kill could lose what was acknowledged
		"shared_buffers":          "32MB",
		"jit":                     "off",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"lc_messages":             "C", // we read the log for "ready"
		"logging_collector":       "off",
		"log_min_error_statement": "panic", // a failing statement may hold a password
	}
	if opt.MaxConnections == 0 {
		conf["max_connections"] = "100"
	}
	for name, value := range opt.Conf {
		conf[name] = value
	}
	var b strings.Builder
	for name, value := range conf {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(value, "'", "''"))
	}
	return b.String()
}

func hbaLines(opt Options) string {
	lines := append([]string{}, opt.HBA...)
	lines = append(lines, "host all all 127.0.0.1/32 scram-sha-256", "host replication all 127.0.0.1/32 scram-sha-256")
	return strings.Join(lines, "\n") + "\n"
}

func loopback(port int) string { return net.JoinHostPort(localAddress, strconv.Itoa(port)) }

// Addr is host:port.
func (s *Server) Addr() string { return loopback(s.Port) }

// DSN is a connection string with full certificate checks. Add a query parameter
// to change that.
func (s *Server) DSN(user, password, database string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password), Host: s.Addr(), Path: "/" + database,
		RawQuery: url.Values{"sslmode": {"verify-full"}, "sslrootcert": {s.CAFile}}.Encode(),
	}).String()
}

// SuperuserDSN is the DSN of the superuser.
func (s *Server) SuperuserDSN(database string) string { return s.DSN(s.User, s.Password, database) }

// Exec runs statements as the superuser, one after the other on one connection.
func (s *Server) Exec(ctx context.Context, database string, statements ...string) (err error) {
	conn, err := pgx.Connect(ctx, s.SuperuserDSN(database))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	for _, stmt := range statements {
		if _, err := conn.Exec(ctx, stmt); err != nil {
			return err
		}
	}
	return nil
}

// CreateDatabase makes an empty database.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	return s.Exec(ctx, "postgres", "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
}

// DropDatabase removes a database, and ends the sessions in it.
func (s *Server) DropDatabase(ctx context.Context, name string) error {
	return s.Exec(ctx, "postgres", "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
}

// Log is what the server wrote so far, the end of it when it is long.
func (s *Server) Log() string { return s.log.String() }

// Close ends the server and removes its data. A second Close does nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	// An immediate shutdown: nobody will read the data again.
	return errors.Join(s.stop(syscall.SIGQUIT), os.RemoveAll(s.dir), cache.release())
}
