//go:build unix

package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/store"
)

func TestSeenProof(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := opened(t, d)
		ctx := context.Background()
		later, before := storeNow(t, s).Add(time.Hour), storeNow(t, s).Add(-time.Second)
		for i, c := range []struct {
			jti     string
			expires time.Time
			fresh   bool
		}{{"a", later, true}, {"a", later, false}, {strings.Repeat("long", 1000), later, true}, {"b", before, true}} {
			if fresh, err := s.SeenProof(ctx, c.jti, c.expires); fresh != c.fresh || err != nil {
				t.Errorf("proof %d: fresh %v, %v, want %v", i, fresh, err, c.fresh)
			}
		}
		if err := s.Prune(ctx); err != nil {
			t.Fatal(err)
		}
		if fresh, err := s.SeenProof(ctx, "a", later); fresh || err != nil {
			t.Errorf("a proof that is still good was forgotten: %v, %v", fresh, err)
		}
	})
}

// TestPrune forgets what nobody asks for any more, and nothing else.
func TestPrune(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := opened(t, d)
		now := storeNow(t, s)
		m := access.Remembered{Principal: "user:mira", Key: "k1", Body: digest(), Result: "req_1", At: now}
		code := access.Enrolment{Code: digest(), Principal: "user:mira", ExpiresAt: now.Add(time.Hour)}
		past := access.Enrolment{Code: digest(), Principal: "user:mira", ExpiresAt: now.Add(-40 * 24 * time.Hour)}
		update(t, s, func(tx *store.Tx) error {
			return errors.Join(tx.Remember(m), tx.SaveEnrolment(code), tx.SaveEnrolment(past))
		})
		if err := s.Prune(context.Background()); err != nil {
			t.Fatal(err)
		}
		diff(t, read(t, s, func(tx *store.Tx) (access.Remembered, error) { return tx.Recall(m.Principal, m.Key) }), m)
		diff(t, read(t, s, func(tx *store.Tx) (access.Enrolment, error) { return tx.Enrolment(code.Code) }), code)
		wantKind(t, s.View(context.Background(), func(tx *store.Tx) error { _, err := tx.Enrolment(past.Code); return err }), access.NotFound)
	})
}
