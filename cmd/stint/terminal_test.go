package main

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"stint/internal/api"
)

// atTerminal is the program with a person before it.
func atTerminal(t *testing.T, f *fake, in io.Reader) (*cli, *buffer, *buffer) {
	t.Helper()
	home := filepath.Join(t.TempDir(), "mira")
	if err := enroll(f, home, "mira"); err != nil {
		t.Fatal(err)
	}
	out, errw := &buffer{}, &buffer{}
	c := newCLI([]string{"STINT_SERVER=" + f.URL, "STINT_HOME=" + home, "TERM=xterm"}, in, out, errw)
	c.tty = terminal{in: true, out: true, err: true, width: 80, live: true}
	c.paint = c.choosePaint(errw, true)
	return c, out, errw
}

// buffer may be written by progress while it is read.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestLiveWait(t *testing.T) {
	f := newFake(t)
	c, out, errw := atTerminal(t, f, strings.NewReader(""))
	code := make(chan int, 1)
	go func() {
		code <- c.main(t.Context(), []string{"request", "orders-db", "--as", "writer", "--for", "20s", "--why", "mend"})
	}()
	if err := f.held(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.change(func() {
		r := f.requests[0]
		r.Votes = append(r.Votes, api.Vote{Person: "noor\x1b[2J", Approve: true, At: api.At(time.Now())})
		f.grant(r, api.GrantActive)
	})
	if got := <-code; got != exitDone {
		t.Fatalf("exit code %d\n%s", got, errw)
	}
	for _, want := range []string{clearLine + "⠋ waiting for approval by group:dba", "✓", `approved by noor\x1b[2J`, "connect with stint db orders-db"} {
		if !strings.Contains(errw.String(), want) {
			t.Errorf("stderr lacks %q:\n%q", want, errw)
		}
	}
	if !strings.Contains(out.String(), "\x1b[32mactive\x1b[m") {
		t.Errorf("the state is not green: %q", out)
	}
}

func TestInterrupted(t *testing.T) {
	f := newFake(t)
	c, out, errw := atTerminal(t, f, strings.NewReader(""))
	before := goleak.IgnoreCurrent()
	ctx, interrupt := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() {
		code <- c.main(ctx, []string{"request", "orders-db", "--as", "writer", "--for", "20s", "--why", "mend"})
	}()
	if err := f.held(t.Context()); err != nil {
		t.Fatal(err)
	}
	interrupt()
	if got := <-code; got != exitInterrupted {
		t.Errorf("exit code %d, want %d", got, exitInterrupted)
	}
	if out.String() != "" || !strings.Contains(errw.String(), "no longer waiting; req_") {
		t.Errorf("stdout %q, stderr %q", out, errw)
	}
	c.started.Close()
	f.CloseClientConnections()
	goleak.VerifyNone(t, before)
}

// TestConfirm: on a terminal the dangerous things are asked back, and only a
// yes is a yes.
func TestConfirm(t *testing.T) {
	for _, x := range []struct {
		answer string
		args   []string
		code   int
		sent   string
		want   bool
	}{
		{"y\n", []string{"revoke", "--all", "--why", "incident"}, exitDone, "POST /v1/revoke", true},
		{"n\n", []string{"revoke", "--all", "--why", "incident"}, exitFailure, "POST /v1/revoke", false},
		{"", []string{"revoke", "--all", "--why", "incident"}, exitFailure, "POST /v1/revoke", false},
		{"\n", []string{"revoke", "--all", "--why", "incident", "--yes"}, exitDone, "POST /v1/revoke", true},
		{"n\n", []string{"revoke", "--user", "tomas", "--why", "incident"}, exitDone, "POST /v1/revoke", true},
		{"yes\n", []string{"approve", "req_0"}, exitDone, "POST /v1/requests/req_00000000000000000000000001/approve", true},
		{"maybe\n", []string{"approve", "req_0"}, exitFailure, "POST /v1/requests/req_00000000000000000000000001/approve", false},
	} {
		f := newFake(t)
		c, _, errw := atTerminal(t, f, strings.NewReader(x.answer))
		f.requests = []*api.Request{{ID: "req_00000000000000000000000001", State: api.RequestPending, Principal: "user:tomas", Person: "tomas",
			Resource: "orders-db", Role: "writer", Duration: "20s"}}
		if got := c.main(t.Context(), x.args); got != x.code {
			t.Errorf("%v, %q: exit code %d, want %d\n%s", x.args, x.answer, got, x.code, errw)
		}
		f.mu.Lock()
		sent := strings.Contains(strings.Join(f.seen, "\n"), x.sent)
		f.mu.Unlock()
		if sent != x.want {
			t.Errorf("%v, %q: sent %v, want %v", x.args, x.answer, sent, x.want)
		}
	}
}

