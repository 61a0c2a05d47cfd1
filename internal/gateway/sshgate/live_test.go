package sshgate

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/gateway"
)

// counter counts what arrives.
type counter struct{ n atomic.Int64 }

func (c *counter) Write(p []byte) (int, error) { c.n.Add(int64(len(p))); return len(p), nil }

// live is one kind of session in use.
type live struct {
	name string
	// start starts it; nonce stands in the arguments of what runs on the target.
	start func(t *testing.T, w *world, c *ssh.Client, nonce string, out io.Writer, errs io.Writer)
	told  bool // the person reads why it ended
	dies  bool // what runs on the target ends with it
}

func session(t *testing.T, c *ssh.Client, out, errs io.Writer) *ssh.Session {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	s.Stdout, s.Stderr = out, errs
	return s
}

var lives = []live{
	{"shell idle", func(t *testing.T, _ *world, c *ssh.Client, nonce string, out, errs io.Writer) {
		s := session(t, c, out, out)
		in, _ := s.StdinPipe()
		if err := errors.Join(s.RequestPty("xterm", 24, 80, nil), s.Shell()); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(in, "sleep %s\n", nonce)
	}, true, true},
	{"command without a terminal", func(t *testing.T, _ *world, c *ssh.Client, nonce string, out, errs io.Writer) {
		if err := session(t, c, out, errs).Start("echo on; sleep " + nonce); err != nil {
			t.Fatal(err)
		}
	}, true, true},
	{"bulk output", func(t *testing.T, _ *world, c *ssh.Client, nonce string, out, errs io.Writer) {
		if err := session(t, c, out, errs).Start("sleep " + nonce + " & cat /dev/zero"); err != nil {
			t.Fatal(err)
		}
	}, true, true},
	{"second channel", func(t *testing.T, _ *world, c *ssh.Client, nonce string, out, errs io.Writer) {
		first := session(t, c, io.Discard, io.Discard)
		in, _ := first.StdinPipe()
		_ = in
		if err := first.Start("cat"); err != nil {
			t.Fatal(err)
		}
		if err := session(t, c, out, errs).Start("echo on; sleep " + nonce); err != nil {
			t.Fatal(err)
		}
	}, true, true},
	{"file transfer", func(t *testing.T, w *world, c *ssh.Client, _ string, out, errs io.Writer) {
		s := session(t, c, nil, errs)
		in, _ := s.StdinPipe()
		from, _ := s.StdoutPipe()
		if err := s.RequestSubsystem("sftp"); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(out, from) }()
		go func() { // asks for the same thing for as long as it is let
			_, err := in.Write([]byte{0, 0, 0, 5, fxInit, 0, 0, 0, 3})
			for id := uint32(1); err == nil; id++ {
				p := ssh.Marshal(struct {
					Type byte
					ID   uint32
					Path string
				}{fxStat, id, w.dir})
				_, err = in.Write(append([]byte{0, 0, 0, byte(len(p))}, p...))
				time.Sleep(time.Millisecond)
			}
		}()
	}, false, false},
	{"forwarded stream", func(t *testing.T, _ *world, c *ssh.Client, _ string, out, _ io.Writer) {
		conn, err := c.Dial("tcp", echoServer(t))
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(out, conn) }()
		go func() {
			var err error
			for err == nil {
				_, err = conn.Write(make([]byte, 1000))
			}
		}()
	}, false, false},
}

