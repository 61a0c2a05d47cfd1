//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// issuing is an authority of certificates, and a folder that it writes them to. All have
// one name, so that a client offers what any of them issued.
type issuing struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuing(t *testing.T, dir, name string) *issuing {
	t.Helper()
	a := &issuing{t: t, dir: dir}
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert, a.key = a.issue(name, a.cert)
	return a
}

// issue writes NAME.pem and NAME.key.
func (a *issuing) issue(name string, of *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	by := a.key
	if by == nil { // its own
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, of, a.cert, &key.PublicKey, by)
	must(a.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(a.t, err)
	must(a.t, os.WriteFile(filepath.Join(a.dir, name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(a.t, os.WriteFile(filepath.Join(a.dir, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	cert, err := x509.ParseCertificate(der)
	must(a.t, err)
	return cert, key
}

func (a *issuing) client(name, uri string) {
	a.t.Helper()
	u, err := url.Parse(uri)
	must(a.t, err)
	a.issue(name, &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(30 * time.Minute), URIs: []*url.URL{u},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

// TestClientCertificate: a real stintd that ends TLS itself lets a host in by its
// certificate, as the service that a document says, and no host with another.
func TestClientCertificate(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir, at := t.TempDir(), freeAddress(t)
	servers, clients, strangers := newIssuing(t, dir, "servers"), newIssuing(t, dir, "clients"), newIssuing(t, dir, "strangers")
	servers.issue("server", &x509.Certificate{SerialNumber: big.NewInt(3), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	clients.client("host", "spiffe://corp.example/host/cron1")
	clients.client("other", "spiffe://corp.example/host/web1")
	strangers.client("forged", "spiffe://corp.example/host/cron1")
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	config := file("stintd.yaml", "tls: {cert: server.pem, key: server.key}\n")
	bin, err := filepath.Abs("../../bin")
	must(t, err)
	server := exec.CommandContext(ctx, filepath.Join(bin, "stintd"), "serve", "--data", filepath.Join(dir, "data"), "--listen", at, "--config", config, "--client-ca", filepath.Join(dir, "clients.pem"))
	log := &strings.Builder{}
	server.Stderr = log
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	stint := func(home string, env []string, args ...string) (string, int) {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, "stint"), args...)
		cmd.Env = append(os.Environ(), "STINT_SERVER=https://"+at, "STINT_HOME="+filepath.Join(dir, home), "SSL_CERT_FILE="+filepath.Join(dir, "servers.pem"), "NO_COLOR=1", "STINT_NO_INPUT=1")
		cmd.Env = append(cmd.Env, env...)
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	root := func(args ...string) {
		t.Helper()
		if out, code := stint("root", nil, args...); code != 0 {
			t.Fatalf("stint %s: exit %d\n%s", strings.Join(args, " "), code, out)
		}
	}
	until(t, "stintd serves", func() (bool, error) {
		_, code := stint("root", nil, "login", "--bootstrap-token-file", filepath.Join(dir, "data", "bootstrap-token"), "--name", "root")
		return code == 0, nil
	})
	root("admin", "service", "add", "cron", "--owner", "root", "--no-token")
	root("apply", "-f", file("cron.yaml", "kind: Workload\nname: cron\nservice: cron\ncertificate: {uri: spiffe://corp.example/host/cron1}\n"))
	with := func(name string) []string {
		return []string{"STINT_CLIENT_CERT=" + filepath.Join(dir, name+".pem"), "STINT_CLIENT_KEY=" + filepath.Join(dir, name+".key")}
	}
	if out, code := stint("cron", with("host"), "whoami", "-o", "json"); code != 0 || !strings.Contains(out, `"service:cron"`) || !strings.Contains(out, `"certificate"`) {
		t.Errorf("its certificate: exit %d\n%s", code, out)
	}
	for _, x := range []struct {
		name string
		code int
	}{{"other", 4}, {"forged", 69}, {"host.none", 2}} {
		if out, code := stint("cron", with(x.name), "whoami"); code != x.code {
			t.Errorf("%s: exit %d, want %d\n%s", x.name, code, x.code, out)
		}
	}
	if out, code := stint("cron", nil, "whoami"); code != 4 { // nothing was kept
		t.Errorf("without: exit %d\n%s", code, out)
	}
	root("delete", "workload", "cron")
	if out, code := stint("cron", with("host"), "whoami"); code != 4 {
		t.Errorf("after its document is gone: exit %d\n%s", code, out)
	}
	if out, _ := stint("root", nil, "admin", "doctor"); !strings.Contains(out, "service cron: has no way in") {
		t.Errorf("the doctor does not say that cron has no way in:\n%s", out)
	}
}
