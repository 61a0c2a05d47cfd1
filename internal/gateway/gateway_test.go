package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stint/internal/access"
)

// control is a control plane in memory. What it answers is set by the test.
type control struct {
	mu      sync.Mutex
	end     time.Time // of every grant
	silent  bool      // it does not answer
	deaf    bool      // no cut can be sent
	forgot  bool      // it knows no session
	opening func()    // runs while a permit is on its way
	late    time.Duration
	permit  Permit
	refuse  error
	asked   int
	opened  int
	ended   []Ending
	alarms  []Alarm
	renews  int
	reports []Report
	cut     func(Cut)
}

var errSilent = errors.New("no answer")

func (c *control) Open(_ context.Context, f Facts) (Permit, error) {
	p, err := c.give(f)
	time.Sleep(c.late)
	return p, err
}

func (c *control) give(f Facts) (Permit, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent {
		return Permit{}, errSilent
	}
	if c.asked++; c.refuse != nil {
		return Permit{}, c.refuse
	}
	c.opened++
	p := c.permit
	p.Session = SessionID(fmt.Sprintf("ses_%d", c.opened))
	p.End, p.Remaining, p.Resource = c.end, time.Until(c.end), f.Resource
	if c.opening != nil {
		c.opening()
	}
	return p, nil
}

func (c *control) Sign(context.Context, SessionID, []byte) ([]byte, error) { return nil, errSilent }

func (c *control) Renew(ctx context.Context, r Report) (map[SessionID]Renewal, error) {
	c.mu.Lock()
	if c.silent {
		c.mu.Unlock()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	defer c.mu.Unlock()
	c.renews++
	c.reports = append(c.reports, r)
	c.ended, c.alarms = append(c.ended, r.Ended...), append(c.alarms, r.Alarms...)
	answers := map[SessionID]Renewal{}
	for _, id := range r.Live {
		if !c.forgot {
			answers[id] = Renewal{Remaining: time.Until(c.end)}
		}
	}
	return answers, nil
}

func (c *control) Cuts(ctx context.Context, ready func(), cut func(Cut)) error {
	c.mu.Lock()
	if c.silent || c.deaf {
		c.mu.Unlock()
		return errSilent
	}
	c.cut = cut
	c.mu.Unlock()
	ready()
	<-ctx.Done()
	return ctx.Err()
}

func (c *control) set(f func()) { c.mu.Lock(); defer c.mu.Unlock(); f() }

// stepped is a clock whose wall somebody sets.
type stepped struct {
	SystemClock
	mu   sync.Mutex
	step time.Duration
}

func (s *stepped) Now() Instant {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.SystemClock.Now()
	i.Wall = i.Wall.Add(s.step)
	return i
}

type world struct {
	*control
	*Gateway
	clock *stepped
	stop  context.CancelFunc
	done  chan struct{}
}

func run(t *testing.T, grant time.Duration, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &control{end: time.Now().Add(grant), permit: Permit{
			Grant: "grt_1", Person: "mira",
			Target: Target{Address: "web1:22", Login: "deploy", HostKeys: []string{"ssh-ed25519 AAAA"}},
		}}
		w := &world{control: c, clock: &stepped{SystemClock: NewSystemClock()}, done: make(chan struct{})}
		var err error
		if w.Gateway, err = New(Config{Authority: c, Clock: w.clock, Log: slog.New(slog.DiscardHandler), Capacity: 3}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		w.stop = stop
		go func() {
			defer close(w.done)
			if err := w.Run(ctx); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		test(t, w)
		stop()
		<-w.done
	})
}

// open opens a session, and closes its connections as soon as it is over.
func (w *world) open(t *testing.T) *Session {
	t.Helper()
	s, err := w.Gateway.Open(t.Context(), Facts{Protocol: "ssh", Resource: "web1"})
	if err != nil {
		t.Fatal(err)
	}
	context.AfterFunc(s.Context(), s.Closed)
	return s
}

// reportOne keeps an ending as those of closed sessions are kept.
func (w *world) reportOne(e Ending) {
	w.Gateway.mu.Lock()
	w.report(e)
	w.Gateway.mu.Unlock()
	w.poke(w.renew)
}

// over waits for the end of a session, and says when it came and why.
func over(s *Session) (time.Duration, Reason) {
	start := time.Now()
	<-s.Context().Done()
	return time.Since(start), s.Over().Reason
}

func TestSessionEndsWithItsGrant(t *testing.T) {
	for _, silent := range []bool{false, true} {
		t.Run(fmt.Sprint("silent=", silent), func(t *testing.T) {
			run(t, 7*time.Minute, func(t *testing.T, w *world) {
				w.permit.OnPartition = PartitionKeep
				s := w.open(t)
				w.set(func() { w.silent = silent })
				if d, why := over(s); d != 7*time.Minute || why != Expired {
					t.Errorf("after %v: %v", d, why)
				}
			})
		})
	}
}

func TestPartition(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, w *world) {
		s := w.open(t)
		w.permit.OnPartition = PartitionKeep
		kept := w.open(t)
		time.Sleep(11 * time.Second) // one renewal
		w.set(func() { w.silent = true })
		d, why := over(s)
		if d > Freshness || d < Freshness-RenewEvery-2*time.Second || why != Partitioned {
			t.Errorf("closed after %v: %v", d, why)
		}
		time.Sleep(2 * time.Second)
		if err := kept.May(); !errors.Is(err, access.Unavailable) {
			t.Errorf("something new may start in a kept session: %v", err)
		}
		if kept.Over() != nil {
			t.Errorf("a kept session is over: %v", kept.Over())
		}
		w.set(func() { w.silent = false })
		time.Sleep(15 * time.Second)
		if err := kept.May(); err != nil {
			t.Errorf("healed, and %v", err)
		}
		w.set(func() {
			if !slices.ContainsFunc(w.control.ended, func(e Ending) bool { return e.Session == s.ID && e.Reason == Partitioned }) {
				t.Errorf("the control plane was told %v", w.control.ended)
			}
		})
	})
}

