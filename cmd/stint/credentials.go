package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) credentialsCmd() *cobra.Command {
	var folder string
	cmd := &cobra.Command{
		Use:   "credentials ID [--certificate DIR]",
		Short: "Show the credential of an active grant",
		Long: "Show the credential of an active grant. Only the device that asked can open it, and\n" +
			"every showing is in the audit log first. To connect without seeing it, use stint db\n" +
			"or stint run.\n\n" +
			"Where sessions with a database go through a gateway there is no credential. With\n" +
			"--certificate a client that runs elsewhere, or without stint, connects to the gateway\n" +
			"by itself: a key and its certificate are written into a folder for you alone, good for\n" +
			"an hour and never longer than the grant. The same command writes the next one over it.\n" +
			"Whoever reads the folder can connect by it until then; stint proxy keeps the key in\n" +
			"memory.",
		Example: "  stint credentials req_01J8ZQ\n" +
			"  stint credentials req_01J8ZQ --certificate ~/orders-door",
		Args: exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			if folder != "" {
				return c.straight(cmd.Context(), conn, args[0], folder)
			}
			return c.showCredential(cmd.Context(), conn, args[0])
		},
	}
	cmd.Flags().StringVar(&folder, "certificate", "", "write a key and its certificate for the gateway into this folder")
	_ = cmd.MarkFlagDirname("certificate")
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
