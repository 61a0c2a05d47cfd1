//go:build unix

package store_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/store"
)

// TestExchanges: a token is good for the device that showed it first, of many at once
// for one, and is forgotten when it has expired.
func TestExchanges(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := d.open(t)
		ctx := t.Context()
		until := time.Now().Add(time.Hour)
		const ok = "taken"
		use := func(token, device string, until time.Time) string {
			err := s.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error { return tx.UseExchange(sum(token), access.DeviceID(device), until) })
			if err == nil {
				return ok
			}
			return access.KindOf(err).String()
		}
		used := access.Conflict.String()
		for i, x := range []struct {
			token, device string
			want          string
		}{{"a", "d1", ok}, {"a", "d1", ok}, {"a", "d2", used}, {"a", "", used}, {"a", "d1", ok}, {"b", "", ok}, {"b", "", used}, {"b", "d1", used}} {
			if got := use(x.token, x.device, until); got != x.want {
				t.Errorf("%d: %s by %q: %s", i, x.token, x.device, got)
			}
		}
		var won atomic.Int64
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if use("race", string(rune('a'+i)), until) == ok {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d of 8 devices have one token", won.Load())
		}
		if got := use("old", "", time.Now().Add(-time.Hour)); got != ok {
			t.Fatal(got)
		}
		if err := s.Prune(ctx); err != nil {
			t.Fatal(err)
		}
		if got := use("old", "", until); got != ok {
			t.Errorf("what has expired is kept: %s", got)
		}
		if got := use("b", "", until); got != used {
			t.Errorf("what has not is forgotten: %s", got)
		}

		login := func(token string, kind access.LoginKind, lasts time.Duration) access.Login {
			return access.Login{Token: sum(token), Principal: "service:ci", Kind: kind, Exchange: &access.Exchange{Workload: token}, ExpiresAt: time.Now().Add(lasts).Truncate(time.Millisecond)}
		}
		if err := s.Update(ctx, func(tx *store.Tx) error {
			for _, l := range []access.Login{login("live", access.WorkloadLogin, time.Hour), login("static", access.ServiceLogin, time.Hour), login("ended", access.WorkloadLogin, time.Hour)} {
				l.CreatedAt = tx.Now()
				if err := tx.SaveLogin(l); err != nil {
					return err
				}
			}
			return tx.RevokeLogin(sum("ended"))
		}); err != nil {
			t.Fatal(err)
		}
		var live []access.Login
		if err := s.View(ctx, func(tx *store.Tx) (err error) { live, err = tx.LiveLogins(access.WorkloadLogin); return err }); err != nil {
			t.Fatal(err)
		}
		if len(live) != 1 || live[0].Exchange == nil || live[0].Exchange.Workload != "live" {
			t.Errorf("live: %+v", live)
		}
	})
}
