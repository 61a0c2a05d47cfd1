package hsm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/hsm/wire"
)

// room is a token of the test's own, and the folder by which it is made ill.
type room struct {
	*Token
	t   *testing.T
	dir string
	log *lines
}

// lines is a log that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func newRoom(t *testing.T) *room {
	t.Helper()
	r := &room{t: t, dir: t.TempDir(), log: &lines{}}
	own, err := os.Executable()
	must(t, err)
	// Any file that only root can exchange is a module here: nobody loads it.
	r.Token = New(Settings{Program: own, Module: "/etc/passwd", Label: "stint", PINFile: r.file("pin", "5678\n"), Environment: []string{"DIR=" + r.dir}, Log: slog.New(slog.NewTextHandler(r.log, nil))})
	t.Cleanup(r.Close)
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *room) file(name, text string) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	must(r.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// ill makes the token ill, or well again.
func (r *room) ill(name string) (well func()) {
	r.t.Helper()
	path := r.file(name, "")
	return func() { must(r.t, os.Remove(path)) }
}

func (r *room) times(name string) int {
	text, _ := os.ReadFile(filepath.Join(r.dir, name)) // none: not once
	return strings.Count(string(text), "\n")
}

func (r *room) signer(alg wire.Algorithm) *Signer {
	r.t.Helper()
	must(r.t, r.Open(r.t.Context()))
	k, err := r.Generate(r.t.Context(), "stint-ssh-users-1", alg)
	must(r.t, err)
	s, err := r.Signer(k)
	must(r.t, err)
	return s
}

// eventually waits for something that will be so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !so(); {
		if time.Now().After(end) {
			t.Fatal("in vain: " + what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func code(err error) string {
	var e *access.Error
	errors.As(err, &e)
	if e == nil {
		return fmt.Sprint(err)
	}
	return e.Code
}

func TestSign(t *testing.T) {
	r := newRoom(t)
	s := r.signer("")
	sig, err := s.Sign(nil, []byte("message"), crypto.Hash(0))
	if err != nil || !ed25519.Verify(s.Public().(ed25519.PublicKey), []byte("message"), sig) {
		t.Errorf("Ed25519: %v", err)
	}
	if _, err := s.Sign(nil, make([]byte, 32), crypto.SHA256); err == nil {
		t.Error("an Ed25519 key signs a hash")
	}
	s, hash := r.signer(wire.P256), sha256.Sum256([]byte("message"))
	if sig, err = s.Sign(nil, hash[:], crypto.SHA256); err != nil || !ecdsa.VerifyASN1(s.Public().(*ecdsa.PublicKey), hash[:], sig) {
		t.Errorf("P-256: %v", err)
	}
	if _, err := s.Sign(nil, []byte("message"), crypto.Hash(0)); err == nil {
		t.Error("a key of P-256 signs a message")
	}
	if ks, err := r.Keys(t.Context(), "stint-"); err != nil || len(ks) != 1 {
		t.Errorf("%v, %v", ks, err)
	}
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			if err := s.Try(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := r.times("started"); n != 1 {
		t.Errorf("the program was started %d times", n)
	}
}

// TestWrongSignatures: nothing that the token says is believed.
func TestWrongSignatures(t *testing.T) {
	for _, alg := range []wire.Algorithm{wire.Ed25519, wire.P256} {
		for _, ill := range []string{"other-key", "other-message", "short", "empty"} {
			r := newRoom(t)
			s := r.signer(alg)
			r.ill(ill)
			hash := sha256.Sum256([]byte("message"))
			opts := crypto.SignerOpts(crypto.Hash(0))
			if alg == wire.P256 {
				opts = crypto.SHA256
			}
			if sig, err := s.Sign(nil, hash[:], opts); code(err) != "token-wrong-signature" || sig != nil {
				t.Errorf("%s, %s: %x, %v", alg, ill, sig, err)
			}
		}
	}
	for _, ill := range []string{"other-label", "no-key-text", "other-key"} {
		r := newRoom(t)
		must(t, r.Open(t.Context()))
		r.ill(ill)
		if k, err := r.Generate(t.Context(), "stint-ssh-users-1", ""); err == nil {
			t.Errorf("%s: made %v", ill, k.Label)
		}
	}
}

// TestAway: whatever the program does, a call ends in time with an error that says so,
// the next ones fail at once, and when it is well it is asked again.
func TestAway(t *testing.T) {
	for _, ill := range []string{"die", "trouble", "garbage", "other-number"} {
		t.Run(ill, func(t *testing.T) {
			r := newRoom(t)
			s := r.signer("")
			well := r.ill(ill)
			if err := s.Try(t.Context()); code(err) != "token-away" {
				t.Errorf("it says %v", err)
			}
			if code(s.Ready()) != "token-away" {
				t.Error("it is ready")
			}
			started := r.times("started")
			if err := s.Try(t.Context()); code(err) != "token-away" || r.times("started") != started {
				t.Errorf("at once: %v", err)
			}
			well()
			must(t, r.Open(t.Context()))
			must(t, s.Try(t.Context()))
		})
	}
	r := newRoom(t)
	s := r.signer("")
	r.ill("no-key") // which says nothing about the token
	if err := s.Try(t.Context()); code(err) != "token-away" || !strings.Contains(err.Error(), "does not have the key") || s.Ready() != nil {
		t.Errorf("%v, %v", err, s.Ready())
	}
}

// TestHangs: a library that hangs is killed, and who waited behind it is told.
func TestHangs(t *testing.T) {
	r := newRoom(t)
	s := r.signer("")
	r.ill("hang")
	var wait sync.WaitGroup
	for range 5 {
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if err := s.Try(ctx); code(err) != "token-away" {
				t.Errorf("it says %v", err)
			}
		})
	}
	wait.Wait()
	eventually(t, "the program that hangs is killed", func() bool {
		r.turn <- struct{}{}
		defer r.give()
		return r.child == nil
	})
}

// TestPIN: one that was refused is not tried again, and none is anywhere to be read.
func TestPIN(t *testing.T) {
	r := newRoom(t)
	r.file("pin", "wrong-pin-9876\n")
	for range 3 {
		err := r.Open(t.Context())
		if code(err) != "token-away" || !strings.Contains(err.Error(), "refuses the PIN") || strings.Contains(err.Error(), "9876") {
			t.Errorf("it says %v", err)
		}
	}
	if n := r.times("refused"); n != 1 {
		t.Errorf("a wrong PIN was tried %d times", n)
	}
	r.file("pin", "5678\r\n")
	must(t, r.Open(t.Context()))
	started, err := os.ReadFile(filepath.Join(r.dir, "started"))
	must(t, err)
	if strings.Contains(string(started), "5678") || strings.Contains(string(started), "9876") || !strings.Contains(string(started), "stint-hsm serve DIR="+r.dir+"\n") {
		t.Errorf("the program got\n%s", started)
	}
	for name, text := range map[string]string{"empty": "", "two lines": "1\n2\n", "long": strings.Repeat("1", maxPIN+1), "a zero": "1\x002"} {
		if pin, err := ReadPIN(r.file("bad", text)); err == nil {
			t.Errorf("%s: %q", name, pin)
		}
	}
	open := r.file("open", "5678")
	must(t, os.Chmod(open, 0o640))
	if _, err := ReadPIN(open); err == nil || strings.Contains(err.Error(), "5678") {
		t.Errorf("a PIN that others can read: %v", err)
	}
	if _, err := ReadPIN(r.dir); err == nil {
		t.Error("a folder is a PIN")
	}
}

// TestLoosePrograms: what others can exchange is not started.
func TestLoosePrograms(t *testing.T) {
	r := newRoom(t)
	own, err := os.ReadFile(r.settings.Program)
	must(t, err)
	loose := filepath.Join(r.dir, "loose")
	must(t, os.WriteFile(loose, own, 0o700))
	must(t, os.Chmod(loose, 0o777))
	for name, s := range map[string]Settings{
		"a program of all":     {Program: loose, Module: r.settings.Module},
		"a module of all":      {Program: r.settings.Program, Module: loose},
		"no program":           {Program: "/none", Module: r.settings.Module},
		"no module":            {Program: r.settings.Program, Module: "/none"},
		"a program by no path": {Program: "stint-hsm", Module: r.settings.Module},
	} {
		s.Label, s.PINFile, s.Environment = "stint", r.settings.PINFile, r.settings.Environment
		if err := New(s).Open(t.Context()); code(err) != "token-away" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r.times("started") != 0 {
		t.Error("it was started")
	}
}

// TestRun: a program that dies is started again, and an absent token is waited for.
func TestRun(t *testing.T) {
	r := newRoom(t)
	back := r.ill("away")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); r.Run(ctx) }()
	eventually(t, "it was looked for twice", func() bool { return r.times("opened") >= 2 })
	if code(r.State()) != "token-away" {
		t.Error("it is open")
	}
	back()
	eventually(t, "it is open", func() bool { return r.State() == nil })
	s, err := r.Signer(wire.Key{Label: "stint-ssh-users-1", ID: []byte{1}, Algorithm: wire.Ed25519, Public: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)).Public().(ed25519.PublicKey)})
	must(t, err)
	must(t, s.Try(t.Context()))
	r.turn <- struct{}{}
	must(t, r.child.cmd.Process.Kill())
	r.give()
	opened := r.times("opened")
	eventually(t, "it is open again", func() bool { return r.times("opened") > opened && r.State() == nil })
	must(t, s.Try(t.Context()))
	cancel()
	<-ended
	if err := s.Try(t.Context()); code(err) != "token-away" {
		t.Errorf("after the end: %v", err)
	}
	if n := strings.Count(r.log.String(), "there is no token with that label"); n != 1 {
		t.Errorf("why it is away is in the log %d times:\n%s", n, r.log)
	}
	if strings.Contains(r.log.String(), "5678") {
		t.Error("the PIN is in the log")
	}
}

