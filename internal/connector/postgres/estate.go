package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/connector"
)

// An account's estate is what names it besides pg_authid: objects it owns,
// grants to it, its default privileges, its prepared transactions, in any
// database. Objects go to a quarantine role, the rest goes away.

// transaction is a prepared transaction of an account: no session holds it, and
// it keeps its locks, and its power to commit, for as long as it likes.
type transaction struct{ gid, database string }

// prepared lists the prepared transactions of the subjects' accounts.
func (c *Connector) prepared(ctx context.Context, t connector.Target, ss []*subject) (map[string][]transaction, error) {
	var names []string
	for _, s := range ss {
		if s.order.Mechanism == access.Account {
			names = append(names, s.name)
		}
	}
	found := map[string][]transaction{}
	if len(names) == 0 {
		return found, nil
	}
	return found, c.pools.again(ctx, t, ending, func(conn *pgx.Conn) error {
		clear(found)
		rows, err := conn.Query(ctx, "SELECT owner, gid, database FROM pg_prepared_xacts WHERE owner IN (SELECT unnest($1::text[]::name[]))", names)
		if err != nil {
			return err
		}
		var owner string
		var x transaction
		_, err = pgx.ForEachRow(rows, []any{&owner, &x.gid, &x.database}, func() error {
			found[owner] = append(found[owner], x)
			return nil
		})
		return err
	})
}

// settleEstate hands over what the account owned and drops it. Each database
// takes one transaction, and a failure in one leaves the others done: what is
// left is named, and the account stays without login.
func (c *Connector) settleEstate(ctx context.Context, t connector.Target, s *subject, pending []transaction) error {
	for _, x := range pending {
		if err := c.rollback(ctx, t, s, x); err != nil {
			return err
		}
	}
	databases, err := c.estate(ctx, t, s.name)
	if err != nil {
		return err
	}
	for _, d := range databases {
		if err := c.settleIn(ctx, t, s, d); err != nil {
			return err
		}
	}
	return c.drop(ctx, t, []*subject{s})
}

// database is one place of an estate.
type database struct {
	name   string
	closed bool // it takes no connections at all
	owned  bool // objects, not only grants
}

// estateSQL lists the databases in which something names the role. What is
// shared by all of them counts to the one we are connected to. Default
// privileges and user mappings belong to the role without being worth a
// hand-over.
const estateSQL = `
SELECT d.datname, NOT d.datallowconn,
       bool_or(x.deptype = 'o' AND x.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass))
FROM pg_shdepend x JOIN pg_database d ON d.oid = CASE x.dbid WHEN 0 THEN (SELECT oid FROM pg_database WHERE datname = current_database()) ELSE x.dbid END
WHERE x.refclassid = 'pg_authid'::regclass AND x.refobjid = (SELECT oid FROM pg_roles WHERE rolname = $1)
GROUP BY 1, 2 ORDER BY d.datname = current_database(), 1`

func (c *Connector) estate(ctx context.Context, t connector.Target, name string) (ds []database, err error) {
	err = c.pools.again(ctx, t, ending, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, estateSQL, name)
		if err != nil {
			return err
		}
		ds, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (d database, err error) {
			err = row.Scan(&d.name, &d.closed, &d.owned)
			return d, err
		})
		return err
	})
	return ds, err
}

// inDatabase runs f on a connection of its own to another database.
func (c *Connector) inDatabase(ctx context.Context, t connector.Target, name string, f func(*pgx.Conn) error) error {
	cfg, err := config(t, name)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return &connectError{err}
	}
	err = f(conn)
	_ = conn.Close(context.WithoutCancel(ctx)) // its work is committed or rolled back by now
	return err
}

