package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
	"stint/internal/backup"
	"stint/internal/moment"
	"stint/internal/program"
)

func (c *cli) backupCmd() *cobra.Command {
	var out, check, keyFile string
	cmd := &cobra.Command{
		Use:   "backup (--out FILE | --verify FILE)",
		Short: "Write a backup of the whole installation, or check one",
		Long: "Write a backup of the whole installation, taken while it runs, as of one moment. The file is\n" +
			"for either database, readable for its owner only, appears whole or not at all, and is checked\n" +
			"before it appears. That it was taken is in the audit log.\n\n" +
			"Secrets in it are sealed; the seal key is not in it. Keep that apart: with both, everything\n" +
			"is open. Without it the backup cannot be restored.\n\n" +
			"With --verify a file is checked without a server: its signature with the pinned key of the\n" +
			"audit log, or with --key, every digest, and the audit log in it against its checkpoint.",
		Example: "  stint admin backup --out stint-$(date +%F).backup\n  stint admin backup --verify stint-2026-03-01.backup",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (out == "") == (check == "") {
				return usageError{errors.New("give --out FILE to write a backup, or --verify FILE to check one")}
			}
			key, err := readKey(keyFile)
			if err != nil {
				return err
			}
			if check != "" {
				return c.verifyBackup(check, key)
			}
			return c.takeBackup(cmd.Context(), out, key)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the file to write, in the place of one that is there")
	cmd.Flags().StringVar(&check, "verify", "", "a backup to check")
	cmd.Flags().StringVar(&keyFile, "key", "", "a file with the log's public key; the pinned one if not given")
	return cmd
}

// backupView is what there is to say of a backup.
type backupView struct {
	File         string   `json:"file"`
	At           api.Time `json:"at"`
	Installation string   `json:"installation"`
	Epoch        int64    `json:"epoch"`
	Schema       int64    `json:"schema"`
	Program      string   `json:"program"`
	Rows         int64    `json:"rows"`
	Size         int64    `json:"size"` // of the audit log
	Root         string   `json:"root"`
	Checkpoint   string   `json:"checkpoint"`
}

func (c *cli) takeBackup(ctx context.Context, path, key string) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	if key == "" {
		if key, err = c.pinnedKey(conn.name); err != nil {
			return err
		}
	}
	var v backupView
	err = replaceFile("backup-unwritten", path, func(f *os.File) (err error) {
		if err = conn.Backup(ctx, f); err == nil {
			v, err = checkBackup(f, path, key)
		}
		return err
	})
	if err != nil {
		return err
	}
	c.say("the seal key is not in it; keep that apart")
	return c.showBackup(v)
}

func (c *cli) verifyBackup(path, key string) error {
	if key == "" {
		conn, _, err := c.dial()
		if err != nil {
			return err
		}
		if key, err = c.pinnedKey(conn.name); err != nil {
			return err
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return wrong("unreadable-file", "--verify: cannot read "+path, cause(err), "")
	}
	defer f.Close()
	v, err := checkBackup(f, path, key)
	if err != nil {
		return err
	}
	return c.showBackup(v)
}

// checkBackup reads a backup to its end. What is wrong with it is a failure, not
// a wrong use of the command.
func checkBackup(f *os.File, path, key string) (backupView, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return backupView{}, err
	}
	r, err := backup.Open(bufio.NewReaderSize(f, 1<<20))
	var found backup.Summary
	if err == nil {
		found, err = backup.Check(r, key)
	}
	if err != nil {
		return backupView{}, &api.Error{Kind: api.Internal, Code: "backup-damaged", Message: path + " is not a good backup", Why: err.Error(), Next: "use another one, and find out what happened to this one"}
	}
	m := r.Manifest
	return backupView{File: path, At: api.At(m.At), Installation: m.Installation, Epoch: m.Epoch, Schema: m.Schema, Program: m.Program,
		Rows: found.Rows, Size: m.Size, Root: m.Root, Checkpoint: m.Checkpoint}, nil
}

func (c *cli) showBackup(v backupView) error {
	c.say("the backup is whole: " + plural(int(v.Rows), "row", "rows") + ", " + plural(int(v.Size), "record of the log", "records of the log"))
	return c.show(result{value: v, names: []string{v.File}, text: facts("file", v.File, "taken", timeFact(v.At, c), "installation", v.Installation,
		"epoch", strconv.FormatInt(v.Epoch, 10), "schema", strconv.FormatInt(v.Schema, 10), "by", v.Program, "root", v.Root)})
}

