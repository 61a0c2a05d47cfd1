package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) vendorInviteCmd() *cobra.Command {
	var v api.VendorInvite
	var until string
	cmd := &cobra.Command{
		Use:   "invite NAME --sponsor USER --company TEXT --until DATE",
		Short: "Invite a vendor, with a sponsor and a contract that ends",
		Long: "Invite somebody of another company. The sponsor is the employee who answers for them.\n" +
			"At the contract's end everything they hold ends; a date means until that day is over,\n" +
			"here. A vendor approves nothing, holds no office and breaks no glass; when the sponsor\n" +
			"is disabled, what the vendor holds ends too.\n\n" +
			"The invitation is shown once and good once, for three days and not beyond the contract;\n" +
			"the vendor gives it to stint login --enroll-token-file. For another one: stint admin\n" +
			"user enroll.",
		Example: "  stint admin vendor invite bo --sponsor omar --company \"Acme Ltd\" --until 2027-03-31 --group acme",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			v.Name = args[0]
			switch {
			case v.Sponsor == "":
				return usageError{errors.New("--sponsor is missing: the employee who answers for them")}
			case v.Company == "":
				return usageError{errors.New("--company is missing: whose they are")}
			case until == "":
				return usageError{errors.New("--until is missing: when the contract ends")}
			}
			end, err := contractEnd(until)
			if err != nil {
				return err
			}
			v.Until = end
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.InviteVendor(cmd.Context(), v)
			if err != nil {
				return err
			}
			return c.show(result{value: done, names: []string{done.Principal},
				text: facts("vendor", done.Principal, "invitation", done.EnrollToken.Reveal(), "good until", timeFact(done.ExpiresAt, c))})
		},
	}
	f := cmd.Flags()
	f.StringVar(&v.Sponsor, "sponsor", "", "the employee who answers for them")
	f.StringVar(&v.Company, "company", "", "whose they are")
	f.StringVar(&until, "until", "", "the contract's end: 2027-03-31, or RFC 3339")
	f.StringArrayVar(&v.Groups, "group", nil, "a group to be in; may be repeated")
	return cmd
}

// contractEnd reads when a contract ends: the end of a day, here, or a time.
func contractEnd(text string) (api.Time, error) {
	if day, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return api.At(day.AddDate(0, 0, 1)), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return api.Time{}, wrong("bad-time", "--until "+quote(text)+" is not a date", "", "write it like 2027-03-31 or 2027-03-31T18:00:00Z")
	}
	return api.At(at), nil
}

func (c *cli) vendorSetCmd() *cobra.Command {
	var sponsor, company, until, why string
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Change a vendor's sponsor, company, or the end of their contract",
		Long: "Change a vendor's sponsor, company, or the end of their contract. What is not given\n" +
			"stays as it is. Grants that would last longer end with the contract, from this moment.\n" +
			"Administrators; the sponsor too may move the end, to at most 90 days ahead.\n\n" +
			"A contract that has ended and is extended lets the vendor sign in again, with a fresh\n" +
			"code: stint admin user enroll. Groups are changed with stint admin user set.",
		Example: "  stint admin vendor set bo --until 2027-06-30 --why \"second phase\"\n  stint admin vendor set bo --sponsor noor",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			v := api.VendorSet{Why: why}
			if cmd.Flags().Changed("sponsor") {
				v.Sponsor = &sponsor
			}
			if cmd.Flags().Changed("company") {
				v.Company = &company
			}
			if until != "" {
				end, err := contractEnd(until)
				if err != nil {
					return err
				}
				if !end.After(c.now()) {
					return wrong("time-passed", "--until "+quote(until)+" has passed", "", "to end the contract now: stint admin vendor end "+args[0])
				}
				v.Until = end
			}
			if v.Sponsor == nil && v.Company == nil && until == "" {
				return usageError{errors.New("nothing to change: give --sponsor, --company or --until")}
			}
			return c.setVendor(cmd, args[0], v)
		},
	}
	f := cmd.Flags()
	f.StringVar(&sponsor, "sponsor", "", "the employee who answers for them from now on")
	f.StringVar(&company, "company", "", "whose they are")
	f.StringVar(&until, "until", "", "the contract's new end: 2027-06-30, or RFC 3339")
	f.StringVar(&why, "why", "", "the reason, for the log")
	return cmd
}

