package witness

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/audit"
)

// log is a log that can be forked.
type testLog struct {
	t      *testing.T
	keys   string
	signer note.Signer
	tree   audit.Tree
	stored hashes
}

type hashes []tlog.Hash

func (h hashes) ReadHashes(where []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(where))
	for i, n := range where {
		if n >= int64(len(h)) {
			return nil, errors.New("no such hash")
		}
		out[i] = h[n]
	}
	return out, nil
}

func newLog(t *testing.T) *testLog {
	private, public, err := note.GenerateKey(rand.Reader, audit.Origin("test"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return &testLog{t: t, keys: public, signer: signer}
}

func (l *testLog) grow(n int, with string) *testLog {
	next := *l
	next.stored = append(hashes{}, l.stored...)
	for i := range n {
		var more []tlog.Hash
		next.tree, more = next.tree.Append(audit.Leaf(fmt.Appendf(nil, "%s %d", with, i)))
		next.stored = append(next.stored, more...)
	}
	return &next
}

func (l *testLog) head() (audit.Checkpoint, string) {
	l.t.Helper()
	cp := l.tree.Checkpoint(audit.Origin("test"))
	signed, err := audit.SignCheckpoint(cp, l.signer)
	if err != nil {
		l.t.Fatal(err)
	}
	return cp, string(signed)
}

func (l *testLog) message(old int64) message {
	l.t.Helper()
	proof, err := audit.ProveConsistency(old, l.tree.Size(), l.stored)
	if err != nil {
		l.t.Fatal(err)
	}
	_, signed := l.head()
	return message{old, proof, signed}
}

func newWitness(t *testing.T, path string, fresh bool, logs ...string) *Witness {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	w, err := New(Config{Name: "w.test", Key: key, State: path, New: fresh, Logs: logs, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// want adds and compares the status; 200 is a cosignature.
func want(t *testing.T, w *Witness, m message, status int, size int64) {
	t.Helper()
	line, err := w.add(m.String())
	var no *refusal
	switch {
	case status == http.StatusOK:
		if err != nil {
			t.Fatalf("old %d: %v", m.old, err)
		}
		cp, seen, err := audit.OpenWitnessed([]byte(m.checkpoint+line), onlyLog(w), []audit.Cosigner{w.cosigner})
		if err != nil || len(seen) != 1 {
			t.Fatalf("the cosignature of %d does not verify: %v, %v", cp.Size, seen, err)
		}
	case !errors.As(err, &no) || no.status != status || no.size != size:
		t.Fatalf("old %d: %+v, want %d with size %d", m.old, err, status, size)
	}
}

func onlyLog(w *Witness) string {
	for _, keys := range w.logs {
		return keys
	}
	return ""
}

// TestRefusesForksAndRollbacks goes through what C2SP tlog-witness says, with a
// restart between any two steps.
func TestRefusesForksAndRollbacks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	a := newLog(t)
	five := a.grow(5, "a")
	eight, fork := five.grow(3, "a"), five.grow(3, "b")
	w := newWitness(t, path, true, a.keys)
	again := func() {
		t.Helper()
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		w = newWitness(t, path, false, a.keys)
	}
	want(t, w, five.message(0), http.StatusOK, 0)
	again()
	want(t, w, five.message(5), http.StatusOK, 0) // the same once more
	want(t, w, five.message(0), http.StatusConflict, 5)
	want(t, w, eight.message(5), http.StatusOK, 0)
	again()
	want(t, w, five.message(5), http.StatusConflict, 8) // a rollback
	want(t, w, five.message(0), http.StatusConflict, 8)
	want(t, w, fork.message(8), http.StatusConflict, 8) // a fork of the same size
	longer := fork.grow(4, "b").message(8)
	want(t, w, longer, http.StatusUnprocessableEntity, 0) // a longer fork
	want(t, w, eight.message(9-1), http.StatusOK, 0)
	m := five.message(5)
	m.old = 6
	want(t, w, m, http.StatusBadRequest, 0) // old is larger than the checkpoint
	stranger := newLog(t).grow(9, "a")
	want(t, w, stranger.message(8), http.StatusForbidden, 0) // the origin, and another key
	m = eight.message(8)
	m.checkpoint = strings.Replace(m.checkpoint, "stint/test", "stint/other", 1)
	want(t, w, m, http.StatusNotFound, 0)
	m = eight.grow(1, "a").message(8)
	m.proof = nil
	want(t, w, m, http.StatusUnprocessableEntity, 0)
	// An operator accepts the fork; what was signed before stays as evidence.
	_, signed := fork.head()
	if _, _, err := w.Accept(signed); err != nil {
		t.Fatal(err)
	}
	again()
	want(t, w, fork.grow(2, "b").message(8), http.StatusOK, 0)
	want(t, w, eight.grow(5, "a").message(10), http.StatusUnprocessableEntity, 0)
	if s := w.Show(); len(s) != 1 || len(s[0].Abandoned) != 1 || !strings.Contains(s[0].Abandoned[0], "\n8\n") {
		t.Errorf("the evidence is gone: %+v", s)
	}
	_, bad := stranger.head()
	if _, _, err := w.Accept(bad); err == nil {
		t.Error("a checkpoint that the log did not sign was accepted by hand")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestState: what cannot be kept is not signed, a state that is missing or in use
// is no empty one, and nobody but the owner reads it.
func TestState(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "state.json")
	a := newLog(t)
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	c := Config{Name: "w.test", Key: key, State: path, Logs: []string{a.keys}, Log: slog.New(slog.DiscardHandler)}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := New(c); err == nil {
		t.Fatal("a witness began without its state")
	}
	w := newWitness(t, path, true, a.keys)
	if _, err := New(c); err == nil {
		t.Fatal("two witnesses use one state")
	}
	five := a.grow(5, "a")
	want(t, w, five.message(0), http.StatusOK, 0)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the state has mode %v, %v", info.Mode(), err)
	}
	// The folder goes away: the next checkpoint cannot be kept.
	if err := os.Rename(filepath.Dir(path), filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	if line, err := w.add(five.grow(1, "a").message(5).String()); err == nil {
		t.Errorf("signed without keeping it: %s", line)
	}
	if err := os.Rename(filepath.Join(dir, "away"), filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	want(t, w, five.grow(1, "b").message(5), http.StatusOK, 0) // what was not kept was not signed
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(c); err == nil {
		t.Error("garbage was taken for a state")
	}
}

// TestOneAtATime: of many that come at once with checkpoints of a size, only one
// history is signed.
func TestOneAtATime(t *testing.T) {
	a := newLog(t)
	w := newWitness(t, filepath.Join(t.TempDir(), "state.json"), true, a.keys)
	defer w.Close()
	five := a.grow(5, "a")
	want(t, w, five.message(0), http.StatusOK, 0)
	var wg sync.WaitGroup
	var mu sync.Mutex
	signed := 0
	for i := range 16 {
		m := five.grow(3, fmt.Sprint(i)).message(5).String()
		wg.Go(func() {
			if _, err := w.add(m); err == nil {
				mu.Lock()
				signed++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if signed != 1 {
		t.Errorf("%d histories were signed", signed)
	}
}

// TestHostile: what is not of the protocol costs little and changes nothing.
func TestHostile(t *testing.T) {
	a := newLog(t)
	w := newWitness(t, filepath.Join(t.TempDir(), "state.json"), true, a.keys)
	defer w.Close()
	good := a.grow(5, "a").message(0).String()
	line := tlog.Hash{}.String() + "\n"
	for name, body := range map[string]string{
		"nothing": "", "no old": strings.TrimPrefix(good, "old 0\n"), "a sign": strings.Replace(good, "old 0", "old +0", 1), "zeroes": strings.Replace(good, "old 0", "old 00", 1),
		"too large a size": strings.Replace(good, "old 0", "old 9223372036854775808", 1), "below zero": strings.Replace(good, "old 0", "old -1", 1),
		"64 lines of proof": strings.Replace(good, "old 0\n", "old 0\n"+strings.Repeat(line, 64), 1), "a short hash": strings.Replace(good, "old 0\n", "old 0\nAAAA\n", 1),
		"spare bits": strings.Replace(good, "old 0\n", "old 0\n"+strings.Repeat("A", 42)+"B=\n", 1), "carriage returns": strings.ReplaceAll(good, "\n", "\r\n"),
		"much": good + strings.Repeat("x", maxRequest), "no checkpoint": "old 0\n\n", "a thousand signatures": good + strings.Repeat("— a AAAA\n", 1000),
	} {
		if line, err := w.add(body); err == nil {
			t.Errorf("%s was signed: %s", name, line)
		}
	}
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = w.Server()
	srv.Config.ReadTimeout = 2 * time.Second // as ever, only sooner
	srv.Start()
	defer srv.Close()
	res, err := http.Post(srv.URL+"/add-checkpoint", "", io.MultiReader(strings.NewReader("old 0\n"), zeroes{}))
	if err == nil {
		res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("an endless body: %d", res.StatusCode)
		}
	}
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nold"); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(60 * time.Second))
	if _, err := io.ReadAll(conn); err != nil { // a slow client is let go
		t.Errorf("the connection of a slow client stays: %v", err)
	}
	for path, status := range map[string]int{"/": 404, "/logs/x/checkpoint": 404, "/logs/" + LogID(audit.Origin("test")) + "/checkpoint": 404, "/healthz": 200, "/add-checkpoint": 405} {
		res, err := http.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, status)
		}
	}
	if w.Newest(audit.Origin("test")) != "" {
		t.Error("something was signed")
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestClient speaks with the witness, and with ones that lie.
func TestClient(t *testing.T) {
	a := newLog(t)
	w := newWitness(t, filepath.Join(t.TempDir(), "state.json"), true, a.keys)
	defer w.Close()
	srv := httptest.NewServer(w.Handler())
	defer srv.Close()
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{URL: u, Witness: w.cosigner, HTTP: srv.Client()}
	add := func(l *testLog, old int64) (string, error) {
		m := l.message(old)
		cp, _ := l.head()
		line, _, err := c.Add(context.Background(), old, m.proof, []byte(m.checkpoint), cp)
		return line, err
	}
	five := a.grow(5, "a")
	if _, err := c.Newest(t.Context(), audit.Origin("test"), a.keys); err == nil {
		t.Error("a newest checkpoint before the first")
	}
	line, err := add(five, 0)
	if err != nil || !strings.HasPrefix(line, "— w.test ") {
		t.Fatalf("%q, %v", line, err)
	}
	var other *Conflict
	if _, err := add(five.grow(1, "a"), 3); !errors.As(err, &other) || other.Size != 5 {
		t.Errorf("from the wrong size: %v", err)
	}
	if _, err := add(a.grow(9, "b"), 5); !errors.Is(err, ErrFork) {
		t.Errorf("a fork: %v", err)
	}
	if cp, err := c.Newest(t.Context(), audit.Origin("test"), a.keys); err != nil || cp.Size != 5 {
		t.Errorf("the newest: %+v, %v", cp, err)
	}
	c.Now = func() time.Time { return time.Now().Add(time.Hour) }
	if _, err := add(five, 5); err == nil {
		t.Error("a cosignature of an hour ago says what the witness knows now")
	}
	c.Now = nil
	for name, h := range map[string]http.HandlerFunc{
		"garbage":         func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "— w.test AAAA\n") },
		"nothing":         func(http.ResponseWriter, *http.Request) {},
		"a bare conflict": func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusConflict) },
		"an older line":   func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, line) },
		"much": func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = io.CopyN(rw, zeroes{}, 1<<22)
		},
	} {
		liar := httptest.NewServer(h)
		if c.URL, err = url.Parse(liar.URL); err != nil {
			t.Fatal(err)
		}
		var conflict *Conflict
		if _, err := add(five.grow(1, "a"), 5); err == nil || errors.As(err, &conflict) {
			t.Errorf("%s passed: %v", name, err)
		}
		if _, err := c.Newest(t.Context(), audit.Origin("test"), a.keys); err == nil {
			t.Errorf("%s passed for a newest checkpoint", name)
		}
		liar.Close()
	}
}

// FuzzMessage: whatever is read is written again as it was.
func FuzzMessage(f *testing.F) {
	f.Add("old 0\n\nstint/x\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— stint/x AAAA\n")
	f.Add("old 5\n" + tlog.Hash{}.String() + "\n\na\n\n")
	f.Add("old 9223372036854775807\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseMessage(text)
		if err == nil && m.String() != text {
			t.Errorf("%q was read as %q", text, m.String())
		}
	})
}
