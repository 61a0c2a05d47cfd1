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
	// Waits is how many wait for the reader in all. The window begins after After, and the
	// next one after Next; either may be empty.
	Waits       int
	After, Next string
}

// InboxEach is how many requests are on one page.
const InboxEach = 50

// Window keeps of all that wait those after After, as many as a page has: what was decided
// meanwhile moves nothing out of sight.
func (m Inbox) Window() Inbox {
	m.Waits = len(m.Items)
	from := 0
	for from < len(m.Items) && m.After != "" && m.Items[from].ID <= m.After {
		from++
	}
	if m.Items = m.Items[from:]; len(m.Items) > InboxEach {
		m.Items = m.Items[:InboxEach]
		m.Next = m.Items[InboxEach-1].ID
	}
	return m
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
