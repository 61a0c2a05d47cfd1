package main

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) proxyCmd() *cobra.Command {
	var ask asking
	var port int
	cmd := &cobra.Command{
		Use:   "proxy RESOURCE [--port N] [--as ROLE --for DURATION --why TEXT]",
		Short: "Let any client on this machine reach a database or an API through a gateway",
		Long: "Listen on a port of this machine for clients of PostgreSQL, of a web application, or of\n" +
			"whatever else speaks TCP, and carry them there through the gateway that records them:\n" +
			"pools, JDBC, pg_dump, graphical tools, curl. They need no password and no certificate;\n" +
			"the key is in the memory of this command alone. Of what else speaks TCP the gateway adds\n" +
			"no login and records how much passed. An active grant of yours is used; else access is\n" +
			"asked for with --as, --for and --why.\n\n" +
			"It goes on until the grant ends, or until Ctrl-C; the grant goes on then. You are told\n" +
			"5 minutes and 1 minute before the end. On a terminal, type how much longer (30m) and\n" +
			"Enter to ask for more time.\n\n" +
			"On Linux only programs of your own user get through. Elsewhere every program on the\n" +
			"machine does while it runs: there, prefer stint db and stint run.",
		Example: "  stint proxy orders-db --port 15432\n" +
			"  stint proxy wiki --port 8080   # then: curl http://127.0.0.1:8080/api/pages\n" +
			"  stint proxy orders-db --as reader --for 1h --why \"report of the month\"",
		Args: exactly("RESOURCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if port < 0 || port > 65535 {
				return usageError{errors.New("--port is a number up to 65535")}
			}
			return c.proxy(cmd.Context(), args[0], port, &ask)
		},
	}
	ask.flags(cmd, c)
	cmd.Flags().IntVar(&port, "port", 0, "the port of 127.0.0.1 to listen on; without it, one that is free")
	cmd.ValidArgsFunction = c.completeResources
	return cmd
}

// proxyView is where clients connect. Nothing of it is secret.
type proxyView struct {
	URI      string   `json:"uri"`
	Host     string   `json:"host"`
	Port     string   `json:"port"`
	User     string   `json:"user,omitempty"`     // of a database
	Database string   `json:"database,omitempty"` // likewise
	Gateway  string   `json:"gateway"`
	Request  string   `json:"request"`
	Grant    string   `json:"grant"`
	Ends     api.Time `json:"expires_at"`
}

func (c *cli) proxy(ctx context.Context, resource string, port int, ask *asking) error {
	if _, err := parseFor("for", ask.span); err != nil { // also where it will not be needed
		return err
	}
	conn, res, err := c.reach(ctx, resource)
	if err != nil {
		return err
	}
	r, err := c.obtain(ctx, conn, resource, ask)
	if err != nil {
		return err
	}
	speaks, login, user := postgresSpeech, "password", resource
	switch res.Type {
	case webType:
		speaks, login, user = webSpeech, "login", ""
	case tcpType:
		speaks, login, user = tcpSpeech, "login", ""
	}
	line, err := c.openLine(ctx, conn, r, speaks, port, false)
	if err != nil {
		return err
	}
	defer line.close()
	v := proxyView{URI: line.uri(line), User: user, Database: line.database, Gateway: line.gateway, Request: r.ID, Grant: r.Grant.ID, Ends: r.Grant.ExpiresAt}
	v.Host, v.Port, _ = net.SplitHostPort(line.ln.Addr().String())
	return c.holdLine(ctx, conn, r, v, facts("uri", v.URI, "host", v.Host, "port", v.Port, "user", v.User, "database", v.Database, login, "none is needed",
		"gateway", v.Gateway, "ends", timeFact(v.Ends, c)))
}

// holdLine says where a line is, and waits until the access has ended, or somebody ends it.
func (c *cli) holdLine(ctx context.Context, conn *connection, r api.Request, v proxyView, text string) error {
	if err := c.show(result{value: v, names: []string{v.URI}, text: text}); err != nil {
		return err
	}
	c.say("ready as " + printable(r.Role) + "; Ctrl-C ends it, and the access goes on until " + clock(r.Grant.ExpiresAt.Time, c.now()))
	within, stop := context.WithCancel(ctx)
	defer stop()
	if c.tty.in {
		go c.extendOnRequest(within, conn, r)
	}
	over, err := c.untilOver(within, conn, r)
	switch {
	case err != nil && ctx.Err() == nil:
		return err
	case over:
		c.say("the access to " + printable(r.Resource) + " has ended; ask again with stint proxy " + printable(r.Resource) + " --as " + printable(r.Role) + " --for … --why …")
	default:
		c.hint("access goes on until " + clock(r.Grant.ExpiresAt.Time, c.now()) + "; give it back with stint end " + printable(r.ID))
	}
	return nil
}

// overLook is how often a grant is looked at that should not end by its time yet.
const overLook = 5 * time.Second

// untilOver waits until a grant has ended, and warns before; over is false where ctx is done
// before. A server that does not answer ends nothing here: the gateway does, in time. One
// that says no will go on to do so, and err is what it says.
func (c *cli) untilOver(ctx context.Context, conn *connection, r api.Request) (over bool, err error) {
	ends, told := r.Grant.ExpiresAt.Time, time.Duration(0)
	for {
		look := overLook
		at, before := nextWarning(ends, c.now(), told)
		if before != 0 {
			look = min(look, at)
		}
		if left := ends.Sub(c.now()); left > 0 {
			look = min(look, left+time.Second/2)
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-time.After(max(look, time.Second/10)):
		}
		now, err := conn.Request(ctx, r.ID, api.Wait{})
		switch {
		case ctx.Err() != nil:
			return false, nil
		case saysNo(err):
			return false, err
		case err != nil:
			if c.now().After(ends.Add(overLook)) {
				return true, nil
			}
		case now.Grant == nil || now.Grant.State != api.GrantActive:
			return true, nil
		case !now.Grant.ExpiresAt.Time.Equal(ends): // extended: the same words again, later
			ends, told = now.Grant.ExpiresAt.Time, 0
			c.say("access to " + printable(r.Resource) + " now ends " + clock(ends, c.now()))
			continue
		}
		if left := ends.Sub(c.now()); before != 0 && left <= before && left > 0 {
			told = before
			c.say("access to " + printable(r.Resource) + " ends in " + api.Span(api.FormatDuration(before)) + "; for more: stint extend " + printable(r.ID) + " --for 30m --why …")
		}
	}
}

// saysNo reports whether an error is the server's no to whoever asks, and not to the one call.
func saysNo(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && (e.Kind == api.Unauthenticated || e.Kind == api.Denied) && e.Code != api.CodeClockSkew && e.Code != api.CodeProofReplayed
}

// extendOnRequest asks for more time when somebody types how much. It ends with the process:
// who reads a terminal cannot be called back.
func (c *cli) extendOnRequest(ctx context.Context, conn *connection, r api.Request) {
	lines := bufio.NewScanner(c.in)
	for lines.Scan() && ctx.Err() == nil {
		text := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(lines.Text()), "extend"))
		if text == "" {
			continue
		}
		more, err := parseFor("for", text)
		if err != nil {
			c.say("how much longer? type it like 30m")
			continue
		}
		asked, err := conn.Extend(ctx, r.ID, api.ExtendAsk{For: more, Why: r.Reason, Ticket: r.Ticket})
		if err != nil {
			c.report(err)
			continue
		}
		c.say("asked for " + text + " more: " + printable(asked.ID) + " is " + string(asked.State))
	}
}