// TestC1LiveSessions ends every kind of session for every reason: within a second no
// byte passes, the person reads why, and what ran on the target is gone.
func TestC1LiveSessions(t *testing.T) {
	reasons := []struct {
		why    gateway.Reason
		end    func(w *world)
		within time.Duration
	}{
		{gateway.Expired, func(w *world) { // the clock is looked at each second
			w.control.set(func() { w.control.end = time.Now() }) // a renewal that comes first says so, too
			w.clock.ahead.Store(int64(2 * time.Hour))
		}, 2 * time.Second},
		{gateway.Revoked, func(w *world) { w.control.cut(gateway.Cut{Grant: "grt_1", Reason: gateway.Revoked}) }, time.Second},
		{gateway.Killed, func(w *world) { w.control.cut(gateway.Cut{Session: "ses_1", Reason: gateway.Killed}) }, time.Second},
		{gateway.Partitioned, func(w *world) {
			w.control.set(func() { w.silent = true })
			w.clock.ahead.Store(int64(gateway.Freshness))
		}, 2 * time.Second},
		{gateway.Unrecorded, func(w *world) {
			w.memory.failing(errors.New("disk full"))
		}, time.Second},
		{gateway.Stopping, func(w *world) { w.stop() }, 2 * time.Second},
	}
	for i, l := range lives {
		for j, r := range reasons {
			if r.why == gateway.Unrecorded && !strings.Contains("bulk output, file transfer, forwarded stream", l.name) {
				continue // nothing passes that could fail to be recorded
			}
			t.Run(l.name+"/"+string(r.why), func(t *testing.T) {
				steady(t, func() string {
					w := newWorld(t, nil)
					defer w.stop()
					c := w.client(t)
					var out counter
					var said safeBuffer
					nonce := fmt.Sprintf("8640%d%d%d", i, j, os.Getpid())
					l.start(t, w, c, nonce, io.MultiWriter(&out, tail{&said}), &said)
					eventually(t, "it is in use", func() bool { return out.n.Load() > 0 && (!l.dies || running(nonce)) })
					gone := make(chan struct{})
					go func() { _ = c.Wait(); close(gone) }() // what is read later had arrived before
					start := time.Now()
					r.end(w)
					select {
					case <-gone:
					case <-time.After(60 * time.Second):
						t.Fatal("the connection stays open")
					}
					took := time.Since(start)
					if l.dies {
						eventually(t, "what ran on the target is gone", func() bool { return !running(nonce) })
					}
					w.stop()
					w.memory.mu.Lock()
					closed := w.tapes[0].closed
					w.memory.mu.Unlock()
					if closed == nil || closed.Reason != r.why {
						t.Errorf("recorded as %v", closed)
					}
					w.control.set(func() {
						if (len(w.control.ended) != 1 || w.control.ended[0].Reason != r.why) && !w.silent {
							t.Errorf("the control plane was told %+v", w.control.ended)
						}
					})
					// What is held to the letter are the bounds in conn.go, of which the time to
					// tell the person is one.
					if took > 2*r.within {
						return fmt.Sprintf("closed after %v", took)
					}
					read := func() bool { return strings.Contains(said.String(), r.why.Sentence()) }
					for end := time.Now().Add(2 * time.Second); l.told && !read(); time.Sleep(5 * time.Millisecond) {
						if time.Now().After(end) {
							return fmt.Sprintf("the person read %q", said.String())
						}
					}
					return ""
				})
			})
		}
	}
}

// tail keeps text, but not what a stream of zeros is.
type tail struct{ *safeBuffer }

func (x tail) Write(p []byte) (int, error) {
	if x.Len() < 1<<20 {
		_, _ = x.safeBuffer.Write(bytes.Trim(p, "\x00"))
	}
	return len(p), nil
}

// running says whether a process has the nonce among its arguments.
func running(nonce string) bool {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		if b, err := os.ReadFile(path); err == nil && strings.HasPrefix(string(b), "sleep\x00"+nonce) {
			return true
		}
	}
	return false
}

// TestC4KeptWhilePartitioned lets what runs go on, and nothing new start.
func TestC4KeptWhilePartitioned(t *testing.T) {
	w := newWorld(t, func(w *world, _ *Config) { w.permit.OnPartition = gateway.PartitionKeep })
	c := w.client(t)
	s := session(t, c, nil, nil)
	in, _ := s.StdinPipe()
	out, _ := s.StdoutPipe()
	if err := s.Start("cat"); err != nil {
		t.Fatal(err)
	}
	w.control.set(func() { w.silent = true })
	w.clock.ahead.Store(int64(gateway.Freshness))
	eventually(t, "the lease is stale", func() bool { _, err := c.NewSession(); return err != nil })
	fmt.Fprintln(in, "still here")
	b := make([]byte, 11)
	if _, err := io.ReadFull(out, b); err != nil || string(b) != "still here\n" {
		t.Errorf("got %q, %v", b, err)
	}
	w.clock.ahead.Store(int64(time.Hour))
	if err := s.Wait(); err == nil {
		t.Error("it outlived its grant")
	}
}

