package sshgate

import (
	"context"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/gateway"
)

// What of a session is bounded by number.
const (
	mostVariables = 64
	longestValue  = 4096  // bytes of a variable
	longestLine   = 65536 // bytes of a command
)

// notAllowed is the exit status of what was refused: the shell's for what it found and
// could not run.
const notAllowed = 126

// killAfter is how long a program has between the signal that asks and the one that
// does not.
const killAfter = 100 * time.Millisecond

// program is one session channel: a shell, a command or a file transfer.
type program struct {
	*conn
	person, target ssh.Channel
	out            *outlet

	// Of the goroutine that takes the client's requests, until started.
	terminal *Terminal
	env      [][2]string

	ready   chan struct{}  // closed when the person was told that it started, or that it did not
	pumps   sync.WaitGroup // what carries bytes from the target
	drained chan struct{}  // closed when all that the target sent is through

	mu       sync.Mutex
	track    Track // set once, when it starts
	kind     string
	shown    bool // in a terminal
	signals  bool // the target takes signals for it
	finished bool // the target has closed it; nothing starts any more
}

// The payloads of requests, RFC 4254 section 6.
type (
	ptyRequest struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}
	envRequest    struct{ Name, Value string }
	textRequest   struct{ Text string } // exec, subsystem, signal
	resizeRequest struct{ Columns, Rows, Width, Height uint32 }
	statusRequest struct{ Status uint32 }
	signalled     struct {
		Signal     string
		CoreDumped bool
		Message    string
		Language   string
	}
)

// runProgram takes a session channel from its opening to its end.
func (c *conn) runProgram(nc ssh.NewChannel) {
	t, err := c.reach()
	if err != nil {
		relay(nc, err)
		return
	}
	target, fromTarget, err := t.OpenChannel("session", nil)
	if err != nil {
		relay(nc, err)
		return
	}
	defer func() { _ = target.Close() }()
	person, fromPerson, err := nc.Accept()
	if err != nil {
		go ssh.DiscardRequests(fromTarget)
		return
	}
	defer func() { _ = person.Close() }()
	p := &program{conn: c, person: person, target: target, out: newOutlet(person, c.session.Over),
		ready: make(chan struct{}), drained: make(chan struct{})}
	c.mu.Lock()
	c.programs[p] = struct{}{}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.programs, p)
		c.mu.Unlock()
	}()
	var both sync.WaitGroup
	both.Go(func() {
		for r := range fromPerson {
			p.take(r)
		}
		if c.session.Over() == nil { // else signals may be on their way, and shut closes it
			_ = target.Close() // the person has closed the channel
		}
	})
	both.Go(func() {
		for r := range fromTarget {
			p.hear(r)
		}
		p.finish()
	})
	both.Wait()
}

// begun is the record of the program, once it has started.
func (p *program) begun() (Track, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.track, p.kind
}

// begin marks the program as started; false where the target has closed the channel. A
// program that has begun has two pumps, which are to be run or taken back.
func (p *program) begin(track Track, ch Channel, signals bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.finished {
		return false
	}
	p.track, p.kind, p.shown, p.signals = track, ch.Kind, ch.Terminal != nil, signals
	p.pumps.Add(2)
	return true
}

// finish closes the person's end when the target has closed its own, after all that it
// sent is through. Whatever is written to it after the session is over is the farewell.
func (p *program) finish() {
	p.mu.Lock()
	p.finished = true
	t := p.track
	p.mu.Unlock()
	if t != nil {
		<-p.ready
	}
	p.pumps.Wait()
	close(p.drained)
	if p.session.Pass() == nil {
		_ = p.person.Close()
	}
	if t != nil {
		if err := t.Close(); err != nil && p.session.Over() == nil {
			p.unrecorded(err)
		}
	}
}

