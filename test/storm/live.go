package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// live fills a store with ever more live grants and looks each time at a start:
// how soon something that is due is revoked, and how much memory it takes. The
// measured process is another one, so that what filling took does not count.
func (s *storm) live(ctx context.Context) (err error) {
	h, err := newHouse(ctx, s.store, s.places, s.delay, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	have, base := 0, 0.0
	for i, n := range s.options.live {
		if err := h.refill(ctx, n-have); err != nil {
			return err
		}
		have = n
		s.say("%s live grants", group(n))
		first, rest, most, err := s.startAgain(ctx, h)
		if err != nil {
			return err
		}
		name := group(n) + " live grants: "
		s.figure(name+"start to first revocation", first, "s", "<= 5 s", first <= 5)
		s.figure(name+"memory after half a minute", rest, "MB", "", false)
		s.figure(name+"most memory until then", most, "MB", "", false)
		if i == 0 {
			base = rest
			continue
		}
		s.figure(name+"memory, ratio to "+group(s.options.live[0]), rest/base, "x", "<= 1.1", rest <= 1.1*base)
	}
	return nil
}

// restAfter is when memory is looked at: the first sweep is over, and so is the
// read-ahead.
const restAfter = 30 * time.Second

// refill opens the store, adds live grants and one for each place that is over,
// and closes it.
func (h *house) refill(ctx context.Context, n int) error {
	if h.store == nil {
		if err := h.open(ctx); err != nil {
			return err
		}
	}
	if err := h.fill(ctx, n, 0, len(h.names)-1, time.Now().Add(7*time.Hour).Truncate(time.Second), false); err != nil {
		return err
	}
	if err := h.fill(ctx, len(h.names), 0, len(h.names)-1, time.Now().Add(3*time.Second).Truncate(time.Millisecond), false); err != nil {
		return err
	}
	time.Sleep(4 * time.Second)
	err := h.store.Close()
	h.store, h.broker = nil, nil
	return err
}

// startAgain runs this program as the process to be measured, on the store.
func (s *storm) startAgain(ctx context.Context, h *house) (first, rest, most float64, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, 0, 0, err
	}
	cmd := exec.CommandContext(ctx, self, "-measured", h.dir, "-places", strconv.Itoa(s.places), "-delay", s.delay.String())
	cmd.Env = append(os.Environ(), "STORM_DATABASE="+h.config.URL)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, 0, 0, err
	}
	_, err = fmt.Sscan(strings.TrimSpace(string(out)), &first, &rest, &most)
	return first, rest, most, err
}

// asMeasured is that process: it starts on a store that another filled and says
// how long the first revocation took, and its memory.
func (s *storm) asMeasured(ctx context.Context, dir string) (err error) {
	stop, err := s.profiled()
	if err != nil {
		return err
	}
	began := time.Now()
	h, err := reopened(ctx, dir, os.Getenv("STORM_DATABASE"), s.places, s.delay)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.store.Close()) }()
	if err := h.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.stop()) }()
	if err := until(ctx, "the first revocation", time.Millisecond, 2*time.Minute, func() bool { return len(h.broker.Stats().Lags) > 0 }); err != nil {
		return err
	}
	first := time.Since(began)
	if err := stop(); err != nil {
		return err
	}
	var most, rest float64
	for time.Since(began) < restAfter {
		rest = resident()
		most = max(most, rest)
		time.Sleep(100 * time.Millisecond)
	}
	_, err = fmt.Printf("%f %f %f\n", first.Seconds(), rest, most)
	return err
}
