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
		Args:  exactly("RESOURCE"),
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
				answer := "at once"
				if r.Outcome == api.OutcomeApprove {
					answer = "after " + asked(r.Approvals)
				}
				all, names = append(all, r), append(names, r.Principal)
				t.row(r.Principal, r.Role, answer, r.Policy, r.Source, r.Condition)
			}
			if len(all) == 0 {
				c.say("nobody may ask for it")
			}
			return c.show(result{value: all, names: names, table: t})
		},
	}
	cmd.Flags().StringVar(&role, "as", "", "only this role")
	c.completeFlag(cmd, "as", c.completeRoles)
	cmd.ValidArgsFunction = c.completeResources
	return cmd
}

func (c *cli) whoHasCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "who-has RESOURCE",
		Short: "Say who has access now, by a grant or standing on the target",
		Args:  exactly("RESOURCE"),
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
				state, who, ends := string(r.State), r.Principal, clock(r.ExpiresAt.Time, c.now())
				if r.Standing {
					state, ends = "standing", "never"
				}
				if who == "" {
					who = r.Account
				}
				all, names = append(all, r), append(names, who)
				t.row(r.Principal, r.Account, r.Role, strings.Join(r.Rights, ", "), state, ends, r.Grant)
			}
			if len(all) == 0 {
				c.say("nobody has access")
			}
			return c.show(result{value: all, names: names, table: t})
		},
	}
	cmd.ValidArgsFunction = c.completeResources
	return cmd
}
