package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"stint/internal/access"
	"stint/internal/elevate"
	"stint/internal/recording"
)

// Permit is what a host allows now.
type Permit struct {
	Tag         access.Tag
	Entitlement access.EntitlementID
	Person      access.Person
	Account     string
	UID         int
	RunAs       string
	RunAsUID    int
	Argv        []string
	Left        time.Duration
	Recordings  []byte // the public key to which it is recorded
	Of          any    // the host's own
}

// Host is the host that commands run on.
type Host interface {
	// Knows reports whether anything at all is lent to an account.
	Knows(uid int) (bool, error)
	// Permit says whether an account may run a command now. The error is the public one.
	Permit(uid int, argv []string) (Permit, error)
	// Left is how long the access goes on, by the clocks of the agent; 0 when it is over.
	Left(tag access.Tag) (time.Duration, error)
	// Start starts a command that was permitted, if it still is. It MUST NOT start one
	// that the end of the access would not find.
	Start(ctx context.Context, p Permit, id string, cmd *exec.Cmd) error
	// End ends every process of a command.
	End(ctx context.Context, p Permit, id string) error
	// EndAll ends those of an earlier runner.
	EndAll(ctx context.Context) error
}

// Recorder begins recordings.
type Recorder interface {
	Begin(name string, to []byte) (*recording.Writer, error)
}

// Config is what a Server is made of; all of it is required.
type Config struct {
	Host     Host
	Recorder Recorder
	Reports  *Reports
	Ends     *Ends
	Log      *slog.Logger
}

// Bounds.
const (
	askWithin   = 5 * time.Second // for the first message
	mostAtOnce  = 256             // conversations
	mostOfOne   = 16              // of one account
	perSecond   = 20              // and how many it may begin
	burst       = 40
	mostBuckets = 4096
	endWithin   = 30 * time.Second
)

// Server serves a socket.
type Server struct {
	Config

	mu      sync.Mutex
	all     int
	of      map[int]int
	buckets map[int]*rate.Limiter
}

// New makes a server.
func New(c Config) (*Server, error) {
	if c.Host == nil || c.Recorder == nil || c.Reports == nil || c.Ends == nil || c.Log == nil {
		return nil, errors.New("runner: the configuration is incomplete")
	}
	return &Server{Config: c, of: map[int]int{}, buckets: map[int]*rate.Limiter{}}, nil
}

// Serve takes conversations until ctx ends; then it ends those that are there, and
// their commands. What an earlier runner left is ended first.
func (s *Server) Serve(ctx context.Context, l *net.UnixListener) error {
	within, cancel := context.WithTimeout(ctx, endWithin)
	err := s.Host.EndAll(within)
	cancel()
	if err != nil {
		return fmt.Errorf("end what an earlier runner left: %w", err)
	}
	var open sync.WaitGroup
	defer open.Wait()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() }) // Accept says what it says then
	defer stop()
	for {
		conn, err := l.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE):
			s.Log.Error("no more connections fit", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		case err != nil:
			return fmt.Errorf("take a connection: %w", err)
		}
		open.Go(func() { s.talk(ctx, conn) })
	}
}

// peer is the account of whoever connected, as the kernel says.
func peer(conn *net.UnixConn) (uid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	var cred *unix.Ucred
	if e := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil {
		return -1, e
	}
	if err != nil {
		return -1, err
	}
	return int(cred.Uid), nil
}

// enter takes a place for an account; whoever got one must leave.
func (s *Server) enter(uid int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[uid]
	if b == nil {
		if len(s.buckets) >= mostBuckets {
			clear(s.buckets)
		}
		b = rate.NewLimiter(perSecond, burst)
		s.buckets[uid] = b
	}
	switch {
	case !b.Allow():
		return access.Fail(access.TooMany, "too-often", "this account asks too often").Try("wait a second")
	case s.of[uid] >= mostOfOne:
		return access.Fail(access.TooMany, "too-many", fmt.Sprintf("this account runs %d commands already", mostOfOne)).Try("wait until one has ended")
	case s.all >= mostAtOnce:
		return access.Fail(access.TooMany, "too-many", "this host runs as many commands as it takes").Try("wait until one has ended")
	}
	s.all++
	s.of[uid]++
	return nil
}

func (s *Server) leave(uid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.of[uid]--; s.of[uid] == 0 {
		delete(s.of, uid)
	}
}

// talk serves one connection.
func (s *Server) talk(ctx context.Context, conn *net.UnixConn) {
	defer func() { _ = conn.Close() }() // everything was sent, or cannot be
	if err := conn.SetDeadline(time.Now().Add(askWithin)); err != nil {
		return
	}
	uid, err := peer(conn)
	if err != nil {
		s.Log.Warn("it is not known who connected", "error", err)
		return
	}
	if err := s.enter(uid); err != nil {
		refuse(conn, err)
		return
	}
	defer s.leave(uid)
	defer func() {
		if r := recover(); r != nil {
			s.Log.Error("a conversation broke", "uid", uid, "panic", fmt.Sprint(r))
		}
	}()
	in := elevate.NewClientReader(conn)
	p, terminal, err := s.asked(in, uid)
	if err != nil {
		if access.KindOf(err) == access.Denied {
			s.Log.Warn("a command is refused", "uid", uid, "why", err)
		}
		refuse(conn, err)
		return
	}
	s.run(ctx, conn, in, p, terminal)
}

// asked reads what is asked for, and has it permitted.
func (s *Server) asked(in *elevate.Reader, uid int) (p Permit, t *elevate.Terminal, err error) {
	known, err := s.Host.Knows(uid)
	if err == nil && !known { // nothing of it has to be read
		err = access.Fail(access.Denied, "no-elevation", "nothing is lent to this account on this host").
			Because("no access of the mechanism elevate is active for it").Try("ask for it: stint elevate --as ROLE --for DURATION --why TEXT -- COMMAND")
	}
	if err != nil {
		return p, nil, err
	}
	bad := func(err error) error {
		return access.Fail(access.Invalid, "bad-message", "what was sent is no question for a command").Because(err.Error())
	}
	f, err := in.Next()
	if err != nil {
		return p, nil, bad(err)
	}
	var ask elevate.Ask
	if f.Kind != elevate.KindAsk {
		return p, nil, bad(fmt.Errorf("the first message is of the kind %q", f.Kind))
	}
	if err := elevate.Decode(f, &ask); err != nil {
		return p, nil, bad(err)
	}
	if err := ask.Check(); err != nil {
		return p, nil, bad(err)
	}
	p, err = s.Host.Permit(uid, ask.Argv)
	if err == nil && len(p.Recordings) == 0 {
		err = access.Fail(access.Unavailable, "no-recordings-key", "the command could not be recorded, and is not run").
			Because("Stint has not told this host to whom recordings are sealed").Try("an administrator updates stintd; then ask for access anew")
	}
	return p, ask.Terminal, err
}

// refuse says why not.
func refuse(conn net.Conn, err error) {
	no := elevate.Refusal{Code: "failed", Message: "the command could not be run", Next: "an administrator looks into the runner's log on this host"}
	var ours *access.Error
	if errors.As(err, &ours) {
		no = elevate.Refusal{Code: ours.Code, Message: ours.Message, Why: ours.Why, Next: ours.Next}
	}
	if b, err := elevate.Encode(elevate.KindRefused, no).Append(nil); err == nil {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = conn.Write(b) // whoever does not read it has hung up
	}
}
