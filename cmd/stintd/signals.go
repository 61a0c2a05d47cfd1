package main

import (
	"context"
	"log/slog"
	"time"

	"stint/internal/egress"
	"stint/internal/policy"
	"stint/internal/provision"
	"stint/internal/signals"
)

// pollEvery is how often security events are fetched that were not pushed.
const pollEvery = time.Minute

// pollSignals fetches security events until ctx is done. Each replica does: an event is
// dealt with once, whoever fetches it.
func (p *process) pollSignals(ctx context.Context) {
	log, outside := p.log.With("part", "signals"), egress.New(p.settings.egress).HTTP()
	r := provision.Receiver{Store: forProvisioning(p.store), Ender: p.broker, Keys: &signals.Keys{HTTP: outside, Now: time.Now}, Now: time.Now, Log: log}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	poller{
		tick: tick.C,
		log:  log,
		documents: func(ctx context.Context) ([]policy.Integration, error) {
			set, err := p.broker.Documents(ctx)
			if err != nil {
				return nil, err
			}
			return set.Integrations(), nil
		},
		poll: func(ctx context.Context, i policy.Integration) error {
			login, err := p.broker.OpenLogin(ctx, i, i.Credential)
			if err != nil {
				return err
			}
			return r.Poll(ctx, outside, i, string(login.Secret.Reveal()))
		},
	}.run(ctx)
}

// poller asks whom events are to be fetched from, at each tick.
type poller struct {
	tick      <-chan time.Time
	documents func(context.Context) ([]policy.Integration, error)
	poll      func(context.Context, policy.Integration) error
	log       *slog.Logger
}

// run goes on until ctx is done. One transmitter that fails keeps no other from being
// asked.
func (p poller) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.tick:
		}
		all, err := p.documents(ctx)
		if err != nil {
			continue // the store is away, and others say so
		}
		for _, i := range all {
			if !provision.Polled(i) {
				continue
			}
			if err := p.poll(ctx, i); err != nil && ctx.Err() == nil {
				p.log.Warn("security events could not be fetched; the next try is in a minute", "integration", i.Name, "cause", err)
			}
		}
	}
}
