package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

// together is the part of a question about more than one thing that its flags give.
type together struct {
	bundle   string
	possible bool
}

func (s *together) flags(cmd *cobra.Command, c *cli) {
	f := cmd.Flags()
	f.StringVar(&s.bundle, "bundle", "", "ask for all parts of a named bundle")
	f.BoolVar(&s.possible, "possible", false, "of several resources, send what policy does not refuse")
	c.completeFlag(cmd, "bundle", func(cmd *cobra.Command, _ []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return c.fromServer(cmd.Context(), prefix, bundleNames)
	})
}

// args are resources, or the name of a bundle. What would have no effect is refused: it
// was meant to have one.
func (s *together) args(cmd *cobra.Command, args []string) error {
	as := cmd.Flags().Changed("as")
	named := func(word string) bool { return strings.Contains(word, ":") }
	switch {
	case s.bundle != "" && as:
		return errors.New("--bundle and --as do not go together: the bundle names the roles")
	case as && len(args) > 0 && !slices.ContainsFunc(args, func(word string) bool { return !named(word) }):
		return errors.New("--as and RESOURCE:ROLE do not go together where every resource names its role; leave --as out")
	case s.bundle == "" && len(args) == 0:
		return errors.New("RESOURCE is missing")
	case s.bundle != "" && len(args) > 0:
		return errors.New("--bundle names the resources; leave " + args[0] + " out")
	case s.possible && s.bundle == "" && len(args) < 2:
		return errors.New("--possible goes with several resources, or with --bundle")
	}
	return nil
}

// one reports whether a single resource is asked for, in the plain way.
func (s *together) one(args []string) bool {
	return s.bundle == "" && len(args) == 1 && !strings.Contains(args[0], ":")
}

