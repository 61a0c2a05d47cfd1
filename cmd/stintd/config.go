package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"stint/internal/access"
)

// Defaults.
const (
	defaultData   = "stint-data"
	defaultListen = "127.0.0.1:7420"
)

// flags are the settings that the command line can give. Empty: not given.
type flags struct {
	data, database, listen, config, sealKey string
	clientCA                                string
	acceptUnprotected                       bool
	egressAllow                             []string
}

func (f *flags) on(c *cobra.Command) {
	fs := c.Flags()
	fs.StringVar(&f.data, "data", "", "folder for data (default ./"+defaultData+")")
	fs.StringVar(&f.database, "database", "", "postgres:// URL without a password; default: embedded SQLite under --data")
	fs.StringVar(&f.listen, "listen", "", "address to listen on (default "+defaultListen+")")
	fs.StringVar(&f.config, "config", "", "configuration file, YAML")
	fs.StringVar(&f.sealKey, "seal-key-file", "", "the seal key (default: beside the data folder, DIR.key)")
	fs.StringVar(&f.clientCA, "client-ca", "", "certificates (PEM) of the authorities that vouch for workloads' client certificates")
	fs.BoolVar(&f.acceptUnprotected, "accept-unprotected-commits", false, "let replicas share a database that can lose what was acknowledged")
	fs.StringArrayVar(&f.egressAllow, "egress-allow", nil, "a range of addresses that are not public and may be called: 10.2.0.0/16; may be repeated")
	fs.SortFlags = false
}

// config is every setting there is, as the file spells them. docs/reference/config.md
// explains each; a test compares.
type config struct {
	Data           string           `yaml:"data"`
	Database       string           `yaml:"database"`
	Listen         string           `yaml:"listen"`
	SealKeyFile    string           `yaml:"seal_key_file"`
	PublicURL      string           `yaml:"public_url"`
	TLS            tlsConfig        `yaml:"tls"`
	TrustedProxies []string         `yaml:"trusted_proxies"`
	Limits         limitsConfig     `yaml:"limits"`
	Log            logConfig        `yaml:"log"`
	Audit          auditConfig      `yaml:"audit"`
	Journal        journalConfig    `yaml:"journal"`
	Egress         egressConfig     `yaml:"egress"`
	Witnesses      []witnessConfig  `yaml:"witnesses"`
	BreakGlass     glassConfig      `yaml:"break_glass"`
	Delegation     delegateConfig   `yaml:"delegation"`
	Recordings     recordingsConfig `yaml:"recordings"`
	PKCS11         pkcs11Config     `yaml:"pkcs11"`
	TPM            tpmConfig        `yaml:"tpm"`
	// Hooks is the folder of the programs that resources of type hook name.
	Hooks string `yaml:"hooks"`
	// HighAvailability says that replicas are to share the database.
	HighAvailability bool `yaml:"high_availability"`
	// AcceptUnprotectedCommits lets them do so where a failover can lose decisions.
	AcceptUnprotectedCommits bool `yaml:"accept_unprotected_commits"`
}

type tlsConfig struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// ClientCA vouches for the certificates of workloads.
	ClientCA string `yaml:"client_ca"`
}

type limitsConfig struct {
	ReadsPerSecond  float64 `yaml:"reads_per_second"`
	WritesPerSecond float64 `yaml:"writes_per_second"`
	Burst           int     `yaml:"burst"`
	Concurrent      int     `yaml:"concurrent"`
	Waits           int     `yaml:"waits"`
}

type logConfig struct {
	Format string `yaml:"format"`
	Level  string `yaml:"level"`
}

type auditConfig struct {
	Files          []string `yaml:"files"`
	BacklogRecords int64    `yaml:"backlog_records"`
	BacklogAge     string   `yaml:"backlog_age"`
}

type egressConfig struct {
	Allow []string `yaml:"allow"`
	CA    string   `yaml:"ca"`
}

