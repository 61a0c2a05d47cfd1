package main

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"stint/internal/api"
	"stint/internal/elevate"
)

func (c *cli) elevateCmd() *cobra.Command {
	var ask asking
	cmd := &cobra.Command{
		Use:   "elevate [--as ROLE --for DURATION --why TEXT] -- COMMAND",
		Short: "Run one command with more privilege on this host",
		Long: "Run one command with more privilege on the host that you are on, recorded. It is asked\n" +
			"for as a role of the mechanism elevate, which names each command with its exact\n" +
			"arguments; an active grant of yours is used, else access is asked for with --as,\n" +
			"--for and --why, and waited for. Where one role alone has the command, --as may be\n" +
			"left out.\n\n" +
			"The command is the absolute path of a program. No shell reads it, it starts in / and\n" +
			"has an environment of its own. On a terminal it gets one. Whatever it started ends\n" +
			"with it, with this program, and with the access. What is typed on a terminal is not\n" +
			"recorded, what is shown is; what is piped in is recorded.",
		Example: "  stint elevate --as web-restart --for 10m --why \"new limits\" -- /usr/bin/systemctl restart web",
		Args: func(cmd *cobra.Command, args []string) error {
			switch dash := cmd.ArgsLenAtDash(); {
			case dash > 0 || dash < 0 && len(args) > 0:
				return errors.New("there is one argument too many: " + quote(args[0]) + "; the command follows after --")
			case len(args) == 0:
				return errors.New("COMMAND is missing, after --")
			}
			return nil
		},
		Annotations: map[string]string{startsChild: ""},
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.connecting(func() error { return c.elevate(cmd.Context(), args, &ask) })
		},
	}
	ask.flags(cmd, c)
	return cmd
}

// elevateFolder is where the runner of this host is; tests have others.
func (c *cli) elevateFolder() string {
	if dir := c.env["STINT_ELEVATE"]; dir != "" {
		return dir
	}
	return elevate.Folder
}

func (c *cli) elevate(ctx context.Context, argv []string, ask *asking) error {
	if _, err := parseFor("for", ask.span); err != nil { // also where it will not be needed
		return err
	}
	if !strings.HasPrefix(argv[0], "/") {
		return usageError{errors.New(quote(argv[0]) + " is not the absolute path of a program: roles name commands by it")}
	}
	name, err := c.thisHost()
	if err != nil {
		return err
	}
	conn, err := c.connect()
	if err != nil {
		return err
	}
	resource, err := resourceAt(ctx, conn, name)
	if err != nil {
		return err
	}
	if err := c.chooseElevation(ctx, conn, resource, argv, ask); err != nil {
		return err
	}
	r, err := c.obtain(ctx, conn, resource.Name, ask)
	if err != nil {
		return err
	}
	return c.elevated(ctx, conn, r, argv)
}

// thisHost is the name of the host this runs on, as its agent says it.
func (c *cli) thisHost() (string, error) {
	f, err := os.Open(c.elevateFolder() + elevate.HostFile[len(elevate.Folder):])
	if errors.Is(err, fs.ErrNotExist) {
		return "", noRunner("nothing on it runs commands for Stint")
	} else if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	text, err := readAtMost(f, 512)
	return strings.TrimSpace(string(text)), err
}

func noRunner(why string) error {
	return &api.Error{Kind: api.NotFound, Code: "no-runner", Message: "no command can be run with more privilege on this host",
		Why: why, Next: "an administrator enrols it, and starts stint-agent elevate"}
}

// resourceAt is the resource at a host's name.
func resourceAt(ctx context.Context, conn *connection, host string) (api.Resource, error) {
	for r, err := range api.Each(func(cursor string) (api.Page[api.Resource], error) {
		return conn.ListResources(ctx, api.List{Cursor: cursor})
	}) {
		if err != nil {
			return api.Resource{}, err
		}
		if r.Address == host && r.Type == "linux" {
			return r, nil
		}
	}
	return api.Resource{}, &api.Error{Kind: api.NotFound, Code: "no-resource", Message: "this host, " + host + ", is no resource that you may see",
		Next: "ask an administrator to apply one at that address"}
}

// chooseElevation finds the role by which a command may be run here: the one that was
// named, or the only one that has the command.
func (c *cli) chooseElevation(ctx context.Context, conn *connection, r api.Resource, argv []string, ask *asking) error {
	var found, others []string
	for x, err := range api.Each(func(cursor string) (api.Page[api.Role], error) {
		return conn.ListRoles(ctx, api.List{Cursor: cursor})
	}) {
		switch {
		case err != nil:
			return err
		case ask.role != "" && x.Name == ask.role && x.Mechanism != "elevate":
			return wrong("not-an-elevation", "the role "+x.Name+" is of the mechanism "+x.Mechanism, "stint elevate runs commands of roles of the mechanism elevate", instead(r))
		case x.Mechanism != "elevate" || !selects(x.Resources, r):
		case slices.Contains(x.Rights, strings.Join(argv, " ")):
			found = append(found, x.Name)
		default:
			others = append(others, x.Name)
		}
	}
	switch {
	case ask.role != "":
		return nil // the server knows it, or says so
	case len(found) == 1:
		ask.role = found[0]
		return nil
	case len(found) > 1:
		return usageError{errors.New("--as is missing: the roles " + strings.Join(found, " and ") + " have this command")}
	}
	e := &api.Error{Kind: api.Denied, Code: "no-role", Message: "no role on " + r.Name + " has this command", Why: "it is compared word for word, with its arguments"}
	if len(others) > 0 {
		e.Next = "see what there is: stint get role " + others[0]
	}
	return e
}

