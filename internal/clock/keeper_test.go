package clock

import (
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// world is a true time, a wall that may differ from it, and one keeper.
type world struct {
	t     *testing.T
	k     *Keeper
	truth time.Time // also what monotonic time says
	mono  time.Duration
	wrong time.Duration // wall - truth
	skew  time.Duration // host - truth; only with remote
	rem   bool
}

const booted = time.Hour // longer ago than Settling

func newWorld(t *testing.T) *world {
	return &world{t: t, k: New(Mark{}, "b1", booted, true), truth: noon, mono: booted}
}

// pass lets time pass, with a sample each second, and gives the last reading.
func (w *world) pass(d time.Duration) (r Reading) {
	w.t.Helper()
	last := w.k.Read(w.mono).Now
	for {
		step := min(d, time.Second)
		d -= step
		w.truth, w.mono = w.truth.Add(step), w.mono+step
		r = w.k.Take(w.sample())
		if r.Now.Before(last) {
			w.t.Fatalf("went back from %v to %v", last, r.Now)
		}
		if last = r.Now; d <= 0 {
			return r
		}
	}
}

func (w *world) sample() Sample {
	s := Sample{Wall: w.truth.Add(w.wrong), Mono: w.mono}
	if w.rem {
		s.Host = w.truth.Add(w.skew)
	}
	return s
}

// restart is one of the process; with boot, of the host too.
func (w *world) restart(down time.Duration, boot string) {
	m := w.k.Mark("b1")
	w.truth, w.mono = w.truth.Add(down), w.mono+down
	if boot != "b1" {
		w.mono = Settling
	}
	w.k = New(m, boot, w.mono, true)
}

// TestSteps is the matrix of steps: what a running keeper makes of each, how long
// it is in doubt, and that its own time goes on as if nothing had happened.
func TestSteps(t *testing.T) {
	for _, c := range []struct {
		step time.Duration
		heal time.Duration // trusted again by itself within; 0: at once, -1: never
	}{
		{400 * time.Millisecond, 0}, {-400 * time.Millisecond, 0},
		{time.Second, 2 * time.Minute}, {-time.Second, 2 * time.Minute},
		{4 * time.Second, 15 * time.Minute}, {-4 * time.Second, 15 * time.Minute},
		{time.Minute, -1}, {-time.Minute, -1}, {time.Hour, -1}, {-time.Hour, -1}, {24 * time.Hour, -1}, {-24 * time.Hour, -1},
		{10 * 365 * 24 * time.Hour, -1}, {-10 * 365 * 24 * time.Hour, -1},
	} {
		t.Run(c.step.String(), func(t *testing.T) {
			w := newWorld(t)
			if r := w.pass(time.Minute); !r.Trusted || !r.Now.Equal(w.truth) {
				t.Fatalf("an honest wall: %+v", r)
			}
			w.wrong = c.step
			r := w.pass(time.Second)
			if r.Trusted != (c.heal == 0) {
				t.Errorf("after the step: %+v", r)
			}
			if d := r.Now.Sub(w.truth); d.Abs() > Uncertainty {
				t.Errorf("Now is off by %v", d)
			}
			if later := r.Now.Sub(w.truth); c.heal == 0 && c.step > 0 && later < c.step-10*time.Millisecond {
				t.Errorf("Now is %v ahead; of two that are believed the later one counts", later)
			}
			if c.heal < 0 {
				r = w.pass(3 * time.Hour)
				if r.Trusted || !r.Now.Equal(w.truth) || !w.k.State(w.mono).Far {
					t.Errorf("three hours later: off by %v, %+v", r.Now.Sub(w.truth), w.k.State(w.mono))
				}
				w.wrong = 0
				if r = w.pass(time.Second); !r.Trusted || !r.Now.Equal(w.truth) {
					t.Errorf("set right again: %+v", r)
				}
				return
			}
			if r = w.pass(c.heal + time.Second); !r.Trusted {
				t.Errorf("after %v: %+v", c.heal, r)
			}
		})
	}
}

func TestDriftIsFollowed(t *testing.T) {
	for _, ppm := range []time.Duration{500, -500} {
		w := newWorld(t)
		for range 24 * 60 { // a day
			if r := w.pass(time.Minute); !r.Trusted || r.Now.Sub(w.truth.Add(w.wrong)).Abs() > Uncertainty {
				t.Fatalf("%d ppm: off by %v, %+v", ppm, r.Now.Sub(w.truth.Add(w.wrong)), r)
			}
			w.wrong += time.Minute * ppm / 1e6
		}
	}
	w := newWorld(t) // ten times what is followed: in doubt, and the line keeps to what passed
	for range 10 {
		w.pass(time.Minute)
		w.wrong += time.Minute / 20
	}
	if r := w.pass(time.Second); r.Trusted || r.Now.Sub(w.truth) > Uncertainty+10*time.Minute/Slew {
		t.Errorf("five per cent fast: off by %v, %+v", r.Now.Sub(w.truth), r)
	}
}

func TestFreeze(t *testing.T) {
	w := newWorld(t)
	w.pass(time.Minute)
	for range 600 {
		w.wrong -= time.Second
		w.pass(time.Second)
	}
	if r := w.pass(0); r.Trusted || w.truth.Sub(r.Now) > 4*time.Second { // it is near for a while, and draws
		t.Errorf("frozen for ten minutes: behind by %v, %+v", w.truth.Sub(r.Now), r)
	}
}

// TestRestartOfTheProcess: on the same boot monotonic time bounds the wall over
// a restart as well.
func TestRestartOfTheProcess(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour, 10 * 365 * 24 * time.Hour} {
		w := newWorld(t)
		w.pass(time.Minute)
		w.wrong = step
		w.restart(10*time.Minute, "b1")
		if r := w.pass(time.Second); r.Trusted || !r.Now.Equal(w.truth) {
			t.Errorf("%v: off by %v, %+v", step, r.Now.Sub(w.truth), r)
		}
		w.wrong = 0
		if r := w.pass(time.Second); !r.Trusted || !r.Now.Equal(w.truth) {
			t.Errorf("%v, set right: %+v", step, r)
		}
	}
}

