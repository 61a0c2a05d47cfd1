package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/policy"
)

// report prints an error in its one shape, what, why, what now, and returns
// the exit code.
func (c *cli) report(err error) int {
	code := codeOf(err)
	var (
		end   ended
		usage usageError
		away  *api.Unreachable
		fail  *api.Error
		bad   policy.Problems
		pure  *access.Error
	)
	switch {
	case err == nil, errors.As(err, &end):
	case errors.Is(err, context.Canceled):
		c.fault("interrupted", "", "")
	case errors.As(err, &usage):
		c.fault(usage.Error(), "", "see stint help, or the command with --help")
	case errors.As(err, &bad):
		for _, p := range bad {
			c.problem("error", problemOf(p))
		}
	case errors.As(err, &away):
		c.fault(bracketed("cannot reach "+away.Server, "unreachable"), cause(away.Cause),
			"is stintd running there? choose another server with STINT_SERVER or --server")
	case errors.As(err, &fail):
		c.apiFault(fail)
	case errors.As(err, &pure):
		c.fault(bracketed(pure.Message, pure.Code), pure.Why, pure.Next)
	default:
		c.fault(err.Error(), "", "")
	}
	return code
}

func (c *cli) apiFault(e *api.Error) {
	message := e.Message
	if message == "" {
		message = e.Error()
	}
	next := e.Next
	switch {
	case c.env["STINT_TOKEN"] != "" && slices.Contains([]string{"not-signed-in", "bad-token", "login-expired", "principal-disabled", "principal-ended"}, e.Code):
		next = "STINT_TOKEN is not good here, or no longer: an administrator renews it with stint admin service add; unset it to act as yourself"
	case next != "":
	case e.Code == "code-used":
		next = "ask an administrator for a new one (stint admin user enroll NAME)"
	case e.Kind == api.Unauthenticated:
		next = "sign in with stint login"
	case e.Code == "not-found":
		next = "ids are in stint status, stint approvals and stint get requests"
	}
	faults := e.Faults
	if len(faults) == 1 && faults[0].Text == message {
		// The only fault is the message itself: once is enough.
		if faults[0].Next != "" {
			next = strings.TrimSuffix(faults[0].Next+"\n"+next, "\n")
		}
		faults = nil
	}
	c.fault(bracketed(message, e.Code), e.Why, next)
	for _, p := range faults {
		c.problem("error", p)
	}
	if e.Trace != "" {
		c.say("stint: trace: " + printable(e.Trace))
	}
}

func bracketed(message, code string) string {
	if code == "" {
		return message
	}
	return message + " [" + code + "]"
}

// fault prints what is there of an error.
func (c *cli) fault(what, why, next string) {
	for _, l := range []struct{ name, text string }{
		{c.paint.bad("error"), what}, {"why", why}, {"hint", next},
	} {
		if l.text == "" {
			continue
		}
		for i, line := range strings.Split(strings.TrimRight(l.text, "\n"), "\n") {
			if i > 0 {
				c.say("         " + printable(line))
				continue
			}
			c.say("stint: " + l.name + ": " + printable(line))
		}
	}
}

// problem prints one problem of a document where editors find it.
func (c *cli) problem(word string, p api.Problem) {
	line := printable(p.Text)
	if p.Source != "" {
		line = printable(p.Source) + ": " + line
	}
	c.say("stint: " + word + ": " + line)
	if p.Next != "" {
		c.say("stint: hint: " + printable(p.Next))
	}
}
