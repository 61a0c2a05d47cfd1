package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) secretCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "secret", Short: "Single fields of credentials, for scripts"}
	cmd.AddCommand(c.secretReadCmd())
	return cmd
}

// readView is one field of a credential, and the lease that it is good for.
type readView struct {
	Resource string     `json:"resource"`
	Field    string     `json:"field"`
	Value    api.Secret `json:"value"`
	Request  string     `json:"request"`
	Grant    string     `json:"grant"`
	Ends     api.Time   `json:"expires_at"`
}

func (c *cli) secretReadCmd() *cobra.Command {
	var ask asking
	var field string
	var renew bool
	cmd := &cobra.Command{
		Use:   "read RESOURCE [--field FIELD] [--as ROLE --for DURATION --why TEXT]",
		Short: "Print one field of a credential, for scripts",
		Long: "Print one field of a credential, and nothing else: the password, if --field does not\n" +
			"say another. An active grant of yours is used; else access is asked for with --as,\n" +
			"--for and --why, and waited for. The value is good until the grant ends: give it back\n" +
			"with stint end. Each reading is in the audit log first.\n\n" +
			"With --renew a grant of which less than a third is left is not used: the same is asked\n" +
			"for anew, and the one before ends by itself. What runs every few minutes so always has\n" +
			"a value that is good for a while.\n\n" +
			"The fields are uri, username, password, token, private_key, certificate, host, port,\n" +
			"database, sslmode, ca and expires_at. To start a program with them, stint run keeps\n" +
			"them out of your script.",
		Example: "  stint secret read orders-db --field password --as app --for 1h --why \"nightly\" --renew\n" +
			"  PGPASSWORD=$(stint secret read orders-db) psql ...",
		Args: exactly("RESOURCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := knownField("field", field); err != nil {
				return err
			}
			return c.readSecretField(cmd.Context(), args[0], field, &ask, renew)
		},
	}
	ask.flags(cmd, c)
	f := cmd.Flags()
	f.StringVar(&field, "field", "password", "which field")
	f.BoolVar(&renew, "renew", false, "ask anew where less than a third of the grant is left")
	c.completeFlag(cmd, "field", cobra.FixedCompletions(fieldNames(), cobra.ShellCompDirectiveNoFileComp))
	cmd.ValidArgsFunction = c.completeResources
	return cmd
}

func (c *cli) readSecretField(ctx context.Context, resource, field string, ask *asking, renew bool) error {
	if _, err := parseFor("for", ask.span); err != nil { // also where it will not be needed
		return err
	}
	conn, err := c.connect()
	if err != nil {
		return err
	}
	var r api.Request
	if renew {
		if r, err = c.renewed(ctx, conn, resource, ask); err != nil {
			return err
		}
	}
	if r.ID == "" {
		if r, err = c.obtain(ctx, conn, resource, ask); err != nil {
			return err
		}
	}
	got, err := conn.Credential(ctx, r.ID)
	if err != nil {
		return err
	}
	v, err := fieldOf(got, field)
	if err != nil {
		return err
	}
	if err := c.show(result{value: readView{Resource: resource, Field: field, Value: api.Secret(v), Request: r.ID, Grant: r.Grant.ID, Ends: got.ExpiresAt},
		names: []string{r.ID}, text: strings.TrimSuffix(v, "\n") + "\n"}); err != nil {
		return err
	}
	c.hint("it is good until " + clock(got.ExpiresAt.Time, c.now()) + "; give it back with stint end " + printable(r.ID))
	return nil
}

// renewed is a new grant in the place of one that ends soon; the zero Request where there is
// none that does.
func (c *cli) renewed(ctx context.Context, conn *connection, resource string, ask *asking) (api.Request, error) {
	old, err := c.held(ctx, conn, resource, ask)
	if err != nil || old.Grant == nil || old.Grant.State != api.GrantActive {
		return api.Request{}, err
	}
	l := lease{now: old}
	if c.now().Before(l.renewAt()) {
		return old, nil
	}
	again := api.Ask{Resource: resource, Role: old.Role, Duration: old.Duration, Reason: old.Reason, Ticket: old.Ticket, Task: old.Task}
	if ask.said() {
		if again, err = ask.complete(ctx, c, resource); err != nil {
			return api.Request{}, err
		}
	}
	r, err := c.submit(ctx, conn, again)
	if err != nil {
		return r, err
	}
	return c.ready(ctx, conn, r, 0)
}
