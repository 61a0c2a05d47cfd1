package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

const sshWords = "The key is this device's own, in STINT_HOME; the certificate for it is made for the\n" +
	"grant, ends with it, and is renewed when it is used after an hour. The host is known by\n" +
	"its certificate: nobody is asked whether a fingerprint is right. Your ~/.ssh/config\n" +
	"applies for all else. "

func (c *cli) sshCmd() *cobra.Command {
	var ask asking
	cmd := &cobra.Command{
		Use:   "ssh RESOURCE [--as ROLE --for DURATION --why TEXT] [-- command]",
		Short: "Connect to a host, asking for access when needed",
		Long: "Connect to a host with OpenSSH. An active grant of yours is used; else access is asked\n" +
			"for with --as, --for and --why, and waited for. The grant goes on after ssh ends; give\n" +
			"it back with stint end. On a terminal you are told 5 minutes and 1 minute before it\n" +
			"ends.\n\n" + sshWords + "For ssh, scp, rsync, git and Ansible by themselves see\n" +
			"stint ssh-config.",
		Example: "  stint ssh web1 --as deploy --for 30m --why \"disk full\"\n" +
			"  stint ssh web1 -- uptime",
		Args:        connectArgs,
		Annotations: map[string]string{startsChild: ""},
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.connecting(func() error { return c.ssh(cmd.Context(), args[0], args[1:], &ask) })
		},
	}
	ask.flags(cmd, c)
	ask.glassFlag(cmd)
	cmd.ValidArgsFunction = c.completeResources
	return cmd
}

func (c *cli) sftpCmd() *cobra.Command {
	var ask asking
	cmd := &cobra.Command{
		Use:   "sftp RESOURCE [--as ROLE --for DURATION --why TEXT] [-- sftp options]",
		Short: "Move files to and from a host by hand",
		Long: "Open a session of OpenSSH's sftp on a host, asking for access when needed, as stint\n" +
			"ssh does.",
		Example:     "  stint sftp web1\n  stint sftp web1 -- -b commands.txt",
		Args:        connectArgs,
		Annotations: map[string]string{startsChild: ""},
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.connecting(func() error {
				return c.overSSH(cmd.Context(), "sftp", args[0], &ask, func(l sshLogin) []string {
					return append(append(append([]string{}, l.options...), args[1:]...), "-P", l.port, "--", l.remote(""))
				})
			})
		},
	}
	ask.flags(cmd, c)
	cmd.ValidArgsFunction = c.completeResources
	return cmd
}

func (c *cli) scpCmd() *cobra.Command {
	var ask asking
	cmd := &cobra.Command{
		Use:   "scp SOURCE... TARGET [--as ROLE --for DURATION --why TEXT] [-- scp options]",
		Short: "Copy files to or from a host",
		Long: "Copy files with OpenSSH's scp, asking for access when needed, as stint ssh does. What\n" +
			"is on the host is RESOURCE:PATH, and all of it is on one; a local path with a colon\n" +
			"begins with ./ or /.",
		Example: "  stint scp web1:/var/log/syslog .\n" +
			"  stint scp app.conf web1:/etc/app/ --as deploy --for 5m --why \"new limits\" -- -p",
		Args: func(cmd *cobra.Command, args []string) error {
			dash := cmd.ArgsLenAtDash()
			if dash < 0 {
				dash = len(args)
			}
			if dash < 2 {
				return errors.New("SOURCE and TARGET are missing")
			}
			return nil
		},
		Annotations: map[string]string{startsChild: ""},
		RunE: func(cmd *cobra.Command, args []string) error {
			dash := cmd.ArgsLenAtDash()
			if dash < 0 {
				dash = len(args)
			}
			return c.connecting(func() error { return c.scp(cmd.Context(), args[:dash], args[dash:], &ask) })
		},
	}
	ask.flags(cmd, c)
	return cmd
}

func (c *cli) ssh(ctx context.Context, resource string, command []string, ask *asking) error {
	return c.overSSH(ctx, "ssh", resource, ask, func(l sshLogin) []string {
		args := append(append([]string{}, l.options...), "-p", l.port, "-l", l.account, "--", l.host)
		return append(args, command...)
	})
}

func (c *cli) scp(ctx context.Context, paths, options []string, ask *asking) error {
	resource, err := copied(paths)
	if err != nil {
		return err
	}
	return c.overSSH(ctx, "scp", resource, ask, func(l sshLogin) []string {
		args := append(append(append([]string{}, l.options...), options...), "-P", l.port, "--")
		for _, p := range paths {
			if _, path, on := onHost(p); on {
				p = l.remote(path)
			}
			args = append(args, p)
		}
		return args
	})
}

// onHost splits RESOURCE:PATH. As for scp itself, a path with a slash before its colon
// is a local one.
func onHost(p string) (resource, path string, on bool) {
	resource, path, on = strings.Cut(p, ":")
	if !on || resource == "" || strings.Contains(resource, "/") {
		return "", "", false
	}
	return resource, path, true
}

