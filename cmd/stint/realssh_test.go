//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/freeport"
)

const sshdPath = "/usr/sbin/sshd"

// sshd runs a real one on loopback, of a configuration of the test's own. It trusts the
// fake's authority, and shows a certificate by hostBy for name; nil: none.
func (f *fake) sshd(t testing.TB, hostBy ssh.Signer, name string) {
	t.Helper()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%v (Debian: apt install openssh-server, or make setup)", err)
		}
	}
	_, err := os.Stat(sshdPath)
	ok(err)
	me, err := user.Current()
	ok(err)
	dir := t.TempDir()
	write := func(file string, text []byte) { t.Helper(); ok(os.WriteFile(filepath.Join(dir, file), text, 0o600)) }
	f.mu.Lock()
	ok(f.makeAuthority())
	f.mu.Unlock()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	ok(err)
	block, err := ssh.MarshalPrivateKey(private, "")
	ok(err)
	write("host", pem.EncodeToMemory(block))
	write("ca.pub", ssh.MarshalAuthorizedKey(f.authority.PublicKey()))
	write("principals", []byte("stint-x\n"))
	free, err := freeport.Find()
	ok(err)
	address, port := freeport.Address(free), strconv.Itoa(free)
	lines := []string{"ListenAddress 127.0.0.1", "Port " + port, "HostKey " + dir + "/host", "PidFile none", "TrustedUserCAKeys " + dir + "/ca.pub",
		"AuthorizedPrincipalsFile " + dir + "/principals", "AuthorizedKeysFile none", "StrictModes no", "UsePAM no", "PasswordAuthentication no",
		"KbdInteractiveAuthentication no", "PermitRootLogin prohibit-password", "Subsystem sftp internal-sftp"}
	if hostBy != nil {
		public, err := ssh.NewPublicKey(private.Public())
		ok(err)
		c := &ssh.Certificate{Key: public, Serial: 1, CertType: ssh.HostCert, KeyId: "host", ValidPrincipals: []string{name},
			ValidAfter: uint64(time.Now().Add(-time.Minute).Unix()), ValidBefore: uint64(time.Now().Add(time.Hour).Unix())}
		ok(c.SignCert(rand.Reader, hostBy))
		write("host-cert.pub", ssh.MarshalAuthorizedKey(c))
		lines = append(lines, "HostCertificate "+dir+"/host-cert.pub")
	}
	write("sshd_config", []byte(strings.Join(lines, "\n")+"\n"))
	if os.Geteuid() == 0 {
		ok(os.MkdirAll("/run/sshd", 0o755)) // where sshd leaves its privileges; a package's own start makes it
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, sshdPath, "-D", "-e", "-f", dir+"/sshd_config")
	var said lockedBuffer
	cmd.Stderr = &said
	ok(cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sshd said:\n%s", said.String())
		}
	})
	for deadline := time.Now().Add(60 * time.Second); ; {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("sshd does not listen: %v\n%s", err, said.String())
		}
	}
	f.change(func() { f.address, f.account = address, me.Username })
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// real runs the command line as mira, with the OpenSSH of this machine.
type real struct {
	t    testing.TB
	env  []string
	home string
}

func (r real) run(args ...string) (code int, out string) {
	r.t.Helper()
	// Its streams are files: a pipe would be held open by what ssh leaves behind.
	file, err := os.CreateTemp(r.t.TempDir(), "out")
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	code = Main(r.t.Context(), args, r.env, strings.NewReader(""), file, file)
	text, err := os.ReadFile(file.Name())
	if err != nil {
		r.t.Fatal(err)
	}
	return code, string(text)
}

