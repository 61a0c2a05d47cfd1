package apiserver

import (
	"context"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/ident"
)

// enroll checks that the key in the body is the one that signed the call: the
// gate has verified the proof, and there is no token yet to bind it to.
func (s *Server) enroll(ctx context.Context, c call, in *struct{ Body api.Enroll }) (*reply[api.LoginResult], error) {
	id, err := in.Body.Device.Thumbprint()
	if err != nil {
		return nil, err
	}
	if access.DeviceID(id) != c.source.Device {
		return nil, &api.Error{Kind: api.Unauthenticated, Code: api.CodeBadProof, Message: "the proof of the call is not by the device it brings"}
	}
	sign := ident.Sign{Code: access.NewSecret([]byte(in.Body.Code.Reveal())), Device: c.source.Device, SealKey: in.Body.SealKey, From: c.source.IP}
	switch {
	case in.Body.Bootstrap && in.Body.Name == "":
		return nil, access.Fail(access.Invalid, "no-name", "the first administrator needs a name")
	case in.Body.Bootstrap:
		sign.First = in.Body.Name
	}
	return s.signedIn(c, func() (ident.Login, error) { return s.ident.Enrol(ctx, sign) })
}

func (s *Server) loginResult(l ident.Login) api.LoginResult {
	return api.LoginResult{
		Token: api.Secret(l.Token.Reveal()), Principal: string(l.Principal.ID), Person: string(l.Principal.Person), Admin: l.Principal.Admin,
		Auditor: l.Principal.Auditor, ExpiresAt: api.At(l.ExpiresAt), LogOrigin: s.logKey.Origin, LogKey: s.logKey.Key, ServerTime: api.At(s.now()),
	}
}

func (s *Server) whoami(ctx context.Context, c call, _ *empty) (*reply[api.Whoami], error) {
	p := c.Principal
	owns, approves := s.officesOf(ctx, p)
	return answer(api.Whoami{
		Principal: string(p.ID), Person: string(p.Person), Groups: texts(p.Groups), Admin: p.Admin, Auditor: p.Auditor, Author: p.Author,
		Owns: texts(owns), Approves: texts(approves), Device: string(c.source.Device),
		Provider: c.Login.Auth.Provider, Methods: append([]string{}, c.Login.Auth.Methods...), MFA: c.Login.Auth.MFA,
		ExpiresAt: api.At(c.Login.ExpiresAt), ServerVersion: s.version, ServerTime: api.At(s.now()),
		BreakGlass: c.Login.Glass != nil,
		Sponsor:    p.Sponsor.Name(), Company: p.Company, Responsible: p.Responsible.Name(), Until: api.At(p.Until),
	}), nil
}

// officesOf are the resources that somebody owns and the policies that ask them, by the
// documents of now. Where these do not load there are none, which is also what they
// would be good for.
func (s *Server) officesOf(ctx context.Context, p access.Principal) ([]access.ResourceName, []access.PolicyName) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, nil
	}
	return set.Offices(p)
}

func (s *Server) logout(ctx context.Context, c call, _ *empty) (*empty, error) {
	return nil, s.ident.Logout(ctx, c.Caller)
}

func (s *Server) showLogKey(context.Context, call, *empty) (*reply[api.LogKey], error) {
	return answer(s.logKey), nil
}
