package web

import (
	"context"

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

func (s *Site) settings(v *visit) error {
	x, err := s.doors.Settings(v.r.Context(), v.Visitor)
	if err != nil {
		return err
	}
	x.Address = v.Base.String()
	return s.show(v, sheet{title: words.Settings, lede: words.SettingsLede, nav: "settings"}, views.SettingsPage(x))
}

func (s *Site) checks(v *visit) error {
	offered, all, err := s.doors.Checks(v.r.Context(), v.Visitor)
	if err != nil {
		return err
	}
	return s.show(v, sheet{title: words.Settings, lede: words.SettingsChecksLede, nav: "settings"}, views.ChecksPage(offered, all))
}

func (s *Site) testConnection(v *visit) error {
	if err := s.doors.TestConnection(v.r.Context(), v.Visitor, v.r.PostForm.Get("name")); err != nil {
		return err
	}
	v.redirect("/settings")
	return nil
}
