package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
	"stint/internal/policy"
)

func (c *cli) policyDiffCmd() *cobra.Command {
	var paths []string
	cmd := &cobra.Command{
		Use:   "diff (-f PATH... | OLD NEW)",
		Short: "Say in words what an edit would change: documents, who gains and who loses",
		Long: "Say in words what an edit would change. With -f it asks the server what applying the\n" +
			"documents would do: which fields say something else, who gains or loses a way to a\n" +
			"role, which live grants would end, and what would take a second person. With two paths\n" +
			"it compares them without a server, and names subjects where it knows no people.\n\n" +
			"Nothing is removed by applying, so -f reports no document that is missing in PATH; OLD\n" +
			"and NEW are compared as they are.",
		Example: "  stint policy diff -f policies/\n" +
			"  stint policy diff main/policies/ policies/",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(paths) == 0 && len(args) == 2:
				return c.diffOffline(args[0], args[1])
			case len(paths) == 0:
				return usageError{errors.New("give -f with what would be applied, or two paths to compare")}
			}
			ask, err := c.policyAsk(append(paths, args...))
			if err != nil {
				return err
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			d, err := conn.PolicyDiff(cmd.Context(), ask)
			if err != nil {
				return err
			}
			return c.showDiff(d)
		},
	}
	cmd.Flags().StringArrayVarP(&paths, "filename", "f", nil, "a file, a directory, or - for stdin; may be repeated")
	cmd.ValidArgsFunction = filesToComplete
	return cmd
}

func (c *cli) policyAsk(paths []string) (api.PolicyAsk, error) {
	files, err := c.readDocuments(paths, false)
	if err != nil {
		return api.PolicyAsk{}, err
	}
	if len(files) == 0 {
		return api.PolicyAsk{}, wrong("no-documents", "there are no documents in "+strings.Join(paths, ", "), "", "documents are files that end in .yaml")
	}
	var ask api.PolicyAsk
	for _, f := range files {
		ask.Files = append(ask.Files, api.File{Name: f.Name, Text: f.Text})
	}
	return ask, nil
}

// diffOffline compares two sets of documents as they are. Without a server nobody is
// known, so subjects stand for people.
func (c *cli) diffOffline(before, after string) error {
	was, err := c.compile([]string{before})
	if err != nil {
		return err
	}
	is, err := c.compile([]string{after})
	if err != nil {
		return err
	}
	x := policy.Diff(was, is, nil)
	d := api.PolicyDiff{LeftOut: x.LeftOut, Documents: []api.DocumentChange{}, Can: []api.CanChange{}, Ends: []api.Lapse{}, Second: []api.Grave{}, Warnings: []api.Problem{}}
	var changes []policy.Change
	for _, doc := range x.Documents {
		changes = append(changes, doc.Change)
		out := api.DocumentChange{Kind: doc.Kind, Name: doc.Name, Action: string(doc.Op), Source: doc.Source, Fields: []api.FieldChange{}}
		for _, f := range doc.Fields {
			out.Fields = append(out.Fields, api.FieldChange(f))
		}
		d.Documents = append(d.Documents, out)
	}
	for _, can := range x.Can {
		d.Can = append(d.Can, api.CanChange{What: string(can.Op), Resource: string(can.Resource), Role: string(can.Role), Who: can.Who, Before: can.Before, After: can.After})
	}
	for _, g := range policy.SecondPerson(was, is, changes) {
		d.Second = append(d.Second, api.Grave(g))
	}
	return c.showDiff(d)
}

func (c *cli) showDiff(d api.PolicyDiff) error {
	for _, w := range d.Warnings {
		c.problem(c.paint.warn("warning"), w)
	}
	if d.Empty() {
		c.say("nothing would change")
	}
	names := []string{}
	for _, doc := range d.Documents {
		names = append(names, strings.ToLower(doc.Kind)+"/"+doc.Name)
	}
	return c.show(result{value: d, names: names, text: diffText(d)})
}

