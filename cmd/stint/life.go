package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"stint/internal/api"
	"stint/internal/shell"
)

// The goals that a wait may have.
const (
	untilDecided = "decided"
	untilReady   = "ready"
	untilEnded   = "ended"
)

// judge says whether the goal of a wait is settled, and with which exit code:
// reached, or out of reach for good.
func judge(goal string, r api.Request) (settled bool, code int) {
	switch r.State {
	case api.RequestApproved:
	case api.RequestDenied:
		return true, exitDenied
	case api.RequestCancelled, api.RequestExpired:
		return true, exitExpired
	default:
		return false, exitPending
	}
	if goal == untilDecided || goal == untilReady && r.Extends != "" { // more time is there at once
		return true, exitDone
	}
	g := r.Grant
	switch {
	case g == nil:
		return false, exitPending
	case g.State == api.GrantActive:
		return goal == untilReady, exitDone
	case g.State == api.GrantFailed:
		return true, exitSetupFailed
	case g.State == api.GrantEnding && goal == untilReady, g.State == api.GrantEnded && goal == untilReady:
		return true, endCode(g.EndReason)
	case g.State == api.GrantEnded:
		return true, exitDone
	}
	return false, exitPending
}

// endCode is the exit code for who wanted access and finds it ended.
func endCode(why api.EndReason) int {
	switch why {
	case api.EndFailed:
		return exitSetupFailed
	case api.EndRevoked, api.EndPolicy:
		return exitDenied
	}
	return exitExpired
}

// stateOf is where a request stands in one word: its grant's state once there
// is one.
func stateOf(r api.Request) string {
	if r.Grant != nil {
		return string(r.Grant.State)
	}
	return string(r.State)
}

// over reports whether nothing will happen to the request any more.
func over(r api.Request) bool {
	if g := r.Grant; g != nil {
		return g.State == api.GrantEnded || g.State == api.GrantFailed
	}
	return r.State != api.RequestPending && r.State != api.RequestApproved
}

// span is what was granted, or else asked.
func span(r api.Request) string {
	if r.Granted != "" {
		return api.Span(r.Granted)
	}
	return api.Span(r.Duration)
}

// byStage is the list in the order in which it is asked.
func byStage(list []api.Approval) []api.Approval {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b api.Approval) int { return a.Stage - b.Stage })
	return list
}

// stillAsked are the approvals that are not all there yet.
func stillAsked(list []api.Approval) []api.Approval {
	return slices.DeleteFunc(slices.Clone(list), func(a api.Approval) bool { return a.Have >= a.Count })
}

// asked is who is asked to approve, stage by stage, and how far that is.
func asked(list []api.Approval) string {
	list = byStage(list)
	var text strings.Builder
	for i, a := range list {
		from := a.From
		if a.Escalated {
			from = slices.Concat(from, a.EscalateTo)
		}
		switch {
		case i == 0:
		case a.Stage != list[i-1].Stage:
			text.WriteString(", then ")
		default:
			text.WriteString(" and ")
		}
		text.WriteString(strings.Join(from, " or "))
		if a.Count > 1 || a.Have > 0 {
			fmt.Fprintf(&text, " (%d of %d)", a.Have, a.Count)
		}
		if len(a.EscalateTo) > 0 && !a.Escalated {
			text.WriteString(" (after " + api.Span(a.EscalateAfter) + " also " + strings.Join(a.EscalateTo, " or ") + ")")
		}
	}
	return text.String()
}

// doing is what happens to the request at this moment.
func doing(r api.Request, now time.Time) string {
	if r.State == api.RequestPending {
		if who := asked(stillAsked(r.Decision.Approvals)); who != "" {
			return "waiting for approval by " + who
		}
		return "waiting for a decision"
	}
	g := r.Grant
	if g == nil {
		return "preparing"
	}
	text := ""
	switch g.State {
	case api.GrantScheduled:
		return "starts " + clock(r.Start.Time, now)
	case api.GrantProvisioning:
		text = "setting up access to " + r.Resource
	case api.GrantActive:
		return "active, ends " + clock(g.ExpiresAt.Time, now)
	case api.GrantEnding:
		text = "removing access to " + r.Resource + " and reading it back"
	default:
		return string(g.State)
	}
	if g.Detail != "" {
		text += ": " + g.Detail
	}
	return text
}

