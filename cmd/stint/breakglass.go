package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
	"stint/internal/shell"
)

func (c *cli) breakGlassCmd() *cobra.Command {
	var ask asking
	var codes []string
	var drill, dryRun, noWait bool
	cmd := &cobra.Command{
		Use:   "break-glass RESOURCE --why TEXT",
		Short: "Get access at once in an emergency: loud, an hour at most, reviewed afterwards",
		Long: "Get access at once in an emergency, where a policy lets you. It waits for nobody; it\n" +
			"tells the owners of the resource now, ends after an hour at most and cannot be\n" +
			"extended, and another person reviews it afterwards. Without --as and --for it is the\n" +
			"role and the longest time that the policy has.\n\n" +
			"When sign-in itself is down, --code-file gives the one-time codes that were sealed\n" +
			"away for this; repeat it where it takes several. They make a login on this device\n" +
			"that is good for break-glass access alone.\n\n" +
			"With --drill it goes the whole way on the real target, from the question to the proof\n" +
			"that the access is gone, says how long each step took, and fails if one does.",
		Example: "  stint break-glass orders-db --why \"checkout is down, stuck locks\"\n" +
			"  stint break-glass orders-db --why \"sign-in is down\" --code-file envelope.txt\n" +
			"  stint break-glass orders-db --drill --why \"quarterly drill\"",
		Args: exactly("RESOURCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			q, err := ask.completeGlass(ctx, c, args[0])
			if err != nil {
				return err
			}
			q.DryRun, q.Drill = dryRun, drill
			if drill && !dryRun {
				return c.drill(ctx, q, codes)
			}
			conn, err := c.glassConnection(ctx, codes)
			if err != nil {
				return err
			}
			if dryRun {
				return c.dryGlass(ctx, conn, q)
			}
			r, err := c.submitGlass(ctx, conn, q)
			if err != nil {
				return err
			}
			if noWait {
				return c.sent(r)
			}
			r, err = c.await(ctx, conn, r, untilReady, 0)
			if err == nil && r.Grant != nil && r.Grant.State == api.GrantActive {
				defer c.hint("connect with stint db " + printable(r.Resource) + "; give it back with stint end " + printable(r.ID))
			}
			return c.settle(r, untilReady, err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&ask.why, "why", "", "the reason; the owners read it now, and whoever reviews it")
	f.StringVar(&ask.role, "as", "", "the role, where there is more than one")
	f.StringVar(&ask.span, "for", "", "for how long, at most 1h; the longest there is if not given")
	f.StringArrayVar(&codes, "code-file", nil, "a file with a one-time code (- for stdin); may be repeated")
	f.BoolVar(&drill, "drill", false, "go the whole way and back, to see that it works")
	f.BoolVar(&dryRun, "dry-run", false, "tell what would be decided, and do nothing")
	f.BoolVar(&noWait, "no-wait", false, "print the request and do not wait")
	cmd.MarkFlagsMutuallyExclusive("drill", "no-wait")
	c.completeFlag(cmd, "as", c.completeRoles)
	cmd.ValidArgsFunction = c.completeResources
	return cmd
}

func (a *asking) glassFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.glass, "break-glass", false, "in an emergency: at once, loud, reviewed afterwards; needs --why alone")
}

// completeGlass is the question of somebody in a hurry: the reason is all it needs.
func (a *asking) completeGlass(ctx context.Context, c *cli, resource string) (api.GlassAsk, error) {
	if a.ticket != "" {
		return api.GlassAsk{}, usageError{errors.New("--ticket does not go with break-glass: name it in --why")}
	}
	if a.why == "" && c.canAsk() {
		answer, err := c.prompt(ctx, "Why? ")
		if err != nil {
			return api.GlassAsk{}, err
		}
		a.why = answer
	}
	if strings.TrimSpace(a.why) == "" {
		return api.GlassAsk{}, usageError{errors.New("--why is missing: the owners read it now, and whoever reviews it")}
	}
	span, err := parseFor("for", a.span)
	return api.GlassAsk{Resource: resource, Role: a.role, Duration: span, Why: a.why}, err
}

// askGlass is how db and run break glass.
func (c *cli) askGlass(ctx context.Context, conn *connection, resource string, ask *asking) (api.Request, error) {
	q, err := ask.completeGlass(ctx, c, resource)
	if err != nil {
		return api.Request{}, err
	}
	return c.submitGlass(ctx, conn, q)
}

func (c *cli) submitGlass(ctx context.Context, conn *connection, q api.GlassAsk) (api.Request, error) {
	if err := conn.keepDevice(); err != nil {
		return api.Request{}, err
	}
	r, err := conn.BreakGlass(ctx, q, api.Wait{})
	if err != nil {
		return r, c.recorded(ctx, conn, err)
	}
	c.say("sent " + printable(r.ID))
	if r.State == api.RequestApproved {
		c.say("the glass is broken: the owners of " + printable(r.Resource) + " are told now, and another person reviews it: stint reviews")
	}
	return r, nil
}

