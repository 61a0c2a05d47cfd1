package main

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func tokensPath(name string) string { return "/admin/integrations/" + url.PathEscape(name) + "/tokens" }

func (c *cli) tokenCmd() *cobra.Command {
	var t api.TokenAdd
	cmd := &cobra.Command{
		Use:   "token NAME --for DURATION",
		Short: "Make a token for an integration that tells of people",
		Long: "Make a token for an integration that tells of people: a provisioning service that\n" +
			"speaks SCIM. The service shows it with every call. It is printed once and kept as a\n" +
			"hash. Tokens from before end at once; with --overlap they stay good for so long, so\n" +
			"that the service can be given the new one without a gap.",
		Example: "  stint admin integration token corp-scim --for 180d\n" +
			"  stint admin integration token corp-scim --for 180d --overlap 24h -o json",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if t.For == "" {
				return usageError{errors.New("--for is missing: how long the token is good for")}
			}
			for flag, value := range map[string]*string{"for": &t.For, "overlap": &t.Overlap} {
				if *value == "" {
					continue
				}
				span, err := parseFor(flag, *value)
				if err != nil {
					return err
				}
				*value = span
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			var done api.TokenAdded
			if err := conn.Do(cmd.Context(), http.MethodPost, tokensPath(args[0]), t, &done); err != nil {
				return err
			}
			return c.show(result{value: done, names: []string{done.Name},
				text: facts("integration", done.Integration, "token", done.Token.Reveal(), "good until", timeFact(done.ExpiresAt, c))})
		},
	}
	cmd.Flags().StringVar(&t.For, "for", "", "how long the token is good for: 180d, 12h")
	cmd.Flags().StringVar(&t.Overlap, "overlap", "", "how long the tokens from before stay good")
	return cmd
}

func (c *cli) tokensCmd() *cobra.Command {
	var end bool
	cmd := &cobra.Command{
		Use:     "tokens NAME",
		Short:   "The tokens of an integration that are good, or their end",
		Long:    "The tokens of an integration that are good, by their names in the log. With --end all\nof them end at once, and the service is not let in any more.",
		Example: "  stint admin integration tokens corp-scim --end",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			if end {
				var done api.TokensEnded
				if err := conn.Do(cmd.Context(), http.MethodPost, tokensPath(args[0])+"/end", nil, &done); err != nil {
					return err
				}
				c.say("ended " + plural(done.Ended, "token", "tokens") + " of " + printable(done.Integration))
				return c.show(result{value: done, names: []string{done.Integration}})
			}
			var page api.Page[api.Token]
			if err := conn.Do(cmd.Context(), http.MethodGet, tokensPath(args[0]), nil, &page); err != nil {
				return err
			}
			t := newTable("NAME", "MADE", "GOOD UNTIL")
			var names []string
			for _, k := range page.Items {
				names = append(names, k.Name)
				t.row(k.Name, timeFact(k.CreatedAt, c), timeFact(k.ExpiresAt, c))
			}
			if err := c.show(result{value: page.Items, names: names, table: t}); err != nil {
				return err
			}
			c.listed(len(page.Items), hints{none: "make one with stint admin integration token NAME --for DURATION", some: "end all of them with --end"})
			return nil
		},
	}
	cmd.Flags().BoolVar(&end, "end", false, "end all of them at once")
	return cmd
}
