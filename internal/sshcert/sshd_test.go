package sshcert

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	mrand "math/rand/v2"
	"net"
	"net/netip"
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

	"stint/internal/sshcert/krl"
)

const sshdPath = "/usr/sbin/sshd"

// daemon is a real sshd on loopback with a configuration of the test's own.
type daemon struct {
	t           *testing.T
	dir, port   string
	login       string
	users, host *Authority
	userKey     ed25519.PrivateKey // of users
	log         *lockedBuffer
}

// startSSHD starts one that trusts a fresh authority, and knows one principal for the
// account the test runs as. hostCert makes the certificate that it shows; nil: a right one.
func startSSHD(t *testing.T, principals string, hostCert func(*daemon, Spec) string) *daemon {
	t.Helper()
	if _, err := os.Stat(sshdPath); err != nil {
		t.Fatalf("no sshd: %v (Debian: apt install openssh-server, or make setup)", err)
	}
	me := must(user.Current())
	dir := t.TempDir()
	d := &daemon{t: t, dir: dir, login: me.Username, host: authority(t, Host), log: &lockedBuffer{}}
	_, d.userKey = must2(ed25519.GenerateKey(rand.Reader))
	d.users = must(NewAuthority(User, d.userKey))
	// Below the range from which systems take the ports of outgoing connections: there, one of
	// those could take it before sshd does.
	for n := 0; d.port == ""; n++ {
		ln, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(5000+mrand.IntN(5000)))
		if err == nil {
			_, d.port, _ = net.SplitHostPort(ln.Addr().String())
			err = ln.Close()
		}
		if n == 100 {
			check(t, err)
		}
	}
	hostKey := d.newKey("host")
	s := Spec{Key: hostKey, Serial: 1, KeyID: "host", Principals: []string{"127.0.0.1"}, NotBefore: time.Now().Add(-Backdate), NotAfter: time.Now().Add(time.Hour)}
	if hostCert == nil {
		hostCert = func(d *daemon, s Spec) string { return must(d.host.Issue(s, rand.Reader)).Line() }
	}
	d.write("host-cert.pub", hostCert(d, s)+"\n")
	d.write("ca.pub", d.users.Keys()[0].Line()+"\n")
	d.write("principals", principals+"\n")
	d.revoke()
	d.write("sshd_config", strings.Join([]string{
		"ListenAddress 127.0.0.1", "Port " + d.port, "HostKey " + dir + "/host", "HostCertificate " + dir + "/host-cert.pub", "PidFile none",
		"TrustedUserCAKeys " + dir + "/ca.pub", "AuthorizedPrincipalsFile " + dir + "/principals", "RevokedKeys " + dir + "/krl", "AuthorizedKeysFile none",
		"StrictModes no", "UsePAM no", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin prohibit-password", "LogLevel VERBOSE",
		"Subsystem sftp internal-sftp", "MaxStartups 100",
	}, "\n")+"\n")
	if os.Geteuid() == 0 {
		check(t, os.MkdirAll("/run/sshd", 0o755)) // where sshd leaves its privileges; a package's own start makes it
	}
	run(t, dir, sshdPath, "-t", "-f", dir+"/sshd_config")
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, sshdPath, "-D", "-e", "-f", dir+"/sshd_config")
	cmd.Stderr = d.log
	check(t, cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sshd said:\n%s", d.log)
		}
	})
	for deadline := time.Now().Add(60 * time.Second); ; {
		c, err := net.Dial("tcp", "127.0.0.1:"+d.port)
		if err == nil {
			_ = c.Close()
			return d
		}
		if time.Now().After(deadline) {
			t.Fatalf("sshd does not listen: %v\n%s", err, d.log)
		}
	}
}

func (d *daemon) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// newKey makes a key in a file and gives its public half.
func (d *daemon) newKey(name string) Key {
	d.t.Helper()
	public, private := must2(ed25519.GenerateKey(rand.Reader))
	d.write(name, string(pem.EncodeToMemory(must(ssh.MarshalPrivateKey(private, "")))))
	return keyOf(d.t, public)
}

func (d *daemon) revoke(serials ...uint64) {
	d.t.Helper()
	d.write("krl", string(must(krl.Marshal(krl.List{Version: 1, Authorities: []krl.Authority{{Key: d.users.Keys()[0].Blob(), Serials: krl.Serials(serials...)}}}))))
}

