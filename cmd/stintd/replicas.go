package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"stint/internal/access"
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

	lack atomic.Pointer[string] // what is missing, or nil
}

// How often the database's settings are read again, and how often a lack is logged.
const (
	protectionEvery = time.Minute
	lackEvery       = time.Hour
)

// admit refuses a start that is one of many, or is said to be, on a database that
// could lose what was acknowledged: an approval, the end of a grant. A single
// replica loses no more than its machine does.
func (p *protection) admit(ctx context.Context) error {
	if p.replica == nil {
		if p.wanted {
			return refuse("not-available", "high availability needs a database that replicas share", "SQLite serves one process", "set database to a postgres:// URL, or leave high_availability out")
		}
		return nil
	}
	others, err := p.store.Living(ctx)
	if err != nil || others == 0 && !p.wanted {
		return err
	}
	no := p.store.Protected(ctx)
	var lack *access.Error
	switch {
	case no == nil || !errors.As(no, &lack) || lack.Kind != access.Invalid:
		return no
	case !p.accepted:
		return lack.Try("set synchronous_commit = on and synchronous_standby_names on the database (docs/operations/postgresql.md); " +
			"or accept the loss with accept_unprotected_commits, which is said everywhere")
	}
	p.note(lack)
	return nil
}

// note remembers what is missing; nil if nothing is.
func (p *protection) note(lack *access.Error) {
	if lack == nil {
		p.lack.Store(nil)
		return
	}
	text := lack.Message + ": " + lack.Why
	if old := p.lack.Swap(&text); old == nil || *old != text {
		p.log.Error("COMMITS ARE NOT PROTECTED", "what", lack.Message, "why", lack.Why)
	}
}

// caution is what /readyz, `stint status` and the numbers say; empty when all is well.
func (p *protection) caution() string {
	if lack := p.lack.Load(); lack != nil {
		return *lack
	}
	return ""
}

// watch looks again until ctx ends. What was in order at the start may be lost
// later, with a standby or by a change of settings. Then nothing stops: to end
// access is worth more than what could be lost. It is said, loudly.
func (p *protection) watch(ctx context.Context) {
	said := time.Now()
	for {
		pause(ctx, protectionEvery)
		if ctx.Err() != nil {
			return
		}
		if !p.wanted && p.replica.Others() == 0 {
			p.note(nil)
			continue
		}
		var lack *access.Error
		if no := p.store.Protected(ctx); no != nil && (!errors.As(no, &lack) || lack.Kind != access.Invalid) {
			continue // the database is away, which others say
		}
		p.note(lack)
		if lack != nil && time.Since(said) >= lackEvery {
			said = time.Now()
			p.log.Error("COMMITS ARE STILL NOT PROTECTED", "what", lack.Message, "why", lack.Why)
		}
	}
}
