package runner

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/elevate"
	"stint/internal/recording"
)

// fakeHost runs what is asked for as its own account, in process groups.
type fakeHost struct {
	key []byte

	mu    sync.Mutex
	over  bool
	empty bool // nothing is lent
	pids  map[string]int
	tries int // of a question what is permitted
}

func (h *fakeHost) Knows(int) (bool, error) { h.mu.Lock(); defer h.mu.Unlock(); return !h.empty, nil }

func (h *fakeHost) Permit(uid int, argv []string) (Permit, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tries++
	if argv[0] == "/refused" {
		return Permit{}, access.Fail(access.Denied, "other-command", "your access does not allow this command")
	}
	return Permit{Tag: "tag", Entitlement: "ent_1", Person: "mira", Account: "mira", UID: uid, RunAs: "root", RunAsUID: uid, Argv: argv, Left: time.Hour, Recordings: h.key}, nil
}

func (h *fakeHost) Left(access.Tag) (time.Duration, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return 0, nil
	}
	return time.Hour, nil
}

func (h *fakeHost) Start(_ context.Context, p Permit, id string, cmd *exec.Cmd) error {
	cmd.Path, cmd.Args = p.Argv[0], p.Argv
	cmd.SysProcAttr.Setsid = true
	if err := cmd.Start(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pids[id] = cmd.Process.Pid
	return nil
}

func (h *fakeHost) End(_ context.Context, _ Permit, id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if pid := h.pids[id]; pid > 0 {
		_ = unix.Kill(-pid, unix.SIGKILL) // the group may be gone
	}
	return nil
}

func (h *fakeHost) EndAll(context.Context) error { return nil }

func (h *fakeHost) end() { h.mu.Lock(); defer h.mu.Unlock(); h.over = true }

// fakeLine is a control plane that may be away.
type fakeLine struct {
	mu   sync.Mutex
	away bool
	told []api.HostCommand
	cuts chan api.SessionCut
}

// FollowHostCuts hands over what a test sends.
func (l *fakeLine) FollowHostCuts(ctx context.Context, ready func(), cut func(api.SessionCut)) error {
	ready()
	for {
		select {
		case c := <-l.cuts:
			cut(c)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *fakeLine) TellOfCommands(_ context.Context, t api.HostTold) (api.HostHeard, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return api.HostHeard{}, errors.New("away")
	}
	l.told = append(l.told, t.Commands...)
	return api.HostHeard{}, nil
}

func (l *fakeLine) set(away bool) { l.mu.Lock(); defer l.mu.Unlock(); l.away = away }

// ended is what was told of a command's end.
func (l *fakeLine) ended(id string) (api.HostCommand, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.told {
		if c.ID == id && !c.EndedAt.IsZero() {
			return c, true
		}
	}
	return api.HostCommand{}, false
}

type world struct {
	*testing.T
	host   *fakeHost
	line   *fakeLine
	dir    string
	opener *recording.Opener
	public ed25519.PublicKey
	socket string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	key, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	must(t, err)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	w := &world{T: t, host: &fakeHost{key: key.PublicKey().Bytes(), pids: map[string]int{}}, line: &fakeLine{cuts: make(chan api.SessionCut)}, dir: t.TempDir(), opener: recording.NewOpener(key), public: public}
	sealer, err := recording.NewSealer(private)
	must(t, err)
	log := slog.New(slog.DiscardHandler)
	shelf, err := OpenShelf(filepath.Join(w.dir, "recordings"), sealer, log)
	must(t, err)
	reports, err := OpenReports(filepath.Join(w.dir, "reports"), w.line, log)
	must(t, err)
	ends := NewEnds(w.line, log)
	s, err := New(Config{Host: w.host, Recorder: shelf, Reports: reports, Ends: ends, Log: log})
	must(t, err)
	w.socket = filepath.Join(w.dir, "socket")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: w.socket, Net: "unix"})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { reports.Run(ctx) })
	wg.Go(func() { ends.Run(ctx) })
	wg.Go(func() {
		if err := s.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		wg.Wait()
		must(t, shelf.Close(context.Background()))
	})
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) dial() *elevate.Client {
	w.Helper()
	c, err := elevate.Dial(w.Context(), w.socket)
	must(w, err)
	w.Cleanup(func() { _ = c.Close() })
	return c
}

