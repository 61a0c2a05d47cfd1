package runner

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/elevate"
	"stint/internal/recording"
)

// Why a command was ended by us.
const (
	cutOver       = "access-ended"
	cutKilled     = killedText
	cutGone       = "client-gone"
	cutBad        = "bad-message"
	cutUnrecorded = "unrecorded"
	cutStopping   = "runner-stopping"
	cutLost       = "runner-lost" // the runner did not live to see its end
	notStarted    = "not-started"
)

const (
	lookEvery = 500 * time.Millisecond // whether access goes on
	chunk     = 32 << 10
	ahead     = 16              // chunks that wait for the disk, or for the client
	partingIn = 2 * time.Second // for the last words to a client that does not read
	channel   = 1               // of the recording
)

// show is one command that runs.
type show struct {
	s    *Server
	p    Permit
	id   string
	conn *net.UnixConn
	w    *recording.Writer
	cmd  *exec.Cmd
	tell api.HostCommand

	master  *os.File // of the terminal; nil without one
	stdin   *os.File // where input goes; the terminal or a pipe
	feed    *feed    // what goes there
	in, out atomic.Int64
	stop    context.CancelFunc
	writeMu sync.Mutex // one frame after the other
	pending chan piece

	cutMu sync.Mutex // guards what follows
	cut   string
	final bool   // how it ended is known; what comes later changes nothing
	words string // of whoever wanted it to end
}

// piece is output on its way: to the client once it is on the disk.
type piece struct {
	mark  recording.Mark
	frame elevate.Frame
}

// newID names a command, its recording and its session: Stint may be out of reach, and it
// begins all the same.
func newID() string {
	var e access.Entropy
	_, _ = rand.Read(e[:]) // never fails
	return string(access.NewSessionID(time.Now().UnixMilli(), e))
}

// run runs a permitted command to its end.
func (s *Server) run(ctx context.Context, conn *net.UnixConn, in *elevate.Reader, p Permit, t *elevate.Terminal) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	x := &show{s: s, p: p, id: newID(), conn: conn, stop: stop, pending: make(chan piece, ahead), feed: newFeed()}
	x.tell = api.HostCommand{ID: x.id, Entitlement: string(p.Entitlement), Tag: string(p.Tag), Account: p.Account, RunAs: p.RunAs,
		Command: strings.Join(p.Argv, " "), Terminal: t != nil, BeganAt: api.At(time.Now())}
	if err := x.record(ctx, t); err != nil {
		s.Log.Error("a command is not run: it could not be recorded", "error", err)
		refuse(conn, access.Fail(access.Unavailable, "unrecorded", "the command could not be recorded, and is not run").Try("look at the disk of the host"))
		return
	}
	outs, err := x.start(ctx, t)
	if err != nil {
		x.finish(elevate.Exit{Status: 255, Cut: notStarted})
		refuse(conn, err)
		return
	}
	s.Ends.add(x)
	defer s.Ends.remove(x)
	s.Log.Info("a command runs", "id", x.id, "tag", string(p.Tag), "account", p.Account, "command", x.tell.Command)
	exit := x.carry(ctx, in, outs)
	exit.Cut = x.why()
	x.finish(exit)
	x.send(elevate.Encode(elevate.KindExited, exit))
	s.Log.Info("a command ended", "id", x.id, "tag", string(p.Tag), "status", exit.Status, "signal", exit.Signal, "cut", exit.Cut)
}

// record begins the recording and puts on the disk, before anything runs, that it will.
func (x *show) record(ctx context.Context, t *elevate.Terminal) (err error) {
	if x.w, err = x.s.Recorder.Begin(x.id, x.p.Recordings); err != nil {
		return err
	}
	fact := func(name, value string) recording.Fact { return recording.Fact{Name: name, Value: value} }
	es := []recording.Event{recording.Start{Facts: []recording.Fact{fact(recording.FactProtocol, "elevate"), fact(recording.FactSession, x.id), fact(recording.FactPerson, string(x.p.Person)),
		fact(recording.FactAccount, x.p.Account), fact("run-as", x.p.RunAs), fact("tag", string(x.p.Tag)), fact("entitlement", string(x.p.Entitlement))}}}
	ses := []recording.Event{recording.Open{Type: "session"}}
	if t != nil {
		ses = append(ses, recording.Terminal{Term: t.Term, Columns: uint32(t.Columns), Rows: uint32(t.Rows)})
	}
	ses = append(ses, recording.Exec{Type: "exec", Command: x.tell.Command})
	if err = x.w.Append(ctx, 0, es...); err == nil {
		if err = x.w.Append(ctx, channel, ses...); err == nil {
			err = x.s.Reports.Keep(x.tell)
		}
	}
	if err != nil {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
		defer cancel()
		err = errors.Join(err, x.w.Close(within, notStarted))
	}
	return err
}

