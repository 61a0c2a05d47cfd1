package apiserver

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/policy"
	"stint/internal/web"
	"stint/internal/web/views"
)

const (
	// shownPeople is how many of those whom there are stand on one page.
	shownPeople = 50
	// shownAsked is how many requests of somebody are counted, of askedSince.
	shownAsked = 100
	askedSince = 90 * 24 * time.Hour
	// shownGone is for how long what ended stands on somebody's page.
	shownGone = time.Hour
)

// People is a page of those of a kind. Whoever neither administers nor audits sees the
// vendors and agents that they answer for, as in the API.
func (d doors) People(ctx context.Context, v web.Visitor, tab views.PeopleTab, query string, from int) (out views.People, err error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return out, err
	}
	who := callBy(c).asked(nil)
	out = views.People{Tab: tab, Query: query, All: c.Principal.Admin || c.Principal.Auditor, Size: shownPeople, Now: d.now()}
	if tab != views.TabVendors && tab != views.TabServices && tab != views.TabAgents {
		out.Tab = views.TabPeople
	}
	if !out.All && out.Tab == views.TabPeople && tab == "" {
		out.Tab = views.TabVendors
	}
	var all []access.Principal
	switch out.Tab {
	case views.TabVendors:
		all, err = d.broker.Vendors(ctx, who, "")
	case views.TabAgents:
		all, err = d.broker.Agents(ctx, who, "")
	case views.TabServices:
		all, err = d.broker.Principals(ctx, who, access.Service)
	default:
		all, err = d.broker.Principals(ctx, who, access.User)
		all = slices.DeleteFunc(all, func(p access.Principal) bool { return p.Sponsor != "" })
	}
	if err != nil {
		return out, err
	}
	sought := strings.Fields(strings.ToLower(query))
	all = slices.DeleteFunc(all, func(p access.Principal) bool {
		text := strings.ToLower(string(p.ID) + " " + strings.Join(texts(p.Groups), " ") + " " + p.Company + " " + string(p.Person) + " " + p.Sponsor.Name() + " " + p.Responsible.Name())
		return slices.ContainsFunc(sought, func(w string) bool { return !strings.Contains(text, w) })
	})
	out.Total, out.From = len(all), min(from, len(all))
	all = all[out.From:min(out.From+shownPeople, len(all))]
	var n map[access.PrincipalID]int
	if out.All && len(all) > 0 {
		if n, out.Many, err = d.broker.Holding(ctx, who); err != nil {
			return out, err
		}
	}
	for _, p := range all {
		out.Items = append(out.Items, toUser(p, n[p.ID]))
	}
	return out, nil
}

// Dossier is all there is to know of somebody, as far as the API tells it to the same
// reader: administrators and auditors.
func (d doors) Dossier(ctx context.Context, v web.Visitor, id, after string, from int, live bool) (out views.Dossier, err error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return out, err
	}
	who, pid := callBy(c).asked(nil), principalID(id)
	p, err := d.broker.Principal(ctx, who, pid)
	if access.KindOf(err) == access.NotFound {
		all, err := d.broker.Principals(ctx, who, cmp.Or(pid.Kind(), access.User))
		if err != nil {
			return out, err
		}
		return out, noSuch("user", id, namesOf(all, func(p access.Principal) string { return p.ID.Name() }))
	}
	if err != nil {
		return out, err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return out, err
	}
	out = views.Dossier{User: toUser(p, 0), Mail: p.Attributes[access.MailAttribute], Now: d.now(), Acts: c.Principal.Admin, Self: p.ID == c.Principal.ID}
	if err := d.holdings(ctx, who, set, p, after, &out); err != nil {
		return out, err
	}
	logins, err := d.ident.SessionsOf(ctx, c, p.ID)
	if err != nil {
		return out, err
	}
	for _, l := range logins {
		out.Logins = append(out.Logins, toLogin(l, c.Login.Token))
	}
	if p.ID.Kind() == access.Agent {
		page, err := d.listTasks(ctx, callBy(c), &listTasksIn{Agent: string(p.ID), Limit: 100})
		if err != nil {
			return out, err
		}
		out.Tasks = page.Body.Items
	}
	if out.Office, err = d.officeWaits(ctx, who, p.ID); err != nil || live {
		return out, err
	}
	if p.ID.Kind() == access.User {
		ks, err := d.ident.Passkeys(ctx, c, p.Person, false)
		if err != nil {
			return out, err
		}
		for _, k := range ks {
			out.Keys = append(out.Keys, views.KeyLine{ID: string(k.ID), Name: k.Name, Principal: string(k.Principal), State: string(k.State), Client: k.Origin == access.ClientOrigin, Made: k.CreatedAt})
		}
	}
	behind, err := d.broker.AnsweredBy(ctx, who, p)
	if err != nil {
		return out, err
	}
	for _, q := range behind {
		out.Behind = append(out.Behind, toUser(q, 0))
	}
	open := set.Catalogue(p, d.now())
	out.OpenAll, out.OpenFrom = len(open), min(from, len(open))
	for _, o := range open[out.OpenFrom:min(out.OpenFrom+views.OpenEach, len(open))] {
		out.Open = append(out.Open, choiceOf(o))
	}
	owns, approves := set.Offices(set.Knows(p, d.now()))
	out.Owns, out.Approves = texts(owns), texts(approves)
	asked, err := d.broker.Requests(ctx, who, access.RequestQuery{Principal: p.ID, Limit: shownAsked})
	for _, x := range asked {
		if out.Now.Sub(x.Request.CreatedAt) < askedSince {
			out.Asked = append(out.Asked, toHeld(set, x, out.Now))
		}
	}
	out.More = len(out.Asked) == shownAsked
	return out, err
}

