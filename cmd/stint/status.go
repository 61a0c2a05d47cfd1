package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
	"stint/internal/shell"
)

func (c *cli) statusCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status [ID]",
		Aliases: []string{"st"},
		Short:   "Show what you hold and what is on its way, or one request",
		Args:    atMost("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				r, err := conn.Request(cmd.Context(), args[0], api.Wait{})
				if err != nil {
					return err
				}
				text := requestFacts(r, c)
				if c.output == asTable {
					text += c.waitingFor(cmd.Context(), conn, r)
				}
				return c.show(result{value: r, names: []string{r.ID}, text: text})
			}
			list, err := mine(cmd.Context(), conn)
			if err != nil {
				return err
			}
			if h, err := conn.Ready(cmd.Context()); err == nil && h.OK && h.Detail != "" {
				c.say("CAUTION: " + h.Detail)
			}
			if len(list) == 0 {
				c.say("you hold nothing, and nothing is on its way")
				c.hint("ask for access with stint request RESOURCE --as ROLE --for DURATION --why TEXT; see what there is with stint get resources")
			}
			t := newTable("RESOURCE", "ROLE", "LEFT", "ENDS", "NEXT", "!REQUEST")
			t.marks["LEFT"] = markState
			for _, r := range list {
				todo := nextOf(r, c.now())
				if more := moreFor(list, r); more != "" {
					todo += "; " + more
				}
				t.row(r.Resource, markGlass(r), leftOf(r, c.now()), endsOf(r, c.now()), todo, r.ID)
			}
			return c.show(result{value: list, names: ids(list), table: t})
		},
	}
	cmd.ValidArgsFunction = c.completeIDs
	return cmd
}