// settleIn does one database.
func (c *Connector) settleIn(ctx context.Context, t connector.Target, s *subject, d database) error {
	if d.closed {
		return left(d.name, s.name, "the database takes no connections", "allow connections to "+d.name+" and repeat, or drop it")
	}
	err := c.inDatabase(ctx, t, d.name, func(conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			return handOver(ctx, tx, t.Username, s, d.owned, major(conn))
		})
	})
	if err == nil {
		return nil
	}
	f := failure(err)
	if f.Outcome == connector.Unknown {
		return f
	}
	next := fmt.Sprintf("as a superuser in database %s: REASSIGN OWNED BY %s TO an unprivileged role; DROP OWNED BY %s", d.name, ident(s.name), ident(s.name))
	return left(d.name, s.name, f.Message, next)
}

func left(database, name, why, next string) error {
	return &connector.Error{Outcome: connector.NotDone, Next: next,
		Message: "what " + name + " owned or was granted in database " + database + " is still there: " + why}
}

// handOver gives what the account owns in this database to its quarantine role,
// and takes away what it was granted. What this needs our login to be, it is
// only inside this transaction, where nobody sees it.
func handOver(ctx context.Context, tx pgx.Tx, login string, s *subject, owned bool, major int) error {
	account, heir := ident(s.name), ident(quarantinePrefix+string(s.order.Tag))
	act := toAct(major)
	var groups []string
	err := tx.QueryRow(ctx, `SELECT coalesce(array_agg(g.rolname::text), '{}') FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
		WHERE m.member = (SELECT oid FROM pg_roles WHERE rolname = $1)`, s.name).Scan(&groups)
	if err != nil {
		return err
	}
	exec := func(sql string) error { _, err := tx.Exec(ctx, sql); return err }
	// Whoever waits for a lock on a table makes everybody wait who comes after. One
	// that is in use is tried again later.
	if err := exec("SET LOCAL lock_timeout = '1s'"); err != nil {
		return err
	}
	if err := exec("GRANT " + account + " TO " + ident(login) + act); err != nil {
		return err
	}
	borrowed := borrow(ctx, tx, login, groups, major)
	if owned {
		if err := makeHeir(ctx, tx, s); err != nil {
			return err
		}
		for _, sql := range []string{
			"GRANT " + heir + " TO " + ident(login) + act,
			// An owner of a function or a type must be able to create in its
			// schema, if only at this moment: as a member of the account the heir
			// can what the account could.
			"GRANT " + account + " TO " + heir + act,
			"REASSIGN OWNED BY " + account + " TO " + heir,
			"REVOKE " + account + " FROM " + heir,
			"REVOKE " + heir + " FROM " + ident(login),
		} {
			if err := exec(sql); err != nil {
				return err
			}
		}
	}
	if err := ownsNothing(ctx, tx, s.name); err != nil {
		return err
	}
	if err := exec("DROP OWNED BY " + account); err != nil {
		return err
	}
	if err := grantedNothing(ctx, tx, s.name); err != nil {
		return err
	}
	for _, g := range borrowed {
		if err := exec("REVOKE " + ident(g) + " FROM " + ident(login)); err != nil {
			return err
		}
	}
	return exec("REVOKE " + account + " FROM " + ident(login))
}

