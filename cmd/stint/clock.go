package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) clockCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "clock",
		Short: "What the server makes of its clock",
		Long: "Show what the server makes of its clock. While it is in doubt nothing new is granted,\n" +
			"and everything still ends, by the time that has passed.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			v, err := conn.Clock(cmd.Context())
			if err != nil {
				return err
			}
			return c.showClock(v)
		},
	}
	cmd.AddCommand(c.clockAcceptCmd())
	return cmd
}

func (c *cli) clockAcceptCmd() *cobra.Command {
	var a api.ClockAccept
	cmd := &cobra.Command{
		Use:   "accept --why TEXT",
		Short: "Say that a clock which is far away is right; it takes two administrators",
		Long: "Say that a clock which the server does not believe is right. It takes two administrators\n" +
			"within ten minutes. A clock that is ahead is then believed at once, and what its time says\n" +
			"is over ends. With one that is behind, time runs at half speed until it has caught up;\n" +
			"that is refused while anybody has access, which would last longer by it.\n" +
			"Not needed when the clock is set right: that is noticed.",
		Example: "  stint admin clock accept --why \"the VM was paused for ten minutes\"",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if strings.TrimSpace(a.Why) == "" {
				return usageError{errors.New("--why is missing: the audit log keeps it")}
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			v, err := conn.AcceptClock(cmd.Context(), a)
			if err != nil {
				return err
			}
			if !v.Trusted && !v.Slowed {
				c.say("noted; it takes the word of another administrator within ten minutes")
			}
			return c.showClock(v)
		},
	}
	cmd.Flags().StringVar(&a.Why, "why", "", "how you know")
	return cmd
}

func (c *cli) showClock(v api.Clock) error {
	state := "trusted"
	if !v.Trusted {
		state = "in doubt"
	}
	return c.show(result{value: v, names: []string{state}, text: facts("time", state, "why", v.Why, "Stint's time", timeFact(v.Now, c), "the clock", timeFact(v.Wall, c),
		"clock ahead by", api.Span(v.Ahead), "host ahead by", api.Span(v.Host), "accepted by", strings.Join(v.Accepted, ", "), "replica", v.Replica)})
}
