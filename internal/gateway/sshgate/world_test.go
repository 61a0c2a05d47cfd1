package sshgate

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
	"stint/internal/freeport"
	"stint/internal/gateway"
)

// newKey makes a key.
func newKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// keyFile writes a new key where clients and sshd read it.
func keyFile(t testing.TB, path string) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, pem.EncodeToMemory(block))
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// share writes a file that the account on the target may read.
func share(t testing.TB, path string, text []byte) {
	t.Helper()
	write(t, path, text)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
}

// certify signs a certificate that is right, after spoil has had its way with it.
func certify(t testing.TB, ca ssh.Signer, key ssh.PublicKey, kind uint32, spoil func(*ssh.Certificate)) *ssh.Certificate {
	t.Helper()
	c := &ssh.Certificate{
		Key: key, CertType: kind, Serial: uint64(time.Now().UnixNano()), KeyId: "grt_1 user:mira",
		ValidPrincipals: []string{"stint-test"},
		ValidAfter:      uint64(time.Now().Add(-time.Minute).Unix()), ValidBefore: uint64(time.Now().Add(time.Hour).Unix()),
		Permissions: ssh.Permissions{Extensions: map[string]string{
			"permit-pty": "", "permit-port-forwarding": "", "permit-agent-forwarding": "", "permit-X11-forwarding": "",
		}},
	}
	if spoil != nil {
		spoil(c)
	}
	if err := c.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	return c
}

// sshd is a real server on loopback. As root it runs in namespaces of its own, with its
// own /run, and everything that it started ends with it.
type sshd struct {
	address string
	host    ssh.Signer
	login   string
	log     *safeBuffer
}

