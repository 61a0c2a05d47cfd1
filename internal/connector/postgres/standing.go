package postgres

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/connector"
)

// Observe reads what an order is about to change. A new account changes nothing
// that is there, so nothing is read for it.
func (c *Connector) Observe(ctx context.Context, t connector.Target, o connector.Order) (connector.Before, error) {
	s := newSubject(t, o)
	if s.err != nil {
		return connector.Before{}, s.err
	}
	if o.Mechanism == access.Account {
		return connector.Before{}, nil
	}
	var b before
	err := c.pools.again(ctx, t, reading, func(conn *pgx.Conn) error {
		seen, err := readScene(ctx, conn, []*subject{s}, withMembers)
		if err != nil {
			return err
		}
		r := seen.byName[s.name]
		if err := lendable(ctx, conn, s, r); err != nil {
			return err
		}
		b = before{OID: r.oid}
		if o.Mechanism == access.Member {
			if err := harmless(ctx, conn, s); err != nil {
				return err
			}
			b.Existing, err = seen.existing(ctx, conn, s, r)
			return err
		}
		if o.Mechanism == access.Enable && r.login && !seen.marked(s, r) {
			return access.Fail(access.Denied, "not-dormant", s.name+" can log in already").
				Because("an account to enable is dormant: its privilege would outlive the grant").
				Try("on the target: ALTER ROLE " + ident(s.name) + " NOLOGIN PASSWORD NULL")
		}
		return observeEnabled(ctx, conn, &b)
	})
	if err != nil {
		return connector.Before{}, observeFailure(err)
	}
	text, err := json.Marshal(b)
	if err != nil {
		return connector.Before{}, access.Fail(access.Internal, "bad-before", "record the state before").Wrap(err)
	}
	existing := o.Mechanism == access.Member && len(b.Existing) == len(o.Rights)
	return connector.Before{Existing: existing, State: string(text)}, nil
}

// harmless refuses to lend groups that make and change other roles.
func harmless(ctx context.Context, conn *pgx.Conn, s *subject) error {
	if !mayBecome(s.opt, major(conn)) {
		return nil
	}
	var master bool
	err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles g WHERE g.rolname = ANY($1::text[]) AND EXISTS ("+mastersOf("g.oid")+"))", s.order.Rights).Scan(&master)
	if err != nil || !master {
		return err
	}
	return access.Fail(access.Denied, "role-master", refuseMaster(s.order.Rights).Error())
}

func observeFailure(err error) error {
	if access.KindOf(err) != access.Internal {
		return err
	}
	f := failure(err)
	return access.Fail(access.Unavailable, "target-unreadable", "the state of the account cannot be read").Because(f.Message).Try(f.Next).Wrap(f.Cause)
}

// lendable refuses accounts that no order may touch.
func lendable(ctx context.Context, conn *pgx.Conn, s *subject, r *role) error {
	if r == nil {
		return access.Fail(access.NotFound, "no-such-account", "there is no role "+s.name+" on the target").
			Try("create it, or map the person to another account in the resource")
	}
	if r.superuser {
		return access.Fail(access.Denied, "protected-account", s.name+" is a superuser, which is never lent or lent to")
	}
	var self, owner bool
	err := conn.QueryRow(ctx, `SELECT $1 = (SELECT oid FROM pg_roles WHERE rolname = current_user),
		EXISTS (SELECT FROM pg_database WHERE datdba = $1 AND (datname = current_database() OR datistemplate OR datname = 'postgres'))`, r.oid).Scan(&self, &owner)
	switch {
	case err != nil:
		return err
	case self:
		return access.Fail(access.Denied, "protected-account", s.name+" is the connector's own login, which is never lent or lent to")
	case owner:
		return access.Fail(access.Denied, "protected-account", s.name+" owns the database, which no grant can add to or take away")
	}
	return nil
}

// existing are the groups of the order that the account is in through others,
// and checks that all of them are there.
func (v *scene) existing(ctx context.Context, conn *pgx.Conn, s *subject, r *role) (in []string, err error) {
	rows, err := conn.Query(ctx, "SELECT rolname::text, rolsuper FROM pg_roles WHERE rolname = ANY ($1::text[]::name[])", s.order.Rights)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	var name string
	var super bool
	if _, err := pgx.ForEachRow(rows, []any{&name, &super}, func() error { found[name] = super; return nil }); err != nil {
		return nil, err
	}
	for _, right := range s.order.Rights {
		super, there := found[right]
		if !there {
			return nil, access.Fail(access.NotFound, "no-such-group", "there is no role "+right+" on the target").Try("create it, or mend the name in the role's memberOf")
		}
		if super {
			return nil, access.Fail(access.Denied, "protected-role", right+" is a superuser, which is never lent")
		}
		if member, ours := v.in(r.oid, right); member && !ours {
			in = append(in, right)
		}
	}
	return in, nil
}

// provisionMember lets the account join the groups, under a mark that says so.
func (c *Connector) provisionMember(ctx context.Context, t connector.Target, s *subject) (connector.Receipt, error) {
	var oid uint32
	err := c.pools.again(ctx, t, granting, func(conn *pgx.Conn) error {
		seen, r, err := c.standing(ctx, conn, t, s)
		if err != nil {
			return err
		}
		oid = r.oid
		sql := seen.placeMark(s, r, major(conn))
		if missing := seen.missing(s, r); len(missing) > 0 {
			sql = append(sql, grant(missing, r.name, s.opt, major(conn)))
		}
		if len(sql) == 0 {
			return nil
		}
		_, err = run(ctx, conn, strings.Join(sql, "; "))
		return err
	})
	if err != nil {
		return connector.Receipt{}, err
	}
	return receipt(t, s.name, oid, nil)
}

// standing reads the standing account of an order that is about to begin, and
// checks once more that it may be touched.
func (c *Connector) standing(ctx context.Context, conn *pgx.Conn, t connector.Target, s *subject) (*scene, *role, error) {
	seen, err := readScene(ctx, conn, []*subject{s}, withMembers|withClaim)
	if err != nil {
		return nil, nil, err
	}
	if held := checkClaim(readClaim(seen.claim), t); held != nil {
		return nil, nil, held
	}
	r, impostor := seen.account(s)
	if impostor != nil {
		return nil, nil, refuse("the role "+s.name+" is not the one that was there when this was asked for", "ask anew")
	}
	if err := lendable(ctx, conn, s, r); err != nil {
		return nil, nil, err
	}
	return seen, r, nil
}

// placeMark makes the statements that put the order's mark on an account, none
// when it is there.
func (v *scene) placeMark(s *subject, r *role, major int) (sql []string) {
	if v.marked(s, r) && v.notes[s.mark].EndedUS == 0 {
		return nil
	}
	if v.byName[s.mark] == nil {
		sql = append(sql, "CREATE ROLE "+ident(s.mark)+" NOLOGIN")
	}
	n := note{Account: r.name, OID: r.oid, Person: string(s.order.Person)}
	if s.order.Mechanism == access.Checkout {
		n.UntilUS = r.endsUS
	}
	for _, right := range s.order.Rights {
		if !s.existed(right) {
			n.Rights = append(n.Rights, right)
		}
	}
	g := "GRANT " + ident(s.mark) + " TO " + ident(r.name)
	if major >= 16 {
		g += " WITH INHERIT FALSE, SET FALSE"
	}
	return append(sql, comment(s.mark, n), g)
}

// otherEnabled reports whether another order has enabled the account, or lent it.
func (v *scene) otherEnabled(s *subject, r *role) bool {
	return lentBy(v.otherMarks(s, r))
}
