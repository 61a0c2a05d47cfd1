package main

import (
	"context"
	"errors"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

// db, ssh (see ssh.go) and run have one shape: get an active grant, fetch its credential if it
// has one, run a program with it. Whatever fails before the program starts is exit code
// 125, so that the program's own codes keep their meaning.

// startsChild marks the commands that do so.
const startsChild = "starts-child"

func (c *cli) dbCmd() *cobra.Command {
	var ask asking
	cmd := &cobra.Command{
		Use:   "db RESOURCE [--as ROLE --for DURATION --why TEXT] [-- psql arguments]",
		Short: "Connect to a database, asking for access when needed",
		Long: "Connect to a database with psql. An active grant of yours is used; else access is\n" +
			"asked for with --as, --for and --why, and waited for. The grant goes on after psql\n" +
			"ends; give it back with stint end, or use stint run.\n\n" +
			"psql gets the credential in its environment: never as an argument, which others on\n" +
			"the machine can read, and not as a file, which would stay behind after a crash. Where\n" +
			"the role's sessions go through a gateway there is no credential: psql connects by a\n" +
			"socket of yours, and the gateway, which records what is done, to the database.\n\n" +
			"A role of the mechanism group gives your own account more rights. psql then connects\n" +
			"as that account, with your own password: it asks for it, or takes it from PGPASSWORD\n" +
			"or PGPASSFILE, which are passed on for this alone.",
		Example: "  stint db orders-db --as reader --for 30m --why \"check order 4711\"\n" +
			"  stint db orders-db -- -c \"select count(*) from orders\"",
		Args:        connectArgs,
		Annotations: map[string]string{startsChild: ""},
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.connecting(func() error { return c.db(cmd.Context(), args[0], args[1:], &ask) })
		},
	}
	ask.flags(cmd, c)
	ask.glassFlag(cmd)
	cmd.ValidArgsFunction = c.completeResources
	return cmd
}

func (c *cli) runCmd() *cobra.Command {
	var ask asking
	var how injecting
	var timeout string
	cmd := &cobra.Command{
		Use:   "run RESOURCE --as ROLE --for DURATION --why TEXT -- COMMAND",
		Short: "Run a command with access that ends with it",
		Long: "Ask for access, run a command with it, and give the access back when the command\n" +
			"ends, however it ends. The command finds the credential in its environment: PGHOST,\n" +
			"PGUSER, PGPASSWORD and so on, and STINT_URI as one line; and STINT_REQUEST,\n" +
			"STINT_GRANT, STINT_RESOURCE, STINT_ROLE and STINT_EXPIRES_AT. STINT_TOKEN and\n" +
			"STINT_ID_TOKEN are not passed on.\n\n" +
			"In a pipeline it signs in by itself as the workload that the platform says: with\n" +
			"--token-file, STINT_ID_TOKEN (GitLab), STINT_CLIENT_CERT, or the ID token of a job of\n" +
			"GitHub Actions; see stint help environment. It opens no browser and asks nobody there.\n\n" +
			"A role of the mechanism group gives your own account more rights: there is no\n" +
			"credential then. The command finds where to connect and as whom, and neither\n" +
			"PGPASSWORD nor STINT_URI; PGPASSFILE is passed on.\n\n" +
			"With --env, --file or --template the command gets what these say, and nothing else of\n" +
			"the credential: in variables, in files of a folder of its own in memory, which the\n" +
			"variable STINT_FILES names, or at an absolute path. Only your user can read the files,\n" +
			"and they go when the command has ended. Templates are Go's, with {{.username}} and so\n" +
			"on, {{.files}} for the folder, and json for quoting. The fields are uri, username,\n" +
			"password, host, port, database, sslmode, ca and expires_at.\n\n" +
			"With --renew a new grant is asked for when a third of the time is left, and the files\n" +
			"get its credential; the one before is given back after --overlap, so that the command\n" +
			"can change over. --reload sends the command a signal whenever the files have changed:\n" +
			"by that, or because the password was rotated meanwhile.\n\n" +
			"An agent says with --task what it works on. Several commands can be of one task;\n" +
			"stint task end ends it, with all that is left of its access.",
		Example: "  stint run orders-db --as writer --for 10m --why \"migration 42\" -- ./migrate up\n" +
			"  stint run orders-db --as app --for 1h --why \"the shop\" --renew --reload HUP \\\n" +
			"      --template db.conf.tmpl:db.conf -- sh -c 'exec shop --config $STINT_FILES/db.conf'",
		Args:        connectArgs,
		Annotations: map[string]string{startsChild: ""},
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.connecting(func() error { return c.run(cmd.Context(), args[0], args[1:], &ask, &how, timeout) })
		},
	}
	ask.flags(cmd, c)
	ask.glassFlag(cmd)
	how.flags(cmd, c)
	cmd.Flags().StringVar(&timeout, "timeout", "", "withdraw the request when access is not there after this long, with exit code 125")
	cmd.ValidArgsFunction = c.completeResources
	return cmd
}

