package broker_test

import (
	"context"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
)

// barred is a store on which somebody always says to be ending what is due, and
// never does: a replica that hangs, or another user of the database with its lock.
type barred struct{ memory }

type barredTx struct{ broker.Tx }

func (barredTx) MayExpire() (bool, error) { return false, nil }

func (s barred) Update(ctx context.Context, fn func(broker.Tx) error) error {
	return s.memory.Update(ctx, func(tx broker.Tx) error { return fn(barredTx{tx}) })
}

func (s barred) View(ctx context.Context, fn func(broker.Tx) error) error {
	return s.memory.View(ctx, func(tx broker.Tx) error { return fn(barredTx{tx}) })
}

// TestNobodyKeepsTimeFromEnding: who says to be ending what is due is believed for
// two seconds, not for ever.
func TestNobodyKeepsTimeFromEnding(t *testing.T) {
	t.Parallel()
	in := newInstallationOn(t, func(s memory) broker.Store { return barred{s} })
	v := in.hold("mira", "reader", time.Second)
	v = in.until("mira", string(v.Request.ID), access.Ended)
	if late := v.Grant.EndedAt.Sub(v.Grant.ExpiresAt); late > 20*time.Second {
		t.Errorf("it ended %s late", late)
	}
}
