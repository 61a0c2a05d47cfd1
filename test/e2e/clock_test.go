//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

// bent is a stage whose stintd has a clock that the test sets.
type bent struct {
	t    *testing.T
	file string
}

// withBentClock replaces the stage of the other tests until this one ends. stintd
// is built for it: the one that is released has no such clock.
func withBentClock(t *testing.T) bent {
	t.Helper()
	bin := t.TempDir()
	build := exec.Command("go", "build", "-tags", "stintclock", "-o", bin+"/", "./cmd/stint", "./cmd/stintd")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b := bent{t, filepath.Join(bin, "clock")}
	b.set(0)
	t.Setenv("STINT_TEST_CLOCK", b.file)
	store := os.Getenv("STORE")
	if store == "" {
		store = "sqlite"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s, err := stage.Open(ctx, stage.Options{Bin: bin, Store: store}, "mira", "noor", "omar")
	must(t, err)
	others := set
	set = s
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.LogTail(40))
		}
		set = others
		must(t, s.Close())
	})
	must(t, people(ctx))
	must(t, s.Enrol(ctx, "ada", "--admin"))
	b.restart(0) // from here on monotonic time bounds the clock, however young this machine is
	return b
}

func (b bent) set(ahead time.Duration) {
	b.t.Helper()
	next := b.file + ".next"
	must(b.t, os.WriteFile(next, []byte(ahead.String()), 0o600))
	must(b.t, os.Rename(next, b.file))
}

// restart stops stintd, sets the clock and starts it.
func (b bent) restart(ahead time.Duration) {
	b.t.Helper()
	must(b.t, set.Stop())
	b.set(ahead)
	must(b.t, set.Start(b.t.Context()))
}

// refuses waits until nothing new is granted, and checks that it says why.
func (b bent) refuses(what string) {
	b.t.Helper()
	res := set.As("noor").Run(b.t.Context(), "request", "orders-db", "--as", "reader", "--for", "1m", "--why", "while the clock is wrong")
	if res.Code != 69 || !strings.Contains(res.Err, "clock-unsure") || !strings.Contains(res.Err, what) {
		b.t.Errorf("asking: exit %d\n%s\nwant it to say %q", res.Code, res.Err, what)
	}
	resp, err := http.Get(set.URL + "/readyz")
	must(b.t, err)
	defer resp.Body.Close()
	var h api.Health
	must(b.t, json.NewDecoder(resp.Body).Decode(&h))
	if resp.StatusCode != http.StatusOK || !strings.Contains(h.Doubt, what) {
		b.t.Errorf("/readyz: %d %+v", resp.StatusCode, h)
	}
}

// grants asks and gives back at once.
func (b bent) grants() {
	b.t.Helper()
	r := request(b.t, "noor", "reader", time.Minute)
	must(b.t, set.As("noor").Run(b.t.Context(), "end", r.ID, "--wait").Failed())
}

// held is a session under a grant, and between when it should end by this test's own
// monotonic clock.
type held struct {
	id             string
	earliest, last time.Time
	query          func() bool
}

func hold(t *testing.T, d time.Duration) held {
	t.Helper()
	asked := time.Now()
	r := request(t, "mira", "reader", d)
	ready := time.Now()
	c := session(t, "mira", r.ID)
	return held{r.ID, asked.Add(d), ready.Add(d), func() bool {
		var one int
		return c.QueryRowContext(t.Context(), "SELECT 1").Scan(&one) == nil
	}}
}

// endsInTime watches the session to its end, which is neither early nor late.
func (h held) endsInTime(t *testing.T) {
	t.Helper()
	for h.query() {
		if late := time.Since(h.last); late > 20*time.Second {
			t.Fatalf("the session lives %s past its end", late)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if early := time.Until(h.earliest); early > time.Second {
		t.Errorf("the session ended %s early", early)
	}
	must(t, set.As("mira").Run(t.Context(), "wait", h.id, "--for", "ended", "--timeout", "60s").Failed())
}

// TestClockSteps: whatever the clock of a running stintd does, live grants end
// when the time that passes says so, nothing new is granted, and all is well once
// the clock is right. (T-26, I-01, I-35)
func TestClockSteps(t *testing.T) {
	b := withBentClock(t)
	o := oracle(t)
	for _, c := range []struct {
		step time.Duration
		says string
	}{{time.Hour, "1h ahead"}, {10 * 365 * 24 * time.Hour, "3650 days ahead"}, {-time.Hour, "1h behind"}} {
		t.Run(c.step.String(), func(t *testing.T) {
			b.t = t
			h := hold(t, 12*time.Second)
			b.set(c.step)
			b.refuses(c.says)
			if res := set.As("mira").Run(t.Context(), "credentials", h.id); res.Code != 69 {
				t.Errorf("a credential was shown: exit %d\n%s", res.Code, res.Err)
			}
			h.endsInTime(t)
			b.set(0)
			b.grants()
			must(t, o.Clean(t.Context(), 20*time.Second))
		})
	}
	for _, ahead := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(fmt.Sprint("restart at ", ahead), func(t *testing.T) {
			b.t = t
			h := hold(t, 12*time.Second)
			b.restart(ahead)
			b.refuses("clock is 1h ")
			h.endsInTime(t)
			b.set(0)
			b.grants()
			must(t, o.Clean(t.Context(), 20*time.Second))
		})
	}
}

// TestTwoAdministratorsAcceptTheClock: then it is believed, and what its time says
// is over ends.
func TestTwoAdministratorsAcceptTheClock(t *testing.T) {
	b := withBentClock(t)
	o := oracle(t)
	h := hold(t, 30*time.Minute)
	b.set(time.Hour)
	b.refuses("1h ahead")
	accept := func(who string) stage.Result {
		return set.As(who).Run(t.Context(), "admin", "clock", "accept", "--why", "the machine was paused for an hour")
	}
	if res := accept("mira"); res.Code != 3 {
		t.Errorf("a member accepts: exit %d\n%s", res.Code, res.Err)
	}
	must(t, accept("root").Failed())
	if res := accept("root"); res.Code != 6 {
		t.Errorf("the same person twice: exit %d\n%s", res.Code, res.Err)
	}
	b.refuses("1h ahead")
	if !h.query() {
		t.Error("one administrator's word ended a session")
	}
	must(t, accept("ada").Failed())
	must(t, set.As("mira").Run(t.Context(), "wait", h.id, "--for", "ended", "--timeout", "60s").Failed())
	must(t, o.Clean(t.Context(), 20*time.Second))
	b.grants()
	var c api.Clock
	must(t, set.As("root").JSON(t.Context(), &c, "admin", "clock"))
	if !c.Trusted || c.Far {
		t.Errorf("%+v", c)
	}
	must(t, set.As("aud").Run(t.Context(), "audit", "verify").Failed())
}
