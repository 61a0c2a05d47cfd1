package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/policy"
)

// kinds is this door's one table from the core's kinds of error to the wire's.
var kinds = map[access.Kind]api.Kind{
	access.Internal: api.Internal, access.Invalid: api.Invalid, access.Denied: api.Denied, access.Unauthenticated: api.Unauthenticated,
	access.NotFound: api.NotFound, access.Conflict: api.Conflict, access.SetupFailed: api.SetupFailed, access.Pending: api.Pending,
	access.Expired: api.Expired, access.PasskeyNeeded: api.PasskeyNeeded, access.Unavailable: api.Unavailable, access.TooMany: api.TooMany,
}

// problemOf makes what may be shown of an error. A failure of ours shows only
// its trace; the caller logs the rest.
func problemOf(err error, trace string) *api.Error {
	var wire *api.Error
	var problems policy.Problems
	var core *access.Error
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &wire):
		c := *wire
		wire = &c
	case errors.As(err, &problems):
		wire = documentsProblem(problems)
	case errors.As(err, &tooBig):
		wire = &api.Error{Kind: api.Invalid, Status: http.StatusRequestEntityTooLarge, Code: "body-too-large",
			Message: "the body is too large", Why: "at most " + strconv.FormatInt(tooBig.Limit, 10) + " bytes"}
	case errors.As(err, &core) && core.Kind != access.Internal:
		wire = &api.Error{Kind: kinds[core.Kind], Code: core.Code, Message: core.Message, Why: core.Why, Next: core.Next}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		wire = &api.Error{Kind: api.Unavailable, Code: "cut-short", Message: "the call took too long or was cut short", Next: "try again"}
	case access.KindOf(err) != access.Internal: // a bare kind
		wire = &api.Error{Kind: kinds[access.KindOf(err)], Code: access.KindOf(err).String(), Message: access.KindOf(err).String()}
	default:
		wire = &api.Error{Kind: api.Internal, Code: "internal", Message: "something went wrong inside Stint",
			Next: "tell an administrator the trace; the log has the rest"}
	}
	wire.Trace = trace
	return wire.Complete()
}

func documentsProblem(ps policy.Problems) *api.Error {
	e := &api.Error{Kind: api.Invalid, Code: "bad-documents", Message: "the documents are not right", Why: count(len(ps), "problem"),
		Next: "nothing was changed; mend them and apply again", Faults: problems(ps)}
	if len(ps) == 1 {
		e.Message, e.Why = ps[0].Message, source(ps[0].File, ps[0].Line)
	}
	return e
}

// refusal logs what must be logged of a handler's error and makes the answer.
func (s *Server) refusal(ctx context.Context, err error) error {
	c := callOf(ctx)
	p := problemOf(err, c.trace)
	if p.Kind == api.Internal {
		s.log.Error("a call failed", "trace", c.trace, "principal", c.Principal.ID, "error", err)
	}
	if h := retryAfter(p); h != nil {
		return huma.ErrorWithHeaders(p, h)
	}
	return p
}

// retryAfter tells clients when to come again after too many calls, or too few of us.
func retryAfter(p *api.Error) http.Header {
	switch p.Kind {
	case api.TooMany, api.Unavailable:
		return http.Header{"Retry-After": {"1"}}
	}
	return nil
}

// refuse writes a refusal that no handler was asked about.
func (s *Server) refuse(w http.ResponseWriter, trace string, err error) {
	p := problemOf(err, trace)
	if p.Kind == api.Internal {
		s.log.Error("a call failed", "trace", trace, "error", err)
	}
	body, err := json.Marshal(p)
	if err != nil { // a struct of texts
		http.Error(w, p.Title, p.Status)
		return
	}
	for name, values := range retryAfter(p) {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}

// asProblem turns what huma says about a call that does not fit its schema into
// our shape. The values that did not fit are left out: one may be a secret.
func asProblem(hc huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	e := &api.Error{Kind: api.Invalid, Status: m.Status, Code: "bad-call", Message: "the call is not right", Trace: callOf(hc.Context()).trace}
	switch {
	case m.Status >= http.StatusInternalServerError:
		e.Kind, e.Code, e.Message = api.Internal, "internal", "something went wrong inside Stint"
	case len(m.Errors) > 0:
		first := m.Errors[0]
		e.Param = strings.TrimPrefix(strings.TrimPrefix(first.Location, "body."), "query.")
		e.Why = first.Message
		if e.Param != "" {
			e.Why = e.Param + ": " + e.Why
		}
		if more := len(m.Errors) - 1; more > 0 {
			e.Why += ", and " + count(more, "more problem")
		}
	default:
		e.Why = m.Detail
	}
	return e.Complete(), nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