// borrow makes our login a member of the account's groups, as far as it may: the
// grants that it has to take back were often made by one of them. Until 15 there
// is one membership whoever granted it, and it is left alone; from 16 on each
// grantor has one, and ours is a second beside the one that lets us administer.
func borrow(ctx context.Context, tx pgx.Tx, login string, groups []string, major int) (borrowed []string) {
	for _, g := range groups {
		var already bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
			WHERE g.rolname = $1 AND m.member = me.oid AND (m.grantor = me.oid OR $3 < 16))
			FROM pg_roles me WHERE me.rolname = $2`, g, login, major).Scan(&already)
		if err != nil || already {
			continue
		}
		inner, err := tx.Begin(ctx) // a savepoint
		if err != nil {
			return borrowed
		}
		if _, err := inner.Exec(ctx, "GRANT "+ident(g)+" TO "+ident(login)+toAct(major)); err != nil {
			_ = inner.Rollback(ctx) // a failure shows at the next statement
			continue
		}
		if inner.Commit(ctx) == nil {
			borrowed = append(borrowed, g)
		}
	}
	return borrowed
}

// toAct are the options of a membership that is there to be used.
func toAct(major int) string {
	if major < 16 {
		return ""
	}
	return " WITH INHERIT TRUE, SET TRUE"
}

// makeHeir makes the role that gets what the account owned, or checks that the
// one that is there is still without any privilege.
func makeHeir(ctx context.Context, tx pgx.Tx, s *subject) error {
	name := quarantinePrefix + string(s.order.Tag)
	var exists, powerless bool
	err := tx.QueryRow(ctx, `SELECT count(*) > 0, coalesce(bool_and(NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls OR rolcanlogin)
		AND NOT EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid)), true) FROM pg_roles r WHERE rolname = $1`, name).Scan(&exists, &powerless)
	if err != nil {
		return err
	}
	if !powerless {
		return refuse("the quarantine role "+name+" has privileges", "take them from it: it is to hold what an ended account owned, and nothing else")
	}
	if exists {
		return nil
	}
	_, err = tx.Exec(ctx, "CREATE ROLE "+ident(name)+" NOLOGIN; COMMENT ON ROLE "+ident(name)+" IS "+
		literal("owns what the account "+s.name+" left behind; give it to whom it belongs, or drop it"))
	return err
}

// ownsNothing makes sure that DROP OWNED has only grants to drop.
func ownsNothing(ctx context.Context, tx pgx.Tx, name string) error {
	return nothingLeft(ctx, tx, name, "it still owns", `x.deptype = 'o' AND x.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass)`)
}

// grantedNothing reads back what DROP OWNED did: it passes over grants that the
// login may not take back.
func grantedNothing(ctx context.Context, tx pgx.Tx, name string) error {
	return nothingLeft(ctx, tx, name, "it is still named in", "true")
}

func nothingLeft(ctx context.Context, tx pgx.Tx, name, what, where string) error {
	rows, err := tx.Query(ctx, `
		SELECT i.type || ' ' || i.identity FROM pg_shdepend x, pg_identify_object(x.classid, x.objid, x.objsubid) i
		WHERE x.refclassid = 'pg_authid'::regclass AND x.refobjid = (SELECT oid FROM pg_roles WHERE rolname = $1)
		  AND x.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) AND `+where+` ORDER BY 1 LIMIT 6`, name)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[*string])
	if err != nil || len(found) == 0 {
		return err
	}
	var list []string
	for _, f := range found {
		if f != nil {
			list = append(list, *f)
		}
	}
	if len(list) > 5 {
		list = append(slices.Clip(list[:5]), "…")
	}
	return refuse(what+" "+strings.Join(list, ", "), "")
}

// rollback ends a prepared transaction of the account, which only its owner may:
// our login becomes a member, acts as the account, and leaves it again with the
// account's end.
func (c *Connector) rollback(ctx context.Context, t connector.Target, s *subject, x transaction) error {
	err := c.inDatabase(ctx, t, x.database, func(conn *pgx.Conn) error {
		act := toAct(major(conn))
		// Not one transaction: ROLLBACK PREPARED refuses to run inside one.
		for _, sql := range []string{
			"GRANT " + ident(s.name) + " TO " + ident(t.Username) + act,
			"SET ROLE " + ident(s.name),
			"ROLLBACK PREPARED " + literal(x.gid),
			"RESET ROLE",
			"REVOKE " + ident(s.name) + " FROM " + ident(t.Username),
		} {
			if _, err := run(ctx, conn, sql); err != nil && !hasCode(err, codeUndefinedObject) {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	f := failure(err)
	return &connector.Error{Outcome: f.Outcome, Message: "the prepared transaction " + x.gid + " of " + s.name + " is still there: " + f.Message,
		Next: "as a superuser in database " + x.database + ": ROLLBACK PREPARED " + literal(x.gid)}
}
