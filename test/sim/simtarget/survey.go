package simtarget

import (
	"cmp"
	"context"
	"slices"

	"stint/internal/access"
	"stint/internal/connector"
)

var _ connector.Surveyor = (*Connector)(nil)

// Survey lists who has privileged access without Stint.
func (c *Connector) Survey(ctx context.Context, t connector.Target, lent []string, most int) (found []connector.Stand, cut bool, err error) {
	p, leave, err := c.enter(ctx, t)
	if err != nil {
		return nil, false, failure(err)
	}
	defer leave()
	for _, r := range p.roles {
		_, made := accountTag(r.name)
		enabled := slices.ContainsFunc(r.marks, func(m *mark) bool { return m.mechanism == access.Enable })
		if made || enabled || !r.login || r.name == t.Username {
			continue
		}
		if r.super {
			found = append(found, connector.Stand{Account: r.name, Privilege: "superuser", Kind: access.StandingPower, Undo: "take superuser from " + r.name})
		}
		for _, m := range r.members {
			if slices.Contains(lent, m.group) && !r.grantedBy(t.Username, m) {
				found = append(found, connector.Stand{Account: r.name, Privilege: "member of " + m.group, Kind: access.StandingMember, Right: m.group, Undo: "take " + r.name + " out of " + m.group})
			}
		}
	}
	slices.SortFunc(found, func(a, b connector.Stand) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Privilege, b.Privilege))
	})
	if cut = len(found) > most; cut {
		found = found[:most]
	}
	return found, cut, nil
}
