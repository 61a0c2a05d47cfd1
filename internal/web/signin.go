package web

import (
	"net/http"
	"time"

	"stint/internal/api"
)

func (s *Site) home(v *visit) error {
	return s.render(v, http.StatusOK, "home", "You are signed in", homePage{})
}

type homePage struct{}

// When is a time for people.
func (homePage) When(t api.Time) string { return when(t) }

// setMessages says which messages one is sent.
func (s *Site) setMessages(v *visit) error {
	if err := s.doors.SetMessages(v.r.Context(), v.Visitor, v.r.PostForm.Get("few") != ""); err != nil {
		return err
	}
	v.redirect("/")
	return nil
}

type loginPage struct {
	Ways     []Way
	Passkeys bool
	Next     string
	Ended    bool
}

// chooseWay shows how one can sign in.
func (s *Site) chooseWay(v *visit) error {
	ways, passkeys, err := s.doors.Ways(v.r.Context())
	if err != nil {
		return err
	}
	q := v.r.URL.Query()
	p := loginPage{Ways: ways, Passkeys: passkeys, Next: localPath(q.Get("next")), Ended: q.Has("ended")}
	if !passkeys {
		return s.render(v, http.StatusOK, "login", "Sign in", p)
	}
	return s.renderSigning(v, "login", "Sign in", p)
}

// depart sends the browser to a provider.
func (s *Site) depart(v *visit) error {
	to, trip, err := s.doors.Depart(v.r.Context(), v.Visitor, v.r.PostForm.Get("provider"), localPath(v.r.PostForm.Get("next")))
	if err != nil {
		return err
	}
	v.setCookie(tripCookie, trip, time.Now().Add(tripFor))
	return s.leave(v, "Signing in", to)
}

// arrive is where a provider sends the browser back to.
func (s *Site) arrive(v *visit) error {
	a, err := s.doors.Arrive(v.r.Context(), v.Visitor, v.r.PathValue("provider"), v.r.URL.Query())
	if err != nil {
		return err
	}
	v.setCookie(sessionCookie, a.Session, a.Until.Time)
	v.redirect(a.Next)
	return nil
}

func (s *Site) signOut(v *visit) error {
	if err := s.doors.SignOut(v.r.Context(), v.Visitor); err != nil {
		return err
	}
	v.setCookie(sessionCookie, "", time.Unix(1, 0))
	v.redirect("/login")
	return nil
}