func (c *cli) vendorEndCmd() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "end NAME",
		Short: "End a vendor's contract now, and all they hold",
		Long:  "End a vendor's contract now, and all they hold. Administrators, and their sponsor.",
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.setVendor(cmd, args[0], api.VendorSet{Until: api.At(c.now()), Why: why})
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the log")
	return cmd
}

func (c *cli) setVendor(cmd *cobra.Command, name string, v api.VendorSet) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	now, err := conn.SetVendor(cmd.Context(), name, v)
	if err != nil {
		return err
	}
	state := ""
	if now.Disabled {
		state = "ended"
	}
	return c.show(result{value: now, names: []string{now.Principal}, text: facts("vendor", now.Principal, "company", now.Company,
		"sponsor", now.Sponsor, "contract until", timeFact(now.Until, c), "state", state)})
}

func (c *cli) agentAddCmd() *cobra.Command {
	var a api.AgentAdd
	cmd := &cobra.Command{
		Use:   "add NAME --responsible USER --for DURATION",
		Short: "Create an agent, and a token for it, or renew one",
		Long: "Create an agent, a program that acts for one human, and a token for it, which is shown\n" +
			"once; the agent gives it to stint in STINT_TOKEN. With the name of an agent of the same\n" +
			"human it is renewed: tokens from before are dead.\n\n" +
			"Whatever it asks for is decided twice, as its own and as its human's, and the stricter\n" +
			"answer counts. It approves nothing, and ends when its human is disabled.",
		Example: "  stint admin agent add fixer --responsible ana --for 30d --group agents -o json",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.Name = args[0]
			if a.Responsible == "" {
				return usageError{errors.New("--responsible is missing: the human on whose account it acts")}
			}
			if a.For == "" {
				return usageError{errors.New("--for is missing: how long the token is good for")}
			}
			span, err := parseFor("for", a.For)
			if err != nil {
				return err
			}
			a.For = span
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.AddAgent(cmd.Context(), a)
			if err != nil {
				return err
			}
			return c.show(result{value: done, names: []string{done.Principal},
				text: facts("agent", done.Principal, "token", done.Token.Reveal(), "good until", timeFact(done.ExpiresAt, c))})
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&a.Groups, "group", nil, "a group to be in; may be repeated")
	f.StringVar(&a.Responsible, "responsible", "", "the human on whose account it acts")
	f.StringVar(&a.For, "for", "", "how long the token is good for: 12h, 30d; at most 90d")
	return cmd
}

func (c *cli) taskCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "task", Short: "Tasks of agents"}
	cmd.AddCommand(c.taskListCmd())
	var t api.TaskEnd
	end := &cobra.Command{
		Use:   "end TASK",
		Short: "End a task of an agent, and the access it has for it",
		Long: "End a task of an agent, the access it has for it, and what it has asked for with it.\n" +
			"Its name is used up. The agent itself, its human, and administrators; a task also ends\n" +
			"by itself a day after its first request.",
		Example: "  stint task end OPS-12\n  stint task end OPS-12 --agent fixer --why \"wrong table\"",
		Args:    exactly("TASK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			t.Task = args[0]
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.EndTask(cmd.Context(), t)
			if err != nil {
				return err
			}
			c.say("ended task " + printable(done.Task) + " of " + printable(done.Agent) + "; ending " + plural(len(done.Grants), "grant", "grants"))
			tab := newTable("!GRANT")
			for _, id := range done.Grants {
				tab.row(id)
			}
			return c.show(result{value: done, names: []string{done.Task}, table: tab})
		},
	}
	end.Flags().StringVar(&t.Agent, "agent", "", "whose task it is; one's own if not given")
	end.Flags().StringVar(&t.Why, "why", "", "the reason, for the log")
	cmd.AddCommand(end)
	return cmd
}
