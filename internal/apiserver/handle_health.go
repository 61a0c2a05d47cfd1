package apiserver

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

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
	out := &readiness{Status: http.StatusOK, Body: api.Health{OK: true, Version: s.version, Doubt: s.doubt()}}
	detail := ""
	if s.holding.Err() != nil {
		detail = "the server is stopping"
	} else if err := s.ready(ctx); err != nil {
		detail = problemOf(err, "").Message
	}
	if detail != "" {
		out.Status, out.Body.OK = http.StatusServiceUnavailable, false
	}
	out.Body.Detail = strings.Join(append(notEmpty(detail), s.standing()...), "; ")
	return out, nil
}

// standing says in words what is not as it should be although the server can
// serve: what holds new grants back, and how the journal is.
func (s *Server) standing() (words []string) {
	o := s.broker.Outage()
	if !o.Since.IsZero() {
		words = append(words, "the store takes no changes since "+o.Since.Format(time.RFC3339)+"; access ends without it")
	}
	if o.Waiting > 0 {
		words = append(words, strconv.Itoa(o.Waiting)+" records of the journal are not in the log yet")
	}
	if o.Journal != nil {
		words = append(words, "the journal is in memory only")
	}
	for _, name := range s.broker.Holds() {
		words = append(words, "nothing new is granted: "+name)
	}
	return append(words, notEmpty(s.caution())...)
}

func notEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
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
