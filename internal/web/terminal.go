package web

import (
	"encoding/base64"
	"net/netip"
	"net/url"

	"stint/internal/api"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// terminalAsk is what a command line opens the browser with: an authorization
// request of RFC 8252, for a client that has no name but the key of its device.
type terminalAsk struct {
	Redirect  string // of a loopback address
	State     string
	Challenge string
	Device    string
	Client    string

	Mark string // of the device, for people to compare
}

func terminalAskOf(q url.Values) (terminalAsk, error) {
	a := terminalAsk{Redirect: q.Get("redirect_uri"), State: q.Get("state"), Challenge: q.Get("code_challenge"), Device: q.Get("device"), Client: label(q.Get("client"))}
	bad := func(why string) (terminalAsk, error) {
		return terminalAsk{}, &api.Error{Kind: api.Invalid, Code: "bad-terminal", Message: "this is not the address that stint login opens", Why: why, Next: "begin again with stint login"}
	}
	switch {
	case !loopbackAddress(a.Redirect):
		return bad("it would send the answer to another place than this machine")
	case len(a.State) < 16 || len(a.State) > 128 || !plain(a.State):
		return bad("its state is not 16 to 128 plain characters")
	case q.Get("code_challenge_method") != "S256" || !digestText(a.Challenge):
		return bad("it has no S256 challenge")
	case !digestText(a.Device):
		return bad("it names no device")
	}
	a.Mark = api.DeviceMark(a.Device)
	return a, nil
}

// loopbackAddress accepts http://127.0.0.1:PORT/ and http://[::1]:PORT/ only, RFC 8252
// section 7.3: a name like localhost may be another machine.
func loopbackAddress(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" || u.User != nil || u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || len(s) > 64 {
		return false
	}
	at, err := netip.ParseAddrPort(u.Host)
	return err == nil && at.Addr().IsLoopback() && at.Port() > 0 && at.String() == u.Host && s == "http://"+u.Host+"/"
}

func digestText(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == 32
}

func plain(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// label is a stranger's name for itself, made fit to be shown.
func label(s string) string {
	var out []byte
	for i := 0; i < len(s) && len(out) < 80; i++ {
		if s[i] >= ' ' && s[i] <= '~' {
			out = append(out, s[i])
		}
	}
	return string(out)
}

// askTerminal asks the person whether a command line may sign in as them.
func (s *Site) askTerminal(v *visit) error {
	a, err := terminalAskOf(v.r.URL.Query())
	if err != nil {
		return err
	}
	if !v.person.Fresh {
		s.sendToLogin(v)
		return nil
	}
	return s.show(v, sheet{title: words.TitleTerminal}, views.AskTerminal(views.Terminal{User: v.person.Principal, Client: a.Client, Mark: a.Mark,
		Redirect: a.Redirect, State: a.State, Challenge: a.Challenge, Device: a.Device}))
}

func (s *Site) answerTerminal(v *visit) error {
	a, err := terminalAskOf(v.r.PostForm)
	if err != nil {
		return err
	}
	back := url.Values{"state": {a.State}, "iss": {v.Base.Scheme + "://" + v.Base.Host}} // RFC 9207
	if v.r.PostForm.Get("answer") != "yes" {
		back.Set("error", "access_denied")
		return s.leave(v, words.TitleTerminalNo, a.Redirect+"?"+back.Encode())
	}
	code, err := s.doors.AllowTerminal(v.r.Context(), v.Visitor, Terminal{Device: a.Device, Challenge: a.Challenge, Client: a.Client})
	if err != nil {
		return err
	}
	back.Set("code", code.Reveal())
	return s.leave(v, words.TitleTerminalYes, a.Redirect+"?"+back.Encode())
}

// askCode asks for the code that a device shows.
func (s *Site) askCode(v *visit) error {
	if !v.person.Fresh {
		s.sendToLogin(v)
		return nil
	}
	return s.show(v, sheet{title: words.TitleDevice, nav: "device"}, views.AskCode(label(v.r.URL.Query().Get("code"))))
}

// showDevice says which device waits under a code.
func (s *Site) showDevice(v *visit) error {
	code := label(v.r.PostForm.Get("code"))
	a, err := s.doors.Asking(v.r.Context(), v.Visitor, code)
	if err != nil {
		return err
	}
	return s.show(v, sheet{title: words.TitleDeviceAsk, nav: "device"}, views.AskDevice(views.Device{User: v.person.Principal, Code: code, Client: label(a.Client), Mark: api.DeviceMark(a.Device),
		From: a.From.String(), At: a.At.String(), Elsewhere: a.From != v.From, Here: v.From.String()}))
}

func (s *Site) answerDevice(v *visit) error {
	allow := v.r.PostForm.Get("answer") == "yes"
	if err := s.doors.AnswerDevice(v.r.Context(), v.Visitor, label(v.r.PostForm.Get("code")), allow); err != nil {
		return err
	}
	if allow {
		return s.show(v, sheet{title: words.TitleDeviceYes}, views.Done(words.SaidDeviceYes))
	}
	return s.show(v, sheet{title: words.TitleDeviceNo}, views.Done(words.SaidDeviceNo))
}

func (s *Site) listSignIns(v *visit) error {
	all, err := s.doors.SignIns(v.r.Context(), v.Visitor)
	if err != nil {
		return err
	}
	var out []views.SignIn
	for _, x := range all {
		out = append(out, views.SignIn{ID: x.ID, Kind: x.Kind, Client: x.Client, Provider: x.Provider, Address: x.Address, This: x.This, Since: x.CreatedAt.Time, Until: x.ExpiresAt.Time})
	}
	return s.show(v, sheet{title: words.TitleSignIns, nav: "signins"}, views.SignIns(out))
}

func (s *Site) endSignIn(v *visit) error {
	if err := s.doors.EndSignIn(v.r.Context(), v.Visitor, v.r.PostForm.Get("id")); err != nil {
		return err
	}
	v.redirect("/signins")
	return nil
}
