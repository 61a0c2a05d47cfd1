package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/audit"
)

func (c *cli) auditVerifyCmd() *cobra.Command {
	var export, keyFile, witnessedFile string
	var witnessKeys, genesis []string
	var restored bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove that the log is whole, or name the first bad record",
		Long: "Prove that the log is whole, or name the first bad record and exit with code 1. Every\n" +
			"record is encoded again and compared byte for byte, the tree of hashes is built anew,\n" +
			"and every checkpoint's signature is checked with the key that was pinned at sign-in,\n" +
			"or with --key; never with one that comes with the log.\n\n" +
			"Without --export the server's log is read, and must also continue the checkpoint\n" +
			"that was verified here last, which shows a log that was cut back or written anew.\n" +
			"With --export nothing but the file and the key is needed.\n\n" +
			"With --witness-key the log must also continue the newest checkpoint that one of these\n" +
			"witnesses has signed, which the server gives, or --witnessed with --export. How many\n" +
			"records come after that is said: nobody else vouches for them yet.\n\n" +
			"Every vote that a passkey signed is checked again, from the records alone: that its signature\n" +
			"is over this vote on this request, by a passkey of that person, and that the passkey leads\n" +
			"back, by those who vouched for it, to the first one of all. That one is believed when it is\n" +
			"seen first, and pinned; with --genesis it must be the one that is named. What does not hold\n" +
			"is named by its record.\n\n" +
			"A log whose data was restored from a backup has lost records, and does not continue what\n" +
			"was verified here. That stays a failure until whoever verifies accepts it, with --restored,\n" +
			"after asking the administrators what was lost and why.",
		Example: "  stint audit verify\n  stint audit verify --export log.jsonl --key log.pub",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := readKey(keyFile)
			if err != nil {
				return err
			}
			ws, err := readWitnesses(witnessKeys)
			if err != nil {
				return err
			}
			roots, err := readRoots(genesis)
			if err != nil {
				return err
			}
			switch {
			case witnessedFile != "" && (export == "" || len(ws) == 0):
				return usageError{errors.New("--witnessed goes with --export and --witness-key")}
			case export != "" && restored:
				return usageError{errors.New("--restored is for the server's log: an export is compared with nothing")}
			case export != "":
				return c.verifyExport(export, key, ws, witnessedFile, roots)
			}
			return c.verifyServer(cmd.Context(), key, ws, restored, roots)
		},
	}
	cmd.Flags().StringVar(&export, "export", "", "an export of the log (- for stdin)")
	cmd.Flags().StringVar(&keyFile, "key", "", "a file with the log's public key; the pinned one if not given")
	cmd.Flags().StringArrayVar(&witnessKeys, "witness-key", nil, "a file with the public key of a witness; may be repeated")
	cmd.Flags().StringVar(&witnessedFile, "witnessed", "", "the newest witnessed checkpoint, of stint audit checkpoint --witnessed")
	cmd.Flags().StringArrayVar(&genesis, "genesis", nil, "the digest of the first passkey, or of one made by a recovery code (sha256:…); may be repeated")
	cmd.Flags().BoolVar(&restored, "restored", false, "accept that the data was restored and records are lost, if the log says so")
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
func (c *cli) verifyExport(path, key string, ws []audit.Cosigner, witnessedFile string, roots []access.Digest) error {
	if key == "" {
		conn, _, err := c.dial()
		if err != nil {
			return err
		}
		have, err := c.pinned(conn.name)
		if err != nil {
			return err
		}
		if roots, err = have.roots(roots); err != nil {
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
	var seen witnessed
	if witnessedFile != "" {
		text, err := os.ReadFile(witnessedFile)
		if err != nil {
			return wrong("unreadable-file", "--witnessed: cannot read "+witnessedFile, cause(err), "")
		}
		if seen, err = openWitnessed(text, key, ws); err != nil {
			return err
		}
	} else if len(ws) > 0 {
		return usageError{errors.New("--witness-key with --export needs --witnessed FILE")}
	}
	report, err := verifyLog(bufio.NewReaderSize(in, 1<<20), key, roots, seen.checkpoint)
	if bad := (*audit.Damage)(nil); errors.As(err, &bad) && bad.NotExport {
		return wrong("not-an-export", path+" is not an audit export", "its first line is not the header of one", "one is written by stint audit export --out FILE")
	}
	return c.showVerified(report, err, seen)
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
func (c *cli) verifyServer(ctx context.Context, key string, ws []audit.Cosigner, restored bool, roots []access.Digest) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	have, err := c.pinned(conn.name)
	if err != nil {
		return err
	}
	if key == "" {
		if key, err = c.pinnedKey(conn.name); err != nil {
			return err
		}
		if roots, err = have.roots(roots); err != nil {
			return err
		}
		// A key that was rotated is no damage to any record; only who asks the
		// administrators can tell it from a log that was written anew.
		offered, err := conn.LogKey(ctx)
		if err != nil {
			return err
		}
		if err := checkPin(conn.name, have, offered, ""); err != nil {
			return err
		}
	}
	var seen *audit.Checkpoint
	if have.Checkpoint != "" {
		// A checkpoint that another key signed is of a log before.
		if last, err := audit.OpenCheckpoint([]byte(have.Checkpoint), key); err == nil {
			seen = &last
		}
	}
	var wit witnessed
	if len(ws) > 0 {
		text, err := conn.Witnessed(ctx)
		if err != nil {
			return err
		}
		if wit, err = openWitnessed([]byte(text.Checkpoint), key, ws); err != nil {
			return err
		}
	}
	report, err := c.fetchVerified(ctx, conn, key, roots, seen, wit.checkpoint)
	var bad *audit.Damage
	if errors.As(err, &bad) && seen != nil {
		// Perhaps the log is whole, and only not the one that was seen here.
		again, aerr := c.fetchVerified(ctx, conn, key, roots, wit.checkpoint)
		if r, ok := lostSince(again.Report, seen.Size); aerr == nil && ok {
			lost := "it was restored from a backup on " + r.At.UTC().Format(time.RFC3339) + ": of the " + plural(int(seen.Size), "record", "records") + " that were verified here it kept " + strconv.FormatInt(r.Kept, 10)
			if !restored {
				c.fault(bracketed("the audit log is not the one that was verified here: "+lost, "log-restored"), bad.Error(),
					"keep the exports that you have; ask the administrators what was lost and why; then, if you agree: stint audit verify --restored")
				return ended{exitFailure}
			}
			c.say(lost)
			report, err = again, nil
			seen = nil
		}
	}
	if err == nil && (seen == nil || report.Checkpoint.Size >= seen.Size) {
		if err := c.remember(conn.name, key, report, roots); err != nil {
			return err
		}
	}
	return c.showVerified(report, err, wit)
}

// lostSince finds the restore by which a log that had size records when it was
// seen is no longer that log: the one that kept the fewest of them.
func lostSince(report audit.Report, size int64) (found audit.Restore, ok bool) {
	for _, r := range report.Restores {
		if r.Kept >= 0 && r.Kept < size && (!ok || r.Kept < found.Kept) {
			found, ok = r, true
		}
	}
	return found, ok
}

// fetchVerified verifies the server's log as it comes in. What could not be
// fetched is not damage.
func (c *cli) fetchVerified(ctx context.Context, conn *connection, key string, roots []access.Digest, pinned ...*audit.Checkpoint) (provenLog, error) {
	r, w := io.Pipe()
	fetched := make(chan error, 1)
	go func() {
		err := conn.AuditExport(ctx, w)
		w.CloseWithError(err)
		fetched <- err
	}()
	report, err := verifyLog(r, key, roots, pinned...)
	r.CloseWithError(errEnough)
	if failed := <-fetched; failed != nil && !errors.Is(failed, errEnough) {
		return provenLog{}, failed
	}
	return report, err
}

// witnessed is the newest checkpoint of witnesses that are relied on, and who they
// were; nil when none is asked for.
type witnessed struct {
	checkpoint *audit.Checkpoint
	by         []audit.Cosignature
}

func readWitnesses(paths []string) (ws []audit.Cosigner, err error) {
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, wrong("unreadable-file", "--witness-key: cannot read "+path, cause(err), "")
		}
		w, err := audit.ParseCosigner(string(text))
		if err != nil {
			return nil, err
		}
		ws = append(ws, w)
	}
	return ws, nil
}