// TestAsks: a person is asked for what is missing; STINT_NO_INPUT makes it an
// error, as a pipe does.
func TestAsks(t *testing.T) {
	f := newFake(t)
	in, answers := io.Pipe()
	defer in.Close()
	c, out, errw := atTerminal(t, f, in)
	go func() {
		for _, line := range []string{"reader\n", "20s\n", "check order 4711\n"} {
			_, _ = io.WriteString(answers, line)
		}
	}()
	if got := c.main(t.Context(), []string{"request", "orders-db", "-o", "name"}); got != exitDone {
		t.Fatalf("exit code %d\n%s", got, errw)
	}
	if r := f.requests[0]; r.Role != "reader" || r.Duration != "20s" || r.Reason != "check order 4711" {
		t.Errorf("asked for %+v\n%s", r, out)
	}
	c, _, errw = atTerminal(t, f, strings.NewReader("reader\n"))
	c.env["STINT_NO_INPUT"] = "1"
	if got := c.main(t.Context(), []string{"request", "orders-db"}); got != exitUsage || !strings.Contains(errw.String(), "--as is missing") {
		t.Errorf("exit code %d, %s", got, errw)
	}
}

func TestPaint(t *testing.T) {
	for _, x := range []struct {
		env  []string
		tty  bool
		want bool
	}{
		{nil, false, false},
		{nil, true, true},
		{[]string{"NO_COLOR=1"}, true, false},
		{[]string{"TERM=dumb"}, true, false},
		{[]string{"CLICOLOR_FORCE=1"}, false, true},
		{[]string{"CLICOLOR_FORCE=0"}, false, false},
		{[]string{"CLICOLOR_FORCE=1", "NO_COLOR=1"}, true, false},
	} {
		c := newCLI(x.env, nil, io.Discard, io.Discard)
		if got := c.choosePaint(io.Discard, x.tty).on; got != x.want {
			t.Errorf("%v on a terminal %v: %v, want %v", x.env, x.tty, got, x.want)
		}
	}
}

// TestHeartbeat: without a terminal each new thing is one line, and the same
// thing is not said twice.
func TestHeartbeat(t *testing.T) {
	errw := &buffer{}
	c := newCLI(nil, nil, io.Discard, errw)
	c.now = func() time.Time { return time.Date(2026, 3, 1, 14, 2, 11, 0, time.Local) }
	p := c.startProgress()
	p.now("waiting for approval by group:dba")
	p.now("waiting for approval by group:dba")
	p.happened("approved by noor")
	p.close()
	want := "14:02:11 waiting for approval by group:dba\n14:02:11 approved by noor\n"
	if errw.String() != want {
		t.Errorf("got %q, want %q", errw, want)
	}
}

// TestListsSayWhatComesNext: after a list, and after one that is empty, a person is told
// what can be done; a script is not.
func TestListsSayWhatComesNext(t *testing.T) {
	for _, x := range []struct {
		args []string
		want []string
	}{
		{[]string{"delegate", "list"}, []string{"there are none", "stint delegate USER --for DURATION --why TEXT"}},
		{[]string{"favourite", "list"}, []string{"there are none", "stint favourite add NAME RESOURCE"}},
		{[]string{"admin", "vendor", "list", "--sponsor", "noor"}, []string{"there are none", "stint admin vendor invite NAME"}},
		{[]string{"task", "list"}, []string{"stint task end TASK --agent NAME"}},
		{[]string{"get", "bundles"}, []string{"stint request --bundle NAME"}},
		{[]string{"status"}, []string{"you hold nothing", "stint request RESOURCE --as ROLE"}},
	} {
		f := newFake(t)
		c, _, errw := atTerminal(t, f, strings.NewReader(""))
		if code := c.main(t.Context(), x.args); code != exitDone {
			t.Fatalf("%v: exit code %d\n%s", x.args, code, errw)
		}
		for _, want := range x.want {
			if !strings.Contains(errw.String(), want) {
				t.Errorf("%v: stderr lacks %q:\n%s", x.args, want, errw)
			}
		}
		piped := newCLI([]string{"STINT_SERVER=" + f.URL, "STINT_HOME=" + c.env["STINT_HOME"]}, strings.NewReader(""), &buffer{}, &buffer{})
		if code := piped.main(t.Context(), x.args); code != exitDone {
			t.Fatalf("%v in a pipe: exit code %d", x.args, code)
		}
		if hint := x.want[len(x.want)-1]; strings.Contains(piped.err.(*buffer).String(), hint) {
			t.Errorf("%v: a script is told %q", x.args, hint)
		}
	}
}

