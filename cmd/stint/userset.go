package main

import (
	"errors"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) userSetCmd() *cobra.Command {
	var groups []string
	var manager, mail string
	var noGroups, admin, auditor, author, enable bool
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Change a user's groups, manager, mail address or rights, or enable them again",
		Long: "Change a user's groups, manager, mail address or rights, or enable them again. What is\n" +
			"not given stays as it is; --group gives all groups from now on, not one more. The change counts\n" +
			"with the user's next call, and what they hold is decided again at once: access that\n" +
			"a group gave ends with it. Nobody takes their own right to administer away.\n" +
			"Where there are two administrators, a right is given by both: it waits as a proposal,\n" +
			"with exit code 8. To take one away takes nobody.\n\n" +
			"Who was disabled has no login: after --enable, give them a code with stint admin user\n" +
			"enroll. Services that they answer for stay disabled.",
		Example: "  stint admin user set mira --group platform --group dba --manager noor\n" +
			"  stint admin user set tomas --no-groups --admin=false",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			given := cmd.Flags().Changed
			u := api.UserSet{Enable: enable}
			switch {
			case noGroups && len(groups) > 0:
				return usageError{errors.New("--group and --no-groups exclude each other")}
			case noGroups:
				u.Groups = []string{}
			case len(groups) > 0:
				u.Groups = groups
			}
			if given("manager") {
				u.Manager = &manager
			}
			if given("mail") {
				u.Mail = &mail
			}
			if given("admin") {
				u.Admin = &admin
			}
			if given("auditor") {
				u.Auditor = &auditor
			}
			if given("policy-author") {
				u.Author = &author
			}
			if u.Groups == nil && u.Manager == nil && u.Mail == nil && u.Admin == nil && u.Auditor == nil && u.Author == nil && !u.Enable {
				return usageError{errors.New("nothing to change: give --group, --no-groups, --manager, --mail, --admin, --auditor, --policy-author or --enable")}
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			now, err := conn.SetUser(cmd.Context(), args[0], u)
			if err != nil {
				return err
			}
			names, t := c.userTable([]api.User{now})
			if err := c.show(result{value: now, names: names, table: t}); err != nil || now.Proposal == nil {
				return err
			}
			return c.proposed(now.Proposal)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&groups, "group", nil, "a group to be in, instead of those before; may be repeated")
	f.BoolVar(&noGroups, "no-groups", false, "to be in no group")
	f.StringVar(&manager, "manager", "", "the user whom policies call manager; empty for nobody")
	f.StringVar(&mail, "mail", "", "where messages about what they ask for reach them; empty for nowhere")
	f.BoolVar(&admin, "admin", false, "administers Stint; --admin=false takes it away")
	f.BoolVar(&auditor, "auditor", false, "reads the whole audit log; --auditor=false takes it away")
	f.BoolVar(&author, "policy-author", false, "writes roles and policies; --policy-author=false takes it away")
	f.BoolVar(&enable, "enable", false, "may sign in again after having been disabled")
	return cmd
}