func openWitnessed(signed []byte, key string, ws []audit.Cosigner) (witnessed, error) {
	unwitnessed := func(why string) error {
		return &api.Error{Kind: api.Internal, Code: "unwitnessed", Message: "no witness that is relied on has signed this log", Why: why, Next: "see with stint admin doctor why the witnesses do not sign"}
	}
	if len(signed) == 0 {
		return witnessed{}, unwitnessed("the server has no witnessed checkpoint")
	}
	cp, by, err := audit.OpenWitnessed(signed, key, ws)
	if err == nil && len(by) == 0 {
		err = unwitnessed("the newest witnessed checkpoint is signed by others")
	}
	return witnessed{&cp, by}, err
}

var errEnough = errors.New("the first damage is found")

// remember stores the newest verified checkpoint of a pinned log.
func (c *cli) remember(server, key string, report provenLog, roots []access.Digest) error {
	all := pins{}
	if err := c.load(pinsFile, &all); err != nil {
		return err
	}
	have := all[server]
	if have.Key != key {
		return nil // verified with --key: not the log that is pinned
	}
	have.Checkpoint = report.Signed
	have.pinRoots(report.Passkeys, roots)
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
	Witnessed   *witnessedView   `json:"witnessed,omitempty"` // when witnesses were asked for
	Restores    int              `json:"restores,omitempty"`
	Damage      *damage          `json:"damage,omitempty"`
	Passkeys    *passkeysView    `json:"passkeys,omitempty"` // when there are any
}

