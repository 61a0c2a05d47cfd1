package gateway

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"stint/internal/access"
)

const (
	callWithin   = 5 * time.Second        // for one call to the control plane
	renewAgain   = 2 * time.Second        // after a renewal that failed, or while cuts cannot arrive by themselves
	lookAtLeast  = time.Second            // how often the clocks are compared: a step of the wall is noticed within it
	closeWithin  = 5 * time.Second        // for a session's connections, when the gateway stops
	gather       = 20 * time.Millisecond  // so that a thousand sessions that end together make one report
	cutsAgain    = 250 * time.Millisecond // after the stream of cuts broke
	rememberCuts = time.Minute            // longer than a permit can be on its way
	mostReported = 10_000                 // endings and alarms that wait for the control plane
)

// Config is what a Gateway is made of. What has no default is required.
type Config struct {
	Authority Authority
	Clock     Clock
	Log       *slog.Logger
	// Capacity is the most sessions that are live at once; 0 is 5,000.
	Capacity int
	// Opens is how many sessions one address may ask for in a second, and ten times as
	// many at once; 0 is 50, which is half of what the control plane answers a gateway. Half
	// of it again is what all strangers together may ask for at one door.
	Opens int
}

// Gateway is the registry of live sessions. It renews their leases, hears of cuts, and
// ends each of them in time.
type Gateway struct {
	authority Authority
	clock     Clock
	log       *slog.Logger
	capacity  int
	sources   sources
	strangers unproven

	nudge chan struct{} // something changed that may be due earlier
	renew chan struct{} // do not wait for the next renewal

	mu        sync.Mutex // guards all below and the sessions' own state; no call is made under it
	stopping  bool
	streaming bool // cuts arrive by themselves
	opening   int  // permits asked for and not here yet
	sessions  map[SessionID]*Session
	cuts      []heardCut // of the last minute
	ended     []Ending
	alarms    []Alarm
	leftOut   map[SessionID]int // alarms that are not among them, and were not told of
	empty     chan struct{}     // closed when stopping and no session is left, nor a permit on its way
}

type heardCut struct {
	Cut
	at Instant
}

// New makes a Gateway. Nothing happens until Run.
func New(c Config) (*Gateway, error) {
	if c.Authority == nil || c.Clock == nil || c.Log == nil {
		return nil, access.Fail(access.Internal, "gateway-incomplete", "a gateway needs an authority, a clock and a log")
	}
	if c.Capacity == 0 {
		c.Capacity = 5000
	}
	if c.Opens == 0 {
		c.Opens = 50
	}
	return &Gateway{
		authority: c.Authority, clock: c.Clock, log: c.Log, capacity: c.Capacity,
		sources:   sources{perSecond: c.Opens, buckets: map[netip.Prefix]*rate.Limiter{}},
		strangers: unproven{perSecond: float64(c.Opens) / 2, doors: map[string]*budget{}, known: map[[sha256.Size]byte]struct{}{}},
		nudge:     make(chan struct{}, 1), renew: make(chan struct{}, 1),
		sessions: map[SessionID]*Session{}, leftOut: map[SessionID]int{}, empty: make(chan struct{}),
	}, nil
}

// Run renews, listens for cuts and ends what is due, until ctx is done. Then it ends
// every session, waits for their connections for a bounded time, and tells the control
// plane.
func (g *Gateway) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	loops.Go(func() { g.watch(inner) })
	loops.Go(func() { g.keepRenewing(inner) })
	loops.Go(func() { g.hear(inner) })
	<-ctx.Done()
	g.stop()
	select {
	case <-g.empty:
	case <-time.After(closeWithin):
		g.log.Warn("sessions did not close in time", "sessions", g.Count())
	}
	stop()
	loops.Wait()
	last, done := context.WithTimeout(context.WithoutCancel(ctx), renewAgain)
	defer done()
	for more := true; more; {
		if err := g.renewOnce(last); err != nil {
			g.log.Warn("the control plane was not told which sessions ended", "error", err)
			break
		}
		g.mu.Lock()
		more = g.waiting()
		g.mu.Unlock()
	}
	return nil
}

// stop ends every session and lets no other begin.
func (g *Gateway) stop() {
	g.mu.Lock()
	g.stopping = true
	g.left()
	g.mu.Unlock()
	g.Cut(Cut{All: true, Reason: Stopping})
}

// left lets who waits for the last session go on, and tell the control plane for the last
// time: what is told of a session is kept before. Once stopping nothing comes in, so this is
// so at one call: of stop, or where the last one leaves. Gateway.mu is held.
func (g *Gateway) left() {
	if g.stopping && len(g.sessions)+g.opening == 0 {
		close(g.empty)
	}
}

