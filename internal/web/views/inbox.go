package views

import (
	"net/url"

	"stint/internal/api"
	"stint/internal/moment"
	"stint/internal/web/words"
)

// Inbox is one view of requests.
type Inbox struct {
	View  InboxView
	Items []api.Request // a window of them
	// Waits is how many wait for the reader, or at least wait; it is counted for the first
	// window alone. The window begins after After, and the next one after Next; either may be
	// empty.
	Waits       int
	AtLeast     bool
	After, Next string
}

// InboxEach is how many requests are on one page.
const InboxEach = 50

// shown says how many of those that wait are on the page, where that is known.
func (m Inbox) shown() string {
	switch {
	case m.View != ForMe || m.After != "":
		return ""
	case m.AtLeast && len(m.Items) == 0:
		return words.InboxNoneSoFar
	case m.AtLeast:
		return words.InboxAtLeast(len(m.Items), m.Waits)
	}
	return words.InboxShown(len(m.Items), m.Waits)
}

func (m Inbox) link(after string) string {
	q := url.Values{}
	if m.View != ForMe {
		q.Set("tab", string(m.View))
	}
	if after != "" {
		q.Set("after", after)
	}
	return (&url.URL{Path: "/requests", RawQuery: q.Encode()}).String()
}

// InboxView says which.
type InboxView string

// The views.
const (
	ForMe   InboxView = "for-me" // what waits for the reader, the oldest first
	Decided InboxView = "done"   // what they voted on, the newest first
	Own     InboxView = "own"    // what they asked for, the newest first
)

// whoText is who asks, and who answers for them where that is somebody else.
func whoText(r api.Request) string {
	if r.Principal == "user:"+r.Person || r.Person == "" {
		return plainSubjects([]string{r.Principal})[0]
	}
	return plainSubjects([]string{r.Principal})[0] + " (" + r.Person + ")"
}

// factsOf are what matters besides, in few words each.
func factsOf(r api.Request) (out []string) {
	if r.Ticket != "" {
		out = append(out, r.Ticket)
	}
	if !r.Start.IsZero() {
		out = append(out, words.InboxBegins+moment.At(r.Start.Time))
	}
	if r.Extends != "" {
		out = append(out, words.InboxMoreTimeOnWhatTheyHold)
	}
	if r.Bundle != "" {
		out = append(out, words.InboxPartOfABundle)
	}
	for _, a := range r.Decision.Approvals {
		if a.Level == "passkey" || a.Level == "client" {
			out = append(out, words.InboxByPasskey)
			break
		}
	}
	if n := len(r.Remarks); n > 0 && !r.Remarks[n-1].Answer {
		out = append(out, words.InboxAQuestionWaitsForItsAnswer)
	}
	return out
}

// Standing says in a few words how a request is.
func Standing(r api.Request) string {
	g := r.Grant
	switch {
	case r.State == api.RequestPending:
		return words.InboxWaitsForADecision
	case r.State == api.RequestDenied:
		return words.InboxDenied
	case r.State == api.RequestCancelled:
		return words.InboxWithdrawn
	case r.State == api.RequestExpired:
		return words.InboxNotAnsweredInTime
	case r.Extends != "":
		return words.InboxApprovedForMoreTime
	case g == nil || g.State == api.GrantProvisioning:
		return words.InboxApprovedBeingSetUp
	case g.State == api.GrantScheduled:
		return words.InboxApprovedNotBegunYet
	case g.State == api.GrantActive:
		return words.InboxActiveUntil + moment.At(g.ExpiresAt.Time)
	case g.State == api.GrantEnding:
		return words.InboxEnding
	case g.State == api.GrantFailed:
		return words.InboxNotSetUp
	}
	return words.InboxEnded
}