// TestNothingIsCutInPipes: a table is as wide as what it says where nobody looks, and as
// the terminal else.
func TestNothingIsCutInPipes(t *testing.T) {
	long := strings.Repeat("because of this and that, ", 20)
	for _, terminal := range []bool{true, false} {
		c := newCLI(nil, strings.NewReader(""), &buffer{}, &buffer{})
		c.output, c.tty.out = asTable, terminal
		tab := newTable("POLICY", "WHY")
		tab.row("freeze", long)
		if err := c.show(result{table: tab}); err != nil {
			t.Fatal(err)
		}
		if whole := strings.Contains(c.out.(*buffer).String(), long); whole == terminal {
			t.Errorf("on a terminal: %v, whole: %v", terminal, whole)
		}
	}
}

// TestVoteShowsEveryRule: an agent's request is decided twice, and who approves it sees
// both rules; what is still asked is what is not there yet.
func TestVoteShowsEveryRule(t *testing.T) {
	f := newFake(t)
	c, _, errw := atTerminal(t, f, strings.NewReader("n\n"))
	f.requests = []*api.Request{{ID: "req_00000000000000000000000001", State: api.RequestPending, Principal: "agent:fixer", Person: "tomas", Resource: "orders-db", Role: "writer", Duration: "20s",
		Decision: api.Decision{Outcome: api.OutcomeApprove, Reasons: []api.Reason{{Policy: "agents", Text: "of the agent"}, {Policy: "people", Text: "of its human"}}}}}
	if code := c.main(t.Context(), []string{"approve", "req_0"}); code != exitFailure {
		t.Fatalf("exit code %d\n%s", code, errw)
	}
	for _, want := range []string{"of the agent (agents)", "of its human (people)"} {
		if !strings.Contains(errw.String(), want) {
			t.Errorf("stderr lacks %q:\n%s", want, errw)
		}
	}
	all := []api.Approval{{From: []string{"group:dba"}, Count: 1, Have: 1, Stage: 1}, {From: []string{"group:leads"}, Count: 2, Have: 1, Stage: 2, Later: true}}
	if got := asked(stillAsked(all)); got != "group:leads (1 of 2)" {
		t.Errorf("still asked: %q", got)
	}
}

// TestPlayAtTerminal: a replay draws screens of printable text on a screen of its own, and
// gives the terminal back as it was; what cannot be is refused before anything is drawn.
func TestPlayAtTerminal(t *testing.T) {
	f := newFake(t)
	c, out, errw := atTerminal(t, f, strings.NewReader(""))
	if code := c.main(t.Context(), []string{"session", "play", "ses_000", "--from", "1:30", "--channel", "2", "--speed", "4", "--idle", "1s"}); code != exitDone {
		t.Fatalf("exit code %d\n%s", code, errw)
	}
	got := out.String()
	if !strings.HasPrefix(got, "\x1b[?1049h") || !strings.HasSuffix(got, "\x1b[?1049l") {
		t.Errorf("the terminal is not given back: %q", got)
	}
	for _, want := range []string{"channel 2 from 90000", "\x1b[0;1;38;5;1m", "second", "replay", "Ctrl-C leaves"} {
		if !strings.Contains(got, want) {
			t.Errorf("what is drawn lacks %q: %q", want, got)
		}
	}
	if strings.Contains(got, "\x1b[2J") {
		t.Errorf("what the session wrote acts on the terminal: %q", got)
	}
	for name, args := range map[string][]string{
		"a time": {"--from", "12:99"}, "a speed": {"--speed", "0"}, "a pause": {"--idle", "-1s"}, "none at all": {"--idle", "soon"},
	} {
		c, out, errw := atTerminal(t, f, strings.NewReader(""))
		if code := c.main(t.Context(), append([]string{"session", "play", "ses_000"}, args...)); code == exitDone || out.String() != "" || errw.String() == "" {
			t.Errorf("%s: %d %q %q", name, code, out, errw)
		}
	}
	c, _, errw = atTerminal(t, f, strings.NewReader(""))
	if code := c.main(t.Context(), []string{"session", "export", "ses_000"}); code == exitDone || !strings.Contains(errw.String(), "not for your terminal") {
		t.Errorf("an export to a terminal: %d %q", code, errw)
	}
}