// Count is how many sessions are open.
func (g *Gateway) Count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.sessions)
}

// Open asks for a permit and starts the session that it permits. Whoever calls it calls
// Session.Closed when the session's connections are closed, whatever happened.
func (g *Gateway) Open(ctx context.Context, f Facts) (*Session, error) {
	if err := g.sources.take(f.Source.Addr(), g.clock.Now()); err != nil {
		return nil, err
	}
	proven, err := g.strangers.take(f, g.clock.Now())
	if err != nil {
		return nil, err
	}
	if err := g.room(); err != nil {
		return nil, err
	}
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.opening--
		g.left()
	}()
	ctx, done := context.WithTimeout(ctx, callWithin)
	defer done()
	asked := g.clock.Now()
	p, err := g.authority.Open(ctx, f)
	if err == nil || access.KindOf(err) == access.Unavailable { // who was let in, or whom nobody was asked about
		proven()
	}
	if err != nil {
		return nil, err
	}
	s, err := newSession(g, f.Protocol, p, asked)
	if err == nil {
		err = g.admit(s)
	}
	if err != nil { // the control plane wrote a session down that never was
		e := Ending{Session: p.Session, Reason: Refused, Text: access.KindOf(err).String(), At: g.clock.Now().Wall}
		g.mu.Lock()
		g.report(e)
		g.mu.Unlock()
		g.poke(g.renew)
		return nil, err
	}
	g.poke(g.nudge)
	return s, nil
}

// room takes a place, so that many who ask at once do not make more sessions than
// there is room for.
func (g *Gateway) room() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopping {
		return access.Fail(access.Unavailable, "gateway-stopping", "the gateway is stopping").Try("connect again in a moment")
	}
	if len(g.sessions)+g.opening >= g.capacity {
		return access.Fail(access.TooMany, "gateway-full", "the gateway has as many sessions as it takes").
			Try("try again later, or by another gateway")
	}
	g.opening++
	return nil
}

// admit puts a session among the live ones, unless it was cut while its permit was on
// its way or would be over at once.
func (g *Gateway) admit(s *Session) error {
	now := g.clock.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopping {
		return access.Fail(access.Unavailable, "gateway-stopping", "the gateway is stopping")
	}
	if g.sessions[s.ID] != nil {
		return access.Fail(access.Internal, "session-twice", "the control plane gave one session twice")
	}
	for _, c := range g.cuts {
		// A cut that was heard before the question was sent was known to the control plane
		// when it answered. One that came as the question left may not have been.
		if c.meets(&s.Permit) && c.at.Mono >= s.lease.asked.Mono-time.Second {
			s.lease = s.lease.Cut(c.Reason)
			return access.Fail(access.Denied, "session-cut", "the session has ended: "+c.Reason.Sentence())
		}
	}
	var state State
	if s.lease, state = s.lease.At(now); state != Live {
		return access.Fail(access.Expired, "grant-over", "the grant's time is over")
	}
	g.sessions[s.ID] = s
	return nil
}

// Cut ends what it meets, now and among the permits on their way.
func (g *Gateway) Cut(c Cut) {
	if c.Look {
		g.poke(g.renew)
		return
	}
	if c.Reason == "" {
		c.Reason = Revoked
	}
	now := g.clock.Now()
	var over []*Session
	g.mu.Lock()
	kept := g.cuts[:0]
	for _, old := range g.cuts {
		if now.Mono-old.at.Mono < rememberCuts {
			kept = append(kept, old)
		}
	}
	g.cuts = append(kept, heardCut{c, now})
	for _, s := range g.sessions {
		if c.meets(&s.Permit) && s.end(now, c.Reason, c.Text) {
			over = append(over, s)
		}
	}
	g.mu.Unlock()
	for _, s := range over {
		s.cancel(s.ended)
	}
}

// watch ends what is due. How long it sleeps is only a hint: what is due is asked of
// the leases each time.
func (g *Gateway) watch(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-g.nudge:
		}
		timer.Reset(g.sweep())
	}
}

// sweep ends what is due, warns whom it is time to warn, and says how long there is
// nothing else to do.
func (g *Gateway) sweep() time.Duration {
	now, wait := g.clock.Now(), lookAtLeast
	var over []*Session
	g.mu.Lock()
	for _, s := range g.sessions {
		if s.ended != nil {
			continue
		}
		lease, state := s.lease.At(now)
		if s.lease = lease; state == Over {
			s.end(now, lease.over, "")
			over = append(over, s)
			continue
		}
		wait = min(wait, lease.Next(now), s.warn(lease.Remaining(now)))
	}
	g.mu.Unlock()
	for _, s := range over {
		s.cancel(s.ended)
	}
	return max(wait, time.Millisecond)
}

