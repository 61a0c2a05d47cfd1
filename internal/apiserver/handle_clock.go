package apiserver

import (
	"context"

	"stint/internal/api"
	"stint/internal/broker"
)

func (s *Server) getClock(ctx context.Context, c call, _ *empty) (*reply[api.Clock], error) {
	v, err := s.broker.ClockState(ctx, c.asked(nil))
	if err != nil {
		return nil, err
	}
	return answer(toClock(v)), nil
}

func (s *Server) acceptClock(ctx context.Context, c call, in *struct{ Body api.ClockAccept }) (*reply[api.Clock], error) {
	v, err := s.broker.AcceptClock(ctx, c.asked(nil), in.Body.Why)
	if err != nil {
		return nil, err
	}
	return answer(toClock(v)), nil
}

func toClock(v broker.ClockView) api.Clock {
	return api.Clock{Replica: v.Replica, Now: api.At(v.Now), Trusted: v.Trusted, Why: v.Why, Wall: api.At(v.Wall),
		Ahead: v.Ahead.String(), Host: v.Skew.String(), Far: v.Far, Slowed: v.Slowed, Accepted: texts(v.Accepted)}
}

// doubt says why nothing new is granted though the server serves, or nothing.
func (s *Server) doubt() string {
	if s.broker.Clock == nil {
		return ""
	}
	return s.broker.Clock.Clock().Why
}