// TestRestartOfTheHost: nothing bounds how long it was down but LongestGap.
func TestRestartOfTheHost(t *testing.T) {
	for _, c := range []struct {
		name         string
		down, wrong  time.Duration
		trusted      bool
		followsTruth bool
	}{
		{"a night", 8 * time.Hour, 0, true, true},
		{"at once", 0, 0, true, true},
		{"a month", LongestGap - time.Hour, 0, true, true},
		{"two months", 2 * LongestGap, 0, false, false},
		{"ten years ahead", time.Minute, 10 * 365 * 24 * time.Hour, false, false},
		{"set back", 8 * time.Hour, -9 * time.Hour, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			mark := w.pass(time.Minute).Now
			w.wrong = c.wrong
			w.restart(c.down, "b2")
			r := w.pass(time.Second)
			if r.Trusted != c.trusted {
				t.Errorf("%+v", r)
			}
			if c.followsTruth && !r.Now.Equal(w.truth) {
				t.Errorf("off by %v", r.Now.Sub(w.truth))
			}
			if !c.followsTruth && !r.Now.Equal(mark.Add(time.Second)) {
				t.Errorf("%v, want to go on from the mark %v", r.Now, mark)
			}
		})
	}
}

// TestSetRightAfterTheStart: a host that booted with its clock behind believes
// it once it is set right, since nothing bounded it yet.
func TestSetRightAfterTheStart(t *testing.T) {
	w := newWorld(t)
	w.pass(time.Minute)
	w.wrong = -9 * time.Hour
	w.restart(8*time.Hour, "b2")
	w.pass(time.Minute)
	w.wrong = 0
	if r := w.pass(time.Second); !r.Trusted || !r.Now.Equal(w.truth) {
		t.Errorf("%+v, truth %v", r, w.truth)
	}
	w.wrong = time.Hour // from here on it is bound
	if r := w.pass(time.Second); r.Trusted || !r.Now.Equal(w.truth) {
		t.Errorf("a step after that: %+v", r)
	}
}

// TestSettling: in the first minutes after a boot steps forward are believed.
func TestSettling(t *testing.T) {
	w := &world{t: t, k: New(Mark{Now: noon}, "b1", time.Second, true), truth: noon.Add(8 * time.Hour), mono: time.Second, wrong: -7 * time.Hour}
	w.pass(time.Minute)
	w.wrong = 0
	if r := w.pass(time.Second); !r.Trusted || !r.Now.Equal(w.truth) {
		t.Errorf("set right in the second minute: %+v", r)
	}
	w.pass(Settling)
	w.wrong = time.Hour
	if r := w.pass(time.Second); r.Trusted || !r.Now.Equal(w.truth) {
		t.Errorf("a step after settling: %+v", r)
	}
}

// TestSuspectOutlivesAReboot: a wall that was not believed is not believed after
// a reboot either, though nothing bounds it then. One that has come back is.
func TestSuspectOutlivesAReboot(t *testing.T) {
	w := newWorld(t)
	w.pass(time.Minute)
	w.wrong = time.Hour
	w.pass(time.Minute)
	m := w.k.Mark("b1")
	w.restart(time.Minute, "b2")
	if r := w.pass(time.Second); r.Trusted || r.Now.After(w.truth) {
		t.Errorf("still an hour ahead: %+v", r)
	}
	if !w.k.Mark("b2").Suspect.Before(w.truth.Add(time.Hour).Add(time.Second)) || w.k.Mark("b2").Suspect.IsZero() {
		t.Errorf("forgot the suspect: %+v", w.k.Mark("b2"))
	}
	back := New(m, "b2", Settling, true)
	if r := back.Take(Sample{Wall: w.truth, Mono: Settling}); !r.Trusted || !r.Now.Equal(w.truth) {
		t.Errorf("back: %+v", r)
	}
}

