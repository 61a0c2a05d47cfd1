package main

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) adminCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "admin", Short: "Users, services, agents, hosts, credentials, the vault, integrations, break-glass codes, doctor"}
	user := &cobra.Command{Use: "user", Short: "Users"}
	user.AddCommand(c.userAddCmd(), c.userSetCmd(), c.userEnrollCmd(), c.userDisableCmd(), c.userLockCmd(), c.userUnlockCmd(),
		c.userLinkCmd(), c.userUnlinkCmd())
	service := &cobra.Command{Use: "service", Short: "Services: programs that ask for access"}
	service.AddCommand(c.serviceAddCmd(), c.serviceListCmd())
	vendor := &cobra.Command{Use: "vendor", Short: "Vendors: people of another company, with a sponsor and a contract that ends"}
	vendor.AddCommand(c.vendorInviteCmd(), c.vendorListCmd(), c.vendorSetCmd(), c.vendorEndCmd())
	agent := &cobra.Command{Use: "agent", Short: "Agents: programs that act for one human, task by task"}
	agent.AddCommand(c.agentAddCmd(), c.agentListCmd())
	credential := &cobra.Command{Use: "credential", Short: "What Stint signs in to resources and integrations with"}
	credential.AddCommand(c.credentialSetCmd(), c.credentialListCmd(), c.credentialDeleteCmd())
	integration := &cobra.Command{Use: "integration", Short: "What is outside and Stint talks with"}
	integration.AddCommand(c.integrationTestCmd(), c.tokenCmd(), c.tokensCmd())
	cmd.AddCommand(user, vendor, service, agent, credential, integration, c.vaultCmd(), c.hostCmd(), c.gatewayCmd(), c.directoryCmd(), c.stopCmd(), c.resumeCmd(), c.twoPersonsCmd(), c.clockCmd(), c.backupCmd(), c.restoreCmd(), c.doctorCmd(), c.standingCmd(), c.adminGlassCmd())
	return cmd
}

func (c *cli) userAddCmd() *cobra.Command {
	var u api.UserAdd
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Create a user, and a one-time code for their first sign-in",
		Long: "Create a user, and a one-time code for their first sign-in. The code is shown once;\n" +
			"the user gives it to stint login --enroll-token-file.\n\n" +
			"Where there are two administrators, --admin, --auditor and --policy-author take both:\n" +
			"the user is made without, and the right waits as a proposal, with exit code 8.",
		Example: "  stint admin user add mira --group platform --manager noor -o json",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			u.Name = args[0]
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.AddUser(cmd.Context(), u)
			if err != nil {
				return err
			}
			if err := c.showEnrollment(done); err != nil || done.Proposal == nil {
				return err
			}
			return c.proposed(done.Proposal)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&u.Admin, "admin", false, "administers Stint; has no access to any resource by that")
	f.BoolVar(&u.Auditor, "auditor", false, "reads the whole audit log")
	f.BoolVar(&u.Author, "policy-author", false, "writes roles and policies of all resources, within their ceilings")
	f.StringArrayVar(&u.Groups, "group", nil, "a group to be in; may be repeated")
	f.StringVar(&u.Manager, "manager", "", "the user whom policies call manager")
	return cmd
}

// showEnrollment prints the code, which exists nowhere else.
func (c *cli) showEnrollment(done api.UserAdded) error {
	return c.show(result{value: done, names: []string{done.Principal},
		text: facts("user", done.Principal, "enroll token", done.EnrollToken.Reveal(), "good until", timeFact(done.ExpiresAt, c))})
}

func (c *cli) userEnrollCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "enroll NAME",
		Short: "Create a fresh one-time code for an existing user",
		Long:  "Create a fresh one-time code for an existing user: for another device, or when the\nlast login has ended. Codes from before that nobody used are worthless from then on.",
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			var done api.UserAdded
			path := "/admin/users/" + url.PathEscape(args[0]) + "/enroll"
			if err := conn.Do(cmd.Context(), http.MethodPost, path, nil, &done); err != nil {
				return err
			}
			return c.showEnrollment(done)
		},
	}
}

func (c *cli) userDisableCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "disable NAME",
		Short: "Disable a user, and end all they hold",
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.DisableUser(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			c.say("disabled " + printable(done.Principal) + "; ending " + plural(len(done.Grants), "grant", "grants"))
			t := newTable("!GRANT")
			for _, id := range done.Grants {
				t.row(id)
			}
			return c.show(result{value: done, names: []string{done.Principal}, table: t})
		},
	}
}

