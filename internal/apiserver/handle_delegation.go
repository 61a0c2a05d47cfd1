package apiserver

import (
	"context"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
)

func (s *Server) delegate(ctx context.Context, c call, in *struct{ Body api.DelegateAsk }) (*reply[api.Delegation], error) {
	span, err := api.ParseDuration(in.Body.For)
	if err != nil {
		return nil, err
	}
	a := broker.Delegation{To: principalID(in.Body.To), For: span, Why: in.Body.Why}
	if a.Starts, err = startOf(in.Body.Start); err != nil {
		return nil, err
	}
	d, err := s.broker.Delegate(ctx, c.asked(nil), a)
	if err != nil {
		return nil, err
	}
	return answer(s.toDelegation(d)), nil
}

func (s *Server) listDelegations(ctx context.Context, c call, in *Paging) (*reply[api.Page[api.Delegation]], error) {
	ds, err := s.broker.Delegations(ctx, c.asked(nil))
	if err != nil {
		return nil, err
	}
	return pageOf(ds, *in, s.toDelegation)
}

func (s *Server) endDelegation(ctx context.Context, c call, in *ByID) (*reply[api.Delegation], error) {
	d, err := s.broker.EndDelegation(ctx, c.asked(nil), in.ID)
	if err != nil {
		return nil, err
	}
	return answer(s.toDelegation(d)), nil
}

// toDelegation says whether it holds by the clock of the replica that answers; for votes
// the store's counts.
func (s *Server) toDelegation(d access.Delegation) api.Delegation {
	return api.Delegation{ID: string(d.ID), Principal: string(d.Principal), To: string(d.To), Why: d.Why, StartsAt: api.At(d.StartsAt), EndsAt: api.At(d.EndsAt),
		Holds: d.Holds(s.now()), EndedAt: api.At(d.EndedAt), EndedBy: string(d.EndedBy)}
}