// TestStrictForwardsNothingBeforeItIsDurable holds the recorder up, and looks at both ends.
func TestStrictForwardsNothingBeforeItIsDurable(t *testing.T) {
	w := newWorld(t, nil)
	hold := make(chan struct{})
	mark := filepath.Join(w.dir, "arrived")
	var held atomic.Int32
	w.memory.before = func(_ Stream, p []byte) {
		if bytes.Contains(p, []byte("nonce")) {
			held.Add(1)
			<-hold
		}
	}
	s := session(t, w.client(t), nil, nil)
	in, _ := s.StdinPipe()
	var out safeBuffer
	s.Stdout = &out
	if err := s.Start("read x; echo $x > " + mark + "; echo $x"); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(in, "nonce-in")
	eventually(t, "the recorder has it", func() bool { return held.Load() == 1 })
	time.Sleep(100 * time.Millisecond) // in which it would arrive
	if _, err := os.Stat(mark); err == nil {
		t.Error("it arrived at the target before it was durable")
	}
	hold <- struct{}{}
	eventually(t, "it arrives at the target", func() bool { _, err := os.Stat(mark); return err == nil })
	eventually(t, "the recorder has the answer", func() bool { return held.Load() == 2 })
	time.Sleep(100 * time.Millisecond)
	if out.Len() > 0 {
		t.Error("it arrived at the person before it was durable")
	}
	close(hold)
	if err := s.Wait(); err != nil || out.String() != "nonce-in\n" {
		t.Errorf("got %v, %q", err, out.String())
	}
}

// TestStrictAhead holds that of a stream on which much passes the next bytes are read and recorded
// while those before them become durable, and that none arrives before it is.
func TestStrictAhead(t *testing.T) {
	w := newWorld(t, nil)
	var recorded, durable atomic.Int64
	w.memory.before = func(s Stream, p []byte) {
		if s == Out {
			recorded.Add(int64(len(p)))
		}
	}
	w.memory.kept = func(s Stream, m Mark) {
		for s == Out && durable.Load() < int64(m) && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
	}
	const size = 8 << 20
	s := session(t, w.client(t), nil, nil)
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(fmt.Sprintf("head -c %d /dev/zero", size)); err != nil {
		t.Fatal(err)
	}
	read := make(chan int64, 1)
	go func() {
		var got int64
		defer func() { read <- got }()
		for b := make([]byte, 64<<10); ; {
			n, err := out.Read(b)
			if got += int64(n); got > durable.Load() {
				t.Errorf("%d bytes arrived, and %d were durable", got, durable.Load())
				return
			}
			if err != nil {
				return
			}
		}
	}()
	var most int64
	for durable.Load() < size { // the disk is done with what it has when nothing more is read
		was, still := int64(-1), 0
		eventually(t, "the gateway reads no further", func() bool {
			now := recorded.Load()
			if still++; now != was || now <= durable.Load() {
				still = 0
			}
			was = now
			return still == 20
		})
		most = max(most, was-durable.Load())
		durable.Store(was)
	}
	if got := <-read; got != size {
		t.Errorf("got %d bytes", got)
	}
	if most < 4*mostBuffer || most > 2*ahead { // what is being forwarded is out of the ring
		t.Errorf("%d bytes were read ahead", most)
	}
}

// TestBursts: what comes much at once, little, and much again is what was sent, in its order.
func TestBursts(t *testing.T) {
	w := newWorld(t, nil)
	s := session(t, w.client(t), nil, nil)
	in, _ := s.StdinPipe()
	out, _ := s.StdoutPipe()
	if err := s.Start("cat"); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, mostBuffer, 3*ahead + 5, 7, ahead, 0, mostBuffer + 1, 2*ahead + mostRead - 1, 1} {
		sent, got := make([]byte, n), make([]byte, n)
		_, _ = rand.Read(sent)
		written := make(chan error, 1)
		go func() { _, err := in.Write(sent); written <- err }()
		if _, err := io.ReadFull(out, got); err != nil {
			t.Fatal(err)
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, sent) {
			t.Fatalf("of %d bytes others came back", n)
		}
	}
	_ = in.Close()
	if left, err := io.ReadAll(out); err != nil || len(left) > 0 {
		t.Errorf("at the end: %d bytes, %v", len(left), err)
	}
}

// TestPause stops what passes, both ways, and lets it go on.
func TestPause(t *testing.T) {
	w := newWorld(t, nil)
	s := session(t, w.client(t), nil, nil)
	in, _ := s.StdinPipe()
	var out safeBuffer
	s.Stdout = &out
	if err := s.Start("cat"); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(in, "before ")
	eventually(t, "it passes", func() bool { return out.String() == "before " })
	w.control.set(func() { w.control.paused = true })
	w.control.cut(gateway.Cut{Look: true})
	eventually(t, "the recording says so", func() bool {
		return strings.Contains(w.memory.text(), "Paused") || strings.Contains(w.memory.text(), "stopped what passes")
	})
	fmt.Fprint(in, "meanwhile")
	eventually(t, "it is recorded", func() bool { return strings.Contains(w.memory.text(), "meanwhile") })
	time.Sleep(100 * time.Millisecond) // in which it would pass
	if out.String() != "before " {
		t.Errorf("%q passed while it was paused", out.String())
	}
	w.control.set(func() { w.control.paused = false })
	w.control.cut(gateway.Cut{Look: true})
	eventually(t, "it goes on", func() bool { return out.String() == "before meanwhile" })
	// A session that is paused still ends.
	w.control.set(func() { w.control.paused = true })
	w.control.cut(gateway.Cut{Look: true})
	w.control.cut(gateway.Cut{All: true, Reason: gateway.Revoked})
	over := make(chan struct{})
	go func() { _ = s.Wait(); close(over) }()
	select {
	case <-over:
	case <-time.After(60 * time.Second):
		t.Error("it goes on while it is paused")
	}
}

