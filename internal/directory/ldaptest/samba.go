package ldaptest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// What a Samba is like.
const (
	Domain         = "DC=corp,DC=test"
	Administrator  = "administrator@corp.test"
	SambaPassword  = "Passw0rd.1"
	SambaAddress   = "ldaps://127.0.0.1"
	sambaProvision = 3 * time.Minute
)

// Samba is an Active Directory domain controller that runs: on the ports of LDAP, which
// it does not let one choose.
type Samba struct {
	Roots *x509.CertPool
	t     testing.TB
}

// StartSamba makes a domain and runs its controller until the test ends. It needs root
// and Debian's samba-ad-dc and samba-ad-provision, and takes half a minute.
func StartSamba(t testing.TB) *Samba {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), sambaProvision)
	defer cancel()
	cmd := exec.CommandContext(ctx, "samba-tool", "domain", "provision", "--realm=CORP.TEST", "--domain=CORP", "--server-role=dc", "--dns-backend=NONE",
		"--adminpass="+SambaPassword, "--host-name=dc1", "--host-ip=127.0.0.1", "--targetdir="+dir, "--option=bind interfaces only=yes", "--option=interfaces=lo")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("a domain cannot be made (Debian's samba-ad-dc and samba-ad-provision, as root): %v\n%.2000s", err, out)
	}
	s := &Samba{t: t}
	_, s.Roots = Certificate(t, dir)
	config := "[global]\n netbios name = DC1\n realm = CORP.TEST\n workgroup = CORP\n server role = active directory domain controller\n server services = ldap\n" +
		" bind interfaces only = yes\n interfaces = lo\n logging = file\n log file = " + dir + "/log\n ldap server require strong auth = allow_sasl_over_tls\n" +
		" tls keyfile = " + dir + "/key.pem\n tls certfile = " + dir + "/cert.pem\n tls cafile = " + dir + "/cert.pem\n lock directory = " + dir + "\n"
	for option, sub := range map[string]string{"private dir": "private", "state directory": "state", "cache directory": "cache", "pid directory": "run",
		"ncalrpc dir": "ncalrpc", "ntp signd socket directory": "ntp", "winbindd socket directory": "winbindd"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
		config += fmt.Sprintf(" %s = %s\n", option, filepath.Join(dir, sub))
	}
	file := filepath.Join(dir, "smb.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	run := exec.Command("samba", "-F", "-s", file, "-M", "single", "--no-process-group", "--debug-stdout")
	var log buffer
	run.Stdout, run.Stderr = &log, &log
	run.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = run.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = run.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			_ = run.Process.Kill()
			<-done
		}
	})
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		c, err := s.dial()
		if err == nil {
			_ = c.Close()
			return s
		}
		select {
		case <-done:
			t.Fatalf("samba ended: %s", log.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("samba does not answer: %v\n%s", err, log.String())
		}
	}
}

func (s *Samba) dial() (*ldap.Conn, error) {
	c, err := ldap.DialURL(SambaAddress, ldap.DialWithTLSConfig(s.TLS("127.0.0.1")))
	if err == nil {
		if err = c.Bind(Administrator, SambaPassword); err != nil {
			_ = c.Close()
		}
	}
	return c, err
}

// Do does something as the administrator.
func (s *Samba) Do(do func(*ldap.Conn) error) {
	s.t.Helper()
	c, err := s.dial()
	if err == nil {
		defer c.Close()
		err = do(c)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// Person adds a user who is enabled.
func (s *Samba) Person(name string) string {
	s.t.Helper()
	dn := "CN=" + name + ",CN=Users," + Domain
	s.Do(func(c *ldap.Conn) error {
		r := ldap.NewAddRequest(dn, nil)
		r.Attribute("objectClass", []string{"user"})
		r.Attribute("sAMAccountName", []string{name})
		r.Attribute("userAccountControl", []string{"544"}) // enabled, no password needed
		return c.Add(r)
	})
	return dn
}

// Group adds a group.
func (s *Samba) Group(name string, members ...string) string {
	s.t.Helper()
	dn := "CN=" + name + ",OU=groups," + Domain
	s.Do(func(c *ldap.Conn) error {
		r := ldap.NewAddRequest(dn, nil)
		r.Attribute("objectClass", []string{"group"})
		r.Attribute("sAMAccountName", []string{name})
		if len(members) > 0 {
			r.Attribute("member", members)
		}
		return c.Add(r)
	})
	return dn
}

// Modify replaces, adds or deletes values of an attribute.
func (s *Samba) Modify(dn, op, attribute string, values ...string) {
	s.t.Helper()
	s.Do(func(c *ldap.Conn) error {
		r := ldap.NewModifyRequest(dn, nil)
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

// Dial reaches the server without rules.
func (s *Samba) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// TLS believes the server's certificate.
func (s *Samba) TLS(name string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.Roots, ServerName: name}
}
