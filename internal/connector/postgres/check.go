package postgres

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/connector"
)

// canaryMark is the MAC part of a canary's tag, which no real one can be (a MAC
// is random), so that the canary of a Check that was killed is found by the next.
const canaryMark = "canarycanarycana"

// canaryLife is how long a canary can be logged in with at most.
const canaryLife = time.Minute

// check is one run of Check.
type check struct {
	c      *Connector
	t      connector.Target
	ctx    context.Context // of the whole run, which is one call
	report connector.Report
}

// step notes what was seen and reports whether to go on.
func (k *check) step(name, detail string, err error, fix string) bool {
	s := connector.Step{Name: name, OK: err == nil, Detail: detail}
	if err != nil {
		f := failure(err)
		s.Detail, s.Fix = f.Error(), fix
		if fix == "" {
			s.Fix = f.Next
		}
	}
	k.report.Steps = append(k.report.Steps, s)
	return s.OK
}

// Check proves with a canary that the login can create and remove.
func (c *Connector) Check(ctx context.Context, t connector.Target) connector.Report {
	k := &check{c: c, t: t, ctx: ctx}
	if k.connects() && k.login() {
		k.claim()
		k.canary()
	}
	return k.report
}

// connects makes a connection of its own: those in the pool may have been made
// before something changed.
func (k *check) connects() bool {
	detail := ""
	err := k.c.inDatabase(k.ctx, k.t, k.t.Connection.Options["database"], func(conn *pgx.Conn) error {
		detail = "PostgreSQL " + conn.PgConn().ParameterStatus("server_version")
		var secure bool
		if err := conn.QueryRow(k.ctx, "SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)").Scan(&secure); err != nil {
			return err
		}
		if secure {
			detail += ", TLS with a verified certificate"
		} else {
			detail += ", without TLS on a loopback address"
		}
		if v := major(conn); v < 15 {
			return refuse(fmt.Sprintf("PostgreSQL %d is too old: Stint needs 15 or later", v), "upgrade the server")
		}
		return nil
	})
	return k.step("connects to a primary, and knows that it is the right one", detail, err, "")
}

// loginSQL is what the login is and may do.
const loginSQL = `
SELECT rolsuper, rolcreaterole, rolinherit, rolcreatedb OR rolreplication OR rolbypassrls,
       pg_has_role(current_user, 'pg_signal_backend', 'USAGE'), pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
       (SELECT coalesce(string_agg(g.rolname, ', ' ORDER BY g.rolname), '') FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
        WHERE m.member = r.oid AND m.admin_option AND g.rolname !~ '^stint')
FROM pg_roles r WHERE rolname = current_user`

// login looks at the privileges of the login itself. It goes on where one is too
// many, and not where one is missing.
func (k *check) login() bool {
	var super, createRole, inherit, more, signal, stats bool
	var lends string
	err := k.c.pools.again(k.ctx, k.t, reading, func(conn *pgx.Conn) error {
		return conn.QueryRow(k.ctx, loginSQL).Scan(&super, &createRole, &inherit, &more, &signal, &stats, &lends)
	})
	if err != nil {
		return k.step("reads its own privileges", "", err, "")
	}
	me := ident(k.t.Username)
	when := func(bad bool, message string) error {
		if bad {
			return refuse(message, "")
		}
		return nil
	}
	k.must("has no more power than it needs", "not a superuser; no CREATEDB, REPLICATION, BYPASSRLS",
		when(super || more, k.t.Username+" is a superuser, or has CREATEDB, REPLICATION or BYPASSRLS"),
		"ALTER ROLE "+me+" NOSUPERUSER NOCREATEDB NOREPLICATION NOBYPASSRLS")
	enough := k.must("can make and drop roles", "CREATEROLE, INHERIT",
		when(!createRole || !inherit, k.t.Username+" lacks CREATEROLE or INHERIT"), "ALTER ROLE "+me+" CREATEROLE INHERIT")
	enough = k.must("can end sessions", "a member of pg_signal_backend",
		when(!signal, k.t.Username+" is not a member of pg_signal_backend"), "GRANT pg_signal_backend TO "+me) && enough
	enough = k.must("sees what sessions do", "a member of pg_read_all_stats",
		when(!stats, k.t.Username+" is not a member of pg_read_all_stats"), "GRANT pg_read_all_stats TO "+me) && enough
	if lends == "" {
		lends = "no role in particular (on 15, CREATEROLE lends any but superusers; from 16 on, GRANT group TO " + me + " WITH ADMIN OPTION)"
	}
	k.must("knows what it may lend", lends, nil, "")
	return enough
}

// must is step for what is known already.
func (k *check) must(name, detail string, err error, fix string) bool {
	if err != nil {
		err = refuse(err.Error(), fix)
	}
	return k.step(name, detail, err, fix)
}

