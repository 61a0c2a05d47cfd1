package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/apiserver"
	"stint/internal/egress"
	"stint/internal/journal"
	"stint/internal/keys"
)

// settings are a configuration that was checked.
type settings struct {
	data      string
	database  string // empty: SQLite under data
	listen    string
	sealKey   string
	tpm       string // the device
	publicURL *url.URL
	tls       *tls.Config // nil: plain HTTP
	proxies   []netip.Prefix
	limits    apiserver.Limits
	logLevel  slog.Level
	logJSON   bool
	auditTo   []string
	budget    budget

	journal     string
	journalSize int64

	witnesses []witnessSetting
	egress    egress.Rules

	reviewWithin time.Duration // until break-glass access should be reviewed
	delegateFor  time.Duration // the longest delegation of approvals; below zero: none

	recordings keptRecordings

	hooks string // the folder; empty: there are none

	token tokenSettings

	highAvailability, acceptUnprotected bool
}

func (c config) check() (s settings, err error) {
	s.highAvailability, s.acceptUnprotected = c.HighAvailability, c.AcceptUnprotectedCommits
	for _, step := range []func(config, *settings) error{checkData, checkDatabase, checkTLS, checkProxies, checkPublicURL, checkListen, checkLimits, checkLog, checkAudit, checkBacklog, checkJournal, checkWitnesses, checkEgress, checkGlass, checkDelegation, checkRecordings, checkPKCS11, checkTPM, checkHooks} {
		if err := step(c, &s); err != nil {
			return settings{}, err
		}
	}
	return s, nil
}

// checkHooks wants a path in full: what is run as root's must not depend on where stintd
// was started.
func checkHooks(c config, s *settings) error {
	if c.Hooks != "" && (!filepath.IsAbs(c.Hooks) || filepath.Clean(c.Hooks) != c.Hooks) {
		return refuse("bad-hooks", "the folder of hooks has no full path", "it is "+strconv.Quote(c.Hooks), "write it like hooks: /etc/stint/hooks")
	}
	s.hooks = c.Hooks
	return nil
}

// checkData looks at the folder, if there is one, and at where the seal key lies.
func checkData(c config, s *settings) (err error) {
	if s.data, err = filepath.Abs(c.Data); err != nil {
		return refuse("bad-data", "the data folder has no full path", err.Error(), "give --data in full")
	}
	s.sealKey = s.data + ".key"
	if c.SealKeyFile != "" {
		if s.sealKey, err = filepath.Abs(c.SealKeyFile); err != nil {
			return refuse("bad-seal-key", "the seal key has no full path", err.Error(), "give --seal-key-file in full")
		}
	}
	info, err := os.Stat(s.data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return refuse("bad-data", "the data folder cannot be used", cause(err), "check --data")
	case !info.IsDir():
		return refuse("bad-data", "the data folder is not a folder", s.data, "check --data")
	case info.Mode().Perm()&0o022 != 0:
		return refuse("open-data", "others can write in the data folder", s.data+" has mode "+info.Mode().Perm().String()+": they could replace the store", "chmod 700 "+s.data)
	}
	var bad *keys.Error
	if err := keys.CheckPlace(s.sealKey, s.data); errors.As(err, &bad) {
		return refuse("seal-key-in-data", bad.Message, bad.Why, bad.Next)
	} else if err != nil {
		return err
	}
	return nil
}

// noPassword refuses a password where every user of the machine can read it.
func noPassword(database string) error {
	if hasPassword(database) {
		return refuse("password-in-arguments", "the database URL on the command line holds a password", "arguments are shown to every user of the machine",
			"give the URL in STINT_DATABASE, or the password in a pgpass file (PGPASSFILE)")
	}
	return nil
}

func hasPassword(database string) bool {
	u, err := url.Parse(database)
	if err != nil { // in doubt there is one
		return database != ""
	}
	if _, set := u.User.Password(); set {
		return true
	}
	return u.Query().Has("password") || strings.Contains(strings.ToLower(database), "password=")
}

