package apiserver

import (
	"context"
	"strings"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/ident"
)

func (s *Server) addPartyRoutes() {
	register(s, route{name: "invite-vendor", method: post, path: "/v1/admin/vendors", who: admins, tag: "Administration",
		summary: "Invite a vendor: a user of another company, with a sponsor and a contract that ends"}, s.inviteVendor)
	register(s, route{name: "set-vendor", method: put, path: "/v1/admin/vendors/{name}", who: anyone, urgent: true, tag: "Administration",
		summary: "Change who sponsors a vendor, whose they are, or when their contract ends",
		detail:  "Administrators; the sponsor may end the contract, sooner or up to 90 days ahead. What they hold ends with it."}, s.setVendor)
	register(s, route{name: "add-agent", method: post, path: "/v1/admin/agents", who: admins, tag: "Administration",
		summary: "Make an agent with a token, or renew one", detail: "It acts for one human, and never has more than they could ask for."}, s.addAgent)
	register(s, route{name: "list-vendors", method: get, path: "/v1/admin/vendors", who: anyone, tag: "Administration",
		summary: "Vendors, with sponsor, company and the end of their contract", detail: "Administrators and auditors see all, everybody else those whose sponsor they are."}, s.listVendors)
	register(s, route{name: "list-agents", method: get, path: "/v1/admin/agents", who: anyone, tag: "Administration",
		summary: "Agents, with their human and the end of their token", detail: "Administrators and auditors see all, everybody else those that act for them; an agent itself."}, s.listAgents)
	register(s, route{name: "list-tasks", method: get, path: "/v1/tasks", who: anyone, tag: "Grants",
		summary: "Tasks of agents", detail: "Administrators and auditors see all, everybody else those of agents that act for them; an agent its own."}, s.listTasks)
	register(s, route{name: "end-task", method: post, path: "/v1/tasks/end", who: anyone, urgent: true, tag: "Grants",
		summary: "End a task of an agent, and the access it has for it", detail: "The agent itself, its human, administrators."}, s.endTask)
}

func (s *Server) inviteVendor(ctx context.Context, c call, in *struct{ Body api.VendorInvite }) (*reply[api.UserAdded], error) {
	b := in.Body
	e, err := s.ident.InviteVendor(ctx, c.Caller, ident.NewVendor{Name: b.Name, Groups: b.Groups, Sponsor: strings.TrimPrefix(b.Sponsor, "user:"),
		Company: b.Company, Until: b.Until.Time})
	if err != nil {
		return nil, err
	}
	return answer(toUserAdded(e)), nil
}

type setVendorIn struct {
	ByName
	Body api.VendorSet
}

func (s *Server) setVendor(ctx context.Context, c call, in *setVendorIn) (*reply[api.Vendor], error) {
	b := in.Body
	to := broker.Contract{Company: b.Company, Why: b.Why}
	if b.Sponsor != nil {
		id := access.NewPrincipalID(access.User, strings.TrimPrefix(*b.Sponsor, "user:"))
		to.Sponsor = &id
	}
	if !b.Until.IsZero() {
		to.Until = &b.Until.Time
	}
	if to.Sponsor == nil && to.Company == nil && to.Until == nil {
		return nil, access.Fail(access.Invalid, "nothing-to-change", "the call changes nothing").Try("say sponsor, company or until")
	}
	p, err := s.broker.SetContract(ctx, c.asked(nil), strings.TrimPrefix(in.Name, "user:"), to)
	if err != nil {
		return nil, err
	}
	return answer(toVendor(p)), nil
}

func toVendor(p access.Principal) api.Vendor {
	return api.Vendor{Principal: string(p.ID), Name: p.ID.Name(), Sponsor: p.Sponsor.Name(), Company: p.Company, Groups: texts(p.Groups),
		Until: api.At(p.Until), Disabled: p.Disabled}
}

type listVendorsIn struct {
	Paging
	Sponsor string `query:"sponsor" maxLength:"80" doc:"Only those of this sponsor" example:"omar"`
}