// start starts the command. Its ends of pipes are closed here: it alone has them.
func (x *show) start(ctx context.Context, t *elevate.Terminal) (outs map[elevate.Kind]*os.File, err error) {
	x.cmd = &exec.Cmd{SysProcAttr: &syscall.SysProcAttr{}}
	var ours, theirs []*os.File
	defer func() {
		for _, f := range theirs {
			_ = f.Close() // the command's own is another
		}
		if err != nil {
			for _, f := range ours {
				_ = f.Close() // nothing was written
			}
		}
	}()
	outs = map[elevate.Kind]*os.File{}
	if t != nil {
		master, slave, err := openTerminal(t.Window, x.p.RunAsUID)
		if err != nil {
			return nil, err
		}
		ours, theirs = append(ours, master), append(theirs, slave)
		x.master, x.stdin, outs[elevate.KindOutput] = master, master, master
		x.cmd.Stdin, x.cmd.Stdout, x.cmd.Stderr = slave, slave, slave
		x.cmd.SysProcAttr.Setctty = true
		x.cmd.Env = []string{"TERM=" + t.Term}
	} else {
		x.cmd.Env = []string{"TERM=dumb"}
		for _, k := range []elevate.Kind{elevate.KindInput, elevate.KindOutput, elevate.KindProblem} {
			r, w, err := os.Pipe()
			if err != nil {
				return nil, fmt.Errorf("make a pipe: %w", err)
			}
			switch k {
			case elevate.KindInput:
				x.cmd.Stdin, x.stdin = r, w
				ours, theirs = append(ours, w), append(theirs, r)
				continue
			case elevate.KindOutput:
				x.cmd.Stdout = w
			default:
				x.cmd.Stderr = w
			}
			outs[k] = r
			ours, theirs = append(ours, r), append(theirs, w)
		}
	}
	return outs, x.s.Host.Start(ctx, x.p, x.id, x.cmd)
}