// connectArgs wants a resource, and what follows only after "--".
func connectArgs(cmd *cobra.Command, args []string) error {
	dash := cmd.ArgsLenAtDash()
	switch {
	case len(args) == 0 || dash == 0:
		return errors.New("RESOURCE is missing")
	case dash < 0 && len(args) > 1 || dash > 1:
		return errors.New("there is one argument too many: " + quote(args[1]) + "; what is for the command follows after --")
	}
	return nil
}

// connecting gives every failure of f that is ours the code 125.
func (c *cli) connecting(f func() error) error {
	err := f()
	var end ended
	switch {
	case err == nil, errors.As(err, &end), errors.Is(err, context.Canceled):
		return err
	}
	c.report(err)
	return ended{exitOwnFailure}
}

// reach makes the connection and looks the resource up.
func (c *cli) reach(ctx context.Context, resource string) (*connection, api.Resource, error) {
	conn, err := c.connect()
	if err != nil {
		return nil, api.Resource{}, err
	}
	res, err := conn.Resource(ctx, resource)
	return conn, res, err
}

// instead is the command for a resource of this type.
func instead(r api.Resource) string {
	switch r.Type {
	case "postgres":
		return "use stint db " + r.Name
	case "linux":
		return "use stint ssh " + r.Name
	case webType:
		return "use stint web " + r.Name
	case tcpType:
		return "use stint proxy " + r.Name
	}
	return "use stint run " + r.Name
}

func (c *cli) db(ctx context.Context, resource string, args []string, ask *asking) error {
	if _, err := parseFor("for", ask.span); err != nil { // also where it will not be needed
		return err
	}
	psql, err := exec.LookPath("psql") // before anybody is bothered
	if err != nil {
		return &api.Error{Kind: api.NotFound, Code: "no-psql", Message: "psql was not found",
			Why: "stint db runs PostgreSQL's own client", Next: "install it (Debian: apt install postgresql-client), or use stint run"}
	}
	conn, err := c.connect()
	if err != nil {
		return err
	}
	r, err := c.obtain(ctx, conn, resource, ask)
	if err != nil {
		return err
	}
	env, as, stop, err := c.psqlEnv(ctx, conn, r)
	if err != nil {
		return err
	}
	defer stop()
	c.say("connecting as " + printable(as) + "; access ends " + clock(r.Grant.ExpiresAt.Time, c.now()))
	code, err := c.child(psql, args, env)
	if err != nil {
		return err
	}
	c.hint("access goes on until " + clock(r.Grant.ExpiresAt.Time, c.now()) + "; give it back with stint end " + printable(r.ID))
	return ended{code}
}

// obtain finds the active grant that the caller has on a resource, or asks for one and
// waits for it.
func (c *cli) obtain(ctx context.Context, conn *connection, resource string, ask *asking) (api.Request, error) {
	r, err := c.held(ctx, conn, resource, ask)
	if err != nil {
		return r, err
	}
	if r.Grant != nil && r.Grant.State == api.GrantScheduled { // it can be hours away
		if !ask.said() {
			return r, &api.Error{Kind: api.Pending, Code: "not-yet", Message: "access to " + resource + " " + doing(r, c.now()),
				Next: "wait for it with stint wait " + r.ID + ", or ask for access now: add --as ROLE --for DURATION --why TEXT"}
		}
		r = api.Request{}
	}
	if r.ID == "" {
		if r, err = c.askFor(ctx, conn, resource, ask); err != nil {
			return r, err
		}
	}
	if r, err = c.ready(ctx, conn, r, 0); errors.Is(err, context.Canceled) {
		return r, c.settle(r, untilReady, err)
	}
	return r, err
}