// leftOf is the time that a request still has, for tables.
func leftOf(r api.Request, now time.Time) string {
	g := r.Grant
	switch {
	case r.State == api.RequestPending:
		return "waiting"
	case g == nil:
		return string(r.State)
	case g.State == api.GrantActive:
		return left(g.ExpiresAt.Sub(now))
	case g.Overdue:
		return "overdue"
	}
	return string(g.State)
}

// endsOf is when the access ends or has ended.
func endsOf(r api.Request, now time.Time) string {
	g := r.Grant
	switch {
	case g == nil:
		return ""
	case !g.EndedAt.IsZero():
		return clock(g.EndedAt.Time, now)
	case g.State == api.GrantActive:
		return clock(g.ExpiresAt.Time, now)
	}
	return ""
}

// refusal is why a request came to nothing, as an error's parts.
func refusal(r api.Request) (what, why, next string) {
	what, why, next = refused(r)
	return what, why, orGlass(next, r)
}

// orGlass adds what whoever may breaks glass with to what else can be done.
func orGlass(next string, r api.Request) string {
	if r.BreakGlass == "" {
		return next
	}
	return strings.TrimPrefix(next+"\nin an emergency: stint break-glass "+shell.Word(r.Resource)+" --as "+shell.Word(r.BreakGlass)+" --why …", "\n")
}

func refused(r api.Request) (what, why, next string) {
	switch r.State {
	case api.RequestDenied:
		return refusedBy(r)
	case api.RequestCancelled:
		return "the request was cancelled", "", ""
	case api.RequestExpired:
		return "the request has expired: nobody decided in time", "asked was " + asked(r.Decision.Approvals), "ask again"
	}
	g := r.Grant
	if g == nil {
		return "the request came to nothing", "", ""
	}
	switch {
	case g.State == api.GrantFailed, g.EndReason == api.EndFailed:
		return "access to " + r.Resource + " could not be set up", g.Detail, "nothing is left behind once the grant is failed; see stint status " + r.ID
	case g.EndReason == api.EndRevoked:
		return "access to " + r.Resource + " was revoked", g.Detail, ""
	case g.EndReason == api.EndPolicy:
		return "access to " + r.Resource + " ended because policy no longer allows it", g.Detail, ""
	case g.EndReason == api.EndReturned:
		return "access to " + r.Resource + " was given back", "", "ask again if you need it"
	}
	return "access to " + r.Resource + " has ended", "", "ask again if you need it"
}

func refusedBy(r api.Request) (what, why, next string) {
	for _, v := range r.Votes {
		if !v.Approve {
			return "denied by " + v.Person, v.Note, ""
		}
	}
	return "denied by policy", reasons(r.Decision), "see what would be allowed: " + askLine("policy explain", api.Ask{Resource: r.Resource, Role: r.Role, Duration: r.Duration, Reason: r.Reason, Ticket: r.Ticket, Task: r.Task})
}

// askLine is a question as a command that can be pasted into a shell.
func askLine(command string, q api.Ask) string {
	words := []string{"stint", command, shell.Word(q.Resource), "--as", shell.Word(q.Role), "--for", shell.Word(q.Duration)}
	for _, f := range []struct{ flag, value string }{{"--why", q.Reason}, {"--ticket", q.Ticket}, {"--task", q.Task}, {"--at", q.Start}} {
		if f.value != "" {
			words = append(words, f.flag, shell.Word(f.value))
		}
	}
	return strings.Join(words, " ")
}

// reasons are the sentences of a decision, each with its rule.
func reasons(d api.Decision) string {
	var lines []string
	for _, x := range d.Reasons {
		lines = append(lines, reasonLine(x))
	}
	return strings.Join(lines, "\n")
}

func reasonLine(x api.Reason) string {
	switch {
	case x.Policy != "" && x.Source != "":
		return x.Text + " (" + x.Policy + ", " + x.Source + ")"
	case x.Policy != "" || x.Source != "":
		return x.Text + " (" + x.Policy + x.Source + ")"
	}
	return x.Text
}
