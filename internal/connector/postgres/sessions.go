package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/connector"
)

const (
	pollFirst = 4 * time.Millisecond
	pollMost  = 25 * time.Millisecond
	// resignal is after how long a backend that did not go is told again.
	resignal = time.Second
	// patience is how long a log-in that may still be asking for the password is
	// waited for. One that has found LOGIN does not wait for its client; one that
	// has not will find NOLOGIN, for whoever gives that back waits longer (see admit).
	patience = 50 * time.Millisecond
)

// terminate ends the sessions of the subjects' accounts.
func (c *Connector) terminate(ctx context.Context, t connector.Target, ss []*subject) error {
	seen, err := c.look(ctx, t, ending, ss, withMembers|withClaim)
	if err != nil {
		return err
	}
	ss = seen.unclaimed(t, ss)
	ends, err := c.cutOff(ctx, t, seen, ss)
	if err != nil {
		return err
	}
	left := c.endSessions(ctx, t, ending, ends)
	for _, s := range ss {
		s.result = result(left[seen.sessionsOf(s)])
	}
	return nil
}

// sessionsOf is the role whose sessions end with the order, or 0. Sessions name
// their role by oid, also when it was dropped under them.
func (v *scene) sessionsOf(s *subject) uint32 {
	r, _ := v.account(s)
	switch {
	case s.order.Mechanism == access.Account:
		return r.oidOr(s.creation)
	case s.order.Mechanism == access.Member && (s.opt.keepSessions || !s.lends()):
		return 0
	case r == nil && s.order.Creation != "":
		return s.creation
	case r == nil:
		return 0
	case s.order.Mechanism == access.Enable && (r.login || !v.enabledByUs(s, r)):
		return 0 // whoever enabled the account after us keeps their sessions
	case s.order.Mechanism == access.Checkout && (r.login || !v.marked(s, r)):
		return 0 // it was given back, and is another's
	case s.order.Mechanism == access.Member && s.mark != "" && !v.marked(s, r):
		return 0 // done before: the mark went last
	}
	return r.oid
}

// cutOff says whose sessions end, and up to which start; 0 means all. For a
// standing account that left a group it fixes, in the order's mark, the moment
// up to which sessions may have used the group: those that begin later cannot,
// and are the person's own business.
func (c *Connector) cutOff(ctx context.Context, t connector.Target, seen *scene, ss []*subject) (map[uint32]int64, error) {
	cut := map[uint32]int64{}
	var members []*subject
	for _, s := range ss {
		oid := seen.sessionsOf(s)
		if s.order.Mechanism == access.Member && seen.byOID[oid] != nil {
			members = append(members, s)
		} else if oid != 0 {
			cut[oid] = 0
		}
	}
	if len(members) == 0 {
		return cut, nil
	}
	return cut, c.pools.again(ctx, t, ending, func(conn *pgx.Conn) error {
		// Read after the REVOKE was committed: that is what makes it a bound.
		var now int64
		if err := conn.QueryRow(ctx, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8").Scan(&now); err != nil {
			return err
		}
		sql := ""
		for _, s := range members {
			r, _ := seen.account(s)
			n := seen.notes[s.mark]
			if n.EndedUS == 0 {
				n.EndedUS = now
				if s.mark != "" {
					sql += comment(s.mark, n) + ";"
				}
			}
			if at, there := cut[r.oid]; !there || at != 0 {
				cut[r.oid] = max(at, n.EndedUS)
			}
		}
		if sql == "" {
			return nil
		}
		_, err := run(ctx, conn, sql)
		return err
	})
}

// killSQL signals the sessions to end that were not signalled yet, and lists all
// that are there. The last argument of each account is the start up to which
// its sessions end; 0 means all.
const killSQL = `
SELECT a.pid, a.usesysid, a.pid = ANY ($3::int4[]) OR pg_terminate_backend(a.pid)
FROM pg_stat_activity a JOIN unnest($1::oid[], $2::int8[]) AS x (usesysid, until) USING (usesysid)
WHERE x.until = 0 OR a.backend_start IS NULL OR extract(epoch FROM a.backend_start) * 1000000 <= x.until`

// startingSQL lists the backends that are not listed as sessions yet, but are in
// their first transaction, and whether they have been let in: they hold a lock
// on their database from right after they read their role.
const startingSQL = `
SELECT l.pid, bool_or(l.locktype = 'object' AND l.classid = 'pg_database'::regclass)
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.pid IS NOT NULL AND a.usesysid IS NULL AND coalesce(a.backend_type, 'client backend') = 'client backend'
GROUP BY l.pid`

