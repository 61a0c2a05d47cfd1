package apiserver

import (
	"context"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/policy"
)

func (s *Server) listIntegrations(ctx context.Context, _ call, in *Paging) (*reply[api.Page[api.Integration]], error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	ill, err := s.troubles(ctx)
	if err != nil {
		return nil, err
	}
	return pageOf(set.Integrations(), *in, func(i policy.Integration) api.Integration { return toIntegration(i, ill[i.Name]) })
}

func (s *Server) getIntegration(ctx context.Context, _ call, in *ByName) (*reply[api.Integration], error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	i, ok := set.Integration(in.Name)
	if !ok {
		return nil, noSuch("integration", in.Name, namesOf(set.Integrations(), func(i policy.Integration) string { return i.Name }))
	}
	ill, err := s.troubles(ctx)
	if err != nil {
		return nil, err
	}
	return answer(toIntegration(i, ill[i.Name])), nil
}

func (s *Server) troubles(ctx context.Context) (map[string]Trouble, error) {
	if s.channels == nil {
		return nil, nil
	}
	return s.channels.Troubles(ctx)
}

func (s *Server) deleteIntegration(ctx context.Context, c call, in *ByName) (*reply[api.Deleted], error) {
	return s.remove(ctx, c, policy.KindIntegration, &deleteIn{ByName: *in})
}

// testIntegration sends a message that says who tries it out. That it was tried, and
// how it went, is in the log.
func (s *Server) testIntegration(ctx context.Context, c call, in *ByName) (*reply[api.IntegrationTested], error) {
	if _, err := s.tryChannel(ctx, c, in.Name); err != nil {
		return nil, err
	}
	return answer(api.IntegrationTested{Name: in.Name}), nil
}

// tryChannel does it, and reports whether there is a record of it.
func (s *Server) tryChannel(ctx context.Context, c call, name string) (recorded bool, err error) {
	if s.channels == nil {
		return false, access.Fail(access.Invalid, "no-channel", "this server sends no messages")
	}
	failed := s.channels.Try(ctx, c.Principal.ID, name)
	if kind := access.KindOf(failed); kind == access.NotFound {
		return false, failed
	}
	if err := s.broker.TriedIntegration(ctx, c.asked(nil), name, failed); err != nil {
		return false, err
	}
	return true, failed
}

func toIntegration(i policy.Integration, t Trouble) api.Integration {
	return api.Integration{Name: i.Name, Description: i.Description, Type: i.Type, Address: i.Address, Credential: i.Credential,
		Options: dict(i.Options), Source: i.Source, Trouble: t.Why, TroubleSince: api.At(t.Since)}
}

// linkChat links the caller to a chat's user by the code that this one was given.
func (s *Server) linkChat(ctx context.Context, c call, in *struct{ Body api.ChatLink }) (*reply[api.ChatLinked], error) {
	a, err := s.ident.LinkOwn(ctx, c.Caller, secretOf(in.Body.Code), in.Body.Sure)
	if err != nil {
		return nil, err
	}
	return answer(api.ChatLinked{Integration: a.Provider, Subject: a.Subject, Shows: a.Client, Principal: string(c.Principal.ID), Linked: in.Body.Sure}), nil
}
