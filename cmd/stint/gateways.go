package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) gatewayCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "gateway", Short: "Gateways: what carries and records sessions"}
	cmd.AddCommand(c.gatewayEnrollCmd(), c.gatewayListCmd(), c.gatewayCarryCmd(), c.gatewayRevokeCmd())
	return cmd
}

func (c *cli) gatewayEnrollCmd() *cobra.Command {
	var address string
	var carries []string
	cmd := &cobra.Command{
		Use:   "enroll NAME --address HOST:PORT [--carries PROTOCOL,...]",
		Short: "Create a one-time code for a gateway",
		Long: "Create a one-time code for a gateway, which persons reach at the address. It is shown\n" +
			"once, is good for 15 minutes, and goes to stint-gateway enroll. Codes from before are\n" +
			"worthless from then on. A gateway that is enrolled under the name stays so until the\n" +
			"new one takes its place.\n\n" +
			"It opens sessions of the protocols that --carries says, and of no others: who is root\n" +
			"on its machine gets at what they carry.",
		Example: "  stint admin gateway enroll edge --address gw.example:2022\n  stint admin gateway enroll edge --address gw.example:2022 --carries ssh,postgres",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if address == "" {
				return usageError{errors.New("--address is missing: where persons reach the gateway, host and port")}
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.EnrollGateway(cmd.Context(), args[0], api.GatewayInvite{Address: address, Carries: carries})
			if err != nil {
				return err
			}
			return c.show(result{value: done, names: []string{done.Gateway},
				text: facts("gateway", done.Gateway, "address", done.Address, "carries", strings.Join(done.Carries, ", "), "code", done.Code.Reveal(), "good until", timeFact(done.ExpiresAt, c))})
		},
	}
	cmd.Flags().StringVar(&address, "address", "", "where persons reach it: host and port")
	cmd.Flags().StringSliceVar(&carries, "carries", []string{"ssh"}, "what it may carry: ssh, postgres, http, tcp")
	return cmd
}

func (c *cli) gatewayListCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the gateways, and whether they are heard of",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			all := func(ctx context.Context, _ api.List) (api.Page[api.Gateway], error) { return conn.Gateways(ctx) }
			return showKind(c, "", 0, all, nil, cmd.Context(), c.gatewayTable, hints{none: "enrol one: stint admin gateway enroll NAME --address HOST:PORT"})
		},
	}
}

func (c *cli) gatewayTable(all []api.Gateway) (names []string, t *table) {
	t = newTable("GATEWAY", "ADDRESS", "CARRIES", "STATE", "SEEN", "VERSION")
	for _, g := range all {
		names = append(names, g.Gateway)
		state, seen := g.State, ""
		if g.Silent {
			state = "silent"
		}
		if !g.SeenAt.IsZero() {
			seen = ago(g.SeenAt.Time, c.now())
		}
		t.row(g.Gateway, g.Address, strings.Join(g.Carries, ","), state, seen, g.Version)
	}
	return names, t
}

func (c *cli) gatewayCarryCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "carry NAME PROTOCOL...",
		Short: "Say which protocols' sessions a gateway may carry",
		Long: "Say which protocols' sessions a gateway may carry, of ssh, postgres, http and tcp. What\n" +
			"is not named it opens no session of any more; those that are open go on. Who is root on\n" +
			"its machine gets at what they carry.",
		Example: "  stint admin gateway carry edge ssh postgres",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return exactly("NAME", "PROTOCOL")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.CarryByGateway(cmd.Context(), args[0], api.GatewayCarries{Carries: args[1:]})
			if err != nil {
				return err
			}
			names, t := c.gatewayTable([]api.Gateway{done})
			return c.show(result{value: done, names: names, table: t})
		},
	}
}

func (c *cli) gatewayRevokeCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke NAME",
		Short: "End the enrolment of a gateway",
		Long: "End the enrolment of a gateway: it opens no session any more, and none of its sessions\n" +
			"is renewed. They end within half a minute; where their role lets them go on without\n" +
			"Stint, with their grants.",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.RevokeGateway(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			names, t := c.gatewayTable([]api.Gateway{done})
			return c.show(result{value: done, names: names, table: t})
		},
	}
}