// take decides about one request of the person.
func (p *program) take(r *ssh.Request) {
	if p.session.Over() != nil {
		answer(r, false, nil)
		return
	}
	track, _ := p.begun()
	switch r.Type { // what would reach the target, as bytes do, and is not held as they are
	case "signal", "break", "auth-agent-req@openssh.com", "x11-req":
		if p.session.Paused() {
			p.note(Refused{What: "request " + r.Type, Why: "the session is paused"})
			answer(r, false, nil)
			return
		}
	}
	switch r.Type {
	case "pty-req":
		answer(r, track == nil && p.wantTerminal(r.Payload), nil)
	case "env":
		answer(r, track == nil && p.wantVariable(r.Payload), nil)
	case "shell":
		p.start(r, r.Type, "")
	case "exec", "subsystem":
		var m textRequest
		if ssh.Unmarshal(r.Payload, &m) != nil || len(m.Text) > longestLine {
			answer(r, false, nil)
			return
		}
		p.start(r, r.Type, m.Text)
	case "window-change":
		p.resize(r)
	case "signal", "break":
		p.signal(r)
	case "auth-agent-req@openssh.com":
		p.lend(r, "auth-agent@openssh.com", p.rules.Agent)
	case "x11-req":
		p.lend(r, "x11", p.rules.X11)
	case "eow@openssh.com", "keepalive@openssh.com":
		answer(r, false, nil)
	default:
		p.note(Refused{What: "request " + plain(r.Type), Why: "requests of this kind do not pass"})
		answer(r, false, nil)
	}
}

func (p *program) wantTerminal(payload []byte) bool {
	var m ptyRequest
	if !p.rules.Pty || p.terminal != nil || ssh.Unmarshal(payload, &m) != nil || len(m.Term) > 64 || plain(m.Term) != m.Term {
		return false
	}
	p.terminal = &Terminal{Term: m.Term, Columns: m.Columns, Rows: m.Rows, Width: m.Width, Height: m.Height, Modes: m.Modes}
	return true
}

func (p *program) wantVariable(payload []byte) bool {
	var m envRequest
	if ssh.Unmarshal(payload, &m) != nil || len(p.env) >= mostVariables || len(m.Value) > longestValue ||
		strings.ContainsRune(m.Value, 0) || !p.rules.Variable(m.Name) {
		return false
	}
	p.env = append(p.env, [2]string{m.Name, m.Value})
	return true
}

// start starts the program, if it may: one for each channel.
func (p *program) start(r *ssh.Request, kind, command string) {
	if t, _ := p.begun(); t != nil {
		answer(r, false, nil)
		return
	}
	if err := p.session.May(); err != nil {
		p.deny(r, kind, sentence(err))
		return
	}
	if p.isForced {
		if kind == "subsystem" || p.forced == "" {
			p.deny(r, kind+" "+command, "the certificate allows one command only")
			return
		}
		kind, command = "exec", p.forced
	}
	ch := Channel{Kind: kind, Command: command, Terminal: p.terminal, Env: p.env}
	var alarms []string
	why := ""
	switch kind {
	case "shell":
		if !p.rules.Shell {
			why = "the role gives no shell"
		}
	case "exec":
		if !p.rules.Exec {
			why = "the role gives no commands"
		} else if ok, because, set := p.rules.Command(command); !ok {
			why, alarms = because, set
		} else {
			alarms = set
		}
	case "subsystem":
		ch.Kind, ch.Command = command, ""
		if command != "sftp" || p.rules.SFTP == gateway.NoFiles {
			why = "the role does not give this subsystem"
		}
	}
	for _, pattern := range alarms {
		p.session.Alarm(pattern, command)
	}
	if why != "" {
		p.deny(r, kind+" "+command, why)
		return
	}
	track := p.conn.track(ch)
	if track == nil {
		answer(r, false, nil)
		return
	}
	for _, pattern := range alarms {
		if p.event(track, Matched{Pattern: pattern, Text: command}) != nil {
			return
		}
	}
	if p.session.Over() != nil {
		answer(r, false, nil)
		return
	}
	if !p.begin(track, ch, kind != "subsystem") {
		answer(r, false, nil)
		return
	}
	defer close(p.ready)
	started := p.pass(kind, command)
	answer(r, true, nil)
	if !started {
		p.pumps.Add(-2)
		p.speak("the target refused to start it")
		p.exit(notAllowed)
		return
	}
	p.flow(track, ch.Kind)
}

