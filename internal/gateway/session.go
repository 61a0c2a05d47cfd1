package gateway

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"stint/internal/access"
)

// Session is one permit in use. Its context is done when it is over.
type Session struct {
	ID SessionID
	Permit

	g      *Gateway
	ctx    context.Context
	cancel context.CancelCauseFunc

	// Guarded by Gateway.mu.
	lease    Lease
	ended    *Ended // set once, before the context is cancelled
	endedAt  Instant
	warnings []time.Duration // that are still to come, the longest first
	watchers []chan Notice
	alarms   int // that wait to be told

	paused atomic.Pointer[chan struct{}] // nil: it is not; closed when it goes on. Stored under Gateway.mu
}

// Notice is something that the person should know while the session goes on.
type Notice struct {
	Left     time.Duration // what the grant has left
	Extended bool          // it has more than it had
	Paused   bool          // nothing passes any more
	Resumed  bool          // and again it does
}

func newSession(g *Gateway, protocol string, p Permit, asked Instant) (*Session, error) {
	if err := p.check(protocol); err != nil {
		return nil, err
	}
	s := &Session{ID: p.Session, Permit: p, g: g, lease: NewLease(p, asked)}
	s.rearm(0, p.Remaining)
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s, nil
}

// Context is done when the session is over; its cause is an *Ended.
func (s *Session) Context() context.Context { return s.ctx }

// Over is why the session is over, and nil while it is not.
func (s *Session) Over() *Ended {
	e, _ := context.Cause(s.ctx).(*Ended)
	return e
}

// Pass waits while the session is paused, and says why it is over, where it is. Whatever is
// forwarded is forwarded after it.
func (s *Session) Pass() *Ended {
	for {
		p := s.paused.Load()
		if p == nil {
			return s.Over()
		}
		select {
		case <-*p:
		case <-s.ctx.Done():
			return s.Over()
		}
	}
}

// Paused says whether nothing passes for now.
func (s *Session) Paused() bool { return s.paused.Load() != nil }

// pause stops what passes, or lets it go on. Gateway.mu is held.
func (s *Session) pause(yes bool) {
	p := s.paused.Load()
	switch {
	case yes && p == nil:
		c := make(chan struct{})
		s.paused.Store(&c)
		s.notify(Notice{Paused: true})
	case !yes && p != nil:
		s.paused.Store(nil)
		close(*p)
		s.notify(Notice{Resumed: true})
	}
}

// May is nil when something new may start within the session.
func (s *Session) May() error {
	now := s.g.clock.Now()
	s.g.mu.Lock()
	defer s.g.mu.Unlock()
	switch _, state := s.lease.At(now); {
	case s.ended != nil:
		return s.ended
	case s.paused.Load() != nil:
		return access.Fail(access.Unavailable, "session-paused", "the session is paused, so nothing new starts in it").Try("wait until whoever watches lets it go on")
	case state == Live:
		return nil
	case state == Kept:
		return access.Fail(access.Unavailable, "partitioned", "the control plane cannot be reached, so nothing new starts in this session").
			Try("what runs already goes on until the grant ends; try again when the control plane is back")
	}
	return access.Fail(access.Expired, "grant-over", "the grant's time is over")
}

// Remaining is what the grant has left.
func (s *Session) Remaining() time.Duration {
	now := s.g.clock.Now()
	s.g.mu.Lock()
	defer s.g.mu.Unlock()
	return s.lease.Remaining(now)
}

// Sign asks for the certificate of the session's leg to the target.
func (s *Session) Sign(ctx context.Context, publicKey []byte) ([]byte, error) {
	ctx, done := context.WithTimeout(ctx, callWithin)
	defer done()
	return s.g.authority.Sign(ctx, s.ID, publicKey)
}

// End ends the session. Only the first reason counts.
func (s *Session) End(r Reason, text string) {
	now := s.g.clock.Now()
	s.g.mu.Lock()
	first := s.end(now, r, text)
	s.g.mu.Unlock()
	if first {
		s.cancel(s.ended)
	}
}

// Closed says that the session's connections are closed: no byte passes any more. Until
// then it counts as live. A session that is not over when it is called has ended because
// the client left.
func (s *Session) Closed() {
	s.End(ClientGone, "")
	now := s.g.clock.Now()
	s.g.mu.Lock()
	_, there := s.g.sessions[s.ID]
	delete(s.g.sessions, s.ID)
	s.watchers = nil
	e := Ending{Session: s.ID, Reason: s.ended.Reason, Text: s.ended.Text, At: now.Wall, Took: now.Mono - s.endedAt.Mono}
	if there {
		s.g.report(e)
		s.g.left()
	}
	s.g.mu.Unlock()
	s.g.poke(s.g.renew)
}

// Notices gives what the person should know, until stop is called. Who does not listen
// misses it.
func (s *Session) Notices() (heard <-chan Notice, stop func()) {
	c := make(chan Notice, len(WarnAt)+1)
	s.g.mu.Lock()
	defer s.g.mu.Unlock()
	s.watchers = append(s.watchers, c)
	return c, func() {
		s.g.mu.Lock()
		defer s.g.mu.Unlock()
		s.watchers = slices.DeleteFunc(s.watchers, func(w chan Notice) bool { return w == c })
	}
}

// end marks the session as over; false where it was before. Gateway.mu is held, and
// the caller cancels the context without it.
func (s *Session) end(now Instant, r Reason, text string) bool {
	if s.ended != nil {
		return false
	}
	s.lease = s.lease.Cut(r)
	s.ended, s.endedAt = &Ended{Reason: r, Text: text}, now
	return true
}

// warn sends the warnings that are due, and says how long it is to the next. Only the
// latest of several is sent. Gateway.mu is held.
func (s *Session) warn(left time.Duration) time.Duration {
	due := false
	for len(s.warnings) > 0 && left <= s.warnings[0] {
		s.warnings, due = s.warnings[1:], true
	}
	if due {
		s.notify(Notice{Left: left})
	}
	if len(s.warnings) == 0 {
		return lookAtLeast
	}
	return left - s.warnings[0]
}

// rearm sets which warnings are to come, after what is left became another. It also
// says so, where it became more by more than answers differ. Gateway.mu is held.
func (s *Session) rearm(before, after time.Duration) {
	const noise = 5 * time.Second
	if before > 0 && after <= before+noise {
		return
	}
	s.warnings = nil
	for _, w := range WarnAt {
		if after > w {
			s.warnings = append(s.warnings, w)
		}
	}
	if before > 0 {
		s.notify(Notice{Left: after, Extended: true})
	}
}

func (s *Session) notify(n Notice) {
	for _, w := range s.watchers {
		select {
		case w <- n:
		default:
		}
	}
}