func TestCut(t *testing.T) {
	cuts := map[string]Cut{
		"session": {Session: "ses_1", Reason: Killed},
		"grant":   {Grant: "grt_1", Reason: Revoked},
		"all":     {All: true, Reason: Revoked},
	}
	for name, c := range cuts {
		t.Run(name, func(t *testing.T) {
			run(t, time.Hour, func(t *testing.T, w *world) {
				s := w.open(t)
				w.control.cut(c)
				if d, why := over(s); d != 0 || why != c.Reason {
					t.Errorf("after %v: %v", d, why)
				}
				time.Sleep(100 * time.Millisecond)
				w.set(func() {
					if len(w.control.ended) != 1 || w.control.ended[0].Reason != c.Reason {
						t.Errorf("within 100 ms the control plane was told %v", w.control.ended)
					}
				})
			})
		})
	}
	t.Run("of another", func(t *testing.T) {
		run(t, time.Hour, func(t *testing.T, w *world) {
			s := w.open(t)
			w.control.cut(Cut{Session: "ses_9"})
			w.control.cut(Cut{Grant: "grt_9"})
			w.control.cut(Cut{})
			synctest.Wait()
			if s.Over() != nil {
				t.Error(s.Over())
			}
		})
	})
}

// TestCutMeetsPermitOnItsWay is the race of a revocation with the question whether one
// may begin.
func TestCutMeetsPermitOnItsWay(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, w *world) {
		w.control.opening = func() { w.control.cut(Cut{Grant: "grt_1", Reason: Revoked}) }
		_, err := w.Gateway.Open(t.Context(), Facts{})
		if !errors.Is(err, access.Denied) || w.Count() != 0 {
			t.Errorf("got %v and %d sessions", err, w.Count())
		}
		time.Sleep(time.Second)
		w.set(func() {
			if len(w.control.ended) != 1 {
				t.Errorf("the control plane was told %v", w.control.ended)
			}
		})
	})
}

func TestUnknownSessionEnds(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, w *world) {
		s := w.open(t)
		w.set(func() { w.forgot = true })
		if d, why := over(s); d > RenewEvery || why != Unknown {
			t.Errorf("after %v: %v", d, why)
		}
	})
}

// TestWithoutStream has no way to send a cut: what was revoked ends by renewals, which
// then are more frequent.
func TestWithoutStream(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, w *world) {
		s := w.open(t)
		w.set(func() { w.deaf = true })
		// The stream of a running gateway is closed by its end; start another that has none.
		g, err := New(Config{Authority: w.control, Clock: w.clock, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = g.Run(ctx) }()
		other, err := g.Open(t.Context(), Facts{})
		if err != nil {
			t.Fatal(err)
		}
		context.AfterFunc(other.Context(), other.Closed)
		w.set(func() { w.end = time.Now() })
		if d, why := over(other); d > renewAgain+time.Second || why != Expired {
			t.Errorf("after %v: %v", d, why)
		}
		stop()
		<-done
		if _, why := over(s); why != Expired {
			t.Error(why)
		}
	})
}