func (s *Server) listVendors(ctx context.Context, c call, in *listVendorsIn) (*reply[api.Page[api.Vendor]], error) {
	ps, err := s.broker.Vendors(ctx, c.asked(nil), userID(in.Sponsor))
	if err != nil {
		return nil, err
	}
	return pageOf(ps, in.Paging, toVendor)
}

type listAgentsIn struct {
	Paging
	Responsible string `query:"responsible" maxLength:"80" doc:"Only those that act for this human" example:"ana"`
}

func (s *Server) listAgents(ctx context.Context, c call, in *listAgentsIn) (*reply[api.Page[api.Agent]], error) {
	ps, err := s.broker.Agents(ctx, c.asked(nil), userID(in.Responsible))
	if err != nil {
		return nil, err
	}
	return pageOf(ps, in.Paging, func(p access.Principal) api.Agent {
		return api.Agent{Principal: string(p.ID), Name: p.ID.Name(), Responsible: p.Responsible.Name(), Groups: texts(p.Groups), CreatedAt: api.At(p.CreatedAt),
			Until: api.At(p.Until), Disabled: p.Disabled}
	})
}

// userID is the user of a name, with or without its kind; nobody for no name.
func userID(name string) access.PrincipalID {
	if name == "" {
		return ""
	}
	return access.NewPrincipalID(access.User, strings.TrimPrefix(name, "user:"))
}

type listTasksIn struct {
	Cursor string `query:"cursor" maxLength:"256" doc:"The next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Agent  string `query:"agent" maxLength:"80" doc:"Only of this agent" example:"fixer"`
	Ended  bool   `query:"ended" doc:"Also those that are over"`
}

func (s *Server) listTasks(ctx context.Context, c call, in *listTasksIn) (*reply[api.Page[api.Task]], error) {
	ts, now, err := s.broker.Tasks(ctx, c.asked(nil), access.TaskQuery{Agent: agentID(in.Agent), Open: !in.Ended, After: in.Cursor, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	page := api.Page[api.Task]{Items: []api.Task{}}
	for _, t := range ts {
		page.Items = append(page.Items, api.Task{Agent: string(t.Agent), Task: string(t.ID), Open: t.Open(now) == nil, OpenedAt: api.At(t.OpenedAt),
			EndsAt: api.At(t.EndsAt), EndedAt: api.At(t.EndedAt), Why: t.Why})
	}
	if len(ts) == in.Limit {
		page.Next = ts[len(ts)-1].Key()
	}
	return answer(page), nil
}

// agentID is the agent of a name, with or without its kind; none for no name.
func agentID(name string) access.PrincipalID {
	if id := access.PrincipalID(name); name == "" || id.Name() != "" {
		return id
	}
	return access.NewPrincipalID(access.Agent, name)
}

func (s *Server) addAgent(ctx context.Context, c call, in *struct{ Body api.AgentAdd }) (*reply[api.ServiceAdded], error) {
	d, err := api.ParseDuration(in.Body.For)
	if err != nil {
		return nil, err
	}
	t, err := s.ident.AddAgent(ctx, c.Caller, ident.NewAgent{Name: in.Body.Name, Groups: in.Body.Groups,
		Responsible: strings.TrimPrefix(in.Body.Responsible, "user:"), For: d})
	if err != nil {
		return nil, err
	}
	s.broker.Reconsider() // renewed, it may be in fewer groups than before
	return answer(api.ServiceAdded{Name: in.Body.Name, Principal: string(t.Principal), Token: api.Secret(t.Token.Reveal()), ExpiresAt: api.At(t.ExpiresAt)}), nil
}

func (s *Server) endTask(ctx context.Context, c call, in *struct{ Body api.TaskEnd }) (*reply[api.TaskEnded], error) {
	task, err := access.ParseTask(in.Body.Task)
	if err != nil {
		return nil, err
	}
	t, ended, err := s.broker.EndTask(ctx, c.asked(nil), agentID(in.Body.Agent), task, in.Body.Why)
	if err != nil {
		return nil, err
	}
	out := api.TaskEnded{Agent: string(t.Agent), Task: string(t.ID), EndedAt: api.At(t.EndedAt), Grants: []string{}}
	for _, id := range ended {
		out.Grants = append(out.Grants, string(id))
	}
	return answer(out), nil
}
