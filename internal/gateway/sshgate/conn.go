package sshgate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
	"stint/internal/gateway"
)

// How long what is over may still take. Together they are well below the second
// within which a session is closed.
const (
	tellWithin  = 300 * time.Millisecond // closing lines and signals
	leaveWithin = 250 * time.Millisecond // for the client to close by itself, so that it has read them
	drainWithin = 500 * time.Millisecond // what the target had sent before it closed
)

// conn is one signed-in connection: a session with its two legs.
type conn struct {
	*Server
	*proof
	client *ssh.ServerConn
	log    *slog.Logger
	ctx    context.Context // the session's
	tape   Tape            // nil where none could be begun; the session is over then

	connected chan struct{} // closed when target or unreachable is set
	target    *target
	missing   error // why there is no target

	work sync.WaitGroup // everything that runs for the connection

	mu        sync.Mutex
	programs  map[*program]struct{}
	open      int             // channels
	noMore    bool            // the client wants no more sessions
	listening map[string]bool // what was asked of the target, by tcp:host:port or unix:path
	lent      map[string]bool // auth-agent@openssh.com, x11: asked for and allowed
}

func newConn(s *Server, client *ssh.ServerConn, p *proof) *conn {
	return &conn{
		Server: s, proof: p, client: client, ctx: p.session.Context(),
		log:       s.Log.With("session", p.session.ID, "grant", p.session.Grant),
		connected: make(chan struct{}),
		programs:  map[*program]struct{}{}, listening: map[string]bool{}, lent: map[string]bool{},
	}
}

// run carries the session until it is over and everything of it is closed.
func (c *conn) run(channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
	c.log.Info("session begins", "source", c.from.Source, "person", plain(c.session.Person), "target", c.session.Target.Address)
	tape, err := c.Recorder.Begin(c.session, c.from)
	if c.tape = tape; err != nil {
		c.unrecorded(err)
	}
	c.work.Go(c.connect)
	c.work.Go(func() { c.takeRequests(requests) })
	c.work.Go(func() { c.takeChannels(channels) })
	c.work.Go(func() {
		_ = c.client.Wait()
		c.session.End(gateway.ClientGone, "")
	})
	c.work.Go(c.notePauses)
	<-c.ctx.Done()
	over := c.session.Over()
	c.shut(over)
	c.session.Closed()
	c.work.Wait()
	if c.tape != nil {
		if err := c.tape.Close(over); err != nil {
			c.log.Error("the end of the recording was not kept", "error", err)
		}
	}
	c.log.Info("session ended", "reason", over.Reason)
}

// connect opens the leg to the target and watches it.
func (c *conn) connect() {
	if c.tape == nil || c.session.Over() != nil {
		c.missing = errors.New("not recorded")
		close(c.connected)
		return
	}
	t, err := c.Server.connect(c.ctx, c.session)
	c.target, c.missing = t, err
	close(c.connected)
	if err != nil {
		c.log.Warn("no connection to the target", "error", err)
		return
	}
	c.work.Go(func() { c.takeTargetChannels(t.channels) })
	c.work.Go(func() {
		for r := range t.requests { // it has nothing to ask of a gateway
			answer(r, false, nil)
		}
	})
	_ = t.Wait()
	within(drainWithin, c.drain)
	c.session.End(gateway.TargetGone, "")
}

// notePauses records from when to when nothing passed.
func (c *conn) notePauses() {
	heard, stop := c.session.Notices()
	defer stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case n := <-heard:
			if n.Paused && !c.note(Paused{Text: "somebody who watches stopped what passes"}) || n.Resumed && !c.note(Resumed{Text: "what passes goes on"}) {
				return
			}
		}
	}
}

// drain waits until what the target sent is through. The target has closed the connection,
// so nothing starts any more.
func (c *conn) drain() {
	c.mu.Lock()
	programs := slices.Collect(maps.Keys(c.programs))
	c.mu.Unlock()
	for _, p := range programs {
		<-p.drained
	}
}

// reach waits for the leg to the target.
func (c *conn) reach() (*target, error) {
	select {
	case <-c.connected:
		return c.target, c.missing
	case <-c.ctx.Done():
		return nil, c.session.Over()
	}
}

// unrecorded ends the session: what cannot be recorded does not happen.
func (c *conn) unrecorded(err error) {
	c.log.Error("not recorded", "error", err)
	c.session.End(gateway.Unrecorded, "")
}

// note records what belongs to no channel; false where it could not be.
func (c *conn) note(e Event) bool {
	if c.tape == nil {
		return false
	}
	if err := c.tape.Note(e); err != nil {
		c.unrecorded(err)
		return false
	}
	return true
}

