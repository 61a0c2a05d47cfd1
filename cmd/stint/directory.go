package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func directoryPath(name string) string {
	return "/admin/integrations/" + url.PathEscape(name) + "/directory"
}

func (c *cli) directoryCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "directory", Short: "Directories: LDAP and Active Directory"}
	cmd.AddCommand(c.directoryShowCmd(), c.directoryTestCmd(), c.directorySyncCmd())
	return cmd
}

func (c *cli) directoryShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "How a directory is doing, and who waits for a confirmation",
		Long: "How a directory is doing: when it was read, what is wrong with which entries, and\n" +
			"whether more people are gone than is believed. Then nobody loses anything until an\n" +
			"administrator confirms with stint admin directory sync NAME --confirm.",
		Example: "  stint admin directory show corp-ad",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			var d api.Directory
			if err := conn.Do(cmd.Context(), http.MethodGet, directoryPath(args[0]), nil, &d); err != nil {
				return err
			}
			return c.showDirectory(d)
		},
	}
}

func (c *cli) showDirectory(d api.Directory) error {
	pairs := []string{"directory", d.Integration, "read", timeFact(d.ReadAt, c), "read as a whole", timeFact(d.WholeAt, c),
		"users", strconv.Itoa(d.Users), "groups", strconv.Itoa(d.Groups)}
	if d.Trouble != "" {
		pairs = append(pairs, "cannot be read since", timeFact(d.Since, c), "because", d.Trouble)
	}
	if h := d.Held; h != nil {
		pairs = append(pairs, "gone, and not believed", fmt.Sprintf("%d of %d: %s …", h.Gone, h.Of, strings.Join(h.Sample, ", ")),
			"if it is right", "stint admin directory sync "+d.Integration+" --confirm "+h.Confirm)
	}
	return c.show(result{value: d, names: []string{d.Integration}, text: facts(pairs...) + problemText(d.Problems, d.More)})
}

// problemText lists what is wrong with entries, each on a line of its own.
func problemText(all []api.DirectoryProblem, more int) string {
	var b strings.Builder
	for _, p := range all {
		b.WriteString("passed over: " + printable(p.Entry) + ": " + printable(p.Why) + "\n")
	}
	if more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	return b.String()
}

func (c *cli) directoryTestCmd() *cobra.Command {
	var t api.DirectoryTest
	cmd := &cobra.Command{
		Use:   "test NAME",
		Short: "Read a directory and change nothing",
		Long: "Read a directory as its document says, and change nothing: how many people and groups\n" +
			"are found, what is wrong with which entries, and with --user what it says of somebody.",
		Example: "  stint admin directory test corp-ad --user mira",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			var d api.DirectoryTested
			if err := conn.Do(cmd.Context(), http.MethodPost, directoryPath(args[0])+"/test", t, &d); err != nil {
				return err
			}
			pairs := []string{"directory", d.Integration, "users", strconv.Itoa(d.Users), "of them active", strconv.Itoa(d.Active),
				"groups", strconv.Itoa(d.Groups), "memberships", strconv.Itoa(d.Memberships), "took", (time.Duration(d.TookMS) * time.Millisecond).String()}
			for _, u := range d.Found {
				state := "active"
				if !u.Active {
					state = "disabled"
				}
				pairs = append(pairs, printable(u.Name), state+", subject "+u.Subject+", in "+strings.Join(u.Groups, ", "))
			}
			if t.Name != "" && len(d.Found) == 0 {
				pairs = append(pairs, printable(t.Name), "nobody is called so there")
			}
			return c.show(result{value: d, names: []string{d.Integration}, text: facts(pairs...) + problemText(d.Problems, d.More)})
		},
	}
	cmd.Flags().StringVar(&t.Name, "user", "", "somebody to look up by their name there")
	return cmd
}

func (c *cli) directorySyncCmd() *cobra.Command {
	var s api.DirectorySync
	cmd := &cobra.Command{
		Use:   "sync NAME",
		Short: "Read a directory as a whole, now",
		Long: "Read a directory as a whole, now, and wait until that was done. It is also done by\n" +
			"itself. With --confirm those leave whom show names as gone and not believed: look at\n" +
			"the directory first, because all that they hold ends.",
		Example: "  stint admin directory sync corp-ad\n  stint admin directory sync corp-ad --confirm 9f86d081884c7d65",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			var order api.DirectoryOrdered
			if err := conn.Do(cmd.Context(), http.MethodPost, directoryPath(args[0])+"/sync", s, &order); err != nil {
				return err
			}
			d, err := directoryAnswered(cmd.Context(), conn, args[0], order.Order)
			if err != nil {
				return err
			}
			return c.showDirectory(d)
		},
	}
	cmd.Flags().StringVar(&s.Confirm, "confirm", "", "what show says to confirm")
	return cmd
}

// directoryAnswered waits until an order to read was carried out.
func directoryAnswered(ctx context.Context, conn *connection, name string, order int64) (d api.Directory, err error) {
	for {
		if err = conn.Do(ctx, http.MethodGet, directoryPath(name), nil, &d); err != nil || d.Answered >= order {
			return d, err
		}
		select {
		case <-ctx.Done():
			return d, ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
		d = api.Directory{}
	}
}
