package main

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) askCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ask ID TEXT",
		Short: "Ask something about a request before you decide it",
		Long: "Ask something about a request before you decide it. Who asks for access reads it in\n" +
			"stint status ID. The request waits as before: neither its time nor any vote changes.",
		Example: "  stint ask req_01J8 \"which customer is it about?\"",
		Args:    exactly("ID", "TEXT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.remark(args[1], "asked", func(conn *connection, text string) (api.Request, error) {
				return conn.Question(cmd.Context(), args[0], text)
			})
		},
	}
	cmd.ValidArgsFunction = c.completeApprovals
	return cmd
}

func (c *cli) answerCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "answer ID TEXT",
		Short: "Answer what was asked about your request",
		Long: "Answer what was asked about your request. What is approved is the request with the\n" +
			"reason as you gave it; where that was wrong, withdraw it and ask anew.",
		Example: "  stint answer req_01J8 \"4711, they called twice\"",
		Args:    exactly("ID", "TEXT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.remark(args[1], "answered", func(conn *connection, text string) (api.Request, error) {
				return conn.Answer(cmd.Context(), args[0], text)
			})
		},
	}
	cmd.ValidArgsFunction = c.completeIDs
	return cmd
}

func (c *cli) remark(text, done string, send func(*connection, string) (api.Request, error)) error {
	if strings.TrimSpace(text) == "" {
		return usageError{errors.New("TEXT is empty")}
	}
	conn, err := c.connect()
	if err != nil {
		return err
	}
	r, err := send(conn, text)
	if err != nil {
		return err
	}
	c.say(done + "; see stint status " + printable(r.ID))
	return c.showRequest(r)
}

// remarkFacts are the questions and answers about a request.
func remarkFacts(r api.Request, now time.Time) (pairs []string) {
	for _, m := range r.Remarks {
		what := "question"
		if m.Answer {
			what = "answer"
		}
		pairs = append(pairs, what, m.Person+", "+ago(m.At.Time, now)+": "+m.Text)
	}
	return pairs
}