// reported waits until the end of a command was told of.
func (w *world) reported(id string) api.HostCommand {
	w.Helper()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if c, ok := w.line.ended(id); ok {
			return c
		}
		if time.Now().After(end) {
			w.Fatalf("the end of %s is never told of", id)
		}
	}
}

// recorded gives what stands in a recording, one text for each kind.
func (w *world) recorded(id string) map[recording.Kind]string {
	w.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "recordings", "*", id+".rec"))
	must(w, err)
	if len(files) != 1 {
		w.Fatalf("recordings of %s: %q", id, files)
	}
	f, err := os.Open(files[0])
	must(w, err)
	defer func() { _ = f.Close() }()
	r, err := recording.NewReader(f, recording.Trust{Keys: []ed25519.PublicKey{w.public}, Name: id}, w.opener)
	must(w, err)
	all := map[recording.Kind]string{}
	for x, err := range r.Records() { // an error comes where it is not whole and sealed
		must(w, err)
		switch e := x.Event.(type) {
		case recording.Output:
			all[e.Kind()] += string(e.Data)
		case recording.Problem:
			all[e.Kind()] += string(e.Data)
		case recording.Input:
			all[e.Kind()] += string(e.Data)
		case recording.Exec:
			all[e.Kind()] += e.Command
		case recording.Note:
			all[e.Kind()] += e.Text
		default:
			all[e.Kind()] += "."
		}
	}
	return all
}

func sh(script string) []string { return []string{"/bin/sh", "-c", script} }

func TestRecordedCommand(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	ok, err := c.Ask(elevate.Ask{Argv: sh("read a; echo out $a; echo problem >&2; exit 3")})
	must(t, err)
	must(t, c.Feed(strings.NewReader("secret\n")))
	var out, problems bytes.Buffer
	exit, err := c.Wait(&out, &problems, func(string) {})
	if err != nil || exit.Status != 3 || exit.Cut != "" || out.String() != "out secret\n" || problems.String() != "problem\n" {
		t.Errorf("%+v %q %q %v", exit, out.String(), problems.String(), err)
	}
	told := w.reported(ok.ID)
	if told.Status != 3 || told.Input != 7 || told.Output != 19 || told.Frames == 0 || len(told.Root) != 64 {
		t.Errorf("told: %+v", told)
	}
	got := w.recorded(ok.ID)
	if got[recording.KindInput] != "secret\n" || got[recording.KindOutput] != "out secret\n" || got[recording.KindProblem] != "problem\n" || got[recording.KindExit] == "" || got[recording.KindClose] == "" {
		t.Errorf("recorded: %q", got)
	}
}