// TestPausedRequests: what is not bytes does not pass a session that is paused, either: a
// signal and a key agent are refused, and the end of what is sent waits.
func TestPausedRequests(t *testing.T) {
	w := newWorld(t, func(w *world, _ *Config) { w.permit.Rules = gateway.Rules{Exec: true, Agent: true} })
	c := w.client(t)
	hit, ended := filepath.Join(w.dir, "hit"), filepath.Join(w.dir, "ended")
	var out safeBuffer
	signalled := session(t, c, &out, nil)
	if err := signalled.Start("trap 'touch " + hit + "; echo got-usr1' USR1; echo ready; while :; do sleep 0.05; done"); err != nil {
		t.Fatal(err)
	}
	fed := session(t, c, nil, nil)
	in, _ := fed.StdinPipe()
	if err := fed.Start("cat > /dev/null; touch " + ended); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", func() bool { return strings.Contains(out.String(), "ready") })
	w.control.set(func() { w.control.paused = true })
	w.control.cut(gateway.Cut{Look: true})
	eventually(t, "the recording says so", func() bool { return strings.Contains(w.memory.text(), "stopped what passes") })
	there := func(path string) bool { _, err := os.Stat(path); return err == nil }
	if err := errors.Join(signalled.Signal(ssh.SIGUSR1), in.Close()); err != nil {
		t.Fatal(err)
	}
	if ok, err := signalled.SendRequest("auth-agent-req@openssh.com", true, nil); ok || err != nil {
		t.Errorf("the agent is lent: %v, %v", ok, err)
	}
	eventually(t, "the refusal is recorded", func() bool { return strings.Contains(w.memory.text(), "request signal") })
	time.Sleep(200 * time.Millisecond) // in which it would pass
	if there(hit) || there(ended) {
		t.Errorf("while it was paused the signal passed: %v; the end: %v", there(hit), there(ended))
	}
	w.control.set(func() { w.control.paused = false })
	w.control.cut(gateway.Cut{Look: true})
	eventually(t, "the end passes", func() bool { return there(ended) })
	if err := signalled.Signal(ssh.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a signal passes", func() bool { return strings.Contains(out.String(), "got-usr1") })
	if n := strings.Count(out.String(), "got-usr1"); n != 1 {
		t.Errorf("%d signals passed", n)
	}
}

// TestWithoutRecorder opens nothing that cannot be recorded.
func TestWithoutRecorder(t *testing.T) {
	w := newWorld(t, nil)
	w.memory.failing(errors.New("disk full"))
	out, errs, status := w.run(t, w.ssh("ssh", there, "echo in"))
	if status == 0 || out != "" || !strings.Contains(errs, "could not be recorded") {
		t.Errorf("got %d, %q, %q", status, out, errs)
	}
	if strings.Contains(w.sshd.log.String(), "Accepted") {
		t.Error("the target was signed in to")
	}
}

// TestWarningInTheTerminal comes into terminals, and into nothing else.
func TestWarningInTheTerminal(t *testing.T) {
	w := newWorld(t, nil)
	c := w.client(t)
	var shell, command, asCommand safeBuffer
	s := session(t, c, &shell, &shell)
	if err := errors.Join(s.RequestPty("xterm", 24, 80, nil), s.Shell()); err != nil {
		t.Fatal(err)
	}
	if err := session(t, c, &command, &command).Start("echo on; cat"); err != nil {
		t.Fatal(err)
	}
	s = session(t, c, &asCommand, &asCommand)
	if err := errors.Join(s.RequestPty("xterm", 24, 80, nil), s.Start("sh")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all of them run", func() bool { return shell.Len() > 0 && command.String() == "on\n" && asCommand.Len() > 0 })
	w.control.set(func() { w.control.end = time.Now().Add(60 * time.Second) })
	w.control.cut(gateway.Cut{Look: true})
	eventually(t, "the warning in a shell that was started as a command", func() bool { return strings.Contains(asCommand.String(), "this session ends in 1 minute") })
	eventually(t, "the warning", func() bool { return strings.Contains(shell.String(), "this session ends in 1 minute") })
	time.Sleep(100 * time.Millisecond) // in which the command would be warned
	if got := command.String(); got != "on\n" {
		t.Errorf("the command's output is %q", got)
	}
	if !strings.Contains(w.text(), "ends in 1 minute") {
		t.Error("not recorded")
	}
}

// TestF9SlowReader does not read, and the gateway's memory stays within the windows.
func TestF9SlowReader(t *testing.T) {
	w := newWorld(t, nil)
	c := w.client(t)
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, _ := s.StdoutPipe()
	if err := s.Start("cat /dev/zero"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	recorded := func() int {
		w.memory.mu.Lock()
		defer w.memory.mu.Unlock()
		return w.tapes[0].tracks[0].passed[Out]
	}
	last := -1
	eventually(t, "it stops", func() bool {
		n := recorded()
		same := n == last && n > 0
		last = n
		time.Sleep(100 * time.Millisecond)
		return same
	})
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapInuse > 200<<20 {
		t.Errorf("%d MiB are in use", m.HeapInuse>>20)
	}
}

// TestNothingStays opens and closes, and goroutines and descriptors are back.
func TestNothingStays(t *testing.T) {
	w := newWorld(t, nil)
	descriptors := func() int { d, _ := os.ReadDir("/proc/self/fd"); return len(d) }
	use := func() {
		c, err := w.dial("web1")
		if err != nil {
			t.Fatal(err)
		}
		s := session(t, c, nil, nil)
		if _, err := s.Output("echo " + strconv.Itoa(os.Getpid())); err != nil {
			t.Fatal(err)
		}
		_ = session(t, c, nil, nil).Start("sleep 5") // and leaves in the middle of it
		_ = c.Close()
	}
	use()
	eventually(t, "no session is open", func() bool { return w.gw.Count() == 0 })
	goroutines, files := runtime.NumGoroutine(), descriptors()
	for range 20 {
		use()
	}
	eventually(t, "everything is back", func() bool {
		return w.gw.Count() == 0 && runtime.NumGoroutine() <= goroutines+3 && descriptors() <= files+3
	})
}

// TestTypedIntoACommand: a shell that is started as a command, in a terminal, sets off alarms as
// any shell does.
func TestTypedIntoACommand(t *testing.T) {
	w := newWorld(t, func(w *world, _ *Config) {
		w.permit.Rules = gateway.Rules{Exec: true, Pty: true, Commands: []gateway.CommandRule{{Effect: gateway.Alarms, Pattern: "echo danger*"}}}
	})
	s := session(t, w.client(t), nil, nil)
	in, _ := s.StdinPipe()
	if err := errors.Join(s.RequestPty("xterm", 24, 80, nil), s.Start("sh")); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(in, "echo danger 1\r")
	eventually(t, "the alarm is told", func() bool {
		w.control.mu.Lock()
		defer w.control.mu.Unlock()
		return len(w.alarms) == 1 && w.alarms[0].Text == "echo danger 1"
	})
}

// TestPausedEnd: how a program ended does not pass a session that is paused, nor that it did.
func TestPausedEnd(t *testing.T) {
	w := newWorld(t, nil)
	s := session(t, w.client(t), nil, nil)
	gone := filepath.Join(w.dir, "gone")
	var out safeBuffer
	s.Stdout = &out
	if err := s.Start("echo ready; while ! test -e " + gone + "; do sleep 0.05; done; exit 7"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Wait() }()
	eventually(t, "it runs", func() bool { return strings.Contains(out.String(), "ready") })
	w.control.set(func() { w.control.paused = true })
	w.control.cut(gateway.Cut{Look: true})
	eventually(t, "the recording says so", func() bool { return strings.Contains(w.memory.text(), "stopped what passes") })
	if err := os.WriteFile(gone, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "how it ended is recorded", func() bool { return strings.Contains(w.memory.text(), "Status:7") })
	select {
	case err := <-ended:
		t.Fatalf("that it ended passed: %v", err)
	case <-time.After(200 * time.Millisecond): // in which it would
	}
	w.control.set(func() { w.control.paused = false })
	w.control.cut(gateway.Cut{Look: true})
	select {
	case err := <-ended:
		var e *ssh.ExitError
		if !errors.As(err, &e) || e.ExitStatus() != 7 {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(60 * time.Second):
		t.Fatal("that it ended does not pass")
	}
}
