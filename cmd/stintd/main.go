// Command stintd is Stint's control plane: API, broker and store in one process.
//
// It wires the packages together in plain code and decides nothing itself. What
// it does decide is when not to start: every setting that would make Stint less
// safe than it says is refused, with what, why, and how to mend it.
//
// Invariants:
//
//  1. Without any flag it starts, on loopback, with an embedded store.
//  2. No setting that it accepts sends a secret over an open wire, leaves one
//     where others can read it, or believes an address that anybody can write.
//  3. No secret is in its arguments, its log or its errors.
//  4. It stops in order: doors first, then the work, then the store.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/access"
	"stint/internal/program"
)

//go:embed stintd.service
var unit string

func main() {
	program.Begin(func(ctx context.Context) int { return Main(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr) })
}

// Main is the whole program, for main and for tests.
func Main(ctx context.Context, args []string, env func(string) (string, bool), stdout, stderr io.Writer) int {
	root := command(env, stderr)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	ran, err := root.ExecuteContextC(ctx)
	return program.End(stderr, ran, whileInUse(ran.Name(), err))
}

// whileInUse says what to do about a store that another process has open, which is
// another thing for each command.
func whileInUse(command string, err error) error {
	var ours *access.Error
	if !errors.As(err, &ours) || ours.Code != "store-in-use" {
		return err
	}
	switch command {
	case "doctor":
		return ours.Try("ask the one that runs: stint admin doctor")
	case "backup":
		return ours.Try("stint admin backup does it while it runs")
	case "restored", "restore", "rotate-key", "retire-key", "wrap-key":
		return ours.Try("stop it first")
	}
	return err
}

// stopWithin is the longest that a stop takes: 5 s for the calls of clients, 5 s for
// those to targets, and then the store's for finding out what became of the last
// commits, if it does not answer. A process that ends before it is done has the next
// one do it again, as after a crash.
const stopWithin = 20 * time.Second

// inTime runs the server until it returns, or for d after ctx has ended.
func inTime(ctx context.Context, d time.Duration, server func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- server() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(d):
		return access.Fail(access.Unavailable, "stopped-late", fmt.Sprintf("stintd did not come to its end within %s", d)).
			Because("something that it waits for does not answer").Try("start it again: what was at hand is taken up as after a crash")
	}
}

func command(env func(string) (string, bool), stderr io.Writer) *cobra.Command {
	root := program.New("stintd", "Privileged access for one task and one stint of time", rootHelp)
	root.Args = noArgs
	root.SetFlagErrorFunc(wrongFlag)
	var f flags
	var above int64
	var replace, asJSON bool
	var saveTo string
	serve := &cobra.Command{Use: "serve", Short: "Run the control plane", Long: serveHelp, Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := load(f, env)
			if err != nil {
				return err
			}
			return inTime(c.Context(), stopWithin, func() error { return serve(c.Context(), cfg, stderr) })
		}}
	f.on(serve)
	again := &cobra.Command{Use: "restored", Short: "Tell Stint that its data came from a backup", Long: restoredHelp, Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := load(f, env)
			if err != nil {
				return err
			}
			return restored(c.Context(), cfg, above, c.OutOrStdout())
		}}
	f.on(again)
	back := &cobra.Command{Use: "restore FILE", Short: "Put a backup into an empty store", Long: restoreHelp, Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := load(f, env)
			if err != nil {
				return err
			}
			return restore(c.Context(), cfg, args[0], replace, above, c.OutOrStdout())
		}}
	f.on(back)
	back.Flags().BoolVar(&replace, "replace", false, "replace the SQLite store that is there, and keep it beside the new one")
	for _, c := range []*cobra.Command{again, back} {
		c.Flags().Int64Var(&above, "epoch-above", 0, "the new epoch is above this one")
	}
	keep := &cobra.Command{Use: "backup --out FILE", Short: "Write a backup of the stopped installation", Long: backupHelp, Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := load(f, env)
			if err != nil {
				return err
			}
			if saveTo == "" {
				return program.Wrong("--out is missing: the file to write")
			}
			return backupStopped(c.Context(), cfg, saveTo, c.OutOrStdout())
		}}
	f.on(keep)
	keep.Flags().StringVar(&saveTo, "out", "", "the file to write")
	ill := &cobra.Command{Use: "doctor", Short: "Say what is wrong with a server that does not start", Long: doctorHelp, Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return doctor(c.Context(), f, env, asJSON, c.OutOrStdout())
		}}
	f.on(ill)
	ill.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	fresh := &cobra.Command{Use: "rotate-key seal|log|tags|orders|ssh-users|ssh-hosts", Short: "Replace a key of the installation", Long: rotateHelp,
		ValidArgs: rotated, Args: oneKey,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := load(f, env)
			if err != nil {
				return err
			}
			return rotate(c.Context(), cfg, args[0], c.OutOrStdout())
		}}
	f.on(fresh)
	wrap := &cobra.Command{Use: "wrap-key tpm|pkcs11|none", Short: "Have the seal key file open only with a TPM or a token", Long: wrapHelp,
		ValidArgs: wrappings, Args: oneWrapping,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := load(f, env)
			if err != nil {
				return err
			}
			return wrapKey(c.Context(), cfg, args[0], c.OutOrStdout())
		}}
	f.on(wrap)
	old := &cobra.Command{Use: "retire-key ssh-users|ssh-hosts", Short: "Give up the earlier keys of an authority", Long: retireHelp,
		ValidArgs: retired, Args: oneAuthority,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := load(f, env)
			if err != nil {
				return err
			}
			return retire(c.Context(), cfg, args[0], c.OutOrStdout())
		}}
	f.on(old)
	root.AddCommand(serve, keep, back, again, fresh, old, wrap, ill,
		&cobra.Command{Use: "unit", Short: "Print a unit for systemd", Args: noArgs,
			RunE: func(c *cobra.Command, _ []string) error { _, err := io.WriteString(c.OutOrStdout(), unit); return err }})
	return root
}
