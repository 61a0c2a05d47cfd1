package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"stint/internal/api"
)

// issue measures the way from a request to a credential that works, granted by
// policy alone, beside the statement that makes the account.
func (b *bench) issue(ctx context.Context, s *scene) error {
	for _, iterations := range b.iterations {
		role := steady
		if iterations == 1 {
			role = quick
		}
		for _, clients := range b.clients {
			without, with, err := b.takeTurns(ctx, s, role, iterations, clients)
			if err != nil {
				return err
			}
			b.addIssue(iterations, clients, without, with)
		}
	}
	return nil
}

// takeTurns does rounds of both sides, after one of each that does not count.
func (b *bench) takeTurns(ctx context.Context, s *scene, role string, iterations, clients int) (without, with work, err error) {
	side, err := s.bare(ctx, clients)
	if err != nil {
		return without, with, err
	}
	defer func() { err = errors.Join(err, side.close()) }()
	for i := range b.rounds + 1 {
		d := b.round
		if i == 0 {
			d = b.round / 4
		}
		w, err := b.bareRound(ctx, side, i, iterations, clients, d)
		if err != nil {
			return without, with, fmt.Errorf("bare: %w", err)
		}
		g, err := b.stintRound(ctx, s, role, clients, d)
		if err != nil {
			return without, with, err
		}
		if i > 0 {
			without.join(w)
			with.join(g)
		}
	}
	return without, with, nil
}

func (b *bench) bareRound(ctx context.Context, side *bare, round, iterations, clients int, d time.Duration) (work, error) {
	names := make([][]string, clients)
	used := cpu(os.Getpid())
	w, err := repeat(ctx, clients, d, func(ctx context.Context, c, n int) error {
		name := fmt.Sprintf("bare_%d_%d_%d", round, c, n)
		names[c] = append(names[c], name)
		_, err := side.create(ctx, c, name, iterations)
		return err
	})
	w.cpu = cpu(os.Getpid()) - used
	if err != nil {
		return w, err
	}
	for _, some := range names {
		if err := side.drop(ctx, some); err != nil {
			return w, err
		}
	}
	return w, nil
}

func (b *bench) stintRound(ctx context.Context, s *scene, role string, clients int, d time.Duration) (work, error) {
	used := cpu(s.Pid())
	w, err := repeat(ctx, clients, d, func(ctx context.Context, c, _ int) error {
		_, err := obtain(ctx, s.callers[c%people], role)
		return err
	})
	w.cpu = cpu(s.Pid()) - used
	if err != nil {
		return w, err
	}
	return w, s.clear(ctx)
}

// obtain asks for access and returns when the credential is open on the device.
func obtain(ctx context.Context, c *api.Client, role string) (got, error) {
	r, err := c.Submit(ctx, api.Ask{Resource: resource, Role: role, Duration: "1h", Reason: "measure"},
		api.Wait{For: api.Ready, Time: 25 * time.Second})
	if err != nil {
		return got{}, err
	}
	return show(ctx, c, r)
}

// got is a grant with its credential.
type got struct {
	request    string
	end        time.Time
	credential api.Credential
}

func show(ctx context.Context, c *api.Client, r api.Request) (got, error) {
	if r.Grant == nil || r.Grant.State != api.GrantActive {
		return got{}, fmt.Errorf("the request %s did not become a grant: %s %+v", r.ID, r.State, r.Grant)
	}
	cred, err := c.Credential(ctx, r.ID)
	if err != nil {
		return got{}, err
	}
	if cred.Username == "" || cred.Password == "" {
		return got{}, errors.New("the credential is empty")
	}
	return got{r.ID, r.Grant.ExpiresAt.Time, cred}, nil
}

// addIssue puts a pair of sides into the table, with the goals there are.
func (b *bench) addIssue(iterations, clients int, without, with work) {
	name := fmt.Sprintf("%s iterations, %d clients", group(iterations), clients)
	n := fmt.Sprintf("%s + %s", group(len(without.times)), group(len(with.times)))
	latency := row{name: name + ": p50 / p99", n: n, bare: pair(without.times), stint: pair(with.times), ratio: times(with.times.p50(), without.times.p50())}
	if iterations == 4096 && clients == 1 {
		latency.goal, latency.met = "p50 ≤ 1.6 × bare", reached(float64(with.times.p50()) <= 1.6*float64(without.times.p50()))
	}
	b.add(latency)
	rate := row{name: name + ": accounts/s", n: n, bare: fmt.Sprintf("%.0f/s", without.rate()), stint: fmt.Sprintf("%.0f/s", with.rate()),
		ratio: fmt.Sprintf("%.2f", with.rate()/without.rate())}
	switch {
	case iterations == 4096 && clients == 32:
		rate.goal, rate.met = "≥ 0.75 × bare", reached(with.rate() >= 0.75*without.rate())
	case iterations == 1 && clients == 32 && b.store == "sqlite":
		rate.goal, rate.met = "≥ 600/s", reached(with.rate() >= 600)
	}
	b.add(rate)
	b.say("   processor time of stintd: %.2f ms for each grant", float64(with.cpu.Microseconds())/1000/float64(len(with.times)))
}