func startSSHD(t testing.TB, userCA, hostCA ssh.Signer) *sshd {
	t.Helper()
	const server = "/usr/sbin/sshd"
	if _, err := os.Stat(server); err != nil {
		t.Fatal("sshd is missing; make setup installs openssh-server")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d := &sshd{login: me.Username, log: &safeBuffer{}}
	d.host = keyFile(t, filepath.Join(dir, "host"))
	cert := certify(t, hostCA, d.host.PublicKey(), ssh.HostCert, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"web1"} })
	write(t, filepath.Join(dir, "host-cert.pub"), ssh.MarshalAuthorizedKey(cert))
	write(t, filepath.Join(dir, "ca.pub"), ssh.MarshalAuthorizedKey(userCA.PublicKey()))
	share(t, filepath.Join(dir, "principals"), []byte("stint-test\n"))
	port, err := freeport.Find()
	if err != nil {
		t.Fatal(err)
	}
	d.address = fmt.Sprintf("127.0.0.1:%d", port)
	write(t, filepath.Join(dir, "config"), fmt.Appendf(nil, `Port %d
ListenAddress 127.0.0.1
HostKey %[2]s/host
HostCertificate %[2]s/host-cert.pub
TrustedUserCAKeys %[2]s/ca.pub
AuthorizedPrincipalsFile %[2]s/principals
AuthorizedKeysFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
PidFile none
AllowStreamLocalForwarding yes
X11Forwarding yes
AcceptEnv *
MaxSessions 200
MaxStartups 5000
LogLevel VERBOSE
Subsystem sftp internal-sftp
`, port, dir))
	cmd := exec.Command(server, "-D", "-e", "-f", filepath.Join(dir, "config"))
	if os.Geteuid() == 0 {
		cmd = exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
			`mount -t tmpfs tmpfs /run && mkdir -p /run/sshd && mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/shadow" /etc/shadow && exec "$2" -D -e -f "$1/config"`,
			"sh", dir, server)
		d.login = account(t, dir)
	}
	cmd.Stderr = d.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sshd:\n%s", d.log.String())
		}
	})
	eventually(t, "sshd listens", func() bool {
		c, err := net.Dial("tcp", d.address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return d
}

// account makes, for a server in namespaces of its own, an account that is not root's:
// sshd hands signals only to programs of those. It gives its name.
func account(t testing.TB, dir string) string {
	t.Helper()
	for _, f := range []struct{ name, line string }{
		{"passwd", "deploy:x:64999:64999::/tmp:/bin/bash\n"}, {"shadow", "deploy:*:20000:0:99999:7:::\n"},
	} {
		text, err := os.ReadFile("/etc/" + f.name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, f.name), append(text, f.line...))
		if f.name == "passwd" {
			if err := os.Chmod(filepath.Join(dir, f.name), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return "deploy"
}

// steady gives what depends on how fast the machine is three tries: one that others held up
// says nothing about the gateway. try gives what it found wrong.
func steady(t *testing.T, try func() string) {
	t.Helper()
	for n := 1; ; n++ {
		wrong := try()
		switch {
		case wrong == "":
			return
		case n == 3:
			t.Errorf("three times of three, the last: %s", wrong)
			return
		}
		t.Logf("try %d: %s", n, wrong)
	}
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *safeBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }
func (s *safeBuffer) Len() int       { s.mu.Lock(); defer s.mu.Unlock(); return s.b.Len() }

// control is a control plane in memory.
type control struct {
	mu       sync.Mutex
	ca       ssh.Signer
	persons  map[string]string // by the key's wire form
	permit   gateway.Permit
	end      time.Time
	mint     func(*ssh.Certificate)
	facts    []gateway.Facts
	opened   int
	silent   bool
	ended    []gateway.Ending
	alarms   []gateway.Alarm
	cut      func(gateway.Cut)
	paused   bool
	signWith ssh.Signer
}

// asked are the sessions that were asked for so far.
func (c *control) asked() []gateway.Facts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.facts)
}

func (c *control) Open(_ context.Context, f gateway.Facts) (gateway.Permit, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.facts = append(c.facts, f)
	person := c.persons[string(f.Key)]
	if person == "" {
		return gateway.Permit{}, access.Fail(access.Denied, "unknown-key", "this key is not known").Try("stint login makes one that is")
	}
	if f.Resource != "web1" {
		return gateway.Permit{}, access.Fail(access.NotFound, "no-resource", "there is no such resource, or it is not yours to know of")
	}
	c.opened++
	p := c.permit
	p.Session, p.Person = gateway.SessionID(fmt.Sprintf("ses_%d", c.opened)), person
	p.End, p.Remaining = c.end, time.Until(c.end)
	return p, nil
}

func (c *control) Sign(_ context.Context, _ gateway.SessionID, public []byte) ([]byte, error) {
	key, err := ssh.ParsePublicKey(public)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	cert := &ssh.Certificate{
		Key: key, CertType: ssh.UserCert, Serial: 1, KeyId: "gateway", ValidPrincipals: []string{"stint-test"},
		ValidAfter: uint64(time.Now().Add(-time.Minute).Unix()), ValidBefore: uint64(c.end.Unix()),
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-pty": "", "permit-port-forwarding": "", "permit-agent-forwarding": "", "permit-X11-forwarding": ""}},
	}
	if c.mint != nil {
		c.mint(cert)
	}
	by := c.ca
	if c.signWith != nil {
		by = c.signWith
	}
	if err := cert.SignCert(rand.Reader, by); err != nil {
		return nil, err
	}
	return cert.Marshal(), nil
}

func (c *control) Renew(ctx context.Context, r gateway.Report) (map[gateway.SessionID]gateway.Renewal, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent {
		return nil, errors.New("no answer")
	}
	c.ended, c.alarms = append(c.ended, r.Ended...), append(c.alarms, r.Alarms...)
	m := map[gateway.SessionID]gateway.Renewal{}
	for _, id := range r.Live {
		m[id] = gateway.Renewal{Remaining: time.Until(c.end), Paused: c.paused}
	}
	return m, nil
}

func (c *control) Cuts(ctx context.Context, ready func(), cut func(gateway.Cut)) error {
	c.mu.Lock()
	c.cut = cut
	c.mu.Unlock()
	ready()
	<-ctx.Done()
	return ctx.Err()
}

func (c *control) set(f func()) { c.mu.Lock(); defer c.mu.Unlock(); f() }

// memory is a recorder that keeps everything, and can be made to fail or to wait.
type memory struct {
	mu     sync.Mutex
	fail   error
	before func(s Stream, p []byte) // is called before data counts as durable
	kept   func(s Stream, m Mark)   // is called when somebody waits for a mark: how many bytes of the stream were given before
	tapes  []*tape
}

type tape struct {
	m      *memory
	client Client
	tracks []*track
	notes  []Event
	closed *gateway.Ended
}

type track struct {
	m *memory
	Channel
	data   [4]bytes.Buffer
	passed [4]int // bytes, of which data keeps the first
	events []Event
	closed bool
}

// failing has nothing recorded any more.
func (m *memory) failing(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func (m *memory) Begin(_ *gateway.Session, from Client) (Tape, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	t := &tape{m: m, client: from}
	m.tapes = append(m.tapes, t)
	return t, nil
}

func (t *tape) Channel(c Channel) (Track, error) {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	if t.m.fail != nil {
		return nil, t.m.fail
	}
	tr := &track{m: t.m, Channel: c}
	t.tracks = append(t.tracks, tr)
	return tr, nil
}

func (t *tape) Note(e Event) error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.notes = append(t.notes, e)
	return t.m.fail
}

func (t *tape) Close(why *gateway.Ended) error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.closed = why
	return nil
}

// Wait has waited in Data, unless somebody wants to hold it up.
func (t *track) Wait(m Mark) error {
	if t.m.kept != nil {
		t.m.kept(Stream(m>>48), m&(1<<48-1))
	}
	return nil
}

func (t *track) Data(s Stream, p []byte) (Mark, error) {
	if t.m.before != nil {
		t.m.before(s, p)
	}
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	if t.m.fail != nil {
		return 0, t.m.fail
	}
	t.passed[s] += len(p)
	if t.data[s].Len() < 1<<20 {
		t.data[s].Write(p)
	}
	return Mark(s)<<48 | Mark(t.passed[s]), nil
}

func (t *track) Event(e Event) error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.events = append(t.events, e)
	return t.m.fail
}

