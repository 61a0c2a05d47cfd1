package main

import (
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) whoCanCmd() *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use:   "who-can RESOURCE",
		Short: "Say who may ask for access, and what it takes",
		Long: "Say who may ask for access, and what it takes, policy by policy. A row with the answer\n" +
			"never is a policy that denies, which prevails over all others while its condition\n" +
			"holds, or one that asks for what cannot be met. With -o name, who may ask.",
		Args: exactly("RESOURCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			all, names := []api.CanRow{}, []string{}
			t := newTable("WHO", "ROLE", "ANSWER", "POLICY", "SOURCE", "WHEN")
			for r, err := range api.Each(func(cursor string) (api.Page[api.CanRow], error) {
				return conn.WhoCan(cmd.Context(), args[0], role, api.List{Cursor: cursor})
			}) {
				if err != nil {
					return err
				}
				if r.Outcome == api.OutcomeAllow || r.Outcome == api.OutcomeApprove {
					names = append(names, r.Principal)
				}
				all = append(all, r)
				t.row(r.Principal, r.Role, canAnswer(r), r.Policy, r.Source, r.Condition)
			}
			if len(names) == 0 {
				c.say("nobody may ask for it")
			}
			if err := c.show(result{value: all, names: names, table: t}); err != nil {
				return err
			}
			if len(all) == 0 {
				c.hint("no policy reaches it; see them with stint get policies")
			} else {
				c.hint("see what one person would be told with stint policy explain " + printable(args[0]) + " --as ROLE --for DURATION --user NAME")
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&role, "as", "", "only this role")
	c.completeFlag(cmd, "as", c.completeRoles)
	cmd.ValidArgsFunction = c.completeResources
	return cmd
}

// canAnswer is what a policy says to who asks.
func canAnswer(r api.CanRow) string {
	if r.BreakGlass && r.Outcome == api.OutcomeAllow {
		return "in an emergency"
	}
	switch r.Outcome {
	case api.OutcomeAllow:
		return "at once"
	case api.OutcomeApprove:
		return "after " + asked(r.Approvals)
	case api.OutcomeDeny:
		return "never"
	}
	return string(r.Outcome)
}

func (c *cli) whoHasCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "who-has RESOURCE",
		Short: "Say who has access now, by a grant",
		Long: "Say who has access now, by a grant; also what is on its way, and what is being removed.\n" +
			"ACCOUNT is the standing account that a grant acts on; there is none where an account\n" +
			"is made for the grant. Who has privilege on the target that nobody granted through\n" +
			"Stint, stint resource sweep lists.",
		Args: exactly("RESOURCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			all, names := []api.HasRow{}, []string{}
			t := newTable("WHO", "ACCOUNT", "ROLE", "RIGHTS", "STATE", "ENDS", "GRANT")
			t.marks["STATE"] = markState
			for r, err := range api.Each(func(cursor string) (api.Page[api.HasRow], error) {
				return conn.WhoHas(cmd.Context(), args[0], api.List{Cursor: cursor})
			}) {
				if err != nil {
					return err
				}
				all, names = append(all, r), append(names, r.Principal)
				t.row(r.Principal, r.Account, r.Role, strings.Join(r.Rights, ", "), string(r.State), clock(r.ExpiresAt.Time, c.now()), r.Grant)
			}
			if len(all) == 0 {
				c.say("nobody has access by a grant")
			}
			if err := c.show(result{value: all, names: names, table: t}); err != nil {
				return err
			}
			if len(all) == 0 {
				c.hint("see who may ask with stint who-can " + printable(args[0]) + ", and what stands on the target with stint resource sweep " + printable(args[0]))
			} else {
				c.hint("end what somebody has with stint revoke --grant ID --why TEXT")
			}
			return nil
		},
	}
	cmd.ValidArgsFunction = c.completeResources
	return cmd
}
