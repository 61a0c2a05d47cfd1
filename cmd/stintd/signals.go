package main

import (
	"context"
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
	poll := func(i policy.Integration) error {
		login, err := p.broker.OpenLogin(ctx, i, i.Credential)
		if err != nil {
			return err
		}
		return r.Poll(ctx, outside, i, string(login.Secret.Reveal()))
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		set, err := p.broker.Documents(ctx)
		if err != nil {
			continue // the store is away, and others say so
		}
		for _, i := range set.Integrations() {
			if !provision.Polled(i) {
				continue
			}
			if err := poll(i); err != nil && ctx.Err() == nil {
				log.Warn("security events could not be fetched; the next try is in a minute", "integration", i.Name, "cause", err)
			}
		}
	}
}
