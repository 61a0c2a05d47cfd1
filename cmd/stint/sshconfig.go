package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/wholefile"
)

// sshDomain ends the names by which OpenSSH knows our hosts.
const sshDomain = ".stint"

// whyVariable is where ssh, rsync or Ansible say the reason for what they need.
const whyVariable = "STINT_WHY"

func (c *cli) sshConfigCmd() *cobra.Command {
	var ask asking
	var write bool
	var prepare string
	cmd := &cobra.Command{
		Use:   "ssh-config [--write] [--as ROLE --for DURATION]",
		Short: "Let ssh, scp, rsync, git and Ansible connect through Stint",
		Long: "Print a configuration of OpenSSH, by which RESOURCE.stint is a host for everything\n" +
			"that uses OpenSSH: ssh, scp, rsync, git, Ansible, editors. Before it connects, it has\n" +
			"stint see to access: an active grant of yours is used; else access is asked for, with\n" +
			"--as and --for as they are given here and the reason in " + whyVariable + ", and waited\n" +
			"for. With --write it is put into STINT_HOME, to be included from ~/.ssh/config.\n\n" +
			"The names are written out, one for each host there is: what somebody gives to ssh as\n" +
			"a host never reaches a shell. Run it again when there are new ones.",
		Example: "  stint ssh-config --write --as deploy --for 1h\n" +
			"  " + whyVariable + "=\"release 7\" rsync -a build/ web1.stint:/srv/app/",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if prepare != "" {
				return c.connecting(func() error { return c.prepareHost(cmd.Context(), prepare, &ask) })
			}
			return c.sshConfig(cmd.Context(), write, &ask)
		},
	}
	f := cmd.Flags()
	f.StringVar(&ask.role, "as", "", "the role to ask for")
	f.StringVar(&ask.span, "for", "", "for how long: 20s, 90m, 1h30m, 2d")
	f.BoolVar(&write, "write", false, "put it into STINT_HOME, and say what to include")
	f.StringVar(&prepare, "prepare", "", "see to access to this resource; what the configuration calls")
	return cmd
}

// sshConfig writes a block for each host.
func (c *cli) sshConfig(ctx context.Context, write bool, ask *asking) error {
	span, err := parseFor("for", ask.span)
	if err != nil {
		return err
	}
	if ask.role != "" && !access.ValidName(ask.role) {
		return usageError{errors.New("--as: " + quote(ask.role) + " is no name of a role")}
	}
	dir, err := c.sshDir()
	if err != nil {
		return err
	}
	program, err := ownPath()
	if err != nil {
		return err
	}
	conn, err := c.connect()
	if err != nil {
		return err
	}
	names, err := c.hosts(ctx, conn)
	if err != nil {
		return err
	}
	call := []string{program, "ssh-config"}
	if ask.role != "" {
		call = append(call, "--as", ask.role)
	}
	if span != "" {
		call = append(call, "--for", span)
	}
	text := "# Written by stint ssh-config; run it again when there are new hosts.\n"
	for _, n := range names {
		// The exec is of words that are all plain: no quotes, no tokens of OpenSSH's.
		text += fmt.Sprintf("\nMatch originalhost %s%s exec \"%s --prepare %s\"\n\tInclude %s\n", n, sshDomain, strings.Join(call, " "), n, sshPath(hostFile(dir, n)))
	}
	text += "\nMatch all\n" // what follows an Include is not of the last host's
	if !write {
		_, err := fmt.Fprint(c.out, text)
		return err
	}
	path := filepath.Join(dir, "config")
	if err := wholefile.Write(path, []byte(text)); err != nil {
		return stateError(path, cause(err), "make its folder writable, or set STINT_HOME to another")
	}
	c.say(fmt.Sprintf("hosts: %d; put this at the top of ~/.ssh/config, once:", len(names)))
	_, err = fmt.Fprintln(c.out, "Include "+sshPath(path))
	return err
}

// hosts are the resources that OpenSSH connects to.
func (c *cli) hosts(ctx context.Context, conn *connection) (names []string, err error) {
	for r, err := range api.Each(func(cursor string) (api.Page[api.Resource], error) {
		return conn.ListResources(ctx, api.List{Cursor: cursor})
	}) {
		if err != nil {
			return nil, err
		}
		if r.Type == "linux" && access.ValidName(r.Name) { // nothing else reaches a shell
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// prepareHost is what OpenSSH runs before it connects: when it ends with 0, there is
// access, and the file that the configuration includes says how. It has no stdin.
func (c *cli) prepareHost(ctx context.Context, resource string, ask *asking) error {
	if !access.ValidName(resource) {
		return usageError{errors.New("--prepare: " + quote(resource) + " is no name of a resource")}
	}
	if ask.why == "" {
		ask.why = c.env[whyVariable]
	}
	dir, err := c.sshDir()
	if err != nil {
		return err
	}
	path := hostFile(dir, resource)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) { // nobody connects by an old one
		return stateError(path, cause(err), "")
	}
	conn, err := c.hostConnection(ctx, resource)
	if err != nil {
		return err
	}
	if have, err := c.held(ctx, conn, resource, ask); err != nil {
		return err
	} else if have.ID == "" && (ask.why == "" || ask.role == "" || ask.span == "") { // nothing is asked for in silence
		return &api.Error{Kind: api.Denied, Code: "no-access", Message: "you have no access to " + resource,
			Why: "to ask for it takes a reason in " + whyVariable + ", and --as and --for when the configuration is written", Next: "ask with stint request " + resource + " --as ROLE --for DURATION --why TEXT, and connect again"}
	}
	_, files, login, err := c.certified(ctx, conn, resource, ask)
	if err != nil {
		return err
	}
	text := "HostName " + login.host + "\nPort " + login.port + "\nUser " + login.account + "\n"
	for _, s := range files.settings() {
		text += s[0] + " " + s[1] + "\n"
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return stateError(path, cause(err), "")
	}
	if err := wholefile.Write(path, []byte(text)); err != nil {
		return stateError(path, cause(err), "make its folder writable, or set STINT_HOME to another")
	}
	return nil
}

func hostFile(dir, resource string) string {
	return filepath.Join(dir, sshHostsDir, resource+".conf")
}

// ownPath is this program, if a shell and OpenSSH read its path as it is; else its name,
// for the shell to find.
func ownPath() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", wrong("no-path", "stint cannot tell where it is", cause(err), "")
	}
	for _, ch := range path {
		if !(ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z' || ch >= '0' && ch <= '9' || strings.ContainsRune("/._-+", ch)) {
			return "stint", nil
		}
	}
	return path, nil
}
