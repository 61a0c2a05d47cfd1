package host

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The tests change accounts, PAM and sshd's settings. They do so in namespaces of their
// own, with copies of /etc and empty folders in the place of those that hold accounts'
// things, so that nothing of the machine they run on is touched:
//
//	the test (as called) ── its cgroup is removed at the end
//	└ init: pid 1 of new pid and mount namespaces; mounts, and waits for orphans
//	  └ the tests
//	    └ sshd … the hook, which is this program once more
const (
	stageEnv  = "STINT_HOST_TEST" // which of these a process is
	cgroupEnv = "STINT_HOST_CGROUP"
	hookEnv   = "STINT_HOST_HOOK" // the hook's configuration
)

func TestMain(m *testing.M) {
	if path := os.Getenv(hookEnv); path != "" {
		os.Exit(runHook(path))
	}
	switch os.Getenv(stageEnv) {
	case "init":
		os.Exit(initMain())
	case "tests":
		os.Exit(m.Run())
	}
	os.Exit(outside())
}

func runHook(path string) int {
	b, err := os.ReadFile(path)
	var c Config
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err == nil {
		err = PAMSession(c, os.Environ())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hook:", err)
		return 1
	}
	return 0
}

// outside starts the init, and removes its cgroup when it is gone.
func outside() int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests need root: they make namespaces")
		return 1
	}
	cgroup := filepath.Join(filepath.Dir(Config{}.filled().Cgroup), "stint-test-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(cgroup, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, "these tests need cgroup version 2:", err)
		return 1
	}
	defer func() {
		if err := os.Remove(cgroup); err != nil {
			fmt.Fprintln(os.Stderr, "the tests left cgroups behind:", err)
		}
	}()
	return stage("init", cgroup, unix.CLONE_NEWNS|unix.CLONE_NEWPID|unix.CLONE_NEWIPC)
}

// stage runs this program once more, with the same arguments.
func stage(name, cgroup string, flags uintptr) int {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), stageEnv+"="+name, cgroupEnv+"="+cgroup)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: unix.SIGKILL}
	if err := cmd.Run(); cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

// initMain makes the mounts, starts the tests and waits for every process.
func initMain() int {
	if err := mounts(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	wd, _ := os.Getwd()
	if err := os.Setenv(stageEnv, "tests"); err != nil {
		panic(err)
	}
	p, err := os.StartProcess(self, os.Args, &os.ProcAttr{Dir: wd, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			fmt.Fprintln(os.Stderr, "wait:", err)
			return 1
		case pid == p.Pid:
			if status.Exited() {
				return status.ExitStatus()
			}
			fmt.Fprintln(os.Stderr, "the tests ended by", status.Signal())
			return 1
		}
	}
}

func mounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	tmp, err := os.MkdirTemp("", "host-etc-")
	if err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", tmp, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount a copy of /etc: %w", err)
	}
	if out, err := exec.Command("cp", "-a", "/etc/.", tmp).CombinedOutput(); err != nil {
		return fmt.Errorf("copy /etc: %w: %s", err, out)
	}
	if err := unix.Mount(tmp, "/etc", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("put the copy of /etc in its place: %w", err)
	}
	if err := os.Remove(tmp); err != nil {
		return err
	}
	for _, dir := range []string{"/home", "/run", "/var/mail", "/var/log", "/var/spool", "/var/lib/sudo", "/srv"} {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	return os.MkdirAll("/run/sshd", 0o755)
}
