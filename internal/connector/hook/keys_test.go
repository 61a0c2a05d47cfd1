//go:build e2e

package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/connectortest"
	"stint/internal/freeport"
)

// sshWorld is a real sshd with accounts, in namespaces of its own, before which is the hook of
// the examples.
type sshWorld struct {
	t      testing.TB
	dir    string // its /etc/ssh
	cmd    *exec.Cmd
	c      *Connector
	hooks  string
	target connector.Target
	n      int
}

const sshAccounts = 40

// overSSH is how the hook reaches the host. Each step costs a connection: where that is not what
// is tried, the test goes into the host's namespaces instead.
const overSSH = `client -i "$own" -o IdentitiesOnly=yes -l "$login" "$host" bash -s`

func newSSHWorld(t testing.TB, reached string) *sshWorld {
	if os.Getuid() != 0 {
		t.Fatal("hooks are programs of root: run this as root")
	}
	dir, err := os.MkdirTemp("", "stint-sshd-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	w := &sshWorld{t: t, dir: dir, hooks: t.TempDir()}
	passwd, err := os.ReadFile("/etc/passwd")
	must(t, err)
	shadow, err := os.ReadFile("/etc/shadow")
	must(t, err)
	for n := range sshAccounts {
		passwd = fmt.Appendf(passwd, "vaulted_%d:x:%d:64000::/tmp:/bin/bash\n", n+1, 64001+n)
		shadow = fmt.Appendf(shadow, "vaulted_%d:*:20000:0:99999:7:::\n", n+1)
	}
	w.write("passwd", passwd, 0o644)
	w.write("shadow", shadow, 0o600)
	for _, name := range []string{"host", "own"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	port, err := freeport.Find()
	must(t, err)
	public, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	must(t, err)
	w.write("known", fmt.Appendf(nil, "[127.0.0.1]:%d %s", port, public), 0o644)
	w.write("config", fmt.Appendf(nil, `Port %d
ListenAddress 127.0.0.1
HostKey /etc/ssh/host
AuthorizedKeysFile /etc/ssh/stint-keys/%%u
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
PidFile none
MaxStartups 200
LogLevel QUIET
Match User root
AuthorizedKeysFile /etc/ssh/own.pub
`, port), 0o644)
	w.start()
	w.hook(reached)
	w.c = New(w.hooks)
	w.target = connector.Target{Connection: access.Connection{Type: Type, Address: freeport.Address(port), Options: map[string]string{"hook": "sshd", access.SecretOption: "key"}},
		Username: "root", Password: access.NewSecret([]byte("none"))}
	return w
}

// hook puts the hook of the examples there.
func (w *sshWorld) hook(reached string) {
	text, err := os.ReadFile("../../../examples/vault/hooks/sshd")
	must(w.t, err)
	if !strings.Contains(string(text), overSSH) {
		w.t.Fatal("the hook reaches its host in another way")
	}
	text = []byte(strings.NewReplacer("/etc/stint/sshd-hook/key", filepath.Join(w.dir, "own"), "/etc/stint/sshd-hook/known_hosts", filepath.Join(w.dir, "known"), overSSH, reached).Replace(string(text)))
	must(w.t, os.WriteFile(filepath.Join(w.hooks, "sshd"), text, 0o755))
}

func (w *sshWorld) write(name string, text []byte, mode os.FileMode) {
	must(w.t, os.WriteFile(filepath.Join(w.dir, name), text, mode))
}

func (w *sshWorld) start() {
	w.cmd = exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
		`mount -t tmpfs tmpfs /run && mkdir -p /run/sshd && mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/shadow" /etc/shadow && mount --bind "$1" /etc/ssh && exec /usr/sbin/sshd -D -f /etc/ssh/config`, "sh", w.dir)
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(w.t, w.cmd.Start())
	cmd := w.cmd
	w.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	address := ""
	if text, err := os.ReadFile(filepath.Join(w.dir, "config")); err == nil {
		var port int
		_, _ = fmt.Sscanf(string(text), "Port %d", &port)
		address = freeport.Address(port)
	}
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", w.cmd.Process.Pid))
			must(w.t, err)
			w.write("inside", []byte(strings.TrimSpace(string(children))), 0o644)
			return
		}
		if time.Now().After(end) {
			w.t.Fatal("sshd does not listen")
		}
	}
}

func (w *sshWorld) Connector() connector.Connector { return w.c }
func (w *sshWorld) Target() connector.Target       { return w.target }

func (w *sshWorld) Order(m access.Mechanism) connector.Order {
	w.n++
	if w.n > sshAccounts {
		w.t.Fatal("there are no more accounts")
	}
	o := connector.Order{Entitlement: "ent_1", Tag: connectortest.NewTag(), Mechanism: m, Person: "mira", ExpiresAt: time.Now().Add(time.Hour), Account: fmt.Sprint("vaulted_", w.n)}
	at := filepath.Join(w.t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", at).CombinedOutput(); err != nil {
		w.t.Fatalf("%v %s", err, out)
	}
	private, err := os.ReadFile(at)
	must(w.t, err)
	public, err := os.ReadFile(at + ".pub")
	must(w.t, err)
	must(w.t, os.MkdirAll(filepath.Join(w.dir, "stint-keys"), 0o755))
	w.write("stint-keys/"+o.Account, public, 0o644)
	o.Secret = access.NewSecret(private)
	return o
}

