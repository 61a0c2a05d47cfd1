package main

import (
	"context"
	"errors"
	"net"

	"stint/internal/api"
)

// A role of the mechanism group lends rights to the holder's own account on the
// target. The grant then comes without a credential: Stint knows no password of
// it, and the holder connects as ever.

const lendsRights = "group"

// ownAccount reports whether the access is on the holder's own account. The role
// may be asked, because a grant ends when its role becomes another.
func ownAccount(ctx context.Context, conn *connection, r api.Request) (bool, error) {
	role, err := conn.Role(ctx, r.Role)
	if errors.Is(err, api.NotFound) { // the credential's call will say what has become of the grant
		return false, nil
	}
	return role.Mechanism == lendsRights, err
}

// ownEnv connects as the holder's own account, to where the connector does and
// with the same checks, as far as that is known. It holds no password.
func (c *cli) ownEnv(ctx context.Context, conn *connection, r api.Request) (map[string]string, error) {
	res, err := conn.Resource(ctx, r.Resource)
	if err != nil {
		return nil, err
	}
	add := map[string]string{}
	if res.Type != "postgres" {
		return add, nil
	}
	set := func(name, value string) {
		if value != "" {
			add[name] = value
		}
	}
	host, port, err := net.SplitHostPort(res.Address)
	if err != nil {
		host, port = res.Address, ""
	}
	mode := res.Connection["sslmode"]
	if mode == "" {
		mode = "verify-full" // as of documents, and not libpq's, which checks nothing
	}
	set("PGHOST", host)
	set("PGPORT", port)
	set("PGDATABASE", res.Connection["database"])
	set("PGSSLMODE", mode)
	if r.Grant != nil {
		set("PGUSER", r.Grant.Account)
	}
	if ca := res.Connection["ca"]; ca != "" {
		if add["PGSSLROOTCERT"], err = c.authorityFile(ca); err != nil {
			return nil, err
		}
	}
	return add, nil
}
