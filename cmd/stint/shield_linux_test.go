package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestShielded: no other process of one's user reads the keys and passwords in our memory. The
// kernel shows it: what is in /proc of us is root's.
func TestShielded(t *testing.T) {
	dir, err := os.MkdirTemp("", "shielded") // that another user may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	own, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "stint")
	if err := os.WriteFile(path, own, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "login", "--enroll-token-file", "-") // it reads, and so waits
	cmd.Dir, cmd.Env = "/", []string{"STINT_SERVER=http://127.0.0.1:1", "STINT_HOME=" + filepath.Join(dir, "home")}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		info, err := os.Stat(fmt.Sprintf("/proc/%d/mem", cmd.Process.Pid))
		if err == nil && info.Sys().(*syscall.Stat_t).Uid == 0 {
			if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid)); err != nil || strings.Contains(string(state), ") Z ") {
				t.Fatalf("it does not wait: %v", err)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatalf("its memory is its user's: %v", err)
		}
	}
}
