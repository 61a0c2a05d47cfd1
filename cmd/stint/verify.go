package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
	"stint/internal/audit"
)

func (c *cli) auditVerifyCmd() *cobra.Command {
	var export, keyFile string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove that the log is whole, or name the first bad record",
		Long: "Prove that the log is whole, or name the first bad record and exit with code 1. Every\n" +
			"record is encoded again and compared byte for byte, the tree of hashes is built anew,\n" +
			"and every checkpoint's signature is checked with the key that was pinned at sign-in,\n" +
			"or with --key; never with one that comes with the log.\n\n" +
			"Without --export the server's log is read, and must also continue the checkpoint\n" +
			"that was verified here last, which shows a log that was cut back or written anew.\n" +
			"With --export nothing but the file and the key is needed.",
		Example: "  stint audit verify\n  stint audit verify --export log.jsonl --key log.pub",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := readKey(keyFile)
			if err != nil {
				return err
			}
			if export != "" {
				return c.verifyExport(export, key)
			}
			return c.verifyServer(cmd.Context(), key)
		},
	}
	cmd.Flags().StringVar(&export, "export", "", "an export of the log (- for stdin)")
	cmd.Flags().StringVar(&keyFile, "key", "", "a file with the log's public key; the pinned one if not given")
	return cmd
}

// readKey reads the key of --key; empty if none is given.
func readKey(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", wrong("unreadable-file", "--key: cannot read "+path, cause(err), "")
	}
	defer f.Close()
	text, err := readAtMost(f, 16<<10)
	if err != nil {
		return "", wrong("unreadable-file", "--key: cannot read "+path, cause(err), "")
	}
	key := strings.TrimSpace(string(text))
	if key == "" {
		return "", wrong("empty-file", "--key: "+path+" is empty", "", "")
	}
	return key, nil
}

// verifyExport needs no server, and reads no state but the pinned key.
func (c *cli) verifyExport(path, key string) error {
	if key == "" {
		conn, _, err := c.dial()
		if err != nil {
			return err
		}
		if key, err = c.pinnedKey(conn.name); err != nil {
			return err
		}
	}
	in := c.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return wrong("unreadable-file", "--export: cannot read "+path, cause(err), "")
		}
		defer f.Close()
		in = f
	}
	report, err := audit.Verify(bufio.NewReaderSize(in, 1<<20), key, nil)
	return c.showVerified(report, err)
}

// pinnedKey is the key that was pinned when somebody signed in here.
func (c *cli) pinnedKey(server string) (string, error) {
	have, err := c.pinned(server)
	if err == nil && have.Key == "" {
		err = &api.Error{Kind: api.Unauthenticated, Code: "no-log-key", Message: "no key of the audit log is pinned for " + server,
			Why: "it is pinned at sign-in", Next: "sign in with stint login, or give the key with --key FILE"}
	}
	return have.Key, err
}

// verifyServer verifies the server's log as it comes in, and remembers how far
// it was whole.
func (c *cli) verifyServer(ctx context.Context, key string) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	if key == "" {
		if key, err = c.pinnedKey(conn.name); err != nil {
			return err
		}
	}
	have, err := c.pinned(conn.name)
	if err != nil {
		return err
	}
	var seen *audit.Checkpoint
	if have.Checkpoint != "" {
		// A checkpoint that another key signed is of a log before.
		if last, err := audit.OpenCheckpoint([]byte(have.Checkpoint), key); err == nil {
			seen = &last
		}
	}
	r, w := io.Pipe()
	fetched := make(chan error, 1)
	go func() {
		err := conn.AuditExport(ctx, w)
		w.CloseWithError(err)
		fetched <- err
	}()
	report, err := audit.Verify(r, key, seen)
	r.CloseWithError(errEnough)
	// What could not be fetched is not damage.
	if failed := <-fetched; failed != nil && !errors.Is(failed, errEnough) {
		return failed
	}
	if err == nil && (seen == nil || report.Checkpoint.Size >= seen.Size) {
		if err := c.remember(conn.name, key, report); err != nil {
			return err
		}
	}
	return c.showVerified(report, err)
}

var errEnough = errors.New("the first damage is found")

// remember stores the newest verified checkpoint of a pinned log.
func (c *cli) remember(server, key string, report audit.Report) error {
	all := pins{}
	if err := c.load(pinsFile, &all); err != nil {
		return err
	}
	have := all[server]
	if have.Key != key {
		return nil // verified with --key: not the log that is pinned
	}
	have.Checkpoint = report.Signed
	all[server] = have
	return c.store(pinsFile, all)
}

// verified is the result for programs. Of a damaged log it says where.
type verified struct {
	OK          bool             `json:"ok"`
	Origin      string           `json:"origin,omitempty"`
	Size        int64            `json:"size"`
	Root        string           `json:"root,omitempty"`
	Checkpoint  string           `json:"checkpoint,omitempty"`
	Checkpoints int64            `json:"checkpoints,omitempty"`
	First       api.Time         `json:"first,omitzero"`
	Last        api.Time         `json:"last,omitzero"`
	Types       map[string]int64 `json:"types,omitempty"`
	Damage      *damage          `json:"damage,omitempty"`
}

type damage struct {
	Seq  int64  `json:"seq"` // -1: not a record
	Last int64  `json:"last"`
	Line int    `json:"line"`
	ID   string `json:"id,omitempty"`
	What string `json:"what"`
}

func (c *cli) showVerified(report audit.Report, err error) error {
	var bad *audit.Damage
	switch {
	case errors.As(err, &bad):
		d := damage{Seq: bad.Seq, Last: bad.Last, Line: bad.Line, ID: bad.ID, What: bad.What}
		if err := c.show(result{value: verified{Damage: &d}}); err != nil {
			return err
		}
		c.fault(bracketed(bad.Error(), "log-damaged"), "", "keep the log and the export as they are, and tell whoever is responsible for it")
		return ended{exitFailure}
	case err != nil:
		return err
	}
	v := verified{OK: true, Origin: report.Checkpoint.Origin, Size: report.Checkpoint.Size, Root: report.Checkpoint.Root.String(),
		Checkpoint: report.Signed, Checkpoints: report.Checkpoints, First: api.At(report.First), Last: api.At(report.Last), Types: map[string]int64{}}
	for t, n := range report.Types {
		v.Types[string(t)] = n
	}
	text := facts("log", v.Origin, "size", strconv.FormatInt(v.Size, 10), "root", v.Root, "first", timeFact(v.First, c), "last", timeFact(v.Last, c)) +
		"checkpoint\n"
	for line := range strings.Lines(report.Signed) {
		text += "  " + printable(strings.TrimSuffix(line, "\n")) + "\n"
	}
	c.say("the log is whole: " + plural(int(v.Size), "record", "records") + ", " + plural(int(v.Checkpoints), "checkpoint", "checkpoints"))
	return c.show(result{value: v, names: []string{v.Root}, text: text})
}
