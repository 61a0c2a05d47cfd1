package apiserver

import (
	"context"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/credential"
	"stint/internal/policy"
)

type setCredentialIn struct {
	ByName
	Body api.CredentialSet
}

// setCredential registers what Stint signs in to a target or an integration with. That
// the address is the right one only a document can say, so whatever does not fit is said.
func (s *Server) setCredential(ctx context.Context, c call, in *setCredentialIn) (*reply[api.ConnectorCredential], error) {
	a := in.Body
	cred := access.Credential{Name: in.Name, Type: a.Type, Address: a.Address, Username: a.Username}
	if err := s.broker.SetCredential(ctx, c.asked(nil), cred, access.NewSecret([]byte(a.Password.Reveal()))); err != nil {
		return nil, err
	}
	cred.SetAt = s.now()
	set, err := s.broker.Documents(ctx)
	if err != nil { // it is registered, whatever else cannot be said
		s.log.Warn("a credential was registered and not compared with the documents", "credential", in.Name, "error", err)
		return answer(toCredential(nil, cred)), nil
	}
	return answer(toCredential(set, cred)), nil
}

func (s *Server) listCredentials(ctx context.Context, _ call, in *Paging) (*reply[api.Page[api.ConnectorCredential]], error) {
	all, err := s.logins.List(ctx)
	if err != nil {
		return nil, err
	}
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	return pageOf(all, *in, func(c access.Credential) api.ConnectorCredential { return toCredential(set, c) })
}

// deleteCredential forgets the login, and closes what is still open with it here. Other
// replicas use it for two seconds more at most, and close theirs when they have been idle.
func (s *Server) deleteCredential(ctx context.Context, c call, in *ByName) (*reply[api.ConnectorCredential], error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	gone, err := s.logins.Delete(ctx, c.Actor, c.Principal.Admin, set, in.Name)
	if err != nil {
		return nil, err
	}
	s.broker.ForgetLogin(gone)
	return answer(toCredential(nil, gone)), nil
}

// unregistered are warnings about the credentials that the applied documents name. Only
// administrators are told: to others what is registered is no business.
func (s *Server) unregistered(ctx context.Context, c call, docs []policy.Document) ([]api.Problem, error) {
	if !c.Principal.Admin {
		return nil, nil
	}
	var mentioned []policy.Document
	for _, d := range docs {
		if d.Kind == policy.KindResource || d.Kind == policy.KindIntegration {
			mentioned = append(mentioned, d)
		}
	}
	if len(mentioned) == 0 {
		return nil, nil
	}
	set, err := s.broker.Compile(mentioned) // which it has checked whole
	if err != nil {
		return nil, err
	}
	have, err := s.logins.List(ctx)
	if err != nil {
		return nil, err
	}
	return problems(credential.Missing(set, have)), nil
}

// toCredential is without anything secret; of a set that is nil nothing is said.
func toCredential(set *policy.Set, c access.Credential) api.ConnectorCredential {
	out := api.ConnectorCredential{Name: c.Name, Type: c.Type, Address: c.Address, Username: c.Username, UpdatedAt: api.At(c.SetAt),
		Resources: []string{}, Integrations: []string{}, Warnings: []api.Problem{}}
	if set != nil {
		out.Resources = append(out.Resources, credential.UsedBy(set, c.Name)...)
		out.Integrations = append(out.Integrations, credential.UsedOutside(set, c.Name)...)
		out.Warnings = problems(credential.Doubts(set, c))
	}
	return out
}
