//go:build e2e

package recording

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestS3Server: the suite of stores against a real S3 server, which checks signatures.
func TestS3Server(t *testing.T) {
	bin, err := filepath.Abs("../../bin/versitygw")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bin); err != nil {
		t.Fatalf("make bin/versitygw builds the server: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "recordings"), 0o700); err != nil { // the bucket
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "--port", address, "posix", dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY=access", "ROOT_SECRET_KEY=a-key-for-this-test")
	out, err := os.Create(filepath.Join(t.TempDir(), "server.out"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			b, _ := os.ReadFile(out.Name())
			t.Logf("%s", b)
		}
	})
	for ctx := quick(t); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	n := 0
	open := func(key string) *S3 {
		n++
		s, err := NewS3(S3Options{Endpoint: "http://" + address, Bucket: "recordings", Prefix: fmt.Sprintf("p%d/", n), Access: "access", Key: []byte(key),
			Client: &http.Client{Timeout: 30 * time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	testStore(t, func(t *testing.T) Store { return open("a-key-for-this-test") })
	if _, err := open("another key").Get(t.Context(), "a.rec"); err == nil || err == ErrNotFound {
		t.Errorf("with another key: %v", err)
	}
}