func (t *track) Close() error { t.m.mu.Lock(); defer t.m.mu.Unlock(); t.closed = true; return nil }

// text is everything that was recorded, as text to search in.
func (m *memory) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for _, tp := range m.tapes {
		fmt.Fprintf(&b, "notes %+v\n", tp.notes)
		for _, tr := range tp.tracks {
			if tr.Terminal != nil {
				fmt.Fprintf(&b, "terminal %+v\n", *tr.Terminal)
			}
			fmt.Fprintf(&b, "channel %+v\nin %s\nout %s\nerr %s\nevents %+v\n", tr.Channel, tr.data[In].String(), tr.data[Out].String(), tr.data[Err].String(), tr.events)
		}
	}
	return b.String()
}

// leap is a clock whose wall can be set ahead.
type leap struct {
	gateway.SystemClock
	ahead atomic.Int64
}

func (l *leap) Now() gateway.Instant {
	i := l.SystemClock.Now()
	i.Wall = i.Wall.Add(time.Duration(l.ahead.Load()))
	return i
}

// world is a gateway between its control plane, a recorder and a real sshd.
type world struct {
	*control
	*memory
	t        testing.TB
	sshd     *sshd
	gw       *gateway.Gateway
	server   *Server
	clock    *leap
	hostCA   ssh.Signer
	own      ssh.Signer // the gateway's host key
	mira     ssh.Signer // a person's
	miraFile string
	address  string
	revoked  map[string]bool
	revMu    sync.Mutex
	dir      string
	stop     func()
}

// everything is all that rules can allow.
var everything = gateway.Rules{
	Shell: true, Exec: true, Pty: true, SFTP: gateway.WriteFiles, Env: []string{"LANG", "LC_*"},
	Forward: []string{"127.0.0.1:*", "localhost:*"}, Listen: []string{"localhost:*", "127.0.0.1:*"},
	Agent: true, X11: true,
}