// carry brings everything to and fro until the command has ended, and all that it
// started.
func (x *show) carry(ctx context.Context, in *elevate.Reader, outs map[elevate.Kind]*os.File) elevate.Exit {
	_ = x.conn.SetDeadline(time.Time{})
	x.send(elevate.Encode(elevate.KindAccepted, elevate.Accepted{ID: x.id, RunAs: x.p.RunAs, LeftSecs: int64(x.p.Left / time.Second)}))
	var reading, sending, feeding sync.WaitGroup
	for kind, f := range outs {
		reading.Go(func() { x.read(kind, f) })
	}
	sending.Go(x.deliver)
	feeding.Go(x.bring)
	go x.hear(ctx, in) // ends with the connection, at the latest
	gone := make(chan error, 1)
	go func() { gone <- x.cmd.Wait() }()
	exited := false
	watch := time.NewTimer(min(lookEvery, x.p.Left))
	defer watch.Stop()
	for !exited && x.why() == "" {
		select {
		case <-gone:
			exited = true
		case <-ctx.Done():
			x.cutBecause(cutStopping)
		case <-x.w.Failed():
			x.cutBecause(cutUnrecorded)
		case <-watch.C:
			left, err := x.s.Host.Left(x.p.Tag)
			if err != nil {
				x.s.Log.Error("it is not known whether access goes on; the command is ended", "id", x.id, "error", err)
			}
			if err != nil || left <= 0 {
				x.cutBecause(cutOver)
			}
			watch.Reset(min(lookEvery, max(left, time.Millisecond)))
		}
	}
	// What the command left behind ends with it: nobody would record it.
	x.endAll(ctx)
	if !exited {
		<-gone
	}
	left, err := x.s.Host.Left(x.p.Tag)
	if exited && exitOf(x.cmd.ProcessState).Signal != 0 && (err != nil || left <= 0) {
		x.cutBecause(cutOver) // the agent was faster
	}
	x.settle()
	parting := partingIn
	if x.why() == "" { // as long as access, a client may take to read what there is
		parting = max(parting, left)
	}
	_ = x.conn.SetWriteDeadline(time.Now().Add(parting))
	reading.Wait() // nobody has the other ends any more
	close(x.pending)
	sending.Wait()
	_ = x.conn.SetWriteDeadline(time.Now().Add(partingIn))
	switch x.why() {
	case cutOver:
		x.send(elevate.Frame{Kind: elevate.KindNote, Payload: []byte("access has ended; the command was stopped")})
	case cutKilled:
		x.send(elevate.Frame{Kind: elevate.KindNote, Payload: []byte(strings.TrimSuffix("somebody has ended the command: "+x.said(), ": "))})
	}
	_ = x.conn.CloseRead() // hear ends
	for _, f := range outs {
		_ = f.Close() // read to the end
	}
	x.feed.stop()
	_ = x.stdin.Close() // of a terminal it is closed already
	feeding.Wait()      // nothing is said behind how the command ended
	return exitOf(x.cmd.ProcessState)
}

// endAll ends every process of the command, however long that takes: the agent tries
// the same from the other side.
func (x *show) endAll(ctx context.Context) {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
		err := x.s.Host.End(within, x.p, x.id)
		cancel()
		if err == nil {
			return
		}
		x.s.Log.Error("a command is not gone; tried again", "id", x.id, "error", err)
		time.Sleep(wait)
	}
}

func exitOf(state *os.ProcessState) (x elevate.Exit) {
	if state == nil {
		return elevate.Exit{Status: 255}
	}
	if w, ok := state.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return elevate.Exit{Status: min(128+int(w.Signal()), 255), Signal: int(w.Signal())}
	}
	return elevate.Exit{Status: state.ExitCode()}
}

// read records what the command writes, and passes it on.
func (x *show) read(kind elevate.Kind, f *os.File) {
	for {
		buf := make([]byte, chunk)
		n, err := f.Read(buf)
		if n > 0 {
			x.out.Add(int64(n))
			var e recording.Event = recording.Output{Data: buf[:n]}
			if kind == elevate.KindProblem {
				e = recording.Problem{Data: buf[:n]}
			}
			mark, err := x.w.Add(context.Background(), channel, e)
			if err != nil {
				x.cutBecause(cutUnrecorded)
				return
			}
			x.pending <- piece{mark, elevate.Frame{Kind: kind, Payload: buf[:n]}}
		}
		if err != nil { // io.EOF; of a terminal EIO, when nobody has it any more
			return
		}
	}
}

// deliver sends what is on the disk. When the client is gone it goes on taking, so that
// the command's last words are recorded.
func (x *show) deliver() {
	for p := range x.pending {
		if err := x.w.Wait(context.Background(), p.mark); err != nil {
			x.cutBecause(cutUnrecorded)
			continue
		}
		x.send(p.frame)
	}
}

func (x *show) send(f elevate.Frame) {
	b, err := f.Append(nil)
	if err != nil {
		x.cutBecause(cutBad)
		return
	}
	x.writeMu.Lock()
	defer x.writeMu.Unlock()
	if _, err := x.conn.Write(b); err != nil {
		x.cutBecause(cutGone)
	}
}

// cutBecause ends the command; the first reason counts.
func (x *show) cutBecause(why string) {
	x.cutMu.Lock()
	defer x.cutMu.Unlock()
	if x.cut == "" && !x.final {
		x.cut = why
		x.stop()
	}
}

// endBecause ends the command because somebody wants it to, with why.
func (x *show) endBecause(words string) {
	x.cutMu.Lock()
	x.words = words
	x.cutMu.Unlock()
	x.cutBecause(cutKilled)
}

