package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/program"
)

// place is a folder with the files that configurations need.
type place struct {
	t   *testing.T
	dir string
}

func (p place) file(name, text string, mode os.FileMode) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	must(p.t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(p.t, os.WriteFile(path, []byte(text), mode))
	must(p.t, os.Chmod(path, mode))
	return path
}

func (p place) folder(name string, mode os.FileMode) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	must(p.t, os.MkdirAll(path, 0o700))
	must(p.t, os.Chmod(path, mode))
	return path
}

// pair writes a certificate and its key.
func (p place) pair(until time.Time) (cert, key string) {
	p.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(p.t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}},
		&x509.Certificate{SerialNumber: big.NewInt(1)}, &k.PublicKey, k)
	must(p.t, err)
	kb, err := x509.MarshalPKCS8PrivateKey(k)
	must(p.t, err)
	name := until.Format("2006")
	return p.file("cert"+name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644),
		p.file("key"+name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kb})), 0o600)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestCallThatCannotBe: a flag that nobody knows, or a word too many, starts nothing.
func TestCallThatCannotBe(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	for _, arg := range []string{"--insecure", "now"} {
		var errs strings.Builder
		code := program.Main(t.Context(), command(os.LookupEnv, &errs), []string{"serve", "--data", data, arg}, strings.NewReader(""), io.Discard, &errs)
		if said := errs.String(); code != program.Usage || !strings.Contains(said, "error: ") || !strings.Contains(said, "hint: stintd serve --help") {
			t.Errorf("%s: %d, %q", arg, code, said)
		}
		if _, err := os.Stat(data); err == nil {
			t.Errorf("%s: and there is a data folder", arg)
		}
	}
}

