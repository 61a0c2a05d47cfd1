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

// observeEnabled records what sessions and holders of a dormant account could
// change about it.
func observeEnabled(ctx context.Context, conn *pgx.Conn, b *before) error {
	err := conn.QueryRow(ctx, "SELECT coalesce(rolvaliduntil::text, ''), rolconnlimit FROM pg_roles WHERE oid = $1", b.OID).
		Scan(&b.ValidUntil, &b.ConnectionLimit)
	if err != nil {
		return err
	}
	b.Settings, err = readSettings(ctx, conn, b.OID)
	return err
}

// readSettings reads the configuration that sessions of a role start with.
func readSettings(ctx context.Context, conn *pgx.Conn, oid uint32) ([]setting, error) {
	rows, err := conn.Query(ctx, `
		SELECT coalesce(d.datname::text, ''), split_part(c, '=', 1), substr(c, strpos(c, '=') + 1)
		FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c
		WHERE s.setrole = $1 ORDER BY 1, 2`, oid)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[setting])
}

// provisionEnabled gives a dormant account LOGIN and a fresh password, under a
// mark that says so.
func (c *Connector) provisionEnabled(ctx context.Context, t connector.Target, s *subject) (connector.Receipt, error) {
	if s.order.Renew == connector.Extend {
		return c.extend(ctx, t, s)
	}
	password := newPassword()
	secret := newVerifier(password, s.opt.iterations)
	var r *role
	given := ""
	err := c.pools.again(ctx, t, granting, func(conn *pgx.Conn) (err error) {
		var seen *scene
		seen, r, err = c.standing(ctx, conn, t, s)
		if err != nil {
			return err
		}
		if seen.otherEnabled(s, r) {
			return &connector.Error{Outcome: connector.NotDone, Message: s.name + " is enabled for another grant"}
		}
		if r.login && !seen.marked(s, r) {
			return refuse(s.name+" can log in already, and not through Stint", "on the target: ALTER ROLE "+ident(s.name)+" NOLOGIN PASSWORD NULL")
		}
		change := fmt.Sprintf("ALTER ROLE %s LOGIN CONNECTION LIMIT %d PASSWORD %s VALID UNTIL %s",
			ident(r.name), s.opt.connectionLimit, literal(secret), until(s.order.ExpiresAt))
		given = ""
		if !r.login || s.order.Renew == connector.Rotate {
			change, given = shut(r.name), touch(s.mark)+"; "+change
		}
		_, err = run(ctx, conn, strings.Join(append(seen.placeMark(s, r, major(conn)), change), "; "))
		return err
	})
	if err == nil && given != "" {
		err = c.admit(ctx, t, r, s.order.Renew, given)
	}
	if err != nil {
		return connector.Receipt{}, err
	}
	return receipt(t, s.name, r.oid, password)
}

// revokeEnabled takes login and password from an account that we enabled: one
// with our mark, or one that a receipt names and nobody else's mark is on.
func (v *scene) revokeEnabled(s *subject) step {
	st := step{s: s}
	r, impostor := v.account(s)
	if r == nil {
		st.foreign = impostor != nil
		return st
	}
	if r.login && v.enabledByUs(s, r) {
		st.sql = lockRole(r.name)
	}
	return st
}

// enabledByUs reports whether an account that can log in can do so because of
// the order.
func (v *scene) enabledByUs(s *subject, r *role) bool {
	return v.marked(s, r) || s.order.Creation != "" && !v.otherEnabled(s, r)
}

// restore puts back what was changed about an enabled account. It runs while the
// mark is still there, so that a failure is tried again.
func (c *Connector) restore(ctx context.Context, t connector.Target, seen *scene, s *subject, r *role) error {
	if r.login {
		return &connector.Error{Outcome: connector.NotDone, Message: "the account " + s.name + " can still log in; revoke it first"}
	}
	if open := len(seen.sessions[r.oid]); open > 0 {
		return stillOpen(s.name, open)
	}
	if s.before.OID != r.oid {
		return nil // nobody knows how it was; it stays without login
	}
	return c.pools.again(ctx, t, ending, func(conn *pgx.Conn) error {
		now, err := readSettings(ctx, conn, r.oid)
		if err != nil {
			return err
		}
		end := s.before.ValidUntil
		if end == "" {
			end = "infinity"
		}
		sql := append(undo(ident(r.name), s.before.Settings, now),
			fmt.Sprintf("ALTER ROLE %s VALID UNTIL %s CONNECTION LIMIT %d", ident(r.name), literal(end), s.before.ConnectionLimit))
		_, err = run(ctx, conn, strings.Join(sql, "; "))
		return err
	})
}

// undo makes the statements that turn the settings now into those before.
func undo(account string, then, now []setting) (sql []string) {
	in := func(x setting) string {
		if x.Database == "" {
			return "ALTER ROLE " + account
		}
		return "ALTER ROLE " + account + " IN DATABASE " + ident(x.Database)
	}
	named := func(list []setting, x setting) bool {
		return slices.ContainsFunc(list, func(y setting) bool { return y.Database == x.Database && y.Name == x.Name })
	}
	for _, x := range now {
		if !named(then, x) {
			sql = append(sql, in(x)+" RESET "+ident(x.Name))
		}
	}
	for _, x := range then {
		if !slices.Contains(now, x) {
			sql = append(sql, in(x)+" SET "+ident(x.Name)+" TO "+settingValue(x))
		}
	}
	return sql
}

// listSettings are those that PostgreSQL keeps as lists of quoted names
// (GUC_LIST_QUOTE): written as one literal they would become one name.
var listSettings = []string{"local_preload_libraries", "search_path", "session_preload_libraries",
	"shared_preload_libraries", "temp_tablespaces", "unix_socket_directories"}

// settingValue writes a stored value so that storing it gives the same.
func settingValue(x setting) string {
	if !slices.Contains(listSettings, strings.ToLower(x.Name)) {
		return literal(x.Value)
	}
	names := splitNames(x.Value)
	if len(names) == 0 {
		return "''"
	}
	for i, n := range names {
		names[i] = literal(n)
	}
	return strings.Join(names, ", ")
}

// splitNames reads a list of names that are quoted where they need it.
func splitNames(list string) (names []string) {
	for list = strings.TrimSpace(list); list != ""; {
		var name string
		if list[0] == '"' {
			name, list = unquote(list[1:])
			_, list, _ = strings.Cut(list, ",")
		} else {
			name, list, _ = strings.Cut(list, ",")
			name = strings.TrimSpace(name)
		}
		names, list = append(names, name), strings.TrimSpace(list)
	}
	return names
}

// unquote reads up to the closing quote; a doubled one is one.
func unquote(s string) (name, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '"' {
			if i+1 == len(s) || s[i+1] != '"' {
				return b.String(), s[i+1:]
			}
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

// enabledPresence says whether an enabled account is as the order wants it.
func (v *scene) enabledPresence(s *subject, r *role) (connector.Presence, error) {
	marked := v.marked(s, r)
	switch {
	case marked && r.login && !r.expired:
		return connector.Present, nil
	case marked && r.login:
		return connector.NotKnown, access.Fail(access.Expired, "account-expired", s.name+" has expired on the target")
	case marked:
		return connector.NotKnown, access.Fail(access.Pending, "mark-left", s.name+" cannot log in, and what was changed about it was not put back yet")
	case r.login && v.enabledByUs(s, r):
		return connector.NotKnown, access.Fail(access.Conflict, "mark-lost", s.name+" can log in, and somebody has removed Stint's mark from it")
	}
	return connector.Absent, nil
}
