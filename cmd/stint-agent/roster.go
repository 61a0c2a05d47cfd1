package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/program"
	"stint/internal/roster"
	"stint/internal/wholefile"
)

// rosterPath is where the roster usually lies, and rosterMark the file in the agent's state
// that says that there was one.
const (
	rosterPath = "/etc/stint/roster.yaml"
	rosterMark = "rostered"
)

const rosterHelp = `A roster is a file with which this host decides for itself what it does for its control
plane: whose passkeys it believes, how many of them must have signed what, and what is
never done. Put it there as you put other settings on your hosts, never by way of Stint;
root owns it and the folders above it, and nobody else can write them.

Once there was one, its absence lets nothing new be made, until stint-agent roster drop.
What takes access away is never held up by it.

stint admin host roster prints one to begin with. Compare its keys before you install it.`

// rosters reads the file again whenever it is asked.
type rosters struct {
	path, mark string
	named      bool // somebody said where it is: there has to be one
}

func (f flags) rosters() rosters {
	return rosters{cmp.Or(f.roster, rosterPath), f.path(rosterMark), f.roster != "" && f.roster != rosterPath}
}

// look reads the one that counts now, and changes nothing; fresh says that it is the first. A file that
// was taken away is not one that never was, and one that was named is not one that need not be.
func (r rosters) look() (x roster.Roster, fresh bool, err error) {
	x, err = roster.Load(r.path)
	_, mark := os.Stat(r.mark)
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return x, mark != nil, err
	case !errors.Is(mark, fs.ErrNotExist):
		return x, false, access.Fail(access.Denied, "roster-missing", "the roster of this host is gone, and nothing new is made").
			Because("there is no " + r.path + ", and there was one").Try("put it back, or do without: stint-agent roster drop")
	case r.named:
		return x, false, access.Fail(access.Denied, "roster-missing", "there is no roster at "+r.path+", and nothing new is made").
			Because("--roster says that there is one").Try("put it there; without --roster there need be none")
	}
	return x, false, fs.ErrNotExist
}

// Roster is the one that counts now. That there was one is kept.
func (r rosters) Roster() (roster.Roster, error) {
	x, fresh, err := r.look()
	if fresh {
		if e := wholefile.Write(r.mark, []byte("this host has a roster\n")); e != nil {
			return x, errors.Join(err, access.Fail(access.Unavailable, "roster-mark", "that this host has a roster cannot be kept").Wrap(e))
		}
	}
	return x, err
}

func (f *flags) rosterCommands() *cobra.Command {
	root := &cobra.Command{Use: "roster", Short: "What this host believes by itself, and what has to be shown for what", Long: rosterHelp, Args: program.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	show := &cobra.Command{Use: "show", Short: "Print the people, their passkeys and the ceiling", Args: program.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.showRoster(c.OutOrStdout()) }}
	check := &cobra.Command{Use: "check", Short: "Check that it can be used, and say what it may not be meant to allow", Args: program.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.checkRoster(c.OutOrStdout()) }}
	drop := &cobra.Command{Use: "drop", Short: "Do without a roster from now on, once its file is gone", Args: program.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.dropRoster(c.OutOrStdout()) }}
	for _, c := range []*cobra.Command{show, check, drop} {
		c.Flags().StringVar(&f.roster, "roster", rosterPath, "the file")
		c.Flags().StringVar(&f.state, "state", "/var/lib/stint-agent", "the folder of the agent")
		c.Flags().SortFlags = false
	}
	root.AddCommand(show, check, drop)
	return root
}

func (f flags) readRoster() (roster.Roster, error) {
	r, err := roster.Load(cmp.Or(f.roster, rosterPath))
	if errors.Is(err, fs.ErrNotExist) {
		err = access.Fail(access.NotFound, "no-roster", "there is no roster at "+f.roster).Try("stint-agent roster --help says what that is")
	}
	if err == nil {
		if p, e := f.readPins(); e == nil {
			err = r.For(p.Pins.Host)
		}
	}
	return r, err
}

func (f flags) showRoster(out io.Writer) error {
	r, err := f.readRoster()
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, p := range r.Passkeys {
		fmt.Fprintf(&b, "%s  %q  %q  %s  %q\n", p.Digest(), p.Person, p.Name, p.Level(), p.Origin)
	}
	fmt.Fprintln(&b, r.Ceiling.Text())
	fmt.Fprintln(&b, "what no rule holds is never done")
	_, err = io.WriteString(out, b.String())
	return err
}

func (f flags) checkRoster(out io.Writer) error {
	r, err := f.readRoster()
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, d := range r.Doubts() {
		fmt.Fprintln(&b, "warning: "+d)
	}
	fmt.Fprintf(&b, "good: %d passkeys, %d rules\n", len(r.Passkeys), len(r.Ceiling.Rules))
	_, err = io.WriteString(out, b.String())
	return err
}

func (f flags) dropRoster(out io.Writer) error {
	if _, err := os.Lstat(f.roster); !errors.Is(err, fs.ErrNotExist) {
		return access.Fail(access.Conflict, "roster-there", f.roster+" is there").Try("take it away first, and with it from whatever puts it there")
	}
	if err := os.Remove(f.path(rosterMark)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err := fmt.Fprintln(out, "this host has no roster: its control plane decides alone what is made here")
	return err
}

// ceilingOut is a ceiling as the control plane is told it. One beyond the bounds of that is
// not told: the question that brings it also asks what ended early, and must be answered.
func ceilingOut(c access.Ceiling) *api.HostCeiling {
	untold := &api.HostCeiling{Untold: true}
	if len(c.Rules) > api.MaxHostRules {
		return untold
	}
	out := &api.HostCeiling{Why: c.Why[:min(len(c.Why), 1000)]}
	for _, r := range c.Rules {
		if len(r.Mechanisms) > api.MaxRuleMechanisms || max(len(r.Accounts), len(r.Rights), len(r.RunAs)) > api.MaxRuleNames {
			return untold
		}
		x := api.HostRule{Accounts: r.Accounts, Rights: r.Rights, RunAs: r.RunAs, Longest: api.FormatDuration(r.Longest), Approvals: r.Approvals}
		for _, m := range r.Mechanisms {
			x.Mechanisms = append(x.Mechanisms, string(m))
		}
		if r.Approvals > 0 {
			x.Level, x.Fresh = r.Level.String(), api.FormatDuration(r.Fresh)
		}
		out.Rules = append(out.Rules, x)
	}
	if text, err := json.Marshal(out); err != nil || len(text) > api.MaxHostCeiling {
		return untold
	}
	return out
}
