package main

import (
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	_ "time/tzdata" // policies name zones, and not every machine knows them

	"github.com/spf13/cobra"

	"stint/internal/api"
	"stint/internal/policy"
)

func (c *cli) policyCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Check, test and explain policies, and say what an edit would change"}
	cmd.AddCommand(c.policyCheckCmd(), c.policyTestCmd(), c.policyExplainCmd(), c.policyDiffCmd(), c.policyReplayCmd())
	return cmd
}

func problemOf(p policy.Problem) api.Problem {
	source := p.File
	if source != "" && p.Line > 0 {
		source += ":" + strconv.Itoa(p.Line)
	}
	return api.Problem{Source: source, Text: p.Message, Next: p.Hint}
}

func (c *cli) policyCheckCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check PATH...",
		Short: "Check documents without a server",
		Long:  "Check documents without a server: names, fields, conditions, durations. Options of\nconnectors are checked by stint apply --dry-run, which asks the server.",
		Args:  atLeastOne,
		RunE: func(_ *cobra.Command, args []string) error {
			set, err := c.compile(args)
			if err != nil {
				return err
			}
			return c.showSet(set)
		},
	}
	cmd.ValidArgsFunction = filesToComplete
	return cmd
}

func atLeastOne(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("PATH is missing: files or directories of documents, or - for stdin")
	}
	return nil
}

// compile reads documents and checks them as the server would, but for what
// only its connectors know.
func (c *cli) compile(paths []string) (*policy.Set, error) {
	files, err := c.readDocuments(paths, false)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, wrong("no-documents", "there are no documents in "+strings.Join(paths, ", "), "", "documents are files that end in .yaml")
	}
	docs, err := policy.Parse(files)
	if err != nil {
		return nil, err
	}
	set, err := policy.Compile(docs, nil, 0)
	if err != nil {
		return nil, err
	}
	for _, w := range set.Warnings() {
		c.problem(c.paint.warn("warning"), problemOf(w))
	}
	return set, nil
}

// checked is what a check found, for programs.
type checked struct {
	OK        bool          `json:"ok"`
	Documents []checkedDoc  `json:"documents"`
	Warnings  []api.Problem `json:"warnings"`
}

type checkedDoc struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Source string `json:"source"`
}

func (c *cli) showSet(set *policy.Set) error {
	v := checked{OK: true, Documents: []checkedDoc{}, Warnings: []api.Problem{}}
	names := []string{}
	t := newTable("KIND", "NAME", "SOURCE")
	for _, d := range set.Documents() {
		at := d.File + ":" + strconv.Itoa(d.Line)
		v.Documents = append(v.Documents, checkedDoc{Kind: d.Kind, Name: d.Name, Source: at})
		names = append(names, strings.ToLower(d.Kind)+"/"+d.Name)
		t.row(d.Kind, d.Name, at)
	}
	for _, w := range set.Warnings() {
		v.Warnings = append(v.Warnings, problemOf(w))
	}
	c.say(plural(len(v.Documents), "document is", "documents are") + " in order")
	return c.show(result{value: v, names: names, table: t})
}

func (c *cli) policyTestCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test PATH...",
		Short: "Run the tests that live beside policies",
		Long: "Run the tests that live beside policies, in files that end in .test.yaml. Directories\n" +
			"hold both; a test file given alone is run with the documents of its directory.",
		Example: "  stint policy test policies/",
		Args:    atLeastOne,
		RunE:    func(_ *cobra.Command, args []string) error { return c.policyTest(args) },
	}
	cmd.ValidArgsFunction = filesToComplete
	return cmd
}

func (c *cli) policyTest(args []string) error {
	docs, tests := splitTests(args)
	set, err := c.compile(docs)
	if err != nil {
		return err
	}
	files, err := c.readDocuments(tests, true)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return wrong("no-tests", "there are no tests in "+strings.Join(args, ", "), "", "tests are files that end in "+policy.TestSuffix)
	}
	results, err := policy.RunTests(set, files, c.now())
	if err != nil {
		return err
	}
	return c.showTests(results)
}

