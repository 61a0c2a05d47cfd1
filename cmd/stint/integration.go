package main

import (
	"context"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) integrationTable(all []api.Integration) (names []string, t *table) {
	t = newTable("NAME", "TYPE", "ADDRESS", "CREDENTIAL", "STATE")
	t.marks["STATE"] = markState
	for _, i := range all {
		names = append(names, i.Name)
		state := "ok"
		if i.Trouble != "" {
			state = "waiting"
		}
		t.row(i.Name, i.Type, i.Address, i.Credential, state)
	}
	return names, t
}

func (c *cli) integrationTestCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test NAME",
		Short: "Send a test message to an integration",
		Long: "Send a test message to an integration that messages go to: a webhook, a chat, a\n" +
			"mailbox, a pager. It says who tries, and nothing else; that it was tried is in the log.",
		Example: "  stint admin integration test ops-hook",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.TestIntegration(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			c.say(printable(done.Name) + " took the message")
			t := newTable("NAME", "RESULT")
			t.row(done.Name, "ok")
			return c.show(result{value: done, names: []string{done.Name}, table: t})
		},
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.fromServer(cmd.Context(), prefix, integrationNames)
	}
	return cmd
}

func integrationNames(ctx context.Context, conn *connection) ([]string, error) {
	page, err := conn.ListIntegrations(ctx, api.List{})
	return each(page.Items, func(i api.Integration) string { return i.Name }), err
}