// try logs in with plain ssh, the key "id" and a certificate, and runs a command.
func (d *daemon) try(cert string) (string, error) {
	d.t.Helper()
	d.write("id-cert.pub", cert+"\n")
	d.write("known_hosts", d.host.KnownHosts("[127.0.0.1]:" + d.port)[0]+"\n")
	args := []string{"-F", "none", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "CertificateFile=" + d.dir + "/id-cert.pub", "-i", d.dir + "/id",
		"-o", "UserKnownHostsFile=" + d.dir + "/known_hosts", "-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-p", d.port, "-l", d.login, "127.0.0.1", "echo in as $(id -un)"}
	cmd := exec.Command("ssh", args...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestRealServer: what we sign, OpenSSH takes; and what each rule is about, it refuses,
// or would not, which is why the linter does.
func TestRealServer(t *testing.T) {
	d := startSSHD(t, "stint-x", nil)
	id := d.newKey("id")
	other := authority(t, User)
	now := time.Now()
	spec := func(bend func(*Spec)) Spec {
		s := Spec{Key: id, Serial: 42, KeyID: "stint test grant=grt_1 person=mira", Principals: []string{"stint-x"}, NotBefore: now.Add(-Backdate), NotAfter: now.Add(10 * time.Minute), Permits: []Permit{PTY}}
		if bend != nil {
			bend(&s)
		}
		return s
	}
	user := func(bend func(*Spec)) string { return must(d.users.Issue(spec(bend), rand.Reader)).Line() }
	raw := func(by ssh.Signer, bend func(*ssh.Certificate)) string {
		s := spec(nil)
		x := &ssh.Certificate{Key: id.public, Serial: s.Serial, CertType: ssh.UserCert, KeyId: s.KeyID, ValidPrincipals: s.Principals,
			ValidAfter: uint64(s.NotBefore.Unix()), ValidBefore: uint64(s.NotAfter.Unix()), Permissions: ssh.Permissions{Extensions: s.extensions()}}
		bend(x)
		signAs(t, x, by)
		return x.Type() + " " + base64.StdEncoding.EncodeToString(x.Marshal())
	}
	swapped := must(ssh.ParsePublicKey(must(d.users.Issue(spec(nil), rand.Reader)).Blob())).(*ssh.Certificate)
	swapped.Signature = must(ssh.ParsePublicKey(must(d.users.Issue(spec(func(s *Spec) { s.Serial = 43 }), rand.Reader)).Blob())).(*ssh.Certificate).Signature
	host := spec(func(s *Spec) { s.Permits, s.Principals = nil, []string{"stint-x"} })
	byUsers := must(ssh.NewSignerFromSigner(d.userKey))
	hostSigner := must(NewAuthority(Host, d.userKey))

	for _, c := range []struct {
		name, cert string
		in         bool
		says       string // sshd's reason, in its log
	}{
		{"as decided", user(nil), true, `Accepted certificate ID "stint test grant=grt_1 person=mira" (serial 42)`},
		{"from an address of its own", user(func(s *Spec) { s.Sources = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }), true, ""},
		{"from another address", user(func(s *Spec) { s.Sources = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }), false, "not from a permitted source address"},
		{"another principal", user(func(s *Spec) { s.Principals = []string{"stint-y"} }), false, "does not contain an authorized principal"},
		{"expired", user(func(s *Spec) { s.NotBefore, s.NotAfter = now.Add(-time.Minute), now.Add(-time.Second) }), false, "Certificate invalid: expired"},
		{"not yet", user(func(s *Spec) { s.NotBefore = now.Add(5 * time.Minute) }), false, "not yet valid"},
		{"revoked", user(func(s *Spec) { s.Serial = 666 }), false, "revoked"},
		{"of another authority", must(other.Issue(spec(nil), rand.Reader)).Line(), false, ""},
		{"of a host, used by a person", must(d.host.Issue(host, rand.Reader)).Line(), false, ""},
		{"of a host, by the authority of users", must(hostSigner.Issue(host, rand.Reader)).Line(), false, ""},
		{"with a swapped signature", swapped.Type() + " " + base64.StdEncoding.EncodeToString(swapped.Marshal()), false, ""},
		{"signed by a certificate", raw(nestedSigner(t, byUsers), func(*ssh.Certificate) {}), false, ""},
		{"without principals", raw(byUsers, func(x *ssh.Certificate) { x.ValidPrincipals = nil }), false, ""},
		{"with an option nobody knows", raw(byUsers, func(x *ssh.Certificate) { x.CriticalOptions = map[string]string{"x@example.com": "1"} }), false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.revoke(666)
			out, err := d.try(c.cert)
			if c.in != (err == nil && strings.Contains(out, "in as "+d.login)) {
				t.Errorf("in %v, want %v: %v\n%s", !c.in, c.in, err, out)
			}
			if c.says != "" && !strings.Contains(d.log.String(), c.says) {
				t.Errorf("sshd does not say %q", c.says)
			}
		})
	}

	t.Run("a forced command", func(t *testing.T) {
		out, err := d.try(user(func(s *Spec) { s.ForceCommand = "echo forced instead of $SSH_ORIGINAL_COMMAND" }))
		if err != nil || !strings.Contains(out, "forced instead of echo in as") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("revoked once it was used", func(t *testing.T) {
		cert := user(func(s *Spec) { s.Serial = 777 })
		if out, err := d.try(cert); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		d.revoke(666, 777)
		if out, err := d.try(cert); err == nil {
			t.Errorf("in after it was revoked\n%s", out)
		}
	})
}

// TestRealClient: a host is believed by the certificate of its key, for its name, and
// nothing else.
func TestRealClient(t *testing.T) {
	for name, c := range map[string]struct {
		cert func(*daemon, Spec) string
		in   bool
	}{
		"as decided": {nil, true},
		"for another name": {func(d *daemon, s Spec) string {
			s.Principals = []string{"web2"}
			return must(d.host.Issue(s, rand.Reader)).Line()
		}, false},
		"of another authority": {func(_ *daemon, s Spec) string { return must(authority(t, Host).Issue(s, rand.Reader)).Line() }, false},
		"expired": {func(d *daemon, s Spec) string {
			s.NotBefore, s.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)
			return must(d.host.Issue(s, rand.Reader)).Line()
		}, false},
		"of a user": {func(d *daemon, s Spec) string { return must(d.users.Issue(s, rand.Reader)).Line() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := startSSHD(t, "stint-x", c.cert)
			s := Spec{Key: d.newKey("id"), Serial: 9, KeyID: "k", Principals: []string{"stint-x"}, NotBefore: time.Now().Add(-Backdate), NotAfter: time.Now().Add(time.Minute)}
			out, err := d.try(must(d.users.Issue(s, rand.Reader)).Line())
			if c.in != (err == nil) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lockedBuffer is written by a process and read by a test.
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
