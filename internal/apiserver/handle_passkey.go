package apiserver

import (
	"context"
	"net"
	"net/url"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/ident"
	"stint/internal/passkey"
)

type listPasskeysIn struct {
	Paging
	User string `query:"user" maxLength:"80" doc:"Of this user; for administrators and auditors" example:"mira"`
	All  bool   `query:"all" doc:"Everybody's; for administrators and auditors"`
}

func (s *Server) listPasskeys(ctx context.Context, c call, in *listPasskeysIn) (*reply[api.Page[api.Passkey]], error) {
	person := c.Principal.Person
	if in.User != "" && principalID(in.User) != c.Principal.ID {
		person = access.Person(principalID(in.User).Name())
	}
	ps, err := s.ident.Passkeys(ctx, c.Caller, person, in.All)
	if err != nil {
		return nil, err
	}
	return pageOf(ps, in.Paging, toPasskey)
}

func (s *Server) getPasskey(ctx context.Context, c call, in *ByID) (*reply[api.Passkey], error) {
	p, err := s.ident.Passkey(ctx, c.Caller, access.PasskeyID(in.ID))
	if err != nil {
		return nil, err
	}
	return answer(toPasskey(p)), nil
}

func (s *Server) addPasskey(ctx context.Context, c call, in *struct{ Body api.PasskeyAdd }) (*reply[api.Passkey], error) {
	a := in.Body
	n := ident.NewPasskey{Name: a.Name, Site: ident.ClientSite, Nonce: a.Nonce, Own: assertionOf(a.Own),
		Registration: passkey.Registration{ClientData: a.ClientData, Attestation: a.Attestation}}
	if a.RecoveryCode != "" {
		n.Recovery = access.NewSecret([]byte(a.RecoveryCode.Reveal()))
	}
	if !a.Client {
		var err error
		if n.Site, err = s.passkeySite(); err != nil {
			return nil, err
		}
	}
	p, err := s.ident.AddPasskey(ctx, c.Caller, n)
	if err != nil {
		return nil, err
	}
	return answer(toPasskey(p)), nil
}

type vouchIn struct {
	ByID
	Body api.PasskeyVouch
}

func (s *Server) vouchPasskey(ctx context.Context, c call, in *vouchIn) (*reply[api.Passkey], error) {
	p, err := s.ident.VouchPasskey(ctx, c.Caller, access.PasskeyID(in.ID), assertionOf(&in.Body.Assertion))
	if err != nil {
		return nil, err
	}
	return answer(toPasskey(p)), nil
}

type removePasskeyIn struct {
	ByID
	Body api.PasskeyRemove
}

func (s *Server) removePasskey(ctx context.Context, c call, in *removePasskeyIn) (*reply[api.Passkey], error) {
	p, err := s.ident.RemovePasskey(ctx, c.Caller, access.PasskeyID(in.ID), in.Body.Note)
	if err != nil {
		return nil, err
	}
	return answer(toPasskey(p)), nil
}

func (s *Server) recoveryCodes(ctx context.Context, c call, in *struct{ Body api.RecoveryAsk }) (*reply[api.RecoveryCodes], error) {
	codes, err := s.ident.NewRecoveryCodes(ctx, c.Caller, in.Body.Nonce, assertionOf(in.Body.Assertion))
	if err != nil {
		return nil, err
	}
	out := api.RecoveryCodes{Codes: []api.Secret{}}
	for _, code := range codes {
		out.Codes = append(out.Codes, api.Secret(code.Reveal()))
	}
	return answer(out), nil
}

// passkeySite is where this server's own pages are. It is as configured, never as a call says:
// a passkey is made for one place, for good.
func (s *Server) passkeySite() (ident.Site, error) {
	if s.public == nil {
		return ident.Site{}, access.Fail(access.Conflict, "no-public-url", "this server does not know where its pages are").
			Because("a passkey is for one address, and public_url is not set").Try("an administrator sets public_url in stintd's configuration")
	}
	return siteOf(s.public)
}

func siteOf(u *url.URL) (ident.Site, error) {
	host := u.Hostname()
	if net.ParseIP(host) != nil || u.Scheme != "https" && host != "localhost" {
		return ident.Site{}, access.Fail(access.Conflict, "no-site-for-passkeys", "browsers make no passkeys for "+u.Scheme+"://"+u.Host).
			Because("they ask for https and a name").Try("set public_url to an https address with a host name, or to http://localhost for a try")
	}
	site := ident.Site{RPID: host, Origin: u.Scheme + "://" + u.Host}
	if site.Origin == access.ClientOrigin {
		return ident.Site{}, access.Fail(access.Conflict, "no-site-for-passkeys", "the server's pages have no address of their own").
			Because("passkeys for " + site.Origin + " are those that stint asks on people's own machines").Try("give public_url a port, or better a name and https")
	}
	return site, nil
}

func assertionOf(a *api.Assertion) access.Assertion {
	if a == nil {
		return access.Assertion{}
	}
	return access.Assertion{Passkey: access.PasskeyID(a.Passkey), ClientData: a.ClientData, AuthenticatorData: a.AuthenticatorData, Signature: a.Signature}
}

func toPasskey(p access.Passkey) api.Passkey {
	out := api.Passkey{ID: string(p.ID), State: string(p.State), Principal: string(p.Principal), Person: string(p.Person), Name: p.Name,
		Client: p.Level() == access.LevelClient, RPID: p.RPID, Origin: p.Origin, Credential: p.Credential, Key: p.Key, Digest: p.Digest().String(),
		Anchor: string(p.Anchor), Vouchers: []api.Voucher{}, CreatedAt: api.At(p.CreatedAt), ExpiresAt: api.At(p.ExpiresAt)}
	for _, v := range p.Vouchers {
		out.Vouchers = append(out.Vouchers, api.Voucher{Principal: string(v.By), Passkey: string(v.Assertion.Passkey), At: api.At(v.At)})
	}
	return out
}
