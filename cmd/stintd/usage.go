package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"stint/internal/policy"
	"stint/internal/program"
)

// usage is the error of a call that cannot be: what is wrong with it, and perhaps the word
// that was meant.
func usage(what, near string) error { return &program.Misuse{What: what, Near: near} }

// wrongFlag is for cobra, which says what is wrong with a flag.
func wrongFlag(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		return usage(err.Error(), policy.DidYouMean("--"+unknown.GetSpecifiedName(), flagsOf(c)))
	}
	return usage(err.Error(), "")
}

func flagsOf(c *cobra.Command) (names []string) {
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return names
}

// noArgs refuses what is no flag. To the program itself it is a command that does not
// exist, to a command perhaps a flag without its dashes.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !c.HasSubCommands() {
		return usage(fmt.Sprintf("%q is not understood here", args[0]), policy.DidYouMean("--"+args[0], flagsOf(c)))
	}
	var known []string
	for _, sub := range c.Commands() {
		known = append(known, sub.Name())
	}
	return usage(fmt.Sprintf("there is no command %q", args[0]), policy.DidYouMean(args[0], known))
}

func oneFile(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage(fmt.Sprintf("%s needs one backup file, and was given %d", c.Name(), len(args)), "")
	}
	return nil
}

// rotated are the keys that can be replaced.
var rotated = []string{"seal", "log", "tags", "orders", "recordings", "ssh-users", "ssh-hosts"}

// retired are those of which the earlier ones can be given up by a command.
var retired = []string{"ssh-users", "ssh-hosts"}

func oneKey(_ *cobra.Command, args []string) error {
	return oneOf(args, rotated, "rotate-key needs one of seal, log, tags, orders, recordings, ssh-users and ssh-hosts")
}

func oneAuthority(_ *cobra.Command, args []string) error {
	return oneOf(args, retired, "retire-key needs one of ssh-users and ssh-hosts")
}

func oneWrapping(_ *cobra.Command, args []string) error {
	return oneOf(args, wrappings, "wrap-key needs one of tpm, pkcs11 and none")
}

func oneOf(args, known []string, needs string) error {
	switch {
	case len(args) != 1:
		return usage(needs, "")
	case !slices.Contains(known, args[0]):
		return usage(fmt.Sprintf("there is no key %q: %s", args[0], needs), policy.DidYouMean(args[0], known))
	}
	return nil
}