func TestAccept(t *testing.T) {
	w := newWorld(t)
	w.pass(time.Minute)
	if w.k.Accept(0, w.mono) {
		t.Error("accepted where there is nothing to accept")
	}
	w.wrong = time.Hour
	w.pass(time.Second)
	for _, other := range []time.Duration{0, 59 * time.Minute, 2 * time.Hour, -time.Hour} {
		if w.k.Accept(other, w.mono) {
			t.Errorf("accepted %v where it is an hour", other)
		}
	}
	if !w.k.Accept(time.Hour-time.Second, w.mono) {
		t.Error("not accepted")
	}
	if r := w.pass(time.Second); !r.Trusted || !r.Now.Equal(w.truth.Add(time.Hour)) {
		t.Errorf("accepted: %+v", r)
	}
}

// TestAcceptBehind: time does not go back for anybody. It runs at half speed
// until the wall has caught up, and is in doubt until then.
func TestAcceptBehind(t *testing.T) {
	w := newWorld(t)
	w.pass(time.Minute)
	w.wrong = -time.Hour
	w.pass(time.Second)
	if !w.k.Accept(-time.Hour, w.mono) {
		t.Fatal("not accepted")
	}
	if r := w.pass(time.Hour); r.Trusted || !w.k.State(w.mono).Slowed || r.Now.Sub(w.truth.Add(-time.Hour)).Round(time.Second) != 30*time.Minute {
		t.Errorf("after an hour: %v ahead of the wall, %+v", r.Now.Sub(w.truth.Add(-time.Hour)), r)
	}
	wide := w.sample()
	wide.Width = 2 * time.Hour // it could explain everything
	if r := w.k.Take(wide); r.Trusted || !w.k.State(w.mono).Slowed {
		t.Errorf("a slow answer ended the wait: %+v", r)
	}
	for {
		r, st := w.pass(100*time.Millisecond), w.k.State(w.mono)
		if r.Trusted == st.Slowed {
			t.Fatalf("what begins now lives by half speed: %+v", st)
		}
		if r.Trusted {
			if off := r.Now.Sub(w.truth.Add(-time.Hour)); off > Uncertainty || w.truth.Sub(noon) > 2*time.Hour+2*time.Minute {
				t.Errorf("trusted %v ahead of the wall, at %v", off, w.truth)
			}
			return
		}
	}
}

// TestHostApart: a replica whose own clock is not the database's does not trust
// it after five seconds, and does again once they agree.
func TestHostApart(t *testing.T) {
	w := newWorld(t)
	w.rem, w.skew = true, 700*time.Millisecond
	if r := w.pass(4 * time.Second); !r.Trusted {
		t.Errorf("after 4 s: %+v", r)
	}
	if r := w.pass(3 * time.Second); r.Trusted || !strings.Contains(r.Why, "differ by 700ms") {
		t.Errorf("after 7 s: %+v", r)
	}
	w.skew = -100 * time.Millisecond
	if r := w.pass(time.Second); !r.Trusted {
		t.Errorf("they agree: %+v", r)
	}
}

// TestSlowSamplesProveNothing: an answer that took long says neither that the
// wall is behind nor, for more than a while, that it is right.
func TestSlowSamplesProveNothing(t *testing.T) {
	w := newWorld(t)
	w.pass(time.Minute)
	slow := func() Reading {
		s := w.sample()
		w.truth, w.mono = w.truth.Add(3*time.Second), w.mono+3*time.Second
		s.Mono, s.Width = w.mono, 3*time.Second
		return w.k.Take(s)
	}
	if r := slow(); !r.Trusted || !r.Now.Equal(w.truth) {
		t.Errorf("one slow answer: %+v", r)
	}
	middle := w.sample() // read at its very end: the wall is as late as the width allows
	middle.Width = 3 * time.Second
	if r := w.k.Take(middle); !r.Trusted {
		t.Errorf("another: %+v", r)
	}
	middle.Wall = middle.Wall.Add(-time.Second)
	if r := w.k.Take(middle); !r.Trusted {
		t.Errorf("one read two seconds after it was asked: %+v", r)
	}
	for range 40 {
		slow()
	}
	if r := slow(); r.Trusted || !r.Now.Equal(w.truth) {
		t.Errorf("two minutes of slow answers: %+v", r)
	}
	if r := w.pass(time.Second); !r.Trusted {
		t.Errorf("a quick one: %+v", r)
	}
}

