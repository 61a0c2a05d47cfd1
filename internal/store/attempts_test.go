//go:build unix

package store_test

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stint/internal/access"
	"stint/internal/store"
)

func sum(s string) access.Digest { return sha256.Sum256([]byte(s)) }

func TestAttempts(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := d.open(t)
		ctx := t.Context()
		update := func(fn func(tx *store.Tx) error) error { return s.Update(ctx, fn) }
		var a access.Attempt
		if err := update(func(tx *store.Tx) error {
			now := tx.Now()
			a = access.Attempt{Key: sum("key"), Kind: access.OnDevice, Alias: sum("alias"), CreatedAt: now, ExpiresAt: now.Add(access.AttemptFor),
				From: netip.MustParseAddr("10.0.0.7"), Client: "stint", Provider: "corp", Browser: sum("browser"), Redirect: "http://x/", Next: "/device",
				Device: "d1", Challenge: sum("challenge"), Refused: true, Principal: "user:mira",
				Auth: access.Auth{Provider: "corp", At: now, Methods: []string{"pwd"}, Class: "low", MFA: true}, Until: now.Add(time.Hour), By: sum("by"), PolledAt: now, Interval: 5 * time.Second, Subject: "T01/U01"}
			return tx.SaveAttempt(a)
		}); err != nil {
			t.Fatal(err)
		}
		read := func(find func(tx *store.Tx) (access.Attempt, error)) (got access.Attempt, err error) {
			err = s.View(ctx, func(tx *store.Tx) error { got, err = find(tx); return err })
			return got, err
		}
		for name, find := range map[string]func(tx *store.Tx) (access.Attempt, error){
			"key":   func(tx *store.Tx) (access.Attempt, error) { return tx.Attempt(a.Key) },
			"alias": func(tx *store.Tx) (access.Attempt, error) { return tx.AttemptCalled(a.Alias) },
		} {
			got, err := read(find)
			if d := cmp.Diff(got, a, cmpopts.EquateComparable(netip.Addr{})); d != "" || err != nil {
				t.Errorf("by %s: %v\n%s", name, err, d)
			}
		}
		if _, err := read(func(tx *store.Tx) (access.Attempt, error) { return tx.Attempt(sum("none")) }); access.KindOf(err) != access.NotFound {
			t.Errorf("none: %v", err)
		}
		// Of many at once one finishes it; afterwards nothing of it changes.
		var won atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				switch err := s.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error { _, err := tx.UseAttempt(a.Key); return err }); access.KindOf(err) {
				case access.Conflict:
				default:
					if err != nil {
						t.Error(err)
						return
					}
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d finished it, want 1", won.Load())
		}
		if err := update(func(tx *store.Tx) error { return tx.SaveAttempt(a) }); err == nil {
			t.Error("a sign-in that was finished changed")
		}
		if err := update(func(tx *store.Tx) error {
			late := access.Attempt{Key: sum("late"), Kind: access.AtProvider, CreatedAt: tx.Now(), ExpiresAt: tx.Now()}
			if err := tx.SaveAttempt(late); err != nil {
				return err
			}
			_, err := tx.UseAttempt(late.Key)
			return err
		}); access.KindOf(err) != access.Expired {
			t.Errorf("late: %v", err)
		}
	})
}

// A version from before knows none of the columns: what it writes is read as it was
// meant.
func TestLoginsOfTheVersionBefore(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := d.open(t)
		now := time.Now().UnixMilli()
		key := sum("token")
		if err := d.raw("INSERT INTO logins (token, principal, device, seal_key, created_at, expires_at, revoked) VALUES ($1, 'user:mira', 'd1', $2, $3, $4, FALSE)",
			key[:], []byte("key"), now, now+1000); err != nil {
			t.Fatal(err)
		}
		var l access.Login
		if err := s.View(t.Context(), func(tx *store.Tx) (err error) { l, err = tx.Login(key); return err }); err != nil {
			t.Fatal(err)
		}
		if l.Is() != access.DeviceLogin || l.Auth.Provider != "" || l.Auth.MFA {
			t.Errorf("got %+v", l)
		}
		if err := s.Update(t.Context(), func(tx *store.Tx) error { return tx.LoginSeen(key) }); err != nil {
			t.Fatal(err)
		}
		if err := s.Update(t.Context(), func(tx *store.Tx) error { l.Kind = access.BrowserLogin; return tx.SaveLogin(l) }); err == nil {
			t.Error("a device's login became a browser's")
		}
	})
}
