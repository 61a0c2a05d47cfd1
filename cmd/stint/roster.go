package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/roster"
)

func (c *cli) hostRosterCmd() *cobra.Command {
	var users, hosts []string
	var pages bool
	cmd := &cobra.Command{
		Use:   "roster",
		Short: "Print a roster for hosts, of the passkeys that are known here, to compare and install",
		Long: "Print a roster for hosts, of the passkeys that are known here: whom a host believes by\n" +
			"itself, and what they must have signed before anything is made on it. Nothing is sent to\n" +
			"a host: compare each key with its person over another way (its digest stands in the\n" +
			"first lines; they have it from stint passkey add, not from the server), write the\n" +
			"ceiling that you want, and install the file as root with what else you configure hosts\n" +
			"with. Leave out who does not approve.",
		Example: "  stint admin host roster --user omar --user olga > roster.yaml\n  stint-agent roster check --roster roster.yaml",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			var keys []access.Passkey
			for at := (api.List{Limit: 200}); ; {
				page, err := conn.Passkeys(cmd.Context(), "", true, at)
				if err != nil {
					return err
				}
				for _, p := range page.Items {
					if p.State != "active" || !p.Client && !pages || len(users) > 0 && !slices.Contains(users, p.Person) {
						continue
					}
					k := access.Passkey{Principal: access.PrincipalID(p.Principal), Person: access.Person(p.Person), Name: p.Name, RPID: p.RPID, Origin: p.Origin, Credential: p.Credential, Key: p.Key}
					if k.Digest().String() != p.Digest {
						return &api.Error{Kind: api.Internal, Code: "passkey-not-true", Message: "the server's digest of a passkey is not that of what it shows", Why: "of " + p.ID, Next: "tell the administrators over another way"}
					}
					keys = append(keys, k)
				}
				if page.Next == "" {
					break
				}
				at.Cursor = page.Next
			}
			if len(keys) == 0 {
				return &api.Error{Kind: api.NotFound, Code: "no-passkeys", Message: "nobody of them has a passkey for stint approve", Next: "they make one with: stint passkey add"}
			}
			slices.SortFunc(keys, func(a, b access.Passkey) int {
				return strings.Compare(string(a.Person)+"\x00"+a.Name, string(b.Person)+"\x00"+b.Name)
			})
			text, err := roster.Text(keys, hosts)
			if err != nil {
				return err
			}
			return c.show(result{value: map[string]string{"roster": text}, text: text})
		},
	}
	cmd.Flags().StringArrayVar(&users, "user", nil, "only passkeys of this person; can be given again")
	cmd.Flags().StringArrayVar(&hosts, "host", nil, "only good on the host of this address, as HOST in stint admin host list shows it; can be given again")
	cmd.Flags().BoolVar(&pages, "pages", false, "also passkeys that pages of the server ask to sign: a server that was taken over can have those sign what it likes")
	return cmd
}
