package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/connector"
)

var _ connector.Surveyor = (*Connector)(nil)

// surveySQL lists who has privileged access and did not get it by Stint. $1 are the
// groups that roles lend, $2 how many rows. Only catalogues are read.
//
// An account of ours, a mark and a quarantine role are in a form that nobody else's name
// has (ofOurs); somebody who forges one is found by the sweep, which knows the tags. A
// membership is ours when our login granted it, or who put a mark on the same account
// (see membersSQL). An account that Stint has enabled for a grant is left out until it is
// disabled again.
const surveySQL = `
WITH RECURSIVE me AS (SELECT oid FROM pg_roles WHERE rolname = current_user),
logins AS (
  SELECT r.* FROM pg_roles r WHERE r.rolcanlogin AND r.rolname <> current_user AND r.rolname !~ ` + ofOurs + `
    AND NOT EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid AND g.rolname ~ '^stintmark_enable_')),
theirs AS (
  SELECT m.member, m.roleid, bool_or(m.admin_option) AS admin FROM pg_auth_members m
  WHERE m.grantor NOT IN (SELECT oid FROM me)
    AND NOT EXISTS (SELECT FROM pg_auth_members k JOIN pg_roles r ON r.oid = k.roleid WHERE k.member = m.member AND k.grantor = m.grantor AND r.rolname ~ '^stintmark_')
  GROUP BY 1, 2),
reach AS (
  SELECT l.oid AS account, t.roleid AS via, t.roleid AS grp, t.admin FROM logins l JOIN theirs t ON t.member = l.oid
  UNION SELECT r.account, r.via, m.roleid, r.admin FROM reach r JOIN pg_auth_members m ON m.member = r.grp),
here AS (SELECT oid, datname, datdba FROM pg_database WHERE datname = current_database()),
owned AS (
  SELECT n.nspowner AS owner, format('schema %s', n.nspname) AS what, 1 AS n, format('ALTER SCHEMA %I OWNER TO CURRENT_USER', n.nspname) AS undo
  FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  UNION ALL
  SELECT c.relowner, format('tables and views in schema %s', n.nspname), count(*)::int, NULL
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' GROUP BY 1, n.nspname),
found AS (
  SELECT l.rolname AS account, p.word AS privilege, 'power' AS kind, '' AS grp,
    CASE WHEN l.oid = 10 AND p.word = 'superuser' THEN format('ALTER ROLE %I NOLOGIN', l.rolname) ELSE format('ALTER ROLE %I NO%s', l.rolname, upper(p.word)) END AS undo,
    CASE WHEN l.oid = 10 AND p.word = 'superuser' THEN 'the server was made with this account, and it stays a superuser: keep another way in for emergencies first' ELSE '' END AS note
  FROM logins l, LATERAL (VALUES ('superuser', l.rolsuper), ('createrole', l.rolcreaterole), ('replication', l.rolreplication), ('bypassrls', l.rolbypassrls)) p(word, has)
  WHERE p.has AND (p.word = 'superuser' OR NOT l.rolsuper)
  UNION ALL
  SELECT l.rolname, format('member of %s%s', g.rolname, CASE WHEN r.via <> r.grp THEN format(' through %s', v.rolname) ELSE '' END), 'member', g.rolname,
    format('REVOKE %I FROM %I', v.rolname, l.rolname),
    CASE WHEN bool_or(r.admin) THEN 'the account can let others in; ' ELSE '' END
      || CASE WHEN r.via <> r.grp THEN format('this takes all else away that %s gives', v.rolname) ELSE '' END
  FROM reach r JOIN logins l ON l.oid = r.account JOIN pg_roles g ON g.oid = r.grp JOIN pg_roles v ON v.oid = r.via
  WHERE g.rolname !~ ` + ofOurs + ` AND (g.rolname ~ '^pg_' OR g.rolname = ANY ($1::text[]) OR g.rolsuper OR g.rolcreaterole OR g.rolreplication OR g.rolbypassrls)
  GROUP BY l.rolname, g.rolname, v.rolname, r.via, r.grp
  UNION ALL
  SELECT l.rolname, format('owner of database %s', h.datname), 'owner', '', format('ALTER DATABASE %I OWNER TO CURRENT_USER', h.datname),
    'run as who is to own it, best a role without login'
  FROM here h JOIN logins l ON l.oid = h.datdba WHERE NOT l.rolsuper
  UNION ALL
  SELECT l.rolname, format('owner of %s', o.what), 'owner', '', coalesce(o.undo, format('REASSIGN OWNED BY %I TO CURRENT_USER', l.rolname)),
    CASE WHEN o.undo IS NULL THEN format('%s of them; run as who is to own all that the account owns, best a role without login', o.n) ELSE 'run as who is to own it, best a role without login' END
  FROM owned o JOIN logins l ON l.oid = o.owner WHERE NOT l.rolsuper)
SELECT account, privilege, kind, grp, undo, rtrim(note, '; ') FROM found ORDER BY account COLLATE "C", privilege COLLATE "C" LIMIT $2`

// Survey lists the privileged access that accounts have without Stint, on a connection of
// its own: what grants and ends access never waits for it.
func (c *Connector) Survey(ctx context.Context, t connector.Target, lent []string, most int) (found []connector.Stand, cut bool, err error) {
	if lent == nil {
		lent = []string{}
	}
	err = c.inDatabase(ctx, t, t.Connection.Options["database"], func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, surveySQL, lent, most+1)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s connector.Stand, err error) {
			var kind string
			err = row.Scan(&s.Account, &s.Privilege, &kind, &s.Right, &s.Undo, &s.Note)
			s.Kind = access.StandingKind(kind)
			return s, err
		})
		return err
	})
	if err != nil {
		return nil, false, failure(err)
	}
	if cut = len(found) > most; cut {
		found = found[:most]
	}
	return found, cut, nil
}
