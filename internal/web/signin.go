package web

import (
	"time"

	"stint/internal/web/views"
	"stint/internal/web/words"
)

// you shows who is signed in, and what they chose.
func (s *Site) you(v *visit) error {
	p := v.person
	m := views.Home{Principal: p.Principal, Groups: p.Groups, Until: p.Until.Time, Enrols: p.Enrols, Few: p.Few, Mail: p.Mail, NoKeys: v.noKeys()}
	if p.Admin {
		m.Rights = words.RankAdmin
	} else if p.Auditor {
		m.Rights = words.RankAuditor
	}
	return s.show(v, sheet{title: words.TitleYou, nav: "you"}, views.HomePage(m))
}

// setMessages says which messages one is sent.
func (s *Site) setMessages(v *visit) error {
	if err := s.doors.SetMessages(v.r.Context(), v.Visitor, v.r.PostForm.Get("few") != ""); err != nil {
		return err
	}
	v.redirect("/you")
	return nil
}

// chooseWay shows how one can sign in.
func (s *Site) chooseWay(v *visit) error {
	ways, passkeys, err := s.doors.Ways(v.r.Context())
	if err != nil {
		return err
	}
	q := v.r.URL.Query()
	m := views.SigningIn{Passkeys: passkeys, Next: localPath(q.Get("next")), Ended: q.Has("ended")}
	for _, w := range ways {
		m.Ways = append(m.Ways, views.Way(w))
	}
	return s.show(v, sheet{title: words.TitleSignIn, signing: passkeys}, views.Login(m))
}

// depart sends the browser to a provider.
func (s *Site) depart(v *visit) error {
	to, trip, err := s.doors.Depart(v.r.Context(), v.Visitor, v.r.PostForm.Get("provider"), localPath(v.r.PostForm.Get("next")))
	if err != nil {
		return err
	}
	v.setCookie(tripCookie, trip, time.Now().Add(tripFor))
	return s.leave(v, words.TitleSigningIn, to)
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
