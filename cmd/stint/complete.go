package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

// completeTime is how long completion may take. Whatever goes wrong, it says
// nothing: it must never disturb the line that is being typed.
const completeTime = time.Second

type completer = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

func (c *cli) completionCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "completion bash|zsh|fish",
		Short:   "Print a script that completes commands, resources, roles and ids",
		Example: "  source <(stint completion bash)\n  stint completion fish > ~/.config/fish/completions/stint.fish",
		Args:    exactly("SHELL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(c.out, true)
			case "zsh":
				return root.GenZshCompletion(c.out)
			case "fish":
				return root.GenFishCompletion(c.out, true)
			}
			return wrong("unknown-shell", quote(args[0])+" is not a shell that is known here", "", "use bash, zsh or fish")
		},
	}
	cmd.ValidArgsFunction = fixed("bash", "zsh", "fish")
	return cmd
}

// completeFlag sets how the value of a flag is completed.
func (c *cli) completeFlag(cmd *cobra.Command, flag string, f completer) {
	// It fails only for a flag that does not exist, which the tests would show.
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err)
	}
}

func fixed(words ...string) completer {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

func filesToComplete(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

// fromServer completes with names that the server knows.
func (c *cli) fromServer(ctx context.Context, prefix string, names func(context.Context, *connection) ([]string, error)) ([]cobra.Completion, cobra.ShellCompDirective) {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completeTime)
	defer cancel()
	conn, err := c.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	conn.Patience = -1
	list, err := names(ctx, conn)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list = slices.DeleteFunc(list, func(s string) bool { return !strings.HasPrefix(s, prefix) || printable(s) != s })
	return list, cobra.ShellCompDirectiveNoFileComp
}

func (c *cli) completeResources(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return c.fromServer(cmd.Context(), prefix, resourceNames)
}

func (c *cli) completeRoles(cmd *cobra.Command, _ []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return c.fromServer(cmd.Context(), prefix, roleNames)
}

// completeIDs offers what is on its way and what is held.
func (c *cli) completeIDs(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.fromServer(cmd.Context(), prefix, func(ctx context.Context, conn *connection) ([]string, error) {
		list, err := mine(ctx, conn)
		return ids(list), err
	})
}

func (c *cli) completeUsers(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.fromServer(cmd.Context(), prefix, namesOf[api.Users])
}

func (c *cli) completeApprovals(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.fromServer(cmd.Context(), prefix, func(ctx context.Context, conn *connection) ([]string, error) {
		page, err := conn.Approvals(ctx, api.List{})
		return ids(page.Items), err
	})
}

// completeKinds offers kinds, then the names of the kind that was chosen.
func (c *cli) completeKinds(kinds ...string) completer {
	return func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		switch len(args) {
		case 0:
			return kinds, cobra.ShellCompDirectiveNoFileComp
		case 1:
			kind, err := pluralOf(args[0], kindsOfGet...)
			if of := namesOf[kind]; err == nil && of != nil {
				return c.fromServer(cmd.Context(), prefix, of)
			}
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

var namesOf = map[string]func(context.Context, *connection) ([]string, error){
	api.Resources: resourceNames,
	api.Roles:     roleNames,
	api.Policies: func(ctx context.Context, conn *connection) ([]string, error) {
		page, err := conn.ListPolicies(ctx, api.List{})
		return each(page.Items, func(p api.Policy) string { return p.Name }), err
	},
	api.Integrations: integrationNames,
	api.Bundles:      bundleNames,
	api.Schedules: func(ctx context.Context, conn *connection) ([]string, error) {
		page, err := conn.ListSchedules(ctx, api.List{})
		return each(page.Items, func(s api.Schedule) string { return s.Name }), err
	},
	api.Workloads: func(ctx context.Context, conn *connection) ([]string, error) {
		page, err := conn.ListWorkloads(ctx, api.List{})
		return each(page.Items, func(w api.Workload) string { return w.Name }), err
	},
	api.Users: func(ctx context.Context, conn *connection) ([]string, error) {
		page, err := conn.ListUsers(ctx, api.List{})
		return each(page.Items, func(u api.User) string { return u.Name }), err
	},
}

func resourceNames(ctx context.Context, conn *connection) ([]string, error) {
	page, err := conn.ListResources(ctx, api.List{})
	return each(page.Items, func(r api.Resource) string { return r.Name }), err
}

func roleNames(ctx context.Context, conn *connection) ([]string, error) {
	page, err := conn.ListRoles(ctx, api.List{})
	return each(page.Items, func(r api.Role) string { return r.Name }), err
}

func each[T any](list []T, f func(T) string) []string {
	out := make([]string, 0, len(list))
	for _, x := range list {
		out = append(out, f(x))
	}
	return out
}