// TestWaitsForOthers: a replica without a bound listens before it believes.
func TestWaitsForOthers(t *testing.T) {
	start := func() *Keeper {
		k := New(Mark{Now: noon}, "b9", 0, false)
		k.Wait(5 * time.Second)
		return k
	}
	k := start()
	hour := noon.Add(time.Hour)
	if r := k.Take(Sample{Wall: hour, Mono: 0}); r.Trusted || !r.Now.Equal(noon) || k.State(0).Far {
		t.Errorf("at once: %+v", r)
	}
	if r := k.Take(Sample{Wall: hour.Add(6 * time.Second), Mono: 6 * time.Second}); !r.Trusted || !r.Now.Equal(hour.Add(6*time.Second)) {
		t.Errorf("nobody was heard: %+v", r)
	}
	k = start()
	k.Take(Sample{Wall: hour, Mono: 0})
	k.Raise(noon.Add(2*time.Second), 2*time.Second)
	k.Bind()
	if r := k.Take(Sample{Wall: hour.Add(6 * time.Second), Mono: 6 * time.Second}); r.Trusted || !r.Now.Equal(noon.Add(6*time.Second)) {
		t.Errorf("others live and are an hour behind: %+v", r)
	}
}

func TestConcurrentSamplesComeOutOfOrder(t *testing.T) {
	w := newWorld(t)
	w.pass(time.Minute)
	late := w.sample()
	w.pass(10 * time.Second)
	if r := w.k.Take(late); !r.Trusted || r.Now.Before(w.truth) {
		t.Errorf("%+v", r)
	}
}

func TestZeroReadingIsNotTrusted(t *testing.T) {
	if (Reading{}).Trusted || New(Mark{}, "", 0, false).Read(0).Trusted {
		t.Error("trusted before anything was read")
	}
}

func TestPeersAgree(t *testing.T) {
	jump := noon.Add(time.Hour)
	var p Peers
	beat := func(mono time.Duration, wall time.Time, views ...View) {
		for i := range views {
			views[i].Beat, views[i].Wall = int64(mono), wall
		}
		p.Hear(views, mono)
	}
	a, b, c := View{Host: "a"}, View{Host: "b"}, View{Host: "c", Skew: time.Minute}
	beat(0, noon, a, b, c)
	if p.Lives("a", 0) || p.Agree(noon, 0) {
		t.Error("who was read once may be dead")
	}
	beat(5*time.Second, noon.Add(5*time.Second), a, b, c)
	if !p.Lives("a", 5*time.Second) || !p.Agree(noon.Add(6*time.Second), 6*time.Second) {
		t.Error("two of three have the time")
	}
	if p.Agree(jump, 6*time.Second) {
		t.Error("they vouch for what they have not seen")
	}
	beat(10*time.Second, jump.Add(10*time.Second), View{Host: "a", Skew: -time.Hour}, View{Host: "b"}, View{Host: "c", Skew: -time.Hour})
	if p.Agree(jump.Add(10*time.Second), 10*time.Second) {
		t.Error("one vouches, two have another time")
	}
	beat(15*time.Second, jump.Add(15*time.Second), a, b, View{Host: "c", Skew: -time.Hour})
	if !p.Agree(jump.Add(15*time.Second), 15*time.Second) {
		t.Error("two of three vouch for the jump")
	}
	if p.Lives("a", time.Minute) || p.Agree(jump.Add(time.Minute), time.Minute) {
		t.Error("they have been silent")
	}
	d := View{Host: "d", Skew: time.Hour}
	beat(90*time.Second, noon, a, b, c, d)
	beat(91*time.Second, noon, a, b, c, d)
	if p.Agree(noon, 91*time.Second) {
		t.Error("two of four are not more than half")
	}
	beat(2*time.Minute, noon, a)
	beat(2*time.Minute+time.Second, noon, a)
	if p.Agree(noon, 2*time.Minute+time.Second) {
		t.Error("one host is no agreement")
	}
}

// TestRaise: what another replica trusted counts here too, and nothing lowers it.
func TestRaise(t *testing.T) {
	w := newWorld(t)
	w.pass(time.Minute)
	w.wrong = time.Hour
	w.pass(time.Second)
	w.k.Raise(w.truth.Add(time.Hour), w.mono)
	if r := w.pass(time.Second); !r.Trusted || !r.Now.Equal(w.truth.Add(time.Hour)) {
		t.Errorf("after another replica's word: %+v", r)
	}
	w.k.Raise(w.truth, w.mono)
	if r := w.pass(time.Second); !r.Now.Equal(w.truth.Add(time.Hour)) {
		t.Errorf("lowered to %v", r.Now)
	}
}