// checkDatabase insists on a verified server unless the wire is this machine's.
// Errors never quote the URL.
func checkDatabase(c config, s *settings) error {
	s.database = c.Database
	if c.Database == "" {
		return nil
	}
	u, err := url.Parse(c.Database)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return refuse("bad-database", "the database is not a postgres:// URL", "SQLite is the default and needs no URL", "write postgres://USER@HOST:5432/NAME?sslmode=verify-full")
	}
	if pass, set := u.User.Password(); set && pass == "" || u.Query().Has("password") && u.Query().Get("password") == "" {
		return refuse("empty-password", "the database password is empty", "anybody could sign in as Stint", "set a password for the role, or use a certificate")
	}
	cfg, err := pgx.ParseConfig(c.Database)
	if err != nil {
		return refuse("bad-database", "the database URL is not right", urlSays(err, u), "write postgres://USER@HOST:5432/NAME?sslmode=verify-full")
	}
	hosts := []string{cfg.Host}
	for _, f := range cfg.Fallbacks {
		hosts = append(hosts, f.Host)
	}
	if slices.ContainsFunc(hosts, func(h string) bool { return !local(h) }) && u.Query().Get("sslmode") != "verify-full" {
		return refuse("open-database-wire", "the connection to the database is not verified", "without sslmode=verify-full somebody on the way can read and change everything",
			"add ?sslmode=verify-full to the URL, and sslrootcert=FILE if the authority is your own")
	}
	return nil
}

// urlSays is why the driver does not take a URL, unless it would quote the password.
func urlSays(err error, u *url.URL) string {
	inner := errors.Unwrap(err)
	pass, _ := u.User.Password()
	if inner == nil || pass != "" && strings.Contains(inner.Error(), pass) || u.Query().Has("password") {
		return "PostgreSQL's client does not understand it"
	}
	return inner.Error()
}

// local reports whether a host name is this machine for certain.
func local(host string) bool {
	if strings.HasPrefix(host, "/") { // a Unix socket
		return true
	}
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return ip.IsLoopback()
	}
	return host == "localhost"
}

func checkTLS(c config, s *settings) error {
	if c.TLS == (tlsConfig{}) {
		return nil
	}
	if c.TLS.ClientCA != "" && c.TLS.Cert == "" {
		return refuse("client-ca-alone", "client certificates need TLS that ends here", "tls.client_ca is set, and tls.cert is not; what a proxy says of a certificate is not believed", "set tls.cert and tls.key, or leave --client-ca out")
	}
	if c.TLS.Cert == "" || c.TLS.Key == "" {
		return refuse("half-tls", "TLS needs both a certificate and a key", "tls.cert or tls.key is missing", "set both")
	}
	info, err := os.Stat(c.TLS.Key)
	if err != nil {
		return refuse("no-tls-key", "the TLS key cannot be read", cause(err), "check tls.key")
	}
	if info.Mode().Perm()&0o037 != 0 { // a group of its own may read it, as certificate tools set it up
		return refuse("open-tls-key", "others can read the TLS key", c.TLS.Key+" has mode "+info.Mode().Perm().String(), "chmod 600 "+c.TLS.Key)
	}
	cert, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key)
	if err != nil {
		return refuse("bad-tls", "the TLS certificate and key cannot be used", err.Error(), "check tls.cert and tls.key; both are PEM, the certificate with its chain")
	}
	if leaf := cert.Leaf; leaf != nil && time.Now().After(leaf.NotAfter) {
		return refuse("expired-tls", "the TLS certificate has expired", "it was good until "+leaf.NotAfter.UTC().Format(time.RFC3339), "renew it")
	}
	s.tls = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if c.TLS.ClientCA == "" {
		return nil
	}
	pem, err := os.ReadFile(c.TLS.ClientCA)
	if err != nil {
		return refuse("no-client-ca", "the client CA cannot be read", cause(err), "check --client-ca")
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return refuse("bad-client-ca", "the client CA holds no certificate", c.TLS.ClientCA+" is no PEM of certificates", "name the authority's certificate, not its key")
	}
	// Who has none is let in to sign in otherwise; one that does not hold is refused in
	// the handshake.
	s.tls.ClientCAs, s.tls.ClientAuth = roots, tls.VerifyClientCertIfGiven
	return nil
}

