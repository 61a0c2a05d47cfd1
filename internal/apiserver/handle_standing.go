package apiserver

import (
	"context"

	"stint/internal/access"
	"stint/internal/api"
)

type standingIn struct {
	Paging
	Resource string `query:"resource" maxLength:"63" doc:"Only on this resource; owners have to say which"`
	Gone     bool   `query:"gone" doc:"Also what was there and is no more"`
}

// listStanding lists what surveys of targets found.
func (s *Server) listStanding(ctx context.Context, c call, in *standingIn) (*reply[api.Page[api.StandingPrivilege]], error) {
	after, err := standingAfter(in.Cursor)
	if err != nil {
		return nil, err
	}
	found, err := s.broker.Standing(ctx, c.asked(nil), access.StandingQuery{Resource: access.ResourceName(in.Resource), Gone: in.Gone, After: after, Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	page := api.Page[api.StandingPrivilege]{Items: []api.StandingPrivilege{}}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		page.Next = standingCursor(found[in.Limit-1].Key())
	}
	for _, x := range found {
		page.Items = append(page.Items, api.StandingPrivilege{Resource: string(x.Resource), Account: x.Account, Privilege: x.Privilege, Kind: string(x.Kind), Right: x.Right,
			Undo: x.Undo, Note: x.Note, FirstSeen: api.At(x.FirstSeen), LastSeen: api.At(x.LastSeen), GoneAt: api.At(x.GoneAt)})
	}
	return answer(page), nil
}