// TestRefusesWhatIsNotSafe boots configurations that are wrong or not safe. Each
// must be refused in words: what, why, and how to mend it; without its secrets.
func TestRefusesWhatIsNotSafe(t *testing.T) {
	p := place{t, t.TempDir()}
	good, goodKey := p.pair(time.Now().AddDate(1, 0, 0))
	old, oldKey := p.pair(time.Now().AddDate(-1, 0, 0))
	openKey := p.file("open.pem", "x", 0o644)
	data := filepath.Join(p.dir, "data")
	const pw = "hunter2"
	for _, c := range []struct {
		name string
		args []string // besides serve
		env  map[string]string
		yaml string // a configuration file
		code string
	}{
		{"plain HTTP for everybody", []string{"--listen", "0.0.0.0:7420"}, nil, "", "open-listener"},
		{"plain HTTP on every address", []string{"--listen", ":7420"}, nil, "", "open-listener"},
		{"plain HTTP on IPv6", []string{"--listen", "[::]:7420"}, nil, "", "open-listener"},
		{"plain HTTP on a name", []string{"--listen", "db1:7420"}, nil, "", "open-listener"},
		{"plain HTTP from the environment", nil, map[string]string{"STINT_LISTEN": "192.0.2.1:7420"}, "", "open-listener"},
		{"a proxy, but the public URL is not https", []string{"--listen", "0.0.0.0:7420"}, nil, "public_url: http://localhost:7420\ntrusted_proxies: [10.0.0.1]", "open-listener"},
		{"no address", []string{"--listen", "localhost"}, nil, "", "bad-listen"},
		{"a password in the arguments", []string{"--database", "postgres://stint:" + pw + "@localhost/stint"}, nil, "", "password-in-arguments"},
		{"a password in the query", []string{"--database", "postgres://localhost/stint?password=" + pw}, nil, "", "password-in-arguments"},
		{"a password in words", []string{"--database", "host=localhost password=" + pw}, nil, "", "password-in-arguments"},
		{"not a URL", []string{"--database", "localhost:5432"}, nil, "", "bad-database"},
		{"another database", nil, map[string]string{"STINT_DATABASE": "mysql://root:" + pw + "@localhost/x"}, "", "bad-database"},
		{"an empty password", nil, map[string]string{"STINT_DATABASE": "postgres://stint:@localhost/stint"}, "", "empty-password"},
		{"an authority that is not there", nil, map[string]string{"STINT_DATABASE": "postgres://stint:" + pw + "@db1/stint?sslmode=verify-full&sslrootcert=/none.pem"}, "", "bad-database"},
		{"a wire without TLS", nil, map[string]string{"STINT_DATABASE": "postgres://stint:" + pw + "@db1/stint?sslmode=disable"}, "", "open-database-wire"},
		{"a wire with any TLS", nil, map[string]string{"STINT_DATABASE": "postgres://stint:" + pw + "@db1/stint?sslmode=require"}, "", "open-database-wire"},
		{"a wire that says nothing", nil, map[string]string{"STINT_DATABASE": "postgres://stint:" + pw + "@db1/stint"}, "", "open-database-wire"},
		{"one of two hosts far away", nil, map[string]string{"STINT_DATABASE": "postgres://stint:" + pw + "@localhost:5432,db1:5432/stint"}, "", "open-database-wire"},
		{"the seal key in the data", []string{"--seal-key-file", filepath.Join(data, "seal.key")}, nil, "", "seal-key-in-data"},
		{"others write the data", []string{"--data", p.folder("open", 0o777)}, nil, "", "open-data"},
		{"a group writes the data", []string{"--data", p.folder("group", 0o770)}, nil, "", "open-data"},
		{"the data is a file", []string{"--data", p.file("file", "", 0o600)}, nil, "", "bad-data"},
		{"no configuration", []string{"--config", filepath.Join(p.dir, "none.yaml")}, nil, "", "no-config"},
		{"the configuration is a folder", []string{"--config", p.folder("folder", 0o700)}, nil, "", "no-config"},
		{"others write the configuration", []string{"--config", p.file("open.yaml", "listen: 127.0.0.1:0", 0o666)}, nil, "", "open-config"},
		{"others read a password", []string{"--config", p.file("read.yaml", "database: postgres://stint:"+pw+"@localhost/stint", 0o644)}, nil, "", "open-config"},
		{"a setting nobody knows", nil, nil, "listn: 127.0.0.1:7420", "bad-config"},
		{"a setting in the wrong place", nil, nil, "tls: {certificate: x}", "bad-config"},
		{"a setting twice", nil, nil, "listen: 127.0.0.1:1\nlisten: 127.0.0.1:2", "bad-config"},
		{"not YAML", nil, nil, "{", "bad-config"},
		{"a wrong type", nil, nil, "limits: {burst: many}", "bad-config"},
		{"a password that is no setting", nil, nil, "databse: postgres://stint:" + pw + "@localhost/stint", "bad-config"},
		{"half a TLS", nil, nil, "tls: {cert: " + good + "}", "half-tls"},
		{"no TLS key", nil, nil, "tls: {cert: " + good + ", key: " + filepath.Join(p.dir, "none.pem") + "}", "no-tls-key"},
		{"others read the TLS key", nil, nil, "tls: {cert: " + good + ", key: " + openKey + "}", "open-tls-key"},
		{"a key of another certificate", nil, nil, "tls: {cert: " + good + ", key: " + oldKey + "}", "bad-tls"},
		{"an old certificate", nil, nil, "tls: {cert: " + old + ", key: " + oldKey + "}", "expired-tls"},
		{"a client CA without TLS", []string{"--client-ca", good}, nil, "", "client-ca-alone"},
		{"a client CA that is not there", []string{"--client-ca", filepath.Join(p.dir, "none.pem")}, nil, "tls: {cert: " + good + ", key: " + goodKey + "}", "no-client-ca"},
		{"a client CA that is a key", []string{"--client-ca", goodKey}, nil, "tls: {cert: " + good + ", key: " + goodKey + "}", "bad-client-ca"},
		{"a public URL in the open", nil, nil, "public_url: http://stint.example.org", "open-public-url"},
		{"a public URL with a path", nil, nil, "public_url: https://example.org/stint", "bad-public-url"},
		{"a public URL with a user", nil, nil, "public_url: https://root:" + pw + "@example.org", "bad-public-url"},
		{"a public URL that is none", nil, nil, "public_url: stint.example.org", "bad-public-url"},
		{"TLS somewhere else, nobody says where", nil, nil, "public_url: https://stint.example.org", "no-proxy"},
		{"the whole world is a proxy", nil, nil, "trusted_proxies: [0.0.0.0/0]", "wide-proxy"},
		{"the whole new world is a proxy", nil, nil, "trusted_proxies: ['::/0']", "wide-proxy"},
		{"a proxy by name", nil, nil, "trusted_proxies: [proxy.example.org]", "bad-proxy"},
		{"a limit below zero", nil, nil, "limits: {burst: -1}", "bad-limit"},
		{"no such log level", nil, nil, "log: {level: loud}", "bad-log"},
		{"no such log format", nil, nil, "log: {format: xml}", "bad-log"},
		{"an audit file nowhere", nil, nil, "audit: {files: [" + filepath.Join(p.dir, "none", "a.jsonl") + "]}", "bad-audit-file"},
		{"an audit file twice", nil, nil, "audit: {files: [a.jsonl, ./a.jsonl]}", "bad-audit-file"},
		{"an audit file that others write", nil, nil, "audit: {files: [" + p.file("shared.jsonl", "", 0o666) + "]}", "open-audit-file"},
		{"an audit file where anybody writes", nil, nil, "audit: {files: [" + filepath.Join(p.folder("world", 0o777), "a.jsonl") + "]}", "open-audit-file"},
		{"half a token", nil, nil, "pkcs11: {module: /etc/passwd, token: stint}", "half-pkcs11"},
		{"a token's settings without a token", nil, nil, "pkcs11: {keys: [ssh-users]}", "half-pkcs11"},
		{"a module of all", nil, nil, "pkcs11: {module: " + p.file("all.so", "", 0o777) + ", token: stint, pin_file: pin}", "open-pkcs11-module"},
		{"a PIN that others read", nil, nil, "pkcs11: {module: /etc/passwd, token: stint, pin_file: " + p.file("openpin", pw, 0o640) + "}", "bad-pin-file"},
		{"a PIN of two lines", nil, nil, "pkcs11: {module: /etc/passwd, token: stint, pin_file: " + p.file("twopin", pw+"\n"+pw, 0o600) + "}", "bad-pin-file"},
		{"a program of all", nil, nil, "pkcs11: {module: /etc/passwd, token: stint, pin_file: pin, program: " + p.file("hsm", "", 0o777) + "}", "open-stint-hsm"},
		{"a label of keys that is none", nil, nil, "pkcs11: {module: /etc/passwd, token: stint, pin_file: pin, key_label: a b}", "bad-key-label"},
		{"an algorithm of old", nil, nil, "pkcs11: {module: /etc/passwd, token: stint, pin_file: pin, algorithm: rsa}", "bad-pkcs11"},
		{"a key that no token has", nil, nil, "pkcs11: {module: /etc/passwd, token: stint, pin_file: pin, keys: [seal]}", "bad-pkcs11"},
		{"a library by the environment", nil, nil, "pkcs11: {module: /etc/passwd, token: stint, pin_file: pin, environment: [LD_PRELOAD=/tmp/x]}", "bad-pkcs11"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"serve"}, c.args...)
			if !strings.Contains(strings.Join(args, " "), "--data") {
				args = append(args, "--data", data)
			}
			if c.yaml != "" {
				args = append(args, "--config", place{t, t.TempDir()}.file("stintd.yaml", c.yaml, 0o600))
			}
			env := func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }
			cmd := command(env, os.Stderr)
			cmd.SetArgs(args)
			err := cmd.ExecuteContext(t.Context())
			e, ok := err.(*access.Error)
			if !ok || e.Kind != access.Invalid || e.Code != c.code || e.Message == "" || e.Next == "" {
				t.Fatalf("got %#v, want %s with what, why and next", err, c.code)
			}
			if strings.Contains(e.Error()+e.Next, pw) {
				t.Errorf("the refusal quotes a password: %v", e)
			}
			if _, err := os.Stat(data); err == nil {
				t.Error("a refused start made the data folder")
			}
		})
	}
}