func (c *cli) serviceAddCmd() *cobra.Command {
	var s api.ServiceAdd
	cmd := &cobra.Command{
		Use:   "add NAME --owner NAME",
		Short: "Create a service, or renew one",
		Long: "Create a service, or renew one. The owner is the person who answers for it. With\n" +
			"--no-token it is known by what its platform says of it, in documents of the kind\n" +
			"Workload. Else there is a static token, which is shown once; the service gives it to\n" +
			"stint in STINT_TOKEN. Tokens from before are dead. It always ends: after 30 days unless\n" +
			"--for says it, and after 366 days at most.",
		Example: "  stint admin service add ci --owner mira --for 180d --group pipelines --no-token\n" +
			"  stint admin service add legacy --owner mira --for 7d -o json",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.Name = args[0]
			if s.Owner == "" {
				return usageError{errors.New("--owner is missing: the user who answers for the service")}
			}
			span, err := parseFor("for", s.For)
			if err != nil {
				return err
			}
			s.For = span
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.AddService(cmd.Context(), s)
			if err != nil {
				return err
			}
			return c.show(result{value: done, names: []string{done.Principal},
				text: facts("service", done.Principal, "token", done.Token.Reveal(), "good until", timeFact(done.ExpiresAt, c))})
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&s.Groups, "group", nil, "a group to be in; may be repeated")
	f.StringVar(&s.Owner, "owner", "", "the user who answers for it")
	f.StringVar(&s.For, "for", "", "how long it is good for: 12h, 180d; 30d if not given")
	f.BoolVar(&s.NoToken, "no-token", false, "make no static token")
	return cmd
}

func (c *cli) credentialSetCmd() *cobra.Command {
	var s api.CredentialSet
	var file string
	cmd := &cobra.Command{
		Use:   "set NAME --type TYPE --address ADDRESS --username U --password-file F",
		Short: "Register what Stint signs in to a resource or an integration with",
		Long: "Register what Stint signs in to a resource or an integration with. It is bound to type\n" +
			"and address, so that no document can send it elsewhere. The password, token or key is\n" +
			"read from a file, or from standard input for -: an argument could be read by others.",
		Example: "  stint admin credential set orders-connector --type postgres --address db1:5432 \\\n" +
			"      --username stint --password-file connector.pw\n" +
			"  stint admin credential set corp-sso --type oidc --address https://idp.example.com \\\n" +
			"      --username stint --password-file client.secret",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, m := range []struct{ flag, value string }{{"type", s.Type}, {"address", s.Address}, {"password-file", file}} {
				if m.value == "" {
					return usageError{errors.New("--" + m.flag + " is missing")}
				}
			}
			password, err := c.readSecret("password-file", file)
			if err != nil {
				return err
			}
			s.Password = password
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.SetCredential(cmd.Context(), args[0], s)
			if err != nil {
				return err
			}
			c.say("registered " + printable(done.Name))
			c.doubt(done)
			names, t := c.credentialTable([]api.ConnectorCredential{done})
			return c.show(result{value: done, names: names, table: t})
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.Type, "type", "", "the type of resource or integration: postgres, http, webhook")
	f.StringVar(&s.Address, "address", "", "the only address it may be sent to: HOST:PORT, of an integration its URL")
	f.StringVar(&s.Username, "username", "", "Stint's account there; integrations may have none")
	f.StringVar(&file, "password-file", "", "the file that holds the password (- for stdin)")
	return cmd
}

// doubt says what is probably not meant about a credential. That no document names it is
// how it is before the first apply, so it is no warning yet.
func (c *cli) doubt(cred api.ConnectorCredential) {
	word := "note"
	if len(cred.Resources)+len(cred.Integrations) > 0 {
		word = c.paint.warn("warning")
	}
	for _, w := range cred.Warnings {
		c.problem(word, w)
	}
}

func (c *cli) credentialTable(all []api.ConnectorCredential) (names []string, t *table) {
	t = newTable("NAME", "TYPE", "ADDRESS", "USERNAME", "SET", "USED BY")
	for _, cred := range all {
		names = append(names, cred.Name)
		t.row(cred.Name, cred.Type, cred.Address, cred.Username, ago(cred.UpdatedAt.Time, c.now()), strings.Join(slices.Concat(cred.Resources, cred.Integrations), ", "))
	}
	return names, t
}

func (c *cli) credentialListCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List what is registered, where it may be sent, and which documents name it",
		Long:  "List what is registered, where it may be sent, and which documents name it; never a\npassword. What does not fit a document is said on stderr.",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			return showKind(c, "", 0, conn.ListCredentials, nil, cmd.Context(), func(all []api.ConnectorCredential) ([]string, *table) {
				for _, cred := range all {
					c.doubt(cred)
				}
				return c.credentialTable(all)
			}, hints{none: "register one with stint admin credential set NAME --type TYPE --address HOST:PORT --username U --password-file F"})
		},
	}
}

func (c *cli) credentialDeleteCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a credential that no document names any more",
		Long:  "Delete a credential that no document names any more. It is refused while a document\nnames it, while access that was made with it is not yet read back as gone, or not yet\nexamined for what it left behind, and in quarantine.",
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.DeleteCredential(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			c.say("deleted " + printable(done.Name) + "; the login on the target is as it was")
			names, t := c.credentialTable([]api.ConnectorCredential{done})
			return c.show(result{value: done, names: names, table: t})
		},
	}
}

