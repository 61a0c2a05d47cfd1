package apiserver

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/policy"
)

type bundleIn struct {
	Key  string `header:"Idempotency-Key" maxLength:"128" doc:"The same for all attempts of one call"`
	Body api.BundleAsk
}

func (s *Server) submitBundle(ctx context.Context, c call, in *bundleIn) (*reply[api.Bundled], error) {
	a := in.Body
	ask := broker.BundleAsk{Reason: a.Reason, Ticket: a.Ticket, Task: access.TaskID(a.Task), Possible: a.Possible, Key: c.key, Body: c.body}
	var err error
	if ask.Start, err = startOf(a.Start); err != nil {
		return nil, err
	}
	for _, p := range a.Parts {
		d, err := api.ParseDuration(p.Duration)
		if err != nil {
			return nil, err
		}
		ask.Parts = append(ask.Parts, broker.BundlePart{Resource: access.ResourceName(p.Resource), Role: access.RoleName(p.Role), Duration: d})
	}
	who := c.asked(a.SealKey)
	out := api.Bundled{Requests: []api.Request{}, Refused: []api.Request{}}
	if a.DryRun {
		xs, err := s.broker.PreviewBundle(ctx, who, ask)
		if err != nil {
			return nil, err
		}
		for i, x := range xs {
			out.Requests = append(out.Requests, preview(c, ask.Ask(ask.Parts[i]), x))
		}
		out.DryRun = true
		return answer(out), nil
	}
	if len(who.SealKey) != 32 {
		return nil, errNoSealKey
	}
	vs, left, err := s.broker.SubmitBundle(ctx, who, ask)
	if err != nil {
		return nil, err
	}
	for _, v := range vs {
		r := toRequest(v)
		out.Bundle = r.Bundle
		out.Requests = append(out.Requests, r)
	}
	for _, l := range left {
		out.Refused = append(out.Refused, preview(c, ask.Ask(l.Part), broker.Preview{Explanation: policy.Explanation{Decision: l.Decision}}))
	}
	return answer(out), nil
}

var errNoSealKey = access.Fail(access.Invalid, "no-seal-key", "the credential needs a key to be sealed to").
	Because("a service says its device's seal_key in the call").Try("use this version's stint, which does")

// startOf reads when access is to begin; empty: at once.
func startOf(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, access.Fail(access.Invalid, "bad-start", "the start is not a time").Try("write it like 2026-03-01T17:30:00Z")
	}
	return t.UTC().Truncate(time.Millisecond), nil
}

func (s *Server) listBundles(ctx context.Context, _ call, in *Paging) (*reply[api.Page[api.Bundle]], error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	return pageOf(set.Bundles(), *in, toBundle)
}

func (s *Server) getBundle(ctx context.Context, _ call, in *ByName) (*reply[api.Bundle], error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	b, ok := set.Bundle(in.Name)
	if !ok {
		return nil, noSuch("bundle", in.Name, namesOf(set.Bundles(), func(b policy.Bundle) string { return b.Name }))
	}
	return answer(toBundle(b)), nil
}

func (s *Server) deleteBundle(ctx context.Context, c call, in *ByName) (*reply[api.Deleted], error) {
	return s.remove(ctx, c, policy.KindBundle, &deleteIn{ByName: *in})
}

func toBundle(b policy.Bundle) api.Bundle {
	out := api.Bundle{Name: b.Name, Description: b.Description, Source: b.Source, Parts: []api.BundlePart{}}
	for _, p := range b.Parts {
		part := api.BundlePart{Resource: string(p.Resource), Role: string(p.Role)}
		if p.For > 0 {
			part.Duration = api.FormatDuration(p.For)
		}
		out.Parts = append(out.Parts, part)
	}
	return out
}

func (s *Server) listFavourites(ctx context.Context, c call, in *Paging) (*reply[api.Page[api.Favourite]], error) {
	fs, err := s.broker.Favourites(ctx, c.asked(nil))
	if err != nil {
		return nil, err
	}
	return pageOf(fs, *in, toFavourite)
}

type favouriteIn struct {
	ByName
	Body api.FavouriteSet
}

func (s *Server) saveFavourite(ctx context.Context, c call, in *favouriteIn) (*reply[api.Favourite], error) {
	d, err := api.ParseDuration(in.Body.Duration)
	if err != nil {
		return nil, err
	}
	f, err := s.broker.SaveFavourite(ctx, c.asked(nil), access.Favourite{Name: in.Name, Resource: access.ResourceName(in.Body.Resource), Role: access.RoleName(in.Body.Role), Duration: d})
	if err != nil {
		return nil, err
	}
	return answer(toFavourite(f)), nil
}

func (s *Server) dropFavourite(ctx context.Context, c call, in *ByName) (*empty, error) {
	return nil, s.broker.DropFavourite(ctx, c.asked(nil), in.Name)
}

func toFavourite(f access.Favourite) api.Favourite {
	return api.Favourite{Name: f.Name, Resource: string(f.Resource), Role: string(f.Role), Duration: api.FormatDuration(f.Duration)}
}