// mine is what is on its way to the caller, then what the caller holds; newest
// first.
func mine(ctx context.Context, conn *connection) ([]api.Request, error) {
	list := []api.Request{} // an empty list is [] in JSON
	for r, err := range api.Each(func(cursor string) (api.Page[api.Request], error) {
		return conn.Requests(ctx, api.RequestList{List: api.List{Cursor: cursor}, State: api.RequestPending, Mine: true})
	}) {
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	for r, err := range api.Each(func(cursor string) (api.Page[api.Request], error) {
		return conn.grants(ctx, grantList{mine: true, state: liveStates}, api.List{Cursor: cursor})
	}) {
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// moreFor says of a grant which extension of it waits, if one among the requests does.
func moreFor(list []api.Request, r api.Request) string {
	for _, x := range list {
		if r.Grant != nil && x.State == api.RequestPending && x.Extends == r.Grant.ID {
			return api.Span(x.Duration) + " more asked for (" + x.ID + ")"
		}
	}
	return ""
}

// waitingFor is the fact that an extension of the caller's own grant waits. What cannot be
// read is not said: it is no part of what was asked for.
func (c *cli) waitingFor(ctx context.Context, conn *connection, r api.Request) string {
	if r.Grant == nil || r.Grant.State != api.GrantActive {
		return ""
	}
	page, err := conn.Requests(ctx, api.RequestList{State: api.RequestPending, Mine: true})
	if err != nil {
		return ""
	}
	for _, x := range page.Items {
		if x.Extends == r.Grant.ID {
			return facts("waits", api.Span(x.Duration)+" more, asked: "+asked(stillAsked(x.Decision.Approvals))+" ("+x.ID+")")
		}
	}
	return ""
}

func ids(list []api.Request) []string {
	out := make([]string, 0, len(list))
	for _, r := range list {
		out = append(out, r.ID)
	}
	return out
}

// nextOf is what the holder can do now, or what is being waited for.
func nextOf(r api.Request, now time.Time) string {
	switch g := r.Grant; {
	case r.State == api.RequestPending:
		text := ""
		if who := asked(stillAsked(r.Decision.Approvals)); who != "" {
			text = "asked: " + who
		}
		if r.Extends != "" {
			text = strings.TrimSuffix(api.Span(r.Duration)+" more, "+text, ", ")
		}
		return text
	case g == nil:
		return ""
	case g.State == api.GrantActive:
		if r.Task != "" { // db looks among what is held for that task
			return "stint db " + r.Resource + " --task " + shell.Word(r.Task)
		}
		return "stint db " + r.Resource
	case g.Detail != "":
		return g.Detail
	case g.State == api.GrantScheduled:
		return "starts " + clock(r.Start.Time, now)
	case g.State == api.GrantProvisioning:
		return "being set up"
	case g.State == api.GrantEnding:
		return "being removed"
	}
	return ""
}

// requestFacts is one request with all that matters to a person.
func requestFacts(r api.Request, c *cli) string {
	now := c.now()
	pairs := []string{
		"request", r.ID,
		"state", stateOf(r),
		"who", whoOf(r),
		"resource", r.Resource,
		"role", r.Role,
		"for", spanFact(r),
		"task", r.Task,
		"why", r.Reason,
		"ticket", r.Ticket,
		"starts", timeFact(r.Start, c),
		"extends", r.Extends,
		"bundle", r.Bundle,
		"emergency", emergencyFact(r),
		"asked", asked(r.Decision.Approvals),
	}
	for _, x := range r.Decision.Reasons {
		pairs = append(pairs, "rule", reasonLine(x))
	}
	if r.State == api.RequestPending {
		pairs = append(pairs, "answer by", timeFact(r.ExpiresAt, c))
	}
	pairs = append(pairs, remarkFacts(r, now)...)
	for _, v := range r.Votes {
		verb := "denied by"
		if v.Approve {
			verb = "approved by"
		}
		text := v.Person
		if v.OnBehalfOf != "" {
			text += " for " + short(v.OnBehalfOf)
		}
		text += ", " + ago(v.At.Time, now)
		if v.For != "" {
			text += ", for " + api.Span(v.For)
		}
		if v.Note != "" {
			text += ": " + v.Note
		}
		pairs = append(pairs, verb, text)
	}
	if g := r.Grant; g != nil {
		pairs = append(pairs, "grant", g.ID, "account", g.Account, "active since", timeFact(g.ActiveAt, c))
		if g.State == api.GrantActive {
			pairs = append(pairs, "left", left(g.ExpiresAt.Sub(now)))
		}
		ends, because := "ends", string(g.EndReason)
		if !g.EndedAt.IsZero() {
			ends = "was to end"
		}
		if g.EndedBy != "" {
			because += " by " + g.EndedBy
		}
		pairs = append(pairs, ends, timeFact(g.ExpiresAt, c), "ended", timeFact(g.EndedAt, c), "because", because,
			"verified gone", timeFact(g.VerifiedGoneAt, c), "detail", g.Detail)
		pairs = append(pairs, residueFacts(g)...)
		if g.Overdue {
			pairs = append(pairs, "overdue", "the access is not yet verified gone; Stint goes on removing it")
		}
	}
	return facts(pairs...)
}

// residueFacts says what the access left behind, each thing with the statement
// that undoes it.
func residueFacts(g *api.Grant) (pairs []string) {
	said := string(g.Residue)
	if said != "" && g.ResidueNote != "" {
		said += ": " + g.ResidueNote
	}
	pairs = append(pairs, "residue", said)
	for _, t := range g.Traces {
		what := t.What
		if t.Database != "" {
			what += ", in database " + t.Database
		}
		pairs = append(pairs, "left behind", what, "undo", t.Undo)
	}
	return pairs
}

func whoOf(r api.Request) string {
	if r.Person == "" || r.Principal == "user:"+r.Person {
		return r.Principal
	}
	return r.Principal + " (" + r.Person + ")"
}

func spanFact(r api.Request) string {
	if r.Granted != "" && r.Granted != r.Duration {
		return api.Span(r.Granted) + " of " + api.Span(r.Duration) + " asked"
	}
	return api.Span(r.Duration)
}

func timeFact(t api.Time, c *cli) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05") + ", " + ago(t.Time, c.now())
}
