package apiserver

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"stint/internal/access"
	"stint/internal/ident"
	"stint/internal/provision"
	"stint/internal/signals"
)

// signal takes one security event, pushed as RFC 8935 section 2 has it: 202 when it was
// dealt with, 400 with a word when it is wrong, anything else when it is to come again.
func (s *Server) signal(w http.ResponseWriter, r *http.Request, name string) {
	f := frameOf(r.Context())
	f.route = "signals"
	i, err := s.admitProvider(r, name, provision.Signals)
	if err != nil {
		s.refuseSignal(w, r, name, err)
		return
	}
	f.principal = ident.ProviderActor(name).Principal
	if !s.serving.enter(name) {
		s.refuseSignal(w, r, name, errOfOneService)
		return
	}
	defer s.serving.leave(name)
	raw, err := readSignal(w, r)
	if err == nil {
		err = s.receiver.Receive(r.Context(), i, raw)
	}
	if err != nil {
		s.refuseSignal(w, r, name, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func readSignal(w http.ResponseWriter, r *http.Request) (string, error) {
	bad := func(text string) error { return &signals.Problem{Code: "invalid_request", Text: text} }
	if r.Method != http.MethodPost {
		return "", bad("an event is sent with POST")
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/secevent+jwt" {
		return "", bad("send Content-Type: application/secevent+jwt")
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, signals.MaxToken))
	if err != nil {
		return "", bad("the event did not arrive whole, or is too long")
	}
	return string(text), nil
}

// refuseSignal answers with RFC 8935 section 2.3 and 2.4.
func (s *Server) refuseSignal(w http.ResponseWriter, r *http.Request, name string, err error) {
	f := frameOf(r.Context())
	var p *signals.Problem
	status := http.StatusBadRequest
	if !errors.As(err, &p) {
		switch access.KindOf(err) {
		case access.Unauthenticated:
			s.metrics.signInFailures.WithLabelValues("provider-token").Inc()
			p = &signals.Problem{Code: "authentication_failed", Text: "the token is not one of this integration"}
		case access.Denied, access.NotFound, access.Invalid:
			p = &signals.Problem{Code: "access_denied", Text: "the integration takes no events"}
		case access.TooMany:
			w.Header().Set("Retry-After", "1")
			status, p = http.StatusTooManyRequests, &signals.Problem{Code: "access_denied", Text: "too many events in too short a time"}
		default:
			status, p = http.StatusServiceUnavailable, &signals.Problem{Code: "access_denied", Text: "the event could not be dealt with; send it again"}
		}
	}
	s.log.Warn("a security event is refused", "trace", f.trace, "integration", name, "code", p.Code, "why", p.Text, "cause", err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"err": p.Code, "description": p.Text}) // whoever went away reads no error
}
