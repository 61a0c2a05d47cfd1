package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/connector"
)

// PostgreSQL reads a role's password when a log-in begins, and whether the role may
// log in when it ends. In between it waits for the client, for authentication_timeout
// at most. A log-in that began with a password of before therefore opens a session
// once the role has its login again, whatever its password is by then. So whoever
// gives LOGIN first waits, while the role has neither login nor password, until the
// log-ins are over that were under way.

const (
	// linger is how long one removal waits for them before it is put off.
	linger = 2 * time.Second
	// slack is for a server that is late to end a log-in.
	slack = time.Second
)

// shut is the statement that takes a role's login and password, for a while.
func shut(account string) string { return "ALTER ROLE " + ident(account) + " NOLOGIN PASSWORD NULL" }

// admit gives a role that was shut its login, with what sql sets. For a rotation its
// sessions end first.
func (c *Connector) admit(ctx context.Context, t connector.Target, r *role, renew connector.Renew, sql string) error {
	rotate := renew == connector.Rotate
	if rotate {
		if err := c.endSessions(ctx, t, granting, map[uint32]int64{r.oid: 0})[r.oid]; err != nil {
			return err
		}
	}
	return c.pools.again(ctx, t, granting, func(conn *pgx.Conn) error {
		if rotate { // once more: one of the sessions may have set another password
			if _, err := run(ctx, conn, shut(r.name)); err != nil {
				return err
			}
		}
		e := entry{oid: r.oid}
		if err := e.wait(ctx, conn, nil); err != nil {
			return err
		}
		if rotate && e.open > 0 {
			return &connector.Error{Outcome: connector.Unknown, Message: stillOpen(r.name, e.open).Error()}
		}
		_, err := run(ctx, conn, sql)
		return err
	})
}

// entry is the wait for the log-ins that were under way when a role was shut.
type entry struct {
	oid    uint32
	shutUS int64          // when it was, by the target's clock in microseconds; 0: right before the first look
	under  map[int32]bool // those that are not over, and whether they have been let in
	inside bool           // the first look found some that have been
	open   int            // sessions of the role
	endUS  int64          // until the target has ended those that have not
}

// entrySQL: the clock, authentication_timeout in microseconds, and the role's sessions.
const entrySQL = `
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8,
       (SELECT setting::int8 FROM pg_settings WHERE name = 'authentication_timeout') * 1000000,
       (SELECT count(*) FROM pg_stat_activity WHERE usesysid = $1)`

// wait returns nil when they are over. It waits as long as the call may take, or as
// long as left says, from which it takes what it used.
func (e *entry) wait(ctx context.Context, conn *pgx.Conn, left *time.Duration) error {
	began := time.Now()
	if left != nil {
		defer func() { *left -= time.Since(began) }()
	}
	for pause := pollFirst; ; pause = min(pause*2, pollMost) {
		if err := e.look(ctx, conn); err != nil {
			return err
		}
		if len(e.under) == 0 {
			return nil
		}
		if left != nil && time.Since(began) > *left {
			return e.pending(connector.NotDone)
		}
		select {
		case <-ctx.Done():
			return e.pending(connector.Unknown) // of who wanted the login given: it has none meanwhile
		case <-time.After(pause):
		}
	}
}

func (e *entry) look(ctx context.Context, conn *pgx.Conn) error {
	var under map[int32]bool
	var now, most int64
	b := &pgx.Batch{}
	// First, so that one that gets through in between shows among the sessions.
	b.Queue(startingSQL).Query(func(rows pgx.Rows) (err error) {
		under, err = readStarting(rows)
		return err
	})
	b.Queue(entrySQL, e.oid).QueryRow(func(row pgx.Row) error { return row.Scan(&now, &most, &e.open) })
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	if e.shutUS == 0 {
		e.shutUS = now
	}
	if e.under == nil {
		e.under = under
		for _, in := range under {
			e.inside = e.inside || in
		}
	}
	e.endUS = e.shutUS + most + slack.Microseconds() - now
	for pid := range e.under {
		if in, still := under[pid]; !still || !in && e.endUS < 0 {
			delete(e.under, pid)
		}
	}
	return nil
}

// pending says what is waited for.
func (e *entry) pending(o connector.Outcome) error {
	return &connector.Error{Outcome: o, Message: fmt.Sprintf(
		"%d log-ins that are under way may have begun with the password of before; the target ends them in %s at most, and until then the account has no login",
		len(e.under), max(time.Duration(e.endUS)*time.Microsecond, 0).Round(time.Second))}
}