// dryGlass tells what the answer would be.
func (c *cli) dryGlass(ctx context.Context, conn *connection, q api.GlassAsk) error {
	r, err := conn.BreakGlass(ctx, q, api.Wait{})
	if err != nil {
		return err
	}
	if err := c.show(result{value: r, names: []string{string(r.Decision.Outcome)},
		text: facts("would be", string(r.State), "resource", r.Resource, "role", r.Role, "for", api.Span(r.Duration), "rule", firstReason(r))}); err != nil {
		return err
	}
	if r.State == api.RequestDenied {
		c.fault("this would be denied", reasons(r.Decision), "stint who-can "+shell.Word(r.Resource)+" says who may break glass")
		return ended{exitDenied}
	}
	return nil
}

// glassConnection is the server, spoken to as whoever is signed in or, with codes, by the
// login that they are exchanged for.
func (c *cli) glassConnection(ctx context.Context, files []string) (*connection, error) {
	if len(files) == 0 {
		conn, err := c.connect()
		var e *api.Error
		if errors.As(err, &e) && e.Code == "not-signed-in" {
			with := *e
			with.Next += "; when sign-in is down: --code-file FILE, with a sealed one-time code"
			return nil, &with
		}
		return conn, err
	}
	var codes []api.Secret
	for i, file := range files {
		if file == "-" && slices.Contains(files[:i], "-") {
			return nil, usageError{errors.New("--code-file - can be given once")}
		}
		code, err := c.readSecret("code-file", file)
		if err != nil {
			return nil, err
		}
		if strings.ContainsAny(code.Reveal(), " \t\r\n\"{}:") {
			return nil, wrong("no-code", "--code-file: there is no code in "+file, "it holds more than one word", "put the code alone into it")
		}
		codes = append(codes, code)
	}
	conn, cfg, err := c.dial()
	if err != nil {
		return nil, err
	}
	offered, err := c.offeredKey(ctx, conn, "") // before the codes are used up
	if err != nil {
		return nil, err
	}
	if err := conn.keepDevice(); err != nil {
		return nil, err
	}
	got, err := conn.GlassLogin(ctx, codes)
	if err != nil {
		return nil, err
	}
	if given := (api.LogKey{Origin: got.LogOrigin, Key: got.LogKey}); given != offered {
		return nil, &api.Error{Kind: api.Internal, Code: "log-key-differs", Message: "the server names two keys of its audit log",
			Why: "first " + fingerprint(offered.Key) + ", then " + fingerprint(given.Key), Next: "ask the administrators; you are not signed in"}
	}
	if cfg.Glass == nil {
		cfg.Glass = map[string]login{}
	}
	cfg.Server = conn.name
	cfg.Glass[conn.name] = login{Token: got.Token, Principal: got.Principal, ExpiresAt: got.ExpiresAt}
	if _, err := c.pinLog(conn.name, offered); err != nil {
		return nil, err
	}
	if err := c.store(configFile, cfg); err != nil {
		return nil, err
	}
	c.say("signed in as " + printable(got.Principal) + " for break-glass access alone, until " + clock(got.ExpiresAt.Time, c.now()) +
		"; used up: " + printable(strings.Join(got.Codes, ", ")))
	conn.Token, c.started = got.Token, conn
	return conn, nil
}

// tokenFor is the token to call a server with. One by break-glass codes is used as long as
// it is good and there is no ordinary login of the same principal, which can do more.
func (cfg config) tokenFor(server string, now time.Time) api.Secret {
	ordinary, glass := cfg.Logins[server], cfg.Glass[server]
	if glass.Token == "" || !now.Before(glass.ExpiresAt.Time) || ordinary.Principal == glass.Principal && now.Before(ordinary.ExpiresAt.Time) {
		return ordinary.Token
	}
	return glass.Token
}

// endGlass ends the login by break-glass codes, if there is one, and forgets it. That the
// server cannot be told is no failure: it ends within the hour.
func (c *cli) endGlass(ctx context.Context, conn *connection, cfg *config) (was bool, err error) {
	glass, was := cfg.Glass[conn.name]
	if !was {
		return false, nil
	}
	conn.Token = glass.Token
	if err := conn.Logout(ctx); err != nil && !errors.Is(err, api.Unauthenticated) {
		c.say("the server could not be told; the break-glass login ends by itself at " + clock(glass.ExpiresAt.Time, c.now()))
	}
	delete(cfg.Glass, conn.name)
	c.say("the break-glass login on " + conn.name + " is over")
	return true, c.store(configFile, *cfg)
}

func emergencyFact(r api.Request) string {
	switch r.Emergency {
	case api.EmergencyBreakGlass:
		return "break-glass; another person reviews it"
	case api.EmergencyDrill:
		return "a drill of break-glass; another person reviews it"
	}
	return ""
}

// markGlass is the role in a list, with what must not be overlooked.
func markGlass(r api.Request) string {
	if r.Emergency == "" {
		return r.Role
	}
	return r.Role + " (" + r.Emergency + ")"
}