func TestAccepts(t *testing.T) {
	p := place{t, t.TempDir()}
	cert, key := p.pair(time.Now().AddDate(1, 0, 0))
	for name, yaml := range map[string]string{
		"nothing":                   "",
		"TLS of its own":            "listen: 0.0.0.0:7420\ntls: {cert: " + cert + ", key: " + key + "}",
		"a client CA":               "listen: 0.0.0.0:7420\ntls: {cert: " + cert + ", key: " + key + ", client_ca: " + cert + "}",
		"a proxy that speaks TLS":   "listen: 0.0.0.0:7420\npublic_url: https://stint.example.org\ntrusted_proxies: [10.0.0.1, 'fd00::/64']",
		"a password in a safe file": "database: postgres://stint:hunter2@127.0.0.1/stint",
		"a Unix socket":             "database: postgres:///stint?host=/run/postgresql",
		"a token that is not there": "pkcs11: {module: /none.so, token: stint, pin_file: none, program: /none}",
		"a verified database":       "database: postgres://stint@db1/stint?sslmode=verify-full",
		"everything": "data: d\nseal_key_file: k\nlisten: '[::1]:7420'\npublic_url: http://localhost:7420\nlimits: {reads_per_second: 1.5, writes_per_second: 1, burst: 2, concurrent: 3, waits: 4}\n" +
			"log: {format: json, level: debug}\naudit: {files: [a.jsonl]}",
	} {
		t.Run(name, func(t *testing.T) {
			f := flags{data: filepath.Join(p.dir, "data")}
			if yaml != "" {
				f.config = p.file("ok.yaml", yaml, 0o600)
			}
			if _, err := load(f, noEnv); err != nil {
				t.Error(err)
			}
		})
	}
}

