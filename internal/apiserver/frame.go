package apiserver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"stint/internal/access"
	"stint/internal/api"
)

// frame is what is known of a call outside of its handler.
type frame struct {
	trace     string
	route     string // empty until one is found
	principal access.PrincipalID
}

type frameKey struct{}

func frameOf(ctx context.Context) *frame {
	if f, ok := ctx.Value(frameKey{}).(*frame); ok {
		return f
	}
	return &frame{}
}

// framed gives every call its trace, its headers, its line in the log and its
// numbers, and turns a panic into an answer.
func (s *Server) framed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		f := &frame{trace: newTrace()}
		r = r.WithContext(context.WithValue(r.Context(), frameKey{}, f))
		out := &recorder{ResponseWriter: w}
		h := w.Header()
		h.Set(api.HeaderTrace, f.trace)
		h.Set(api.HeaderVersion, s.version)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if s.seen(r).Scheme == "https" {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				s.log.Error("a call panicked", "trace", f.trace, "route", f.route, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				if out.status == 0 {
					s.refuse(out, f.trace, access.Internal)
				}
			}
			took := time.Since(began)
			s.metrics.observe(f.route, out.status, took)
			s.log.Debug("call", "trace", f.trace, "method", r.Method, "route", f.route, "status", out.status,
				"ms", took.Milliseconds(), "principal", f.principal, "from", s.client(r))
		}()
		next.ServeHTTP(out, r)
	})
}

// newTrace names a call: 64 random bits.
func newTrace() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// recorder remembers the status.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// shed answers at once when there is too much to do. What takes access away,
// and what tells how things are, always gets through.
func (s *Server) shed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rt, known := s.find(r)
		in := &s.work
		if rt.held && held(r) {
			in = &s.waits
		}
		switch {
		case !known && s.page(w, r):
			return
		case !known:
			s.unknown(w, r)
			return
		case rt.urgent:
			next.ServeHTTP(w, r)
			return
		case !in.enter():
			frameOf(r.Context()).route = rt.name
			s.metrics.shed.Inc()
			s.refuse(w, frameOf(r.Context()).trace, busy())
			return
		}
		defer in.leave()
		next.ServeHTTP(w, r)
	})
}

// held reports whether the call asks for an answer that may take its time.
func held(r *http.Request) bool {
	return r.URL.Query().Has("wait") || r.Method == http.MethodGet
}
