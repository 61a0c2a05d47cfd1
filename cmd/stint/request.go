package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

// asking is the part of a question that its flags give.
type asking struct {
	role, span, why, ticket, at, task string
	glass                             bool // break-glass access, where the command offers it
}

func (a *asking) flags(cmd *cobra.Command, c *cli) {
	f := cmd.Flags()
	f.StringVar(&a.role, "as", "", "the role to ask for")
	f.StringVar(&a.span, "for", "", "for how long: 20s, 90m, 1h30m, 2d")
	f.StringVar(&a.why, "why", "", "the reason; approvers and the audit log see it")
	f.StringVar(&a.ticket, "ticket", "", "the ticket behind it")
	f.StringVar(&a.task, "task", "", "for agents: what it works on; no access outlives it")
	c.completeFlag(cmd, "as", c.completeRoles)
}

// said reports whether anything of a question was given.
func (a *asking) said() bool { return a.role != "" || a.span != "" || a.why != "" }

// complete asks a person for what is missing; where nobody can answer, the
// error names the flag.
func (a *asking) complete(ctx context.Context, c *cli, resource string) (api.Ask, error) {
	for _, m := range []struct {
		flag, question string
		into           *string
	}{
		{"as", "As which role? ", &a.role}, {"for", "For how long (20s, 90m, 1h30m)? ", &a.span}, {"why", "Why? ", &a.why},
	} {
		if *m.into == "" && c.canAsk() {
			answer, err := c.prompt(ctx, m.question)
			if err != nil {
				return api.Ask{}, err
			}
			*m.into = answer
		}
		if *m.into == "" && m.flag != "why" { // whether a reason is needed is for policy to say
			return api.Ask{}, usageError{errors.New("--" + m.flag + " is missing")}
		}
	}
	span, err := parseFor("for", a.span)
	if err != nil {
		return api.Ask{}, err
	}
	start, err := parseStart(a.at, c.now())
	if err != nil {
		return api.Ask{}, err
	}
	return api.Ask{Resource: resource, Role: a.role, Duration: span, Reason: a.why, Ticket: a.ticket, Task: a.task, Start: start}, nil
}

// parseStart reads when access shall begin: RFC 3339; a time of day, the next
// one to come; "tomorrow 09:00"; or a date and a time; all in the local zone.
func parseStart(text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	now = now.Local()
	day, hour := now, strings.TrimSpace(text)
	rest, tomorrow := strings.CutPrefix(hour, "tomorrow ")
	if tomorrow {
		day, hour = now.AddDate(0, 0, 1), strings.TrimSpace(rest)
	}
	var at time.Time
	if t, err := time.Parse("15:04", hour); err == nil {
		at = time.Date(day.Year(), day.Month(), day.Day(), t.Hour(), t.Minute(), 0, 0, now.Location())
		if !tomorrow && !at.After(now) {
			at = time.Date(day.Year(), day.Month(), day.Day()+1, t.Hour(), t.Minute(), 0, 0, now.Location())
		}
	} else if at, err = time.ParseInLocation("2006-01-02 15:04", text, now.Location()); err != nil {
		if at, err = time.Parse(time.RFC3339, text); err != nil {
			return "", wrong("bad-time", "--at "+quote(text)+" is not a time", "", `write it like 15:04, "tomorrow 09:00", "2026-03-01 17:30" or 2026-03-01T17:30:00Z`)
		}
	}
	if !at.After(now) {
		return "", wrong("time-passed", "--at "+quote(text)+" is in the past", "it is "+now.Format("2006-01-02 15:04")+" here", "")
	}
	return api.At(at).String(), nil
}

func (c *cli) requestCmd() *cobra.Command {
	var ask asking
	var more together
	var dryRun, noWait bool
	var timeout string
	cmd := &cobra.Command{
		Use:     "request RESOURCE... --as ROLE --for DURATION --why TEXT",
		Aliases: []string{"r"},
		Short:   "Ask for access, and wait until it is ready",
		Long: "Ask for access, and wait until it is ready or refused. Ctrl-C stops the waiting, not\n" +
			"the request. With --dry-run nothing is sent to anybody: it tells the answer before\n" +
			"the question, with the rules behind it and who would be asked.\n\n" +
			"Several resources, or a named bundle, are asked for together, for one reason; each\n" +
			"is approved and ends by itself. RESOURCE:ROLE gives one a role of its own. Where\n" +
			"policy refuses one of them nothing is sent, unless --possible sends the others.",
		Example: "  stint request orders-db --as reader --for 30m --why \"check order 4711\" --ticket INC-2041\n" +
			"  stint request orders-db --as reader --for 2h --why \"migration\" --at \"tomorrow 09:00\"\n" +
			"  stint request orders-db billing-db:auditor --as reader --for 1h --why \"order 4711\"\n" +
			"  stint request --bundle incident --why \"checkout is down\"",
		Args: more.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			most, err := parseTimeout(timeout)
			if err != nil {
				return err
			}
			if err := idleFlags(cmd); err != nil {
				return err
			}
			if !more.one(args) {
				conn, err := c.connect()
				if err != nil {
					return err
				}
				return c.requestSeveral(cmd.Context(), conn, more, args, &ask, dryRun, noWait, most)
			}
			q, err := ask.complete(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			return c.requestOne(cmd.Context(), conn, q, dryRun, noWait, most)
		},
	}
	ask.flags(cmd, c)
	more.flags(cmd, c)
	f := cmd.Flags()
	f.StringVar(&ask.at, "at", "", "when it begins; at once if not given")
	f.BoolVar(&dryRun, "dry-run", false, "tell what would be decided, and ask nothing")
	f.BoolVar(&noWait, "no-wait", false, "print the request and do not wait")
	f.StringVar(&timeout, "timeout", "", "stop waiting after this long, with exit code 8")
	cmd.ValidArgsFunction = func(cmd *cobra.Command, _ []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return c.fromServer(cmd.Context(), prefix, resourceNames)
	}
	return cmd
}

