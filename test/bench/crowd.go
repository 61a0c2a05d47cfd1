package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

// crowd has one person send a thousand requests a second through the doors, with the
// limits that people have, while others read, ask and are revoked. What they see is put
// beside the same without the flood.
func (b *bench) crowd(ctx context.Context) (err error) {
	b.say("a target and stintd on %s, with its limits, and people", b.store)
	o := b.options
	s, err := newSceneWith(ctx, o, "log: {level: warn}\n")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	calm, err := b.others(ctx, s)
	if err != nil {
		return err
	}
	b.say("one person sends %d requests a second", flooded)
	flood, stop := context.WithCancel(ctx)
	var f flooding
	var all sync.WaitGroup
	f.run(flood, &all, s.callers[0])
	began := time.Now()
	wild, err := b.others(ctx, s)
	spent := time.Since(began)
	stop()
	all.Wait()
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s/s of one person (%.0f sent, %.0f taken): ", group(flooded), float64(f.sent.Load())/spent.Seconds(), float64(f.taken.Load())/spent.Seconds())
	for _, x := range []struct {
		what       string
		calm, wild sample
		goal       time.Duration
	}{
		{"another's read", calm.reads, wild.reads, time.Second},
		{"another's request → credential", calm.requests, wild.requests, time.Second},
		{"another's revocation → session cut", calm.cuts, wild.cuts, time.Second},
	} {
		b.add(row{name: name + x.what + " p50 / p99", n: group(len(x.wild)), bare: "calm " + pair(x.calm), stint: pair(x.wild),
			ratio: fmt.Sprintf("%.1f", x.wild.p99().Seconds()/x.calm.p99().Seconds()), goal: "p99 ≤ " + x.goal.String(), met: reached(x.wild.p99() <= x.goal)})
	}
	return nil
}

// flooded is how many requests a second the one person sends.
const flooded = 1000

// senders send at a time.
const senders = 64

// flooding counts what is sent, and what was not refused.
type flooding struct{ sent, taken atomic.Int64 }

// run sends at a steady pace, whatever comes back: half are reads, half requests.
func (f *flooding) run(ctx context.Context, all *sync.WaitGroup, c *api.Client) {
	// No second try when it is told to slow down, and a connection for each that sends.
	wild := &api.Client{Server: c.Server, Device: c.Device, Token: c.Token, UserAgent: "bench", Patience: -1,
		HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}}
	due := make(chan int, flooded)
	all.Go(func() {
		defer close(due)
		began, n := time.Now(), 0
		for ctx.Err() == nil {
			for want := int(time.Since(began).Seconds() * flooded); n < want; n++ {
				select {
				case due <- n:
				default: // as many as can wait do
				}
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
	for range senders {
		all.Go(func() {
			for n := range due {
				var err error
				if n%2 == 0 {
					_, err = wild.Whoami(ctx)
				} else {
					_, err = wild.Submit(ctx, api.Ask{Resource: resource, Role: quick, Duration: "5m", Reason: "flood"}, api.Wait{})
				}
				f.sent.Add(1)
				if err == nil {
					f.taken.Add(1)
				}
				if ctx.Err() != nil {
					return
				}
			}
		})
	}
}

// lot is what the others met.
type lot struct{ reads, requests, cuts sample }

// others read, ask, and are revoked while a session of theirs is open.
func (b *bench) others(ctx context.Context, s *scene) (x lot, err error) {
	until := time.Now().Add(time.Duration(b.rounds) * 3 * b.round)
	for i := 0; time.Now().Before(until); i++ {
		c := s.callers[1+i%(people-1)]
		began := time.Now()
		if _, err := c.Whoami(ctx); err != nil {
			return x, err
		}
		x.reads = append(x.reads, time.Since(began))
		began = time.Now()
		g, err := obtain(ctx, c, quick)
		if err != nil {
			return x, err
		}
		x.requests = append(x.requests, time.Since(began))
		open, err := s.connect(ctx, g.credential.Username, g.credential.Password.Reveal())
		if err != nil {
			return x, err
		}
		began = time.Now()
		if _, err := c.End(ctx, g.request); err != nil {
			return x, err
		}
		select {
		case at := <-open.cut:
			x.cuts = append(x.cuts, at.Sub(began))
		case <-time.After(time.Minute):
			return x, errors.New("a session is still open a minute after its end")
		case <-ctx.Done():
			return x, ctx.Err()
		}
		_ = open.conn.Close() // cut
	}
	return x, nil
}

// newSceneWith is a scene whose server has a configuration of its own.
func newSceneWith(ctx context.Context, o options, config string) (*scene, error) {
	st, err := stage.Open(ctx, stage.Options{Bin: o.bin, Store: o.store, Fsync: true, Config: config})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(st.Credential(ctx, "orders-connector"), st.Documents(ctx, documents)); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return populate(ctx, st)
}
