package apiserver

import (
	"context"
	"slices"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/web/views"
)

// known is what helps somebody to decide on a request: what is usual for who asks, whether
// they are on call, and what it reaches. It is for who is asked.
func (d doors) known(ctx context.Context, who broker.Caller, r access.Request) (*views.Known, error) {
	h, err := d.broker.History(ctx, who, string(r.ID))
	if err != nil {
		return nil, err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	k := &views.Known{Times: h.Times, Near: h.Near, Longest: h.Longest, Asked: r.Duration, At: r.CreatedAt, Ticket: r.Ticket, Grade: gradeOf(r), Rights: len(r.Permissions.Rights)}
	for _, s := range set.Schedules() {
		k.Schedules = true
		if slices.Contains(s.OnCall(d.now()), r.Principal) {
			k.OnCall = append(k.OnCall, s.Name)
		}
	}
	for _, t := range r.Targets {
		if x, ok := set.Resource(t.Resource); ok && k.Env == "" {
			k.Env = x.Labels[envLabel]
		}
	}
	return k, nil
}