func newReal(t testing.TB, f *fake) real {
	t.Helper()
	r := real{t: t, home: filepath.Join(t.TempDir(), "a home", "mira")} // paths have spaces
	if err := enroll(f, r.home, "mira"); err != nil {
		t.Fatal(err)
	}
	r.env = []string{"STINT_SERVER=" + f.URL, "STINT_HOME=" + r.home, "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "TZ=UTC"}
	return r
}

// trusted starts a host whose certificate is by the authority that the server names, and
// gives who connects to it.
func trusted(t *testing.T) (*fake, real) {
	t.Helper()
	f := newFake(t)
	f.mu.Lock()
	if err := f.makeAuthority(); err != nil {
		t.Fatal(err)
	}
	f.mu.Unlock()
	f.sshd(t, f.authority, "127.0.0.1")
	return f, newReal(t, f)
}

// TestRealSSH: OpenSSH's own programs get in with what they are told, ask nobody
// whether a fingerprint is right, and carry files both ways.
func TestRealSSH(t *testing.T) {
	_, r := trusted(t)
	if code, out := r.run("ssh", "web1", "--as", "reader", "--for", "5m", "--why", "disk full", "--", "echo in; exit 7"); code != 7 || !strings.Contains(out, "in\n") {
		t.Fatalf("code %d\n%s", code, out)
	}
	dir := t.TempDir()
	text := strings.Repeat("a line of a file\n", 10_000)
	here, there, back := filepath.Join(dir, "here"), filepath.Join(dir, "there"), filepath.Join(dir, "back")
	if err := os.WriteFile(here, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"scp", here, "web1:" + there}, {"scp", "web1:" + there, back, "--", "-q"}} {
		if code, out := r.run(args...); code != 0 {
			t.Fatalf("%q: code %d\n%s", args, code, out)
		}
	}
	if got, err := os.ReadFile(back); err != nil || string(got) != text {
		t.Errorf("%d bytes came back: %v", len(got), err)
	}
	batch := filepath.Join(dir, "batch")
	if err := os.WriteFile(batch, []byte("ls "+dir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := r.run("sftp", "web1", "--", "-b", batch); code != 0 || !strings.Contains(out, "there") {
		t.Errorf("code %d\n%s", code, out)
	}

	// The configuration, with ssh itself. What it would run is this test, so that it is
	// prepared by hand, and a stand-in says that it was.
	if code, out := r.run("ssh-config", "--prepare", "web1"); code != 0 {
		t.Fatalf("code %d\n%s", code, out)
	}
	config := filepath.Join(dir, "config")
	if err := os.WriteFile(config, []byte("Match originalhost web1.stint exec \"true\"\n\tInclude "+sshPath(hostFile(filepath.Join(r.home, sshFolder), "web1"))+"\n\nMatch all\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ssh", "-F", config, "-o", "BatchMode=yes", "web1.stint", "echo by configuration").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "by configuration") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestRealSSHRefuses: a host without a certificate, with one for another name, or by
// another authority is not connected to, and nobody is asked.
func TestRealSSHRefuses(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		by   func(*fake) ssh.Signer
		host string
	}{
		"none":                 {func(*fake) ssh.Signer { return nil }, ""},
		"for another name":     {func(f *fake) ssh.Signer { return f.authority }, "web2"},
		"by another authority": {func(*fake) ssh.Signer { return stranger }, "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.mu.Lock()
			if err := f.makeAuthority(); err != nil {
				t.Fatal(err)
			}
			f.mu.Unlock()
			f.sshd(t, c.by(f), c.host)
			r := newReal(t, f)
			code, out := r.run("ssh", "web1", "--as", "reader", "--for", "5m", "--why", "disk full", "--", "echo got in")
			if code != 255 || strings.Contains(out, "got in") || !strings.Contains(out, "ost key verification failed") {
				t.Errorf("code %d\n%s", code, out)
			}
		})
	}
}

// TestRealSSHRevoked: a host whose certificate was taken back is refused though nothing
// else changed and though its certificate was good a moment ago, and so is everybody while
// the list cannot be read: by stint ssh, and by OpenSSH with its configuration.
func TestRealSSHRevoked(t *testing.T) {
	f, r := trusted(t)
	if code, out := r.run("ssh", "web1", "--as", "reader", "--for", "5m", "--why", "disk full", "--", "echo got in"); code != 0 || !strings.Contains(out, "got in") {
		t.Fatalf("before: code %d\n%s", code, out)
	}
	config := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(config, []byte("Match originalhost web1.stint exec \"true\"\n\tInclude "+sshPath(hostFile(filepath.Join(r.home, sshFolder), "web1"))+"\n\nMatch all\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	plain := func() (string, error) {
		if code, out := r.run("ssh-config", "--prepare", "web1"); code != 0 {
			t.Fatalf("prepare: code %d\n%s", code, out)
		}
		out, err := exec.Command("ssh", "-F", config, "-o", "BatchMode=yes", "web1.stint", "echo got in").CombinedOutput()
		return string(out), err
	}
	if out, err := plain(); err != nil {
		t.Fatalf("before, by the configuration: %v\n%s", err, out)
	}

	f.change(func() { f.revoked = []uint64{1} }) // the host's own
	if code, out := r.run("ssh", "web1", "--", "echo got in"); code != 255 || strings.Contains(out, "got in") || !strings.Contains(out, "revoked") {
		t.Errorf("revoked: code %d\n%s", code, out)
	}
	if out, err := plain(); err == nil || strings.Contains(out, "got in") || !strings.Contains(out, "revoked") {
		t.Errorf("revoked, by the configuration: %v\n%s", err, out)
	}

	f.change(func() { f.revoked, f.badList = nil, true })
	if code, out := r.run("ssh", "web1", "--", "echo got in"); code != 125 || strings.Contains(out, "got in") || !strings.Contains(out, "bad-list") {
		t.Errorf("without a list: code %d\n%s", code, out)
	}
	f.change(func() { f.badList = false })
	if code, out := r.run("ssh", "web1", "--", "echo got in"); code != 0 {
		t.Errorf("after: code %d\n%s", code, out)
	}
}

// TestRealSSHRotated: a host that shows a certificate by a new authority is known, though the
// person's own certificate is from before.
func TestRealSSHRotated(t *testing.T) {
	_, r := trusted(t)
	if code, out := r.run("ssh", "web1", "--as", "reader", "--for", "5m", "--why", "disk full", "--", "echo got in"); code != 0 || !strings.Contains(out, "got in") {
		t.Fatalf("before: code %d\n%s", code, out)
	}
	// The files are as if they had been made before the authority that the host now has.
	hosts, err := filepath.Glob(filepath.Join(r.home, sshFolder, "grt_*-hosts"))
	if err != nil || len(hosts) != 1 {
		t.Fatalf("%q, %v", hosts, err)
	}
	text, err := os.ReadFile(hosts[0])
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text))
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	before, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	stale := strings.Join(fields[:2], " ") + " " + string(ssh.MarshalAuthorizedKey(before.PublicKey()))
	if err := os.WriteFile(hosts[0], []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := r.run("ssh", "web1", "--", "echo got in"); code != 0 || !strings.Contains(out, "got in") {
		t.Errorf("after: code %d\n%s", code, out)
	}
}
