package web

import (
	"context"
	"net/http"

	"stint/internal/api"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// Steward is what the pages of settings need of the control plane. All of it is for
// administrators.
type Steward interface {
	// Settings is how the server is, and what it is connected to.
	Settings(ctx context.Context, v Visitor) (views.Settings, error)
	// Checks are those of the doctor; not offered by every server.
	Checks(ctx context.Context, v Visitor) (offered bool, all []api.DoctorCheck, err error)
	// TestConnection tries one of them out, and fails as the trial does. Afterwards
	// Settings knows how it went.
	TestConnection(ctx context.Context, v Visitor, name string) error
}

func (s *Site) settings(v *visit) error { return s.showSettings(v, http.StatusOK, "", nil) }

// showSettings shows them, with what went wrong beside the connection that it is about.
func (s *Site) showSettings(v *visit, status int, name string, problem *api.Error) error {
	x, err := s.doors.Settings(v.r.Context(), v.Visitor)
	if err != nil {
		return err
	}
	x.Address, x.Problem = v.Base.String(), problem
	for i := range x.Connections {
		if problem != nil && x.Connections[i].Name == name {
			x.Connections[i].Problem, x.Problem = problem, nil
		}
	}
	return s.show(v, sheet{title: words.Settings, lede: words.SettingsLede, nav: "settings", status: status}, views.SettingsPage(x))
}

func (s *Site) checks(v *visit) error {
	offered, all, err := s.doors.Checks(v.r.Context(), v.Visitor)
	if err != nil {
		return err
	}
	return s.show(v, sheet{title: words.Settings, lede: words.SettingsChecksLede, nav: "settings"}, views.ChecksPage(offered, all))
}

// testConnection tries one out. How that went stands beside it, with what to do.
func (s *Site) testConnection(v *visit) error {
	name := v.r.PostForm.Get("name")
	err := s.doors.TestConnection(v.r.Context(), v.Visitor, name)
	if err == nil {
		v.redirect("/settings")
		return nil
	}
	problem := s.doors.Refusal(v.r.Context(), err)
	switch problem.Kind {
	case api.Unauthenticated, api.Denied, api.Internal:
		s.refuse(v, problem)
		return nil
	}
	return s.showSettings(v, problem.Status, name, problem)
}