// splitTests sorts paths into where documents are and where tests are.
func splitTests(paths []string) (docs, tests []string) {
	for _, p := range paths {
		if policy.IsTestFile(p) {
			tests = append(tests, p)
			continue
		}
		docs = append(docs, p)
		if p != "-" && !strings.HasSuffix(p, ".yaml") {
			tests = append(tests, p)
		}
	}
	if len(docs) == 0 {
		seen := map[string]bool{}
		for _, p := range tests {
			if dir := filepath.Dir(p); !seen[dir] {
				seen[dir] = true
				docs = append(docs, dir)
			}
		}
	}
	return docs, tests
}

// tested is the outcome of one test, for programs.
type tested struct {
	Name   string   `json:"name"`
	Source string   `json:"source"`
	OK     bool     `json:"ok"`
	Why    []string `json:"why"`
}

func (c *cli) showTests(results policy.TestResults) error {
	all, names := []tested{}, []string{}
	t := newTable("RESULT", "TEST", "SOURCE")
	t.marks["RESULT"] = markState
	for _, r := range results {
		word := "ok"
		if !r.OK {
			word = "failed"
			c.say("stint: " + c.paint.bad("failed") + ": " + printable(r.Source) + ": " + printable(r.Name))
			for _, w := range r.Why {
				c.say("         " + printable(w))
			}
		}
		all = append(all, tested{Name: r.Name, Source: r.Source, OK: r.OK, Why: append([]string{}, r.Why...)})
		names = append(names, r.Name)
		t.row(word, r.Name, r.Source)
	}
	if err := c.show(result{value: all, names: names, table: t}); err != nil {
		return err
	}
	if n := results.Failed(); n > 0 {
		c.fault(bracketed(strconv.Itoa(n)+" of "+plural(len(results), "test", "tests")+" failed", "tests-failed"), "", "")
		return ended{exitFailure}
	}
	c.say(plural(len(results), "test holds", "tests hold"))
	return nil
}

func (c *cli) policyExplainCmd() *cobra.Command {
	var ask asking
	var user string
	cmd := &cobra.Command{
		Use:   "explain RESOURCE --as ROLE --for DURATION [--why TEXT]",
		Short: "Say what would be decided, and what each policy has to do with it",
		Long:  "Say what would be decided, what each policy has to do with it, and the nearest that\nwould be allowed. Nothing is asked for. Administrators may explain for others. Policies\nmay look at the reason and the ticket: give --why and --ticket as you would ask.",
		Args:  exactly("RESOURCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := ask.complete(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			if user != "" && !strings.Contains(user, ":") {
				user = "user:" + user
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			x, err := conn.Explain(cmd.Context(), api.ExplainAsk{Principal: user, Ask: q})
			if err != nil {
				return err
			}
			if err := c.show(result{value: x, names: []string{string(x.Decision.Outcome)}, text: explained(x), table: saidTable(x)}); err != nil {
				return err
			}
			if len(x.Offers) > 0 && user == "" {
				q.Role, q.Duration = x.Offers[0].Role, x.Offers[0].Duration
				c.fault("", "", "this would be allowed: "+askLine("request", q))
			}
			return nil
		},
	}
	ask.flags(cmd, c)
	cmd.Flags().StringVar(&ask.at, "at", "", "when it would begin; at once if not given")
	cmd.Flags().StringVar(&user, "user", "", "for whom; yourself if not given")
	cmd.ValidArgsFunction = c.completeResources
	return cmd
}

// explained is a decision in words.
func explained(x api.Explanation) string {
	answer := "denied"
	switch x.Decision.Outcome {
	case api.OutcomeAllow:
		answer = "allowed at once"
	case api.OutcomeApprove:
		answer = "allowed after approval by " + asked(x.Decision.Approvals)
	}
	list := []string{"answer", answer}
	for _, r := range x.Decision.Reasons {
		list = append(list, "because", reasonLine(r))
	}
	return facts(append(append(list, asksFacts(x.Decision.Approvals)...), "up to", api.Span(x.MaxDuration), "nearest", x.Nearest)...)
}

// saidTable is what each policy had to do with it.
func saidTable(x api.Explanation) *table {
	t := newTable("POLICY", "EFFECT", "MATCHED", "WHY", "SOURCE")
	for _, p := range x.Policies {
		matched := "no"
		if p.Matched {
			matched = "yes"
		}
		t.row(p.Policy, p.Effect, matched, p.Text, p.Source)
	}
	return t
}
