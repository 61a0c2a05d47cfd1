package main

import (
	"context"
	"io"
	"time"

	"stint/internal/apiserver"
	"stint/internal/broker"
	"stint/internal/credential"
	"stint/internal/ident"
	"stint/internal/provision"
	"stint/internal/siem"
	"stint/internal/store"
)

// storeAs is the store in the shape that a package declares for itself. The
// packages do not know each other; here they meet.
type storeAs[T any] struct {
	store *store.Store
	tx    func(*store.Tx) T
}

func (s storeAs[T]) Update(ctx context.Context, fn func(T) error) error {
	return s.store.Update(ctx, func(tx *store.Tx) error { return fn(s.tx(tx)) })
}

func (s storeAs[T]) View(ctx context.Context, fn func(T) error) error {
	return s.store.View(ctx, func(tx *store.Tx) error { return fn(s.tx(tx)) })
}

func forBroker(s *store.Store) broker.Store { return brokerStore{s} }

// brokerStore lets what ends access go first, and persons take turns.
type brokerStore struct{ store *store.Store }

func (s brokerStore) Update(ctx context.Context, fn func(broker.Tx) error) error {
	do := func(tx *store.Tx) error { return fn(tx) }
	if things, ends := broker.Ending(ctx); ends {
		return s.store.UpdateEnds(ctx, things, do)
	}
	return s.store.Update(store.OnBehalf(ctx, string(broker.Behalf(ctx))), do)
}

func (s brokerStore) View(ctx context.Context, fn func(broker.Tx) error) error {
	do := func(tx *store.Tx) error { return fn(tx) }
	if _, ends := broker.Ending(ctx); ends {
		return s.store.ViewEnds(ctx, do)
	}
	return s.store.View(store.OnBehalf(ctx, string(broker.Behalf(ctx))), do)
}

func forIdent(s *store.Store) ident.Store {
	return storeAs[ident.Tx]{s, func(tx *store.Tx) ident.Tx { return tx }}
}

func forProvisioning(s *store.Store) provision.Store {
	return storeAs[provision.Tx]{s, func(tx *store.Tx) provision.Tx { return tx }}
}

func forLogins(s *store.Store) credential.Store {
	return storeAs[credential.Tx]{s, func(tx *store.Tx) credential.Tx { return tx }}
}

// auditLog is the store's log for the doors.
type auditLog struct{ store *store.Store }

func (a auditLog) Records(ctx context.Context, q apiserver.LogQuery) ([]apiserver.LogRecord, error) {
	recs, err := a.store.Records(ctx, logQuery(q))
	out := make([]apiserver.LogRecord, len(recs))
	for i, r := range recs {
		out[i] = apiserver.LogRecord{Seq: r.Seq, Encoded: r.Body}
	}
	return out, err
}

// logQuery is a query as the store has it.
func logQuery(q apiserver.LogQuery) store.LogQuery {
	return store.LogQuery{After: q.After, Limit: q.Limit, Type: q.Type, Entity: q.Entity, Kind: q.Kind, Person: q.Person, Resource: q.Resource, Since: q.Since, Until: q.Until,
		Before: q.Before, Look: q.Look, Where: q.Where}
}

func (a auditLog) Search(ctx context.Context, q apiserver.LogQuery) ([]apiserver.LogRecord, int64, error) {
	f, err := a.store.Search(ctx, logQuery(q))
	out := make([]apiserver.LogRecord, len(f.Records))
	for i, x := range f.Records {
		out[i] = apiserver.LogRecord{Seq: x.Seq, Encoded: x.Body}
	}
	return out, f.Next, err
}

func (a auditLog) Tally(ctx context.Context, q apiserver.LogQuery, steps int) (apiserver.LogTally, error) {
	t, err := a.store.Tally(ctx, logQuery(q), steps)
	return apiserver.LogTally(t), err
}

func (a auditLog) Prove(ctx context.Context, seq int64) (apiserver.LogProof, error) {
	p, err := a.store.Prove(ctx, seq)
	return apiserver.LogProof{Record: apiserver.LogRecord{Seq: p.Record.Seq, Encoded: p.Record.Body}, Proof: p.Proof, Checkpoint: p.Head.Checkpoint}, err
}

func (a auditLog) Wait(ctx context.Context, after int64) error { return wait(ctx, a.store, after) }

func (a auditLog) Settle(ctx context.Context) error { return a.store.Settle(ctx) }

func (a auditLog) Head(ctx context.Context) (int64, []byte, error) {
	h, err := a.store.Head(ctx)
	return h.Size, h.Checkpoint, err
}

func (a auditLog) Export(ctx context.Context, w io.Writer) error { return a.store.Export(ctx, w) }

func (a auditLog) Lag(ctx context.Context) (int64, time.Duration, error) {
	n, oldest, err := a.store.Unsequenced(ctx)
	if err != nil || n == 0 {
		return 0, 0, err
	}
	return n, time.Since(oldest), nil
}

// auditSource is the store's log for the sinks.
type auditSource struct{ store *store.Store }

func (a auditSource) Records(ctx context.Context, after int64, limit int) ([]siem.Record, error) {
	recs, err := a.store.Records(ctx, store.LogQuery{After: after, Limit: limit})
	out := make([]siem.Record, len(recs))
	for i, r := range recs {
		out[i] = siem.Record{Seq: r.Seq, Encoded: r.Body}
	}
	return out, err
}

func (a auditSource) Wait(ctx context.Context, after int64) error { return wait(ctx, a.store, after) }

// wait tells that ctx is done from that the store is down.
func wait(ctx context.Context, s *store.Store, after int64) error {
	_, err := s.Wait(ctx, after)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
