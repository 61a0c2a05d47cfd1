package apiserver

import (
	"context"
	"time"

	"stint/internal/api"
	"stint/internal/policy"
)

func (s *Server) listSchedules(ctx context.Context, _ call, in *Paging) (*reply[api.Page[api.Schedule]], error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	return pageOf(set.Schedules(), *in, func(x policy.Schedule) api.Schedule { return toSchedule(x, s.now()) })
}

func (s *Server) getSchedule(ctx context.Context, _ call, in *ByName) (*reply[api.Schedule], error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	x, ok := set.Schedule(in.Name)
	if !ok {
		return nil, noSuch("schedule", in.Name, namesOf(set.Schedules(), func(x policy.Schedule) string { return x.Name }))
	}
	return answer(toSchedule(x, s.now())), nil
}

func (s *Server) deleteSchedule(ctx context.Context, c call, in *ByName) (*reply[api.Deleted], error) {
	return s.remove(ctx, c, policy.KindSchedule, &deleteIn{ByName: *in})
}

// toSchedule says who is on call at now, by the clock of the replica that answers; for
// decisions the store's counts.
func toSchedule(x policy.Schedule, now time.Time) api.Schedule {
	return api.Schedule{Name: x.Name, Description: x.Description, Zone: x.Zone, OnCall: texts(x.OnCall(now)), Source: x.Source,
		Integration: x.Kept.Integration, Calendar: x.Kept.Calendar, Trouble: x.Trouble}
}