func (x *show) said() string {
	x.cutMu.Lock()
	defer x.cutMu.Unlock()
	return x.words
}

// settle says that how the command ended is known.
func (x *show) settle() {
	x.cutMu.Lock()
	defer x.cutMu.Unlock()
	x.final = true
}

func (x *show) why() string {
	x.cutMu.Lock()
	defer x.cutMu.Unlock()
	return x.cut
}

// hear takes what the client sends.
func (x *show) hear(ctx context.Context, in *elevate.Reader) {
	for {
		f, err := in.Next()
		if err == nil {
			err = x.heard(ctx, f)
		} else if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, unix.ECONNRESET) {
			x.cutBecause(cutGone)
			return
		}
		if err != nil {
			x.cutBecause(cutBad)
			return
		}
	}
}

var signals = map[string]syscall.Signal{"HUP": unix.SIGHUP, "INT": unix.SIGINT, "QUIT": unix.SIGQUIT, "TERM": unix.SIGTERM, "USR1": unix.SIGUSR1, "USR2": unix.SIGUSR2}

func (x *show) heard(ctx context.Context, f elevate.Frame) error {
	switch f.Kind {
	case elevate.KindInput:
		x.in.Add(int64(len(f.Payload)))
		if x.master == nil {
			if err := x.w.Append(ctx, channel, recording.Input{Data: slices.Clone(f.Payload)}); err != nil {
				x.cutBecause(cutUnrecorded)
				return nil
			}
		}
		return x.feed.put(f.Payload)
	case elevate.KindEnd:
		if x.master == nil {
			x.feed.end()
		}
	case elevate.KindWindow:
		var w elevate.Window
		if err := elevate.Decode(f, &w); err != nil {
			return err
		}
		if x.master == nil {
			return errors.New("there is no terminal")
		}
		if err := x.w.Append(ctx, channel, recording.Resize{Columns: uint32(w.Columns), Rows: uint32(w.Rows)}); err != nil {
			x.cutBecause(cutUnrecorded)
			return nil
		}
		_ = resize(x.master, w) // it is gone with the command
	case elevate.KindSignal:
		sig, ok := signals[string(f.Payload)]
		if !ok {
			return errors.New("there is no such signal to send")
		}
		if err := x.w.Append(ctx, channel, recording.Signal{Name: string(f.Payload)}); err != nil {
			x.cutBecause(cutUnrecorded)
			return nil
		}
		_ = x.cmd.Process.Signal(sig) // it may have ended
	default:
		return errors.New("a second question")
	}
	return nil
}

// finish seals the recording and reports the end.
func (x *show) finish(exit elevate.Exit) {
	ctx, cancel := context.WithTimeout(context.Background(), endWithin)
	defer cancel()
	why := "ended"
	var es []recording.Event
	if exit.Cut != "" {
		why = exit.Cut
		es = append(es, recording.Note{What: recording.NoteCut, Text: why})
	}
	sig := ""
	if exit.Signal != 0 {
		sig = strings.TrimPrefix(unix.SignalName(syscall.Signal(exit.Signal)), "SIG")
	}
	es = append(es, recording.Exit{Status: uint32(exit.Status), Signal: sig}, recording.Close{Sent: uint64(x.in.Load()), Received: uint64(x.out.Load())})
	err := errors.Join(x.w.Append(ctx, channel, es...), x.w.Close(ctx, why))
	if err != nil {
		x.s.Log.Error("a recording is not sealed as complete", "id", x.id, "error", err)
	}
	x.tell.EndedAt, x.tell.Status, x.tell.Signal, x.tell.Cut = api.At(time.Now()), exit.Status, sig, exit.Cut
	x.tell.Input, x.tell.Output = x.in.Load(), x.out.Load()
	if a, ok := x.w.Anchor(); ok {
		x.tell.Frames, x.tell.Root = int64(a.Frames), hex.EncodeToString(a.Root[:])
	}
	if err := x.s.Reports.Keep(x.tell); err != nil {
		x.s.Log.Error("the end of a command is not on the disk; it is told of all the same", "id", x.id, "error", err)
	}
}
