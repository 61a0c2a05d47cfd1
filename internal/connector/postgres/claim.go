package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/connector"
)

// The claim is the comment on the role stint_claim: "installation/epoch". The
// role's name is unique in the cluster, so whichever database and login two
// installations use, only one of them makes it.

func claimText(c connector.Claim) string {
	return c.Installation + "/" + strconv.FormatInt(c.Epoch, 10)
}

func parseClaim(s string) (connector.Claim, bool) {
	i := strings.LastIndexByte(s, '/')
	if i <= 0 {
		return connector.Claim{}, false
	}
	epoch, err := strconv.ParseInt(s[i+1:], 10, 64)
	return connector.Claim{Installation: s[:i], Epoch: epoch}, err == nil && epoch >= 0
}

// checkClaim compares what the target says with what we rely on. A target that
// nobody holds is no obstacle, and an empty want is not a check.
func checkClaim(held string, want connector.Claim) error {
	if held == "" || want.Installation == "" {
		return nil
	}
	if h, ok := parseClaim(held); ok && h.Installation == want.Installation && h.Epoch <= want.Epoch {
		return nil
	}
	return claimConflict(held)
}

// superseded refuses the end of access only where a later life of this very
// installation holds the target: what is here is its to remove, and we are the
// copy that was left behind. Somebody else's claim is no reason to let access go
// on: what an order takes away is pinned by its tag and creation identity, and a
// claim that is enough to stop a revocation would be worth planting.
func superseded(held string, want connector.Claim) error {
	if h, ok := parseClaim(held); ok && h.Installation == want.Installation && h.Epoch > want.Epoch {
		return claimConflict(held)
	}
	return nil
}

func claimConflict(held string) error {
	return access.Fail(access.Conflict, "target-claimed", "this target belongs to another Stint or to a later life of this one").
		Because("it is held by " + strconv.Quote(held)).
		Try("stop the other one, or, when it is gone for good, let an administrator of the target run: DROP ROLE " + claimRole)
}

// Claim marks the target as ours. The first statement of the transaction locks
// the claim's row, so that of two who try at once the second sees the first.
func (c *Connector) Claim(ctx context.Context, t connector.Target, want connector.Claim) error {
	if want.Installation == "" || want.Epoch < 0 {
		return access.Fail(access.Invalid, "bad-claim", "a claim has an installation and an epoch")
	}
	err := c.pools.again(ctx, t, ending, func(conn *pgx.Conn) error { return claim(ctx, conn, want) })
	if err == nil || access.KindOf(err) == access.Conflict {
		return err
	}
	f := failure(err)
	return access.Fail(access.Unavailable, "claim-failed", "the target could not be claimed").Because(f.Message).Try(f.Next).Wrap(f)
}

func claim(ctx context.Context, conn *pgx.Conn, want connector.Claim) error {
	held := ""
	if err := conn.QueryRow(ctx, claimSQL).Scan(&held); err != nil {
		return err
	}
	if held == claimText(want) {
		return nil
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		lock := "ALTER ROLE " + claimRole + " NOLOGIN"
		if held == "" {
			lock = fmt.Sprintf(`DO $$ BEGIN CREATE ROLE %[1]s NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN ALTER ROLE %[1]s NOLOGIN; END $$`, claimRole)
		}
		if _, err := tx.Exec(ctx, lock); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, claimSQL).Scan(&held); err != nil {
			return err
		}
		if err := checkClaim(held, want); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "COMMENT ON ROLE "+claimRole+" IS "+literal(claimText(want)))
		return err
	})
}
