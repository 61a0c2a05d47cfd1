package views

import (
	"net/url"
	"time"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/words"
)

// OpenSession is an active grant, and what is open under it.
type OpenSession struct {
	Held
	Open       int       // -1: not known
	LastActive time.Time // may be zero
	Read       time.Time // when the target was asked; zero where it did not say
	OnLogout   bool      // the last session that closes ends it
	OnIdle     string    // and so does so long without use; empty: not
	Mine       bool      // the visitor holds it
}

// OpenSessions are a page of them, the newest first: those before one, and where the next
// page begins; either may be empty.
type OpenSessions struct {
	Items        []OpenSession
	Before, Next string
	Cut          bool // the visitor owns more resources than were looked at
}

func (m OpenSessions) older() string { return "/sessions?before=" + url.QueryEscape(m.Next) }

func (x OpenSession) state() (ui.Tone, string) {
	switch {
	case x.ending():
		return ui.Warn, words.SessionsEnding
	case x.Open < 0:
		return ui.Warn, words.SessionsUnknown
	case x.Open == 0:
		return ui.Plain, words.SessionsIdle
	}
	return ui.Good, words.SessionsOpen(x.Open)
}

// ending reports whether it was ended, and the target has not said yet that it is gone.
func (x OpenSession) ending() bool { return x.Grant != nil && x.Grant.State == api.GrantEnding }

func (x OpenSession) href() string { return "/sessions/" + x.ID }

func (x OpenSession) log() string {
	return AuditQuery{Range: "30d", Fields: map[string]string{"request": x.ID}}.Href()
}

// openIn is how many sessions are known to be open in all.
func openIn(all []OpenSession) (n int) {
	for _, x := range all {
		n += max(0, x.Open)
	}
	return n
}