// psqlEnv is psql's environment, and as whom it will connect. The password of
// one's own account is for psql to ask, unless one has said it to psql already.
//
// stop is called when psql has ended.
func (c *cli) psqlEnv(ctx context.Context, conn *connection, r api.Request) (env []string, as string, stop func(), err error) {
	stop = func() {}
	own, err := ownAccount(ctx, conn, r)
	if err != nil {
		return nil, "", stop, err
	}
	if !own {
		add, err := c.credentialEnv(ctx, conn, r)
		if brokered(err) {
			line, err := c.openLine(ctx, conn, r, postgresSpeech, 0, true)
			if err != nil {
				return nil, "", stop, err
			}
			return c.childEnv(r, line.postgresEnv()), r.Role + ", through the gateway at " + line.gateway, line.close, nil
		}
		if err != nil {
			return nil, "", stop, err
		}
		return c.childEnv(r, add), r.Role, stop, nil
	}
	add, err := c.ownEnv(ctx, conn, r)
	if err != nil {
		return nil, "", stop, err
	}
	as = "your own account, with your own password"
	if add["PGUSER"] != "" {
		as = "your own account " + add["PGUSER"] + ", with your own password"
	}
	return c.childEnv(r, add, "PGPASSWORD", "PGPASSFILE"), as, stop, nil
}

// held finds what the caller already has on the resource, or has asked for:
// the active grant that ends last, else the newest on its way. The zero Request
// is none.
func (c *cli) held(ctx context.Context, conn *connection, resource string, ask *asking) (api.Request, error) {
	list, err := mine(ctx, conn)
	if err != nil {
		return api.Request{}, err
	}
	var best api.Request
	active := func(r api.Request) bool { return r.Grant != nil && r.Grant.State == api.GrantActive }
	for _, r := range list {
		if r.Resource != resource || ask.role != "" && r.Role != ask.role || r.Task != ask.task || r.Extends != "" ||
			r.Grant != nil && r.Grant.State == api.GrantEnding {
			continue
		}
		switch {
		case best.ID == "", active(r) && !active(best):
			best = r
		case active(r) && r.Grant.ExpiresAt.After(best.Grant.ExpiresAt.Time):
			best = r
		}
	}
	return best, nil
}

// askFor sends the question that the flags, or the person, give.
func (c *cli) askFor(ctx context.Context, conn *connection, resource string, ask *asking) (api.Request, error) {
	if ask.glass {
		return c.askGlass(ctx, conn, resource, ask)
	}
	if !ask.said() && !c.canAsk() {
		return api.Request{}, &api.Error{Kind: api.Denied, Code: "no-access", Message: "you have no access to " + resource,
			Next: "ask for it: add --as ROLE --for DURATION --why TEXT; stint who-can " + resource + " says which roles there are"}
	}
	q, err := ask.complete(ctx, c, resource)
	if err != nil {
		return api.Request{}, err
	}
	return c.submit(ctx, conn, q)
}

// ready waits until the access works. What does not become ready is explained,
// and is a failure of ours.
func (c *cli) ready(ctx context.Context, conn *connection, r api.Request, most time.Duration) (api.Request, error) {
	r, err := c.await(ctx, conn, r, untilReady, most)
	if errors.Is(err, errWaitOver) {
		c.fault("still "+doing(r, c.now())+" [still-pending]", "the wait ran out", "")
		return r, ended{exitOwnFailure}
	}
	if err != nil {
		return r, err
	}
	if _, code := judge(untilReady, r); code != exitDone {
		c.fault(refusal(r))
		return r, ended{exitOwnFailure}
	}
	return r, nil
}

