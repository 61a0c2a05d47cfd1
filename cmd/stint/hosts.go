package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) hostCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "host", Short: "Hosts: where stint-agent carries out what is ordered"}
	cmd.AddCommand(c.hostEnrollCmd(), c.hostListCmd(), c.hostRosterCmd(), c.hostRevokeCmd())
	return cmd
}

func (c *cli) hostEnrollCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "enroll RESOURCE",
		Short: "Create a one-time code for stint-agent on a resource's host",
		Long: "Create a one-time code for stint-agent on a resource's host. It is shown once, is good\n" +
			"for 15 minutes, and goes to stint-agent enroll on that host; it also says which key\n" +
			"orders for the host are signed with. Codes from before are worthless from then on. An\n" +
			"agent that is enrolled stays so until the new one takes its place.",
		Example: "  stint admin host enroll web1\n  stint admin host enroll web1 -o json | jq -r .code | ssh root@web1 \\\n      stint-agent enroll --server https://stint.example --code-file -",
		Args:    exactly("RESOURCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.EnrollHost(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.show(result{value: done, names: []string{done.Host},
				text: facts("host", done.Host, "code", done.Code.Reveal(), "good until", timeFact(done.ExpiresAt, c))})
		},
	}
}

func (c *cli) hostListCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the hosts of resources, and whether an agent is enrolled and asks for orders",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			all := func(ctx context.Context, _ api.List) (api.Page[api.Host], error) { return conn.Hosts(ctx) }
			return showKind(c, "", 0, all, nil, cmd.Context(), c.hostTable,
				hints{none: "apply a resource of type linux, then: stint admin host enroll RESOURCE"})
		},
	}
}

func (c *cli) hostTable(all []api.Host) (names []string, t *table) {
	t = newTable("HOST", "RESOURCES", "STATE", "SEEN", "VERSION")
	for _, h := range all {
		names = append(names, h.Host)
		state, seen := h.State, ""
		if h.Silent {
			state = "silent"
		}
		if !h.SeenAt.IsZero() {
			seen = ago(h.SeenAt.Time, c.now())
		}
		t.row(h.Host, strings.Join(h.Resources, ", "), state, seen, h.Version)
	}
	return names, t
}

func (c *cli) hostRevokeCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke RESOURCE|HOST",
		Short: "End the enrolment of the agent on a resource's host",
		Long: "End the enrolment of the agent on a resource's host: its key is good for nothing from\n" +
			"then on. What it made still ends on time, by its own clock; nothing can be ended there\n" +
			"earlier, or read back, until another agent is enrolled. Certificates of the host's keys\n" +
			"are taken back. Where the resource is gone, name the host as stint admin host list does.",
		Args: exactly("RESOURCE|HOST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.RevokeHost(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			names, t := c.hostTable([]api.Host{done})
			return c.show(result{value: done, names: names, table: t})
		},
	}
}
