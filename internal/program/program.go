// Package program is what Stint's programs have in common where they meet who started them: how a command
// tree is made, what is said of arguments that cannot be, how an error is said, with which code a
// program ends, and which version it is.
//
// It knows no error type of ours and imports nothing of ours, so that the smallest program can use it.
// An error says by two methods what it has to add: Hint, what to do now, and Invalid, that what
// was asked for cannot be, whoever asks.
//
// Invariants:
//
//  1. An error is one line on standard error, and a hint a second one; nothing of them is on standard output.
//  2. The code is 0 when it is done, 2 for a call or a setting that cannot be, and 1 for everything else.
//     The command line for people, stint, has more, and says them by itself.
package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	Done    = 0
	Failure = 1
	Usage   = 2
)

// New makes the root of a program's commands, with the command version. Called alone it prints its help.
func New(name, short, long string) *cobra.Command {
	root := &cobra.Command{Use: name, Short: short, Long: long, SilenceErrors: true, SilenceUsage: true, Args: NoArgs,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() }}
	root.Version = Version()
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return Wrong(err.Error()) })
	root.AddCommand(&cobra.Command{Use: "version", Short: "Print the version", Args: NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), c.Root().Version)
			return err
		}})
	return root
}

// NoArgs refuses what is no flag.
func NoArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return Wrong(fmt.Sprintf("%q is not understood here", args[0]))
	}
	return nil
}

// Misuse is a call that cannot be.
type Misuse struct {
	What string
	Near string // perhaps the word that was meant, as a sentence
}

func (m *Misuse) Error() string { return m.What }

// Wrong is the error of a call that cannot be. Where it is said, the help of its command is named.
func Wrong(what string) error { return &Misuse{What: what} }

// Main runs a program, for main and for tests.
func Main(ctx context.Context, root *cobra.Command, args []string, in io.Reader, out, errs io.Writer) int {
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	ran, err := root.ExecuteContextC(ctx)
	return End(errs, ran, err)
}

// End says what went wrong with a command, and gives the code that says so.
func End(errs io.Writer, ran *cobra.Command, err error) int {
	if err == nil {
		return Done
	}
	code, hint := Failure, hintOf(err)
	var call *Misuse
	var cannot interface{ Invalid() bool }
	switch {
	case errors.As(err, &call):
		code, hint = Usage, strings.TrimSpace(call.Near+" "+ran.CommandPath()+" --help says what there is")
	case errors.As(err, &cannot) && cannot.Invalid():
		code = Usage
	}
	name := ran.Root().Name()
	_, _ = fmt.Fprintf(errs, "%s: error: %s\n", name, err)
	if hint != "" {
		_, _ = fmt.Fprintf(errs, "%s: hint: %s\n", name, hint)
	}
	return code
}

// hintOf is the outermost hint there is.
func hintOf(err error) string {
	for err != nil {
		var has interface {
			error
			Hint() string
		}
		if !errors.As(err, &has) {
			return ""
		}
		if h := has.Hint(); h != "" {
			return h
		}
		err = errors.Unwrap(has)
	}
	return ""
}