// endSessions ends the sessions of the roles, and returns when there is none
// left, or why there is. A log-in that read its role before it lost LOGIN, and is
// not in the list of sessions yet, is waited for.
func (c *Connector) endSessions(ctx context.Context, t connector.Target, l lane, ends map[uint32]int64) map[uint32]error {
	left := map[uint32]error{}
	if len(ends) == 0 {
		return left
	}
	k := newKill(ends)
	err := c.pools.again(ctx, t, l, func(conn *pgx.Conn) error { return k.run(ctx, conn) })
	if err == nil {
		return left
	}
	f := failure(err)
	if f.Outcome == connector.NotDone && len(ends) > 1 && ctx.Err() == nil {
		// One that may not be signalled fails the statement for all.
		for oid, at := range ends {
			for o, e := range c.endSessions(ctx, t, l, map[uint32]int64{oid: at}) {
				left[o] = e
			}
		}
		return left
	}
	for oid := range ends {
		if !k.looked || k.open[oid] > 0 || len(k.starting) > 0 {
			left[oid] = k.explain(oid, f)
		}
	}
	return left
}

// kill is the work of ending the sessions of some roles.
type kill struct {
	oids     []uint32
	until    []int64
	told     []int32 // backends that were signalled
	toldAt   time.Time
	looked   bool           // open is known
	open     map[uint32]int // sessions, by role
	starting map[int32]bool // log-ins that were under way at the beginning
	since    time.Time
}

func newKill(ends map[uint32]int64) *kill {
	k := &kill{oids: slices.Sorted(maps.Keys(ends)), since: time.Now()}
	for _, oid := range k.oids {
		k.until = append(k.until, ends[oid])
	}
	return k
}

// run goes round until nothing is left.
func (k *kill) run(ctx context.Context, conn *pgx.Conn) error {
	pause := pollFirst
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		over, err := k.round(ctx, conn)
		if err != nil || over {
			return err
		}
		timer.Reset(pause)
		pause = min(pause*2, pollMost)
	}
}

// round signals what is there and reports whether nothing is left.
func (k *kill) round(ctx context.Context, conn *pgx.Conn) (over bool, err error) {
	if time.Since(k.toldAt) > resignal {
		k.told, k.toldAt = nil, time.Now()
	}
	open := map[uint32]int{}
	var under map[int32]bool
	b := &pgx.Batch{}
	if k.starting == nil || len(k.starting) > 0 {
		// First, so that one that gets through in between shows in the second.
		b.Queue(startingSQL).Query(func(rows pgx.Rows) (err error) {
			under, err = readStarting(rows)
			return err
		})
	}
	b.Queue(killSQL, k.oids, k.until, k.told).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var pid int32
			var oid uint32
			if err := rows.Scan(&pid, &oid, nil); err != nil {
				return err
			}
			open[oid]++
			k.told = append(k.told, pid)
		}
		return rows.Err()
	})
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return false, err
	}
	slices.Sort(k.told)
	k.told = slices.Compact(k.told)
	k.open, k.looked = open, true
	k.note(under)
	return len(open) == 0 && len(k.starting) == 0, nil
}

// note keeps of the log-ins that were under way at the beginning those that
// still are and still matter.
func (k *kill) note(under map[int32]bool) {
	if k.starting == nil {
		k.starting = under
		if under == nil {
			k.starting = map[int32]bool{}
		}
		return
	}
	late := time.Since(k.since) > patience
	for pid := range k.starting {
		if in, still := under[pid]; !still || late && !in {
			delete(k.starting, pid)
		}
	}
}

func readStarting(rows pgx.Rows) (map[int32]bool, error) {
	under := map[int32]bool{}
	for rows.Next() {
		var pid int32
		var in bool
		if err := rows.Scan(&pid, &in); err != nil {
			return nil, err
		}
		under[pid] = in
	}
	return under, rows.Err()
}

// explain says for one role what stands in the way.
func (k *kill) explain(oid uint32, f *connector.Error) error {
	if f.Outcome == connector.NotDone || !k.looked {
		return f
	}
	e := *f
	e.Message = "a log-in that is under way has not finished yet"
	if n := k.open[oid]; n > 0 {
		e.Message = fmt.Sprintf("%d sessions were told to end and have not ended yet", n)
	}
	return &e
}
