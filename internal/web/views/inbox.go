package views

import (
	"stint/internal/api"
	"stint/internal/moment"
)

// Inbox is one view of requests.
type Inbox struct {
	View  InboxView
	Items []api.Request
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
		out = append(out, "begins "+moment.At(r.Start.Time))
	}
	if r.Extends != "" {
		out = append(out, "more time on what they hold")
	}
	if r.Bundle != "" {
		out = append(out, "part of a bundle")
	}
	for _, a := range r.Decision.Approvals {
		if a.Level == "passkey" || a.Level == "client" {
			out = append(out, "by passkey")
			break
		}
	}
	if n := len(r.Remarks); n > 0 && !r.Remarks[n-1].Answer {
		out = append(out, "a question waits for its answer")
	}
	return out
}

// Standing says in a few words how a request is.
func Standing(r api.Request) string {
	g := r.Grant
	switch {
	case r.State == api.RequestPending:
		return "waits for a decision"
	case r.State == api.RequestDenied:
		return "denied"
	case r.State == api.RequestCancelled:
		return "withdrawn"
	case r.State == api.RequestExpired:
		return "not answered in time"
	case r.Extends != "":
		return "approved, for more time"
	case g == nil || g.State == api.GrantProvisioning:
		return "approved, being set up"
	case g.State == api.GrantScheduled:
		return "approved, not begun yet"
	case g.State == api.GrantActive:
		return "active until " + moment.At(g.ExpiresAt.Time)
	case g.State == api.GrantEnding:
		return "ending"
	case g.State == api.GrantFailed:
		return "not set up"
	}
	return "ended"
}