// diffText is a difference as people read it.
func diffText(d api.PolicyDiff) string {
	var b strings.Builder
	line := func(parts ...string) { b.WriteString(printable(strings.Join(parts, "")) + "\n") }
	for _, doc := range d.Documents {
		line(doc.Action, " ", doc.Kind, " ", doc.Name, "  (", doc.Source, ")")
		for _, f := range doc.Fields {
			if f.Field == "kind" || f.Field == "name" { // of what is new or gone; the line above says it
				continue
			}
			line("  ", f.Field, ": ", fieldText(f))
		}
	}
	what := ""
	for _, x := range d.Can {
		if head := x.Role + " on " + x.Resource; head != what {
			what = head
			line("who may have ", head)
		}
		line("  ", strings.Join(x.Who, ", "), " ", x.What)
		if x.Before == x.After {
			line("      in what it rests on: ", x.After)
			continue
		}
		if x.Before != "" {
			line("    - ", x.Before)
		}
		if x.After != "" {
			line("    + ", x.After)
		}
	}
	if d.LeftOut > 0 {
		line("and ", strconv.Itoa(d.LeftOut), " more names")
	}
	for _, l := range d.Ends {
		line("would end: ", l.Role, " on ", l.Resource, " of ", l.Principal, " (", l.Grant, "): ", l.Why)
	}
	if d.Partial {
		line("there are more live grants than were looked at")
	}
	for _, g := range d.Second {
		word := "takes a second person: "
		if !d.TwoPersons {
			word = "would take a second person, where two are asked for: "
		}
		line(word, g.Kind, " ", g.Name, ": ", g.Why)
	}
	return b.String()
}

func fieldText(f api.FieldChange) string {
	var parts []string
	for _, a := range f.Added {
		parts = append(parts, "+ "+a)
	}
	for _, r := range f.Removed {
		parts = append(parts, "- "+r)
	}
	if len(parts) > 0 {
		return strings.Join(parts, "  ")
	}
	switch {
	case f.Before == "":
		return f.After
	case f.After == "":
		return f.Before + " -> (gone)"
	}
	return f.Before + " -> " + f.After
}

func (c *cli) policyReplayCmd() *cobra.Command {
	var paths []string
	var since string
	cmd := &cobra.Command{
		Use:   "replay -f PATH... [--since 30d]",
		Short: "Say which past requests would have ended differently",
		Long: "Decide the requests of the last days again, once by the documents that are applied and\n" +
			"once with those of PATH put over them, and list those that would have ended differently.\n" +
			"What was asked, from where and when is as it was recorded; groups, manager and\n" +
			"attributes are those of now. Whether people would have approved, and what a while\n" +
			"would have ended later, is not worked out; requests for more time are left out.",
		Example: "  stint policy replay -f policies/ --since 7d",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if paths = append(paths, args...); len(paths) == 0 {
				return usageError{errors.New("-f is missing: the files or directories that would be applied")}
			}
			span, err := parseFor("since", since)
			if err != nil {
				return err
			}
			ask, err := c.policyAsk(paths)
			if err != nil {
				return err
			}
			ask.Since = span
			conn, err := c.connect()
			if err != nil {
				return err
			}
			r, err := conn.PolicyReplay(cmd.Context(), ask)
			if err != nil {
				return err
			}
			return c.showReplay(r)
		},
	}
	cmd.Flags().StringArrayVarP(&paths, "filename", "f", nil, "a file, a directory, or - for stdin; may be repeated")
	cmd.Flags().StringVar(&since, "since", "30d", "how far back, at most 30 days")
	cmd.ValidArgsFunction = filesToComplete
	return cmd
}

func (c *cli) showReplay(r api.PolicyReplay) error {
	t := newTable("!REQUEST", "WHO", "RESOURCE", "ROLE", "FOR", "ASKED", "NOW", "THEN", "WHY")
	names := []string{}
	for _, x := range r.Differ {
		names = append(names, x.Request)
		t.row(x.Request, x.Principal, x.Resource, x.Role, api.Span(x.Duration), ago(x.At.Time, c.now()), outcomeText(x.Before), outcomeText(x.After), firstOf(x.After.Reasons))
	}
	if err := c.show(result{value: r, names: names, table: t}); err != nil {
		return err
	}
	c.say(strconv.Itoa(len(r.Differ)) + " of " + plural(r.Asked, "request", "requests") + " since " + r.Since.Time.Format("2006-01-02") + " would have ended differently")
	if r.Extensions+r.Unknown > 0 {
		c.say("not decided again: " + plural(r.Extensions, "extension", "extensions") + ", " + strconv.Itoa(r.Unknown) + " of principals that are gone")
	}
	if r.Partial {
		c.say("there were more than could be decided again; the newest were taken")
	}
	c.say("as recorded: " + strings.Join(r.Recorded, ", ") + "; as of now: " + strings.Join(r.AsOfNow, ", "))
	return nil
}

func outcomeText(d api.Decision) string {
	if d.Outcome == api.OutcomeApprove {
		return "after " + asked(d.Approvals)
	}
	return string(d.Outcome)
}

func firstOf(rs []api.Reason) string {
	if len(rs) == 0 {
		return ""
	}
	return reasonLine(rs[0])
}