func TestWallClockStepped(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, w *world) {
		w.permit.OnPartition = PartitionKeep
		s := w.open(t)
		w.clock.mu.Lock()
		w.clock.step = -24 * time.Hour
		w.clock.mu.Unlock()
		w.set(func() { w.silent = true })
		if d, why := over(s); d != time.Hour || why != Expired {
			t.Errorf("set back: after %v: %v", d, why)
		}
	})
	run(t, time.Hour, func(t *testing.T, w *world) {
		w.permit.OnPartition = PartitionKeep
		s := w.open(t)
		w.set(func() { w.silent = true })
		time.Sleep(time.Second)
		w.clock.mu.Lock()
		w.clock.step = 2 * time.Hour // as after a sleep of which monotonic time knows nothing
		w.clock.mu.Unlock()
		if d, why := over(s); d > lookAtLeast || why != Expired {
			t.Errorf("set ahead: after %v: %v", d, why)
		}
	})
}

func TestWarnings(t *testing.T) {
	run(t, 6*time.Minute, func(t *testing.T, w *world) {
		s := w.open(t)
		heard, stop := s.Notices()
		defer stop()
		for _, want := range WarnAt {
			if n := <-heard; n.Extended || n.Left != want {
				t.Errorf("got %+v, want %v", n, want)
			}
		}
		w.set(func() { w.end = w.end.Add(time.Hour) })
		if n := <-heard; !n.Extended || n.Left < time.Hour {
			t.Errorf("got %+v after it was extended", n)
		}
		for _, want := range WarnAt {
			if n := <-heard; n.Left != want {
				t.Errorf("after it was extended: got %+v, want %v", n, want)
			}
		}
	})
	run(t, 2*time.Minute, func(t *testing.T, w *world) { // five minutes were never left
		s := w.open(t)
		heard, stop := s.Notices()
		defer stop()
		if n := <-heard; n.Left != time.Minute {
			t.Errorf("got %+v", n)
		}
	})
}

func TestStop(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, w *world) {
		s := w.open(t)
		w.stop()
		<-w.done
		if s.Over() == nil || s.Over().Reason != Stopping || w.Count() != 0 {
			t.Errorf("over: %v; %d sessions", s.Over(), w.Count())
		}
		if len(w.control.ended) != 1 {
			t.Errorf("the control plane was told %v", w.control.ended)
		}
		if _, err := w.Gateway.Open(t.Context(), Facts{}); !errors.Is(err, access.Unavailable) {
			t.Errorf("a stopped gateway opens: %v", err)
		}
	})
}

func TestCapacity(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, w *world) {
		for range 3 {
			w.open(t)
		}
		if _, err := w.Gateway.Open(t.Context(), Facts{}); !errors.Is(err, access.TooMany) {
			t.Errorf("got %v", err)
		}
	})
}

func TestBadPermits(t *testing.T) {
	bad := map[string]func(*Permit){
		"no grant":          func(p *Permit) { p.Grant = "" },
		"no login":          func(p *Permit) { p.Target.Login = "" },
		"no address":        func(p *Permit) { p.Target.Address = "web1" },
		"no host key":       func(p *Permit) { p.Target.HostKeys = nil },
		"unknown partition": func(p *Permit) { p.OnPartition = "hope" },
		"unknown files":     func(p *Permit) { p.Rules.SFTP = "all" },
		"unknown effect":    func(p *Permit) { p.Rules.Commands = []CommandRule{{"maybe", "ls"}} },
		"every variable":    func(p *Permit) { p.Rules.Env = []string{"*"} },
	}
	for name, spoil := range bad {
		t.Run(name, func(t *testing.T) {
			run(t, time.Hour, func(t *testing.T, w *world) {
				spoil(&w.permit)
				if _, err := w.Gateway.Open(t.Context(), Facts{}); err == nil || w.Count() != 0 {
					t.Errorf("opened: %v", err)
				}
			})
		})
	}
	run(t, 0, func(t *testing.T, w *world) {
		if _, err := w.Gateway.Open(t.Context(), Facts{}); err == nil {
			t.Error("a grant without time was opened")
		}
	})
}

func TestAlarmIsTold(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, w *world) {
		s := w.open(t)
		s.Alarm("*rm*", "rm -rf /")
		time.Sleep(100 * time.Millisecond)
		w.set(func() {
			if len(w.control.alarms) != 1 || w.control.alarms[0].Session != s.ID {
				t.Errorf("got %v", w.control.alarms)
			}
		})
	})
}
