package host

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/connectortest"
	"stint/internal/connector/linux"
	"stint/internal/freeport"
)

// world is a host: a real sshd with settings, PAM service, certificate authority and
// folders of its own, in the namespaces that TestMain made.
type world struct {
	t      testing.TB
	c      *Connector
	config Config
	base   string // everything of this world's is below it
	pam    string // the PAM service's file
	ca     ssh.Signer
	port   int
	sshd   *exec.Cmd
	lend   []string // groups for accounts that are made
}

var worlds atomic.Int64

func newWorld(t testing.TB) *world {
	t.Helper()
	n := strconv.FormatInt(worlds.Add(1), 10)
	w := &world{t: t, base: "/etc/ssh/world-" + n, ca: newSigner(t)}
	must(t, os.MkdirAll(w.base+"/keys", 0o755))
	w.pam = "/etc/pam.d/sshd-" + n
	w.config = Config{
		Keys: w.base + "/keys", State: w.base + "/state", Run: w.base + "/run", Cgroup: filepath.Join(os.Getenv(cgroupEnv), "w"+n),
		SSHD: w.base + "/sshd-" + n, SSHDConfig: w.base + "/sshd_config", PAM: w.pam, Hook: w.base + "/hook",
	}
	w.c = New(w.config)
	self, err := os.Executable()
	must(t, err)
	w.write(w.base+"/keys/user_ca.pub", string(ssh.MarshalAuthorizedKey(w.ca.PublicKey())), 0o644)
	w.write(w.base+"/config.json", string(w.settings()), 0o600)
	w.write(w.base+"/hook", "#!/bin/sh\n"+hookEnv+"="+w.base+"/config.json exec "+self+" \"$@\"\n", 0o755)
	w.hook(true)
	must(t, os.Symlink("/usr/sbin/sshd", w.config.SSHD)) // sshd names its PAM service as it is called itself
	key, err := ssh.MarshalPrivateKey(newKey(t), "")
	must(t, err)
	w.write(w.base+"/hostkey", string(pem.EncodeToMemory(key)), 0o600)
	port, err := freeport.Find()
	must(t, err)
	w.port = port
	w.write(w.config.SSHDConfig, strings.Join([]string{
		"ListenAddress 127.0.0.1:" + strconv.Itoa(w.port), "HostKey " + w.base + "/hostkey", "PidFile none", "UsePAM yes",
		"TrustedUserCAKeys " + w.base + "/keys/user_ca.pub", "AuthorizedPrincipalsFile " + w.base + "/keys/principals/%u",
		"AuthorizedKeysFile %h/.ssh/authorized_keys", "PasswordAuthentication yes", "KbdInteractiveAuthentication no",
		"MaxStartups 200:30:300", "LogLevel VERBOSE", "Subsystem sftp internal-sftp", "",
	}, "\n"), 0o600)
	w.start()
	t.Cleanup(w.close)
	return w
}

// settings are the configuration without its clock, for the hook's process.
func (w *world) settings() []byte {
	c := w.config
	b, err := json.Marshal(map[string]string{"Keys": c.Keys, "State": c.State, "Run": c.Run, "Cgroup": c.Cgroup})
	must(w.t, err)
	return b
}

// hook writes the PAM service, with or without the hook around pam_env, which reads
// what people wrote into their home, and a session module of others.
func (w *world) hook(with bool) {
	lines := []string{"session optional pam_keyinit.so force revoke", "session required pam_env.so user_readenv=1", "session required pam_permit.so"}
	if with {
		lines = append(append([]string{hookLine(w.config.Hook)}, lines...), hookLine(w.config.Hook))
	}
	w.write(w.pam, strings.Join(append([]string{"auth required pam_unix.so", "account required pam_unix.so"}, lines...), "\n")+"\n", 0o644)
}

