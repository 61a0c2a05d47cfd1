package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/store"
)

// protection watches whether commits that were acknowledged survive the loss of
// the database server, wherever replicas share it.
type protection struct {
	store    *store.Store
	replica  *store.Replica // nil with SQLite
	wanted   bool           // high availability is set
	accepted bool           // of commits that are not protected
	log      *slog.Logger

	lack atomic.Pointer[access.Error] // what is missing, or nil
	held bool                         // it was missing at the start: nothing new is granted until it is there
}

// How often the database's settings are read again, while new grants wait for them
// and otherwise, and how often a lack is logged.
const (
	protectionHeld  = time.Second
	protectionEvery = time.Minute
	lackEvery       = time.Hour
)

// holdCommits names the hold of a start without protection.
const holdCommits = "commits-unprotected"

// admit looks at a start that is one of many, or is said to be, on a database that
// could lose what was acknowledged: an approval, the end of a grant. It is refused
// where nothing was ever granted. Where something was, it may have to end, and what
// no row is left of may have to be swept: then the process starts and grants nothing
// new. A single replica loses no more than its machine does.
func (p *protection) admit(ctx context.Context) error {
	if p.replica == nil {
		if p.wanted {
			return refuse("not-available", "high availability needs a database that replicas share", "SQLite serves one process", "set database to a postgres:// URL, or leave high_availability out")
		}
		return nil
	}
	lack, err := p.look(ctx)
	if err != nil {
		return err
	}
	if lack != nil && !p.accepted {
		if granted, err := p.granted(ctx); err != nil || !granted {
			return errors.Join(err, lack)
		}
		p.held = true
	}
	p.note(lack)
	return nil
}

// granted reports whether anything was ever granted.
func (p *protection) granted(ctx context.Context) (yes bool, err error) {
	err = p.store.View(ctx, func(tx *store.Tx) error {
		es, err := tx.Entitlements(access.EntitlementQuery{Limit: 1})
		yes = len(es) > 0
		return err
	})
	return yes, err
}

// look says what is missing now; nil where nothing is, or nothing needs to be there.
func (p *protection) look(ctx context.Context) (lack *access.Error, err error) {
	if !p.wanted {
		if others, err := p.store.Others(ctx); err != nil || others == 0 {
			return nil, err
		}
	}
	err = p.store.Protected(ctx)
	if errors.As(err, &lack) && lack.Kind == access.Invalid {
		return lack.Try("set synchronous_commit = on and synchronous_standby_names on the database (docs/operations/postgresql.md); " +
			"or accept the loss with accept_unprotected_commits, which is said everywhere"), nil
	}
	return nil, err
}

// note remembers what is missing; nil if nothing is.
func (p *protection) note(lack *access.Error) {
	old := p.lack.Swap(lack)
	if lack != nil && (old == nil || old.Why != lack.Why) {
		p.log.Error("COMMITS ARE NOT PROTECTED", "what", lack.Message, "why", lack.Why)
	}
}

// caution is what /readyz, `stint status` and the numbers say; empty when all is well.
func (p *protection) caution() string {
	if lack := p.lack.Load(); lack != nil {
		return lack.Message + ": " + lack.Why
	}
	return ""
}

// hold is why nothing new is granted; its zero value where that is no more.
func (p *protection) hold() broker.Hold {
	if lack := p.lack.Load(); p.held && lack != nil {
		return broker.Hold{Why: p.caution(), Next: lack.Next}
	}
	return broker.Hold{}
}

// watch looks again until ctx ends, and lets grants go on that waited since the
// start. What was in order then may be lost later, with a standby or by a change of
// settings. Then nothing stops: the decisions of an hour ago are as much at risk as
// the next one. It is said, loudly.
func (p *protection) watch(ctx context.Context, b *broker.Broker) {
	said := time.Now()
	for ctx.Err() == nil {
		if p.held {
			pause(ctx, protectionHeld)
		} else {
			pause(ctx, protectionEvery)
		}
		lack, err := p.look(ctx)
		if err != nil {
			continue // the database is away, which others say
		}
		p.note(lack)
		b.SetHold(holdCommits, p.hold())
		p.held = p.held && lack != nil
		if lack != nil && time.Since(said) >= lackEvery {
			said = time.Now()
			p.log.Error("COMMITS ARE STILL NOT PROTECTED", "what", lack.Message, "why", lack.Why)
		}
	}
}