// newWorld starts all of it. bend changes the server's configuration.
func newWorld(t testing.TB, bend func(*world, *Config)) *world {
	t.Helper()
	w := &world{t: t, memory: &memory{}, hostCA: newKey(t), own: newKey(t), revoked: map[string]bool{}, dir: t.TempDir(),
		clock: &leap{SystemClock: gateway.NewSystemClock()}}
	w.control = &control{ca: newKey(t), persons: map[string]string{}, end: time.Now().Add(time.Hour)}
	for dir := range strings.SplitSeq(w.dir+":"+filepath.Dir(w.dir), ":") { // for the account on the target
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	w.sshd = startSSHD(t, w.ca, w.hostCA)
	w.miraFile = filepath.Join(w.dir, "mira")
	w.mira = keyFile(t, w.miraFile)
	w.persons[string(w.mira.PublicKey().Marshal())] = "mira"
	w.permit = gateway.Permit{
		Grant: "grt_1", Resource: "web1", Principal: "stint-test", Rules: everything, Recording: gateway.Recording{Strict: true},
		Target: gateway.Target{Address: w.sshd.address, Name: "web1", Login: w.sshd.login,
			HostKeys: []string{string(ssh.MarshalAuthorizedKey(w.sshd.host.PublicKey()))}},
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	var err error
	if w.gw, err = gateway.New(gateway.Config{Authority: w.control, Clock: w.clock, Log: log, Opens: 1_000_000}); err != nil {
		t.Fatal(err)
	}
	c := Config{Gateway: w.gw, Recorder: w.memory, Log: log, HostKeys: []ssh.Signer{w.own}, Trust: func() Trust {
		return Trust{PlainKeys: true, UserAuthorities: []ssh.PublicKey{w.ca.PublicKey()}, Revoked: func(k ssh.PublicKey) bool {
			w.revMu.Lock()
			defer w.revMu.Unlock()
			return w.revoked[string(k.Marshal())]
		}}
	}}
	if bend != nil {
		bend(w, &c)
	}
	if w.server, err = New(c); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.address = l.Addr().String()
	write(t, filepath.Join(w.dir, "known"), fmt.Appendf(nil, "[127.0.0.1]:%d %s", l.Addr().(*net.TCPAddr).Port, ssh.MarshalAuthorizedKey(w.own.PublicKey())))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.server.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() { _ = w.gw.Run(ctx) })
	w.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(w.stop)
	eventually(t, "cuts can arrive", func() bool { w.control.mu.Lock(); defer w.control.mu.Unlock(); return w.cut != nil })
	return w
}

// dial signs in with a library as the client.
func (w *world) dial(as string, signers ...ssh.Signer) (*ssh.Client, error) {
	if len(signers) == 0 {
		signers = []ssh.Signer{w.mira}
	}
	return ssh.Dial("tcp", w.address, &ssh.ClientConfig{
		User: as, Auth: []ssh.AuthMethod{ssh.PublicKeys(signers...)},
		HostKeyCallback: ssh.FixedHostKey(w.own.PublicKey()), Timeout: 20 * time.Second,
	})
}

func (w *world) client(t testing.TB, signers ...ssh.Signer) *ssh.Client {
	t.Helper()
	c, err := w.dial("web1", signers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ssh is a command of OpenSSH's, with what it needs to trust the gateway.
func (w *world) ssh(program string, args ...string) *exec.Cmd {
	_, port, _ := net.SplitHostPort(w.address)
	flag := "-p"
	if program != "ssh" {
		flag = "-P"
	}
	options := []string{"-F", "none", flag, port, "-i", w.miraFile, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "UserKnownHostsFile=" + filepath.Join(w.dir, "known"), "-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=yes"}
	cmd := exec.Command(program, append(options, args...)...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "SSH_") })
	return cmd
}

const there = "web1@127.0.0.1"

// run runs a command of OpenSSH's and gives what it wrote and its exit status.
func (w *world) run(t testing.TB, cmd *exec.Cmd) (out, errs string, status int) {
	t.Helper()
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	done := make(chan error, 1)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		_ = cmd.Process.Kill()
		<-done
		t.Errorf("%v did not end", cmd.Args)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}
