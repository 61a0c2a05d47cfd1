package main

import (
	"context"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) standingCmd() *cobra.Command {
	var q api.StandingList
	var limit int
	cmd := &cobra.Command{
		Use:   "standing",
		Short: "List who has privileged access to targets without Stint",
		Long: "List the privileged access that accounts have on targets all the time, without Stint: once\na day each target is asked. Stint takes none of it away; -o json has the statement by which\n" +
			"an administrator of the target does. Administrators, auditors and policy authors see all,\nowners name a resource of theirs.",
		Example: "  stint admin standing\n" +
			"  stint admin standing --resource orders-db -o json",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := func(ctx context.Context, conn *connection, l api.List) (api.Page[api.StandingPrivilege], error) {
				q.List = l
				return conn.Standing(ctx, q)
			}
			return showList(c, cmd.Context(), limit, list, c.standingTable, hints{none: "a new resource is asked within a minute; see what its page says, or: stint resource check NAME",
				some: "let people ask for it instead: the console's page Standing privileges, Make eligible"})
		},
	}
	cmd.Flags().StringVar(&q.Resource, "resource", "", "only on this `resource`")
	cmd.Flags().BoolVar(&q.Gone, "gone", false, "also what was there and is no more")
	limitFlag(cmd, &limit)
	return cmd
}

func (c *cli) standingTable(all []api.StandingPrivilege) (names []string, t *table) {
	t = newTable("RESOURCE", "ACCOUNT", "PRIVILEGE", "SINCE", "STATE")
	t.marks["STATE"] = markState
	for _, s := range all {
		state := "standing"
		if !s.GoneAt.IsZero() {
			state = "gone"
		}
		names = append(names, s.Account)
		t.row(s.Resource, s.Account, s.Privilege, ago(s.FirstSeen.Time, c.now()), state)
	}
	return names, t
}