func checkProxies(c config, s *settings) error {
	for _, text := range c.TrustedProxies {
		p, err := netip.ParsePrefix(text)
		if a, aerr := netip.ParseAddr(text); aerr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		switch {
		case err != nil:
			return refuse("bad-proxy", "a trusted proxy is not an address or a range", text, "write 10.0.0.7 or 10.0.0.0/28")
		case p.Bits() < 8:
			return refuse("wide-proxy", "the trusted proxies include half the world", text+": anybody there could claim any address", "name the proxies' own addresses")
		}
		s.proxies = append(s.proxies, p.Masked())
	}
	return nil
}

func checkPublicURL(c config, s *settings) error {
	if c.PublicURL == "" {
		return nil
	}
	u, err := url.Parse(c.PublicURL)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return refuse("bad-public-url", "the public URL is not scheme://host", "paths, users and queries have no place in it", "write https://stint.example.org")
	case u.Scheme == "http" && !local(u.Hostname()):
		return refuse("open-public-url", "the public URL is plain HTTP", "tokens and credentials would cross the network in the open", "write https://"+u.Host)
	case u.Scheme == "https" && s.tls == nil && len(s.proxies) == 0:
		return refuse("no-proxy", "the public URL is https, and nothing here speaks TLS", "whoever ends TLS before Stint hides the clients' addresses: policy would see the proxy's instead",
			"name it in trusted_proxies, or set tls.cert and tls.key")
	}
	s.publicURL = &url.URL{Scheme: u.Scheme, Host: u.Host}
	return nil
}

func checkListen(c config, s *settings) error {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || port == "" {
		return refuse("bad-listen", "the address to listen on is not right", c.Listen, "write "+defaultListen)
	}
	if n, err := strconv.Atoi(port); err == nil && (n < 0 || n > 65535) {
		return refuse("bad-listen", "the address to listen on is not right", "there is no port "+port+": the last one is 65535", "write "+defaultListen)
	}
	s.listen = c.Listen
	behindProxy := s.publicURL != nil && s.publicURL.Scheme == "https" && len(s.proxies) > 0
	if host == "localhost" || host != "" && local(host) || s.tls != nil || behindProxy {
		return nil
	}
	return refuse("open-listener", "plain HTTP on an address that others can reach", c.Listen+": tokens and credentials would cross the network in the open",
		"listen on 127.0.0.1, or set tls.cert and tls.key, or set public_url and trusted_proxies for a proxy that speaks TLS")
}

func checkLimits(c config, s *settings) error {
	l := c.Limits
	if l.ReadsPerSecond < 0 || l.WritesPerSecond < 0 || l.Burst < 0 || l.Concurrent < 0 || l.Waits < 0 {
		return refuse("bad-limit", "a limit is below zero", "zero means the default, and there is no such thing as no limit", "write a positive number, or leave it out")
	}
	s.limits = apiserver.Limits{ReadsPerSecond: l.ReadsPerSecond, WritesPerSecond: l.WritesPerSecond, Burst: l.Burst, Concurrent: l.Concurrent, Waits: l.Waits}
	return nil
}

func checkLog(c config, s *settings) error {
	switch c.Log.Format {
	case "", "text":
	case "json":
		s.logJSON = true
	default:
		return refuse("bad-log", "there is no such log format", c.Log.Format, "write text or json")
	}
	if c.Log.Level == "" {
		return nil
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		return refuse("bad-log", "there is no such log level", c.Log.Level, "write debug, info, warn or error")
	}
	return s.logLevel.UnmarshalText([]byte(c.Log.Level))
}

// How far an audit file may lag, unless the settings say otherwise.
const (
	backlogRecords = 100_000
	backlogAge     = time.Hour
)

