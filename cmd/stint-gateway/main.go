// Command stint-gateway carries sessions of persons to targets, records them, and ends
// them on time, whether Stint is there or not.
//
// It decides nothing: each session is a permit of the control plane's. It listens to
// persons, dials out to targets and to the control plane, and nobody else reaches it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"stint/internal/access"
	"stint/internal/api"
)

func main() {
	syscall.Umask(0o077)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Exit codes, as of the other programs.
const (
	exitDone    = 0
	exitFailure = 1
	exitUsage   = 2
)

// Main is the whole program, for main and for tests.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	cmd := command(stderr)
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	message, next, invalid := err.Error(), "", false
	var ours *access.Error
	var theirs *api.Error
	switch {
	case errors.As(err, &ours):
		next, invalid = ours.Next, ours.Kind == access.Invalid
	case errors.As(err, &theirs):
		next = theirs.Next
	}
	_, _ = fmt.Fprintf(stderr, "stint-gateway: error: %s\n", message)
	if next != "" {
		_, _ = fmt.Fprintf(stderr, "stint-gateway: hint: %s\n", next)
	}
	if invalid {
		return exitUsage
	}
	return exitFailure
}

const rootHelp = `stint-gateway carries SSH sessions from persons to hosts, records them, and cuts them
when their grant ends, by its own clock when Stint cannot be reached.

  stint-gateway enroll    make this a gateway of Stint's, once, with a one-time code
  stint-gateway run       work until SIGTERM
  stint-gateway status    what it trusts, and whether it runs
  stint-gateway unit      print a unit for systemd

Files
  /var/lib/stint-gateway            its own alone
    key.json, gateway.json          its key, and who its control plane is
    ssh_host_ed25519_key            by which persons know it; Stint signs a certificate for it
    recordings/                     those that are not kept elsewhere yet

Exit codes
  0 done    1 failure    2 a setting is wrong or not safe`

// flags are the settings.
type flags struct {
	state, server, code, ca string
	listen, status          string
}

func command(stderr io.Writer) *cobra.Command {
	root := &cobra.Command{Use: "stint-gateway", Short: "Carry and record sessions", Long: rootHelp, SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true}, Args: noArgs}
	root.Version = versionText()
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err.Error()) })
	root.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	var f flags
	enroll := &cobra.Command{Use: "enroll --server URL --code-file FILE", Short: "Make this a gateway of Stint's, once", Args: noArgs,
		Long:    "Make this a gateway of Stint's, with the code that an administrator made for it:\nstint admin gateway enroll NAME --address HOST:PORT.",
		Example: "  stint-gateway enroll --server https://stint.example:7420 --code-file - < code\n  stint-gateway unit > /etc/systemd/system/stint-gateway.service\n  systemctl enable --now stint-gateway",
		RunE:    func(c *cobra.Command, _ []string) error { return f.enroll(c.Context(), c.InOrStdin(), c.OutOrStdout()) }}
	enroll.Flags().StringVar(&f.server, "server", "", "the address of Stint, like https://stint.example:7420")
	enroll.Flags().StringVar(&f.code, "code-file", "", "the file with the one-time code; - is standard input")
	enroll.Flags().StringVar(&f.ca, "ca-file", "", "the certificate authority of Stint's server, PEM, where the system does not know it")
	run := &cobra.Command{Use: "run", Short: "Work until SIGTERM", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c.Context(), stderr) }}
	run.Flags().StringVar(&f.listen, "listen", ":2022", "where persons connect by SSH")
	run.Flags().StringVar(&f.status, "status", "127.0.0.1:9107", "where /readyz and /metrics are served; empty: nowhere")
	status := &cobra.Command{Use: "status", Short: "Print what it trusts, and whether it runs", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.show(c.Context(), c.OutOrStdout()) }}
	status.Flags().StringVar(&f.status, "status", "127.0.0.1:9107", "where it serves /readyz")
	for _, c := range []*cobra.Command{enroll, run, status} {
		c.Flags().StringVar(&f.state, "state", "/var/lib/stint-gateway", "the folder of the gateway: keys and recordings")
		c.Flags().SortFlags = false
	}
	root.AddCommand(enroll, run, status,
		&cobra.Command{Use: "unit", Short: "Print a unit for systemd", Args: noArgs,
			RunE: func(c *cobra.Command, _ []string) error { _, err := io.WriteString(c.OutOrStdout(), unit); return err }},
		&cobra.Command{Use: "version", Short: "Print the version", Args: noArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				_, err := fmt.Fprintln(c.OutOrStdout(), versionText())
				return err
			}})
	return root
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(fmt.Sprintf("%q is not understood here", args[0]))
	}
	return nil
}

func usage(what string) error {
	return access.Fail(access.Invalid, "usage", what).Try("stint-gateway --help says what there is")
}

func unusable(what, why, next string) error {
	return access.Fail(access.Invalid, "unusable", what).Because(why).Try(next)
}

// version is stamped by the build.
var version string

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