// copied is the one resource that paths name.
func copied(paths []string) (resource string, err error) {
	for _, p := range paths {
		r, _, on := onHost(p)
		switch {
		case !on:
		case resource == "":
			resource = r
		case r != resource:
			return "", usageError{errors.New("the paths are on two hosts, " + quote(resource) + " and " + quote(r) + "; copy by way of this device")}
		}
	}
	if resource == "" {
		return "", usageError{errors.New("none of the paths is on a host: write it as RESOURCE:PATH")}
	}
	return resource, nil
}

// sshLogin is what OpenSSH's programs are told: nothing of it is secret.
type sshLogin struct {
	options             []string
	host, port, account string
}

// remote is a path on the host, as scp and sftp have it.
func (l sshLogin) remote(path string) string {
	host := l.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if strings.Contains(l.account, "@") { // the options say it
		return host + ":" + path
	}
	return l.account + "@" + host + ":" + path
}

// overSSH obtains access to a host and runs a program of OpenSSH with it.
func (c *cli) overSSH(ctx context.Context, program, resource string, ask *asking, args func(sshLogin) []string) error {
	if _, err := parseFor("for", ask.span); err != nil { // also where it will not be needed
		return err
	}
	path, err := exec.LookPath(program) // before anybody is bothered
	if err != nil {
		return &api.Error{Kind: api.NotFound, Code: "no-ssh", Message: program + " was not found",
			Why: "stint " + program + " runs that of OpenSSH", Next: "install it (Debian: apt install openssh-client)"}
	}
	conn, err := c.hostConnection(ctx, resource)
	if err != nil {
		return err
	}
	r, _, login, err := c.certified(ctx, conn, resource, ask)
	if err != nil {
		return err
	}
	c.say("connecting as " + printable(login.account) + "; access ends " + clock(r.Grant.ExpiresAt.Time, c.now()))
	warned, stop := context.WithCancel(ctx)
	defer stop()
	if c.tty.err {
		go c.warnOfEnd(warned, conn, r)
	}
	code, err := c.child(path, args(login), c.childEnv(r, map[string]string{}))
	stop()
	if err != nil {
		return err
	}
	c.hint("access goes on until " + clock(r.Grant.ExpiresAt.Time, c.now()) + "; give it back with stint end " + printable(r.ID))
	return ended{code}
}

// certified obtains access and a certificate for it, and says how to log in by it.
func (c *cli) certified(ctx context.Context, conn *connection, resource string, ask *asking) (r api.Request, files sshFiles, login sshLogin, err error) {
	if r, err = c.obtain(ctx, conn, resource, ask); err != nil {
		return r, files, login, err
	}
	if files, err = c.certify(ctx, conn, r); err != nil {
		return r, files, login, err
	}
	login, err = files.login()
	return r, files, login, err
}

// hostConnection makes the connection and sees that the resource is a host.
func (c *cli) hostConnection(ctx context.Context, resource string) (*connection, error) {
	conn, res, err := c.reach(ctx, resource)
	if err != nil {
		return nil, err
	}
	if res.Type != "linux" {
		return nil, wrong("not-a-host", resource+" is of type "+res.Type+", and no host", "OpenSSH connects to resources of type linux", instead(res))
	}
	return conn, nil
}

// What the server says of where to go is put into arguments and files of OpenSSH's, whose
// lines can run programs. Nothing in these forms is an option, a pattern or a second line.
var (
	sshAccount  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}(@[A-Za-z0-9][A-Za-z0-9._-]{0,62})?$`) // through a gateway with the resource
	sshHostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?$`)
)

func sshHost(text string) bool {
	a, err := netip.ParseAddr(text)
	return sshHostName.MatchString(text) || err == nil && a.Zone() == ""
}

func sshPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == text
}

// login is what the programs are told of a certificate.
func (f sshFiles) login() (sshLogin, error) {
	if len(f.cert.Logins) != 1 {
		return sshLogin{}, wrong("several-hosts", "the grant is for "+strconv.Itoa(len(f.cert.Logins))+" hosts at once", "OpenSSH connects to one", "ask for one resource alone")
	}
	at := f.cert.Logins[0]
	host, port, err := net.SplitHostPort(at.Address)
	if err != nil || !sshHost(host) || !sshPort(port) || !sshAccount.MatchString(at.Account) {
		return sshLogin{}, &api.Error{Kind: api.Internal, Code: "bad-login", Message: "the server says no address and account to connect to"}
	}
	l := sshLogin{host: host, port: port, account: at.Account}
	for _, o := range f.settings() {
		l.options = append(l.options, "-o", o[0]+"="+o[1])
	}
	if strings.Contains(l.account, "@") {
		l.options = append(l.options, "-o", "User="+l.account)
	}
	return l, nil
}