func (c *cli) stopCmd() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "stop --why TEXT",
		Short: "Grant nothing new until resumed",
		Long:  "Grant nothing new until stint admin resume. What is granted goes on, and still ends;\nto end it too, see stint revoke --all.",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if why == "" {
				return usageError{errors.New("--why is missing: everybody who asks will read it")}
			}
			return c.setStop(cmd, api.Stop{Stopped: true, Why: why})
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason; whoever asks reads it")
	return cmd
}

func (c *cli) resumeCmd() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "resume --why TEXT",
		Short: "Grant again, after a stop",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if why == "" {
				return usageError{errors.New("--why is missing: the audit log keeps it")}
			}
			return c.setStop(cmd, api.Stop{Why: why})
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the audit log")
	return cmd
}

func (c *cli) setStop(cmd *cobra.Command, s api.Stop) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	now, err := conn.SetStop(cmd.Context(), s)
	if err != nil {
		return err
	}
	word := "granting"
	if now.Stopped {
		word = "stopped"
	}
	c.say(map[bool]string{true: "stopped: nothing new is granted", false: "resumed: access is granted again"}[now.Stopped])
	return c.show(result{value: now, names: []string{word}})
}

func (c *cli) resourceCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "resource", Short: "Check a resource, compare a target with what should be there"}
	check := &cobra.Command{
		Use:   "check NAME",
		Short: "Prove that access can be created and removed there",
		Long:  "Prove, with a canary on the target, that access can be created and removed there, and\nthat the connector's account has no more rights than it needs.",
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			report, err := conn.CheckResource(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.showCheck(report)
		},
	}
	check.ValidArgsFunction = c.completeResources
	cmd.AddCommand(check, c.sweepCmd())
	return cmd
}

func (c *cli) sweepCmd() *cobra.Command {
	var ask api.SweepAsk
	cmd := &cobra.Command{
		Use:   "sweep NAME [--remove N --why TEXT]",
		Short: "Compare a target with what should be there",
		Long: "Compare a target with what should be there, now instead of within the minute. What is\nStint's own and has no live grant is removed, up to a budget; what is not is listed and never\n" +
			"touched: standing privilege, and things that only look like Stint's.\n\n" +
			"A sweep that finds more than its budget removes nothing and asks a person, because it has\nprobably misunderstood something, like a restored database. Look at what it lists, and if it\nis right, let it with --remove.",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := notNegative("remove", int64(ask.Remove)); err != nil {
				return err
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			report, err := conn.SweepResource(cmd.Context(), args[0], ask)
			if err != nil {
				return err
			}
			return c.showSweep(report)
		},
	}
	cmd.Flags().IntVar(&ask.Remove, "remove", 0, "let it remove up to `N` things (administrators)")
	cmd.Flags().StringVar(&ask.Why, "why", "", "the reason, needed with --remove")
	cmd.ValidArgsFunction = c.completeResources
	return cmd
}

func (c *cli) showSweep(report api.SweepReport) error {
	t := newTable("WHAT", "!FOUND")
	for _, kind := range []struct {
		what  string
		found []string
	}{{"unwanted", report.Unwanted}, {"foreign", report.Foreign}, {"standing", report.Standing}} {
		for _, f := range kind.found {
			t.row(kind.what, f)
		}
	}
	if err := c.show(result{value: report, names: []string{report.Resource}, table: t}); err != nil {
		return err
	}
	if len(report.Unwanted) > report.Ordered {
		c.fault(bracketed(report.Resource+": the sweep found more to remove than it may by itself, and removed nothing", "sweep-stopped"),
			"", "if the list is right: stint resource sweep "+report.Resource+" --remove "+strconv.Itoa(len(report.Unwanted))+" --why …")
		return ended{exitFailure}
	}
	return nil
}

// checkText is a line for each step, and below it, whole, what it found: details
// are sentences, which columns would cut.
func (c *cli) checkText(report api.CheckReport) string {
	const indent = "        "
	p := c.choosePaint(c.out, c.tty.out)
	var b strings.Builder
	for _, s := range report.Steps {
		word := "ok"
		if !s.OK {
			word = "failed"
		}
		b.WriteString(markState(p, word) + indent[len(word):] + printable(s.Name) + "\n")
		for _, line := range wrap(s.Detail, c.tty.width-len(indent)) {
			b.WriteString(indent + p.dim(line) + "\n")
		}
	}
	return b.String()
}

func (c *cli) showCheck(report api.CheckReport) error {
	if err := c.show(result{value: report, names: []string{report.Resource}, text: c.checkText(report)}); err != nil {
		return err
	}
	if report.OK {
		return nil
	}
	for _, s := range report.Steps {
		if !s.OK {
			c.fault(bracketed(report.Resource+": the check failed where it "+s.Name, "check-failed"), s.Detail, s.Fix)
		}
	}
	return ended{exitFailure}
}