// idleFlags refuses flags that another one takes the effect of: whoever gave them expects
// something else.
func idleFlags(cmd *cobra.Command) error {
	for _, pair := range [][2]string{{"dry-run", "no-wait"}, {"dry-run", "timeout"}, {"no-wait", "timeout"}} {
		if f := cmd.Flags(); f.Changed(pair[0]) && f.Changed(pair[1]) && f.Lookup(pair[0]).Value.String() == "true" {
			return usageError{errors.New("--" + pair[0] + " and --" + pair[1] + " do not go together: with --" + pair[0] + " nothing is waited for")}
		}
	}
	return nil
}

// requestOne asks for one thing and waits for it.
func (c *cli) requestOne(ctx context.Context, conn *connection, q api.Ask, dryRun, noWait bool, most time.Duration) error {
	if dryRun {
		return c.dryRun(ctx, conn, q)
	}
	r, err := c.submit(ctx, conn, q)
	if err != nil {
		return err
	}
	if noWait {
		return c.sent(r)
	}
	r, err = c.await(ctx, conn, r, untilReady, most)
	if err == nil && r.Grant != nil && r.Grant.State == api.GrantActive {
		defer c.hint("connect with stint db " + printable(r.Resource) + "; give it back with stint end " + printable(r.ID))
	}
	return c.settle(r, untilReady, err)
}

// submit sends the question. A refusal that is on record is shown as the
// request it became.
func (c *cli) submit(ctx context.Context, conn *connection, q api.Ask) (api.Request, error) {
	if err := conn.keepDevice(); err != nil { // a service's credential is sealed to it
		return api.Request{}, err
	}
	r, err := conn.Submit(ctx, q, api.Wait{})
	if err != nil {
		return r, c.recorded(ctx, conn, err)
	}
	c.say("sent " + printable(r.ID))
	return r, nil
}

// recorded prints the request that an error is about, if there is one, and
// gives the error back.
func (c *cli) recorded(ctx context.Context, conn *connection, err error) error {
	var e *api.Error
	if !errors.As(err, &e) || e.Request == "" {
		return err
	}
	if r, readErr := conn.Request(ctx, e.Request, api.Wait{}); readErr == nil {
		if showErr := c.showRequest(r); showErr != nil {
			return showErr
		}
	}
	return err
}

// sent is the end of a question that nobody waits for.
func (c *cli) sent(r api.Request) error {
	if settled, code := judge(untilReady, r); settled && code != exitDone {
		return c.settle(r, untilReady, nil)
	}
	if err := c.showRequest(r); err != nil {
		return err
	}
	c.hint(printable(doing(r, c.now())) + "; follow it with stint wait " + printable(r.ID))
	return nil
}

// dryRun tells what the answer would be.
func (c *cli) dryRun(ctx context.Context, conn *connection, q api.Ask) error {
	q.DryRun = true
	r, err := conn.Submit(ctx, q, api.Wait{})
	if err != nil {
		return err
	}
	out := result{value: r, names: []string{string(r.Decision.Outcome)}}
	next := "see what would be allowed: " + askLine("policy explain", q)
	if c.output == asTable {
		q.DryRun = false
		x, err := conn.Explain(ctx, api.ExplainAsk{Ask: q})
		if err != nil {
			return err
		}
		out.text, out.table = explained(x), saidTable(x)
		if len(x.Offers) > 0 {
			would := q
			would.Role, would.Duration = x.Offers[0].Role, x.Offers[0].Duration
			next = "this would be allowed: " + askLine("request", would)
		} else {
			next = "" // all that can be said of it is above
		}
	}
	if err := c.show(out); err != nil {
		return err
	}
	if r.Decision.Outcome == api.OutcomeDeny || r.State == api.RequestDenied {
		c.fault("this would be denied", reasons(r.Decision), orGlass(next, r))
		return ended{exitDenied}
	}
	return nil
}

// showRequest prints one request, whole in JSON and as a row in a table.
func (c *cli) showRequest(r api.Request) error {
	return c.show(result{value: r, names: []string{r.ID}, table: requestTable([]api.Request{r}, c.now(), false)})
}

// requestTable is requests for people.
func requestTable(list []api.Request, now time.Time, who bool) *table {
	heads := []string{"!REQUEST", "STATE", "RESOURCE", "ROLE", "FOR", "LEFT", "ENDS"}
	if who {
		heads = append(heads, "WHO")
	}
	t := newTable(heads...)
	t.marks["STATE"] = markState
	for _, r := range list {
		remaining := ""
		if g := r.Grant; g != nil && g.State == api.GrantActive {
			remaining = left(g.ExpiresAt.Sub(now))
		}
		cells := []string{r.ID, stateOf(r), r.Resource, r.Role, span(r), remaining, endsOf(r, now)}
		if g := r.Grant; g != nil && g.Overdue {
			cells[1] += " (overdue)"
		}
		if who {
			cells = append(cells, r.Principal)
		}
		t.row(cells...)
	}
	return t
}

// markState colours a state: green is access, yellow is on its way, red needs
// somebody to look.
func markState(p paint, s string) string {
	switch {
	case s == "active" || s == "approved" || s == "ok":
		return p.good(s)
	case s == "denied" || s == "failed" || strings.Contains(s, "overdue"):
		return p.bad(s)
	case s == "pending" || s == "provisioning" || s == "scheduled" || s == "ending" || s == "waiting":
		return p.warn(s)
	}
	return s
}
