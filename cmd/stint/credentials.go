package main

import (
	"github.com/spf13/cobra"
)

func (c *cli) credentialsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "credentials ID",
		Short: "Show the credential of an active grant",
		Long: "Show the credential of an active grant. Only the device that asked can open it, and\n" +
			"every showing is in the audit log first. To connect without seeing it, use stint db\n" +
			"or stint run.",
		Args: exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			got, err := conn.Credential(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			authority := ""
			if got.CA != "" && c.output == asTable { // so that the address works as it is shown
				if authority, err = c.authorityFile(got.CA); err != nil {
					return err
				}
			}
			return c.show(result{value: got, names: []string{got.Username},
				text: facts("uri", got.URI.Reveal(), "username", got.Username, "password", got.Password.Reveal(),
					"host", got.Host, "port", number(got.Port), "database", got.Database,
					"sslrootcert", authority, "ends", timeFact(got.ExpiresAt, c))})
		},
	}
	cmd.ValidArgsFunction = c.completeIDs
	return cmd
}
