package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/api"
	"stint/test/stage"
)

// rotations are of accounts in the vault: one after the other, and all at once. Beside it
// is who sets a password and signs in with it.
func (b *bench) rotations(ctx context.Context, d *databases) error {
	b.say("%d accounts into the vault", b.vaulted)
	const password = "from-before-the-vault"
	name := func(i int) string { return fmt.Sprintf("vaulted_%04d", i) }
	made := []string{"BEGIN"}
	known := verifier(password, 1)
	for i := range b.vaulted {
		made = append(made, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s' IN ROLE orders_read", name(i), known))
	}
	if err := d.Target.Exec(ctx, stage.Database, append(made, "CREATE ROLE by_hand LOGIN IN ROLE orders_read", "COMMIT")...); err != nil {
		return err
	}
	if err := share(ctx, manyClients, b.vaulted, func(ctx context.Context, _, i int) error {
		_, err := d.boss.AddVaulted(ctx, name(i), api.VaultAdd{Resource: "orders-db", Account: name(i), Secret: password})
		return err
	}); err != nil {
		return err
	}
	b.say("rotations")
	by, err := pgx.Connect(ctx, d.Target.SuperuserDSN(stage.Database))
	if err != nil {
		return err
	}
	defer func() { _ = by.Close(context.WithoutCancel(ctx)) }()
	var bare, ours sample
	for i := range min(30, b.vaulted) {
		begin := time.Now()
		fresh := fmt.Sprintf("by-hand-%d-%d", i, begin.UnixNano())
		if _, err := by.Exec(ctx, "ALTER ROLE by_hand PASSWORD '"+verifier(fresh, 4096)+"'"); err != nil {
			return err
		}
		c, err := pgx.Connect(ctx, d.Target.DSN("by_hand", fresh, stage.Database))
		if err == nil {
			err = c.Close(ctx)
		}
		if err != nil {
			return err
		}
		bare = append(bare, time.Since(begin))
		begin = time.Now()
		if _, err := d.boss.RotateVaulted(ctx, name(i), api.VaultRotate{Why: "measured by itself"}); err != nil {
			return err
		}
		at, err := b.rotated(ctx, d, name(i), 2)
		if err != nil {
			return err
		}
		ours = append(ours, at.Sub(begin))
	}
	b.add(row{name: "a vaulted account rotated, by itself: p50 / p99", n: fmt.Sprintf("%d + %d", len(bare), len(ours)), bare: "set, and one log-in: " + pair(bare), stint: pair(ours), ratio: times(ours.p50(), bare.p50())})

	begin, asked := time.Now(), make([]time.Time, b.vaulted)
	if err := share(ctx, manyClients, b.vaulted, func(ctx context.Context, _, i int) error {
		asked[i] = time.Now()
		_, err := d.boss.RotateVaulted(ctx, name(i), api.VaultRotate{Why: "measured together"})
		return err
	}); err != nil {
		return err
	}
	var all sample
	var last time.Time
	for i := range b.vaulted {
		number := int64(2)
		if i < len(ours) {
			number = 3
		}
		at, err := b.rotated(ctx, d, name(i), number)
		if err != nil {
			return err
		}
		all = append(all, at.Sub(asked[i]))
		if at.After(last) {
			last = at
		}
	}
	took := last.Sub(begin)
	b.add(row{name: fmt.Sprintf("%s vaulted accounts rotated, asked for at once: p50 / p99 / all", group(b.vaulted)), n: group(len(all)), stint: pair(all) + " / " + fmt.Sprintf("%.1f s", took.Seconds()),
		ratio: fmt.Sprintf("%.0f/s", float64(len(all))/took.Seconds())})
	return nil
}

// rotated waits until an account has its secret of this number, or a later one, and says
// since when.
func (b *bench) rotated(ctx context.Context, d *databases, name string, number int64) (time.Time, error) {
	for end := time.Now().Add(b.patience(10 * time.Minute)); ; {
		v, err := d.boss.Vaulted(ctx, name)
		switch {
		case err != nil:
			return time.Time{}, err
		case v.Number >= number && v.State == "ready":
			return v.RotatedAt.Time, nil
		case time.Now().After(end):
			return time.Time{}, errors.New(name + " is not rotated: " + v.State + " " + v.Trouble)
		}
		if err := pause(ctx, 25*time.Millisecond); err != nil {
			return time.Time{}, err
		}
	}
}
