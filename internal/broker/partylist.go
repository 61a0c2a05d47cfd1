package broker

import (
	"context"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
)

// Vendors lists vendors by name, those of one sponsor or with none of all. Administrators
// and auditors see all, everybody else those whom they answer for.
func (b *Broker) Vendors(ctx context.Context, c Caller, sponsor access.PrincipalID) ([]access.Principal, error) {
	return b.parties(ctx, c, access.User, sponsor, func(p access.Principal) bool {
		return p.Sponsor != "" && (sponsor == "" || p.Sponsor == sponsor)
	})
}

// Agents lists agents by name, those of one human or with none of all. Who sees them is as
// with vendors; an agent sees itself.
func (b *Broker) Agents(ctx context.Context, c Caller, human access.PrincipalID) ([]access.Principal, error) {
	return b.parties(ctx, c, access.Agent, human, func(p access.Principal) bool {
		return p.ID.Kind() == access.Agent && (human == "" || p.Responsible == human)
	})
}

// Named are so many of those whose id has all the parts in it, as far as the caller may see
// them in lists: administrators and auditors everybody, others whom they answer for.
func (b *Broker) Named(ctx context.Context, c Caller, parts []string, most int) (ps []access.Principal, err error) {
	if c.Glass != nil {
		return nil, errGlassOnly
	}
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		if c.Principal.Admin || c.Principal.Auditor {
			ps, err = tx.PrincipalsNamed(parts, most)
			return err
		}
		ps, err = tx.PrincipalsOf(c.Principal.ID)
		return err
	})
	ps = slices.DeleteFunc(ps, func(p access.Principal) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(string(p.ID), part) })
	})
	return ps[:min(len(ps), most)], err
}

// parties reads those for whom somebody answers, as far as the caller may see them.
func (b *Broker) parties(ctx context.Context, c Caller, kind access.PrincipalKind, by access.PrincipalID, are func(access.Principal) bool) (ps []access.Principal, err error) {
	if c.Glass != nil {
		return nil, errGlassOnly
	}
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		ps, err = answeredFor(tx, c, kind, by)
		return err
	})
	return slices.DeleteFunc(ps, func(p access.Principal) bool { return !are(p) }), err
}

func answeredFor(tx Tx, c Caller, kind access.PrincipalKind, by access.PrincipalID) ([]access.Principal, error) {
	switch all := c.Principal.Admin || c.Principal.Auditor; {
	case all && by == "":
		return tx.Principals(kind)
	case all:
		return tx.PrincipalsOf(by)
	}
	ps, err := tx.PrincipalsOf(c.Principal.ID)
	if err != nil {
		return nil, err
	}
	self, err := tx.Principal(c.Principal.ID)
	if self.ID.Kind() == access.Agent {
		ps = append(ps, self)
	}
	return ps, err
}

// Tasks lists tasks, by agent and then by name, as of the time that it gives.
// Administrators and auditors see all, everybody else those of agents that act for them,
// and an agent its own.
func (b *Broker) Tasks(ctx context.Context, c Caller, q access.TaskQuery) (ts []access.Task, now time.Time, err error) {
	if c.Glass != nil {
		return nil, now, errGlassOnly
	}
	err = b.Store.View(onBehalf(ctx, c.Principal.Person), func(tx Tx) error {
		ts, now = nil, tx.Now()
		if c.Principal.Admin || c.Principal.Auditor {
			ts, err = tx.Tasks(q)
			return err
		}
		mine, err := answeredFor(tx, c, access.Agent, "")
		if err != nil {
			return err
		}
		ts, err = tasksOf(tx, mine, q)
		return err
	})
	return ts, now, err
}

// tasksOf is one page of the tasks of some agents. The cursor says which agent it came to.
func tasksOf(tx Tx, agents []access.Principal, q access.TaskQuery) (ts []access.Task, err error) {
	at, _, _ := strings.Cut(q.After, "/")
	if q.Limit <= 0 {
		q.Limit = 100
	}
	for _, a := range agents {
		one := access.TaskQuery{Agent: a.ID, Open: q.Open, Limit: q.Limit - len(ts)}
		switch {
		case a.ID.Kind() != access.Agent, q.Agent != "" && a.ID != q.Agent, string(a.ID) < at:
			continue
		case string(a.ID) == at:
			one.After = q.After
		}
		if one.Limit <= 0 {
			break
		}
		of, err := tx.Tasks(one)
		if err != nil {
			return nil, err
		}
		ts = append(ts, of...)
	}
	return ts, nil
}