// choiceOf is a resource with what somebody could ask for on it.
func choiceOf(o policy.Open) views.Choice {
	x := views.Choice{Name: string(o.Name), Description: o.Description, Type: o.Type, Env: o.Labels[envLabel], Grade: string(o.Criticality), Owners: texts(o.Owners)}
	for _, r := range o.Roles {
		x.Roles = append(x.Roles, views.RoleChoice{Name: string(r.Role), Description: r.Description, Votes: r.Votes, Longest: r.Longest})
	}
	return x
}

// holdings are what somebody holds, a user with all that they answer for: a window of it
// after a mark; and what ended lately.
func (d doors) holdings(ctx context.Context, who broker.Caller, set *policy.Set, p access.Principal, after string, out *views.Dossier) error {
	q := access.GrantQuery{Principal: p.ID}
	if p.ID.Kind() == access.User {
		q = access.GrantQuery{Person: p.Person}
	}
	gone, err := d.broker.EndedSince(ctx, who, q, out.Now.Add(-shownGone))
	if err != nil {
		return err
	}
	for _, x := range gone {
		out.Gone = append(out.Gone, toHeld(set, x, out.Now))
	}
	slices.SortStableFunc(out.Gone, func(a, b views.Held) int { return b.Over().Compare(a.Over().Time) })
	mark, err := endMark(after)
	if err != nil {
		return err
	}
	held, err := d.broker.HeldBy(ctx, who, p.ID, mark, shownAtOnce)
	for _, x := range held.Going {
		out.Going = append(out.Going, toHeld(set, x, out.Now))
	}
	for _, x := range held.Active {
		out.Held = append(out.Held, toHeld(set, x, out.Now))
	}
	if after == "" {
		for _, x := range held.Coming {
			out.Held = append(out.Held, toHeld(set, x, out.Now))
		}
		out.MoreComing = held.N[access.Scheduled] + held.N[access.Provisioning] - len(held.Coming)
	}
	out.After, out.Next, out.Ending = after, ofEndMark(held.Next), held.N[access.Ending]
	for state, n := range held.N {
		if state != access.Ending {
			out.Holds += n
		}
	}
	return err
}

// officeWaits is the proposal about somebody that waits for another administrator; empty
// where none does.
func (d doors) officeWaits(ctx context.Context, who broker.Caller, id access.PrincipalID) (string, error) {
	ps, _, err := d.broker.Proposals(ctx, who, access.ProposalQuery{States: []access.ProposalState{access.ProposalPending}, Limit: 100})
	for _, p := range ps {
		if p.Kind == access.ProposesOffice && strings.HasPrefix(p.Summary, string(id)+" ") {
			return string(p.ID), err
		}
	}
	return "", err
}

// EndAll revokes all that somebody holds, and for a user all that they answer for holds.
func (d doors) EndAll(ctx context.Context, v web.Visitor, id, why string) error {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.urgent.take(string(c.Principal.ID))
	}
	if err != nil {
		return err
	}
	if pid := principalID(id); pid.Kind() == access.User {
		id = pid.Name() // the person, and not the login alone
	}
	_, err = d.broker.Revoke(ctx, callBy(c).asked(nil), broker.Selector{User: id}, why)
	return err
}

// Offboard disables somebody, as the API does.
func (d doors) Offboard(ctx context.Context, v web.Visitor, id string) error {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.urgent.take(string(c.Principal.ID))
	}
	if err != nil {
		return err
	}
	return d.broker.Disable(ctx, callBy(c).asked(nil), principalID(id), "disabled by "+string(c.Principal.ID))
}

// Lock locks somebody out, and Unlock lets them in again, as the API does.
func (d doors) Lock(ctx context.Context, v web.Visitor, id, why string) error {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.urgent.take(string(c.Principal.ID))
	}
	if err != nil {
		return err
	}
	return d.broker.Lock(ctx, callBy(c).asked(nil), principalID(id), why)
}

func (d doors) Unlock(ctx context.Context, v web.Visitor, id, why string) error {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.writes.take(string(c.Principal.ID))
	}
	if err != nil {
		return err
	}
	_, err = d.broker.Unlock(ctx, callBy(c).asked(nil), principalID(id), why)
	return err
}

// Enable lets a user in again, as the API does: at once, or by a proposal.
func (d doors) Enable(ctx context.Context, v web.Visitor, id string) error {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.writes.take(string(c.Principal.ID))
	}
	if err != nil {
		return err
	}
	if !c.Principal.Admin {
		return access.Fail(access.Denied, "not-yours", "this is for administrators").Because(string(c.Principal.ID) + " is not one")
	}
	pid := principalID(id)
	if pid.Kind() != access.User {
		return access.Fail(access.Invalid, "not-a-user", string(pid)+" is not a user").Try("renew it at the command line")
	}
	_, err = d.setUser(ctx, callBy(c), &setUserIn{ByName{Name: pid.Name()}, api.UserSet{Enable: true}})
	return err
}