// A flag wins over the environment, that over the file, and that over the default.
func TestPrecedence(t *testing.T) {
	p := place{t, t.TempDir()}
	file := p.file("c.yaml", "listen: 127.0.0.1:3\ndata: from-file", 0o600)
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"STINT_CONFIG": file, "STINT_LISTEN": "127.0.0.1:2"}[name]
		return v, ok
	}
	for _, c := range []struct {
		flags flags
		env   func(string) (string, bool)
		want  string
	}{{flags{listen: "127.0.0.1:1"}, env, "127.0.0.1:1"}, {flags{}, env, "127.0.0.1:2"}, {flags{config: file}, noEnv, "127.0.0.1:3"}, {flags{}, noEnv, defaultListen}} {
		s, err := load(c.flags, c.env)
		must(t, err)
		if s.listen != c.want {
			t.Errorf("got %s, want %s", s.listen, c.want)
		}
	}
	s, err := load(flags{config: file}, noEnv)
	must(t, err)
	if s.data != filepath.Join(p.dir, "from-file") || s.sealKey != s.data+".key" {
		t.Errorf("a path in a file is not meant from there: %s, %s", s.data, s.sealKey)
	}
}

// docs/reference/config.md explains every setting, and no other.
func TestEverySettingIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/config.md")
	must(t, err)
	onPage := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9_.]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		onPage[m[1]] = true
	}
	var walk func(reflect.Type, string)
	walk = func(typ reflect.Type, prefix string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			name := prefix + f.Tag.Get("yaml")
			if f.Type.Kind() == reflect.Struct {
				walk(f.Type, name+".")
				continue
			}
			if !onPage[name] {
				t.Errorf("the page lacks %s", name)
			}
			delete(onPage, name)
		}
	}
	walk(reflect.TypeFor[config](), "")
	for name := range onPage {
		t.Errorf("the page explains %s, which is no setting", name)
	}
	for _, m := range regexp.MustCompile(`STINT_[A-Z_]+`).FindAllString(serveHelp, -1) {
		if !strings.Contains(string(page), m) {
			t.Errorf("the page lacks %s", m)
		}
	}
}
