package store

import (
	"strconv"

	"stint/internal/access"
)

const provisionedColumns = "SELECT provider, kind, id, version, name, external, body, created_at, changed_at FROM provisioned"

func scanProvisioned(row row) (access.Provisioned, error) {
	var p access.Provisioned
	var created, changed int64
	err := row.Scan(&p.Provider, &p.Kind, &p.ID, &p.Version, &p.Name, &p.External, &p.Body, &created, &changed)
	p.Created, p.Changed = instant(created), instant(changed)
	return p, err
}

// provisionedWhere is the condition of a query and its arguments.
func provisionedWhere(q access.ProvisionedQuery) (string, []any) {
	where, args := " WHERE provider = $1 AND kind = $2", []any{q.Provider, string(q.Kind)}
	for _, c := range []struct{ name, value string }{{"id", q.ID}, {"name", q.Name}, {"external", q.External}} {
		if c.value != "" {
			args = append(args, c.value)
			where += " AND " + c.name + " = $" + strconv.Itoa(len(args))
		}
	}
	return where, args
}

// Provisioned lists what a service provisioned, by id.
func (tx *Tx) Provisioned(q access.ProvisionedQuery) ([]access.Provisioned, error) {
	where, args := provisionedWhere(q)
	page := ""
	if q.Limit >= 0 {
		page = " LIMIT " + strconv.Itoa(q.Limit) + " OFFSET " + strconv.Itoa(q.Offset)
	}
	return list(tx, scanProvisioned, provisionedColumns+where+" ORDER BY id"+page, args...)
}

// CountProvisioned counts what a query without offset and limit lists.
func (tx *Tx) CountProvisioned(q access.ProvisionedQuery) (n int, err error) {
	where, args := provisionedWhere(q)
	err = tx.each("SELECT COUNT(*) FROM provisioned"+where, args, func(row row) error { return row.Scan(&n) })
	return n, err
}

// SaveProvisioned inserts at version 1, else replaces exactly the version before;
// access.Conflict otherwise, and when another has its name.
func (tx *Tx) SaveProvisioned(p access.Provisioned) error {
	if p.Version == 1 {
		_, err := tx.exec(`INSERT INTO provisioned (provider, kind, id, version, name, external, body, created_at, changed_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			p.Provider, string(p.Kind), p.ID, p.Version, p.Name, p.External, p.Body, p.Created.UnixMilli(), p.Changed.UnixMilli())
		return err
	}
	n, err := tx.exec(`UPDATE provisioned SET version = $4, name = $5, external = $6, body = $7, changed_at = $8
		WHERE provider = $1 AND kind = $2 AND id = $3 AND version = $4 - 1`,
		p.Provider, string(p.Kind), p.ID, p.Version, p.Name, p.External, p.Body, p.Changed.UnixMilli())
	if err == nil && n == 0 {
		err = tx.fail(changed(string(p.Kind), p.ID, p.Version))
	}
	return err
}

// DropProvisioned forgets a user or a group of a service, and who is in it or what it
// is in. The principal is not touched.
func (tx *Tx) DropProvisioned(p access.Provisioned) error {
	members := "DELETE FROM provisioned_members WHERE provider = $1 AND grp = $2"
	if p.Kind == access.ProvisionedUser {
		members = "DELETE FROM provisioned_members WHERE provider = $1 AND member = $2"
	}
	if _, err := tx.exec(members, p.Provider, p.ID); err != nil {
		return err
	}
	n, err := tx.exec("DELETE FROM provisioned WHERE provider = $1 AND kind = $2 AND id = $3 AND version = $4", p.Provider, string(p.Kind), p.ID, p.Version)
	if err == nil && n == 0 {
		err = tx.fail(changed(string(p.Kind), p.ID, p.Version))
	}
	return err
}

// Members lists the ids of a group's users.
func (tx *Tx) Members(provider, group string) ([]string, error) {
	return list(tx, scanText[string], "SELECT member FROM provisioned_members WHERE provider = $1 AND grp = $2 ORDER BY member", provider, group)
}

// GroupsOf lists the groups that a user of a service is in.
func (tx *Tx) GroupsOf(provider, member string) ([]access.Provisioned, error) {
	return list(tx, scanProvisioned, provisionedColumns+` WHERE provider = $1 AND kind = 'group' AND id IN
		(SELECT grp FROM provisioned_members WHERE provider = $1 AND member = $2) ORDER BY id`, provider, member)
}

// SetMember puts a user into a group or takes it out; either may be so already.
func (tx *Tx) SetMember(provider, group, member string, in bool) error {
	q := "DELETE FROM provisioned_members WHERE provider = $1 AND grp = $2 AND member = $3"
	if in {
		q = "INSERT INTO provisioned_members (provider, grp, member) VALUES ($1, $2, $3) ON CONFLICT (provider, grp, member) DO NOTHING"
	}
	_, err := tx.exec(q, provider, group, member)
	return err
}
