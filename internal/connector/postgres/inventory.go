package postgres

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/connector"
)

// Roles worth a line: those in one of our forms, and those that can log in with
// a power that no membership gave them.
const inventoryRolesSQL = `
SELECT r.oid, r.rolname, r.rolcanlogin, coalesce(shobj_description(r.oid, 'pg_authid'), ''),
       concat_ws(', ', CASE WHEN rolsuper THEN 'superuser' END, CASE WHEN rolcreaterole THEN 'createrole' END,
         CASE WHEN rolcreatedb THEN 'createdb' END, CASE WHEN rolreplication THEN 'replication' END, CASE WHEN rolbypassrls THEN 'bypassrls' END)
FROM pg_roles r
WHERE r.rolname <> current_user AND (r.rolname ~ '^stint' OR r.rolcanlogin
  AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls))
ORDER BY r.rolname`

// Memberships but those that come with an account of ours: there may be very many
// of these, and the accounts are listed themselves.
const inventoryMembersSQL = `
SELECT a.oid, a.rolname, a.rolcanlogin, g.rolname, bool_or(m.grantor = (SELECT oid FROM pg_roles WHERE rolname = current_user))
FROM pg_auth_members m JOIN pg_roles a ON a.oid = m.member JOIN pg_roles g ON g.oid = m.roleid
WHERE a.rolname <> current_user
GROUP BY 1, 2, 3, 4
HAVING NOT (a.rolname ~ '^stint_[a-z0-9_]{0,12}_[a-z0-9]{26}_[a-z0-9]{16}$' AND bool_or(m.grantor = (SELECT oid FROM pg_roles WHERE rolname = current_user)))
ORDER BY 2, 4`

type foundRole struct {
	oid     uint32
	name    string
	login   bool
	comment string
	powers  string
}

type foundMember struct {
	oid   uint32
	name  string
	login bool
	group string
	ours  bool
}

// Inventory lists what is ours on the target, and the standing privilege.
func (c *Connector) Inventory(ctx context.Context, t connector.Target) iter.Seq2[connector.Artefact, error] {
	return func(yield func(connector.Artefact, error) bool) {
		var roles []foundRole
		var members []foundMember
		err := c.pools.again(ctx, t, reading, func(conn *pgx.Conn) error {
			b := &pgx.Batch{}
			b.Queue(inventoryRolesSQL).Query(func(rows pgx.Rows) (err error) {
				roles, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r foundRole, err error) {
					err = row.Scan(&r.oid, &r.name, &r.login, &r.comment, &r.powers)
					return r, err
				})
				return err
			})
			b.Queue(inventoryMembersSQL).Query(func(rows pgx.Rows) (err error) {
				members, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (m foundMember, err error) {
					err = row.Scan(&m.oid, &m.name, &m.login, &m.group, &m.ours)
					return m, err
				})
				return err
			})
			return conn.SendBatch(ctx, b).Close()
		})
		if err != nil {
			yield(connector.Artefact{}, failure(err))
			return
		}
		// No connection is held while the caller thinks.
		for _, r := range roles {
			for _, a := range listRole(r, members) {
				if !yield(a, nil) {
					return
				}
			}
		}
		for _, a := range listMembers(roles, members) {
			if !yield(a, nil) {
				return
			}
		}
	}
}

// listRole tells of an account, a mark, a quarantine or a powerful login.
func listRole(r foundRole, members []foundMember) []connector.Artefact {
	a := connector.Artefact{Mechanism: access.Account, Account: r.name, Creation: oidText(r.oid)}
	if tag, ok := accountTag(r.name); ok {
		a.Tag, a.Ours, a.Detail = tag, true, "an account made for a grant, without login"
		if r.login {
			a.Detail = "an account made for a grant, which can log in"
		}
	} else if mechanism, tag, ok := markTag(r.name); ok {
		return listMark(r, mechanism, tag, members)
	} else if strings.HasPrefix(r.name, quarantinePrefix) {
		a.Standing, a.Detail = true, "owns what an ended account left behind; it has no privilege of its own"
	} else if r.powers != "" && r.login {
		a.Right, a.Standing, a.Detail = r.powers, true, "can log in with "+r.powers
	} else {
		return nil
	}
	return []connector.Artefact{a}
}

// listMark tells whose account a mark is on, and what it says was lent: one
// artefact for each group. Somebody may have put it on more than one.
func listMark(r foundRole, mechanism access.Mechanism, tag access.Tag, members []foundMember) (as []connector.Artefact) {
	n := readNote(r.comment)
	list := func(a connector.Artefact) {
		a.Mechanism, a.Tag, a.Ours = mechanism, tag, true
		if mechanism.Common() || len(n.Rights) == 0 {
			as = append(as, a)
			return
		}
		for _, a.Right = range n.Rights {
			as = append(as, a)
		}
	}
	for _, m := range members {
		if m.group == r.name {
			detail := map[access.Mechanism]string{access.Enable: "a dormant account that is enabled", access.Checkout: "a vaulted account that is lent, or gets its next password", access.Member: "a standing account that is lent a group"}[mechanism]
			list(connector.Artefact{Account: m.name, Creation: oidText(m.oid), Detail: detail})
		}
	}
	if len(as) == 0 {
		a := connector.Artefact{Account: n.Account, Detail: "a mark that is on no account"}
		if n.OID != 0 {
			a.Creation = oidText(n.OID)
		}
		list(a)
	}
	return as
}

// listMembers are the memberships that no account and no mark explains.
func listMembers(roles []foundRole, members []foundMember) (as []connector.Artefact) {
	rights := map[string][]string{} // of marks
	for _, r := range roles {
		if _, _, ok := markTag(r.name); ok {
			rights[r.name] = readNote(r.comment).Rights
		}
	}
	type pair struct{ account, group string }
	lent, enabled := map[pair]bool{}, map[string]bool{}
	for _, m := range members {
		if mechanism, _, ok := markTag(m.group); ok && mechanism.Common() {
			enabled[m.name] = true // what it is in counts only while it can log in
		}
		for _, right := range rights[m.group] {
			lent[pair{m.name, right}] = true
		}
	}
	for _, m := range members {
		_, account := accountTag(m.name)
		switch {
		case reserved(m.group), account && m.ours, m.ours && lent[pair{m.name, m.group}]:
			continue
		case m.ours:
			as = append(as, connector.Artefact{Mechanism: access.Member, Account: m.name, Right: m.group, Creation: oidText(m.oid), Ours: true,
				Detail: "a membership that the connector's login granted, and that no grant explains"})
		case m.login && !enabled[m.name]:
			as = append(as, connector.Artefact{Mechanism: access.Member, Account: m.name, Right: m.group, Creation: oidText(m.oid), Standing: true,
				Detail: fmt.Sprintf("%s is in %s, and not through Stint", m.name, m.group)})
		}
	}
	return as
}

func oidText(oid uint32) string { return strconv.FormatUint(uint64(oid), 10) }