func (c *cli) restoreCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore FILE [-- FLAGS OF STINTD]",
		Short: "Put a backup back, beside the stopped server; see how far it is",
		Long: "Put a backup back. This is done on the server's host, with every stintd stopped, by stintd\n" +
			"itself: the command runs stintd restore, which is looked for beside stint and then in PATH,\n" +
			"with what follows --. After it, start stintd: the installation is in a new epoch and in\n" +
			"quarantine, and grants nothing until its targets were compared with the data.",
		Example: "  stint admin restore stint.backup -- --data /var/lib/stint/data\n  stint admin restore status\n" +
			"  stint admin restore accept --why \"lost the disk on Friday; records 91 to 120 are in the SIEM\"",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("the backup to restore is missing; or say status, or accept")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return c.runStintd(cmd.Context(), "restore", args) },
	}
	status := &cobra.Command{Use: "status", Short: "Tell whether the installation is in quarantine, and why", Args: exactly(),
		Long: "Tell whether the installation is in quarantine, and what stands in the way of its end. Exits\nwith code 8 while it is.",
		RunE: func(cmd *cobra.Command, _ []string) error { return c.quarantineStatus(cmd.Context()) }}
	var ask api.QuarantineAccept
	accept := &cobra.Command{Use: "accept --why TEXT", Short: "End the quarantine", Args: exactly(),
		Long: "End the quarantine, after a look at everything: the documents are the present ones, who was\n" +
			"disabled since the backup is disabled again, and what the log lacks is kept elsewhere. The\n" +
			"reason is in the audit log for ever.\n\n" +
			"It is refused while a target was not found clean. With --force it is accepted all the same,\n" +
			"by two administrators one after the other where there are two.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ask.Why == "" {
				return usageError{errors.New("--why is missing: the audit log keeps it")}
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.AcceptQuarantine(cmd.Context(), ask)
			if err != nil {
				return err
			}
			if !done.Over {
				c.say("noted; a second administrator has to say the same")
				if err := c.show(result{value: done, names: []string{"waiting"}}); err != nil {
					return err
				}
				return ended{exitPending}
			}
			c.say("the quarantine is over; new access is granted again")
			return c.show(result{value: done, names: []string{"over"}})
		}}
	accept.Flags().StringVar(&ask.Why, "why", "", "the reason, for the audit log")
	accept.Flags().BoolVar(&ask.Force, "force", false, "although not everything was found clean")
	cmd.AddCommand(status, accept)
	return cmd
}

func (c *cli) quarantineStatus(ctx context.Context) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	q, err := conn.Quarantine(ctx)
	if err != nil {
		return err
	}
	if !q.Quarantined {
		return c.show(result{value: q, names: []string{"none"}, text: "there is no quarantine\n"})
	}
	text := facts("quarantine", q.Kind, "why", q.Why, "since", timeFact(q.Since, c), "backup", timeFact(q.BackupAt, c), "log", logFact(q), "accepted by", q.First)
	t := newTable("TARGET", "UNWANTED", "ORDERED", "FOREIGN", "STANDING", "!PROBLEM")
	for _, p := range q.Places {
		t.row(p.Place, strconv.Itoa(p.Unwanted), strconv.Itoa(p.Ordered), strconv.Itoa(p.Foreign), strconv.Itoa(p.Standing), p.Problem)
	}
	if err := c.show(result{value: q, names: []string{q.Kind}, text: text, table: t}); err != nil {
		return err
	}
	why, next := "it ends by itself when every target is clean and every witness knows this log", "wait, or look again with stint admin doctor"
	switch {
	case q.Kind != "restored":
		why, next = "the data looks older than it was; it may be a copy", "stop every stintd; if this data is to go on, stintd restored makes it a new life of the installation"
	case q.Clean:
		why, next = "every target is clean; what is lost of the log no program can tell", "apply the present documents, disable again who was disabled, then: stint admin restore accept --why …"
	case q.NoWitness:
		why, next = "no witness is configured, so that a person has to end it when every target is clean", "look again until they are, then: stint admin restore accept --why …"
	}
	c.fault(bracketed("nothing is granted: the installation is in quarantine", "quarantined"), why, next)
	return ended{exitPending}
}

func logFact(q api.Quarantine) string {
	kept := plural(int(q.Kept), "record", "records") + " kept"
	switch {
	case q.Witnessed > q.Kept:
		return fmt.Sprintf("%s; records %d to %d are missing, as a witness shows", kept, q.Kept, q.Witnessed-1)
	case q.Witnessed > 0:
		return kept + "; a witness knows another log"
	case q.Compared:
		return kept + "; no witness knows more"
	case q.NoWitness:
		return kept + "; what is missing is not known: no witness is configured"
	}
	return kept + "; what is missing is not known: not every witness was asked"
}

// runStintd runs a command of stintd, as whoever calls this.
func (c *cli) runStintd(ctx context.Context, command string, args []string) error {
	path := "stintd"
	if own, err := os.Executable(); err == nil {
		if _, err := os.Stat(filepath.Join(filepath.Dir(own), "stintd")); err == nil {
			path = filepath.Join(filepath.Dir(own), "stintd")
		}
	}
	child := exec.CommandContext(ctx, path, append([]string{command}, args...)...)
	child.Stdin, child.Stdout, child.Stderr = c.in, c.out, c.err
	err := child.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return ended{exit.ExitCode()}
	case err != nil:
		return &api.Error{Kind: api.Internal, Code: "no-stintd", Message: "stintd cannot be run here", Why: cause(err), Next: "run this on the server's host, where stintd is installed: stintd " + command}
	}
	return nil
}

