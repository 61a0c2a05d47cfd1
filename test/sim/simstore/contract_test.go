package simstore_test

import (
	"context"
	"testing"
	"time"

	"stint/internal/broker"
	"stint/internal/store/storetest"
	"stint/test/sim/simstore"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Store { return contract(simstore.New(time.Now)) })
}

func TestContractClock(t *testing.T) {
	storetest.RunClock(t, func(_ *testing.T, now func() time.Time) storetest.Store { return contract(simstore.New(now)) })
}

// contract is a store as the suite wants it.
func contract(s *simstore.Store) storetest.Store {
	with := func(run func(context.Context, func(broker.Tx) error) error) func(context.Context, func(storetest.Tx) error) error {
		return func(ctx context.Context, fn func(storetest.Tx) error) error {
			return run(ctx, func(tx broker.Tx) error { return fn(tx.(*simstore.Tx)) })
		}
	}
	return storetest.Store{Update: with(s.Update), View: with(s.View)}
}
