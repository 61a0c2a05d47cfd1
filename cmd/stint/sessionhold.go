package main

import (
	"context"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) sessionHoldCmd() *cobra.Command {
	return c.holdCmd(&cobra.Command{
		Use:   "hold ID --why TEXT",
		Short: "Keep a recording, whatever its age",
		Long: "Keep a recording, whatever its age, until an administrator lets it go. For administrators,\n" +
			"auditors, and who may watch it; it is in the log.",
		Example: "  stint session hold ses_01J8ZQ --why 'case 7'",
	}, "held", func(ctx context.Context, conn *connection, id, why string) (api.Recording, error) {
		return conn.HoldRecording(ctx, id, why)
	})
}

func (c *cli) sessionReleaseCmd() *cobra.Command {
	return c.holdCmd(&cobra.Command{
		Use:     "release ID --why TEXT",
		Short:   "Let the age of a held recording count again",
		Long:    "Let the age of a held recording count again. For administrators, and not of a session of\ntheir own; it is in the log.",
		Example: "  stint session release ses_01J8ZQ --why 'case 7 is closed'",
	}, "released", func(ctx context.Context, conn *connection, id, why string) (api.Recording, error) {
		return conn.ReleaseRecording(ctx, id, why)
	})
}

func (c *cli) holdCmd(cmd *cobra.Command, done string, act func(ctx context.Context, conn *connection, id, why string) (api.Recording, error)) *cobra.Command {
	var why string
	cmd.Args = exactly("ID")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		conn, err := c.connect()
		if err != nil {
			return err
		}
		r, err := act(cmd.Context(), conn, args[0], why)
		if err != nil {
			return err
		}
		c.say(done + " the recording of " + printable(r.Session))
		return c.show(result{value: r, names: []string{r.Session}})
	}
	cmd.Flags().StringVar(&why, "why", "", "why, for the log")
	_ = cmd.MarkFlagRequired("why")
	return cmd
}
