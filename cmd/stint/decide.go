package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) approvalsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "approvals",
		Short: "List the requests that wait for your vote",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			list := []api.Request{}
			for r, err := range api.Each(func(cursor string) (api.Page[api.Request], error) {
				return conn.Approvals(cmd.Context(), api.List{Cursor: cursor})
			}) {
				if err != nil {
					return err
				}
				list = append(list, r)
			}
			if len(list) == 0 {
				c.say("nothing waits for you")
				c.hint("see what you asked for yourself with stint status")
			}
			t := newTable("!REQUEST", "WHO", "RESOURCE", "ROLE", "FOR", "WHY", "ASKED")
			for _, r := range list {
				t.row(r.ID, r.Principal, r.Resource, r.Role, api.Span(r.Duration), r.Reason, ago(r.CreatedAt.Time, c.now()))
			}
			if err := c.show(result{value: list, names: ids(list), table: t}); err != nil {
				return err
			}
			if len(list) > 0 {
				c.hint("decide with stint approve ID, stint approve ID --for SHORTER, or stint deny ID --note TEXT")
			}
			return nil
		},
	}
}

func (c *cli) approveCmd() *cobra.Command {
	var span, note, digest string
	var noBrowser bool
	cmd := &cobra.Command{
		Use:   "approve ID",
		Short: "Approve a request, as asked or for shorter",
		Long: "Approve a request, as asked or for shorter. It shows what is asked and votes on\n" +
			"exactly that: the vote carries the digest of what was shown, and the server\n" +
			"refuses it for anything else. On a terminal it asks first; --yes does not.\n\n" +
			"Where a vote by passkey is asked for, a page opens that this program serves on this\n" +
			"machine. It shows what is asked, and the passkey signs exactly that: what the server\n" +
			"says is worked out here again, and a server that showed one request could not have\n" +
			"another one signed. Without a browser it is exit code 10.",
		Example: "  stint approve req_01J8 --for 15m --note \"read replica only\"",
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			shorter, err := parseFor("for", span)
			if err != nil {
				return err
			}
			question := "Approve?"
			if shorter != "" {
				question = "Approve for " + api.Span(shorter) + "?"
			}
			return c.vote(cmd.Context(), args[0], digest, question, shorter, func(conn *connection, r api.Request) (api.Request, error) {
				v := api.VoteAsk{Digest: r.Digest, For: shorter, Note: note}
				if err := c.signVote(cmd.Context(), conn, r, &v, !noBrowser); err != nil {
					return api.Request{}, err
				}
				return conn.Approve(cmd.Context(), r.ID, v)
			})
		},
	}
	cmd.Flags().StringVar(&span, "for", "", "approve for shorter than asked")
	cmd.Flags().StringVar(&note, "note", "", "a word to the requester")
	c.browserFlag(cmd, &noBrowser)
	c.voteFlags(cmd, &digest)
	return cmd
}

func (c *cli) denyCmd() *cobra.Command {
	var note, digest string
	cmd := &cobra.Command{
		Use:     "deny ID --note TEXT",
		Short:   "Deny a request, and say why",
		Example: "  stint deny req_01J8 --note \"use the replica\"",
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(note) == "" {
				return usageError{errors.New("--note is missing: the requester needs to know why")}
			}
			return c.vote(cmd.Context(), args[0], digest, "Deny?", "", func(conn *connection, r api.Request) (api.Request, error) {
				return conn.Deny(cmd.Context(), r.ID, api.VoteAsk{Digest: r.Digest, Note: note})
			})
		},
	}
	cmd.Flags().StringVar(&note, "note", "", "why; the requester sees it")
	cmd.Flags().StringVar(&note, "why", "", "the same as --note")
	cmd.MarkFlagsMutuallyExclusive("note", "why")
	c.voteFlags(cmd, &digest)
	return cmd
}

func (c *cli) voteFlags(cmd *cobra.Command, digest *string) {
	cmd.Flags().StringVar(digest, "digest", "", "vote only if the request has this digest")
	cmd.Flags().BoolVar(&c.yes, "yes", false, "do not ask back")
	cmd.ValidArgsFunction = c.completeApprovals
}

// vote shows a request and, when a person at a terminal agrees, votes on what
// it showed. What the server would refuse for its length is not asked about.
func (c *cli) vote(ctx context.Context, id, digest, question, span string, cast func(*connection, api.Request) (api.Request, error)) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	r, err := conn.Request(ctx, id, api.Wait{})
	if err != nil {
		return err
	}
	if digest != "" && digest != r.Digest {
		return &api.Error{Kind: api.Conflict, Code: "digest-differs", Message: "this is not the request that was read",
			Why: "its digest is " + r.Digest, Next: "look at it with stint status " + r.ID}
	}
	if r, err = trueTo(r); err != nil {
		return err
	}
	if longer(span, r.Duration) {
		return usageError{errors.New("--for " + span + " is longer than the " + api.Span(r.Duration) + " that were asked for: an approval can only shorten")}
	}
	shown := []string{"who", whoOf(r), "what", r.Role + " on " + r.Resource, "how long", howLong(r, c), "task", r.Task, "why", dash(r.Reason),
		"ticket", r.Ticket, "asked", asked(r.Decision.Approvals)}
	for _, x := range r.Decision.Reasons { // an agent is decided twice, as itself and as its human
		shown = append(shown, "rule", reasonLine(x))
	}
	shown = append(shown, "digest", r.Digest)
	c.say(strings.TrimSuffix(facts(append(shown, remarkFacts(r, c.now())...)...), "\n"))
	if r.State == api.RequestPending && c.canAsk() && !c.yes {
		yes, err := c.confirm(ctx, question)
		if err != nil {
			return err
		}
		if !yes {
			c.say("nothing was decided")
			return ended{exitFailure}
		}
	}
	after, err := cast(conn, r)
	if err != nil {
		return err
	}
	if after.State == api.RequestPending {
		c.say("voted; still asked: " + printable(asked(stillAsked(after.Decision.Approvals))))
	} else {
		c.say(printable(string(after.State)))
	}
	return c.showRequest(after)
}

// longer compares two durations as people write them; what cannot be read is for
// the server to judge.
func longer(a, b string) bool {
	x, errX := api.ParseDuration(a)
	y, errY := api.ParseDuration(b)
	return errX == nil && errY == nil && x > y
}

func howLong(r api.Request, c *cli) string {
	text := api.Span(r.Duration)
	if !r.Start.IsZero() {
		text += " from " + clock(r.Start.Time, c.now())
	}
	if r.Extends != "" {
		text += " more (extends " + r.Extends + ")"
	}
	return text
}

func firstReason(r api.Request) string {
	if len(r.Decision.Reasons) == 0 {
		return ""
	}
	return reasonLine(r.Decision.Reasons[0])
}
