// Command stint-gateway carries sessions of persons to targets, records them, and ends
// them on time, whether Stint is there or not.
//
// It decides nothing: each session is a permit of the control plane's. It listens to
// persons, dials out to targets and to the control plane, and nobody else reaches it.
package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"stint/internal/access"
	"stint/internal/program"
)

func main() {
	program.Begin(func(ctx context.Context) int { return Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr) })
}

// Main is the whole program, for main and for tests.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return program.Main(ctx, command(stderr), args, stdin, stdout, stderr)
}

const rootHelp = `stint-gateway carries sessions from persons to hosts, by SSH, to PostgreSQL servers and to
web applications, records them, and cuts them when their grant ends, by its own clock when Stint cannot be
reached.

  stint-gateway enroll    make this a gateway of Stint's, once, with a one-time code
  stint-gateway run       work until SIGTERM
  stint-gateway status    what it trusts, and whether it runs
  stint-gateway unit      print a unit for systemd

Files
  /var/lib/stint-gateway            its own alone
    key.json, gateway.json          its key, and who its control plane is
    ssh_host_ed25519_key            by which persons know it; Stint signs a certificate for it
    postgres.pem                    likewise, for clients of PostgreSQL
    web.pem, assertions.pem         likewise, for browsers; and the key that says who requests are
    recordings/                     those that are not kept elsewhere yet

Exit codes
  0 done    1 failure    2 a setting is wrong or not safe`

// flags are the settings.
type flags struct {
	state, server, code, ca string
	listen, status          string
	postgres                string
	http, domain, cert, key string
	tcp                     string
}

func command(stderr io.Writer) *cobra.Command {
	root := program.New("stint-gateway", "Carry and record sessions", rootHelp)
	var f flags
	enroll := &cobra.Command{Use: "enroll --server URL --code-file FILE", Short: "Make this a gateway of Stint's, once", Args: program.NoArgs,
		Long:    "Make this a gateway of Stint's, with the code that an administrator made for it:\nstint admin gateway enroll NAME --address HOST:PORT.",
		Example: "  stint-gateway enroll --server https://stint.example:7420 --code-file - < code\n  stint-gateway unit > /etc/systemd/system/stint-gateway.service\n  systemctl enable --now stint-gateway",
		RunE:    func(c *cobra.Command, _ []string) error { return f.enroll(c.Context(), c.InOrStdin(), c.OutOrStdout()) }}
	enroll.Flags().StringVar(&f.server, "server", "", "the address of Stint, like https://stint.example:7420")
	enroll.Flags().StringVar(&f.code, "code-file", "", "the file with the one-time code; - is standard input")
	enroll.Flags().StringVar(&f.ca, "ca-file", "", "the certificate authority of Stint's server, PEM, where the system does not know it")
	run := &cobra.Command{Use: "run", Short: "Work until SIGTERM", Args: program.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c.Context(), stderr) }}
	run.Flags().StringVar(&f.listen, "listen", ":2022", "where persons connect by SSH")
	run.Flags().StringVar(&f.postgres, "postgres", "", "where clients of PostgreSQL connect, like :6432; empty: nowhere")
	run.Flags().StringVar(&f.http, "http", "", "where browsers and HTTP clients connect, like :8443; empty: nowhere")
	run.Flags().StringVar(&f.tcp, "tcp", "", "where stint proxy connects for whatever else speaks TCP, like :8444; empty: nowhere")
	run.Flags().StringVar(&f.domain, "http-domain", "", "the domain in which each web application, and each port, has a host, like apps.example")
	run.Flags().StringVar(&f.cert, "http-cert", "", "the certificate for all hosts of that domain, PEM, with its chain; without it, one of its own making")
	run.Flags().StringVar(&f.key, "http-key", "", "the key of that certificate, PEM")
	run.Flags().StringVar(&f.status, "status", "127.0.0.1:9107", "where /readyz and /metrics are served; empty: nowhere")
	status := &cobra.Command{Use: "status", Short: "Print what it trusts, and whether it runs", Args: program.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.show(c.Context(), c.OutOrStdout()) }}
	status.Flags().StringVar(&f.status, "status", "127.0.0.1:9107", "where it serves /readyz")
	for _, c := range []*cobra.Command{enroll, run, status} {
		c.Flags().StringVar(&f.state, "state", "/var/lib/stint-gateway", "the folder of the gateway: keys and recordings")
		c.Flags().SortFlags = false
	}
	root.AddCommand(enroll, run, status,
		&cobra.Command{Use: "unit", Short: "Print a unit for systemd", Args: program.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { _, err := io.WriteString(c.OutOrStdout(), unit); return err }})
	return root
}

func unusable(what, why, next string) error {
	return access.Fail(access.Invalid, "unusable", what).Because(why).Try(next)
}
