package httpgate

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/gateway"
)

// mostAtOnce is how many requests of one session run at once.
const mostAtOnce = 256

// secretSum is what the gateway keeps of a cookie's secret, or of a device's key.
type secretSum [sha256.Size]byte

// place is where a session is found: by whom, at which host.
type place struct {
	sum  secretSum
	host string
}

// session is one browser or one device's key, at one resource.
type session struct {
	*gateway.Session
	server    *Server
	at        place
	tape      Tape
	login     Login
	standing  *standing // where the login is sent by a form
	self      string    // the host by which people know it, with its port
	transport *http.Transport
	number    atomic.Uint64 // of the latest request
	carried   atomic.Uint64 // bytes of bodies

	mu      sync.Mutex
	active  int           // requests that run
	since   time.Time     // since when there are none
	none    chan struct{} // closed when the session is over and no request runs
	settled bool          // it is closed
}

// open asks for the session and gets ready for its requests.
func (s *Server) open(ctx context.Context, f gateway.Facts, at place, self string, from Client) (_ *session, err error) {
	g, err := s.Gateway.Open(ctx, f)
	if err != nil {
		return nil, err
	}
	o := &session{Session: g, server: s, at: at, self: self, since: time.Now(), none: make(chan struct{})}
	defer func() {
		if err != nil {
			g.End(gateway.Refused, "")
			if o.tape != nil {
				_ = o.tape.Close(g.Over())
			}
			g.Closed()
		}
	}()
	if g.Resource != f.Resource || g.Web == nil {
		return nil, access.Fail(access.Internal, "bad-permit", "the control plane gave a permit for something else")
	}
	if o.tape, err = s.Recorder.Begin(g, from); err != nil {
		return nil, access.Fail(access.Unavailable, "unrecorded", "the session cannot be recorded, so it does not begin").Wrap(err).Try("try again later, or by another gateway")
	}
	if o.login, err = s.Logins.Login(g.Context(), g.ID); err != nil {
		return nil, err
	}
	if o.transport, err = s.transport(&g.Permit, o.login); err != nil {
		return nil, err
	}
	if form := o.login.form; form != nil {
		g.Web = guarded(g.Web, form)
		o.standing = &standing{o: o, form: form, lane: s.lanes.of(g.Resource, form)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, errStopping
	}
	s.sessions[at] = o
	s.all.Go(o.run)
	return o, nil
}

// run lives as long as the session, and closes it.
func (o *session) run() {
	idle := time.NewTimer(o.server.IdleAfter)
	defer idle.Stop()
	for o.Over() == nil {
		select {
		case <-o.Context().Done():
		case <-idle.C:
			idle.Reset(o.rest())
		}
	}
	o.mu.Lock()
	o.settle()
	o.mu.Unlock()
	<-o.none // each request sees that it is over by itself
	if o.standing != nil {
		o.standing.leave()
	} else {
		o.transport.CloseIdleConnections()
	}
	o.login = Login{}
	o.server.leave(o)
	if err := o.tape.Close(o.Over()); err != nil {
		o.server.Log.Error("the end of a session was not recorded", "session", o.ID, "error", err)
	}
	o.Closed()
}

// rest ends a session of which nothing was heard for long, or says when to look again.
func (o *session) rest() time.Duration {
	o.mu.Lock()
	quiet, busy := time.Since(o.since), o.active > 0
	o.mu.Unlock()
	if busy {
		return o.server.IdleAfter
	}
	if quiet >= o.server.IdleAfter {
		o.End(gateway.ClientGone, fmt.Sprintf("no request for %s", o.server.IdleAfter))
		return time.Hour
	}
	return o.server.IdleAfter - quiet
}

// begin counts a request in. Who is counted in calls done.
func (o *session) begin() error {
	if err := o.May(); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch over := o.Over(); {
	case over != nil:
		return over
	case o.active >= mostAtOnce:
		return access.Fail(access.TooMany, "too-many-requests", "the session has as many requests under way as it may").Try("try again in a moment")
	}
	o.active++
	return nil
}

func (o *session) done() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.active--
	o.since = time.Now()
	o.settle()
}

// settle lets the end go on when nothing runs any more, and nothing can begin. o.mu is held.
func (o *session) settle() {
	if o.active == 0 && o.Over() != nil && !o.settled {
		o.settled = true
		close(o.none)
	}
}

// carry counts what passes, and ends the session where it is more than the role allows.
func (o *session) carry(n int) error {
	all := o.carried.Add(uint64(n))
	if most := o.Limits.Bytes; most > 0 && all > most {
		o.End(gateway.Policy, fmt.Sprintf("more than the %d bytes that the role allows in one session", most))
		return o.Over()
	}
	return nil
}

func (o *session) unrecorded(err error) {
	o.server.Log.Error("a session could not be recorded", "session", o.ID, "error", err)
	o.End(gateway.Unrecorded, "")
}
