package apiserver

import (
	"context"
	"errors"
	"strings"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/ident"
)

// principalID reads a principal's id, or the name of a user.
func principalID(s string) access.PrincipalID {
	if s == "" || strings.Contains(s, ":") {
		return access.PrincipalID(s)
	}
	return access.NewPrincipalID(access.User, s)
}

type listUsersIn struct {
	Paging
	Kind string `query:"kind" enum:"user,service,agent" doc:"Only of this kind"`
}

func (s *Server) listUsers(ctx context.Context, c call, in *listUsersIn) (*reply[api.Page[api.User]], error) {
	all, live, err := s.principals(ctx, c, in.Kind)
	if err != nil {
		return nil, err
	}
	return pageOf(all, in.Paging, func(p access.Principal) api.User { return toUser(p, live[string(p.ID)]) })
}

func (s *Server) getUser(ctx context.Context, c call, in *ByName) (*reply[api.User], error) {
	id := principalID(in.Name)
	all, live, err := s.principals(ctx, c, string(id.Kind()))
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if p.ID == id {
			return answer(toUser(p, live[string(p.ID)])), nil
		}
	}
	return nil, noSuch("user", in.Name, namesOf(all, func(p access.Principal) string { return p.ID.Name() }))
}

func (s *Server) principals(ctx context.Context, c call, kind string) (all []access.Principal, live map[string]int, err error) {
	kinds := []access.PrincipalKind{access.User, access.Service, access.Agent}
	if kind != "" {
		kinds = []access.PrincipalKind{access.PrincipalKind(kind)}
	}
	for _, k := range kinds {
		ps, err := s.broker.Principals(ctx, c.asked(nil), k)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, ps...)
	}
	live, err = s.liveBy(ctx, c, func(v broker.View) []string { return []string{string(v.Grant.Principal)} })
	return all, live, err
}

func (s *Server) addUser(ctx context.Context, c call, in *struct{ Body api.UserAdd }) (*reply[api.UserAdded], error) {
	a := in.Body
	u := ident.NewUser{Name: a.Name, Groups: a.Groups, Manager: a.Manager, Admin: a.Admin, Auditor: a.Auditor, Author: a.Author}
	e, err := s.ident.AddUser(ctx, c.Caller, u)
	two := errors.Is(err, ident.ErrOfficeTakesTwo)
	if two { // the user comes at once, and the office when another administrator says yes
		u.Admin, u.Auditor, u.Author = false, false, false
		e, err = s.ident.AddUser(ctx, c.Caller, u)
	}
	if err != nil {
		return nil, err
	}
	s.broker.PeopleChanged()
	out := answer(toUserAdded(e))
	if two {
		out.Body.Proposal, err = s.office(ctx, c, broker.Office{User: e.Principal, Admin: a.Admin, Auditor: a.Auditor, Author: a.Author})
	}
	return out, err
}

func (s *Server) enrollUser(ctx context.Context, c call, in *ByName) (*reply[api.UserAdded], error) {
	e, err := s.ident.ReEnrol(ctx, c.Caller, strings.TrimPrefix(in.Name, "user:"))
	if err != nil {
		return nil, err
	}
	return answer(toUserAdded(e)), nil
}

type setUserIn struct {
	ByName
	Body api.UserSet
}

