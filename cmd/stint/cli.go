package main

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"stint/internal/api"
	"stint/internal/policy"
	"stint/internal/program"
)

// cli is one run of the program: what it was given, and where it writes.
type cli struct {
	env map[string]string
	in  io.Reader
	out io.Writer // the result
	err io.Writer // everything else
	now func() time.Time

	tty      terminal
	paint    paint // for err
	ran      bool  // a command started; errors before that are about usage
	server   string
	output   string
	yes      bool
	started  *connection   // the server, once it was needed
	patience time.Duration // for a passkey to be used; zero for as long as usual
	// tokenFile holds what says what this program is.
	tokenFile string
}

// Main runs the program and returns its exit code. args are without the
// program's name. A done ctx is an interruption.
func Main(ctx context.Context, args, environ []string, in io.Reader, out, errw io.Writer) int {
	return newCLI(environ, in, out, errw).main(ctx, args)
}

func (c *cli) main(ctx context.Context, args []string) int {
	root := c.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !c.ran && !errors.As(err, new(*api.Error)) {
		err = usageError{err}
	}
	code := c.report(err)
	if _, child := cmd.Annotations[startsChild]; child && !c.ran && code != exitDone {
		return exitOwnFailure
	}
	return code
}

func newCLI(environ []string, in io.Reader, out, errw io.Writer) *cli {
	c := &cli{env: map[string]string{}, in: in, out: out, err: errw, now: time.Now}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if runtime.GOOS == "windows" {
			name = strings.ToUpper(name)
		}
		c.env[name] = value
	}
	c.tty = c.findTerminal()
	c.paint = c.choosePaint(errw, c.tty.err)
	return c
}

// root is the tree of commands. Its order is that of a day's work.
func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "stint",
		Short: "Privileged access for one task and one stint of time",
		Long: "Stint gives access for one task and for one stint of time, and proves that it\n" +
			"is gone afterwards. Ask with stint request, see what you hold with stint status,\n" +
			"give it back with stint end.",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.Version = program.Version()
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(wrongFlag)
	f := root.PersistentFlags()
	f.StringVar(&c.server, "server", "", "the server's URL (STINT_SERVER)")
	f.StringVar(&c.tokenFile, "token-file", "", "be the workload that the token in this file says (STINT_TOKEN_FILE)")
	f.StringVarP(&c.output, "output", "o", "", "table, json, yaml or name (STINT_OUTPUT)")

	groups := []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"access", "Access:", []*cobra.Command{c.requestCmd(), c.againCmd(), c.favouriteCmd(), c.statusCmd(), c.waitCmd(), c.checkoutCmd(), c.credentialsCmd(), c.secretCmd(),
			c.dbCmd(), c.webCmd(), c.proxyCmd(), c.sshCmd(), c.scpCmd(), c.sftpCmd(), c.sshConfigCmd(), c.elevateCmd(), c.runCmd(), c.extendCmd(), c.endCmd(), c.cancelCmd(), c.taskCmd(), c.breakGlassCmd()}},
		{"decide", "Decide:", []*cobra.Command{c.approvalsCmd(), c.approveCmd(), c.denyCmd(), c.askCmd(), c.answerCmd(), c.delegateCmd(), c.revokeCmd(), c.reviewsCmd(), c.reviewCmd()}},
		{"look", "Look:", []*cobra.Command{c.getCmd(), c.whoCanCmd(), c.whoHasCmd(), c.sessionCmd(), c.auditCmd()}},
		{"manage", "Manage:", []*cobra.Command{c.applyCmd(), c.deleteCmd(), c.proposalsCmd(), c.proposalCmd(), c.policyCmd(), c.resourceCmd(), c.adminCmd()}},
		{"self", "This program:", []*cobra.Command{c.loginCmd(), c.logoutCmd(), c.whoamiCmd(), c.signinsCmd(), c.passkeyCmd(), c.chatCmd(), c.versionCmd(), c.completionCmd()}},
	}
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, cmd := range g.commands {
			cmd.GroupID = g.id
			root.AddCommand(cmd)
		}
	}
	root.SetHelpCommandGroupID("self")
	root.AddCommand(helpTopics()...)
	root.InitDefaultHelpCmd()
	c.prepare(root)
	if help, _, err := root.Find([]string{"help"}); err == nil && help != root {
		help.Run, help.RunE = nil, helpOn
	}
	return root
}

// helpOn shows the help of a command. One that does not exist is an error, not
// the help of everything.
func helpOn(cmd *cobra.Command, args []string) error {
	at, rest, err := cmd.Root().Find(args)
	if err != nil || len(rest) > 0 {
		if at == nil {
			at, rest = cmd.Root(), args
		}
		return unknownCommand(at, rest[0])
	}
	at.InitDefaultHelpFlag()
	return at.Help()
}

// prepare gives every command of the tree what they all have in common.
func (c *cli) prepare(cmd *cobra.Command) {
	if cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			c.ran = true
			if err := c.checkOutput(); err != nil {
				return err
			}
			return run(cmd, args)
		}
	} else if cmd.HasSubCommands() {
		// A noun alone is a question about its verbs; a wrong verb is an error.
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		}
		cmd.Args = cobra.ArbitraryArgs
	}
	for _, sub := range cmd.Commands() {
		c.prepare(sub)
	}
}

func unknownCommand(cmd *cobra.Command, arg string) error {
	e := wrong("unknown-command", "unknown command "+quote(arg)+" for "+quote(cmd.CommandPath()), "", "see "+cmd.CommandPath()+" --help")
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(arg); len(near) > 0 {
		slices.Sort(near)
		e.Next = "did you mean " + cmd.CommandPath() + " " + strings.Join(near, ", ") + "?"
	}
	return e
}

// wrongFlag says what is wrong with a flag, in the words of people.
func wrongFlag(cmd *cobra.Command, err error) error {
	var value *pflag.InvalidValueError
	var unknown *pflag.NotExistError
	switch {
	case errors.As(err, &value):
		why := "is not a " + value.GetFlag().Value.Type()
		if strings.Contains(why, "int") {
			why = "is not a whole number"
		}
		if errors.Is(value, strconv.ErrRange) {
			why = "is too large a number"
		}
		err = errors.New("--" + value.GetFlag().Name + ": " + quote(value.GetValue()) + " " + why)
	case errors.As(err, &unknown):
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
		if near := policy.DidYouMean("--"+unknown.GetSpecifiedName(), known); near != "" {
			err = errors.New(err.Error() + "; " + near)
		}
	}
	return usageError{err}
}

// notNegative refuses a count below zero.
func notNegative(flag string, n int64) error {
	if n < 0 {
		return usageError{errors.New("--" + flag + ": " + strconv.FormatInt(n, 10) + " is below zero")}
	}
	return nil
}

// exactly wants n arguments, and says their names when they are not there.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return errors.New(names[len(args)] + " is missing")
		case len(args) > len(names):
			return errors.New("there is one argument too many: " + quote(args[len(names)]))
		}
		return nil
	}
}

// atMost allows the arguments to be missing from the end.
func atMost(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > len(names) {
			return errors.New("there is one argument too many: " + quote(args[len(names)]))
		}
		return nil
	}
}

// hint tells people, and only people, what could be done next.
func (c *cli) hint(text string) {
	if c.tty.err {
		c.say(c.paint.dim(text))
	}
}

// say writes one line for the person, not part of the result.
func (c *cli) say(line string) { _, _ = io.WriteString(c.err, line+"\n") }

// isFile reports whether x is a file of the system, which only then can be a
// terminal.
func isFile(x any) (*os.File, bool) { f, ok := x.(*os.File); return f, ok && f != nil }