func (c *cli) doctorCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say what is wrong, why it matters, and how to mend it",
		Long: "Look at everything that has to be right, in the order in which to mend it, and say of each\n" +
			"what was seen, why it matters, and what to do. Of a server that does not start, ask stintd\n" +
			"doctor on its host. Exits with code 1 when a check failed; one that warns is no failure.",
		Example: "  stint admin doctor\n  stint admin doctor -o json | jq '.checks[] | select(.result != \"ok\")'",
		Args:    exactly(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.examine(cmd.Context()) },
	}
}

func (c *cli) examine(ctx context.Context) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	d := api.Doctor{OK: true, Checks: c.fromHere(ctx, conn)}
	if there, err := conn.Doctor(ctx); err != nil {
		var away *api.Unreachable
		if !errors.As(err, &away) {
			return err
		}
		d.Checks = append(d.Checks, api.DoctorCheck{Name: "server", Result: api.CheckFail, Saw: err.Error(), Why: "nobody gets access, and nobody can give it back by hand; what is due ends when it is back, and by the targets' own expiry",
			Fix: "on its host: stintd doctor, with the flags of stintd serve"})
	} else {
		d.Checks = append(d.Checks, there.Checks...)
		for _, x := range there.Checks {
			if x.Name == "version" && x.Saw != program.Version() {
				d.Checks = append(d.Checks, api.DoctorCheck{Name: "versions", Result: api.CheckWarn, Saw: "the server is " + x.Saw + ", this is " + program.Version(), Why: "only neighbouring versions are meant to work together", Fix: "install the server's version here"})
			}
		}
	}
	p := c.choosePaint(c.out, c.tty.out)
	var text strings.Builder
	names := []string{}
	for _, x := range d.Checks {
		d.OK = d.OK && x.Result != api.CheckFail
		word := strings.ToUpper(x.Result)
		switch x.Result {
		case api.CheckOK:
			text.WriteString(p.good(word))
		case api.CheckWarn:
			text.WriteString(p.warn(word))
		default:
			text.WriteString(p.bad(word))
		}
		if x.Result != api.CheckOK {
			names = append(names, x.Name)
		}
		const indent = "      "
		text.WriteString(indent[len(word):] + printable(x.Name) + ": " + printable(x.Saw) + "\n")
		for _, more := range []struct{ what, said string }{{"why: ", x.Why}, {"do:  ", x.Fix}} {
			if more.said == "" {
				continue
			}
			for i, line := range wrap(more.said, c.tty.width-len(indent)-len(more.what)) {
				if i > 0 {
					more.what = strings.Repeat(" ", len(more.what))
				}
				text.WriteString(indent + p.dim(more.what+line) + "\n")
			}
		}
	}
	if err := c.show(result{value: d, names: names, text: text.String()}); err != nil {
		return err
	}
	if !d.OK {
		return ended{exitFailure}
	}
	return nil
}

// fromHere are the checks that only a client can make.
func (c *cli) fromHere(ctx context.Context, conn *connection) (found []api.DoctorCheck) {
	add := func(name, result, saw, why, fix string) {
		found = append(found, api.DoctorCheck{Name: name, Result: result, Saw: saw, Why: why, Fix: fix})
	}
	began := c.now()
	there, err := serverTime(ctx, conn.name)
	if err != nil {
		add("reach", api.CheckFail, err.Error(), "nothing can be asked", "check --server and the network; on its host: stintd doctor")
		return found
	}
	add("reach", api.CheckOK, conn.name+" answers in "+c.now().Sub(began).Round(time.Millisecond).String(), "", "")
	if off := there.Sub(c.now()).Abs(); off > 30*time.Second {
		add("clock here", api.CheckFail, "this device and the server differ by "+moment.Span(off.Round(time.Second)), "a proof is good for a minute around the server's time", "let this device take its time from NTP")
	} else {
		add("clock here", api.CheckOK, "it is the server's, to the second or so", "", "")
	}
	have, err := c.pinned(conn.name)
	if key, kerr := conn.LogKey(ctx); err == nil && kerr == nil && have.Key != "" {
		if have.Key != key.Key {
			add("log key", api.CheckFail, "the server's is "+fingerprint(key.Key)+", pinned is "+fingerprint(have.Key), "a log that was rewritten would come with another key", "ask the administrators; if they rotated it: stint login --log-key "+fingerprint(key.Key))
		} else {
			add("log key", api.CheckOK, "it is the pinned one", "", "")
		}
	}
	return found
}

// serverTime asks for the server's clock, which every answer tells to the second.
func serverTime(ctx context.Context, server string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/healthz", nil)
	if err != nil {
		return time.Time{}, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return time.Time{}, err
	}
	res.Body.Close()
	return http.ParseTime(res.Header.Get("Date"))
}
