package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/connector"
)

// remove takes away what Revoke and TerminateSessions left: accounts, settings
// made on an enabled one, marks.
func (c *Connector) remove(ctx context.Context, t connector.Target, ss []*subject) error {
	seen, err := c.look(ctx, t, ending, ss, withMembers|withSessions|withDependents|withClaim)
	if err != nil {
		return err
	}
	ss = seen.unclaimed(t, ss)
	pending, err := c.prepared(ctx, t, ss)
	if err != nil {
		return err
	}
	var plain, estates []*subject
	left := linger
	for _, s := range ss {
		r, impostor := seen.account(s)
		if s.order.Mechanism != access.Account {
			s.result = c.removeMark(ctx, t, seen, s, &left)
			continue
		}
		if foreign := removable(s, r, impostor); foreign != nil {
			s.result = connector.Result{Outcome: connector.NotDone, Foreign: true, Err: foreign}
			continue
		}
		switch open := len(seen.sessions[r.oidOr(s.creation)]); {
		case open > 0:
			s.result = result(stillOpen(s.name, open))
		case r == nil:
			s.result = result(nil)
		case r.login:
			s.result = result(&connector.Error{Outcome: connector.NotDone, Message: "the account " + s.name + " can still log in; revoke it first"})
		case r.dependents || len(pending[s.name]) > 0:
			estates = append(estates, s)
		default:
			plain = append(plain, s)
		}
	}
	// What an account left behind may be locked by somebody, or be a lot: those
	// that left nothing do not wait for it.
	c.dropPlain(ctx, t, plain)
	for _, s := range estates {
		s.result = result(c.settleEstate(ctx, t, s, pending[s.name]))
	}
	return nil
}

// removable says why a role is not ours to remove; nil when it is, or is gone.
func removable(s *subject, r, impostor *role) error {
	switch {
	case impostor != nil:
		return notOurs(impostor.name, "is not the one that Stint made")
	case r != nil && r.name != s.name:
		return notOurs(r.name, "was made by Stint and renamed by somebody")
	case r != nil && r.powerful:
		return notOurs(r.name, "has powers that Stint never gives")
	}
	return nil
}

// notOurs says what was met in place of the account.
func notOurs(name, what string) error {
	return access.Fail(access.Conflict, "foreign-role", "the role "+name+" "+what).
		Because("it was left without login, and otherwise as it is").
		Try("find out who did that, then drop the role: REASSIGN OWNED, DROP OWNED, DROP ROLE")
}

func (r *role) oidOr(oid uint32) uint32 {
	if r == nil {
		return oid
	}
	return r.oid
}

func stillOpen(name string, n int) error {
	return &connector.Error{Outcome: connector.NotDone, Message: fmt.Sprintf("%d sessions of %s are still open", n, name)}
}

// dropPlain drops accounts that nothing depends on, many in one statement.
func (c *Connector) dropPlain(ctx context.Context, t connector.Target, ss []*subject) {
	for part := range slices.Chunk(ss, chunk) {
		err := c.drop(ctx, t, part)
		if err == nil || failure(err).Outcome == connector.Unknown {
			for _, s := range part {
				s.result = result(err)
			}
			continue
		}
		for _, s := range part {
			err := c.drop(ctx, t, []*subject{s})
			if hasCode(err, codeDependentObjects) {
				// It came to own something after we looked.
				err = c.settleEstate(ctx, t, s, nil)
			}
			s.result = result(err)
		}
	}
}

func (c *Connector) drop(ctx context.Context, t connector.Target, ss []*subject) error {
	names := make([]string, len(ss))
	for i, s := range ss {
		names[i] = s.name
	}
	return c.pools.again(ctx, t, ending, func(conn *pgx.Conn) error {
		_, err := run(ctx, conn, "DROP ROLE IF EXISTS "+idents(names))
		return err
	})
}

// removeMark ends a group or enable order: settings go back to what they were,
// then the mark goes, and with it the last of us.
func (c *Connector) removeMark(ctx context.Context, t connector.Target, seen *scene, s *subject, left *time.Duration) connector.Result {
	r, impostor := seen.account(s)
	if seen.byName[s.mark] == nil {
		return connector.Result{Outcome: connector.Done, Foreign: impostor != nil}
	}
	if r != nil && seen.marked(s, r) {
		if s.order.Mechanism == access.Checkout {
			return result(c.release(ctx, t, seen, s, r, left)) // with the mark
		}
		var err error
		if s.order.Mechanism == access.Enable {
			err = c.restore(ctx, t, seen, s, r)
		} else {
			err = seen.lent(s, r)
		}
		if err != nil {
			return result(err)
		}
	}
	return result(c.pools.again(ctx, t, ending, func(conn *pgx.Conn) error {
		_, err := run(ctx, conn, "DROP ROLE IF EXISTS "+ident(s.mark))
		return err
	}))
}

// lent says what of a membership is still there: the groups themselves, or
// sessions that may have become one of them.
func (v *scene) lent(s *subject, r *role) error {
	for _, right := range s.order.Rights {
		if _, ours := v.in(r.oid, right); ours && !s.existed(right) && !v.lentByOther(s, r, right) {
			return &connector.Error{Outcome: connector.NotDone, Message: r.name + " is still in " + right + "; revoke it first"}
		}
	}
	if n := v.oldSessions(s, r); n > 0 {
		return stillOpen(r.name, n)
	}
	return nil
}

// oldSessions counts the sessions of a standing account that may still use the
// groups of an order that ended.
func (v *scene) oldSessions(s *subject, r *role) int {
	if s.opt.keepSessions || !s.lends() {
		return 0
	}
	ended := v.notes[s.mark].EndedUS
	n := 0
	for _, x := range v.sessions[r.oid] {
		if ended == 0 || x.startedUS <= ended {
			n++
		}
	}
	return n
}
