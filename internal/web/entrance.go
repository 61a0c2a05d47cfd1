package web

import (
	"net/http"

	"stint/internal/api"
)

// Entrance is what a gateway has a browser bring to the sign-in.
type Entrance struct {
	Back      string // where the gateway takes it back
	State     string // what it brings back unchanged
	Challenge string // of a verifier that only the browser's cookie at the gateway has
}

// enterWeb sends a browser, in which somebody is signed in by now, back to a gateway.
func (s *Site) enterWeb(v *visit) error {
	if dest := v.r.Header.Get("Sec-Fetch-Dest"); dest != "" && dest != "document" { // a picture, a frame, a script of a page elsewhere
		return &api.Error{Kind: api.Denied, Code: "not-opened", Message: "a page had the browser ask for this, and nobody went here", Next: "open the address of the application itself"}
	}
	q := v.r.URL.Query()
	to, err := s.doors.EnterWeb(v.r.Context(), v.Visitor, v.r.PathValue("resource"), Entrance{q.Get("back"), q.Get("state"), q.Get("challenge")})
	if err != nil {
		return err
	}
	v.w.Header().Set("Cache-Control", "no-store")
	v.w.Header().Set("Referrer-Policy", "no-referrer")
	v.w.Header().Set("Location", to)
	v.w.WriteHeader(http.StatusSeeOther)
	return nil
}
