package notify

import (
	"context"
	"strings"
	"time"

	"stint/internal/access"
)

// Besides those who decide, channels of some types tell whoever asked how it stands with
// what they asked: a direct message, or a mail to an address of theirs. It is a reader of
// its own with a cursor of its own, so that neither waits for the other.

// ofRequesters is the option that has it done.
const ofRequesters = "requesters"

var requestersOption = access.Option{Doc: "also tell who asked, each alone: decided, ready, about to end, ended. Those whom the chat or an address of theirs is known of", Values: []string{"yes", "no"}, Default: "no"}

// Requesters are those who ask, as messages reach them.
type Requesters interface {
	// Reach says where an integration reaches a principal: a user's id, an address;
	// empty: nowhere. quiet says that they want to hear of trouble only.
	Reach(ctx context.Context, integration, typ string, p access.PrincipalID) (to string, quiet bool, err error)
}

// soonPrefix begins the subjects that tell of an end which is near.
const soonPrefix = "soon_"

// Soon is how long before the end of a grant its holder is told; of a short one, a
// quarter of its time.
const Soon = 10 * time.Minute

func soon(g *access.Grant) time.Duration { return min(Soon, g.Duration/4) }

// concernsOwn says which messages to whoever asked a record concerns. They hear of
// requests that waited for somebody, and of the end of every grant.
func concernsOwn(seq int64, e access.Event) (all []Concern) {
	noun, _, _ := strings.Cut(string(e.Type), ".")
	switch {
	case noun == "request":
		all = append(all, Concern{Subject: e.Entity, Seq: seq, Known: e.Type != access.RequestSubmitted || e.Facts["state"] != string(access.RequestPending)})
	case noun == "grant" && strings.HasPrefix(e.Facts["request"], "req_"):
		id := e.Facts["request"]
		all = append(all, Concern{Subject: id, Seq: seq, Known: true},
			Concern{Subject: soonPrefix + id, Seq: seq, Known: e.Type != access.GrantActive})
	}
	return all
}

// toOwn renders what whoever asked is told, as it is now; false where there is nothing to
// say, and with a wait where there will be.
func (r *reader) toOwn(ctx context.Context, p Pending) (m Message, wait time.Duration, ok bool, err error) {
	id, near := strings.CutPrefix(p.Subject, soonPrefix)
	req, g, err := r.world.Request(ctx, access.RequestID(id))
	if access.KindOf(err) == access.NotFound {
		return m, 0, false, nil
	}
	if err != nil {
		return m, 0, false, err
	}
	if near {
		if g == nil || g.State != access.Active {
			return m, 0, false, nil
		}
		if wait = time.Until(g.ExpiresAt.Add(-soon(g))); wait > 0 {
			return m, wait, false, nil
		}
		m = OfSoon(r.site, req, g)
	} else if m, ok = OfOwn(r.site, req, g); !ok {
		return m, 0, false, nil
	}
	to, quiet, err := r.own.Reach(ctx, r.at.Name, r.at.Type, req.Principal)
	if err != nil || to == "" || quiet && !m.Urgent {
		return m, 0, false, err
	}
	m.To = to
	return m, 0, true, nil
}

// OfOwn renders a request for whoever asked. Of what they did themselves, and while there
// is nothing new, it says nothing.
func OfOwn(site Site, r access.Request, g *access.Grant) (m Message, ok bool) {
	m = OfRequest(site, r, g)
	m.Vote, m.Chat, m.Command = "", false, "stint status "+string(r.ID)
	what := string(r.Role) + " on " + resources(r.Targets)
	m.Nudge = 0
	switch {
	case r.State == access.RequestPending:
		for _, x := range r.Remarks {
			if !x.Answer {
				m.Nudge++
			}
		}
		if n := len(r.Remarks); n == 0 || r.Remarks[n-1].Answer {
			return m, false
		}
		m.Title, m.Command = "A question about your "+what, "stint answer "+string(r.ID)+" TEXT"
	case r.State == access.RequestWithdrawn:
		return m, false
	case r.State == access.RequestIsDenied:
		m.Title = "Denied: your " + what
	case r.State == access.RequestTimedOut:
		m.Title = "Nobody answered in time: your " + what
	case g == nil, g.State == access.Provisioning:
		return m, false // a moment, and it is ready or failed
	case g.State == access.Scheduled:
		m.Title = "Approved, begins " + instant(g.StartsAt) + ": your " + what
	case g.State == access.Active:
		m.Title = "Ready until " + instant(g.ExpiresAt) + ": your " + what
		m.Command = "stint db " + resources(r.Targets)
		if len(r.Targets) == 1 {
			switch r.Targets[0].Connection.Type {
			case "postgres":
			case "http":
				m.Command = "stint web " + resources(r.Targets)
			default:
				m.Command = "stint status " + string(r.ID)
			}
		}
	case g.EndReason == access.ByHolder:
		return m, false
	case g.State == access.Ending, g.State == access.Ended:
		m.Stage, m.Title = Over, "Ended: your "+what
		m.Urgent = g.EndReason != access.ByTime
	default: // failed
		m.Title, m.Urgent = "Not set up: your "+what, true
	}
	m.Title = oneLine(m.Title, maxLine)
	return m, true
}

// OfSoon says that a grant is about to end.
func OfSoon(site Site, r access.Request, g *access.Grant) Message {
	m := OfRequest(site, r, g)
	m.Subject, m.Stage, m.Vote, m.Chat = soonPrefix+string(r.ID), Live, "", false
	m.Title = oneLine("Ends "+instant(g.ExpiresAt)+": your "+string(r.Role)+" on "+resources(r.Targets), maxLine)
	m.Command = "stint extend " + string(r.ID) + " --for 30m --why …"
	return m
}
