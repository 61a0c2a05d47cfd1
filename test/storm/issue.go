package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
)

// issue measures the way from asking to the shown credential, without the doors,
// on targets that take no time.
func (s *storm) issue(ctx context.Context) (err error) {
	h, err := newHouse(ctx, s.store, 4, 0, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	if err := h.start(ctx); err != nil {
		return err
	}
	stop, err := s.profiled()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, clients := range []int{1, s.clients} {
		if _, err := h.repeat(ctx, clients, s.calls/4, nil); err != nil {
			return err
		}
		used, began := cpuTime(), time.Now()
		objects, bytes := allocated()
		all, err := h.repeat(ctx, clients, s.calls, nil)
		if err != nil {
			return err
		}
		n := float64(len(all))
		o, b := allocated()
		name := fmt.Sprintf("issue, %d clients: ", clients)
		s.figure(name+"grants", n/time.Since(began).Seconds(), "/s", "", false)
		s.figure(name+"p50", float64(quantile(all, 0.5).Microseconds())/1000, "ms", "", false)
		s.figure(name+"p99", float64(quantile(all, 0.99).Microseconds())/1000, "ms", "", false)
		s.figure(name+"processor time for each", float64((cpuTime()-used).Microseconds())/1000/n, "ms", "", false)
		s.figure(name+"allocations for each", float64(o-objects)/n, "", "", false)
		s.figure(name+"allocated for each", float64(b-bytes)/n/1024, "KiB", "", false)
	}
	return nil
}

// repeat lets clients obtain access over and over; given, if not nil, is told of
// each grant.
func (h *house) repeat(ctx context.Context, clients int, d time.Duration, given func(broker.View)) ([]time.Duration, error) {
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	var wg sync.WaitGroup
	began := time.Now()
	for c := range clients {
		wg.Go(func() {
			for n := 0; time.Since(began) < d && ctx.Err() == nil; n++ {
				at := time.Now()
				v, err := h.obtain(ctx, 1+c%(people-1), (c+n)%len(h.names), time.Hour)
				mu.Lock()
				all = append(all, time.Since(at))
				failed = errors.Join(failed, err)
				stop := failed != nil
				mu.Unlock()
				if stop {
					return
				}
				if given != nil {
					given(v)
				}
			}
		})
	}
	wg.Wait()
	return all, failed
}

// obtain asks, waits until the access is there and takes the credential.
func (h *house) obtain(ctx context.Context, who, place int, d time.Duration) (broker.View, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	c := h.caller(who)
	v, err := h.broker.Submit(ctx, c, h.ask(place, d))
	if err != nil {
		return v, err
	}
	v, err = h.broker.Wait(ctx, c, string(v.Request.ID), func(v broker.View) bool { return v.Grant != nil && v.Grant.State != access.Provisioning })
	if err != nil {
		return v, err
	}
	if v.Grant == nil || v.Grant.State != access.Active {
		return v, fmt.Errorf("%s did not become active: %s", v.Request.ID, v.Problem)
	}
	_, err = h.broker.Credential(ctx, c, string(v.Request.ID))
	return v, err
}
