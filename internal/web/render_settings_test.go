package web

import (
	"context"
	"time"

	"stint/internal/api"
	"stint/internal/web/views"
)

func (s *stand) Settings(context.Context, Visitor) (views.Settings, error) {
	now := time.Now()
	c := views.Connection{Name: nasty, Description: nasty, Type: nasty, Address: nasty, Credential: nasty, Source: nasty, Trouble: nasty, Since: now, Test: views.TestMessage,
		Tested: &views.ConnectionTest{At: now, By: nasty, Said: nasty}, ReadAt: now,
		Problem: &api.Error{Message: nasty, Why: nasty, Next: nasty}}
	return views.Settings{Now: now, Version: nasty, Address: nasty, Holds: []string{nasty}, Replica: nasty, Clock: &views.SettingsClock{Why: nasty}, Stopped: true, Why: nasty,
		Origin: nasty, Key: nasty, Fingerprint: nasty, Connections: []views.Connection{c}, Problem: c.Problem}, nil
}
func (s *stand) Checks(context.Context, Visitor) (bool, []api.DoctorCheck, error) {
	return true, []api.DoctorCheck{{Name: nasty, Result: api.CheckFail, Saw: nasty, Why: nasty, Fix: nasty}, {Name: nasty, Result: nasty, Saw: nasty}}, nil
}
