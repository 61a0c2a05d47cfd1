package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write docs/reference/cli.md anew")

// TestReference holds docs/reference/cli.md to what the program says of itself.
// After a change: go test ./cmd/stint -run TestReference -update
func TestReference(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "reference", "cli.md")
	want := reference(newCLI(nil, strings.NewReader(""), nil, nil).root())
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/reference/cli.md is stale; run: go test ./cmd/stint -run TestReference -update\n%s", diff)
	}
}

// TestHelp holds every command to what help needs, in lines that terminals show.
func TestHelp(t *testing.T) {
	walk(newCLI(nil, strings.NewReader(""), nil, nil).root(), func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s has no short help", cmd.CommandPath())
		}
		for _, text := range []string{cmd.Long, cmd.Example, cmd.Short} {
			for line := range strings.Lines(text) {
				if width(line) > tableWidth {
					t.Errorf("%s: a line of help is too long: %q", cmd.CommandPath(), line)
				}
			}
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s has no help", cmd.CommandPath(), f.Name)
			}
		})
	})
}

func walk(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, sub := range cmd.Commands() {
		if !sub.Hidden && sub.Name() != "help" {
			walk(sub, visit)
		}
	}
}

// reference is the manual in Markdown.
func reference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# The command line\n\n<!-- Written by: go test ./cmd/stint -run TestReference -update -->\n\n")
	b.WriteString(root.Long + "\n\n")
	b.WriteString("Options of every command:\n\n```\n" + root.PersistentFlags().FlagUsages() + "```\n")
	for _, g := range root.Groups() {
		fmt.Fprintf(&b, "\n## %s\n", strings.TrimSuffix(g.Title, ":"))
		for _, cmd := range root.Commands() {
			if cmd.GroupID == g.ID && cmd.Name() != "help" {
				walk(cmd, func(cmd *cobra.Command) { entry(&b, cmd) })
			}
		}
	}
	for _, cmd := range root.Commands() {
		if cmd.IsAdditionalHelpTopicCommand() {
			fmt.Fprintf(&b, "\n## %s\n\n```\n%s\n```\n", cmd.Short, cmd.Long)
		}
	}
	return b.String()
}

// entry is one command. A noun that only has verbs is its heading's business.
func entry(b *strings.Builder, cmd *cobra.Command) {
	if cmd.HasSubCommands() {
		return
	}
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	fmt.Fprintf(b, "\n### %s\n\n```\n%s\n```\n\n%s\n", cmd.CommandPath(), strings.TrimSuffix(cmd.UseLine(), " [flags]"), text)
	if len(cmd.Aliases) > 0 {
		fmt.Fprintf(b, "\nAlso: `stint %s`.\n", strings.Join(cmd.Aliases, "`, `stint "))
	}
	if flags := cmd.LocalNonPersistentFlags(); flags.HasAvailableFlags() {
		own := pflag.NewFlagSet("", pflag.ContinueOnError)
		flags.VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" {
				own.AddFlag(f)
			}
		})
		if own.HasAvailableFlags() {
			fmt.Fprintf(b, "\n```\n%s```\n", own.FlagUsages())
		}
	}
	if cmd.Example != "" {
		fmt.Fprintf(b, "\n```\n%s\n```\n", cmd.Example)
	}
}
