package apiserver

import (
	"context"
	"net/http"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/ident"
	"stint/internal/web"
)

func (s *Server) showSignIn(ctx context.Context, _ call, _ *empty) (*reply[api.SignIn], error) {
	all, err := s.providers(ctx)
	if err != nil {
		return nil, err
	}
	passkeys, err := s.byPasskey(ctx)
	if err != nil {
		return nil, err
	}
	out := api.SignIn{Browser: len(all) > 0 || passkeys, Providers: []string{}, Passkeys: passkeys}
	for _, p := range all {
		out.Providers = append(out.Providers, p.Name)
	}
	return answer(out), nil
}

func (s *Server) redeemTerminal(ctx context.Context, c call, in *struct{ Body api.TerminalRedeem }) (*reply[api.LoginResult], error) {
	b := in.Body
	return s.signedIn(c, func() (ident.Login, error) {
		return s.ident.RedeemTerminal(ctx, ident.Redeem{Code: secretOf(b.Code), Verifier: secretOf(b.Verifier), Device: c.source.Device, SealKey: b.SealKey, From: c.source.IP})
	})
}

func (s *Server) askDevice(ctx context.Context, c call, in *struct{ Body api.DeviceAsk }) (*reply[api.DeviceCode], error) {
	all, err := s.providers(ctx)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		switch ok, err := s.byPasskey(ctx); {
		case err != nil:
			return nil, err
		case !ok:
			return nil, noProvider()
		}
	}
	d, err := s.ident.AskDevice(ctx, c.source.Device, in.Body.Client, c.source.IP)
	if err != nil {
		return nil, err
	}
	at := c.base + "/device"
	return answer(api.DeviceCode{DeviceCode: api.Secret(d.Code.Reveal()), UserCode: d.UserCode, VerificationURI: at, VerificationURIComplete: at + "?code=" + d.UserCode,
		ExpiresIn: int(access.AttemptFor / time.Second), Interval: int(d.Interval / time.Second)}), nil
}

func noProvider() error {
	return access.Fail(access.Conflict, "no-browser-sign-in", "nobody can sign in with a browser here").
		Because("no identity provider is connected, and nobody has a passkey for the server's pages").Try("get a code from an administrator (stint admin user add NAME), then stint login --enroll-token-file FILE")
}

func (s *Server) redeemDevice(ctx context.Context, c call, in *struct{ Body api.DeviceRedeem }) (*reply[api.LoginResult], error) {
	b := in.Body
	return s.signedIn(c, func() (ident.Login, error) {
		return s.ident.RedeemDevice(ctx, ident.Redeem{Code: secretOf(b.DeviceCode), Device: c.source.Device, SealKey: b.SealKey, From: c.source.IP})
	})
}

func secretOf(s api.Secret) access.Secret { return access.NewSecret([]byte(s.Reveal())) }

// signedIn counts what fails of signing in, and answers with what a client keeps.
func (s *Server) signedIn(c call, sign func() (ident.Login, error)) (*reply[api.LoginResult], error) {
	l, err := sign()
	if err != nil {
		if access.KindOf(err) == access.Unauthenticated {
			s.notSignedIn(c.trace, err)
		}
		return nil, err
	}
	return answer(s.loginResult(l)), nil
}

// notSignedIn counts a sign-in that failed.
func (s *Server) notSignedIn(trace string, err error) {
	code := problemOf(err, "").Code
	s.metrics.signInFailures.WithLabelValues(code).Inc()
	s.log.Info("not signed in", "trace", trace, "code", code)
}

func (s *Server) listLogins(ctx context.Context, c call, _ *empty) (*reply[api.Page[api.Login]], error) {
	all, err := s.sessions(ctx, c.Caller)
	if err != nil {
		return nil, err
	}
	return answer(api.Page[api.Login]{Items: all}), nil
}

// userSessions are somebody's live logins.
func (s *Server) userSessions(ctx context.Context, c call, in *ByName) (*reply[api.Page[api.Login]], error) {
	u, err := s.getUser(ctx, c, in) // who is not there has none, and is told so
	if err != nil {
		return nil, err
	}
	live, err := s.ident.SessionsOf(ctx, c.Caller, access.PrincipalID(u.Body.ID))
	if err != nil {
		return nil, err
	}
	page := api.Page[api.Login]{Items: []api.Login{}}
	for _, l := range live {
		page.Items = append(page.Items, toLogin(l, c.Login.Token))
	}
	return answer(page), nil
}

func (s *Server) sessions(ctx context.Context, c ident.Caller) ([]api.Login, error) {
	live, err := s.ident.Sessions(ctx, c)
	if err != nil {
		return nil, err
	}
	all := make([]api.Login, len(live))
	for i, l := range live {
		all[i] = toLogin(l, c.Login.Token)
	}
	return all, nil
}

type endLoginIn struct {
	ID string `path:"id" maxLength:"64" doc:"The id of a login, or an unambiguous beginning" example:"3f9c0e2ab174d5e60891"`
}

func (s *Server) endLogin(ctx context.Context, c call, in *endLoginIn) (*reply[api.Login], error) {
	l, err := s.ident.EndSession(ctx, c.Caller, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(toLogin(l, c.Login.Token)), nil
}

func toLogin(l access.Login, this access.Digest) api.Login {
	out := api.Login{ID: l.Name(), Kind: string(l.Is()), This: l.Token == this, Client: l.Client, Provider: l.Auth.Provider, Methods: []string{}, Class: l.Auth.Class,
		MFA: l.Auth.MFA, AuthTime: api.At(l.Auth.At), CreatedAt: api.At(l.CreatedAt), SeenAt: api.At(l.SeenAt), ExpiresAt: api.At(l.ExpiresAt), BreakGlass: l.Glass != nil}
	out.Methods = append(out.Methods, l.Auth.Methods...)
	if l.Is() == access.DeviceLogin {
		out.Device = string(l.Device)
	}
	if l.From.IsValid() {
		out.Address = l.From.String()
	}
	return out
}

// page serves a call of the site, if it is one.
func (s *Server) page(w http.ResponseWriter, r *http.Request) bool {
	name := s.pages.Name(r)
	if name == "" {
		return false
	}
	f := frameOf(r.Context())
	f.route = name
	in := &s.work
	if web.Holds(name) {
		in = &s.waits
	}
	if !in.enter() {
		s.metrics.shed.Inc()
		s.refuse(w, f.trace, busy())
		return true
	}
	defer in.leave()
	s.pages.ServeHTTP(w, r)
	return true
}
