package apiserver

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"stint/internal/access"
	"stint/internal/api"
)

// Keep is what the doors offer of keeping the installation itself.
type Keep interface {
	// Backup makes a backup and gives it to be read once; Close forgets it.
	Backup(ctx context.Context) (Archive, error)
	// Doctor looks at everything and says what is wrong.
	Doctor(ctx context.Context) []api.DoctorCheck
	// Witnessed is the newest checkpoint that a witness has signed, as a note with
	// all cosignatures; empty when there is none.
	Witnessed(ctx context.Context) ([]byte, error)
	// Witnesses is how many witnesses there are, how many of them have signed when
	// they were asked last, and how many records none of them has signed yet.
	Witnesses(ctx context.Context) (all, signing int, unwitnessed int64, err error)
	// Fleet counts agents and gateways, and what the latter did not bring.
	Fleet(ctx context.Context) (Fleet, error)
}

// Fleet is what works for Stint on other hosts.
type Fleet struct {
	Agents, SilentAgents     int // that are enrolled, and of these those that are not heard of
	Gateways, SilentGateways int
	Behind                   int           // recordings that should have come to their end
	Oldest                   time.Duration // how long ago the first session of these closed
}

// Archive is a backup that is whole and waits to be sent.
type Archive struct {
	io.ReadCloser
	Bytes   int64
	Records int64 // of the log in it
	SHA256  string
}

const archiveType = "application/x-tar"

// sized is an answer of a known length.
type sized struct {
	ContentType   string `header:"Content-Type"`
	ContentLength string `header:"Content-Length"`
	Body          func(huma.Context)
}

// backup is made whole before its first byte goes out, and that it goes out is in
// the log before.
func (s *Server) backup(ctx context.Context, c call, _ *empty) (*sized, error) {
	if s.keep == nil {
		return nil, errNotKept
	}
	a, err := s.keep.Backup(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.broker.BackupHandedOut(ctx, c.asked(nil), a.Records, a.Bytes, a.SHA256); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return &sized{ContentType: archiveType, ContentLength: strconv.FormatInt(a.Bytes, 10), Body: func(hc huma.Context) {
		defer func() { _ = a.Close() }() // only read
		if _, err := io.Copy(newStream(hc), a); err != nil {
			s.log.Error("a backup broke off on its way", "trace", callOf(hc.Context()).trace, "error", err)
		}
	}}, nil
}

var errNotKept = access.Fail(access.NotFound, "not-offered", "this server does not offer that").
	Try("ask whoever runs the server what it is set up for; GET /openapi.json lists what there is")

func (s *Server) quarantine(ctx context.Context, _ call, _ *empty) (*reply[api.Quarantine], error) {
	q, r, err := s.broker.QuarantineState(ctx)
	if err != nil {
		return nil, err
	}
	out := api.Quarantine{Quarantined: q.Kind != "", Places: []api.QuarantinePlace{}}
	if !out.Quarantined {
		return answer(out), nil
	}
	out.Kind, out.Why, out.Since, out.BackupAt = string(q.Kind), q.Why, api.At(q.Since), api.At(q.BackupAt)
	out.Kept, out.Witnessed, out.Compared, out.Settled, out.First = q.Kept, q.Lost, q.Compared, q.Settled, string(q.First)
	out.Clean, out.Live, out.ComparedAt = q.Settled && r.Clean(), r.Live, api.At(r.At)
	if s.keep != nil {
		n, _, _, err := s.keep.Witnesses(ctx)
		out.NoWitness = err == nil && n == 0
	}
	for _, p := range r.Places {
		out.Places = append(out.Places, api.QuarantinePlace{Place: string(p.Place), Unwanted: p.Unwanted, Ordered: p.Ordered, Foreign: p.Foreign, Standing: p.Standing, Problem: p.Problem})
	}
	return answer(out), nil
}

type acceptIn struct{ Body api.QuarantineAccept }

func (s *Server) acceptQuarantine(ctx context.Context, c call, in *acceptIn) (*reply[api.QuarantineAccepted], error) {
	over, err := s.broker.AcceptQuarantine(ctx, c.asked(nil), in.Body.Why, in.Body.Force)
	if err != nil {
		return nil, err
	}
	return answer(api.QuarantineAccepted{Over: over}), nil
}

func (s *Server) doctor(ctx context.Context, _ call, _ *empty) (*reply[api.Doctor], error) {
	if s.keep == nil {
		return nil, errNotKept
	}
	out := api.Doctor{OK: true, Checks: s.keep.Doctor(ctx)}
	for _, c := range out.Checks {
		out.OK = out.OK && c.Result != api.CheckFail
	}
	return answer(out), nil
}

func (s *Server) auditWitnessed(ctx context.Context, _ call, _ *empty) (*reply[api.Checkpoint], error) {
	if s.keep == nil {
		return answer(api.Checkpoint{}), nil
	}
	text, err := s.keep.Witnessed(ctx)
	if err != nil {
		return nil, err
	}
	return answer(api.Checkpoint{Checkpoint: string(text)}), nil
}
