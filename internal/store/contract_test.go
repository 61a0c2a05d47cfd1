//go:build unix

package store_test

import (
	"context"
	"testing"
	"time"

	"stint/internal/store"
	"stint/internal/store/storetest"
)

func TestContract(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		storetest.Run(t, func(t *testing.T) storetest.Store {
			fresh := sqliteDatabase
			if d.name == "postgres" {
				fresh = postgresDatabase
			}
			return contract(fresh(t).open(t))
		})
	})
}

// What ends access shares transactions on PostgreSQL; whoever asks cannot tell.
func TestContractOfEnds(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store {
		s := postgresDatabase(t).open(t)
		return storetest.Of(func(ctx context.Context, fn func(*store.Tx) error) error { return s.UpdateEnds(ctx, 1, fn) }, s.ViewEnds)
	})
}

func TestContractClock(t *testing.T) {
	storetest.RunClock(t, func(t *testing.T, now func() time.Time) storetest.Store {
		d := sqliteDatabase(t)
		d.cfg.Clock = now
		return contract(d.open(t))
	})
}

// contract is a store as the suite wants it.
func contract(s *store.Store) storetest.Store { return storetest.Of(s.Update, s.View) }
