package postgres

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// detail says what a scene is to show besides the roles.
type detail uint8

const (
	withMembers detail = 1 << iota
	withSessions
	withDependents // whether objects or grants name the role
	withClaim
)

// role is one row of pg_roles. A role that was dropped has none.
type role struct {
	oid        uint32
	name       string
	powerful   bool // superuser, or an attribute that we never give
	superuser  bool
	login      bool
	expired    bool
	endsUS     int64 // VALID UNTIL, in microseconds since 1970; 0 when there is none
	dependents bool
}

// membership is one row of pg_auth_members.
type membership struct {
	group string
	ours  bool // our login is the grantor, of now or of when the mark was put there
}

// session is one row of pg_stat_activity.
type session struct {
	startedUS int64 // target's clock, microseconds; 0 when it may not be seen
	idle      time.Duration
}

// scene is what the catalogue says, at one moment, about the subjects of a
// batch.
type scene struct {
	byName   map[string]*role
	byOID    map[uint32]*role
	members  map[uint32][]membership
	sessions map[uint32][]session
	notes    map[string]note // of the marks on standing accounts
	claim    string          // see claimSQL
	major    int             // version of the server
}

const rolesSQL = `
SELECT oid, rolname, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls, rolsuper,
       rolcanlogin, coalesce(rolvaliduntil <= clock_timestamp(), false),
       CASE WHEN isfinite(rolvaliduntil) THEN (extract(epoch FROM rolvaliduntil) * 1000000)::int8 ELSE 0 END,
       $3 AND EXISTS (SELECT FROM pg_shdepend d WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid)
FROM pg_roles r WHERE rolname = ANY ($1::text[]::name[]) OR oid = ANY ($2::oid[])`

// membersSQL: a membership is ours when our login granted it, or who granted a
// mark on the same account. That was our login too, at a time when it had another
// name, or before it was made anew.
const membersSQL = `
SELECT m.member, g.rolname, m.grantor = (SELECT oid FROM pg_roles WHERE rolname = current_user)
    OR m.grantor IN (SELECT k.grantor FROM pg_auth_members k JOIN pg_roles r ON r.oid = k.roleid WHERE k.member = m.member AND r.rolname ~ '^stintmark_')
FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
WHERE m.member = ANY ($2::oid[] || ARRAY(SELECT oid FROM pg_roles WHERE rolname = ANY ($1::text[]::name[])))`

// marksSQL adds the marks of other orders on the same standing accounts.
const marksSQL = `
SELECT g.rolname, coalesce(shobj_description(g.oid, 'pg_authid'), '')
FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid AND g.rolname ~ '^stintmark_'
WHERE m.member = ANY ($2::oid[] || ARRAY(SELECT oid FROM pg_roles WHERE rolname = ANY ($1::text[]::name[])))`

// A session's state is hidden from logins without pg_read_all_stats; then it
// counts as old, and never as idle.
const sessionsSQL = `
SELECT usesysid, coalesce(extract(epoch FROM backend_start) * 1000000, 0)::int8,
       CASE WHEN state = 'active' THEN 0 ELSE coalesce(extract(epoch FROM clock_timestamp() - state_change) * 1000000, 0) END::int8
FROM pg_stat_activity
WHERE usesysid IN (SELECT unnest($2::oid[])) OR usename IN (SELECT unnest($1::text[]::name[]))`

// readScene reads it in one round trip.
func readScene(ctx context.Context, conn *pgx.Conn, ss []*subject, what detail) (*scene, error) {
	names, oids, marks := make([]string, 0, len(ss)), make([]uint32, 0, len(ss)), false
	for _, s := range ss {
		names = append(names, s.name)
		if s.mark != "" {
			names, marks = append(names, s.mark), true
		}
		if s.creation != 0 {
			oids = append(oids, s.creation)
		}
	}
	v := &scene{byName: map[string]*role{}, byOID: map[uint32]*role{}, members: map[uint32][]membership{}, sessions: map[uint32][]session{}, major: major(conn)}
	b := &pgx.Batch{}
	b.Queue(rolesSQL, names, oids, what&withDependents != 0).Query(v.readRoles)
	if what&withMembers != 0 {
		b.Queue(membersSQL, names, oids).Query(v.readMembers)
	}
	if marks {
		b.Queue(marksSQL, names, oids).Query(v.readMarks)
	}
	if what&withSessions != 0 {
		b.Queue(sessionsSQL, names, oids).Query(v.readSessions)
	}
	if what&withClaim != 0 {
		b.Queue(claimSQL).QueryRow(func(row pgx.Row) error { return row.Scan(&v.claim) })
	}
	return v, conn.SendBatch(ctx, b).Close()
}

