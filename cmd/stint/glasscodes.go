package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) adminGlassCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "break-glass", Short: "Sealed one-time codes for break-glass access when sign-in is down"}
	codes := &cobra.Command{Use: "codes", Short: "The codes"}
	codes.AddCommand(c.codesMakeCmd(), c.codesListCmd(), c.codesRevokeCmd())
	cmd.AddCommand(codes)
	return cmd
}

func (c *cli) codesMakeCmd() *cobra.Command {
	var a api.GlassCodesAsk
	cmd := &cobra.Command{
		Use:   "make (--user U --count N | --share U --share V … --need K)",
		Short: "Make one-time codes, which are shown this once",
		Long: "Make one-time codes for break-glass access when sign-in is down. Each is good once, for\n" +
			"180 days unless --for says otherwise, and for nothing else. They are shown this once and\n" +
			"kept as hashes: print them, seal each in an envelope, and put it where it is found at\n" +
			"night. With --share each of several persons gets one, and it takes --need of them\n" +
			"together; the access is then that of the one whose code comes first.\n\n" +
			"A code does not replace the policy: its user must be one who may break glass.",
		Example: "  stint admin break-glass codes make --user mira --count 3\n" +
			"  stint admin break-glass codes make --share mira --share noor --share olga --need 2",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.User == "" && len(a.Sharers) == 0 {
				return usageError{errors.New("--user is missing: whose codes they are; or --share, for each of several")}
			}
			if a.User != "" && a.Count == 0 {
				a.Count = 1
			}
			if a.For != "" {
				span, err := parseFor("for", a.For)
				if err != nil {
					return err
				}
				a.For = span
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			made, err := conn.MakeGlassCodes(cmd.Context(), a)
			if err != nil {
				return err
			}
			names := []string{}
			var text strings.Builder
			for _, m := range made.Codes {
				names = append(names, m.ID)
				takes := ""
				if m.Need > 1 {
					takes = strconv.Itoa(m.Need) + " of " + strconv.Itoa(len(made.Codes)) + " together"
				}
				text.WriteString(facts("id", m.ID, "for", m.Principal, "code", m.Code.Reveal(), "takes", takes, "resource", m.Resource, "good until", timeFact(m.ExpiresAt, c)) + "\n")
			}
			if err := c.show(result{value: made, names: names, text: text.String()}); err != nil {
				return err
			}
			c.hint("they are shown this once; prove that they work with stint break-glass RESOURCE --drill --code-file FILE, which uses one up")
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&a.User, "user", "", "whose codes they are")
	f.IntVar(&a.Count, "count", 0, "how many; 1 if not given")
	f.StringArrayVar(&a.Sharers, "share", nil, "a user who gets one of several codes; repeated")
	f.IntVar(&a.Need, "need", 0, "of how many who share it takes the codes")
	f.StringVar(&a.Resource, "resource", "", "for this resource alone")
	f.StringVar(&a.For, "for", "", "how long they are good for: 90d; 180d if not given")
	cmd.MarkFlagsMutuallyExclusive("user", "share")
	c.completeFlag(cmd, "resource", c.completeResources)
	return cmd
}

func (c *cli) codesListCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the codes there are, by their ids; never a code itself",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			return showKind(c, "", 0, conn.GlassCodes, nil, cmd.Context(), func(all []api.GlassCode) (names []string, t *table) {
				t = newTable("!CODE", "WHO", "STATE", "TAKES", "RESOURCE", "UNTIL")
				for _, g := range all {
					names = append(names, g.ID)
					t.row(g.ID, g.Principal, g.State, strconv.Itoa(g.Need), g.Resource, clock(g.ExpiresAt.Time, c.now()))
				}
				return names, t
			}, hints{none: "make some with stint admin break-glass codes make", some: "make one worthless with stint admin break-glass codes revoke ID"})
		},
	}
}

func (c *cli) codesRevokeCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: "Make a code worthless",
		Args:  exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			if err := conn.RevokeGlassCode(cmd.Context(), args[0]); err != nil {
				return err
			}
			c.say("revoked " + printable(args[0]))
			return nil
		},
	}
}