// TestTypedIsNotRecorded: what a terminal does not echo is nowhere on the disk.
func TestTypedIsNotRecorded(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	ok, err := c.Ask(elevate.Ask{Argv: sh("stty -echo; echo ready; read p; stty echo; echo done; read shown; stty size"), Terminal: &elevate.Terminal{Term: "xterm", Window: elevate.Window{Columns: 80, Rows: 24}}})
	must(t, err)
	var out bytes.Buffer
	typed, shown := false, false
	watch := writer(func(b []byte) (int, error) {
		out.Write(b)
		if !typed && strings.Contains(out.String(), "ready") {
			typed = true
			must(t, c.Send(elevate.Frame{Kind: elevate.KindInput, Payload: []byte("hunter2\r")}))
			must(t, c.Send(elevate.Encode(elevate.KindWindow, elevate.Window{Columns: 77, Rows: 33})))
		}
		if !shown && strings.Contains(out.String(), "done") {
			shown = true
			must(t, c.Send(elevate.Frame{Kind: elevate.KindInput, Payload: []byte("visible\r")}))
		}
		return len(b), nil
	})
	exit, err := c.Wait(watch, io.Discard, func(string) {})
	if err != nil || exit.Status != 0 || !strings.Contains(out.String(), "33 77") {
		t.Errorf("%+v %v %q", exit, err, out.String())
	}
	w.reported(ok.ID)
	got := w.recorded(ok.ID)
	if _, typed := got[recording.KindInput]; typed || strings.Contains(got[recording.KindOutput], "hunter2") || !strings.Contains(got[recording.KindOutput], "visible") || got[recording.KindResize] == "" {
		t.Errorf("recorded: %q", got)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// TestEndsWithAccess: the command ends when access does, and the client is told; also
// one that reads nothing, and whose pipe is full.
func TestEndsWithAccess(t *testing.T) {
	w := newWorld(t)
	c, slow := w.dial(), w.dial()
	ok, err := c.Ask(elevate.Ask{Argv: sh("trap '' TERM INT HUP; echo on; while :; do sleep 1000; done")})
	must(t, err)
	other, err := slow.Ask(elevate.Ask{Argv: sh("exec yes")})
	must(t, err)
	var note string
	once := sync.OnceFunc(w.host.end)
	exit, err := c.Wait(writer(func(b []byte) (int, error) { once(); return len(b), nil }), io.Discard, func(s string) { note = s })
	if err != nil || exit.Cut != cutOver || exit.Signal != int(syscall.SIGKILL) || exit.Status != 137 || !strings.Contains(note, "access has ended") {
		t.Errorf("%+v %v %q", exit, err, note)
	}
	for _, id := range []string{ok.ID, other.ID} {
		if told := w.reported(id); told.Cut != cutOver || told.Signal != "KILL" {
			t.Errorf("told: %+v", told)
		}
	}
}

// TestEndedBySomebody: one command is ended and told why, another goes on; what is told of
// one that does not run changes nothing.
func TestEndedBySomebody(t *testing.T) {
	w := newWorld(t)
	c, other := w.dial(), w.dial()
	ok, err := c.Ask(elevate.Ask{Argv: []string{"/bin/sleep", "1000"}})
	must(t, err)
	goesOn, err := other.Ask(elevate.Ask{Argv: sh("read a; echo done")})
	must(t, err)
	for _, cut := range []api.SessionCut{{Session: "ses_none", Reason: killedText}, {Session: goesOn.ID, Look: true}, {Session: ok.ID, Reason: killedText, Text: "wrong host"}} {
		select {
		case w.line.cuts <- cut:
		case <-time.After(30 * time.Second):
			t.Fatal("nobody listens while a command runs")
		}
	}
	var note string
	exit, err := c.Wait(io.Discard, io.Discard, func(s string) { note = s })
	if err != nil || exit.Cut != cutKilled || !strings.Contains(note, "somebody has ended the command: wrong host") {
		t.Errorf("%+v %v %q", exit, err, note)
	}
	if told := w.reported(ok.ID); told.Cut != cutKilled || told.Signal != "KILL" {
		t.Errorf("told: %+v", told)
	}
	must(t, other.Feed(strings.NewReader("on\n")))
	if exit, err := other.Wait(io.Discard, io.Discard, func(string) {}); err != nil || exit.Cut != "" || exit.Status != 0 {
		t.Errorf("the other: %+v, %v", exit, err)
	}
}

// TestEndsWithItsClient: hung up, and the command is gone.
func TestEndsWithItsClient(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	ok, err := c.Ask(elevate.Ask{Argv: []string{"/bin/sleep", "1000"}})
	must(t, err)
	must(t, c.Close())
	if told := w.reported(ok.ID); told.Cut != cutGone {
		t.Errorf("told: %+v", told)
	}
	// What is left in the background ends with the command.
	c = w.dial()
	ok, err = c.Ask(elevate.Ask{Argv: sh("sleep 1000 & echo left")})
	must(t, err)
	if exit, err := c.Wait(io.Discard, io.Discard, func(string) {}); err != nil || exit.Status != 0 || exit.Cut != "" {
		t.Errorf("%+v, %v", exit, err)
	}
	if told := w.reported(ok.ID); told.Cut != "" {
		t.Errorf("told: %+v", told)
	}
}

// TestHostileClients: whatever they send, nothing runs that should not, and the next one
// is served.
func TestHostileClients(t *testing.T) {
	w := newWorld(t)
	ask := elevate.Encode(elevate.KindAsk, elevate.Ask{Version: 1, Argv: []string{"/bin/sleep", "1000"}})
	first, err := ask.Append(nil)
	must(t, err)
	add := func(kind elevate.Kind, payload string) []byte {
		b, err := elevate.Frame{Kind: kind, Payload: []byte(payload)}.Append(bytes.Clone(first))
		must(t, err)
		return b
	}
	for name, text := range map[string][]byte{
		"nonsense": []byte("GET / HTTP/1.1\r\n\r\n"), "a huge head": {'R', 0xff, 0xff, 0xff, 0xff}, "input first": {'I', 0, 0, 0, 1, 'x'}, "the runner's words": {'A', 0, 0, 0, 2, '{', '}'},
		"no JSON": {'R', 0, 0, 0, 1, '{'},
	} {
		conn, err := net.Dial("unix", w.socket)
		must(t, err)
		_, _ = conn.Write(text)
		must(t, conn.(*net.UnixConn).CloseWrite())
		must(t, conn.SetReadDeadline(time.Now().Add(60*time.Second)))
		got, err := io.ReadAll(conn)
		if err != nil && !errors.Is(err, syscall.ECONNRESET) || len(got) > 0 && got[0] != 'F' {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		_ = conn.Close()
	}
	w.host.mu.Lock()
	if w.host.tries != 0 {
		t.Errorf("%d of them were asked about", w.host.tries)
	}
	w.host.mu.Unlock()
	// Once it runs, what is no message ends it.
	for name, text := range map[string][]byte{
		"a second question": append(bytes.Clone(first), first...), "a window without a terminal": add('W', `{"columns":1,"rows":1}`), "no such signal": add('S', "KILL"), "a number": add('S', "9"),
		"cut in the middle": append(bytes.Clone(first), 'I', 0, 0, 0, 9, 'x'), "an unknown kind": append(bytes.Clone(first), '?', 0, 0, 0, 0), "too large": append(bytes.Clone(first), 'I', 0, 1, 0, 1),
	} {
		conn, err := net.Dial("unix", w.socket)
		must(t, err)
		_, err = conn.Write(text)
		must(t, err)
		if name == "cut in the middle" {
			must(t, conn.(*net.UnixConn).CloseWrite())
		}
		r := elevate.NewRunnerReader(conn)
		must(t, conn.SetReadDeadline(time.Now().Add(60*time.Second)))
		f, err := r.Next()
		must(t, err)
		var ok elevate.Accepted
		must(t, elevate.Decode(f, &ok))
		if told := w.reported(ok.ID); told.Cut != cutBad {
			t.Errorf("%s: %+v", name, told)
		}
		_ = conn.Close()
	}
	c := w.dial()
	if _, err := c.Ask(elevate.Ask{Argv: []string{"/bin/true"}}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestFlood: one account gets so many places and no more, and those that say nothing
// lose theirs.
func TestFlood(t *testing.T) {
	w := newWorld(t)
	var open []net.Conn
	refused := 0
	began := time.Now()
	for range 200 {
		conn, err := net.Dial("unix", w.socket)
		must(t, err)
		open = append(open, conn)
	}
	for _, conn := range open {
		must(t, conn.SetReadDeadline(time.Now().Add(askWithin+60*time.Second)))
		f, err := elevate.NewRunnerReader(conn).Next()
		if err != nil {
			t.Fatalf("neither served nor refused: %v", err)
		}
		var no elevate.Refusal
		must(t, elevate.Decode(f, &no))
		switch no.Code {
		case "too-many", "too-often":
			refused++
		case "bad-message": // it said nothing in time
		default:
			t.Errorf("refused: %+v", no)
		}
		_ = conn.Close()
	}
	// On a machine so slow that the first have lost their places when the last come, those have
	// them again.
	if held := len(open) - refused; held > mostOfOne*(1+int(time.Since(began)/askWithin)) {
		t.Errorf("%d were held at once", held)
	}
	if d := time.Since(began); d > askWithin+30*time.Second {
		t.Errorf("silent ones kept their places for %s", d)
	}
	// Where nothing is lent, nothing is read.
	w.host.mu.Lock()
	w.host.empty = true
	w.host.mu.Unlock()
	time.Sleep(time.Second) // the rate, by its clock
	conn, err := net.Dial("unix", w.socket)
	must(t, err)
	defer func() { _ = conn.Close() }()
	must(t, conn.SetReadDeadline(time.Now().Add(askWithin-time.Second)))
	if f, err := elevate.NewRunnerReader(conn).Next(); err != nil || f.Kind != elevate.KindRefused {
		t.Errorf("a stranger waits: %v", err)
	}
}

// TestReportsOutlast: Stint is away, the runner is lost; what ran is told of all the same.
func TestReportsOutlast(t *testing.T) {
	dir, line, log := t.TempDir(), &fakeLine{away: true}, slog.New(slog.DiscardHandler)
	r, err := OpenReports(dir, line, log)
	must(t, err)
	began := api.At(time.Now())
	must(t, r.Keep(api.HostCommand{ID: "cmd_1", BeganAt: began}))
	must(t, r.Keep(api.HostCommand{ID: "cmd_2", BeganAt: began}))
	must(t, r.Keep(api.HostCommand{ID: "cmd_2", BeganAt: began, EndedAt: began, Status: 4}))
	must(t, os.WriteFile(filepath.Join(dir, "cmd_3.json"), []byte(`{"id":"cmd_`), 0o600)) // a disk that lied
	if err := r.tell(t.Context()); err == nil {
		t.Fatal("told to nobody")
	}
	line.set(false)
	again, err := OpenReports(dir, line, log)
	must(t, err)
	must(t, again.tell(t.Context()))
	if c, ok := line.ended("cmd_1"); !ok || c.Cut != cutLost {
		t.Errorf("the one that was lost: %+v", c)
	}
	if c, ok := line.ended("cmd_2"); !ok || c.Status != 4 || c.Cut != "" {
		t.Errorf("the one that ended: %+v", c)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"+reportSuffix))
	must(t, err)
	if len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if _, err := os.Stat(filepath.Join(dir, "cmd_3.json.damaged")); err != nil {
		t.Errorf("the damaged one is gone: %v", err)
	}
}

// TestReportsAreBounded: with Stint away for long, commands stop, and those that run are
// still told of.
func TestReportsAreBounded(t *testing.T) {
	r, err := OpenReports(t.TempDir(), &fakeLine{away: true}, slog.New(slog.DiscardHandler))
	must(t, err)
	for i := range mostReports {
		r.open[strconv.Itoa(i)] = api.HostCommand{}
	}
	began := api.At(time.Now())
	if err := r.Keep(api.HostCommand{ID: "cmd_1", BeganAt: began}); err == nil {
		t.Error("one more begins")
	}
	must(t, r.Keep(api.HostCommand{ID: "cmd_2", BeganAt: began, EndedAt: began}))
}

// TestUnrecorded: without a record nothing runs.
func TestUnrecorded(t *testing.T) {
	w := newWorld(t)
	must(t, os.RemoveAll(filepath.Join(w.dir, "reports")))
	_, err := w.dial().Ask(elevate.Ask{Argv: sh("echo ran > " + w.dir + "/ran")})
	var no *elevate.Refused
	if !errors.As(err, &no) || no.Code != "unrecorded" {
		t.Errorf("without room for the report: %v", err)
	}
	w.host.key = []byte("short")
	if _, err = w.dial().Ask(elevate.Ask{Argv: sh("echo ran > " + w.dir + "/ran")}); !errors.As(err, &no) || no.Code != "unrecorded" {
		t.Errorf("with a key that is none: %v", err)
	}
	w.host.key = nil
	if _, err = w.dial().Ask(elevate.Ask{Argv: sh("echo ran > " + w.dir + "/ran")}); !errors.As(err, &no) || no.Code != "no-recordings-key" {
		t.Errorf("without a key: %v", err)
	}
	if _, err := os.Stat(w.dir + "/ran"); err == nil {
		t.Error("it ran")
	}
}
