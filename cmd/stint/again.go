package main

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

// againAmong is how many of the newest requests are looked through for a number.
const againAmong = 100

func (c *cli) againCmd() *cobra.Command {
	var ask asking
	var dryRun, noWait bool
	var timeout string
	cmd := &cobra.Command{
		Use:   "again [N|ID|NAME] --why TEXT",
		Short: "Ask once more for what you asked for before",
		Long: "Ask once more for what you asked for before: the last thing, the Nth last, that of a\n" +
			"request, or a favourite. Only resource, role and duration are taken over. The reason\n" +
			"is a new one, the ticket too, and it is decided and approved anew.",
		Example: "  stint again --why \"order 4712 has it too\"\n" +
			"  stint again 2 --why \"order 4712\" --for 15m\n" +
			"  stint again nightly --why \"the import stopped\"",
		Args: atMost("WHICH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := idleFlags(cmd); err != nil {
				return err
			}
			most, err := parseTimeout(timeout)
			if err != nil {
				return err
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			which := "1"
			if len(args) == 1 {
				which = args[0]
			}
			before, err := askedBefore(cmd.Context(), conn, which)
			if err != nil {
				return err
			}
			if ask.role == "" {
				ask.role = before.Role
			}
			if ask.span == "" {
				ask.span = before.Duration
			}
			if ask.why == "" && c.canAsk() {
				c.say(printable(before.Role + " on " + before.Resource + " for " + api.Span(ask.span)))
			}
			if ask.why == "" && !c.canAsk() {
				return usageError{errors.New("--why is missing: the reason is never taken over")}
			}
			q, err := ask.complete(cmd.Context(), c, before.Resource)
			if err != nil {
				return err
			}
			return c.requestOne(cmd.Context(), conn, q, dryRun, noWait, most)
		},
	}
	ask.flags(cmd, c)
	f := cmd.Flags()
	f.StringVar(&ask.at, "at", "", "when it begins; at once if not given")
	f.BoolVar(&dryRun, "dry-run", false, "tell what would be decided, and ask nothing")
	f.BoolVar(&noWait, "no-wait", false, "print the request and do not wait")
	f.StringVar(&timeout, "timeout", "", "stop waiting after this long, with exit code 8")
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.fromServer(cmd.Context(), prefix, favouriteNames)
	}
	return cmd
}

// askedBefore is what which names: a number, counted over what differs, the newest first;
// the id of a request; or the name of a favourite.
func askedBefore(ctx context.Context, conn *connection, which string) (api.Ask, error) {
	n, err := strconv.Atoi(which)
	if err == nil {
		return nthBefore(ctx, conn, n)
	}
	if up := strings.ToUpper(which); strings.HasPrefix(up, "REQ_") || strings.HasPrefix(up, "GRT_") {
		r, err := conn.Request(ctx, which, api.Wait{})
		return api.Ask{Resource: r.Resource, Role: r.Role, Duration: r.Duration}, err
	}
	for f, err := range api.Each(func(cursor string) (api.Page[api.Favourite], error) {
		return conn.Favourites(ctx, api.List{Cursor: cursor})
	}) {
		if err != nil {
			return api.Ask{}, err
		}
		if f.Name == which {
			return api.Ask{Resource: f.Resource, Role: f.Role, Duration: f.Duration}, nil
		}
	}
	return api.Ask{}, wrong("no-such-favourite", quote(which)+" is no number, no id and no favourite of yours", "", "see stint favourite list, or stint get requests --mine")
}

func nthBefore(ctx context.Context, conn *connection, n int) (api.Ask, error) {
	if n < 1 {
		return api.Ask{}, wrong("bad-number", "requests are counted from 1, the newest", "", "")
	}
	page, err := conn.Requests(ctx, api.RequestList{List: api.List{Limit: againAmong}, Mine: true})
	if err != nil {
		return api.Ask{}, err
	}
	seen := map[[2]string]bool{}
	for _, r := range page.Items {
		q := api.Ask{Resource: r.Resource, Role: r.Role, Duration: r.Duration}
		if key := [2]string{r.Resource, r.Role}; r.Extends == "" && r.Emergency == "" && !seen[key] {
			seen[key] = true
			if len(seen) == n {
				return q, nil
			}
		}
	}
	return api.Ask{}, wrong("nothing-before", "you have not asked for that many things", strconv.Itoa(len(seen))+" different ones are among your newest requests", "see stint get requests --mine")
}

func (c *cli) favouriteCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "favourite",
		Short: "Keep what you often ask for, for stint again NAME",
		Long:  "Keep what you often ask for under a name. The server keeps it, for you alone; it is a\nnote and gives no right to anything.",
	}
	cmd.AddCommand(c.favouriteAddCmd(), c.favouriteListCmd(), c.favouriteDeleteCmd())
	return cmd
}

func (c *cli) favouriteAddCmd() *cobra.Command {
	var role, span string
	cmd := &cobra.Command{
		Use:     "add NAME RESOURCE --as ROLE --for DURATION",
		Short:   "Keep a resource, a role and a duration under a name",
		Example: "  stint favourite add nightly orders-db --as reader --for 30m",
		Args:    exactly("NAME", "RESOURCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if role == "" || span == "" {
				return usageError{errors.New("--as and --for are needed")}
			}
			d, err := parseFor("for", span)
			if err != nil {
				return err
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			f, err := conn.SaveFavourite(cmd.Context(), args[0], api.FavouriteSet{Resource: args[1], Role: role, Duration: d})
			if err != nil {
				return err
			}
			return c.showFavourites([]api.Favourite{f}, f)
		},
	}
	cmd.Flags().StringVar(&role, "as", "", "the role to ask for")
	cmd.Flags().StringVar(&span, "for", "", "for how long: 20s, 90m, 1h30m, 2d")
	c.completeFlag(cmd, "as", c.completeRoles)
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) != 1 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.fromServer(cmd.Context(), prefix, resourceNames)
	}
	return cmd
}

func (c *cli) favouriteListCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Show what you keep",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			page, err := conn.Favourites(cmd.Context(), api.List{})
			if err != nil {
				return err
			}
			if err := c.showFavourites(page.Items, page.Items); err != nil {
				return err
			}
			c.listed(len(page.Items), hints{none: "keep one with stint favourite add NAME RESOURCE --as ROLE --for DURATION", some: "ask for one with stint again NAME --why TEXT"})
			return nil
		},
	}
}

func (c *cli) favouriteDeleteCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Forget one of them",
		Example: "  stint favourite delete nightly",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			if err := conn.DropFavourite(cmd.Context(), args[0]); err != nil {
				return err
			}
			c.say("forgotten: " + printable(args[0]))
			return nil
		},
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.fromServer(cmd.Context(), prefix, favouriteNames)
	}
	return cmd
}

func (c *cli) showFavourites(all []api.Favourite, value any) error {
	t := newTable("NAME", "RESOURCE", "ROLE", "FOR")
	var names []string
	for _, f := range all {
		names = append(names, f.Name)
		t.row(f.Name, f.Resource, f.Role, api.Span(f.Duration))
	}
	return c.show(result{value: value, names: names, table: t})
}

func favouriteNames(ctx context.Context, conn *connection) ([]string, error) {
	page, err := conn.Favourites(ctx, api.List{})
	return each(page.Items, func(f api.Favourite) string { return f.Name }), err
}