// claim says whose target it is; it does not take it.
func (k *check) claim() {
	var h held
	err := k.c.pools.again(k.ctx, k.t, reading, func(conn *pgx.Conn) (err error) {
		h, err = seeClaim(k.ctx, conn)
		return err
	})
	if err == nil {
		err = checkClaim(h, k.t)
	}
	detail := "claimed by " + h.text
	if h.text == "" {
		detail = "not claimed yet"
	}
	k.step("belongs to no other Stint", detail, err, "")
}

func canaryTag() access.Tag {
	b := make([]byte, 10)
	_, _ = rand.Read(b)
	id := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
	return access.Tag("0000000000" + id + "_" + canaryMark)
}

// canary takes an account through its whole life, and removes it whatever
// happens on the way.
func (k *check) canary() {
	k.sweepCanaries()
	o := connector.Order{Tag: canaryTag(), Mechanism: access.Account, Person: "canary", ExpiresAt: time.Now().Add(canaryLife),
		Options: map[string]string{"scramIterations": "4096"}}
	r, err := k.c.Provision(k.ctx, k.t, o)
	if !k.step("makes an account", "with the canary "+accountName(o.Person, o.Tag), err, "") {
		k.end(o)
		return
	}
	o.Account, o.Creation = r.Account, r.Creation
	conn, err := k.c.logIn(k.ctx, k.t, r)
	k.step("logs in as it", "with the password that a holder would get", err, "let pg_hba.conf ask for scram-sha-256 from where users and Stint connect")
	if err == nil {
		k.step("reads it back", "present, with its session", k.verify(o, connector.Present, 1), "")
	}
	k.end(o)
	if conn == nil {
		return
	}
	err = nil
	if _, alive := conn.Exec(k.ctx, "SELECT 1"); alive == nil {
		err = refuse("the canary's session outlived it", "")
	}
	k.step("ends its session", "the open connection was cut", err, "GRANT pg_signal_backend TO "+ident(k.t.Username))
	_ = conn.Close(context.WithoutCancel(k.ctx))
}

// end removes a canary, also when the run has no time left.
func (k *check) end(o connector.Order) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(k.ctx), 10*time.Second)
	defer cancel()
	os := []connector.Order{o}
	k.step("revokes it", "no login, no password", k.c.Revoke(ctx, k.t, os)[0].Err, "")
	k.step("is told of its sessions' end", "none left", k.c.TerminateSessions(ctx, k.t, os)[0].Err, "")
	k.step("removes it", "dropped", k.c.Remove(ctx, k.t, os)[0].Err, "")
	v := k.c.Verify(ctx, k.t, os)[0]
	err := v.Err
	if err == nil && !v.Gone() {
		err = refuse(fmt.Sprintf("the canary is %s with %d sessions", v.Presence, v.Sessions), "")
	}
	k.step("reads back that it is gone", "no role, no session", err, "")
}

func (k *check) verify(o connector.Order, want connector.Presence, sessions int) error {
	v := k.c.Verify(k.ctx, k.t, []connector.Order{o})[0]
	if v.Err == nil && (v.Presence != want || v.Sessions != sessions) {
		return refuse(fmt.Sprintf("it is %s with %d sessions", v.Presence, v.Sessions), "")
	}
	return v.Err
}

// logIn opens a session as the holder of a receipt would.
func (c *Connector) logIn(ctx context.Context, t connector.Target, r connector.Receipt) (*pgx.Conn, error) {
	var cred credential
	if err := json.Unmarshal(r.Credential.Reveal(), &cred); err != nil {
		return nil, refuse("the receipt has no credential", "")
	}
	t.Username, t.Password = cred.Username, access.NewSecret([]byte(cred.Password))
	cfg, err := config(t, cred.Database)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, &connectError{err}
	}
	return conn, nil
}

// sweepCanaries removes what a Check that was killed left, once it has expired.
func (k *check) sweepCanaries() {
	var old []connector.Order
	for a, err := range k.c.Inventory(k.ctx, k.t) {
		if err != nil {
			return // the steps that follow will say why
		}
		if a.Mechanism == access.Account && strings.HasSuffix(string(a.Tag), canaryMark) {
			old = append(old, connector.Order{Tag: a.Tag, Mechanism: a.Mechanism, Account: a.Account, Creation: a.Creation})
		}
	}
	for i, v := range k.c.Verify(k.ctx, k.t, old) {
		if access.KindOf(v.Err) == access.Expired || access.KindOf(v.Err) == access.Pending {
			os := old[i : i+1]
			k.c.Revoke(k.ctx, k.t, os)
			k.c.TerminateSessions(k.ctx, k.t, os)
			k.c.Remove(k.ctx, k.t, os)
		}
	}
}
