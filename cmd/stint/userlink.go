package main

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) userLinkCmd() *cobra.Command {
	return c.linkCmd("link", "Say who a user is with a provider",
		"Say who a user is with a provider, which is an integration: whoever signs in there as\n"+
			"that subject is this user from now on, and what the provider says of the subject is\n"+
			"said of them. The subject is what never changes there: OpenID Connect's sub, SCIM's\n"+
			"externalId, a directory's entryUUID. It is never a mail address or a name, which are\n"+
			"given to others in time. One subject is one user's.")
}

func (c *cli) userUnlinkCmd() *cobra.Command {
	return c.linkCmd("unlink", "Take an identity of a user away",
		"Take an identity of a user away: nobody signs in as them by it any more. With the last\n"+
			"one of a provider the groups go that the provider gave, and access held by these ends.\n"+
			"A login that was made with it goes on until its end.")
}

func (c *cli) linkCmd(verb, short, long string) *cobra.Command {
	var id api.Identity
	cmd := &cobra.Command{
		Use:     verb + " NAME --provider P --subject S",
		Short:   short,
		Long:    long,
		Example: "  stint admin user " + verb + " mira --provider corp-sso --subject 00u1a2b3c4d5",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if id.Provider == "" || id.Subject == "" {
				return usageError{errors.New("--provider and --subject are both needed: an integration, and who the user is there")}
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			var now api.User
			path := "/admin/users/" + url.PathEscape(args[0]) + "/" + verb
			if err := conn.Do(cmd.Context(), http.MethodPost, path, id, &now); err != nil {
				return err
			}
			names, t := c.userTable([]api.User{now})
			return c.show(result{value: now, names: names, table: t})
		},
	}
	f := cmd.Flags()
	f.StringVar(&id.Provider, "provider", "", "the integration that knows them")
	f.StringVar(&id.Subject, "subject", "", "who they are there, exactly as it is written there")
	return cmd
}
