package program

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain lets this program be one of Stint's: it says that it has begun, and waits.
func TestMain(m *testing.M) {
	wait := func(context.Context) int {
		fmt.Println("begun")
		_, _ = io.Copy(io.Discard, os.Stdin)
		return Done
	}
	switch os.Getenv("STINT_TEST_BEGIN") {
	case "begin":
		Begin(wait)
	case "bare":
		os.Exit(wait(context.Background()))
	}
	os.Exit(m.Run())
}

// TestShield: no other process of our user reads the memory of a program that holds secrets,
// nor does a core file (T-55). The kernel shows it: what is in /proc of it is root's, and when
// it aborts, with no limit on core files, none is made.
func TestShield(t *testing.T) {
	dir, err := os.MkdirTemp("", "shield") // that another user may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	own, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "program")
	if err := os.WriteFile(path, own, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	user := uint32(os.Geteuid())
	if user == 0 {
		user = 65534
	}
	for how, want := range map[string]uint32{"begin": 0, "bare": user} {
		cmd := exec.Command(path)
		cmd.Dir, cmd.Env = filepath.Join(dir, how), []string{"STINT_TEST_BEGIN=" + how, "GOTRACEBACK=crash"}
		if err := errors.Join(os.Mkdir(cmd.Dir, 0o700), os.Chown(cmd.Dir, int(user), -1)); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
		}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if said, err := bufio.NewReader(out).ReadString('\n'); said != "begun\n" {
			t.Fatalf("%s: it said %q, %v", how, said, err)
		}
		info, err := os.Stat(fmt.Sprintf("/proc/%d/mem", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != want {
			t.Errorf("%s: its memory belongs to %d, and should to %d", how, owner, want)
		}
		all := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
		if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_CORE, &all, nil); err != nil {
			t.Logf("the limit of core files stays: %v", err)
		}
		if err := cmd.Process.Signal(unix.SIGABRT); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // it was aborted
		_ = in.Close()
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if left, err := filepath.Glob(filepath.Join(cmd.Dir, "*")); err != nil || !status.Signaled() || how == "begin" && (status.CoreDump() || len(left) > 0) {
			t.Errorf("%s: ended by a signal %t, dumped %t, and left %q", how, status.Signaled(), status.CoreDump(), left)
		}
		if how == "bare" && !status.CoreDump() {
			t.Log("this system makes no core files of anything")
		}
	}
}
