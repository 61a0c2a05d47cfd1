package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) reviewsCmd() *cobra.Command {
	var all bool
	var resource string
	cmd := &cobra.Command{
		Use:   "reviews",
		Short: "List the break-glass access that waits for a review",
		Long:  "List the break-glass access that waits for a review: of what you own, all for auditors\nand administrators, and your own, which others review.",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			state := "open"
			if all {
				state = ""
			}
			list := []api.Review{}
			for v, err := range api.Each(func(cursor string) (api.Page[api.Review], error) {
				return conn.Reviews(cmd.Context(), api.ReviewList{List: api.List{Cursor: cursor}, State: state, Resource: resource})
			}) {
				if err != nil {
					return err
				}
				list = append(list, v)
			}
			if len(list) == 0 {
				c.say("no break-glass access waits for a review")
				if !all {
					c.hint("see those that are closed with stint reviews --all")
				}
			}
			if err := c.showReviews(list, list); err != nil {
				return err
			}
			for _, v := range list {
				if v.Yours {
					c.hint("close one with stint review ID --finding justified|unjustified --note TEXT")
					break
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "closed ones too")
	cmd.Flags().StringVar(&resource, "resource", "", "only of this resource")
	c.completeFlag(cmd, "resource", c.completeResources)
	return cmd
}

func (c *cli) showReviews(value any, list []api.Review) error {
	names := []string{}
	t := newTable("!REVIEW", "STATE", "WHO", "RESOURCE", "ROLE", "WHY", "OPENED", "DUE")
	t.marks["STATE"] = markState
	for _, v := range list {
		names = append(names, v.ID)
		t.row(v.ID, reviewState(v), v.Principal, v.Resource, v.Role, v.Reason, ago(v.OpenedAt.Time, c.now()), clock(v.DueAt.Time, c.now()))
	}
	return c.show(result{value: value, names: names, table: t})
}

func reviewState(v api.Review) string {
	state := v.State
	if v.Finding != "" {
		state = v.Finding
	}
	if v.Drill && v.Finding == "" {
		state += " (drill)"
	}
	if v.Overdue {
		state += " (overdue)"
	}
	return state
}

func (c *cli) reviewCmd() *cobra.Command {
	var r api.ReviewClose
	cmd := &cobra.Command{
		Use:   "review ID [--finding justified|unjustified|drill --note TEXT]",
		Short: "Show a review of break-glass access, or close it with a finding",
		Long: "Show a review of break-glass access, or close it with a finding. Look first at what was\n" +
			"done: stint audit search --entity REQUEST, and the target's own log. Nobody closes the\n" +
			"review of what they did themselves, nor of what their code opened.",
		Example: "  stint review rev_01J8\n  stint review rev_01J8 --finding justified --note \"cleared two stuck locks, INC-2041\"",
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			var v api.Review
			switch {
			case r.Finding == "" && r.Note == "":
				v, err = conn.Review(cmd.Context(), args[0])
			case r.Finding == "":
				return usageError{errors.New("--finding is missing: justified, unjustified or drill")}
			case strings.TrimSpace(r.Note) == "":
				return usageError{errors.New("--note is missing: what was found")}
			default:
				v, err = conn.CloseReview(cmd.Context(), args[0], r)
			}
			if err != nil {
				return err
			}
			if r.Finding != "" {
				c.say("closed: " + printable(v.Finding))
			}
			return c.show(result{value: v, names: []string{v.ID}, text: facts("review", v.ID, "state", reviewState(v), "who", v.Principal, "resource", v.Resource,
				"role", v.Role, "why", v.Reason, "codes", strings.Join(v.Codes, ", "), "codes of", strings.Join(v.Openers, ", "), "request", v.Request,
				"opened", timeFact(v.OpenedAt, c), "due", timeFact(v.DueAt, c), "closed", timeFact(v.ClosedAt, c), "by", v.ClosedBy, "found", v.Finding, "note", v.Note)})
		},
	}
	cmd.Flags().StringVar(&r.Finding, "finding", "", "justified, unjustified, or drill for a drill")
	cmd.Flags().StringVar(&r.Note, "note", "", "what was found; the audit log keeps it")
	c.completeFlag(cmd, "finding", fixed(api.FindingJustified, api.FindingUnjustified, api.FindingDrill))
	return cmd
}
