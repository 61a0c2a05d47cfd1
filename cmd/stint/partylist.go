package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) vendorListCmd() *cobra.Command {
	var sponsor string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List vendors: whose they are, who answers for them, until when",
		Long:  "List vendors with their company, their sponsor and the end of their contract.\nAdministrators and auditors see all, everybody else those whom they sponsor.",
		Example: "  stint admin vendor list\n" +
			"  stint admin vendor list --sponsor omar -o json",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := func(ctx context.Context, conn *connection, l api.List) (api.Page[api.Vendor], error) {
				return conn.Vendors(ctx, sponsor, l)
			}
			return showList(c, cmd.Context(), limit, list, c.vendorTable, hints{none: "invite one with stint admin vendor invite NAME --sponsor USER --company TEXT --until DATE",
				some: "change one with stint admin vendor set NAME; end a contract with stint admin vendor end NAME"})
		},
	}
	cmd.Flags().StringVar(&sponsor, "sponsor", "", "only those of this sponsor")
	limitFlag(cmd, &limit)
	return cmd
}

func (c *cli) vendorTable(all []api.Vendor) (names []string, t *table) {
	t = newTable("NAME", "COMPANY", "SPONSOR", "GROUPS", "CONTRACT", "STATE")
	t.marks["STATE"] = markState
	for _, v := range all {
		names = append(names, v.Principal)
		t.row(v.Name, v.Company, v.Sponsor, strings.Join(v.Groups, ", "), until(v.Until, c), partyState(v.Disabled, v.Until, c))
	}
	return names, t
}

func (c *cli) agentListCmd() *cobra.Command {
	var responsible string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List agents: for whom they act, until when",
		Long:  "List agents with the human on whose account they act and the end of their token.\nAdministrators and auditors see all, everybody else those that act for them; an agent\nitself.",
		Example: "  stint admin agent list\n" +
			"  stint admin agent list --responsible ana -o json",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := func(ctx context.Context, conn *connection, l api.List) (api.Page[api.Agent], error) {
				return conn.Agents(ctx, responsible, l)
			}
			return showList(c, cmd.Context(), limit, list, c.agentTable, hints{none: "make one with stint admin agent add NAME --responsible USER --for DURATION",
				some: "see what they work on with stint task list"})
		},
	}
	cmd.Flags().StringVar(&responsible, "responsible", "", "only those that act for this human")
	limitFlag(cmd, &limit)
	return cmd
}

func (c *cli) agentTable(all []api.Agent) (names []string, t *table) {
	t = newTable("NAME", "ACTS FOR", "GROUPS", "TOKEN", "STATE", "MADE")
	t.marks["STATE"] = markState
	for _, a := range all {
		names = append(names, a.Principal)
		t.row(a.Name, a.Responsible, strings.Join(a.Groups, ", "), until(a.Until, c), partyState(a.Disabled, a.Until, c), ago(a.CreatedAt.Time, c.now()))
	}
	return names, t
}

func (c *cli) taskListCmd() *cobra.Command {
	var q api.TaskList
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the tasks of agents that are open",
		Long:  "List the tasks of agents that are open, or with --ended all. Administrators and auditors\nsee all, everybody else those of agents that act for them; an agent its own.",
		Example: "  stint task list\n" +
			"  stint task list --agent fixer --ended -o json",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := func(ctx context.Context, conn *connection, l api.List) (api.Page[api.Task], error) {
				q.List = l
				return conn.Tasks(ctx, q)
			}
			none := "an agent opens one by asking for something: stint request RESOURCE --as ROLE --for DURATION --task TASK"
			if !q.Ended {
				none += "; see those that are over with --ended"
			}
			return showList(c, cmd.Context(), limit, list, c.taskTable, hints{none: none, some: "end one, and the access for it, with stint task end TASK --agent NAME"})
		},
	}
	cmd.Flags().StringVar(&q.Agent, "agent", "", "only of this agent")
	cmd.Flags().BoolVar(&q.Ended, "ended", false, "also those that are over")
	limitFlag(cmd, &limit)
	return cmd
}

func (c *cli) taskTable(all []api.Task) (names []string, t *table) {
	t = newTable("!TASK", "AGENT", "STATE", "OPENED", "ENDS", "WHY")
	t.marks["STATE"] = markState
	for _, x := range all {
		state, ends := "open", clock(x.EndsAt.Time, c.now())
		switch {
		case !x.EndedAt.IsZero():
			state, ends = "ended", clock(x.EndedAt.Time, c.now())
		case !x.Open:
			state = "over"
		}
		names = append(names, x.Task)
		t.row(x.Task, strings.TrimPrefix(x.Agent, "agent:"), state, ago(x.OpenedAt.Time, c.now()), ends, x.Why)
	}
	return names, t
}

// until is an end that is a date, with how far off it is.
func until(t api.Time, c *cli) string {
	if t.IsZero() {
		return ""
	}
	return "until " + t.Local().Format("2006-01-02") + ", " + ago(t.Time, c.now())
}

// partyState is whether somebody with an end is still let in.
func partyState(disabled bool, until api.Time, c *cli) string {
	switch {
	case !until.IsZero() && !until.After(c.now()):
		return "ended"
	case disabled:
		return "disabled"
	}
	return "ok"
}