func (w *world) start() {
	w.t.Helper()
	log, err := os.OpenFile(w.base+"/sshd.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(w.t, err)
	defer log.Close()
	w.sshd = exec.Command(w.config.SSHD, "-D", "-e", "-f", w.config.SSHDConfig)
	w.sshd.Stderr, w.sshd.Env = log, []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if err := w.sshd.Start(); err != nil {
		w.t.Fatalf("start sshd (Debian: apt-get install openssh-server): %v", err)
	}
	w.wait("sshd listens", func() bool {
		c, err := net.Dial("tcp", w.addr())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// stop ends the listener; sessions live on, as they do when a distribution updates it.
func (w *world) stop() {
	_ = w.sshd.Process.Signal(unix.SIGTERM)
	_ = w.sshd.Wait()
}

func (w *world) close() {
	w.stop()
	if w.t.Failed() {
		b, _ := os.ReadFile(w.base + "/sshd.log")
		if len(b) > 6000 {
			b = b[len(b)-6000:]
		}
		w.t.Logf("sshd said:\n%s", b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	tags, _ := w.c.cgroupTags()
	for _, tag := range tags {
		if err := errors.Join(w.c.kill(ctx, tag), w.c.removeCgroup(tag)); err != nil {
			w.t.Errorf("clean up: %v", err)
		}
	}
	// Worlds share sudoers.d and the accounts: what a case left is not the next one's.
	left, _ := filepath.Glob("/etc/sudoers.d/stint-*")
	for _, path := range left {
		_ = os.Remove(path)
	}
	as, _ := w.c.accounts()
	for _, a := range as {
		if _, ours := accountTag(a); ours || strings.HasPrefix(a.name, linux.AccountPrefix) {
			_ = w.c.endAccount(ctx, a.name, a.uid)
			_ = exec.Command("userdel", "--force", a.name).Run()
		}
	}
	if err := os.Remove(w.c.Cgroup); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Errorf("clean up: %v", err)
	}
}

func (w *world) addr() string { return "127.0.0.1:" + strconv.Itoa(w.port) }

// wait asks until something is so; that it never is fails the test.
func (w *world) wait(what string, so func() bool) {
	w.t.Helper()
	for end := time.Now().Add(60 * time.Second); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("never: %s", what)
		}
	}
}

func (w *world) write(path, text string, mode fs.FileMode) {
	w.t.Helper()
	must(w.t, os.WriteFile(path, []byte(text), mode))
	must(w.t, os.Chmod(path, mode))
}

// run runs a program of the host's and returns what it printed.
func (w *world) run(name string, args ...string) string {
	w.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// user makes a standing account.
func (w *world) user(prefix string) string {
	w.t.Helper()
	name := prefix + strconv.FormatInt(worlds.Add(1), 10)
	w.run("useradd", "--create-home", "--shell", "/bin/sh", name)
	return name
}

func (w *world) Connector() connector.Connector { return told{w.c} }

// told is the connector of a host with the control plane's end: the host is told of
// passwords by what it would have of them.
type told struct{ *Connector }

func (c told) tell(ctx context.Context, t connector.Target, os []connector.Order) ([]connector.Order, error) {
	salts, err := c.Salts(ctx, t, os)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(os)
	for i, o := range os {
		if o.Mechanism != access.Checkout {
			continue
		}
		words, err := linux.Tell(o, salts[i])
		if err != nil {
			return nil, err
		}
		out[i].Secret, out[i].Next = access.NewSecret([]byte(words.Secret)), access.NewSecret([]byte(words.Next))
	}
	return out, nil
}

func (c told) Provision(ctx context.Context, t connector.Target, o connector.Order) (connector.Receipt, error) {
	if o.Mechanism != access.Checkout {
		return c.Connector.Provision(ctx, t, o)
	}
	os, err := c.tell(ctx, t, []connector.Order{o})
	if err != nil {
		return connector.Receipt{}, &connector.Error{Outcome: connector.NotDone, Message: err.Error(), Cause: err}
	}
	r, err := c.Connector.Provision(ctx, t, os[0])
	if err != nil {
		return r, err
	}
	return linux.Lent(t, o, r)
}

func (c told) end(ctx context.Context, t connector.Target, os []connector.Order, do func(context.Context, connector.Target, []connector.Order) []connector.Result) []connector.Result {
	said, err := c.tell(ctx, t, os)
	if err != nil {
		out := make([]connector.Result, len(os))
		for i := range out {
			out[i].Err = err
		}
		return out
	}
	return do(ctx, t, said)
}

func (c told) Observe(ctx context.Context, t connector.Target, o connector.Order) (connector.Before, error) {
	o.Secret, o.Next = access.Secret{}, access.Secret{}
	return c.Connector.Observe(ctx, t, o)
}

func (c told) TerminateSessions(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	bare := slices.Clone(os)
	for i := range bare {
		bare[i].Secret, bare[i].Next = access.Secret{}, access.Secret{}
	}
	return c.Connector.TerminateSessions(ctx, t, bare)
}

func (c told) Revoke(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return c.end(ctx, t, os, c.Connector.Revoke)
}

func (c told) Remove(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return c.end(ctx, t, os, c.Connector.Remove)
}

func (c told) Verify(ctx context.Context, t connector.Target, os []connector.Order) []connector.Observation {
	said, err := c.tell(ctx, t, os)
	if err != nil {
		out := make([]connector.Observation, len(os))
		for i := range out {
			out[i] = connector.Observation{Sessions: -1, Err: err}
		}
		return out
	}
	return c.Connector.Verify(ctx, t, said)
}

func (w *world) Target() connector.Target {
	return connector.Target{Connection: access.Connection{Type: linux.Type, Address: w.addr()}}
}

// group makes one that may be lent.
func (w *world) group() string {
	w.t.Helper()
	name := "lent" + strconv.FormatInt(worlds.Add(1), 10)
	w.run("groupadd", name)
	return name
}

func (w *world) Order(m access.Mechanism) connector.Order {
	w.t.Helper()
	o := connector.Order{Tag: connectortest.NewTag(), Mechanism: m, Person: "mira", ExpiresAt: time.Now().Add(time.Hour).Truncate(time.Second).UTC()}
	switch m {
	case access.Account:
		if w.lend == nil {
			w.lend = []string{w.group(), w.group()}
		}
		o.Rights = w.lend
		return o
	case access.Member:
		o.Rights = []string{w.group()}
	case access.Elevate:
		o.Rights = []string{"/usr/bin/cat", "/usr/bin/id -u"}
	}
	o.Account = w.user("mira")
	if m == access.Checkout {
		password := rand.Text()
		w.setPassword(o.Account, password)
		o.Secret = access.NewSecret([]byte(password))
	}
	if m == access.Enable {
		w.run("usermod", "--lock", "--expiredate", "1970-01-02", o.Account)
	}
	return o
}

// setPassword is what passwd does where login.defs says SHA512.
func (w *world) setPassword(account, password string) {
	w.t.Helper()
	cmd := exec.Command("chpasswd", "--crypt-method", "SHA512")
	cmd.Stdin = strings.NewReader(account + ":" + password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("chpasswd: %v\n%s", err, out)
	}
}

// fits asks OpenSSL whether a password is the one that shadow has.
func (w *world) fits(account, password string) bool {
	w.t.Helper()
	field := w.entry("shadow", account)[1]
	parts := strings.Split(field, "$")
	if len(parts) != 4 || parts[1] != "6" {
		return false
	}
	cmd := exec.Command("openssl", "passwd", "-6", "-salt", parts[2], "-stdin")
	cmd.Stdin = strings.NewReader(password + "\n")
	out, err := cmd.Output()
	must(w.t, err)
	return strings.TrimSpace(string(out)) == field
}

// entry is the line of an account in one of the files, split; nil without one.
func (w *world) entry(file, name string) []string {
	w.t.Helper()
	text, err := os.ReadFile("/etc/" + file)
	must(w.t, err)
	for l := range strings.Lines(string(text)) {
		if f := strings.Split(strings.TrimSpace(l), ":"); f[0] == name {
			return f
		}
	}
	return nil
}

func (w *world) inGroup(account, group string) bool {
	return slices.Contains(strings.Split(w.entry("group", group)[3], ","), account)
}

func (w *world) expired(name string) bool {
	day, err := strconv.Atoi(w.entry("shadow", name)[7])
	return err == nil && int64(day) <= time.Now().Unix()/86400
}

// State reads the files, without the connector's code.
func (w *world) State(o connector.Order, r connector.Receipt) connectortest.State {
	w.t.Helper()
	var s connectortest.State
	if o.Mechanism == access.Member {
		s.Exists = w.inGroup(o.Account, o.Rights[0])
		s.Usable = s.Exists
		return s
	}
	if o.Mechanism == access.Elevate {
		text, err := os.ReadFile("/etc/sudoers.d/stint-" + string(o.Tag))
		if errors.Is(err, fs.ErrNotExist) {
			return s
		}
		must(w.t, err)
		m := regexp.MustCompile(` NOTAFTER=(\d{14}Z) `).FindSubmatch(text)
		if m == nil {
			w.t.Fatalf("the rule has no end: %s", text)
		}
		s.Ends, err = time.Parse("20060102150405Z", string(m[1]))
		must(w.t, err)
		s.Ends = s.Ends.Add(time.Second)                                       // sudo still runs it in the second that it is given
		out, _ := exec.Command("sudo", "-l", "-U", o.Account).CombinedOutput() // what sudo itself says
		s.Exists, s.Usable = true, strings.Contains(string(out), "/usr/bin/id -u")
		return s
	}
	if o.Mechanism == access.Checkout {
		_, err := os.Stat(w.base + "/state/orders/" + string(o.Tag))
		s.Exists = err == nil
		if f := w.entry("shadow", o.Account); f == nil || w.expired(o.Account) {
			return s
		}
		if r.Credential.Empty() {
			s.Usable = s.Exists
			return s
		}
		s.Usable = w.fits(o.Account, passwordOf(w.t, r))
		return s
	}
	s.Ends, s.Usable = w.lineEnds(o.Tag)
	s.Exists = !s.Ends.IsZero()
	if _, err := os.Stat(filepath.Join(w.config.Cgroup, string(o.Tag))); err == nil {
		s.Exists = true
	}
	switch o.Mechanism {
	case access.Enable:
		s.Exists = s.Exists || !w.expired(o.Account)
		s.Usable = s.Usable && !w.expired(o.Account)
	case access.Account:
		name := r.Account
		if name == "" {
			break
		}
		for _, left := range []string{"/home/" + name, "/var/spool/cron/crontabs/" + name} {
			if _, err := os.Lstat(left); err == nil {
				s.Exists = true
			}
		}
		if w.entry("group", name) != nil {
			s.Exists = true
		}
		f := w.entry("passwd", name)
		if f == nil {
			break
		}
		s.Exists = true
		s.Usable = !w.expired(name)
		s.Foreign = f[2] != r.Creation || f[4] != "stint-"+string(o.Tag)
	}
	return s
}

// lineEnds reads the end of an order's line, and whether sshd would take it now.
func (w *world) lineEnds(tag access.Tag) (ends time.Time, usable bool) {
	w.t.Helper()
	files, err := filepath.Glob(w.base + "/keys/principals/*")
	must(w.t, err)
	for _, f := range files {
		text, err := os.ReadFile(f)
		must(w.t, err)
		for l := range strings.Lines(string(text)) {
			if !strings.HasSuffix(l, "stint-"+string(tag)+"\n") {
				continue
			}
			m := regexp.MustCompile(`^expiry-time="(\d{14})Z"`).FindStringSubmatch(l)
			if m == nil {
				w.t.Fatalf("the line has no end: %s", l)
			}
			ends, err = time.Parse("20060102150405", m[1])
			must(w.t, err)
			ends = ends.Add(time.Second) // sshd still takes it in the second that it is given
			usable = ends.After(time.Now())
		}
	}
	return ends, usable
}

// Own leaves files, timed jobs and processes that hold on to nothing.
func (w *world) Own(_ connectortest.Session, o connector.Order) {
	w.t.Helper()
	f := w.entry("passwd", o.Account)
	uid, err := strconv.Atoi(f[2])
	must(w.t, err)
	must(w.t, os.MkdirAll("/var/spool/cron/crontabs", 0o755))
	for _, path := range []string{"/home/" + o.Account + "/kept", "/var/spool/cron/crontabs/" + o.Account, "/srv/of-" + o.Account} {
		w.write(path, "* * * * * true\n", 0o600)
		must(w.t, os.Chown(path, uid, uid))
	}
	must(w.t, os.Symlink("/srv", "/home/"+o.Account+"/elsewhere"))
	w.start1(uid, "trap '' HUP TERM INT; while :; do sleep 1000; done")
}

// start1 starts a process as an account, in no cgroup of ours, as a timed job would be.
func (w *world) start1(uid int, script string) int {
	w.t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	must(w.t, cmd.Start())
	w.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

// Replace makes an account of the same name that was not made by the order.
func (w *world) Replace(_ connector.Order, r connector.Receipt) {
	w.t.Helper()
	w.run("userdel", "--force", r.Account)
	w.run("useradd", "--no-create-home", "--shell", "/bin/sh", r.Account)
}

// Grant lets the account join as an administrator of the host would.
func (w *world) Grant(o connector.Order) {
	w.run("usermod", "--append", "--groups", o.Rights[0], o.Account)
}
func (w *world) Taken(o connector.Order) bool { return !w.inGroup(o.Account, o.Rights[0]) }

func (w *world) ForgeClaim(installation string, epoch int64) {
	w.write(w.base+"/state/claim", fmt.Sprintf(`{"installation":%q,"epoch":%d}`, installation, epoch), 0o600)
}

// Weaken takes the hook away: sessions still open, and nothing knows them apart.
func (w *world) Weaken() { w.hook(false) }

func (w *world) Restart() { w.stop(); w.start() }

func (w *world) Faulty() (connector.Target, connectortest.Faults) { return w.Target(), &faults{w: w} }

// faults are those of a disk, and of a process that holds the lock and does not go on.
type faults struct {
	w    *world
	lock *os.File
}

var errDisk = errors.New("input/output error")

func (f *faults) reset() {
	f.w.c.disk.replace, f.w.c.tools.run, f.w.c.tools.feed = replaceFile, runTool, feedTool
}

func (f *faults) CutBefore() {
	f.w.c.disk.replace = func(string, fs.FileMode, []byte) error {
		f.reset()
		return errDisk
	}
	f.w.c.tools.run = func(context.Context, string, ...string) error {
		f.reset()
		return errDisk
	}
	f.w.c.tools.feed = func(context.Context, string, string, ...string) error {
		f.reset()
		return errDisk
	}
}

func (f *faults) CutAfter() {
	f.w.c.tools.feed = func(ctx context.Context, input, name string, args ...string) error {
		f.reset()
		return errors.Join(feedTool(ctx, input, name, args...), errDisk)
	}
	f.w.c.disk.replace = func(path string, mode fs.FileMode, content []byte) error {
		f.reset()
		return errors.Join(replaceFile(path, mode, content), errDisk)
	}
	f.w.c.tools.run = func(ctx context.Context, name string, args ...string) error {
		f.reset()
		return errors.Join(runTool(ctx, name, args...), errDisk)
	}
}

func (f *faults) Hang() {
	var err error
	f.lock, err = os.OpenFile(f.w.base+"/state/lock", os.O_RDWR, 0)
	must(f.w.t, err)
	must(f.w.t, unix.Flock(int(f.lock.Fd()), unix.LOCK_EX))
}

func (f *faults) Resume() { must(f.w.t, f.lock.Close()) }

// Session opens one with the real ssh, as the holder would: a fresh key, and a
// certificate for the principal of the receipt.
func (w *world) Session(o connector.Order, r connector.Receipt) (connectortest.Session, error) {
	principal := linux.Principal(o.Tag)
	switch o.Mechanism {
	case access.Member:
		return w.ssh(o.Account, nil)
	case access.Checkout:
		return w.byPassword(o.Account, passwordOf(w.t, r))
	case access.Elevate:
		return w.ssh(o.Account, nil, "sudo", "-n", "/usr/bin/cat")
	}
	if !r.Credential.Empty() {
		var c credential
		must(w.t, json.Unmarshal(r.Credential.Reveal(), &c))
		principal = c.Principal
	}
	if o.Account == "" {
		o.Account = r.Account
	}
	return w.ssh(o.Account, w.certificate(principal))
}

// passwordOf is the password of a receipt.
func passwordOf(t testing.TB, r connector.Receipt) string {
	t.Helper()
	var c struct{ Password string }
	must(t, json.Unmarshal(r.Credential.Reveal(), &c))
	return c.Password
}

// byPassword opens a session as the holder of a password would.
func (w *world) byPassword(login, password string) (*session, error) {
	w.t.Helper()
	dir := w.t.TempDir()
	w.write(dir+"/password", password+"\n", 0o600)
	w.write(dir+"/ask", "#!/bin/sh\nexec cat "+dir+"/password\n", 0o700)
	s := &session{said: new(strings.Builder)}
	s.cmd = exec.Command("ssh", "-F", "none", "-o", "PreferredAuthentications=password", "-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-p", strconv.Itoa(w.port), login+"@127.0.0.1", "cat")
	s.cmd.Env = []string{"PATH=/usr/bin:/bin", "SSH_ASKPASS=" + dir + "/ask", "SSH_ASKPASS_REQUIRE=force", "DISPLAY=none"}
	s.cmd.Stderr = s.said
	return w.opened(s)
}

// certificate is what the control plane would sign; bend changes it before.
func (w *world) certificate(principal string, bend ...func(*ssh.Certificate)) *ssh.Certificate {
	return &ssh.Certificate{CertType: ssh.UserCert, KeyId: "test", Serial: 7, ValidPrincipals: []string{principal},
		ValidAfter: uint64(time.Now().Add(-30 * time.Second).Unix()), ValidBefore: uint64(time.Now().Add(time.Hour).Unix()),
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-pty": ""}}}
}

// session is a running ssh client whose command is cat.
type session struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	n     int
	said  *strings.Builder
}

// ssh opens a session with a certificate that is signed by this world's authority,
// unless it is signed already; command is cat unless one is given.
func (w *world) ssh(login string, cert *ssh.Certificate, command ...string) (*session, error) {
	w.t.Helper()
	return w.opened(w.client(login, cert, command...))
}

// opened starts a client and waits until its session answers.
func (w *world) opened(s *session) (*session, error) {
	w.t.Helper()
	stdout, err := s.cmd.StdoutPipe()
	must(w.t, err)
	s.in, err = s.cmd.StdinPipe()
	must(w.t, err)
	must(w.t, s.cmd.Start())
	s.lines = make(chan string, 1)
	go func() {
		defer close(s.lines)
		for sc := bufio.NewScanner(stdout); sc.Scan(); {
			s.lines <- sc.Text()
		}
	}()
	if !s.Alive() {
		s.Close()
		return nil, fmt.Errorf("ssh: %s", s.said)
	}
	return s, nil
}

func (w *world) client(login string, cert *ssh.Certificate, command ...string) *session {
	w.t.Helper()
	dir := w.t.TempDir()
	key := newKey(w.t)
	block, err := ssh.MarshalPrivateKey(key, "")
	must(w.t, err)
	w.write(dir+"/id", string(pem.EncodeToMemory(block)), 0o600)
	pub, err := ssh.NewPublicKey(key.Public())
	must(w.t, err)
	if cert != nil {
		if cert.Key = pub; cert.Signature == nil {
			must(w.t, cert.SignCert(rand.Reader, w.ca))
		}
		w.write(dir+"/id-cert.pub", string(ssh.MarshalAuthorizedKey(cert)), 0o600)
	} else {
		w.authorize(login, pub)
	}
	if len(command) == 0 {
		command = []string{"cat"}
	}
	s := &session{said: new(strings.Builder)}
	s.cmd = exec.Command("ssh", append([]string{"-F", "none", "-i", dir + "/id", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-p", strconv.Itoa(w.port), login + "@127.0.0.1"}, command...)...)
	s.cmd.Stderr = s.said
	return s
}

// authorize lets a plain key log in, as people do who have standing access.
func (w *world) authorize(login string, key ssh.PublicKey) {
	w.t.Helper()
	home := "/home/" + login + "/.ssh"
	must(w.t, os.MkdirAll(home, 0o755))
	w.write(home+"/authorized_keys", string(ssh.MarshalAuthorizedKey(key)), 0o644)
}

// Alive sends a line and waits until it comes back.
func (s *session) Alive() bool {
	s.n++
	want := "ping " + strconv.Itoa(s.n)
	if _, err := io.WriteString(s.in, want+"\n"); err != nil {
		return false
	}
	select {
	case got, ok := <-s.lines:
		return ok && got == want
	case <-time.After(60 * time.Second):
		return false
	}
}

func (s *session) Close() {
	_ = s.in.Close()
	_ = s.cmd.Process.Kill()
	for range s.lines {
	}
	_ = s.cmd.Wait()
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return key
}

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(newKey(t))
	must(t, err)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	connectortest.Run(t, func(t *testing.T) connectortest.World { return newWorld(t) })
}
