package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) delegateCmd() *cobra.Command {
	var span, start, why string
	cmd := &cobra.Command{
		Use:   "delegate USER --for DURATION --why TEXT",
		Short: "Let another person approve in your place for a time",
		Long: "Let another person approve in your place for a time, such as while you are on leave.\n" +
			"You may still vote yourself; of the two of you one does, and the vote says for whom it\n" +
			"is. It passes on no further, never reaches what you or they ask for, and does not\n" +
			"count where a passkey is asked for. It ends by itself, and either of you can end it.",
		Example: "  stint delegate olga --for 5d --why \"on leave\"\n" +
			"  stint delegate olga --for 5d --at \"2026-12-21 08:00\" --why \"on leave\"\n" +
			"  stint delegate list\n  stint delegate end dlg_01J8",
		Args: exactly("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if span == "" {
				return usageError{errors.New("--for is missing: a delegation has an end")}
			}
			if strings.TrimSpace(why) == "" {
				return usageError{errors.New("--why is missing: others will want to know")}
			}
			a := api.DelegateAsk{To: args[0], Why: why}
			var err error
			if a.For, err = parseFor("for", span); err != nil {
				return err
			}
			if a.Start, err = parseStart(start, c.now()); err != nil {
				return err
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			d, err := conn.Delegate(cmd.Context(), a)
			if err != nil {
				return err
			}
			c.say(printable(short(d.To)) + " may approve in your place until " + timeFact(d.EndsAt, c) + "; end it with stint delegate end " + printable(d.ID))
			return c.showDelegations(d, []api.Delegation{d})
		},
	}
	cmd.Flags().StringVar(&span, "for", "", "for how long: 8h, 5d")
	cmd.Flags().StringVar(&start, "at", "", "when it begins; at once if not given")
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the log")
	cmd.ValidArgsFunction = c.completeUsers
	cmd.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "List the delegations that you are part of",
		Long:  "List the delegations that are not over and that you are part of; administrators and\nauditors see all.",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			page, err := conn.Delegations(cmd.Context())
			if err != nil {
				return err
			}
			if err := c.showDelegations(page.Items, page.Items); err != nil {
				return err
			}
			c.listed(len(page.Items), hints{none: "hand your approvals to somebody with stint delegate USER --for DURATION --why TEXT", some: "end one with stint delegate end ID"})
			return nil
		},
	}, &cobra.Command{
		Use:   "end ID",
		Short: "End a delegation before its time",
		Long:  "End a delegation before its time. Either of the two can, and administrators. What was\nvoted under it stays.",
		Args:  exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			d, err := conn.EndDelegation(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			c.say("ended " + printable(d.ID))
			return c.showDelegations(d, []api.Delegation{d})
		},
	})
	return cmd
}

func (c *cli) showDelegations(value any, list []api.Delegation) error {
	names := []string{}
	t := newTable("!DELEGATION", "OF", "TO", "STATE", "FROM", "UNTIL", "WHY")
	t.marks["STATE"] = markState
	for _, d := range list {
		state := "planned"
		switch {
		case !d.EndedAt.IsZero():
			state = "ended"
		case d.Holds:
			state = "active"
		}
		names = append(names, d.ID)
		t.row(d.ID, short(d.Principal), short(d.To), state, clock(d.StartsAt.Time, c.now()), clock(d.EndsAt.Time, c.now()), d.Why)
	}
	return c.show(result{value: value, names: names, table: t})
}

// short is a user by name, and any other principal in full.
func short(principal string) string { return strings.TrimPrefix(principal, "user:") }
