package apiserver

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"stint/internal/api"
)

func (s *Server) health(context.Context, call, *empty) (*reply[api.Health], error) {
	return answer(api.Health{OK: true, Version: s.version}), nil
}

type readiness struct {
	Status int
	Body   api.Health
}

// readiness says 503 while the server cannot serve or is about to stop, so that
// nobody sends it more.
func (s *Server) readiness(ctx context.Context, _ call, _ *empty) (*readiness, error) {
	out := &readiness{Status: http.StatusOK, Body: api.Health{OK: true, Version: s.version}}
	detail := ""
	if s.holding.Err() != nil {
		detail = "the server is stopping"
	} else if err := s.ready(ctx); err != nil {
		detail = problemOf(err, "").Message
	}
	if detail == "" {
		out.Body.Detail = s.caution()
	} else {
		out.Status, out.Body.OK, out.Body.Detail = http.StatusServiceUnavailable, false, detail
	}
	return out, nil
}

type document struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (s *Server) describeAPI(context.Context, call, *empty) (*document, error) {
	return &document{ContentType: "application/json", Body: s.document}, nil
}

func (s *Server) exposeMetrics(context.Context, call, *empty) (*lines, error) {
	return &lines{ContentType: "text/plain; version=0.0.4; charset=utf-8", Body: func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		s.metrics.handler.ServeHTTP(w, r)
	}}, nil
}
