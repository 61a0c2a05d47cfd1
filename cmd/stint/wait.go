package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) waitCmd() *cobra.Command {
	var goal, timeout string
	cmd := &cobra.Command{
		Use:     "wait ID",
		Short:   "Wait until a request is decided, ready or ended",
		Long:    "Wait until a request is decided, its access is ready, or its access has ended and\nits absence was read back from the target.",
		Example: "  stint wait req_01J8 --for ended --timeout 5m",
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch goal {
			case untilDecided, untilReady, untilEnded:
			default:
				return wrong("unknown-goal", "--for "+quote(goal)+" is nothing to wait for", "", "use --for decided, ready or ended")
			}
			most, err := parseTimeout(timeout)
			if err != nil {
				return err
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			r, err := conn.Request(cmd.Context(), args[0], api.Wait{})
			if err != nil {
				return err
			}
			r, err = c.await(cmd.Context(), conn, r, goal, most)
			return c.settle(r, goal, err)
		},
	}
	cmd.Flags().StringVar(&goal, "for", untilReady, "decided, ready or ended")
	cmd.Flags().StringVar(&timeout, "timeout", "", "stop waiting after this long, with exit code 8")
	cmd.ValidArgsFunction = c.completeIDs
	c.completeFlag(cmd, "for", fixed(untilDecided, untilReady, untilEnded))
	return cmd
}

var errWaitOver = errors.New("the wait ran out")

// await follows the request until the goal is settled and returns it as it is
// then. When the wait runs out, the error is errWaitOver.
func (c *cli) await(ctx context.Context, conn *connection, r api.Request, goal string, most time.Duration) (api.Request, error) {
	if settled, _ := judge(goal, r); settled {
		return r, nil
	}
	waiting := ctx
	if most > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, most)
		defer cancel()
	}
	p := c.startProgress()
	defer p.close()
	p.tell(api.Request{}, r)
	// The goals have the names that the server knows them by.
	_, err := conn.WaitFor(waiting, r.ID, api.Until(goal), func(now api.Request) {
		p.tell(r, now)
		r = now
	})
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		err = errWaitOver
	}
	return r, err
}

// tell reports what is new in a request.
func (p *progress) tell(was, is api.Request) {
	for _, v := range is.Votes[min(len(was.Votes), len(is.Votes)):] {
		if v.Approve {
			text := "approved by " + v.Person
			if v.For != "" {
				text += " for " + api.Span(v.For)
			}
			if v.Note != "" {
				text += ": " + v.Note
			}
			p.happened(text)
		}
	}
	p.now(doing(is, p.c.now()))
}

// settle prints the request as it stands at the end of a wait, and turns what
// became of it into an exit code.
func (c *cli) settle(r api.Request, goal string, err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		undo := "stint end "
		if r.State == api.RequestPending {
			undo = "stint cancel "
		}
		id := printable(r.ID)
		c.say("no longer waiting; " + id + " goes on: stint wait " + id + ", " + undo + id)
		return err
	case errors.Is(err, errWaitOver):
		if err := c.showRequest(r); err != nil {
			return err
		}
		c.fault("still "+doing(r, c.now())+" [still-pending]", "", "go on with stint wait "+r.ID+" --for "+goal)
		return ended{exitPending}
	case err != nil:
		return err
	}
	if err := c.showRequest(r); err != nil {
		return err
	}
	_, code := judge(goal, r)
	if code != exitDone {
		c.fault(refusal(r))
		return ended{code}
	}
	return nil
}