// parts are what the words of the command line, or a named bundle, ask for. A word is
// RESOURCE, or RESOURCE:ROLE.
func (s *together) parts(ctx context.Context, c *cli, conn *connection, args []string, ask *asking) ([]api.BundlePart, error) {
	var parts []api.BundlePart
	if s.bundle != "" {
		b, err := conn.Bundle(ctx, s.bundle)
		if err != nil {
			return nil, err
		}
		parts = b.Parts
	}
	for _, word := range args {
		resource, role, _ := strings.Cut(word, ":")
		parts = append(parts, api.BundlePart{Resource: resource, Role: role})
	}
	for i := range parts {
		p := &parts[i]
		if p.Role == "" {
			p.Role = ask.role
		}
		if p.Duration == "" || ask.span != "" {
			p.Duration = ask.span
		}
		switch {
		case p.Role == "":
			return nil, usageError{errors.New("--as is missing, or write " + p.Resource + ":ROLE")}
		case p.Duration == "":
			return nil, usageError{errors.New("--for is missing")}
		}
		var err error
		if p.Duration, err = parseFor("for", p.Duration); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// requestSeveral asks for several things at once. What would be refused is said before
// anything is sent.
func (c *cli) requestSeveral(ctx context.Context, conn *connection, s together, args []string, ask *asking, dryRun, noWait bool, most time.Duration) error {
	parts, err := s.parts(ctx, c, conn, args, ask)
	if err != nil {
		return err
	}
	if ask.why == "" && c.canAsk() {
		if ask.why, err = c.prompt(ctx, "Why? "); err != nil {
			return err
		}
	}
	start, err := parseStart(ask.at, c.now())
	if err != nil {
		return err
	}
	if len(parts) == 1 { // RESOURCE:ROLE
		q := api.Ask{Resource: parts[0].Resource, Role: parts[0].Role, Duration: parts[0].Duration, Reason: ask.why, Ticket: ask.ticket, Task: ask.task, Start: start}
		return c.requestOne(ctx, conn, q, dryRun, noWait, most)
	}
	a := api.BundleAsk{Parts: parts, Reason: ask.why, Ticket: ask.ticket, Task: ask.task, Start: start, Possible: s.possible, DryRun: true}
	before, err := conn.SubmitBundle(ctx, a)
	if err != nil {
		return err
	}
	refused := 0
	for _, r := range before.Requests {
		if r.Decision.Outcome == api.OutcomeDeny {
			refused++
			c.say("would be refused: " + printable(r.Role+" on "+r.Resource+": "+strings.ReplaceAll(reasons(r.Decision), "\n", "; ")))
		} else if who := asked(r.Decision.Approvals); who != "" {
			c.say(printable(r.Role + " on " + r.Resource + " asks " + who))
			for pair := range slices.Chunk(asksFacts(r.Decision.Approvals), 2) {
				c.say("  " + printable(pair[0]+" "+pair[1]))
			}
		}
	}
	if dryRun {
		if err := c.showBundled(before); err != nil {
			return err
		}
		if refused > 0 && (!s.possible || refused == len(parts)) {
			return ended{exitDenied}
		}
		return nil
	}
	if refused > 0 && (!s.possible || refused == len(parts)) {
		next := "leave them out, or send the others with --possible"
		if refused == len(parts) {
			next = ""
		}
		c.fault(fmt.Sprintf("%d of %d parts would be refused, so nothing was sent", refused, len(parts)), "", next)
		return ended{exitDenied}
	}
	if err := conn.keepDevice(); err != nil { // a service's credentials are sealed to it
		return err
	}
	a.DryRun = false
	sent, err := conn.SubmitBundle(ctx, a)
	if err != nil {
		return err
	}
	for _, r := range sent.Requests {
		c.say("sent " + printable(r.ID) + ", " + printable(r.Role+" on "+r.Resource))
	}
	if noWait {
		return c.showBundled(sent)
	}
	return c.awaitSeveral(ctx, conn, sent, most)
}

// awaitSeveral waits until each part is ready or came to nothing. The worst of them is
// the exit code.
func (c *cli) awaitSeveral(ctx context.Context, conn *connection, sent api.Bundled, most time.Duration) error {
	until := time.Time{}
	if most > 0 {
		until = c.now().Add(most)
	}
	code := exitDone
	var stop error
	for i, r := range sent.Requests {
		left := most
		if most > 0 {
			left = max(until.Sub(c.now()), time.Millisecond)
		}
		var err error
		if stop == nil {
			r, err = c.await(ctx, conn, r, untilReady, left)
			sent.Requests[i] = r
		}
		switch {
		case errors.Is(err, context.Canceled):
			stop = err
		case errors.Is(err, errWaitOver):
		case err != nil:
			return err
		}
		switch _, is := judge(untilReady, r); {
		case is == exitDone:
		case is == exitPending && code == exitDone:
			code = is
		case is != exitPending:
			code = is
			c.say(printable(r.Role+" on "+r.Resource) + ": " + string(stateOf(r)))
		}
	}
	if err := c.showBundled(sent); err != nil {
		return err
	}
	switch {
	case stop != nil:
		c.say("no longer waiting; the requests go on: stint status")
		return stop
	case code == exitPending:
		c.fault("not every part is there yet [still-pending]", "", "go on with stint wait ID")
		return ended{code}
	case code != exitDone:
		return ended{code}
	}
	return nil
}

// showBundled prints the parts, whole in JSON and as rows in a table.
func (c *cli) showBundled(b api.Bundled) error {
	t := requestTable(b.Requests, c.now(), false)
	if b.DryRun {
		t = newTable("RESOURCE", "ROLE", "FOR", "ANSWER", "ASKED")
		for _, r := range b.Requests {
			t.row(r.Resource, r.Role, api.Span(r.Duration), string(r.Decision.Outcome), asked(r.Decision.Approvals))
		}
	}
	return c.show(result{value: b, names: ids(b.Requests), table: t})
}

func bundleNames(ctx context.Context, conn *connection) ([]string, error) {
	page, err := conn.ListBundles(ctx, api.List{})
	return each(page.Items, func(b api.Bundle) string { return b.Name }), err
}

func (c *cli) bundleTable(all []api.Bundle) (names []string, t *table) {
	t = newTable("NAME", "PARTS", "SOURCE")
	for _, b := range all {
		names = append(names, b.Name)
		var parts []string
		for _, p := range b.Parts {
			text := p.Resource + ":" + p.Role
			if p.Duration != "" {
				text += " " + api.Span(p.Duration)
			}
			parts = append(parts, text)
		}
		t.row(b.Name, strings.Join(parts, ", "), b.Source)
	}
	return names, t
}
