package apiserver

import (
	"context"
	"slices"
	"strings"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/web"
	"stint/internal/web/views"
)

// shownShort bounds what the palette knows of what somebody holds: it lists a few.
const shownShort = 50

// Shortcuts are what the visitor holds, keeps and asked for before. All of it is theirs.
func (d doors) Shortcuts(ctx context.Context, v web.Visitor) (out views.Shortcuts, err error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return out, err
	}
	who, now := callBy(c).asked(nil), d.now()
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return out, err
	}
	live, err := d.broker.Grants(ctx, who, access.GrantQuery{Principal: c.Principal.ID, States: []access.GrantState{access.Scheduled, access.Provisioning, access.Active}, Limit: shownShort})
	if err != nil {
		return out, err
	}
	slices.SortStableFunc(live, func(a, b broker.View) int { return a.Grant.ExpiresAt.Compare(b.Grant.ExpiresAt) })
	for _, x := range live {
		out.Held = append(out.Held, toHeld(set, x, now))
	}
	newest, err := d.broker.Requests(ctx, who, access.RequestQuery{Principal: c.Principal.ID, Limit: shownShort})
	if err != nil {
		return out, err
	}
	out.Again = again(newest)
	out.Favourites, err = d.favourites(ctx, who)
	return out, err
}

// Named are people and policies by name: those whom the visitor may see on their pages, and
// what policies there are, which everybody may read in words.
func (d doors) Named(ctx context.Context, v web.Visitor, parts []string, most int) (out views.Named, err error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return out, err
	}
	out.All = c.Principal.Admin || c.Principal.Auditor
	people, err := d.broker.Named(ctx, callBy(c).asked(nil), parts, most)
	if err != nil {
		return out, err
	}
	for _, p := range people {
		out.People = append(out.People, toUser(p, 0))
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return out, err
	}
	for _, r := range set.Policies() {
		name := string(r.Name)
		if len(out.Policies) < most && !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(name, part) }) {
			out.Policies = append(out.Policies, name)
		}
	}
	return out, nil
}
