package main

import (
	"context"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/duty"
	"stint/internal/egress"
	"stint/internal/oncall"
)

// newDuty makes what finds out who is on call where others keep the schedule; it is
// started with everything else.
func (p *process) newDuty() *duty.Service {
	return &duty.Service{Memory: &dutyMemory{broker: p.broker}, HTTP: egress.New(p.settings.egress).HTTP(), Log: p.log.With("part", "on call")}
}

// dutyMemory is the broker, for those who ask.
type dutyMemory struct {
	broker *broker.Broker

	mu  sync.Mutex
	all map[string]broker.DutySource // as last listed
}

func (m *dutyMemory) Schedules(ctx context.Context) (out []duty.Schedule, err error) {
	all, err := m.broker.DutySources(ctx)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = map[string]broker.DutySource{}
	for _, x := range all {
		m.all[x.Schedule] = x
		s := duty.Schedule{Name: x.Schedule, MaxAge: x.Kept.MaxAge, Age: -1, Now: x.Now,
			Place: duty.Place{Type: x.Integration.Type, Address: x.Integration.Address, Calendar: x.Kept.Calendar}}
		if !x.ReadAt.IsZero() {
			s.Age = max(0, x.Now.Sub(x.ReadAt))
		}
		out = append(out, s)
	}
	return out, nil
}

func (m *dutyMemory) source(schedule string) broker.DutySource {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all[schedule]
}

func (m *dutyMemory) Secret(ctx context.Context, schedule string) (access.Secret, error) {
	i := m.source(schedule).Integration
	if i.Credential == "" {
		return access.Secret{}, nil
	}
	l, err := m.broker.OpenLogin(ctx, i, i.Credential)
	return l.Secret, err
}

func (m *dutyMemory) Keep(ctx context.Context, schedule string, shifts []oncall.Shift, from, until time.Time, problem error) error {
	return m.broker.KeepDuty(ctx, m.source(schedule), shifts, from, until, problem)
}