// hear keeps the stream of cuts open. When it stands anew, a renewal asks for what was
// missed.
func (g *Gateway) hear(ctx context.Context) {
	for ctx.Err() == nil {
		err := g.authority.Cuts(ctx, func() { g.setStreaming(true) }, g.Cut)
		if g.setStreaming(false) && ctx.Err() == nil {
			g.log.Warn("the stream of cuts ended; the control plane is asked more often until it is back", "error", err)
		}
		pause(ctx, cutsAgain)
	}
}

// setStreaming notes whether the stream stands, and has a renewal ask at once where
// that changed.
func (g *Gateway) setStreaming(is bool) (changed bool) {
	g.mu.Lock()
	changed = g.streaming != is
	g.streaming = is
	g.mu.Unlock()
	if changed {
		g.poke(g.renew)
	}
	return changed
}

// keepRenewing asks again and again, one question at a time.
func (g *Gateway) keepRenewing(ctx context.Context) {
	for {
		err := g.renewOnce(ctx)
		wait := RenewEvery
		g.mu.Lock()
		if err != nil || !g.streaming {
			wait = renewAgain
		}
		g.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			g.log.Warn("leases were not renewed", "error", err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-g.renew:
			timer.Stop()
			pause(ctx, gather)
			if err != nil { // who does not answer is not asked faster because there is more to tell
				pause(ctx, renewAgain)
			}
		}
	}
}

// renewOnce sends one report and takes the answer.
func (g *Gateway) renewOnce(ctx context.Context) error {
	ctx, done := context.WithTimeout(ctx, callWithin)
	defer done()
	r, asked := g.draft()
	answers, err := g.authority.Renew(ctx, r)
	if err != nil {
		return err
	}
	for _, id := range r.Live {
		switch a, ok := answers[id]; {
		case !g.carries(id): // its ending waits to be told
		case !ok:
			g.Cut(Cut{Session: id, Reason: Unknown})
		case a.Cut != nil:
			g.Cut(Cut{Session: id, Reason: a.Cut.Reason, Text: a.Cut.Text})
		default:
			g.renewed(id, asked, a)
		}
	}
	g.told(r)
	g.poke(g.nudge)
	return nil
}

func (g *Gateway) carries(id SessionID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sessions[id] != nil
}

func (g *Gateway) renewed(id SessionID, asked Instant, a Renewal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.sessions[id]; s != nil && s.ended == nil {
		before := s.lease.Remaining(asked)
		s.lease = s.lease.Renewed(asked, a.Remaining)
		s.rearm(before, s.lease.Remaining(asked))
		s.pause(a.Paused)
	}
}

func (g *Gateway) poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// check says whether a permit makes sense. It comes from the control plane, and is read
// as if it did not.
func (p *Permit) check(protocol string) error {
	bad := func(what string) error {
		return access.Fail(access.Internal, "bad-permit", "the control plane gave a permit that cannot be used: "+what)
	}
	host, port, err := net.SplitHostPort(p.Target.Address)
	switch {
	case p.Session == "":
		return bad("it names no session")
	case p.Grant == "":
		return bad("it names no grant")
	case p.End.IsZero() || p.Remaining <= 0:
		return bad("it has no end")
	case err != nil || host == "" || port == "":
		return bad("its target is no host and port")
	case protocol == "http" && p.Web == nil, protocol != "http" && p.Web != nil:
		return bad("it is for another protocol")
	case p.Target.Plain && (protocol != "http" || !loopback(host)):
		return bad("nothing tells its target from another, and it is not on the gateway's own host")
	case p.Target.Login == "" && protocol != "http" && protocol != "tcp":
		return bad("it names no account on the target")
	case p.OnPartition != PartitionClose && p.OnPartition != PartitionKeep:
		return bad("what it says of a partition is not known")
	case protocol == "tcp" || p.Target.Plain: // what passes there nobody looks into, and no login is sent
	case len(p.Target.HostKeys)+len(p.Target.HostAuthorities) == 0:
		return bad("nothing in it tells the target from another")
	}
	if err := p.Rules.Check(); err != nil {
		return bad(err.Error())
	}
	if p.Web != nil {
		if err := p.Web.Check(); err != nil {
			return bad(err.Error())
		}
	}
	return nil
}

// loopback says whether a host is an address of this host's own, written as one: a name
// could come to mean another.
func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
