package postgres

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"stint/internal/access"
	"stint/internal/connector"
)

// A vaulted account is a standing one that logs in with a password which the vault keeps.
// It is lent under a mark of the order, with VALID UNTIL the end of the grant, and it comes
// back with another password:
//
//	Revoke             NOLOGIN and the next password, under the mark: nobody gets in, with
//	                   what was lent as with what a borrower may have set instead
//	TerminateSessions  nobody is in who could set it once more
//	Remove             LOGIN with the next password, and the mark goes, in one transaction
//	Verify             the next one opens, the one that was lent does not
//
// A borrower may change the account's own password and settings; that is why it has no
// login until its sessions are gone. An order without a next password leaves the account
// without login and password: so does an end without the store, which could not keep it.

// provisionCheckout lends the account.
func (c *Connector) provisionCheckout(ctx context.Context, t connector.Target, s *subject) (connector.Receipt, error) {
	if s.order.Renew == connector.Extend {
		return c.extend(ctx, t, s)
	}
	lent, turns := s.order.Secret, !s.order.Next.Empty()
	if turns {
		lent = s.order.Next
	}
	if lent.Empty() {
		return connector.Receipt{}, refuse("the vault has no secret for "+s.name, "add it: stint admin vault add")
	}
	change := ""
	if turns {
		change = " LOGIN PASSWORD " + literal(newVerifier(lent.Reveal(), s.opt.iterations))
	}
	var r *role
	locked, given := false, ""
	err := c.pools.again(ctx, t, granting, func(conn *pgx.Conn) (err error) {
		var seen *scene
		seen, r, err = c.standing(ctx, conn, t, s)
		if err != nil {
			return err
		}
		locked, given = !r.login && !turns, ""
		if seen.otherEnabled(s, r) {
			return &connector.Error{Outcome: connector.NotDone, Message: s.name + " is lent or enabled by another order"}
		}
		sql := seen.placeMark(s, r, major(conn))
		if len(sql) == 0 {
			sql = append(sql, touch(s.mark)+seen.lentAgain(s))
		}
		lend := fmt.Sprintf("ALTER ROLE %s%s VALID UNTIL %s", ident(r.name), change, until(s.order.ExpiresAt))
		if turns && (!r.login || s.order.Renew == connector.Rotate) {
			lend, given = shut(r.name), touch(s.mark)+"; "+lend
		}
		_, err = run(ctx, conn, strings.Join(append(sql, lend), "; "))
		return err
	})
	switch {
	case err != nil:
	case given != "":
		err = c.admit(ctx, t, r, s.order.Renew, given)
	case s.order.Renew == connector.Rotate:
		err = c.endSessions(ctx, t, granting, map[uint32]int64{r.oid: 0})[r.oid]
	}
	if err != nil {
		return connector.Receipt{}, err
	}
	opens := false
	if !locked { // as an end without the store leaves it, or an administrator
		opens, err = c.opens(ctx, t, s.name, lent)
	}
	switch {
	case err != nil:
		return connector.Receipt{}, err
	case !opens && turns: // whoever is in may have set another meanwhile
		return connector.Receipt{}, &connector.Error{Outcome: connector.Unknown, Message: "the new password of " + s.name + " was set and does not open"}
	case !opens:
		return connector.Receipt{}, &connector.Error{Outcome: connector.NotDone, Message: "the password of " + s.name + " in the vault does not open it: somebody has changed it by hand", Cause: connector.ErrStale}
	}
	receipt, err := receipt(t, s.name, r.oid, lent.Reveal())
	receipt.Turned = turns
	return receipt, err
}

// opens reports whether the target lets the account in with the password. An error means
// that it did not say.
func (c *Connector) opens(ctx context.Context, t connector.Target, account string, password access.Secret) (bool, error) {
	t.Username, t.Password = account, password
	cfg, err := config(t, t.Connection.Options["database"])
	if err != nil {
		return false, err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err == nil {
		leave(ctx, conn)
		return true, nil
	}
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		return false, &connectError{err}
	}
	switch said.Code {
	case codeBadPassword:
		return false, nil
	case codeNoPrivilege: // of who is known: the account may not connect to this database
		return true, nil
	}
	// Anything else says nothing of the password: pg_hba.conf, too many connections, a
	// role without login.
	return false, &connectError{err}
}

// letGo is for how long a server is waited for that was told of the end of a session.
const letGo = 2 * time.Second