// pass asks of the target what was asked of us.
func (p *program) pass(kind, command string) bool {
	if t := p.terminal; t != nil {
		ok, err := p.target.SendRequest("pty-req", true, ssh.Marshal(ptyRequest{t.Term, t.Columns, t.Rows, t.Width, t.Height, t.Modes}))
		if err != nil || !ok {
			return false
		}
	}
	for _, v := range p.env {
		if _, err := p.target.SendRequest("env", false, ssh.Marshal(envRequest{v[0], v[1]})); err != nil {
			return false
		}
	}
	var payload []byte
	if kind != "shell" {
		payload = ssh.Marshal(textRequest{command})
	}
	ok, err := p.target.SendRequest(kind, true, payload)
	return err == nil && ok
}

// flow starts to carry bytes. Until here what the person sent waits in the channel.
func (p *program) flow(track Track, kind string) {
	p.work.Go(func() { // the end of the stream is for both: nothing may be written after it
		p.pumps.Wait()
		p.out.end(p.person, p.session.Pass)
	})
	p.work.Go(func() {
		defer p.pumps.Done()
		_ = p.carry(track, Err, p.target.Stderr(), &outlet{to: p.person.Stderr(), over: p.out.over, turn: p.out.turn}, nil)
	})
	if kind == "sftp" {
		f := newFiles(p, track)
		p.work.Go(func() { defer p.pumps.Done(); f.replies() })
		p.work.Go(f.requests)
		return
	}
	p.work.Go(func() {
		defer p.pumps.Done()
		_ = p.carry(track, Out, p.target, p.out, nil)
	})
	p.work.Go(func() {
		if p.carry(track, In, p.person, p.target, p.watchTyped(track, kind)) == nil {
			p.closeWrite(p.target)
		}
	})
	if p.terminal != nil {
		p.work.Go(func() { p.warn(track) })
	}
}

// watchTyped sets off alarms by what is typed into a shell, and into whatever else has a
// terminal: ssh -t HOST bash is a shell, too. nil where there is nothing to look for.
func (p *program) watchTyped(track Track, kind string) func([]byte) {
	if kind != "shell" && p.terminal == nil || len(p.rules.Commands) == 0 {
		return nil
	}
	t := &typed{}
	return func(b []byte) {
		t.see(b, func(line string) {
			for _, pattern := range p.rules.Typed(line) {
				_ = p.event(track, Matched{Pattern: pattern, Text: line})
				p.session.Alarm(pattern, line)
			}
		})
	}
}

// warn writes into a person's terminal when the end is near. It waits a little for the
// program to finish what it is writing.
func (p *program) warn(track Track) {
	heard, stop := p.session.Notices()
	defer stop()
	done := make(chan struct{})
	p.work.Go(func() { p.pumps.Wait(); close(done) })
	for {
		select {
		case <-done:
			return
		case <-p.ctx.Done():
			return
		case n := <-heard:
			t := warning(n)
			if p.event(track, Told{Text: t}) != nil {
				return
			}
			_ = p.out.say(p.ctx, func(s screen) string { return s.line(t) })
		}
	}
}

// resize passes a change of the terminal on.
func (p *program) resize(r *ssh.Request) {
	var m resizeRequest
	if p.terminal == nil || ssh.Unmarshal(r.Payload, &m) != nil {
		answer(r, false, nil)
		return
	}
	track, _ := p.begun()
	if track == nil {
		p.terminal.Columns, p.terminal.Rows, p.terminal.Width, p.terminal.Height = m.Columns, m.Rows, m.Width, m.Height
		answer(r, true, nil)
		return
	}
	if p.event(track, Resize{Columns: m.Columns, Rows: m.Rows}) != nil {
		return
	}
	p.send(r)
}

// signal passes a signal or a break on.
func (p *program) signal(r *ssh.Request) {
	track, _ := p.begun()
	name := "BREAK"
	if r.Type == "signal" {
		var m textRequest
		if ssh.Unmarshal(r.Payload, &m) != nil || len(m.Text) > 32 {
			answer(r, false, nil)
			return
		}
		name = plain(m.Text)
	} else if len(r.Payload) != 4 {
		answer(r, false, nil)
		return
	}
	if track == nil || p.event(track, Signal{Name: name}) != nil {
		answer(r, false, nil)
		return
	}
	p.send(r)
}

// send passes a request on as it is.
func (p *program) send(r *ssh.Request) {
	ok, err := p.target.SendRequest(r.Type, r.WantReply, r.Payload)
	answer(r, ok && err == nil, nil)
}