// witnessedView says how much of the log a witness vouches for.
type witnessedView struct {
	Size int64      `json:"size"`
	Tail int64      `json:"tail"` // records after it
	By   []cosigned `json:"by"`
}

type cosigned struct {
	Witness string   `json:"witness"`
	At      api.Time `json:"at"`
}

type damage struct {
	Seq  int64  `json:"seq"` // -1: not a record
	Last int64  `json:"last"`
	Line int    `json:"line"`
	ID   string `json:"id,omitempty"`
	What string `json:"what"`
}

func (c *cli) showVerified(report provenLog, err error, wit witnessed) error {
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
	v.Restores = len(report.Restores)
	v.Passkeys = viewOf(report.Passkeys)
	v.OK = len(report.Passkeys.Problems) == 0
	vouched := ""
	if wit.checkpoint != nil {
		w := witnessedView{Size: wit.checkpoint.Size, Tail: v.Size - wit.checkpoint.Size, By: []cosigned{}}
		var names []string
		for _, s := range wit.by {
			w.By = append(w.By, cosigned{s.Witness, api.At(s.At)})
			names = append(names, printable(s.Witness)+" at "+s.At.Format(time.RFC3339))
		}
		v.Witnessed = &w
		vouched = "; " + plural(int(w.Size), "record", "records") + " witnessed by " + strings.Join(names, ", ")
		if w.Tail > 0 {
			vouched += "; the last " + strconv.FormatInt(w.Tail, 10) + " not yet"
		}
	}
	for _, r := range report.Restores {
		c.say("the log says that its data was restored from a backup on " + r.At.UTC().Format(time.RFC3339) + ", record " + strconv.FormatInt(r.Seq, 10))
	}
	text := facts("log", v.Origin, "size", strconv.FormatInt(v.Size, 10), "root", v.Root, "first", timeFact(v.First, c), "last", timeFact(v.Last, c)) +
		"checkpoint\n"
	for line := range strings.Lines(report.Signed) {
		text += "  " + printable(strings.TrimSuffix(line, "\n")) + "\n"
	}
	c.say("the log is whole: " + plural(int(v.Size), "record", "records") + ", " + plural(int(v.Checkpoints), "checkpoint", "checkpoints") + vouched)
	text += v.Passkeys.facts()
	if err := c.show(result{value: v, names: []string{v.Root}, text: text}); err != nil {
		return err
	}
	return c.judge(report.Passkeys)
}