// leave ends a session and waits until the server has let it go, so that nobody counts it
// as one of the account's: a backend closes its connection when it is off the list.
func leave(ctx context.Context, conn *pgx.Conn) {
	left, err := conn.PgConn().Hijack()
	if err != nil {
		_ = conn.Close(ctx)
		return
	}
	defer func() { _ = left.Conn.Close() }()
	until := time.Now().Add(letGo)
	if end, ok := ctx.Deadline(); ok && end.Before(until) {
		until = end
	}
	_ = left.Conn.SetDeadline(until)
	left.Frontend.Send(&pgproto3.Terminate{})
	_ = left.Frontend.Flush()
	_, _ = io.Copy(io.Discard, left.Conn)
}

// revokeCheckout takes the login and gives the next password.
func (c *Connector) revokeCheckout(ctx context.Context, t connector.Target, seen *scene, s *subject) step {
	st := step{s: s}
	r, impostor := seen.account(s)
	if r == nil || seen.otherEnabled(s, r) {
		st.foreign = r == nil && impostor != nil
		return st
	}
	marked, next := seen.marked(s, r), s.order.Next
	if !marked && (next.Empty() || s.order.Creation != "" && c.turned(ctx, t, s) == nil) {
		return st // nothing was lent by this order, or it was done before
	}
	if held := checkClaim(readClaim(seen.claim), t); held != nil && !marked {
		st.err = held // nothing of ours is there to end: this begins something
		return st
	}
	var sql []string
	if marked {
		sql = append(sql, touch(s.mark))
	} else {
		sql = seen.placeMark(s, r, seen.major)
	}
	if next.Empty() {
		sql = append(sql, "ALTER ROLE "+ident(r.name)+" NOLOGIN PASSWORD NULL")
	} else {
		sql = append(sql, "ALTER ROLE "+ident(r.name)+" NOLOGIN PASSWORD "+literal(newVerifier(next.Reveal(), s.opt.iterations)))
	}
	st.sql = strings.Join(sql, "; ")
	return st
}

// touch is a statement that changes nothing, and fails where the mark is gone: with it, a
// call that comes late does nothing.
func touch(mark string) string { return "ALTER ROLE " + ident(mark) + " NOLOGIN" }

// lentAgain takes out of the mark when the account was shut, which holds no longer.
func (v *scene) lentAgain(s *subject) string {
	n := v.notes[s.mark]
	if n.ShutUS == 0 {
		return ""
	}
	n.ShutUS = 0
	return "; " + comment(s.mark, n)
}

// release gives the account back: with the next password, and as it was otherwise. For
// log-ins that are under way it waits as long as left says, all in all.
func (c *Connector) release(ctx context.Context, t connector.Target, seen *scene, s *subject, r *role, left *time.Duration) error {
	if seen.otherEnabled(s, r) {
		return c.pools.again(ctx, t, ending, func(conn *pgx.Conn) error {
			_, err := run(ctx, conn, "DROP ROLE IF EXISTS "+ident(s.mark))
			return err
		})
	}
	if r.login {
		return &connector.Error{Outcome: connector.NotDone, Message: "the account " + s.name + " can still log in; revoke it first"}
	}
	if open := len(seen.sessions[r.oid]); open > 0 {
		return stillOpen(s.name, open)
	}
	return c.pools.again(ctx, t, ending, func(conn *pgx.Conn) error {
		if !s.order.Next.Empty() {
			if err := vacate(ctx, conn, seen.notes[s.mark], s, r, left); err != nil {
				return err
			}
		}
		end := "infinity"
		if us := seen.notes[s.mark].UntilUS; us != 0 {
			end = time.UnixMicro(us).UTC().Format("2006-01-02 15:04:05.000000Z07:00")
		}
		var sql []string
		if s.before.OID == r.oid {
			end = cmp.Or(s.before.ValidUntil, "infinity")
			now, err := readSettings(ctx, conn, r.oid)
			if err != nil {
				return err
			}
			sql = undo(ident(r.name), s.before.Settings, now)
		}
		change := ""
		if !s.order.Next.Empty() {
			change = " LOGIN PASSWORD " + literal(newVerifier(s.order.Next.Reveal(), s.opt.iterations))
		}
		sql = append(sql, "ALTER ROLE "+ident(r.name)+change+" VALID UNTIL "+literal(end), "DROP ROLE "+ident(s.mark))
		_, err := run(ctx, conn, strings.Join(sql, "; "))
		return err
	})
}

