package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
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
			return c.showCredential(cmd.Context(), conn, args[0])
		},
	}
	cmd.ValidArgsFunction = c.completeIDs
	return cmd
}

// pemOf is what of a credential is PEM: a key, or a certificate and its key.
func pemOf(got api.Credential) (text string) {
	for _, part := range []string{got.Certificate, got.PrivateKey.Reveal()} {
		if part = strings.TrimRight(part, "\n"); part != "" {
			text += part + "\n"
		}
	}
	return text
}

// showCredential shows the credential of a grant.
func (c *cli) showCredential(ctx context.Context, conn *connection, id string) error {
	got, err := conn.Credential(ctx, id)
	if err != nil {
		return err
	}
	authority := ""
	if got.CA != "" && c.output == asTable { // so that the address works as it is shown
		if authority, err = c.authorityFile(got.CA); err != nil {
			return err
		}
	}
	key := "" // a line of facts does not hold it
	if k := pemOf(got); k != "" {
		key = "\n" + k
	}
	return c.show(result{value: got, names: []string{got.Username},
		text: facts("uri", got.URI.Reveal(), "username", got.Username, "password", got.Password.Reveal(), "token", got.Token.Reveal(),
			"host", got.Host, "port", number(got.Port), "database", got.Database,
			"sslrootcert", authority, "ends", timeFact(got.ExpiresAt, c)) + key})
}