// track begins the record of a channel; nil where it could not be.
func (c *conn) track(ch Channel) Track {
	t, err := c.tape.Channel(ch)
	if err != nil {
		c.unrecorded(err)
		return nil
	}
	return t
}

// shut closes both legs, neither of which waits for the other. No byte was carried since the
// session is over: every pump looks before it forwards. Of a thousand sessions that end together all
// persons are told before the first signal is sent: to end a program takes its host, and
// where that is near this machine, many times as much.
func (c *conn) shut(over *gateway.Ended) {
	if over.Reason == gateway.ClientGone {
		c.leaveTarget()
		_ = c.client.Close()
		return
	}
	c.mu.Lock()
	programs := slices.Collect(maps.Keys(c.programs))
	c.mu.Unlock()
	var told, killed, closed sync.WaitGroup
	for _, p := range programs {
		told.Go(func() { p.tell(over) })
	}
	closed.Go(func() {
		runtime.Gosched() // behind all that is told meanwhile
		for _, p := range programs {
			killed.Go(p.kill)
		}
		within(tellWithin, killed.Wait)
		c.leaveTarget()
	})
	within(tellWithin, told.Wait)
	within(leaveWithin, func() { _ = c.client.Wait() })
	_ = c.client.Close()
	closed.Wait()
}

// leaveTarget closes the leg to the target, now or when it is there.
func (c *conn) leaveTarget() {
	select {
	case <-c.connected:
		if c.target != nil {
			_ = c.target.Close()
		}
	default: // connect stops by itself, its context is done
		c.work.Go(func() {
			<-c.connected
			if c.target != nil {
				_ = c.target.Close()
			}
		})
	}
}

// within waits for f, but not for longer than d. f must end by itself some time.
func within(d time.Duration, f func()) {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(d):
	}
}

// takeChannels takes what the client opens.
func (c *conn) takeChannels(channels <-chan ssh.NewChannel) {
	for nc := range channels {
		if !c.place() {
			_ = nc.Reject(ssh.ResourceShortage, fmt.Sprintf("stint: the most is %d channels at once", mostChannels))
			continue
		}
		c.work.Go(func() {
			defer c.leave()
			c.take(nc)
		})
	}
}

func (c *conn) place() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open >= mostChannels {
		return false
	}
	c.open++
	return true
}

func (c *conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
}

// take decides about one channel of the client.
func (c *conn) take(nc ssh.NewChannel) {
	if err := c.session.May(); err != nil {
		_ = nc.Reject(ssh.Prohibited, "stint: "+sentence(err))
		return
	}
	switch kind := nc.ChannelType(); kind {
	case "session":
		c.mu.Lock()
		no := c.noMore
		c.mu.Unlock()
		if no || len(nc.ExtraData()) > 0 {
			c.refuse(nc, ssh.Prohibited, kind, "no more sessions were wanted")
			return
		}
		c.runProgram(nc)
	case directTCP:
		var m tcpOpen
		if ssh.Unmarshal(nc.ExtraData(), &m) != nil {
			c.refuse(nc, ssh.ConnectionFailed, kind, "the request cannot be read")
			return
		}
		c.forward(nc, Channel{Kind: kind, Address: m.to(), Origin: m.from()}, c.rules.Reach(m.Host, m.Port))
	case directUnix:
		var m unixOpen
		if ssh.Unmarshal(nc.ExtraData(), &m) != nil {
			c.refuse(nc, ssh.ConnectionFailed, kind, "the request cannot be read")
			return
		}
		c.forward(nc, Channel{Kind: kind, Address: plain(m.Path)}, c.rules.Socket(m.Path))
	default:
		c.refuse(nc, ssh.UnknownChannelType, "channel "+plain(kind), "channels of this kind do not pass")
	}
}

// refuse rejects a channel and keeps that it was asked for.
func (c *conn) refuse(nc ssh.NewChannel, code ssh.RejectionReason, what, why string) {
	c.note(Refused{What: what, Why: why})
	_ = nc.Reject(code, "stint: "+why)
}

// relay rejects a channel as the other side did.
func relay(nc ssh.NewChannel, err error) {
	var open *ssh.OpenChannelError
	var known *access.Error
	var over *gateway.Ended
	switch {
	case errors.As(err, &open):
		_ = nc.Reject(open.Reason, plain(open.Message))
	case errors.As(err, &known), errors.As(err, &over):
		_ = nc.Reject(ssh.ConnectionFailed, "stint: "+sentence(err))
	default:
		_ = nc.Reject(ssh.ConnectionFailed, "stint: the target closed the connection")
	}
}

// answer replies to a request that waits for it.
func answer(r *ssh.Request, ok bool, payload []byte) {
	if r.WantReply {
		_ = r.Reply(ok, payload)
	}
}