func checkBacklog(c config, s *settings) (err error) {
	s.budget = budget{records: backlogRecords, age: backlogAge}
	if c.Audit.BacklogRecords < 0 {
		return refuse("bad-backlog", "audit.backlog_records is below zero", "", "write how many records an audit file may lag behind, or leave it out")
	}
	if c.Audit.BacklogRecords > 0 {
		s.budget.records = c.Audit.BacklogRecords
	}
	if c.Audit.BacklogAge != "" {
		if s.budget.age, err = time.ParseDuration(c.Audit.BacklogAge); err != nil || s.budget.age < 10*time.Second {
			return refuse("bad-backlog", "audit.backlog_age is not a time of 10 seconds or more", c.Audit.BacklogAge, "write it like 15m or 2h, or leave it out")
		}
	}
	return nil
}

// checkEgress reads which addresses that are not public may be called.
func checkEgress(c config, s *settings) error {
	for _, text := range c.Egress.Allow {
		p, err := netip.ParsePrefix(text)
		if a, aerr := netip.ParseAddr(text); aerr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return refuse("bad-egress", "a range that may be called is not an address or a range", text, "write 10.2.0.7 or 10.2.0.0/16")
		}
		if err := egress.CheckRule(p); err != nil {
			return refuse("wide-egress", "a range that may be called is not accepted", err.Error(), "name the networks that the integrations are in")
		}
		s.egress.Allow = append(s.egress.Allow, p)
	}
	if c.Egress.CA == "" {
		return nil
	}
	pem, err := os.ReadFile(c.Egress.CA)
	if err != nil {
		return refuse("bad-egress-ca", "the certificate authorities for outgoing calls cannot be read", cause(err), "check egress.ca")
	}
	if s.egress.Roots, err = x509.SystemCertPool(); err != nil {
		s.egress.Roots = x509.NewCertPool() // the system has none
	}
	if !s.egress.Roots.AppendCertsFromPEM(pem) {
		return refuse("bad-egress-ca", "the file of certificate authorities for outgoing calls holds none", c.Egress.CA, "write PEM certificates there")
	}
	return nil
}

func checkJournal(c config, s *settings) (err error) {
	s.journal, s.journalSize = filepath.Join(s.data, journalFile), journal.DefaultSize
	if c.Journal.File != "" {
		if s.journal, err = filepath.Abs(c.Journal.File); err != nil {
			return refuse("bad-journal", "the journal has no full path", err.Error(), "give journal.file in full")
		}
		// A folder that is not there, as of a disk that is not mounted, is no reason to
		// end nothing: openJournal says so.
		if info, err := os.Stat(filepath.Dir(s.journal)); err == nil && info.Mode().Perm()&0o022 != 0 {
			return refuse("open-journal", "others can write in the folder of the journal", filepath.Dir(s.journal), "choose a folder of Stint's own")
		}
	}
	if c.Journal.Size != 0 {
		if s.journalSize = c.Journal.Size; s.journalSize < journal.MinSize || s.journalSize > 1<<30 {
			return refuse("bad-journal", "journal.size is not between 64 KiB and 1 GiB", strconv.FormatInt(c.Journal.Size, 10), "write bytes, like 8388608, or leave it out")
		}
	}
	return nil
}

func checkAudit(c config, s *settings) error {
	for _, path := range c.Audit.Files {
		abs, err := filepath.Abs(path)
		if err != nil || path == "" {
			return refuse("bad-audit-file", "an audit file has no name", "", "write a path under audit.files")
		}
		if slices.Contains(s.auditTo, abs) {
			return refuse("bad-audit-file", "an audit file is named twice", abs, "name it once")
		}
		info, err := os.Stat(filepath.Dir(abs))
		switch {
		case err != nil:
			return refuse("bad-audit-file", "the folder of an audit file cannot be used", cause(err), "make the folder first")
		case info.Mode().Perm()&0o002 != 0:
			return refuse("open-audit-file", "anybody can write in the folder of an audit file", filepath.Dir(abs), "choose a folder of Stint's own")
		}
		if info, err := os.Stat(abs); err == nil && info.Mode().Perm()&0o022 != 0 {
			return refuse("open-audit-file", "others can write an audit file", abs+" has mode "+info.Mode().Perm().String(), "chmod 600 "+abs)
		}
		s.auditTo = append(s.auditTo, abs)
	}
	return nil
}
