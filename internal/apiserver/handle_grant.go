package apiserver

import (
	"context"
	"crypto/sha256"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
)

type credentialIn struct {
	ByID
	Known string `query:"known" maxLength:"64" doc:"SHA-256, in hex, of the sealed credential that the caller has: while that is the newest, nothing is shown"`
}

// credential gives ciphertext; only the device that asked can open it.
func (s *Server) credential(ctx context.Context, c call, in *credentialIn) (*reply[api.SealedCredential], error) {
	var known func(access.Sealed) bool
	if in.Known != "" {
		known = func(x access.Sealed) bool { return api.SealedDigest(x.Blob) == in.Known }
	}
	got, err := s.broker.CredentialAnew(ctx, c.asked(nil), in.ID, known)
	if err != nil {
		return nil, err
	}
	newest := got.Newest()
	out := api.SealedCredential{Request: string(got.View.Request.ID), Grant: string(newest.Grant), Sealed: newest.Blob,
		ExpiresAt: api.At(got.View.Grant.ExpiresAt), Unchanged: got.Unchanged}
	if out.Unchanged {
		out.Sealed = nil
	}
	return answer(out), nil
}

type extendIn struct {
	ByID
	Waiting
	Key  string `header:"Idempotency-Key" maxLength:"128" doc:"The same for all attempts of one call"`
	Body api.ExtendAsk
}

func (s *Server) extend(ctx context.Context, c call, in *extendIn) (*reply[api.Request], error) {
	d, err := api.ParseDuration(in.Body.For)
	if err != nil {
		return nil, err
	}
	who := c.asked(nil)
	// What is extended stands in the address: with the same key and body, another
	// grant is another call.
	ask := broker.Ask{Duration: d, Reason: in.Body.Why, Ticket: in.Body.Ticket, Key: c.key, Body: sha256.Sum256(append(c.body[:], in.ID...))}
	if in.Body.DryRun {
		return s.previewExtension(ctx, c, in.ID, ask)
	}
	v, err := s.broker.Extend(ctx, who, in.ID, ask)
	if err != nil {
		return nil, err
	}
	return s.await(ctx, who, v, in.Waiting)
}

// previewExtension asks policy about the whole time the grant would then have had.
func (s *Server) previewExtension(ctx context.Context, c call, id string, ask broker.Ask) (*reply[api.Request], error) {
	v, err := s.broker.View(ctx, c.asked(nil), id)
	if err != nil {
		return nil, err
	}
	if v.Grant == nil || v.Grant.State != access.Active {
		return nil, access.Fail(access.Conflict, "not-active", "there is no active grant to extend")
	}
	x, err := s.broker.PreviewExtension(ctx, c.asked(nil), *v.Grant, ask)
	if err != nil {
		return nil, err
	}
	whole := ask
	whole.Resource, whole.Role = v.Grant.Targets[0].Resource, v.Grant.Role
	out := preview(c, whole, x)
	out.Extends, out.Grant = string(v.Grant.ID), toGrant(v)
	return answer(out), nil
}

func (s *Server) end(ctx context.Context, c call, in *ByID) (*reply[api.Request], error) {
	v, err := s.broker.End(ctx, c.asked(nil), in.ID, "")
	if err != nil {
		return nil, err
	}
	return answer(toRequest(v)), nil
}

func (s *Server) revoke(ctx context.Context, c call, in *struct{ Body api.RevokeAsk }) (*reply[api.Revoked], error) {
	a := in.Body
	ids, err := s.broker.Revoke(ctx, c.asked(nil), broker.Selector{Grant: a.Grant, User: a.User, Role: a.Role, Resource: a.Resource, All: a.All}, a.Why)
	if err != nil {
		return nil, err
	}
	return answer(api.Revoked{Grants: texts(ids)}), nil
}

func (s *Server) getStop(ctx context.Context, _ call, _ *empty) (*reply[api.Stop], error) {
	stopped, why, err := s.broker.Stopped(ctx)
	if err != nil {
		return nil, err
	}
	return answer(api.Stop{Stopped: stopped, Why: why}), nil
}

func (s *Server) setStop(ctx context.Context, c call, in *struct{ Body api.Stop }) (*reply[api.Stop], error) {
	if err := s.broker.SetStop(ctx, c.asked(nil), in.Body.Stopped, in.Body.Why); err != nil {
		return nil, err
	}
	return s.getStop(ctx, c, nil)
}