// lend lets the target open channels of a kind to the person, if the role allows it.
func (p *program) lend(r *ssh.Request, kind string, allowed bool) {
	if !allowed {
		p.note(Refused{What: "request " + r.Type, Why: "the role does not allow it"})
		answer(r, false, nil)
		return
	}
	if !p.note(Listening{Address: kind}) {
		answer(r, false, nil)
		return
	}
	ok, err := p.target.SendRequest(r.Type, true, r.Payload)
	if ok = ok && err == nil; ok {
		p.conn.mu.Lock()
		p.lent[kind] = true
		p.conn.mu.Unlock()
	}
	answer(r, ok, nil)
}

// hear passes on what the target says of the program.
func (p *program) hear(r *ssh.Request) {
	track, _ := p.begun()
	if track == nil || p.session.Over() != nil {
		answer(r, false, nil)
		return
	}
	<-p.ready // so that a person hears that it started before they hear how it ended
	var e Event
	switch r.Type {
	case "exit-status":
		var m statusRequest
		if ssh.Unmarshal(r.Payload, &m) == nil {
			e = Exit{Status: m.Status}
		}
	case "exit-signal":
		var m signalled
		if ssh.Unmarshal(r.Payload, &m) == nil {
			e = Exit{Signal: plain(m.Signal)}
		}
	case "eow@openssh.com", "xon-xoff":
		_, _ = p.person.SendRequest(r.Type, false, r.Payload)
		return
	}
	if e == nil || p.event(track, e) != nil || p.session.Pass() != nil { // how it ended passes as what it wrote does
		answer(r, false, nil)
		return
	}
	_, _ = p.person.SendRequest(r.Type, false, r.Payload)
	answer(r, true, nil)
}

// deny refuses a program so that the person reads why: it starts, says so, and exits.
func (p *program) deny(r *ssh.Request, what, why string) {
	if !p.note(Refused{What: plain(what), Why: why}) {
		answer(r, false, nil)
		return
	}
	answer(r, true, nil)
	p.speak(why)
	p.exit(notAllowed)
}

// speak writes a line where the person's program shows what is not its result.
func (p *program) speak(text string) {
	ctx, done := context.WithTimeout(context.Background(), tellWithin)
	defer done()
	o := &outlet{to: p.person.Stderr(), over: p.out.over, turn: p.out.turn}
	_ = o.say(ctx, func(screen) string { return "stint: " + text + "\r\n" })
}

// exit ends the person's end of the channel.
func (p *program) exit(status uint32) {
	_, _ = p.person.SendRequest("exit-status", false, ssh.Marshal(statusRequest{status}))
	_ = p.person.Close()
	_ = p.target.Close()
}

// tell says why the session ended, where that is read: in a terminal, or beside the
// output of a program, never in it.
func (p *program) tell(over *gateway.Ended) {
	ctx, done := context.WithTimeout(context.Background(), tellWithin)
	defer done()
	text := farewell(over, p.session)
	p.mu.Lock()
	screenful := p.shown && p.kind != "sftp"
	p.mu.Unlock()
	if screenful {
		_ = p.out.say(ctx, func(s screen) string { return s.last(text) })
	} else {
		o := &outlet{to: p.person.Stderr(), over: p.out.over, turn: p.out.turn}
		_ = o.say(ctx, func(screen) string { return text + "\r\n" })
	}
	if ctx.Err() == nil {
		_, _ = p.person.SendRequest("exit-signal", false, ssh.Marshal(signalled{Signal: "HUP", Message: plain(over.Error())}))
		_ = p.person.Close()
	}
}

// kill sends signals to what runs on the target. sshd hands them to the program's
// process group; what left it is the host agent's to end.
func (p *program) kill() {
	p.mu.Lock()
	signals := p.signals
	p.mu.Unlock()
	if !signals {
		return
	}
	// No answer is asked for: it would be one packet more each way, and is not waited for.
	_, _ = p.target.SendRequest("signal", false, ssh.Marshal(textRequest{"TERM"}))
	select {
	case <-p.drained: // it has ended
		return
	case <-time.After(killAfter):
	}
	_, _ = p.target.SendRequest("signal", true, ssh.Marshal(textRequest{"KILL"})) // answered, it has arrived: the connection is closed next
}
