package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) proposalsCmd() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "proposals [--state pending|applied|denied|withdrawn]",
		Short: "List changes that wait for a second person",
		Long: "List changes of documents, and of when two persons are needed, that wait for a second\n" +
			"person: those you made, those you may decide and, for administrators, auditors and\n" +
			"policy authors, all.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			list, names := []api.Proposal{}, []string{}
			t := newTable("!PROPOSAL", "STATE", "BY", "WHAT", "MADE", "YOURS")
			for p, err := range api.Each(func(cursor string) (api.Page[api.Proposal], error) {
				return conn.Proposals(cmd.Context(), state, api.List{Cursor: cursor})
			}) {
				if err != nil {
					return err
				}
				list, names = append(list, p), append(names, p.ID)
				t.row(p.ID, proposalState(p), p.Principal, p.Summary, ago(p.CreatedAt.Time, c.now()), yesNo(p.Mine))
			}
			if err := c.show(result{value: list, names: names, table: t}); err != nil {
				return err
			}
			to := hints{some: "look at one with stint proposal show ID; decide with stint proposal approve ID or stint proposal deny ID --note TEXT"}
			if state != "" {
				to.none = "see those that are decided with stint proposals --state ''"
			}
			c.listed(len(list), to)
			return nil
		},
	}
	cmd.Flags().StringVar(&state, "state", "pending", "only in this state; empty for all")
	return cmd
}

func proposalState(p api.Proposal) string {
	if p.Stale && p.State == "pending" {
		return "stale"
	}
	return p.State
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func (c *cli) proposalCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "proposal", Short: "Look at a change that waits for a second person, and decide it"}
	cmd.AddCommand(c.proposalShowCmd(), c.proposalDecideCmd(true), c.proposalDecideCmd(false))
	return cmd
}

func (c *cli) proposalShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Say what a proposal would change, for whom, and which grants would end",
		Long: "Say what a proposal would change, for whom, and which live grants would end. With\n" +
			"-o json, content is exactly what is proposed, which the digest covers.",
		Args: exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			p, err := conn.Proposal(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.showProposal(p)
		},
	}
}

func (c *cli) showProposal(p api.Proposal) error {
	return c.show(result{value: p, names: []string{p.ID}, text: c.proposalText(p)})
}

func (c *cli) proposalText(p api.Proposal) string {
	text := facts("proposal", p.ID, "state", proposalState(p), "by", p.Principal, "what", p.Summary, "why two", strings.Join(p.Why, "; "),
		"made", ago(p.CreatedAt.Time, c.now()), "good until", openUntil(p, c), "decided by", p.DecidedBy, "note", p.Note, "digest", p.Digest)
	if p.Diff != nil {
		text += diffText(*p.Diff)
	}
	return text
}

func openUntil(p api.Proposal, c *cli) string {
	if p.State != "pending" {
		return ""
	}
	return timeFact(p.ExpiresAt, c)
}

func (c *cli) proposalDecideCmd(approve bool) *cobra.Command {
	var note, digest string
	cmd := &cobra.Command{
		Use:   "approve ID",
		Short: "Approve a proposal, which applies it",
		Long: "Approve a proposal, which applies it in the same step. It shows what would change and\n" +
			"approves exactly that: the vote carries the digest of what was shown, and the server\n" +
			"refuses it for anything else. It takes another person than who proposed it, with the\n" +
			"right to make the change. On a terminal it asks first; --yes does not.",
		Args: exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.decideProposal(cmd.Context(), args[0], approve, digest, note)
		},
	}
	if !approve {
		cmd.Use, cmd.Short = "deny ID --note TEXT", "Deny a proposal, or withdraw your own"
		cmd.Long = "Deny a proposal, or withdraw your own. Another's takes a note."
	}
	cmd.Flags().StringVar(&note, "note", "", "a word to who proposed it")
	cmd.Flags().StringVar(&digest, "digest", "", "only if the proposal has this digest")
	cmd.Flags().BoolVar(&c.yes, "yes", false, "do not ask back")
	return cmd
}

func (c *cli) decideProposal(ctx context.Context, id string, approve bool, digest, note string) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	p, err := conn.Proposal(ctx, id)
	if err != nil {
		return err
	}
	if digest != "" && digest != p.Digest {
		return &api.Error{Kind: api.Conflict, Code: "digest-differs", Message: "this is not the proposal that was read",
			Why: "its digest is " + p.Digest, Next: "look at it with stint proposal show " + p.ID}
	}
	c.say(strings.TrimSuffix(c.proposalText(p), "\n"))
	question := "Approve, and apply it?"
	if !approve {
		question = "Deny?"
	}
	if p.State == "pending" && c.canAsk() && !c.yes {
		yes, err := c.confirm(ctx, question)
		if err != nil {
			return err
		}
		if !yes {
			c.say("nothing was decided")
			return ended{exitFailure}
		}
	}
	after, err := conn.DecideProposal(ctx, p.ID, approve, api.ProposalVote{Digest: p.Digest, Note: note})
	if err != nil {
		return err
	}
	c.say(printable(after.State))
	t := newTable("!PROPOSAL", "STATE", "WHAT")
	t.row(after.ID, after.State, after.Summary)
	return c.show(result{value: after, names: []string{after.ID}, table: t})
}

// proposed tells of a change that was not made, and ends with the code of what waits.
func (c *cli) proposed(p *api.Proposal) error {
	c.say(map[bool]string{true: "the right was not given yet", false: "nothing was changed"}[p.Kind == "office"] + ": this takes a second person")
	for _, w := range p.Why {
		c.say("  " + printable(w))
	}
	c.say("proposed as " + printable(p.ID) + ", good until " + timeFact(p.ExpiresAt, c))
	c.say("another person with the right to it decides: stint proposal show|approve|deny " + printable(p.ID))
	return ended{exitPending}
}

// alone warns whoever changed by themselves what should take two.
func (c *cli) alone(gs []api.Grave) {
	if len(gs) == 0 {
		return
	}
	c.problem(c.paint.warn("warning"), api.Problem{Text: "you changed alone what should take two persons: " + gs[0].Kind + " " + gs[0].Name + ": " + gs[0].Why,
		Next: "make a second administrator or policy author, who then approves such changes: stint admin user add NAME --policy-author"})
}

func (c *cli) twoPersonsCmd() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "two-persons [auto|on|off --why TEXT]",
		Short: "Say when grave changes take two persons, or change that",
		Long: "Say when changes to roles, policies, integrations and resources of high criticality\n" +
			"take two persons, or change that.\n\n" +
			"  auto  as soon as two persons administer or write policies (as it is at first)\n" +
			"  on    always; who is alone can only take away\n" +
			"  off   never\n\n" +
			"To ask for two persons less often takes two persons itself.",
		Args: atMost("MODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			var now api.TwoPersons
			if len(args) == 0 {
				now, err = conn.TwoPersons(cmd.Context())
			} else {
				if strings.TrimSpace(why) == "" {
					return usageError{errors.New("--why is missing: others will want to know")}
				}
				now, err = conn.SetTwoPersons(cmd.Context(), api.TwoPersons{Mode: args[0], Why: why})
			}
			if err != nil {
				return err
			}
			force := "no"
			if now.InForce {
				force = "yes"
			}
			if err := c.show(result{value: now, names: []string{now.Mode}, text: facts("mode", now.Mode, "in force", force, "persons", number(now.Persons), "why", now.Why)}); err != nil {
				return err
			}
			if now.Proposal != nil {
				return c.proposed(now.Proposal)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the log")
	return cmd
}
