// Command stint-agent carries out on a Linux host what Stint orders for it, and takes
// away on time what it made, whether Stint is there or not.
//
// It dials out and listens to nobody; it believes the orders key that it learnt when the
// host was enrolled, and nothing else that it is told.
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
	"stint/internal/connector/linux/host"
	"stint/internal/elevate"
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
	_, _ = fmt.Fprintf(stderr, "stint-agent: error: %s\n", message)
	if next != "" {
		_, _ = fmt.Fprintf(stderr, "stint-agent: hint: %s\n", next)
	}
	if invalid {
		return exitUsage
	}
	return exitFailure
}

const rootHelp = `stint-agent carries out on this host what Stint orders for it: it lends access to
accounts and takes it away again. It dials out and listens to nobody, takes only
orders that are signed for this host, keeps its own clock and a list of what it made,
and takes that away on time when Stint cannot be reached, and after a reboot.

  stint-agent enroll      make this host one of Stint's, once, with a one-time code
  stint-agent run         work until SIGTERM
  stint-agent elevate     run commands for people who have roles of the mechanism
                          elevate, recorded, until SIGTERM
  stint-agent status      what it trusts, whether it runs, and what is lent here
  stint-agent roster      what this host believes by itself, and what has to be shown for what
  stint-agent unit        print a unit for systemd
  stint-agent uninstall   take away everything that is lent, and the agent's settings

sshd's PAM service calls stint-agent pam-session; people do not.

Files
  /var/lib/stint-agent           key, pins and ledger; root's alone
  /etc/stint/roster.yaml         whose passkeys this host believes; where there is one
  /etc/ssh/stint                 what sshd reads
  /etc/ssh/sshd_config.d/00-stint.conf
  /etc/pam.d/sshd                two lines of it

Exit codes
  0 done    1 failure    2 a setting is wrong or not safe`

// flags are the settings.
type flags struct {
	state, server, code, ca, socket string
	roster                          string
	noSSHD                          bool
}

func command(stderr io.Writer) *cobra.Command {
	root := &cobra.Command{Use: "stint-agent", Short: "Carry out on this host what Stint orders for it", Long: rootHelp, SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true}, Args: noArgs}
	root.Version = versionText()
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err.Error()) })
	root.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	var f flags
	enroll := &cobra.Command{Use: "enroll --server URL --code-file FILE", Short: "Make this host one of Stint's, once", Args: noArgs,
		Long: "Make this host one of Stint's, with the code that an administrator made for it:\nstint admin host enroll RESOURCE. The code also says which key orders are signed with, so\nthat nobody else can answer in Stint's place.\n\n" +
			"It writes sshd's settings and the PAM lines first, has sshd check them (sshd -t), and puts\neverything back if they do not pass. Start the agent afterwards: it has sshd read them.",
		Example: "  stint-agent enroll --server https://stint.example:7420 --code-file - < code\n  stint-agent unit > /etc/systemd/system/stint-agent.service\n  systemctl enable --now stint-agent",
		RunE:    func(c *cobra.Command, _ []string) error { return f.enroll(c.Context(), c.InOrStdin(), c.OutOrStdout()) }}
	enroll.Flags().StringVar(&f.server, "server", "", "the address of Stint, like https://stint.example:7420")
	enroll.Flags().StringVar(&f.code, "code-file", "", "the file with the one-time code; - is standard input")
	enroll.Flags().StringVar(&f.ca, "ca-file", "", "the certificate authority of Stint's server, PEM, where the system does not know it")
	enroll.Flags().BoolVar(&f.noSSHD, "no-sshd", false, "leave sshd and PAM as they are: somebody else sets them up")
	run := &cobra.Command{Use: "run", Short: "Work until SIGTERM", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c.Context(), stderr) }}
	status := &cobra.Command{Use: "status", Short: "Print what it trusts, whether it runs, and what is lent here", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.status(c.OutOrStdout()) }}
	uninstall := &cobra.Command{Use: "uninstall", Short: "Take away everything that is lent, and the agent's settings", Args: noArgs,
		Long: "Take away everything that is lent on this host, sshd's settings and the PAM lines, and the\nagent's key. Stop the agent first. What cannot be taken away stays, with the ledger, and\nthe command fails. Then revoke the agent: stint admin host revoke RESOURCE.",
		RunE: func(c *cobra.Command, _ []string) error { return f.uninstall(c.Context(), c.OutOrStdout(), stderr) }}
	uninstall.Flags().BoolVar(&f.noSSHD, "no-sshd", false, "leave sshd and PAM as they are")
	elevated := &cobra.Command{Use: "elevate", Short: "Run commands for people with more privilege, recorded, until SIGTERM", Args: noArgs,
		Long: "Serve the socket by which stint elevate runs one command with more privilege: exactly what\nthe person's role names, as long as the agent's ledger says, recorded, and ended with\neverything that it started. It is a unit of its own beside the agent: what it runs must not\nbe in the agent's sandbox.",
		RunE: func(c *cobra.Command, _ []string) error { return f.elevate(c.Context(), stderr) }}
	elevated.Flags().StringVar(&f.socket, "socket", elevate.Socket, "the socket; in the same folder it says which host this is")
	for _, c := range []*cobra.Command{enroll, run, elevated, status, uninstall} {
		c.Flags().StringVar(&f.state, "state", "/var/lib/stint-agent", "the folder of the agent: key, pins and ledger")
		c.Flags().SortFlags = false
	}
	for _, c := range []*cobra.Command{run, status} {
		c.Flags().StringVar(&f.roster, "roster", rosterPath, "what this host believes by itself: see stint-agent roster --help")
	}
	root.AddCommand(enroll, run, elevated, status, f.rosterCommands(), uninstall,
		&cobra.Command{Use: "pam-session", Short: "What sshd's PAM service calls when a session opens and closes", Args: noArgs, Hidden: true,
			RunE: func(*cobra.Command, []string) error { return host.PAMSession(host.Config{}, os.Environ()) }},
		&cobra.Command{Use: "unit [elevate]", Short: "Print a unit for systemd: the agent's, or that of stint-agent elevate",
			Args: func(_ *cobra.Command, args []string) error {
				if len(args) == 1 && args[0] == elevateFolder {
					return nil
				}
				return noArgs(nil, args)
			},
			RunE: func(c *cobra.Command, args []string) error {
				text := unit
				if len(args) > 0 {
					text = elevateUnit
				}
				_, err := io.WriteString(c.OutOrStdout(), text)
				return err
			}},
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
	return access.Fail(access.Invalid, "usage", what).Try("stint-agent --help says what there is")
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
