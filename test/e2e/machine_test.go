//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hostSetup makes a host of namespaces: /etc, /home, /run and /var/lib are copies or
// empty, and so nothing of the machine is touched. $1 is the cgroup that is the root of
// cgroups there, $2 the folder of the programs: the agent is put where root alone writes.
const hostSetup = `
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs /mnt
cp -a /etc /mnt/etc
mount --bind /mnt/etc /etc
mkdir -m 0755 /mnt/run /mnt/run/sshd /mnt/home /mnt/home/deploy /mnt/bin /mnt/lib
cp "$2/stint-agent" /mnt/bin/ && chown -R root:root /mnt/bin && chmod 0755 /mnt/bin/stint-agent
mount --bind /mnt/run /run
mount --bind /mnt/home /home
mount --bind /mnt/lib /var/lib
mount --bind "$1" "$(dirname "$1")"
grep -q ^deploy: /etc/passwd || { echo 'deploy:x:20001:20001::/home/deploy:/bin/sh' >> /etc/passwd; echo 'deploy:x:20001:' >> /etc/group; echo 'deploy:*:20000:0:99999:7:::' >> /etc/shadow; }
chown 20001:20001 /home/deploy
rm -rf /etc/ssh/stint /etc/ssh/sshd_config.d/00-stint.conf
ssh-keygen -qA
echo ready
exec sleep infinity
`

// machine is a host in namespaces of its own.
type machine struct {
	t     *testing.T
	holds *exec.Cmd
	first int // the first process there, by its number here
	agent *exec.Cmd
	said  bytes.Buffer // by the agent
	sshd  bytes.Buffer // said by sshd
	bin   string       // the agent's program, there
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("a host for tests needs root: it is made of namespaces")
	}
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/unified/cgroup.procs"); err == nil {
		root += "/unified"
	}
	cgroup := filepath.Join(root, "stint-e2e-"+strconv.Itoa(os.Getpid())+"-"+strconv.FormatInt(time.Now().UnixNano(), 36))
	must(t, os.Mkdir(cgroup, 0o755))
	t.Cleanup(func() { removeCgroup(t, cgroup) })
	programs, err := filepath.Abs("../../bin")
	must(t, err)
	m := &machine{t: t, bin: "/mnt/bin/stint-agent", holds: exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", hostSetup, "sh", cgroup, programs)}
	m.holds.Stderr, m.holds.WaitDelay = os.Stderr, 3*time.Second
	m.holds.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := m.holds.StdoutPipe()
	must(t, err)
	must(t, m.holds.Start())
	t.Cleanup(func() {
		if m.first > 0 {
			_ = syscall.Kill(m.first, syscall.SIGKILL) // and everything there with it
		}
		_ = m.holds.Wait()
		if t.Failed() {
			t.Logf("the agent said:\n%s\nsshd said:\n%s", m.said.String(), m.sshd.String())
		}
	})
	ready := make([]byte, 6)
	if _, err := out.Read(ready); err != nil || string(ready) != "ready\n" {
		t.Fatalf("the host is not made: %q %v", ready, err)
	}
	pid := strconv.Itoa(m.holds.Process.Pid)
	text, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	must(t, err)
	m.first, err = strconv.Atoi(strings.TrimSpace(string(text)))
	must(t, err)
	t.Cleanup(m.kill)
	return m
}

// removeCgroup removes a cgroup with those below it, in which nothing runs any more.
func removeCgroup(t *testing.T, top string) {
	var all []string
	_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		return nil
	})
	for i := len(all) - 1; i >= 0; i-- {
		dir := all[i]
		if err := eventually(context.Background(), func() error { return os.Remove(dir) }); err != nil {
			t.Error(err)
		}
	}
}

// command is one that runs on the host, where the agent's program is found by its name.
func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"-t", strconv.Itoa(m.first), "-m", "-p", "--"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Env = []string{"PATH=/mnt/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Dir, cmd.WaitDelay = "/", 3*time.Second // what it started may hold what it writes to
	return cmd
}

func (m *machine) run(stdin string, args ...string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	cmd := m.command(ctx, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", args, err, out)
	}
	return string(out)
}

// start runs the agent, whose number there is in a file.
func (m *machine) start() {
	m.t.Helper()
	m.agent = m.command(context.Background(), "sh", "-c", "echo $$ > /mnt/agent.pid; exec "+m.bin+" run")
	m.agent.Stdout, m.agent.Stderr = &m.said, &m.said
	must(m.t, m.agent.Start())
}

// kill ends the agent as a lost machine would.
func (m *machine) kill() {
	if m.agent == nil {
		return
	}
	_ = m.command(context.Background(), "sh", "-c", "kill -KILL $(cat /mnt/agent.pid)").Run() // it may have ended
	_ = m.agent.Wait()
	m.agent = nil
}

// serve runs sshd with the settings of the host, at an address.
func (m *machine) serve(address string) {
	m.t.Helper()
	host, port, err := net.SplitHostPort(address)
	must(m.t, err)
	// It detaches itself, as a distribution's does: what reloads it looks for its number.
	cmd := m.command(context.Background(), "/usr/sbin/sshd", "-D", "-e", "-p", port, "-o", "ListenAddress="+host, "-o", "LogLevel=VERBOSE")
	cmd.Stderr = &m.sshd
	must(m.t, cmd.Start())
	m.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	must(m.t, eventually(m.t.Context(), func() error {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err
	}))
}

// path is a file of the host's, from here.
func (m *machine) path(name string) string { return fmt.Sprintf("/proc/%d/root%s", m.first, name) }

// lines are those by which certificates open sessions of the account.
func (m *machine) lines() int {
	m.t.Helper()
	text, err := os.ReadFile(m.path("/etc/ssh/stint/principals/deploy"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	must(m.t, err)
	return strings.Count(string(text), "stint-01")
}

// gone waits until nothing is lent, and says when it was so.
func (m *machine) gone(by time.Time) {
	m.t.Helper()
	for m.lines() > 0 {
		if time.Now().After(by) {
			m.t.Fatalf("it is still there %s after its time\n%s", time.Since(by), m.said.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// eventually tries until it succeeds, for two minutes at most: it waits for what comes soon, on slow machines too.
func eventually(ctx context.Context, try func() error) (err error) {
	within, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for within.Err() == nil {
		if err = try(); err == nil {
			return nil
		}
		select {
		case <-within.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return err
}