type glassConfig struct {
	ReviewWithin string `yaml:"review_within"`
}

type delegateConfig struct {
	Longest string `yaml:"longest"`
}

type journalConfig struct {
	File string `yaml:"file"`
	Size int64  `yaml:"size"`
}

// load puts the settings together and refuses those that are wrong or not safe.
func load(f flags, env func(string) (string, bool)) (settings, error) {
	var c config
	if path := first(f.config, lookup(env, "STINT_CONFIG")); path != "" {
		if err := c.read(path); err != nil {
			return settings{}, err
		}
	}
	if err := noPassword(f.database); err != nil {
		return settings{}, err
	}
	c.Data = first(f.data, lookup(env, "STINT_DATA"), c.Data, defaultData)
	c.Database = first(f.database, lookup(env, "STINT_DATABASE"), c.Database)
	c.Listen = first(f.listen, lookup(env, "STINT_LISTEN"), c.Listen, defaultListen)
	c.SealKeyFile = first(f.sealKey, lookup(env, "STINT_SEAL_KEY_FILE"), c.SealKeyFile)
	c.TLS.ClientCA = first(f.clientCA, lookup(env, "STINT_CLIENT_CA"), c.TLS.ClientCA)
	c.Egress.Allow = append(c.Egress.Allow, f.egressAllow...)
	c.AcceptUnprotectedCommits = c.AcceptUnprotectedCommits || f.acceptUnprotected
	return c.check()
}

// read reads a configuration file. One that others may write decides nothing.
func (c *config) read(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return refuse("no-config", "the configuration file cannot be read", cause(err), "check --config, or leave it out: no file is needed")
	}
	defer func() { _ = file.Close() }() // only read
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return refuse("no-config", "the configuration file is not a file", path, "check --config")
	}
	if info.Mode().Perm()&0o022 != 0 {
		return refuse("open-config", "others can write the configuration file", path+" has mode "+info.Mode().Perm().String(), "chmod go-w "+path)
	}
	const most = 1 << 20
	text, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return refuse("no-config", "the configuration file cannot be read", cause(err), "check --config")
	}
	dec := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict())
	if err := dec.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return refuse("bad-config", "the configuration file "+path+" is not right", yamlSays(err), "docs/reference/config.md lists every setting")
	}
	if hasPassword(c.Database) && info.Mode().Perm()&0o077 != 0 {
		return refuse("open-config", "others can read the configuration file, and it holds a password", path+" has mode "+info.Mode().Perm().String(), "chmod 600 "+path)
	}
	// Paths in the file are meant from where the file is.
	dir := filepath.Dir(path)
	for _, p := range []*string{&c.Data, &c.SealKeyFile, &c.TLS.Cert, &c.TLS.Key, &c.TLS.ClientCA, &c.Journal.File, &c.Egress.CA, &c.Recordings.Folder, &c.Recordings.S3.SecretFile,
		&c.PKCS11.Module, &c.PKCS11.PINFile, &c.PKCS11.Program, &c.TPM.Device} {
		*p = from(dir, *p)
	}
	for i := range c.Audit.Files {
		c.Audit.Files[i] = from(dir, c.Audit.Files[i])
	}
	return nil
}

func from(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// yamlSays is the first line of a YAML error: what, and where. The rest quotes
// the file, which may hold a password.
func yamlSays(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func first(ss ...string) string {
	for _, s := range ss {
		if s != "" {
			return s
		}
	}
	return ""
}

func lookup(env func(string) (string, bool), name string) string {
	v, _ := env(name)
	return v
}

// refuse makes the error for a setting: what, why, and how to mend it.
func refuse(code, what, why, next string) error {
	return access.Fail(access.Invalid, code, what).Because(why).Try(next)
}

// cause is why a file could not be used, without our own words around it.
func cause(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Path + ": " + p.Err.Error()
	}
	return err.Error()
}
