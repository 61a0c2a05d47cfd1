package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"

	"stint/internal/access"
	"stint/internal/ident"
	"stint/internal/oidc"
	"stint/internal/provision"
	"stint/internal/signals"
)

// logoutRoot is where providers say that somebody signed out there.
const logoutRoot = "/logout/v1/"

// signedOut takes one logout token (OpenID Connect Back-Channel Logout 1.0 section 2.5).
// The token is all that lets it in: it is signed by the provider, for us.
func (s *Server) signedOut(w http.ResponseWriter, r *http.Request, name string) {
	f := frameOf(r.Context())
	f.route = "logout"
	w.Header().Set("Cache-Control", "no-store") // section 2.8
	err := s.knocks.take(s.client(r).String())
	if err == nil {
		f.principal = ident.ProviderActor(name).Principal
		err = s.takeLogout(w, r, name)
	}
	if err == nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	status, code := http.StatusBadRequest, "invalid_request"
	switch access.KindOf(err) {
	case access.TooMany:
		status, code = http.StatusTooManyRequests, "temporarily_unavailable"
	case access.Invalid, access.NotFound:
		s.metrics.signInFailures.WithLabelValues("logout-token").Inc()
	default:
		status, code = http.StatusServiceUnavailable, "temporarily_unavailable"
	}
	s.log.Warn("a provider's word that somebody signed out is refused", "trace", f.trace, "provider", name, "cause", err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	what := "it could not be dealt with"
	var said *access.Error
	if errors.As(err, &said) {
		what = said.Message
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": what}) // whoever went away reads no error
}

func (s *Server) takeLogout(w http.ResponseWriter, r *http.Request, name string) error {
	bad := func(why string) error {
		return access.Fail(access.Invalid, "bad-logout", "this is no logout request").Because(why)
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Method != http.MethodPost || err != nil || kind != "application/x-www-form-urlencoded" {
		return bad("it is a POST of application/x-www-form-urlencoded")
	}
	r.Body = http.MaxBytesReader(w, r.Body, 256<<10)
	if err := r.ParseForm(); err != nil || len(r.PostForm["logout_token"]) != 1 {
		return bad("it has one logout_token")
	}
	found, err := s.integrations(r.Context())
	if err != nil {
		return err
	}
	known := false
	for _, i := range found {
		known = known || i.Name == name
	}
	if !known || s.provided == nil {
		return access.Fail(access.NotFound, "no-such-provider", "there is no such provider").Try("name an integration of type oidc, as stint get integrations shows it")
	}
	at, _, err := s.provider(r.Context(), name)
	if err != nil {
		return err
	}
	said, err := s.party.Logout(r.Context(), at, r.PostForm.Get("logout_token"))
	if err != nil {
		return err
	}
	return s.signOut(r.Context(), said)
}

// signOut does what a logout token says, once. Noted only when it is done: what was
// begun and not finished may come again.
func (s *Server) signOut(ctx context.Context, said oidc.Logout) error {
	seen := false
	err := s.provided.View(ctx, func(tx provision.Tx) (err error) {
		seen, err = tx.SignalSeen(said.Identity.Provider, "logout "+said.ID)
		return err
	})
	if err != nil {
		return err
	}
	if seen {
		return access.Fail(access.Invalid, "replayed", "this logout token was dealt with before")
	}
	n, err := s.ident.SignedOut(ctx, said.Identity)
	if err != nil {
		return err
	}
	s.log.Info("somebody signed out at a provider", "provider", said.Identity.Provider, "sessions", n)
	return s.provided.Update(ctx, func(tx provision.Tx) error {
		return tx.SaveSignal(said.Identity.Provider, "logout "+said.ID, tx.Now().Add(-2*signals.MaxAge)) // the same memory has security events
	})
}
