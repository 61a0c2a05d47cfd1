package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) cancelCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cancel ID",
		Short: "Take back a request that is not decided yet",
		Args:  exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			r, err := conn.Cancel(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			c.say(printable(r.ID) + " is " + printable(string(r.State)))
			return c.showRequest(r)
		},
	}
	cmd.ValidArgsFunction = c.completeIDs
	return cmd
}

func (c *cli) endCmd() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use:   "end ID",
		Short: "Give access back before its time",
		Long:  "Give access back before its time. With --wait, return when its absence has been read\nback from the target.",
		Args:  exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			r, err := conn.End(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if wait {
				r, err = c.await(cmd.Context(), conn, r, untilEnded, 0)
				return c.settle(r, untilEnded, err)
			}
			c.say("given back; follow its removal with stint wait " + printable(r.ID) + " --for ended")
			return c.showRequest(r)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is verified gone")
	cmd.ValidArgsFunction = c.completeIDs
	return cmd
}

func (c *cli) extendCmd() *cobra.Command {
	var ask asking
	var noWait, dryRun bool
	var timeout string
	cmd := &cobra.Command{
		Use:     "extend ID --for DURATION --why TEXT",
		Short:   "Ask for more time on what you hold",
		Long:    "Ask for more time on what you hold. It is a request of its own: policy decides anew,\nand persons are asked again where policy says so.",
		Example: "  stint extend grt_01J8 --for 30m --why \"the import takes longer\"",
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := idleFlags(cmd); err != nil {
				return err
			}
			most, err := parseTimeout(timeout)
			if err != nil {
				return err
			}
			if ask.span == "" {
				return usageError{errors.New("--for is missing")}
			}
			more, err := parseFor("for", ask.span)
			if err != nil {
				return err
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			r, err := conn.Extend(cmd.Context(), args[0], api.ExtendAsk{For: more, Why: ask.why, Ticket: ask.ticket, DryRun: dryRun})
			if err == nil && dryRun {
				return c.wouldExtend(r)
			}
			if err != nil {
				return c.recorded(cmd.Context(), conn, err)
			}
			c.say("sent " + printable(r.ID))
			if noWait {
				return c.sent(r)
			}
			// More time is there once it is approved: the access itself goes on.
			r, err = c.await(cmd.Context(), conn, r, untilDecided, most)
			return c.settle(r, untilDecided, err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&ask.span, "for", "", "how much longer: 20s, 90m, 1h30m")
	f.StringVar(&ask.why, "why", "", "the reason; approvers and the audit log see it")
	f.StringVar(&ask.ticket, "ticket", "", "the ticket behind it")
	f.BoolVar(&dryRun, "dry-run", false, "tell what would be decided, and ask nothing")
	f.BoolVar(&noWait, "no-wait", false, "print the request and do not wait")
	f.StringVar(&timeout, "timeout", "", "stop waiting after this long, with exit code 8")
	cmd.ValidArgsFunction = c.completeIDs
	return cmd
}

func (c *cli) revokeCmd() *cobra.Command {
	var ask api.RevokeAsk
	cmd := &cobra.Command{
		Use:   "revoke (--grant ID | --user U | --role R | --resource X | --all) --why TEXT",
		Short: "End the access of others, now",
		Long:  "End the access of others, now: one grant, or all of a user, a role, a resource, or\nsimply all. To keep new access from being granted meanwhile, see stint admin stop.",
		Example: "  stint revoke --user tomas --why \"laptop stolen\"\n" +
			"  stint revoke --all --why \"incident 77\" --yes",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkRevoke(&ask); err != nil {
				return err
			}
			if ask.All && !c.yes && c.canAsk() { // a script means what it says
				if err := c.confirmAll(cmd.Context()); err != nil {
					return err
				}
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.Revoke(cmd.Context(), ask)
			if err != nil {
				return err
			}
			if len(done.Grants) == 0 {
				c.say("nothing matched; nothing was ended")
			} else {
				c.say("ending " + plural(len(done.Grants), "grant", "grants") + "; see stint get grants")
			}
			t := newTable("!GRANT")
			for _, id := range done.Grants {
				t.row(id)
			}
			return c.show(result{value: done, names: done.Grants, table: t})
		},
	}
	f := cmd.Flags()
	f.StringVar(&ask.Grant, "grant", "", "one grant, by its id or its request's")
	f.StringVar(&ask.User, "user", "", "everything that a user or service holds")
	f.StringVar(&ask.Role, "role", "", "every grant of a role")
	f.StringVar(&ask.Resource, "resource", "", "every grant on a resource")
	f.BoolVar(&ask.All, "all", false, "every grant there is")
	f.StringVar(&ask.Why, "why", "", "the reason; the holders and the audit log see it")
	f.BoolVar(&c.yes, "yes", false, "do not ask back")
	c.completeFlag(cmd, "role", c.completeRoles)
	c.completeFlag(cmd, "resource", c.completeResources)
	return cmd
}

// checkRevoke wants exactly one selector and a reason, so that a shell variable
// that is empty can never select more than was meant.
func checkRevoke(ask *api.RevokeAsk) error {
	given := 0
	for _, set := range []bool{ask.Grant != "", ask.User != "", ask.Role != "", ask.Resource != "", ask.All} {
		if set {
			given++
		}
	}
	if given != 1 {
		return usageError{errors.New("exactly one of --grant, --user, --role, --resource and --all is needed")}
	}
	if strings.TrimSpace(ask.Why) == "" {
		return usageError{errors.New("--why is missing: the holders need to know")}
	}
	if ask.User != "" && !strings.Contains(ask.User, ":") {
		ask.User = "user:" + ask.User
	}
	return nil
}

func (c *cli) confirmAll(ctx context.Context) error {
	yes, err := c.confirm(ctx, "End the access of everybody?")
	if err == nil && !yes {
		c.say("nothing was ended")
		err = ended{exitFailure}
	}
	return err
}

// wouldExtend tells what the answer to an extension would be.
func (c *cli) wouldExtend(r api.Request) error {
	text := explained(api.Explanation{Decision: r.Decision})
	if g := r.Grant; g != nil {
		ends := []string{"extends", r.Role + " on " + r.Resource + " (" + g.ID + ")", "ends now", timeFact(g.ExpiresAt, c)}
		if more, err := api.ParseDuration(r.Duration); err == nil && r.Decision.Outcome != api.OutcomeDeny {
			ends = append(ends, "would end", timeFact(api.At(g.ExpiresAt.Add(more)), c))
		}
		text += facts(ends...)
	}
	if err := c.show(result{value: r, names: []string{string(r.Decision.Outcome)}, text: text}); err != nil {
		return err
	}
	if r.Decision.Outcome == api.OutcomeDeny {
		c.fault("this would be denied", reasons(r.Decision), orGlass("ask anew when it has ended: "+
			askLine("request", api.Ask{Resource: r.Resource, Role: r.Role, Duration: r.Duration, Reason: r.Reason, Ticket: r.Ticket, Task: r.Task}), r))
		return ended{exitDenied}
	}
	return nil
}
