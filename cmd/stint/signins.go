package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) signinsCmd() *cobra.Command {
	var of string
	cmd := &cobra.Command{
		Use:   "signins",
		Short: "List where you are signed in, and end one",
		Long: "List where you are signed in: the devices and browsers of your own, the newest first.\n" +
			"A sign-in ends after twelve hours, and an administrator's in a browser when it was not\n" +
			"used for 15 minutes. What you hold goes on when a sign-in ends; give it back with stint\n" +
			"end. Sessions on hosts, and their recordings, are another thing: stint session.",
		Example: "  stint signins\n  stint signins --user tomas\n  stint signins end 3f9c0e2a",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			list := conn.Logins
			if of != "" {
				list = func(ctx context.Context) (api.Page[api.Login], error) { return conn.LoginsOf(ctx, of) }
			}
			page, err := list(cmd.Context())
			if err != nil {
				return err
			}
			names, t := c.signinTable(page.Items)
			if err := c.show(result{value: page.Items, names: names, table: t}); err != nil {
				return err
			}
			c.listed(len(page.Items), hints{none: "sign in with stint login", some: "end one with stint signins end ID"})
			return nil
		},
	}
	cmd.Flags().StringVar(&of, "user", "", "those of another user, service or agent; administrators and auditors")
	cmd.AddCommand(&cobra.Command{
		Use:     "end ID",
		Short:   "End one of your sign-ins",
		Long:    "End one of your sign-ins: the very next call of it is refused. ID is as stint signins\nshows it, or an unambiguous beginning.",
		Example: "  stint signins end 3f9c0e2a",
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			s, err := conn.EndLogin(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			c.say("ended the sign-in " + printable(s.ID))
			return c.show(result{value: s, names: []string{s.ID}})
		},
	})
	return cmd
}

func (c *cli) signinTable(all []api.Login) (names []string, t *table) {
	t = newTable("!ID", "USED BY", "SIGNED IN BY", "SINCE", "FROM", "UNTIL")
	for _, s := range all {
		names = append(names, s.ID)
		by := s.Provider
		if s.MFA {
			by += " +mfa"
		}
		used := s.Kind
		if s.BreakGlass {
			used += " (break-glass)"
		}
		if s.Client != "" {
			used += ": " + s.Client
		}
		if s.This {
			used = "this " + used
		}
		t.row(s.ID, used, strings.TrimSpace(by), ago(s.CreatedAt.Time, c.now()), s.Address, clock(s.ExpiresAt.Time, c.now()))
	}
	return names, t
}
