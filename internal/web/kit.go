package web

import (
	"stint/internal/api"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// showKit shows every part that pages are made of, for those who look after this server:
// to see that all is right in a browser.
func (s *Site) showKit(v *visit) error {
	if !v.person.Admin {
		return &api.Error{Kind: api.Denied, Code: "administrators-only", Message: "this page is for administrators", Next: "go back to /"}
	}
	return s.show(v, sheet{title: words.TitleKit, lede: words.LedeKit, nav: "kit"}, views.Kit(v.at))
}
