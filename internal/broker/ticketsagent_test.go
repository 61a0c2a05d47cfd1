package broker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/policy"
	"stint/internal/store"
)

// agentsOfGuests lets agents have what their humans could, without a ticket of its own.
const agentsOfGuests = `---
kind: Policy
name: agents
subjects: [group:agents]
roles: [reader]
require: {maxDuration: 1h}
`

// agentOfGus is an agent for which gus answers, who comes in by a ticket alone.
func agentOfGus(t *testing.T, in *installation) broker.Caller {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	p := access.Principal{ID: "agent:fixer", Person: "gus", Responsible: "user:gus", Groups: []access.Group{"agents"}, Version: 1, CreatedAt: now, Until: now.Add(24 * time.Hour)}
	must(t, in.store.Update(t.Context(), func(tx *store.Tx) error { return tx.SavePrincipals(p) }))
	src := access.Source{Device: "device-of-fixer"}
	return broker.Caller{Principal: p, Source: src, Actor: access.Actor{Principal: p.ID, Person: p.Person, Device: src.Device}, SealKey: in.device[:]}
}

// TestAgentsTicketIsWatched: what an agent has because its human would have it for a
// ticket ends with that ticket, although its own policy asks for none; it is read again
// on the human's word, and is borne unread no longer than the human's policy says.
func TestAgentsTicketIsWatched(t *testing.T) {
	in, k := newTicketed(t, byTicket+agentsOfGuests)
	fixer := agentOfGus(t, in)
	hold := func(id string) broker.View {
		t.Helper()
		a := withTicket(30*time.Minute, id)
		a.Task = access.TaskID(id)
		v, err := in.Submit(t.Context(), fixer, a)
		must(t, err)
		d := v.Request.Decision
		if d.Policy != "agents" || d.Behalf != "by-ticket" || v.Request.State != access.RequestIsGranted {
			t.Fatalf("%s: %s by %s and %s: %v", id, v.Request.State, d.Policy, d.Behalf, d.Reasons)
		}
		return waitAs(t, in, fixer, v, access.Active)
	}
	k.set("OPS-1", good())
	k.set("OPS-2", good())
	closed, moved := hold("OPS-1"), hold("OPS-2")
	longer, err := in.Extend(t.Context(), fixer, string(moved.Request.ID), broker.Ask{Duration: time.Minute, Reason: "the same task"})
	if must(t, err); longer.Request.State != access.RequestIsGranted || longer.Request.Task != "OPS-2" {
		t.Errorf("for longer: %s, for the task %q: %v", longer.Request.State, longer.Request.Task, longer.Request.Decision.Reasons)
	}
	in.checkAll(closed, moved)
	k.change("OPS-1", func(i *issue) { i.open = false })
	k.change("OPS-2", func(i *issue) { i.assignee = "id-mira" })
	in.forgetTickets()
	in.checkAll(closed, moved)
	for v, note := range map[access.RequestID]string{closed.Request.ID: "was closed", moved.Request.ID: "is not assigned to gus any more"} {
		now := waitAs(t, in, fixer, broker.View{Request: access.Request{ID: v}}, access.Ending, access.Ended)
		if now.Grant.EndReason != access.ByPolicy || !strings.Contains(now.Grant.EndNote, note) {
			t.Errorf("%s, %q; want one that says %q", now.Grant.EndReason, now.Grant.EndNote, note)
		}
	}

	k.set("OPS-3", good())
	lost := hold("OPS-3")
	k.off(true)
	in.age(policy.UnknownFor+time.Minute, lost)
	in.forgetTickets()
	in.checkAll(lost)
	waitAs(t, in, fixer, lost, access.Ending, access.Ended)
}

// TestAgentsTicketWithoutItsHumans: of an agent whose human has no such ticket nothing is
// allowed, whatever its own policy asks.
func TestAgentsTicketWithoutItsHumans(t *testing.T) {
	in, k := newTicketed(t, byTicket+agentsOfGuests)
	fixer := agentOfGus(t, in)
	in.change(func(p *access.Principal) { p.Groups = []access.Group{"guests"} }, "gus")
	others := good()
	others.assignee = "id-mira"
	k.set("OPS-1", others)
	a := withTicket(time.Minute, "OPS-1")
	a.Task = "OPS-1"
	v, err := in.Submit(t.Context(), fixer, a)
	must(t, err)
	if v.Request.State == access.RequestIsGranted {
		t.Errorf("it is %s by %s and %s", v.Request.State, v.Request.Decision.Policy, v.Request.Decision.Behalf)
	}
}

// waitAs waits for the grant of a request of anybody's.
func waitAs(t *testing.T, in *installation, who broker.Caller, v broker.View, states ...access.GrantState) broker.View {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	v, err := in.Wait(ctx, who, string(v.Request.ID), func(v broker.View) bool {
		for _, s := range states {
			if v.Grant != nil && v.Grant.State == s {
				return true
			}
		}
		return false
	})
	must(t, err)
	return v
}