func (c *cli) run(ctx context.Context, resource string, args []string, ask *asking, how *injecting, timeout string) error {
	if len(args) == 0 {
		return usageError{errors.New("COMMAND is missing, after --")}
	}
	in, err := how.read()
	if err == nil && how.renew && ask.glass {
		err = usageError{errors.New("--renew is not for --break-glass: somebody has to want that anew")}
	}
	if err != nil {
		return err
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		c.fault("the command "+quote(args[0])+" was not found", "", "")
		return ended{exitNoCommand}
	}
	most, err := parseTimeout(timeout)
	if err != nil {
		return err
	}
	var q api.Ask
	if !ask.glass {
		if q, err = ask.complete(ctx, c, resource); err != nil {
			return err
		}
	}
	conn, err := c.connect()
	if err != nil {
		return err
	}
	if conn.leave != nil {
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
			defer cancel()
			conn.leave(ctx)
		}()
	}
	if in != nil {
		defer c.takeAway(in)
		if err := in.open(c.privateBase()); err != nil { // before anybody is bothered
			return err
		}
	}
	var r api.Request
	if ask.glass {
		r, err = c.askGlass(ctx, conn, resource, ask)
	} else {
		r, err = c.submit(ctx, conn, q)
	}
	if err != nil {
		return err
	}
	// From here on there may be access, and it must not outlive us: what leads to it is taken
	// down after it was given back, and holds nothing up.
	l, stop := &lease{c: c, conn: conn, ask: q, how: how, in: in, ids: []string{r.ID}}, func() {}
	defer func() {
		for _, id := range l.ids {
			c.giveBack(ctx, conn, id)
		}
		stop()
	}()
	if r, err = c.ready(ctx, conn, r, most); err != nil {
		return err
	}
	if in != nil {
		code, err := l.run(ctx, r, path, args[1:])
		if err != nil {
			return err
		}
		return ended{code}
	}
	env, down, err := c.commandEnv(ctx, conn, r)
	if err != nil {
		return err
	}
	stop = down
	code, err := c.child(path, args[1:], env)
	if err != nil {
		return err
	}
	return ended{code}
}

// commandEnv is the environment of run's command. Of one's own account it gets
// no password from us, and only where a file of them is. stop is called when it has ended.
func (c *cli) commandEnv(ctx context.Context, conn *connection, r api.Request) (env []string, stop func(), err error) {
	stop = func() {}
	own, err := ownAccount(ctx, conn, r)
	if err != nil {
		return nil, stop, err
	}
	if own {
		add, err := c.ownEnv(ctx, conn, r)
		if err != nil {
			return nil, stop, err
		}
		c.say("the access is on your own account " + printable(add["PGUSER"]) + ": the command gets no password")
		return c.childEnv(r, add, "PGPASSFILE"), stop, nil
	}
	add, err := c.credentialEnv(ctx, conn, r)
	if brokered(err) {
		line, err := c.openLine(ctx, conn, r, postgresSpeech, 0, false) // a port: not every driver takes a socket
		if err != nil {
			return nil, stop, err
		}
		return c.childEnv(r, line.postgresEnv()), line.close, nil
	}
	if err != nil {
		return nil, stop, err
	}
	return c.childEnv(r, add), stop, nil
}

// giveBackTime is how long the end of run tries to reach the server.
const giveBackTime = 30 * time.Second

// leaveTime is how long it then tries to end a workload's login, which ends anyway.
const leaveTime = 3 * time.Second

// giveBack ends what run asked for, whatever has become of it, also when an
// interruption is the reason.
func (c *cli) giveBack(ctx context.Context, conn *connection, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTime)
	defer cancel()
	r, err := conn.Request(ctx, id, api.Wait{})
	did := "access given back"
	switch {
	case err != nil:
	case r.State == api.RequestPending:
		if _, err = conn.Cancel(ctx, id); err == nil {
			did = "request withdrawn"
		} else if errors.Is(err, api.Conflict) { // approved at this very moment
			_, err = conn.End(ctx, id)
		}
	case over(r) && r.Grant == nil:
		return // there was nothing to give back
	case !over(r) && (r.Grant == nil || r.Grant.State != api.GrantEnding):
		_, err = conn.End(ctx, id)
	}
	if err == nil {
		c.say(did)
		return
	}
	c.report(err)
	when := "at its end"
	if r.Grant != nil && !r.Grant.ExpiresAt.IsZero() {
		when = clock(r.Grant.ExpiresAt.Time, c.now())
	}
	c.say("the access could not be given back; it ends by itself " + when + ", or with stint end " + printable(id))
}
