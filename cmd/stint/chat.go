package main

import (
	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) chatCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "chat", Short: "Your users in chats that Stint sends messages to"}
	cmd.AddCommand(c.chatLinkCmd())
	return cmd
}

func (c *cli) chatLinkCmd() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "link CODE [--yes]",
		Short: "Link yourself to your user in a chat, by the code that the chat shows",
		Long: "Link yourself to your user in a chat, by the code that the chat shows when you click\n" +
			"there for the first time. From then on what that user clicks counts as yours. Use no\n" +
			"code that somebody sent you: it would let them decide in your name.",
		Example: "  stint chat link stint-link-…",
		Args:    exactly("CODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			ask := api.ChatLink{Code: api.Secret(args[0])}
			found, err := conn.LinkChat(cmd.Context(), ask)
			if err != nil {
				return err
			}
			if !yes {
				c.say("this lets " + printable(found.Shows) + " (" + printable(found.Subject) + ") of " + printable(found.Integration) + " decide as " + printable(found.Principal))
				if !c.canAsk() {
					return wrong("not-confirmed", "nobody is there to say whether that is right", "", "add --yes if it is you")
				}
				sure, err := c.confirm(cmd.Context(), "Is that you?")
				if err != nil {
					return err
				}
				if !sure {
					return wrong("not-confirmed", "nothing was linked", "", "")
				}
			}
			ask.Sure = true
			if found, err = conn.LinkChat(cmd.Context(), ask); err != nil {
				return err
			}
			c.say("linked " + printable(found.Shows) + " of " + printable(found.Integration) + " to " + printable(found.Principal))
			t := newTable("INTEGRATION", "USER", "NAME THERE", "PRINCIPAL")
			t.row(found.Integration, found.Subject, found.Shows, found.Principal)
			return c.show(result{value: found, names: []string{found.Subject}, table: t})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask whether it is you")
	return cmd
}
