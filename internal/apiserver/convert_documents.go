package apiserver

import (
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/policy"
)

func toResource(r policy.Resource, live int) api.Resource {
	out := api.Resource{
		Name: string(r.Name), Type: r.Type, Labels: dict(r.Labels), Criticality: string(r.Criticality), Owners: texts(r.Owners), Location: r.Location,
		Address: r.Connection.Address, Credential: r.Connection.Credential, Connection: dict(r.Connection.Options), Source: r.Source, Live: live,
	}
	if c := r.Ceiling; c != nil {
		out.Ceiling.Mechanisms = texts(c.Mechanisms)
		out.Ceiling.Limits = map[string][]string{}
		if len(c.MemberOf) > 0 {
			out.Ceiling.Limits["memberOf"] = slices.Clone(c.MemberOf)
		}
		if len(c.Commands) > 0 {
			out.Ceiling.Limits["commands"] = slices.Clone(c.Commands)
		}
		if len(c.Accounts) > 0 {
			out.Ceiling.Limits["accounts"] = slices.Clone(c.Accounts)
		}
		if c.MaxDuration > 0 {
			out.Ceiling.MaxDuration = api.FormatDuration(c.MaxDuration)
		}
	}
	return out
}

func toRole(r policy.Role) api.Role {
	options := dict(r.Options)
	if r.Account != "" {
		options["account"] = r.Account
	}
	return api.Role{
		Name: string(r.Name), Description: r.Description, Mechanism: string(r.Mechanism), Rights: texts(r.Rights), Options: options,
		Resources: api.Selector{Names: texts(r.Resources.Names), Type: r.Resources.Type, Labels: r.Resources.Labels},
		Exclusive: r.Exclusive, Excludes: texts(r.Excludes), MaxDuration: api.FormatDuration(r.MaxDuration), Source: r.Source,
	}
}

func toPolicy(r policy.Rule) api.Policy {
	out := api.Policy{
		Name: string(r.Name), Effect: r.Effect(), Subjects: texts(r.Subjects), Roles: texts(r.Roles), Zone: r.Zone, When: condition(r.When, r.While), Source: r.Source,
		Require: api.Require{ReasonMinLength: r.Require.MinReason, TicketPattern: r.Require.Ticket.Pattern, Approvals: toApprovals(r.Require.Asked(), nil), MFA: r.Require.MFA, Recording: r.Require.Recording,
			MaxLive: r.Require.Limits.Live, MaxPending: r.Require.Limits.Pending},
	}
	for _, d := range []struct {
		to   *string
		from time.Duration
	}{{&out.Require.MaxDuration, r.Require.MaxDuration}, {&out.Require.AnswerWithin, r.Require.AnswerWithin}, {&out.Require.RemindAfter, r.Require.RemindAfter}, {&out.Require.MaxAhead, r.Require.MaxAhead}} {
		if d.from > 0 {
			*d.to = api.FormatDuration(d.from)
		}
	}
	sayTicket(&out.Require, r.Require.Ticket)
	if e := r.Require.Extensions; e.Said {
		out.Require.Extensions = &api.Extensions{Max: e.Max}
		if e.By > 0 {
			out.Require.Extensions.By = api.FormatDuration(e.By)
		}
		if e.Own {
			asked := toApprovals(policy.Requirements{Approvals: e.Approvals}.Asked(), nil)
			out.Require.Extensions.Approvals = &asked
		}
	}
	return out
}

// sayTicket is what a policy asks of a ticket that is looked up.
func sayTicket(to *api.Require, t policy.TicketRule) {
	if t.From == "" {
		return
	}
	to.TicketFrom, to.TicketState, to.TicketAssigned, to.TicketNames, to.TicketEnds = t.From, "open", t.Assigned, t.Names, t.EndOnClose
	if t.AnyState {
		to.TicketState = "any"
	}
	if t.EndOnClose {
		to.TicketUnknownFor = api.FormatDuration(t.UnknownFor)
	}
}

// condition joins what must hold when asking with what must hold throughout.
func condition(when, while string) string {
	switch {
	case while == "":
		return when
	case when == "":
		return while
	}
	return "(" + when + ") && (" + while + ")"
}

func toUser(p access.Principal, live int) api.User {
	u := api.User{
		ID: string(p.ID), Name: p.ID.Name(), Kind: string(p.Kind()), Person: string(p.Person), Groups: texts(p.Groups), Manager: p.Manager.Name(),
		Admin: p.Admin, Auditor: p.Auditor, Author: p.Author, Disabled: p.Disabled, Until: api.At(p.Until), CreatedAt: api.At(p.CreatedAt), Live: live,
		DisabledBy: p.DisabledBy, Sponsor: p.Sponsor.Name(), Company: p.Company, Responsible: p.Responsible.Name(),
	}
	if p.Lock.Is() {
		u.Lock = &api.Lock{With: string(p.Lock.With), By: string(p.Lock.By), Why: p.Lock.Why, At: api.At(p.Lock.At)}
	}
	for _, i := range p.Identities {
		u.Identities = append(u.Identities, api.Identity(i))
	}
	for source, gs := range p.Provided {
		if source == "" {
			continue
		}
		if u.Provided == nil {
			u.Provided = map[string][]string{}
		}
		u.Provided[source] = texts(gs)
	}
	return u
}

func toCanRow(resource string, e policy.Eligible) api.CanRow {
	return api.CanRow{Principal: string(e.Subject), Resource: resource, Role: string(e.Role), Outcome: outcome(e.Effect), Policy: string(e.Policy),
		Source: e.Source, Approvals: toApprovals(e.Approvals, nil), Condition: condition(e.When, e.While), BreakGlass: e.BreakGlass}
}

func toHasRow(resource string, v broker.View) api.HasRow {
	row := api.HasRow{Principal: string(v.Request.Principal), Resource: resource, Role: string(v.Request.Role), Request: string(v.Request.ID), Rights: []string{}}
	if g := v.Grant; g != nil {
		row.Grant, row.State, row.ExpiresAt, row.Rights = string(g.ID), api.GrantState(g.State), api.At(g.ExpiresAt), texts(g.Permissions.Rights)
		for _, t := range g.Targets {
			if string(t.Resource) == resource {
				row.Account = t.Account
			}
		}
	}
	return row
}

func problems(ps []policy.Problem) []api.Problem {
	out := make([]api.Problem, len(ps))
	for i, p := range ps {
		out[i] = api.Problem{Source: source(p.File, p.Line), Text: p.Message, Next: p.Hint}
	}
	return out
}

// dict is never nil.
func dict(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
