package apiserver

import (
	"context"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/vault"
)

type addVaultedIn struct {
	ByName
	Body api.VaultAdd
}

func (s *Server) addVaulted(ctx context.Context, c call, in *addVaultedIn) (*reply[api.VaultEntry], error) {
	a := broker.Vaulting{Name: in.Name, Resource: access.ResourceName(in.Body.Resource), Account: in.Body.Account}
	if text := in.Body.Secret.Reveal(); text != "" {
		a.Secret = access.NewSecret([]byte(text))
	}
	if in.Body.RotateEvery != "" {
		d, err := api.ParseDuration(in.Body.RotateEvery)
		if err != nil {
			return nil, access.Fail(access.Invalid, "bad-duration", err.Error())
		}
		a.RotateEvery = d
	}
	v, err := s.broker.AddVaulted(ctx, c.asked(nil), a)
	return s.vaulted(v, err)
}

func (s *Server) listVault(ctx context.Context, c call, in *Paging) (*reply[api.Page[api.VaultEntry]], error) {
	all, err := s.broker.Vaulted(ctx, c.asked(nil), "")
	if err != nil {
		return nil, err
	}
	return pageOf(all, *in, s.toVaultEntry)
}

func (s *Server) getVaulted(ctx context.Context, c call, in *ByName) (*reply[api.VaultEntry], error) {
	vs, err := s.broker.Vaulted(ctx, c.asked(nil), in.Name)
	if err != nil {
		return nil, err
	}
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	out := s.toVaultEntry(vs[0])
	for _, r := range set.Resources() {
		if r.Connection.Place() == vs[0].At {
			out.Resources = append(out.Resources, string(r.Name))
		}
	}
	return answer(out), nil
}

func (s *Server) removeVaulted(ctx context.Context, c call, in *ByName) (*reply[api.VaultEntry], error) {
	v, err := s.broker.RemoveVaulted(ctx, c.asked(nil), in.Name)
	return s.vaulted(v, err)
}

type rotateVaultedIn struct {
	ByName
	Body api.VaultRotate
}

func (s *Server) rotateVaulted(ctx context.Context, c call, in *rotateVaultedIn) (*reply[api.VaultEntry], error) {
	v, err := s.broker.RotateVaulted(ctx, c.asked(nil), in.Name, in.Body.Why)
	return s.vaulted(v, err)
}

func (s *Server) vaulted(v vault.Entry, err error) (*reply[api.VaultEntry], error) {
	if err != nil {
		return nil, err
	}
	return answer(s.toVaultEntry(v)), nil
}

// toVaultEntry has no field for ciphertext.
func (s *Server) toVaultEntry(v vault.Entry) api.VaultEntry {
	out := api.VaultEntry{Name: v.Name, Resource: string(v.Resource), Account: v.Account, Kind: string(v.Kind), State: string(v.Stand()), Wanted: v.Wanted, Trouble: v.Trouble,
		CreatedAt: api.At(v.CreatedAt), RotateAt: api.At(v.RotateAt()), DriftAt: api.At(v.DriftAt), Secrets: []api.VaultVersion{}}
	if v.RotateEvery > 0 {
		out.RotateEvery = api.FormatDuration(v.RotateEvery)
	}
	if c, ok := v.Current(); ok {
		out.Number, out.RotatedAt = c.Number, api.At(c.UsedAt)
	}
	for _, x := range v.Secrets {
		out.Secrets = append(out.Secrets, api.VaultVersion{Number: x.Number, State: string(x.State), Why: x.Why, MadeAt: api.At(x.MadeAt),
			UsedAt: api.At(x.UsedAt), DeadAt: api.At(x.DeadAt), NotAfter: api.At(x.NotAfter)})
	}
	return out
}