// vacate sees to it that nobody is on the way into an account that is about to get its
// login back. When it became so that nobody new can be is kept in the mark: strangers who
// begin log-ins all the time, and end none, do not keep the account away for ever.
func vacate(ctx context.Context, conn *pgx.Conn, n note, s *subject, r *role, left *time.Duration) error {
	e := entry{oid: r.oid, shutUS: n.ShutUS}
	if e.shutUS == 0 { // its sessions are gone, of which one may have set another password
		if _, err := run(ctx, conn, shut(r.name)); err != nil {
			return err
		}
	}
	err := e.wait(ctx, conn, left)
	switch {
	case err == nil && e.open > 0:
		return stillOpen(s.name, e.open)
	case err != nil && n.ShutUS == 0 && e.shutUS != 0 && !e.inside: // who is inside already may yet set another password
		n.ShutUS = e.shutUS
		if _, err := run(ctx, conn, touch(s.mark)+"; "+comment(s.mark, n)); err != nil {
			return err
		}
	}
	return err
}

// checkoutPresence is what the catalogue says. Where the mark is gone it says nothing of
// the password, and the target is asked (settleCheckouts).
func (v *scene) checkoutPresence(s *subject, r *role) (connector.Presence, error) {
	switch marked := v.marked(s, r); {
	case marked && r.login && !r.expired:
		return connector.Present, nil
	case marked && r.login:
		return connector.NotKnown, access.Fail(access.Expired, "account-expired", s.name+" has expired on the target")
	case marked:
		return connector.NotKnown, access.Fail(access.Pending, "mark-left", s.name+" cannot log in, and has not got its next password yet")
	}
	return connector.Absent, nil
}

// provers is how many accounts are tried at a time: each is a connection.
const provers = 8

// settleCheckouts proves of the vaulted accounts that look given back that they are.
func (c *Connector) settleCheckouts(ctx context.Context, t connector.Target, seen *scene, ss []*subject, found []connector.Observation, index []int) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, provers)
	for i, s := range ss {
		o := &found[index[i]]
		r, _ := seen.account(s)
		if s.order.Mechanism != access.Checkout || r == nil || o.Presence != connector.Absent || o.Err != nil {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if s.order.Next.Empty() {
				c.dead(ctx, t, s, r, o)
			} else if err := c.turned(ctx, t, s); err != nil {
				o.Presence, o.Err = connector.NotKnown, err
			} else {
				o.Turned = true
			}
		})
	}
	wg.Wait()
}

// turned is nil when the next password opens the account and the one before does not.
func (c *Connector) turned(ctx context.Context, t connector.Target, s *subject) error {
	opens, err := c.opens(ctx, t, s.name, s.order.Next)
	if err != nil {
		return failure(err)
	}
	if !opens {
		return access.Fail(access.Pending, "not-turned", "the next password of "+s.name+" does not open it yet")
	}
	if s.order.Secret.Empty() || bytes.Equal(s.order.Secret.Reveal(), s.order.Next.Reveal()) {
		return nil
	}
	if opens, err = c.opens(ctx, t, s.name, s.order.Secret); err != nil {
		return failure(err)
	}
	if opens {
		return access.Fail(access.Conflict, "secret-lives", "the password of "+s.name+" that was lent still opens it")
	}
	return nil
}

// dead looks whether what an order lent, and nothing took the place of, opens nothing.
func (c *Connector) dead(ctx context.Context, t connector.Target, s *subject, r *role, o *connector.Observation) {
	if !r.login || s.order.Creation == "" || s.order.Secret.Empty() {
		return // it opens with nothing, it lent nothing, or nobody knows what; without the mark it has nothing there
	}
	opens, err := c.opens(ctx, t, s.name, s.order.Secret)
	switch {
	case err != nil:
		o.Presence, o.Err = connector.NotKnown, failure(err)
	case opens:
		o.Presence, o.Err = connector.NotKnown, access.Fail(access.Conflict, "secret-lives", "the password of "+s.name+" that was lent still opens it")
	}
}

// lent reports whether one of the marks lends or enables an account.
func lentBy(marks []string) bool {
	return slices.ContainsFunc(marks, func(m string) bool {
		return strings.HasPrefix(m, enablePrefix) || strings.HasPrefix(m, checkoutPrefix)
	})
}
