package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/connector"
)

// provisionAccount makes the account, or finds the one it made before. The first
// try is blind: one round trip, the statement that anybody would send.
func (c *Connector) provisionAccount(ctx context.Context, t connector.Target, s *subject) (connector.Receipt, error) {
	if s.order.Renew == connector.Extend {
		return c.extend(ctx, t, s)
	}
	password := newPassword()
	secret := newVerifier(password, s.opt.iterations)
	var oid uint32
	exists := false
	err := c.pools.with(ctx, t, granting, func(conn *pgx.Conn) error {
		rows, err := run(ctx, conn, createAccount(s, secret, major(conn))+"; "+readBack(s.name))
		if hasCode(err, codeDuplicateObject, codeUniqueViolation) {
			exists = true
			return nil
		}
		if err != nil {
			return err
		}
		var claim string
		var master bool
		if oid, claim, master, err = parseReadBack(rows); err != nil {
			return err
		}
		no := checkClaim(readClaim(claim), t)
		if no == nil && master && mayBecome(s.opt, major(conn)) {
			no = refuseMaster(s.order.Rights)
		}
		if no == nil {
			return nil
		}
		// Somebody else's target, or too much power: take it back at once. Nobody
		// has its password yet.
		if _, err := run(ctx, conn, "DROP ROLE "+ident(s.name)); err != nil {
			return err
		}
		return no
	})
	if err == nil && exists {
		oid, err = c.renewAccount(ctx, t, s, secret)
	}
	if err != nil {
		return connector.Receipt{}, err
	}
	return receipt(t, s.name, oid, password)
}

// createAccount is one transaction that makes the account with all it gets.
func createAccount(s *subject, secret string, major int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE ROLE %s LOGIN CONNECTION LIMIT %d PASSWORD %s VALID UNTIL %s",
		ident(s.name), s.opt.connectionLimit, literal(secret), until(s.order.ExpiresAt))
	if len(s.order.Rights) > 0 {
		if major < 16 {
			b.WriteString(" IN ROLE " + idents(s.order.Rights))
		} else {
			b.WriteString("; " + grant(s.order.Rights, s.name, s.opt, major))
		}
	}
	return b.String()
}

// grant makes a role a member of groups. From 16 on, a member uses what its
// groups may do without becoming them, unless the role asks for that.
func grant(rights []string, to string, opt options, major int) string {
	g := "GRANT " + idents(rights) + " TO " + ident(to)
	if major >= 16 {
		set := "FALSE"
		if opt.setRole {
			set = "TRUE"
		}
		g += " WITH INHERIT TRUE, SET " + set
	}
	return g
}

func until(at time.Time) string { return literal(at.UTC().Format("2006-01-02 15:04:05.000000Z07:00")) }

// readBack is the query that ends a provision: which role it made, whose target
// it is, and whether the role has become a master of others.
func readBack(name string) string {
	return "SELECT r.oid, (" + claimSQL + "), EXISTS (" + mastersOf("r.oid") + ") FROM pg_roles r WHERE r.rolname = " + literal(name)
}

func parseReadBack(rows [][][]byte) (oid uint32, claim string, master bool, err error) {
	if len(rows) != 1 || len(rows[0]) != 3 {
		return 0, "", false, refuse("the role that was just made is not in the catalogue", "look for an event trigger or an extension that removes roles")
	}
	n, err := strconv.ParseUint(string(rows[0][0]), 10, 32)
	return uint32(n), string(rows[0][1]), string(rows[0][2]) == "t", err
}

// mastersOf lists the roles, among those that role is a member of, itself
// included, that make and change other roles: who may become one of them sets the
// password of Stint's own login (before PostgreSQL 16 of every login that is no
// superuser's), and is then no longer held by any grant.
func mastersOf(role string) string {
	return "SELECT FROM pg_roles p WHERE (p.rolcreaterole OR p.rolsuper) AND pg_has_role(" + role + ", p.oid, 'MEMBER')"
}

// mayBecome reports whether a member may SET ROLE to its groups.
func mayBecome(opt options, major int) bool { return major < 16 || opt.setRole }

func refuseMaster(rights []string) error {
	return refuse("one of "+strings.Join(rights, ", ")+" has CREATEROLE, or is in a role that has it, and is never lent: who holds it can take over Stint's own login",
		"lend a role without CREATEROLE")
}

// renewAccount gives the account that is there a new password, after an earlier
// call whose outcome nobody knew, or because the order says Rotate.
func (c *Connector) renewAccount(ctx context.Context, t connector.Target, s *subject, secret string) (oid uint32, err error) {
	var r *role
	given := ""
	err = c.pools.again(ctx, t, granting, func(conn *pgx.Conn) error {
		seen, err := readScene(ctx, conn, []*subject{s}, withMembers|withClaim)
		if err != nil {
			return err
		}
		if held := checkClaim(readClaim(seen.claim), t); held != nil {
			return held
		}
		var impostor *role
		r, impostor = seen.account(s)
		if r == nil || impostor != nil || r.powerful || r.name != s.name {
			return refuse("a role with the account's name is there that Stint did not make", "drop or rename the role "+s.name+" on the target")
		}
		given = ""
		sql := fmt.Sprintf("ALTER ROLE %s LOGIN CONNECTION LIMIT %d PASSWORD %s VALID UNTIL %s",
			ident(s.name), s.opt.connectionLimit, literal(secret), until(s.order.ExpiresAt))
		if missing := seen.missing(s, r); len(missing) > 0 {
			sql += "; " + grant(missing, s.name, s.opt, major(conn))
		}
		if !r.login || s.order.Renew == connector.Rotate {
			sql, given = shut(s.name), sql
		}
		_, err = run(ctx, conn, sql)
		return err
	})
	if err == nil && given != "" {
		err = c.admit(ctx, t, r, s.order.Renew, given)
	}
	if err != nil {
		return 0, err
	}
	return r.oid, nil
}

// missing are the groups of the order that the account is not in.
func (v *scene) missing(s *subject, r *role) (rights []string) {
	for _, right := range s.order.Rights {
		if member, _ := v.in(r.oid, right); !member {
			rights = append(rights, right)
		}
	}
	return rights
}

// extend raises the target's own expiry, and never lowers it.
func (c *Connector) extend(ctx context.Context, t connector.Target, s *subject) (connector.Receipt, error) {
	var r *role
	err := c.pools.again(ctx, t, granting, func(conn *pgx.Conn) error {
		seen, err := readScene(ctx, conn, []*subject{s}, withMembers|withClaim)
		if err != nil {
			return err
		}
		if held := checkClaim(readClaim(seen.claim), t); held != nil {
			return held
		}
		var impostor *role
		r, impostor = seen.account(s)
		if r == nil || impostor != nil || s.mark == "" && r.powerful || s.mark != "" && !seen.marked(s, r) {
			return refuse("there is nothing to extend: "+s.name+" is not as Stint left it", "end the grant and ask anew")
		}
		rows, err := run(ctx, conn, "SELECT coalesce(rolvaliduntil < "+until(s.order.ExpiresAt)+", false) FROM pg_roles WHERE oid = "+oidText(r.oid))
		if err != nil || len(rows) != 1 || string(rows[0][0]) != "t" {
			return err
		}
		_, err = run(ctx, conn, "ALTER ROLE "+ident(r.name)+" VALID UNTIL "+until(s.order.ExpiresAt))
		return err
	})
	if err != nil {
		return connector.Receipt{}, err
	}
	return connector.Receipt{Account: r.name, Creation: oidText(r.oid)}, nil
}
