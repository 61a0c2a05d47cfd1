package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"stint/internal/audit"
	"stint/internal/program"
)

func run(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var b bytes.Buffer
	code := Main(t.Context(), args, &b, &b)
	return code, b.String()
}

func TestVersion(t *testing.T) {
	for _, asked := range []string{"version", "--version"} {
		if code, out := run(t, asked); code != program.Done || out != program.Version()+"\n" {
			t.Errorf("%s: exit %d, %q", asked, code, out)
		}
	}
}

// TestWitness goes through a life: key, serve, refuse, accept.
func TestWitness(t *testing.T) {
	dir := t.TempDir()
	key, state, pub := filepath.Join(dir, "w.key"), filepath.Join(dir, "w.json"), filepath.Join(dir, "log.pub")
	code, vkey := run(t, "key", "--name", "w.test", "--key-file", key)
	if code != program.Done {
		t.Fatalf("key: %d %s", code, vkey)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v, %v", info.Mode(), err)
	}
	if _, again := run(t, "key", "--name", "w.test", "--key-file", key); again != vkey {
		t.Errorf("the same key shows as %q and %q", vkey, again)
	}
	if code, _ := run(t, "key", "--name", "other.test", "--key-file", key); code != program.Usage {
		t.Error("the key of another witness was shown as this one's")
	}
	cosigner, err := audit.ParseCosigner(vkey)
	if err != nil {
		t.Fatal(err)
	}
	private, public, err := note.GenerateKey(rand.Reader, audit.Origin("test"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pub, []byte(public+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	common := []string{"--key-file", key, "--state", state, "--log", pub}
	for name, args := range map[string][]string{
		"no state":         append([]string{"serve"}, common...),
		"open":             append([]string{"serve", "--new", "--listen", "0.0.0.0:0"}, common...),
		"half TLS":         append([]string{"serve", "--new", "--tls-cert", "x"}, common...),
		"no log":           {"serve", "--new", "--key-file", key, "--state", state},
		"no key":           {"serve", "--new", "--key-file", filepath.Join(dir, "none"), "--state", state, "--log", pub},
		"a flag":           {"serve", "--insecure"},
		"a word too many":  {"show", "now"},
		"no name":          {"key", "--key-file", filepath.Join(dir, "fresh")},
		"no such log file": {"serve", "--new", "--key-file", key, "--state", state, "--log", filepath.Join(dir, "none")},
	} {
		if code, out := run(t, args...); code != program.Usage || !strings.Contains(out, "hint: ") {
			t.Errorf("%s: exit %d\n%s", name, code, out)
		}
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if code, out := run(t, append([]string{"serve", "--new"}, common...)...); code != program.Usage || !strings.Contains(out, "others can read") {
		t.Errorf("a key that others read: %d %s", code, out)
	}
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}

	url, stop := serve(t, append([]string{"--new"}, common...)...)
	tree, _ := audit.Tree{}.Append(audit.Leaf([]byte("a")), audit.Leaf([]byte("b")))
	cp := tree.Checkpoint(audit.Origin("test"))
	signed, err := audit.SignCheckpoint(cp, signer)
	if err != nil {
		t.Fatal(err)
	}
	if status, line := post(t, url, "old 0\n\n"+string(signed)); status != http.StatusOK {
		t.Errorf("%d %s", status, line)
	} else if _, ok := cosigner.Verify(cp, line); !ok {
		t.Errorf("the cosignature does not verify: %s", line)
	}
	if code, out := run(t, append([]string{"show"}, common...)...); code != program.Failure || !strings.Contains(out, "another stint-witness uses") {
		t.Errorf("two at a time: %d %s", code, out)
	}
	stop()
	if code, out := run(t, append([]string{"show"}, common...)...); code != program.Done || !strings.Contains(out, "\n2\n") {
		t.Errorf("show: %d %s", code, out)
	}

	// The log was restored, one record of it is left.
	short, _ := audit.Tree{}.Append(audit.Leaf([]byte("a")))
	if signed, err = audit.SignCheckpoint(short.Checkpoint(audit.Origin("test")), signer); err != nil {
		t.Fatal(err)
	}
	url, stop = serve(t, common...)
	if status, body := post(t, url, "old 1\n\n"+string(signed)); status != http.StatusConflict || body != "2\n" {
		t.Errorf("a rollback: %d %q", status, body)
	}
	stop()
	file := filepath.Join(dir, "now.txt")
	if err := os.WriteFile(file, signed, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := run(t, append([]string{"accept", "--checkpoint", file}, common...)...); code != program.Done || !strings.Contains(out, "from 2 records") {
		t.Errorf("accept: %d %s", code, out)
	}
	if code, out := run(t, append([]string{"show"}, common...)...); code != program.Done || !strings.Contains(out, "given up") {
		t.Errorf("show: %d %s", code, out)
	}
	url, stop = serve(t, common...)
	if status, body := post(t, url, "old 1\n\n"+string(signed)); status != http.StatusOK {
		t.Errorf("after it was accepted: %d %s", status, body)
	}
	stop()
}

var listening = regexp.MustCompile(`msg=serving listen=(\S+)`)

// output collects what is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string { o.mu.Lock(); defer o.mu.Unlock(); return o.b.String() }

func serve(t *testing.T, args ...string) (url string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, done := &output{}, make(chan int, 1)
	go func() { done <- Main(ctx, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...), out, out) }()
	t.Cleanup(cancel)
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if m := listening.FindStringSubmatch(out.String()); m != nil {
			return "http://" + m[1], func() {
				t.Helper()
				cancel()
				if code := <-done; code != program.Done {
					t.Fatalf("it ended with %d\n%s", code, out)
				}
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not listen:\n%s", out)
		}
	}
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	res, err := http.Post(url+"/add-checkpoint", "", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}