// connect opens a session with a key.
func (w *sshWorld) connect(account, key string) (*session, error) {
	at := filepath.Join(w.t.TempDir(), "key")
	must(w.t, os.WriteFile(at, []byte(key), 0o600))
	_, port, err := net.SplitHostPort(w.target.Connection.Address)
	must(w.t, err)
	return talk(w.t, account, exec.Command("ssh", "-F", "none", "-T", "-p", port, "-i", at, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
		"-o", "UserKnownHostsFile="+filepath.Join(w.dir, "known"), "-l", account, "127.0.0.1", `while read -r x; do echo alive; done`))
}

func (w *sshWorld) Session(o connector.Order, r connector.Receipt) (connectortest.Session, error) {
	var shown credential
	must(w.t, json.Unmarshal(r.Credential.Reveal(), &shown))
	s, err := w.connect(shown.Username, shown.PrivateKey)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (w *sshWorld) State(o connector.Order, r connector.Receipt) connectortest.State {
	_, err := os.Stat(filepath.Join(w.dir, "stint-keys/.notes", markPrefix+string(o.Tag)))
	marked := err == nil
	now, _ := os.ReadFile(filepath.Join(w.dir, "stint-keys", o.Account))
	opens := func(s access.Secret) bool {
		k, err := keyOf(s)
		return err == nil && strings.HasPrefix(string(now), k.public)
	}
	return connectortest.State{Exists: marked, Usable: marked && len(now) > 0 || r.Creation != "" && opens(o.Secret)}
}

func (w *sshWorld) Own(connectortest.Session, connector.Order) {
	w.t.Fatal("not for accounts of the vault")
}
func (w *sshWorld) Replace(connector.Order, connector.Receipt) {
	w.t.Fatal("not for accounts of the vault")
}
func (w *sshWorld) Grant(connector.Order) { w.t.Fatal("not for accounts of the vault") }
func (w *sshWorld) Taken(connector.Order) bool {
	w.t.Fatal("not for accounts of the vault")
	return false
}
func (w *sshWorld) ForgeClaim(installation string, epoch int64) {
	must(w.t, os.MkdirAll(filepath.Join(w.dir, "stint-keys/.notes"), 0o700))
	w.write("stint-keys/.notes/"+claimNote, []byte(owner{installation, epoch, ""}.String()+"\n"), 0o600)
}
func (w *sshWorld) Weaken() {
	w.hook(overSSH)
	w.write("own.pub", nil, 0o644)
}
func (w *sshWorld) Restart() {
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
	w.start()
}

func (w *sshWorld) Faulty() (connector.Target, connectortest.Faults) {
	must(w.t, os.WriteFile(filepath.Join(w.hooks, "faulty"), []byte(strings.ReplaceAll(faulty, "./mariadb", "./sshd")), 0o755))
	t := w.target
	t.Connection.Options = map[string]string{"hook": "faulty", access.SecretOption: "key"}
	return t, faults{&world{t: w.t}, w.hooks}
}

// TestKeyConformance: accounts of a real sshd, behind the hook of the examples, do all that the
// contract asks of a connector.
func TestKeyConformance(t *testing.T) {
	connectortest.Run(t, func(t *testing.T) connectortest.World {
		return newSSHWorld(t, `nsenter -t "$(<"$(dirname "$known")/inside")" -m -p bash -s`)
	})
}

// TestKeyOverSSH: the hook as it stands in the examples lends a key that Stint made, and takes
// it back: it opens the account, and then nothing. The hook never had it, nor has the target.
func TestKeyOverSSH(t *testing.T) {
	w := newSSHWorld(t, overSSH)
	if rep := w.c.Check(t.Context(), w.target); !rep.OK() {
		t.Fatalf("%+v", rep)
	}
	o := w.Order(access.Checkout)
	before := string(o.Secret.Reveal())
	o.Next = access.NewSecret([]byte(newText()))
	r, err := w.c.Provision(t.Context(), w.target, o)
	must(t, err)
	live, err := w.Session(o, r)
	must(t, err)
	defer live.Close()
	if _, err := w.connect(o.Account, before); err == nil {
		t.Error("the key of before opens")
	}
	o.Secret, o.Next, o.Creation = o.Next, access.NewSecret([]byte(newText())), r.Creation
	for _, step := range []func(context.Context, connector.Target, []connector.Order) []connector.Result{w.c.Revoke, w.c.TerminateSessions, w.c.Remove} {
		if got := step(t.Context(), w.target, []connector.Order{o})[0]; got.Outcome != connector.Done {
			t.Fatal(got.Err)
		}
	}
	if seen := w.c.Verify(t.Context(), w.target, []connector.Order{o})[0]; !seen.Turned || !seen.Gone() {
		t.Errorf("%+v", seen)
	}
	if _, err := w.Session(o, r); err == nil || live.Alive() {
		t.Error("what was lent opens after it was given back, or its session goes on")
	}
}