// selects reports whether a role is for a resource.
func selects(s api.Selector, r api.Resource) bool {
	if len(s.Names) > 0 && !slices.Contains(s.Names, r.Name) || s.Type != "" && s.Type != r.Type {
		return false
	}
	for name, value := range s.Labels {
		if r.Labels[name] != value {
			return false
		}
	}
	return true
}

// elevated has the command run, with our streams.
func (c *cli) elevated(ctx context.Context, conn *connection, r api.Request, argv []string) error {
	client, err := elevate.Dial(ctx, c.elevateFolder()+elevate.Socket[len(elevate.Folder):])
	if err != nil {
		return noRunner("it does not answer: " + cause(errors.Unwrap(err)))
	}
	defer func() { _ = client.Close() }() // the command has ended, or ends with it
	ask := elevate.Ask{Argv: argv}
	stdin, stdout := terminalsOf(c)
	if stdin != nil && stdout != nil { // a command whose output goes elsewhere writes for that, and not for a terminal
		size := sizeOf(stdout)
		name := c.env["TERM"]
		if name == "" {
			name = "dumb"
		}
		ask.Terminal = &elevate.Terminal{Term: name, Window: size}
	}
	accepted, err := client.Ask(ask)
	var no *elevate.Refused
	switch {
	case errors.As(err, &no):
		return &api.Error{Kind: api.Denied, Code: no.Code, Message: no.Message, Why: no.Why, Next: no.Next}
	case err != nil:
		return noRunner("its answer is not understood: " + err.Error())
	}
	c.say("running as " + printable(accepted.RunAs) + ", recorded as " + printable(accepted.ID) + "; access ends " + clock(r.Grant.ExpiresAt.Time, c.now()))
	warned, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if c.tty.err {
		go c.warnOfEnd(warned, conn, r)
	}
	restore := func() {}
	if ask.Terminal != nil {
		if was, err := term.MakeRaw(int(stdin.Fd())); err == nil {
			restore = func() { _ = term.Restore(int(stdin.Fd()), was) } // nothing else can be done about it
		}
		defer c.followSize(client, stdout)()
	}
	defer c.passSignals(client)()
	go func() { _ = client.Feed(c.in) }() // ends with the process; the connection's end says more than its error
	exit, err := client.Wait(c.out, c.err, func(text string) {
		restore()
		c.say("stint: " + printable(text))
	})
	stop()
	restore()
	if err != nil {
		return &api.Error{Kind: api.Unavailable, Code: "runner-lost", Message: "the connection to what runs the command is lost, and the command ends with it", Why: err.Error(),
			Next: "look at the host: systemctl status stint-elevate"}
	}
	c.hint("access goes on until " + clock(r.Grant.ExpiresAt.Time, c.now()) + "; give it back with stint end " + printable(r.ID))
	return ended{exit.Status}
}

// terminalsOf are our input and output where they are terminals, and nil where not.
func terminalsOf(c *cli) (in, out *os.File) {
	if f, ok := isFile(c.in); ok && c.tty.in {
		in = f
	}
	if f, ok := isFile(c.out); ok && c.tty.out {
		out = f
	}
	return in, out
}

func sizeOf(f *os.File) (w elevate.Window) {
	columns, rows, err := term.GetSize(int(f.Fd()))
	if err != nil || columns <= 0 || rows <= 0 {
		columns, rows = 80, 24
	}
	return elevate.Window{Columns: uint16(min(columns, 1<<16-1)), Rows: uint16(min(rows, 1<<16-1))}
}

// followSize tells the command when the window has another size.
func (c *cli) followSize(client *elevate.Client, out *os.File) (stop func()) {
	got := make(chan os.Signal, 1)
	notifyOfSize(got)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-got:
				_ = client.Send(elevate.Encode(elevate.KindWindow, sizeOf(out))) // gone with the command
			}
		}
	}()
	return func() { signal.Stop(got); close(done) }
}

// passSignals has signals that are sent to us reach the command.
func (c *cli) passSignals(client *elevate.Client) (stop func()) {
	got := make(chan os.Signal, 8)
	signal.Notify(got, slices.Collect(maps.Keys(signalNames))...)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case s := <-got:
				_ = client.Send(elevate.Frame{Kind: elevate.KindSignal, Payload: []byte(signalNames[s])}) // likewise
			}
		}
	}()
	return func() { signal.Stop(got); close(done) }
}