// TestNone: a key whose token nobody configured is known, and signs nothing.
func TestNone(t *testing.T) {
	n := None()
	n.Run(t.Context())
	s, err := n.Signer(wire.Key{Label: "a", ID: []byte{1}, Algorithm: wire.Ed25519, Public: make([]byte, 32)})
	must(t, err)
	if code(s.Ready()) != "no-token-configured" || code(s.Try(t.Context())) != "no-token-configured" || code(n.Open(t.Context())) != "no-token-configured" {
		t.Errorf("%v", s.Ready())
	}
	n.Close()
}

// TestHeldBack: a program that a device does not let go holds nobody up, and not many such
// are started.
func TestHeldBack(t *testing.T) {
	r := newRoom(t)
	must(t, r.Open(t.Context()))
	r.killed.Add(lingering - 1)
	really := r.child.gone
	held := make(chan struct{}) // it is killed, and does not go
	r.child.gone = held
	closed := make(chan struct{})
	go func() { defer close(closed); r.Close() }()
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Fatal("who ends it waits for ever")
	}
	<-really
	if err := r.Open(t.Context()); code(err) != "token-away" || !strings.Contains(err.Error(), "does not let it go") {
		t.Errorf("one more is started: %v", err)
	}
	close(held)
	eventually(t, "what went is not counted any more", func() bool { return r.Open(t.Context()) == nil })
}
