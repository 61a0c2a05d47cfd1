package postgres

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/connector"
)

// chunk is how many orders share a transaction: each role that is dropped holds
// a lock until the end of it, and the lock table is finite.
const chunk = 500

// step is what is sent for one subject, and whether what it met is not ours.
type step struct {
	s       *subject
	sql     string // empty: nothing to do
	foreign bool   // what is there is not what we made
	err     error  // why nothing may be done
}

// revoke makes the credentials useless: no login for accounts, no membership for
// standing ones.
func (c *Connector) revoke(ctx context.Context, t connector.Target, ss []*subject) error {
	seen, err := c.look(ctx, t, ending, ss, withMembers|withClaim)
	if err != nil {
		return err
	}
	ss = seen.unclaimed(t, ss)
	steps := make([]step, len(ss))
	for i, s := range ss {
		switch s.order.Mechanism {
		case access.Account:
			steps[i] = seen.revokeAccount(s)
		case access.Enable:
			steps[i] = seen.revokeEnabled(s)
		case access.Checkout:
			steps[i] = c.revokeCheckout(ctx, t, seen, s)
		default:
			steps[i] = seen.revokeMember(s)
		}
	}
	c.perform(ctx, t, steps)
	return nil
}

// lockRole is the statement that makes a role's credential useless. The password
// goes too, so that LOGIN given by hand does not bring it back.
func lockRole(name string) string {
	return "ALTER ROLE " + ident(name) + " NOLOGIN PASSWORD NULL VALID UNTIL '-infinity'"
}

func (v *scene) revokeAccount(s *subject) step {
	r, impostor := v.account(s)
	st := step{s: s, foreign: removable(s, r, impostor) != nil}
	for _, x := range []*role{r, impostor} {
		if x != nil && x.login {
			st.sql += lockRole(x.name) + ";"
		}
	}
	return st
}

// revokeMember takes back the groups that our login gave, except those that
// another order lends to the same account.
func (v *scene) revokeMember(s *subject) step {
	st := step{s: s}
	r, impostor := v.account(s)
	if r == nil {
		st.foreign = impostor != nil
		return st
	}
	rights := s.order.Rights
	if v.marked(s, r) {
		rights = append(slices.Clone(rights), v.notes[s.mark].Rights...)
		slices.Sort(rights)
		rights = slices.Compact(rights)
	}
	var gone []string
	for _, right := range rights {
		member, ours := v.in(r.oid, right)
		switch {
		case !member || s.existed(right) || reserved(right):
		case !ours:
			st.foreign = true // given by somebody else since; left as it is
		case !v.lentByOther(s, r, right):
			gone = append(gone, right)
		}
	}
	if len(gone) > 0 {
		st.sql = "REVOKE " + idents(gone) + " FROM " + ident(r.name)
	}
	return st
}

// lentByOther reports whether another order's mark on the account names the
// group.
func (v *scene) lentByOther(s *subject, r *role, right string) bool {
	return slices.ContainsFunc(v.otherMarks(s, r), func(m string) bool {
		return slices.Contains(v.notes[m].Rights, right)
	})
}

// perform sends the steps, many in one transaction; where one of them fails,
// each goes alone, so that it fails alone.
func (c *Connector) perform(ctx context.Context, t connector.Target, steps []step) {
	todo := make([]step, 0, len(steps))
	for _, st := range steps {
		if st.sql == "" {
			st.settle(st.err)
			continue
		}
		todo = append(todo, st)
	}
	for part := range slices.Chunk(todo, chunk) {
		if err := c.send(ctx, t, part); err == nil || len(part) == 1 || failure(err).Outcome == connector.Unknown {
			for _, st := range part {
				st.settle(err)
			}
			continue
		}
		for i := range part {
			part[i].settle(c.send(ctx, t, part[i:i+1]))
		}
	}
}

// send runs the steps in one transaction.
func (c *Connector) send(ctx context.Context, t connector.Target, part []step) error {
	var b strings.Builder
	for _, st := range part {
		b.WriteString(st.sql)
		b.WriteString(";\n")
	}
	return c.pools.again(ctx, t, ending, func(conn *pgx.Conn) error {
		_, err := run(ctx, conn, b.String())
		return err
	})
}

// settle writes the result of a step.
func (st step) settle(err error) {
	st.s.result = result(err)
	st.s.result.Foreign = st.foreign
}