// setUser changes a user and has what they hold decided again: a group that is
// gone takes its access along.
func (s *Server) setUser(ctx context.Context, c call, in *setUserIn) (*reply[api.User], error) {
	a := in.Body
	change := ident.UserChange{Manager: a.Manager, Mail: a.Mail, Admin: a.Admin, Auditor: a.Auditor, Author: a.Author, Enable: a.Enable}
	if a.Groups != nil {
		change.Groups = &a.Groups
	}
	name := strings.TrimPrefix(in.Name, "user:")
	is := func(b *bool) bool { return b != nil && *b }
	office := broker.Office{User: access.NewPrincipalID(access.User, name), Admin: is(a.Admin), Auditor: is(a.Auditor), Author: is(a.Author), Enable: a.Enable}
	waits, err := s.office(ctx, c, office)
	if err != nil {
		return nil, err
	}
	if waits == nil {
		_, err = s.ident.ChangeUser(ctx, c.Caller, name, change)
		if errors.Is(err, ident.ErrOfficeTakesTwo) { // another became an administrator since it was asked
			waits, err = s.office(ctx, c, office)
			if err == nil && waits == nil {
				err = ident.ErrOfficeTakesTwo // and is one no more
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if waits != nil { // what is taken away, and what is no office, does not wait
		for _, b := range []**bool{&change.Admin, &change.Auditor, &change.Author} {
			if is(*b) {
				*b = nil
			}
		}
		change.Enable = false
		if change != (ident.UserChange{}) {
			if _, err := s.ident.ChangeUser(ctx, c.Caller, name, change); err != nil {
				return nil, err
			}
		}
	}
	s.broker.Reconsider()
	out, err := s.getUser(ctx, c, &ByName{Name: name})
	if err == nil {
		out.Body.Proposal = waits
	}
	return out, err
}

// office proposes rights for a user where that takes a second person; nil where not.
func (s *Server) office(ctx context.Context, c call, o broker.Office) (*api.Proposal, error) {
	if !o.Admin && !o.Auditor && !o.Author && !o.Enable {
		return nil, nil
	}
	p, err := s.broker.GiveOffice(ctx, c.asked(nil), o)
	if err != nil || p == nil {
		return nil, err
	}
	return toProposal(broker.ProposalView{Proposal: *p, State: p.State}), nil
}

type linkUserIn struct {
	ByName
	Body api.Identity
}

func (s *Server) linkUser(ctx context.Context, c call, in *linkUserIn) (*reply[api.User], error) {
	p, err := s.ident.Link(ctx, c.Caller, strings.TrimPrefix(in.Name, "user:"), access.Identity(in.Body))
	if err != nil {
		return nil, err
	}
	return s.getUser(ctx, c, &ByName{Name: string(p.ID)})
}

// unlinkUser has what they hold decided again: the provider's groups may be gone.
func (s *Server) unlinkUser(ctx context.Context, c call, in *linkUserIn) (*reply[api.User], error) {
	p, err := s.ident.Unlink(ctx, c.Caller, strings.TrimPrefix(in.Name, "user:"), access.Identity(in.Body))
	if err != nil {
		return nil, err
	}
	s.broker.Reconsider()
	return s.getUser(ctx, c, &ByName{Name: string(p.ID)})
}

func toUserAdded(e ident.Enrolment) api.UserAdded {
	return api.UserAdded{Name: e.Principal.Name(), Principal: string(e.Principal), EnrollToken: api.Secret(e.Code.Reveal()), ExpiresAt: api.At(e.ExpiresAt)}
}

// defaultService is how long a service is good for where nobody says.
const defaultService = "30d"

func (s *Server) addService(ctx context.Context, c call, in *struct{ Body api.ServiceAdd }) (*reply[api.ServiceAdded], error) {
	span := in.Body.For
	if span == "" {
		span = defaultService
	}
	d, err := api.ParseDuration(span)
	if err != nil {
		return nil, err
	}
	t, err := s.ident.AddService(ctx, c.Caller, ident.NewService{Name: in.Body.Name, Groups: in.Body.Groups, Owner: strings.TrimPrefix(in.Body.Owner, "user:"), For: d, NoToken: in.Body.NoToken})
	if err != nil {
		return nil, err
	}
	s.broker.Reconsider() // renewed, it may be in fewer groups than before
	return answer(api.ServiceAdded{Name: in.Body.Name, Principal: string(t.Principal), Token: api.Secret(t.Token.Reveal()), ExpiresAt: api.At(t.ExpiresAt)}), nil
}

func (s *Server) disableUser(ctx context.Context, c call, in *ByName) (*reply[api.Disabled], error) {
	id, who := principalID(in.Name), c.asked(nil)
	if err := s.broker.Disable(ctx, who, id, "disabled by "+string(c.Principal.ID)); err != nil {
		return nil, err
	}
	grants, err := s.grantIDs(ctx, who, access.GrantQuery{Principal: id, States: []access.GrantState{access.Ending}, Limit: 1000})
	if err != nil {
		return nil, err
	}
	return answer(api.Disabled{Principal: string(id), Grants: grants}), nil
}

type lockUserIn struct {
	ByName
	Body api.LockAsk
}

func (s *Server) lockUser(ctx context.Context, c call, in *lockUserIn) (*reply[api.Disabled], error) {
	id, who := principalID(in.Name), c.asked(nil)
	if err := s.broker.Lock(ctx, who, id, in.Body.Why); err != nil {
		return nil, err
	}
	grants, err := s.grantIDs(ctx, who, access.GrantQuery{Principal: id, States: []access.GrantState{access.Ending}, Limit: 1000})
	if err != nil {
		return nil, err
	}
	return answer(api.Disabled{Principal: string(id), Grants: grants}), nil
}

func (s *Server) unlockUser(ctx context.Context, c call, in *lockUserIn) (*reply[api.User], error) {
	id := principalID(in.Name)
	waits, err := s.broker.Unlock(ctx, c.asked(nil), id, in.Body.Why)
	if err != nil {
		return nil, err
	}
	out, err := s.getUser(ctx, c, &ByName{Name: string(id)})
	if err == nil && waits != nil {
		out.Body.Proposal = toProposal(broker.ProposalView{Proposal: *waits, State: waits.State})
	}
	return out, err
}
