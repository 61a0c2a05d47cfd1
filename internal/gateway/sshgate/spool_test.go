package sshgate

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"stint/internal/recording"
)

// spool is where recordings go, with keys to read them again.
func spool(t testing.TB) (s *recording.Spool, dir string, trust recording.Trust, opener *recording.Opener) {
	t.Helper()
	dir = t.TempDir()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := recording.NewSealer(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	opener = recording.NewOpener(key)
	s, _, err = recording.OpenSpool(dir, recording.Options{Sealer: sealer, Recipient: opener.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s, dir, recording.Trust{Keys: []ed25519.PublicKey{sealer.Public()}}, opener
}

// TestSpooled sends a nonce through a session, and finds it in a recording that verifies.
func TestSpooled(t *testing.T) {
	s, dir, trust, opener := spool(t)
	w := newWorld(t, func(_ *world, c *Config) { c.Recorder = Spooled(s) })
	cmd := w.ssh("ssh", there, "cat; echo nonce-err >&2; exit 3")
	cmd.Stdin = strings.NewReader("nonce-in\n")
	if out, errs, status := w.run(t, cmd); status != 3 || out != "nonce-in\n" || errs != "nonce-err\n" {
		t.Fatalf("got %d, %q, %q", status, out, errs)
	}
	local := filepath.Join(w.dir, "nonce-file")
	write(t, local, []byte("content"))
	if _, errs, status := w.run(t, w.ssh("scp", local, there+":"+local+".copy")); status != 0 {
		t.Fatalf("scp: %d, %s", status, errs)
	}
	w.stop()
	var all strings.Builder
	for _, name := range []string{"ses_1", "ses_2"} {
		paths, _ := filepath.Glob(filepath.Join(dir, name+".*"))
		if len(paths) != 1 {
			t.Fatalf("%s is kept in %v", name, paths)
		}
		text, err := os.ReadFile(paths[0])
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("nonce")) {
			t.Error("it is kept in clear")
		}
		r, err := recording.NewReader(bytes.NewReader(text), trust, opener)
		if err != nil {
			t.Fatal(err)
		}
		for record, err := range r.Records() {
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&all, "%v %+v\n", record.Event.Kind(), readable(record.Event))
		}
		if _, err := r.Verify(); err != nil {
			t.Error(err)
		}
	}
	for _, want := range []string{"mira", "grt_1", "{Type:exec Command:cat; echo nonce-err", "input nonce-in", "output nonce-in", "problem nonce-err", "exit {Status:3",
		"open wc", "nonce-file.copy", "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73", "close {Sent:9 Received:19}"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("the recording lacks %s:\n%s", want, all.String())
		}
	}
}

func readable(e recording.Event) any {
	if d := reflect.ValueOf(e).FieldByName("Data"); d.IsValid() {
		return string(d.Bytes())
	}
	return e
}

// TestEveryEventHasAPlace holds that no event ends a session because nobody thought of it.
func TestEveryEventHasAPlace(t *testing.T) {
	for _, e := range []Event{Resize{}, Signal{}, Exit{}, File{}, Failed{}, Refused{}, Matched{}, Listening{}, Told{}, Paused{}, Resumed{}} {
		if written(e) == nil {
			t.Errorf("%T has no place in a recording", e)
		}
	}
}
