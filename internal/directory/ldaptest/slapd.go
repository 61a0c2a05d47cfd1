// Package ldaptest runs real OpenLDAP servers for tests: a whole directory of its own on
// the loopback address, with TLS and a certificate made for it. It needs Debian's slapd
// and fails where there is none; it never skips.
package ldaptest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// What a Server is like.
const (
	Base     = "dc=corp,dc=test"
	AdminDN  = "cn=admin," + Base
	Password = "an-administrator's-password"
	People   = "ou=people," + Base
	Groups   = "ou=groups," + Base
)

// Server is a directory that runs.
type Server struct {
	Plain, Secure string // ldap://127.0.0.1:port, ldaps://127.0.0.1:port
	CAFile        string
	Roots         *x509.CertPool

	t    testing.TB
	dir  string
	more string
	cmd  *exec.Cmd
	log  buffer
	done chan struct{}
}

// buffer is a log that two write.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) { b.mu.Lock(); defer b.mu.Unlock(); return b.b.Write(p) }
func (b *buffer) String() string              { b.mu.Lock(); defer b.mu.Unlock(); return b.b.String() }

// Start runs a directory with two empty folders for people and groups, until the test
// ends. more are further lines of its configuration, of the database.
func Start(t testing.TB, more ...string) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), more: strings.Join(more, "\n")}
	if err := os.Chmod(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.CAFile, s.Roots = Certificate(t, s.dir)
	s.Plain, s.Secure = "ldap://"+free(t), "ldaps://"+free(t)
	s.Up()
	t.Cleanup(s.Down)
	s.Add("dn: "+Base+"\nobjectClass: dcObject\nobjectClass: organization\no: corp\ndc: corp",
		"dn: "+People+"\nobjectClass: organizationalUnit\nou: people", "dn: "+Groups+"\nobjectClass: organizationalUnit\nou: groups")
	return s
}

// Up starts the server where it was.
func (s *Server) Up() {
	s.t.Helper()
	config := `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
pidfile ` + s.dir + `/pid
TLSCertificateFile ` + s.dir + `/cert.pem
TLSCertificateKeyFile ` + s.dir + `/key.pem
sizelimit unlimited
database mdb
suffix "` + Base + `"
rootdn "` + AdminDN + `"
rootpw "` + Password + `"
directory ` + s.dir + `/db
maxsize 268435456
dbnosync
overlay ppolicy
` + s.more + "\n"
	file := filepath.Join(s.dir, "slapd.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
	slapd := "/usr/sbin/slapd"
	if _, err := os.Stat(slapd); err != nil {
		s.t.Fatal("there is no slapd; install Debian's slapd, or run scripts/setup")
	}
	s.cmd = exec.Command(slapd, "-f", file, "-h", s.Plain+" "+s.Secure, "-d", "0")
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	s.done = done
	cmd := s.cmd
	go func() { _ = cmd.Wait(); close(done) }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.Plain, "ldap://"))
		if err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-done:
			s.t.Fatalf("slapd ended: %s", s.log.String())
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("slapd does not answer: %v", err)
		}
	}
}

// Down stops the server; what it knows stays.
func (s *Server) Down() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	s.cmd = nil
}

// Do does something as the administrator.
func (s *Server) Do(do func(*ldap.Conn) error) {
	s.t.Helper()
	c, err := ldap.DialURL(s.Plain)
	if err == nil {
		defer c.Close()
		if err = c.Bind(AdminDN, Password); err == nil {
			err = do(c)
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// Add adds entries, each written as in LDIF.
func (s *Server) Add(entries ...string) {
	s.t.Helper()
	s.Do(func(c *ldap.Conn) error {
		for _, text := range entries {
			var r *ldap.AddRequest
			values := map[string][]string{}
			var names []string
			for line := range strings.Lines(text) {
				name, value, _ := strings.Cut(strings.TrimRight(line, "\n"), ": ")
				if r == nil {
					r = ldap.NewAddRequest(value, nil)
					continue
				}
				if values[name] == nil {
					names = append(names, name)
				}
				values[name] = append(values[name], value)
			}
			for _, name := range names {
				r.Attribute(name, values[name])
			}
			if err := c.Add(r); err != nil {
				return fmt.Errorf("%s: %w", r.DN, err)
			}
		}
		return nil
	})
}

// Person adds somebody called so.
func (s *Server) Person(name string) string {
	s.t.Helper()
	dn := "uid=" + ldap.EscapeDN(name) + "," + People
	s.Add("dn: " + dn + "\nobjectClass: inetOrgPerson\nuid: " + name + "\ncn: " + name + "\nsn: " + name)
	return dn
}

// Group adds a group.
func (s *Server) Group(name string, members ...string) string {
	s.t.Helper()
	dn := "cn=" + ldap.EscapeDN(name) + "," + Groups
	text := "dn: " + dn + "\nobjectClass: groupOfNames\ncn: " + name
	for _, m := range append([]string{"cn=nobody," + Base}, members...) { // the class wants one at least
		text += "\nmember: " + m
	}
	s.Add(text)
	return dn
}

// Modify changes one attribute of an entry: op is add, delete or replace.
func (s *Server) Modify(dn, op, attribute string, values ...string) {
	s.t.Helper()
	s.Do(func(c *ldap.Conn) error {
		r := ldap.NewModifyRequest(dn, []ldap.Control{ldap.NewControlString("1.3.6.1.4.1.4203.666.5.12", false, "")}) // relax, for operational attributes
		switch op {
		case "add":
			r.Add(attribute, values)
		case "delete":
			r.Delete(attribute, values)
		default:
			r.Replace(attribute, values)
		}
		return c.Modify(r)
	})
}

// Delete takes entries away.
func (s *Server) Delete(dns ...string) {
	s.t.Helper()
	s.Do(func(c *ldap.Conn) error {
		for _, dn := range dns {
			if err := c.Del(ldap.NewDelRequest(dn, nil)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Dial reaches the server without rules.
func (s *Server) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// TLS believes the server's certificate.
func (s *Server) TLS(name string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.Roots, ServerName: name}
}

func free(t testing.TB) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// Certificate makes cert.pem and key.pem for the loopback address in a folder.
func Certificate(t testing.TB, dir string) (file string, roots *x509.CertPool) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "directory"}, DNSNames: []string{"localhost", "dc1.corp.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	must(err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	file = filepath.Join(dir, "cert.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	must(os.WriteFile(file, text, 0o600))
	must(os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return file, roots
}