func (v *scene) readRoles(rows pgx.Rows) error {
	for rows.Next() {
		r := new(role)
		if err := rows.Scan(&r.oid, &r.name, &r.powerful, &r.superuser, &r.login, &r.expired, &r.endsUS, &r.dependents); err != nil {
			return err
		}
		v.byName[r.name], v.byOID[r.oid] = r, r
	}
	return rows.Err()
}

func (v *scene) readMarks(rows pgx.Rows) error {
	v.notes = map[string]note{}
	for rows.Next() {
		var name, comment string
		if err := rows.Scan(&name, &comment); err != nil {
			return err
		}
		v.notes[name] = readNote(comment)
	}
	return rows.Err()
}

func (v *scene) readMembers(rows pgx.Rows) error {
	for rows.Next() {
		var member uint32
		var m membership
		if err := rows.Scan(&member, &m.group, &m.ours); err != nil {
			return err
		}
		v.members[member] = append(v.members[member], m)
	}
	return rows.Err()
}

func (v *scene) readSessions(rows pgx.Rows) error {
	for rows.Next() {
		var user uint32
		var s session
		var idleUS int64
		if err := rows.Scan(&user, &s.startedUS, &idleUS); err != nil {
			return err
		}
		s.idle = time.Duration(max(idleUS, 0)) * time.Microsecond
		v.sessions[user] = append(v.sessions[user], s)
	}
	return rows.Err()
}

// account is the role of a subject. Where its oid is known, the oid decides,
// whatever the role is called by now: a standing account may be renamed.
// impostor is a role with the account's name that is not the one we mean.
func (v *scene) account(s *subject) (r, impostor *role) {
	named := v.byName[s.name]
	if s.creation == 0 {
		return named, nil
	}
	if named != nil && named.oid != s.creation {
		impostor = named
	}
	return v.byOID[s.creation], impostor
}

// in reports whether a role is a direct member of the group, and whether
// through us.
func (v *scene) in(oid uint32, group string) (member, ours bool) {
	for _, m := range v.members[oid] {
		if m.group == group {
			member, ours = true, ours || m.ours
		}
	}
	return member, ours
}

// marked reports whether the subject's mark is on its account.
func (v *scene) marked(s *subject, r *role) bool {
	if r == nil || s.mark == "" {
		return false
	}
	on, _ := v.in(r.oid, s.mark)
	return on
}

// otherMarks are the tags of other orders on the same account.
func (v *scene) otherMarks(s *subject, account *role) (marks []string) {
	for _, m := range v.members[account.oid] {
		if _, _, ok := markTag(m.group); ok && m.group != s.mark && !slices.Contains(marks, m.group) {
			marks = append(marks, m.group)
		}
	}
	return marks
}

// note is the comment on a mark. It is stored on the target: fields are only
// added.
type note struct {
	Account string   `json:"account"`
	OID     uint32   `json:"oid"`
	Person  string   `json:"person,omitempty"`
	Rights  []string `json:"rights,omitempty"`
	// EndedUS is when the privilege was found gone, by the target's clock in
	// microseconds: sessions that began before may still use it.
	EndedUS int64 `json:"ended_us,omitempty"`
	// UntilUS is when a vaulted account expires by itself while it is not lent, in
	// microseconds since 1970; 0: never.
	UntilUS int64 `json:"until_us,omitempty"`
	// ShutUS is when a vaulted account that comes back had neither login nor sessions
	// nor password, by the target's clock in microseconds: whoever began to log in
	// before is over authentication_timeout later.
	ShutUS int64 `json:"shut_us,omitempty"`
}

func (n note) String() string {
	b, _ := json.Marshal(n) // strings and numbers only
	return string(b)
}

// comment is the statement that writes a mark's note.
func comment(mark string, n note) string {
	return "COMMENT ON ROLE " + ident(mark) + " IS " + literal(n.String())
}

// readNote reads a mark's comment; one that is missing or damaged is empty.
func readNote(comment string) (n note) {
	if json.Unmarshal([]byte(comment), &n) != nil {
		return note{}
	}
	return n
}
