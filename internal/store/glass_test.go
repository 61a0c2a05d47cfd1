package store_test

import (
	"context"
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/store"
)

func glassCode(now time.Time, id, of string) access.GlassCode {
	return access.GlassCode{Code: sha256.Sum256([]byte(id)), ID: id, MadeWith: "code_1", Need: 2, Principal: access.PrincipalID(of), Resource: "orders-db",
		CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
}

func TestGlassCodes(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := opened(t, d)
		var a, b, c access.GlassCode
		update(t, s, func(tx *store.Tx) error {
			a, b, c = glassCode(tx.Now(), "code_1", "user:mira"), glassCode(tx.Now(), "code_2", "user:mira"), glassCode(tx.Now(), "code_3", "user:ben")
			return tx.SaveGlassCodes(a, b, c)
		})
		diff(t, read(t, s, func(tx *store.Tx) (access.GlassCode, error) { return tx.GlassCode(a.Code) }), a)
		diff(t, read(t, s, func(tx *store.Tx) ([]access.GlassCode, error) { return tx.GlassCodes() }), []access.GlassCode{a, b, c})

		// Many at once, of whom one gets it.
		var won atomic.Int64
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				if s.Update(context.Background(), func(tx *store.Tx) error { return tx.UseGlassCode(a.Code) }) == nil {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d used the code", won.Load())
		}
		use := func(c access.GlassCode) error {
			return s.Update(context.Background(), func(tx *store.Tx) error { return tx.UseGlassCode(c.Code) })
		}
		if access.KindOf(use(a)) != access.Conflict {
			t.Error("a used code was used")
		}
		// Disabling a principal makes its codes worthless, and nobody else's.
		update(t, s, func(tx *store.Tx) error { return tx.DropLogins("user:mira") })
		if access.KindOf(use(b)) != access.Conflict {
			t.Error("a dropped code was used")
		}
		if err := use(c); err != nil {
			t.Errorf("the code of another: %v", err)
		}
		for name, q := range map[string]string{
			"use it again":  "UPDATE glass_codes SET used_at = NULL WHERE id = 'code_1'",
			"revive it":     "UPDATE glass_codes SET revoked_at = NULL WHERE id = 'code_2'",
			"another owner": "UPDATE glass_codes SET principal = 'user:eve' WHERE id = 'code_3'",
		} {
			if err := d.raw(q); err == nil || !refusal(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestGlassLogins(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := opened(t, d)
		var l access.Login
		update(t, s, func(tx *store.Tx) error {
			l = access.Login{Token: sha256.Sum256([]byte("t")), Principal: "user:mira", Device: "d1", SealKey: []byte("key"), CreatedAt: tx.Now(), ExpiresAt: tx.Now().Add(time.Hour),
				Glass: &access.Glass{Codes: []string{"code_1", "code_2"}, Persons: []access.Person{"mira", "ben"}, Resource: "orders-db"}}
			return tx.SaveGlassLogin(l)
		})
		diff(t, read(t, s, func(tx *store.Tx) (access.Login, error) { return tx.GlassLogin(l.Token) }), l)
		// It is not to be found among the others, where an older version would take it for
		// a login to everything.
		if err := s.View(context.Background(), func(tx *store.Tx) error { _, err := tx.Login(l.Token); return err }); access.KindOf(err) != access.NotFound {
			t.Errorf("among the logins: %v", err)
		}
		long := l
		long.Token, long.ExpiresAt = sha256.Sum256([]byte("u")), l.CreatedAt.Add(time.Hour+time.Millisecond)
		if err := s.Update(context.Background(), func(tx *store.Tx) error { return tx.SaveGlassLogin(long) }); err == nil {
			t.Error("one that is longer than an hour was stored")
		}
		plain := l
		plain.Glass = nil
		if err := s.Update(context.Background(), func(tx *store.Tx) error { return tx.SaveGlassLogin(plain) }); err == nil {
			t.Error("an ordinary login was stored as one")
		}
		for name, q := range map[string]string{
			"longer": "UPDATE glass_logins SET expires_at = expires_at + 1", "wider": "UPDATE glass_logins SET body = '{}'", "another device": "UPDATE glass_logins SET device = 'x'",
		} {
			if err := d.raw(q); err == nil || !refusal(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		update(t, s, func(tx *store.Tx) error { return tx.DropLogins("user:mira") })
		if got := read(t, s, func(tx *store.Tx) (access.Login, error) { return tx.GlassLogin(l.Token) }); !got.Revoked {
			t.Error("it outlived its principal")
		}
		if err := d.raw("UPDATE glass_logins SET revoked = FALSE"); err == nil {
			t.Error("a revoked login came back")
		}
	})
}
