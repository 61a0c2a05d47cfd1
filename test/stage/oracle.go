package stage

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the oracle's own way to the target
)

// Oracle reads the target by itself, as its superuser and without any code of
// the product, and says what of Stint's is there.
type Oracle struct{ db *sql.DB }

// Oracle of the stage's target. Close it.
func (s *Stage) Oracle() (*Oracle, error) {
	db, err := sql.Open("pgx", s.Target.SuperuserDSN(Database))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(2)
	return &Oracle{db}, nil
}

// Close closes the oracle's connections.
func (o *Oracle) Close() error { return o.db.Close() }

func (o *Oracle) strings(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := o.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// Accounts are the ephemeral accounts that exist, of whatever state.
func (o *Oracle) Accounts(ctx context.Context) ([]string, error) {
	return o.strings(ctx, `SELECT rolname FROM pg_authid WHERE rolname LIKE 'stint\_%\_01%' ORDER BY 1`)
}

// Count is how many ephemeral accounts exist.
func (o *Oracle) Count(ctx context.Context) (n int, err error) {
	err = o.db.QueryRowContext(ctx, `SELECT count(*) FROM pg_authid WHERE rolname LIKE 'stint\_%\_01%'`).Scan(&n)
	return n, err
}

// Objects are the ephemeral accounts with the identity of each, which another one
// of the same name would not have.
func (o *Oracle) Objects(ctx context.Context) (map[string]string, error) {
	rows, err := o.db.QueryContext(ctx, `SELECT rolname, oid::text FROM pg_authid WHERE rolname LIKE 'stint\_%\_01%'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]string{}
	for rows.Next() {
		var name, oid string
		if err := rows.Scan(&name, &oid); err != nil {
			return nil, err
		}
		out[name] = oid
	}
	return out, rows.Err()
}

// Marks are the roles without a login by which Stint knows its memberships and
// enabled logins again.
func (o *Oracle) Marks(ctx context.Context) ([]string, error) {
	return o.strings(ctx, `SELECT rolname FROM pg_authid WHERE rolname LIKE 'stintmark\_%' ORDER BY 1`)
}

// Sessions are the open sessions of ephemeral accounts, also of dropped ones.
func (o *Oracle) Sessions(ctx context.Context) ([]string, error) {
	return o.strings(ctx, `SELECT coalesce(usename, 'dropped role ' || usesysid) FROM pg_stat_activity a
		WHERE backend_type = 'client backend' AND (usename LIKE 'stint\_%\_01%' OR NOT EXISTS (SELECT FROM pg_authid r WHERE r.oid = a.usesysid)) ORDER BY 1`)
}

// Members are the memberships that the connector's login granted to standing accounts.
func (o *Oracle) Members(ctx context.Context) ([]string, error) {
	return o.strings(ctx, `SELECT m.rolname || ' in ' || g.rolname FROM pg_auth_members x JOIN pg_authid m ON m.oid = x.member
		JOIN pg_authid g ON g.oid = x.roleid JOIN pg_authid w ON w.oid = x.grantor
		WHERE w.rolname = $1 AND m.rolname NOT LIKE 'stint%\_01%' AND g.rolname NOT LIKE 'stint%\_01%' ORDER BY 1`, Connector)
}

// Enabled reports whether the dormant administrator can log in.
func (o *Oracle) Enabled(ctx context.Context) (bool, error) {
	var login bool
	err := o.db.QueryRowContext(ctx, `SELECT rolcanlogin FROM pg_authid WHERE rolname = $1`, Dormant).Scan(&login)
	return login, err
}

// Left says everything of Stint's that is on the target; empty when it is clean.
func (o *Oracle) Left(ctx context.Context) (string, error) {
	var left []string
	for _, of := range []struct {
		what string
		read func(context.Context) ([]string, error)
	}{{"account", o.Accounts}, {"session of", o.Sessions}, {"membership", o.Members}, {"mark", o.Marks}} {
		xs, err := of.read(ctx)
		if err != nil {
			return "", err
		}
		for _, x := range xs {
			left = append(left, of.what+" "+x)
		}
	}
	on, err := o.Enabled(ctx)
	if err != nil {
		return "", err
	}
	if on {
		left = append(left, Dormant+" can log in")
	}
	return strings.Join(left, "; "), nil
}

// Clean waits until nothing of Stint's is left, and says what is when it took
// longer than within.
func (o *Oracle) Clean(ctx context.Context, within time.Duration) error {
	deadline := time.Now().Add(within)
	for {
		left, err := o.Left(ctx)
		if err != nil {
			return err
		}
		if left == "" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %s there is still on the target: %s", within, left)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}
