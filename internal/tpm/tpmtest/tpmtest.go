// Package tpmtest gives tests a real TPM 2.0 in software, swtpm, on a socket in a folder of
// its own. A test fails where it is not installed; none is left out.
package tpmtest

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Start starts a TPM 2.0 in software, swtpm, with a seed of its own, and gives the path of
// its socket. It ends with the test.
func Start(t testing.TB) (socket string) {
	t.Helper()
	program, err := exec.LookPath("swtpm")
	if err != nil {
		t.Fatalf("swtpm is missing: apt-get install swtpm: %v", err)
	}
	dir, err := os.MkdirTemp("", "tpm") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "tpm")
	var said bytes.Buffer
	cmd := exec.Command(program, "socket", "--tpm2", "--tpmstate", "dir="+dir, "--server", "type=unixio,path="+socket, "--flags", "not-need-init,startup-clear")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is killed
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if info, err := os.Stat(socket); err == nil && info.Mode()&fs.ModeSocket != 0 {
			return socket
		}
		select {
		case <-ended:
			t.Fatalf("swtpm ended: %s", said.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatal("swtpm does not come up")
		}
	}
}
