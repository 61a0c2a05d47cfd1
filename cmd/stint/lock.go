package main

import (
	"errors"

	"github.com/spf13/cobra"
)

var errNoLockWhy = usageError{errors.New("--why is missing: the audit log keeps it")}

func (c *cli) userLockCmd() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "lock NAME --why TEXT",
		Short: "Lock a user out until they are unlocked, and end all they hold",
		Long: "Lock a user out until they are unlocked: sign-ins end, what they ask for is refused, and\n" +
			"all access is taken away, also of services and agents they answer for. Nothing else is\n" +
			"lost: groups, passkeys and tokens stay. A service or an agent is named like service:ci.\n" +
			"For somebody who leaves, stint admin user disable.",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if why == "" {
				return errNoLockWhy
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.LockUser(cmd.Context(), args[0], why)
			if err != nil {
				return err
			}
			c.say("locked " + printable(done.Principal) + "; ending " + plural(len(done.Grants), "grant", "grants"))
			t := newTable("!GRANT")
			for _, id := range done.Grants {
				t.row(id)
			}
			return c.show(result{value: done, names: []string{done.Principal}, table: t})
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the audit log and for who looks them up")
	return cmd
}

func (c *cli) userUnlockCmd() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "unlock NAME --why TEXT",
		Short: "Let a locked user in again",
		Long: "Let a locked user in again, with the services and agents that were locked with them.\n" +
			"What ended stays ended. Who holds an office is unlocked by two administrators, where\n" +
			"there are two: then it is a proposal (stint proposals).",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if why == "" {
				return errNoLockWhy
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			u, err := conn.UnlockUser(cmd.Context(), args[0], why)
			if err != nil {
				return err
			}
			if u.Proposal == nil {
				c.say("unlocked " + printable(u.ID))
			}
			if err := c.show(result{value: u, names: []string{u.ID}}); err != nil || u.Proposal == nil {
				return err
			}
			return c.proposed(u.Proposal)
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the audit log and for who looks them up")
	return cmd
}
