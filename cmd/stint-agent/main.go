// Command stint-agent carries out on a Linux host what Stint orders for it, and takes
// away on time what it made, whether Stint is there or not.
//
// It dials out and listens to nobody; it believes the orders key that it learnt when the
// host was enrolled, and nothing else that it is told.
package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"stint/internal/access"
	"stint/internal/connector/linux/host"
	"stint/internal/elevate"
	"stint/internal/program"
)

func main() {
	program.Begin(func(ctx context.Context) int { return Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr) })
}

// Main is the whole program, for main and for tests.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return program.Main(ctx, command(stderr), args, stdin, stdout, stderr)
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
	root := program.New("stint-agent", "Carry out on this host what Stint orders for it", rootHelp)
	var f flags
	enroll := &cobra.Command{Use: "enroll --server URL --code-file FILE", Short: "Make this host one of Stint's, once", Args: program.NoArgs,
		Long: "Make this host one of Stint's, with the code that an administrator made for it:\nstint admin host enroll RESOURCE. The code also says which key orders are signed with, so\nthat nobody else can answer in Stint's place.\n\n" +
			"It writes sshd's settings and the PAM lines first, has sshd check them (sshd -t), and puts\neverything back if they do not pass. Start the agent afterwards: it has sshd read them.",
		Example: "  stint-agent enroll --server https://stint.example:7420 --code-file - < code\n  stint-agent unit > /etc/systemd/system/stint-agent.service\n  systemctl enable --now stint-agent",
		RunE:    func(c *cobra.Command, _ []string) error { return f.enroll(c.Context(), c.InOrStdin(), c.OutOrStdout()) }}
	enroll.Flags().StringVar(&f.server, "server", "", "the address of Stint, like https://stint.example:7420")
	enroll.Flags().StringVar(&f.code, "code-file", "", "the file with the one-time code; - is standard input")
	enroll.Flags().StringVar(&f.ca, "ca-file", "", "the certificate authority of Stint's server, PEM, where the system does not know it")
	enroll.Flags().BoolVar(&f.noSSHD, "no-sshd", false, "leave sshd and PAM as they are: somebody else sets them up")
	run := &cobra.Command{Use: "run", Short: "Work until SIGTERM", Args: program.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c.Context(), stderr) }}
	status := &cobra.Command{Use: "status", Short: "Print what it trusts, whether it runs, and what is lent here", Args: program.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.status(c.OutOrStdout()) }}
	uninstall := &cobra.Command{Use: "uninstall", Short: "Take away everything that is lent, and the agent's settings", Args: program.NoArgs,
		Long: "Take away everything that is lent on this host, sshd's settings and the PAM lines, and the\nagent's key. Stop the agent first. What cannot be taken away stays, with the ledger, and\nthe command fails. Then revoke the agent: stint admin host revoke RESOURCE.",
		RunE: func(c *cobra.Command, _ []string) error { return f.uninstall(c.Context(), c.OutOrStdout(), stderr) }}
	uninstall.Flags().BoolVar(&f.noSSHD, "no-sshd", false, "leave sshd and PAM as they are")
	elevated := &cobra.Command{Use: "elevate", Short: "Run commands for people with more privilege, recorded, until SIGTERM", Args: program.NoArgs,
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
		&cobra.Command{Use: "pam-session", Short: "What sshd's PAM service calls when a session opens and closes", Args: program.NoArgs, Hidden: true,
			RunE: func(*cobra.Command, []string) error { return host.PAMSession(host.Config{}, os.Environ()) }},
		&cobra.Command{Use: "unit [elevate]", Short: "Print a unit for systemd: the agent's, or that of stint-agent elevate",
			Args: func(_ *cobra.Command, args []string) error {
				if len(args) == 1 && args[0] == elevateFolder {
					return nil
				}
				return program.NoArgs(nil, args)
			},
			RunE: func(c *cobra.Command, args []string) error {
				text := unit
				if len(args) > 0 {
					text = elevateUnit
				}
				_, err := io.WriteString(c.OutOrStdout(), text)
				return err
			}})
	return root
}

func unusable(what, why, next string) error {
	return access.Fail(access.Invalid, "unusable", what).Because(why).Try(next)
}
