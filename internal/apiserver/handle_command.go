package apiserver

import (
	"context"
	"errors"

	"github.com/danielgtaylor/huma/v2"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
)

func (s *Server) addCommandRoutes() {
	register(s, route{name: "tell-of-commands", method: post, path: "/v1/host/commands", who: host, body: maxCommands, tag: "Hosts",
		summary: "Report commands that a host ran under orders of elevation", detail: "Told before one runs and when it has ended; the same again is no other. Each is a session from then on."}, s.tellOfCommands)
	register(s, route{name: "follow-host-cuts", method: get, path: "/v1/host/cuts", who: host, urgent: true, held: true, tag: "Hosts",
		summary: "Commands of this host that are to end, as it becomes known, as JSON lines", detail: "An empty line says that all is quiet. A host asks while one runs."}, s.followHostCuts)
}

func (s *Server) tellOfCommands(ctx context.Context, c call, in *struct{ Body api.HostTold }) (*reply[api.HostHeard], error) {
	var out api.HostHeard
	for _, x := range in.Body.Commands {
		r := broker.Ran{ID: access.SessionID(x.ID), Entitlement: access.EntitlementID(x.Entitlement), Tag: access.Tag(x.Tag), Account: x.Account, RunAs: x.RunAs,
			Line: x.Command, Terminal: x.Terminal, Began: x.BeganAt.Time}
		if !x.EndedAt.IsZero() {
			r.Ended = &access.CommandEnd{At: x.EndedAt.Time, Status: x.Status, Signal: x.Signal, Cut: x.Cut, In: x.Input, Out: x.Output, Frames: x.Frames, Root: x.Root}
		}
		err := s.broker.TakeCommand(ctx, c.host, r)
		switch {
		case errors.Is(err, access.Invalid):
			if out.Refused == nil {
				out.Refused = map[string]string{}
			}
			out.Refused[x.ID] = err.Error()
		case err != nil:
			return nil, err
		}
	}
	return answer(out), nil
}

// followHostCuts streams until the host goes, its agent is revoked, or the server stops. Who
// asks for it has a command that runs: it is heard of.
func (s *Server) followHostCuts(_ context.Context, c call, _ *empty) (*lines, error) {
	return &lines{ContentType: linesType, Body: func(hc huma.Context) {
		held, release := s.hold(hc.Context(), streamLife)
		defer release()
		err := s.sendCuts(held, newStream(hc), access.HostCarrier(c.host.Name), func() error {
			if _, err := s.hosts.Register.Of(held, c.source.Device); err != nil {
				return err
			}
			return s.broker.HostIsHeard(held, c.host.Name)
		})
		if err != nil {
			s.log.Debug("a stream of cuts ended", "host", c.host.Name, "trace", c.trace, "error", err)
		}
	}}, nil
}
