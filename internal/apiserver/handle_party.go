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
	register(s, route{name: "invite-vendor", method: post, path: "/v1/vendors", who: admins, tag: "Administration",
		summary: "Invite a vendor: a user of another company, with a sponsor and a contract that ends"}, s.inviteVendor)
	register(s, route{name: "set-vendor", method: put, path: "/v1/vendors/{name}", who: anyone, urgent: true, tag: "Administration",
		summary: "Change who sponsors a vendor, whose they are, or when their contract ends",
		detail:  "Administrators; the sponsor may end the contract, sooner or up to 90 days ahead. What they hold ends with it."}, s.setVendor)
	register(s, route{name: "add-agent", method: post, path: "/v1/admin/agents", who: admins, tag: "Administration",
		summary: "Make an agent with a token, or renew one", detail: "It acts for one human, and never has more than they could ask for."}, s.addAgent)
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
	return answer(api.Vendor{Principal: string(p.ID), Name: p.ID.Name(), Sponsor: p.Sponsor.Name(), Company: p.Company, Groups: texts(p.Groups),
		Until: api.At(p.Until), Disabled: p.Disabled}), nil
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
	agent := access.PrincipalID(in.Body.Agent)
	if agent != "" && agent.Name() == "" {
		agent = access.NewPrincipalID(access.Agent, in.Body.Agent)
	}
	t, ended, err := s.broker.EndTask(ctx, c.asked(nil), agent, task, in.Body.Why)
	if err != nil {
		return nil, err
	}
	out := api.TaskEnded{Agent: string(t.Agent), Task: string(t.ID), EndedAt: api.At(t.EndedAt), Grants: []string{}}
	for _, id := range ended {
		out.Grants = append(out.Grants, string(id))
	}
	return answer(out), nil
}
