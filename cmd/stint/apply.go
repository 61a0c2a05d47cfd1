package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) applyCmd() *cobra.Command {
	var paths []string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "apply -f PATH... [--dry-run]",
		Short: "Create or change resources, roles, policies, schedules, integrations, workloads and bundles",
		Long: "Create or change what documents say: resources, roles, policies, and so on; files,\n" +
			"directories (their *.yaml in order of name, but *.test.yaml) or - for standard input.\n" +
			"All are checked before anything changes; all apply, or none; nothing is removed.\n\n" +
			"A change that reaches what is of high criticality takes a second person, where there\n" +
			"is one. It then makes a proposal, changes nothing and exits with 8; see stint proposals.",
		Example: "  stint apply -f policies/ --dry-run\n" +
			"  stint apply -f resources.yaml -f policies/",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			paths = append(paths, args...)
			if len(paths) == 0 {
				return usageError{errors.New("-f is missing: the files or directories to apply")}
			}
			files, err := c.readDocuments(paths, false)
			if err != nil {
				return err
			}
			ask := api.Apply{DryRun: dryRun}
			for _, f := range files {
				ask.Files = append(ask.Files, api.File{Name: f.Name, Text: f.Text})
			}
			if len(ask.Files) == 0 {
				return wrong("no-documents", "there are no documents in "+strings.Join(paths, ", "), "", "documents are files that end in .yaml")
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.Apply(cmd.Context(), ask)
			if err != nil {
				return err
			}
			return c.showApplied(done)
		},
	}
	cmd.Flags().StringArrayVarP(&paths, "filename", "f", nil, "a file, a directory, or - for stdin; may be repeated")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check, and say what would change")
	cmd.ValidArgsFunction = filesToComplete
	return cmd
}

func (c *cli) showApplied(done api.Applied) error {
	counts := map[string]int{}
	t := newTable("CHANGE", "KIND", "NAME", "SOURCE")
	t.marks["CHANGE"] = func(p paint, s string) string {
		switch s {
		case "created":
			return p.good(s)
		case "updated":
			return p.warn(s)
		}
		return p.dim(s)
	}
	names := []string{}
	for _, ch := range done.Changes {
		counts[ch.Action]++
		t.row(ch.Action, ch.Kind, ch.Name, ch.Source)
		names = append(names, strings.ToLower(ch.Kind)+"/"+ch.Name)
	}
	for _, w := range done.Warnings {
		c.problem(c.paint.warn("warning"), w)
	}
	if err := c.show(result{value: done, names: names, table: t}); err != nil {
		return err
	}
	if done.Proposal != nil {
		return c.proposed(done.Proposal)
	}
	summary := strconv.Itoa(counts["created"]) + " created, " + strconv.Itoa(counts["updated"]) + " updated, " + strconv.Itoa(counts["unchanged"]) + " unchanged"
	if done.DryRun {
		c.say("nothing was changed; would be: " + summary)
		if len(done.Second) > 0 && !done.Alone {
			c.say("this takes a second person: applying it makes a proposal")
		}
	} else {
		c.alone(done.Second)
		c.say(summary + "; documents are at version " + strconv.Itoa(int(done.Version)))
	}
	return nil
}

func (c *cli) deleteCmd() *cobra.Command {
	var revoke bool
	cmd := &cobra.Command{
		Use:     "delete KIND NAME",
		Short:   "Remove a resource, role, policy, schedule, integration, workload or bundle",
		Long:    "Remove a resource, role, policy, schedule, integration, workload or bundle. It is refused\nwhile live grants hold it, unless --revoke ends them first. With a workload its logins\nend, and what is held by them.",
		Example: "  stint delete policy orders-read",
		Args:    exactly("KIND", "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, err := pluralOf(args[0], api.Resources, api.Roles, api.Policies, api.Schedules, api.Integrations, api.Workloads, api.Bundles)
			if err != nil {
				return err
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.Delete(cmd.Context(), kind, args[1], revoke)
			if err != nil {
				return err
			}
			if done.Proposal != nil {
				if err := c.show(result{value: done, names: []string{done.Proposal.ID}}); err != nil {
					return err
				}
				return c.proposed(done.Proposal)
			}
			c.say("removed; documents are at version " + strconv.Itoa(int(done.Version)))
			if n := len(done.Grants); n > 0 {
				c.say("ending " + plural(n, "grant", "grants") + "; see stint get grants")
			}
			t := newTable("CHANGE", "KIND", "NAME")
			t.row(done.Change.Action, done.Change.Kind, done.Change.Name)
			return c.show(result{value: done, names: []string{done.Change.Name}, table: t})
		},
	}
	cmd.Flags().BoolVar(&revoke, "revoke", false, "end the live grants that hold it")
	cmd.ValidArgsFunction = c.completeKinds("resource", "role", "policy", "schedule", "integration", "workload", "bundle")
	return cmd
}

// pluralOf accepts a kind in each of its spellings: Role, role, roles.
func pluralOf(word string, kinds ...string) (string, error) {
	w := strings.ToLower(word)
	for _, k := range kinds {
		if w == k || w == singular(k) {
			return k, nil
		}
	}
	return "", wrong("unknown-kind", quote(word)+" is not a kind", "", "use one of: "+strings.Join(kinds, ", "))
}

func singular(kind string) string {
	if stem, ok := strings.CutSuffix(kind, "ies"); ok {
		return stem + "y"
	}
	return strings.TrimSuffix(kind, "s")
}
