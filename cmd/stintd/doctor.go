package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/keys"
	"stint/internal/program"
	"stint/internal/store"
)

const doctorHelp = `Look at what a server needs, without starting one, and say what is wrong, why it
matters and how to mend it. Give it the flags of stintd serve. It founds, upgrades and
grants nothing. With SQLite it needs stintd stopped; of one that runs, ask stint admin doctor.

Exit codes
  0 nothing failed    1 a check failed    2 a setting is wrong or not safe`

// examination collects checks, in the order in which they were made.
type examination struct{ checks []api.DoctorCheck }

func (x *examination) ok(name, saw string) {
	x.checks = append(x.checks, api.DoctorCheck{Name: name, Result: api.CheckOK, Saw: saw})
}

func (x *examination) warn(name, saw, why, fix string) {
	x.checks = append(x.checks, api.DoctorCheck{Name: name, Result: api.CheckWarn, Saw: saw, Why: why, Fix: fix})
}

func (x *examination) fail(name, saw, why, fix string) {
	x.checks = append(x.checks, api.DoctorCheck{Name: name, Result: api.CheckFail, Saw: saw, Why: why, Fix: fix})
}

// broken is a check that an error ended.
func (x *examination) broken(name string, err error, why string) {
	fix := "see the server's log"
	var ours *access.Error
	var key *keys.Error
	switch {
	case errors.As(err, &key) && key.Next != "":
		fix = key.Next
	case errors.As(err, &ours) && ours.Next != "":
		fix = ours.Next
	}
	x.fail(name, err.Error(), why, fix)
}

// Thresholds.
const (
	diskFail, diskWarn   = 100 << 20, 1 << 30 // bytes that are free
	clockWarn, clockFail = time.Second, 30 * time.Second
	logWarn, logFail     = 5 * time.Second, time.Minute
	sinkWarn             = 1000 // records
	witnessLate          = 2 * time.Minute
	certWarn, certFail   = 30 * 24 * time.Hour, 3 * 24 * time.Hour
	backupWarn           = 7 * 24 * time.Hour
	placeWithin          = 5 * time.Second
)

// Doctor implements apiserver.Keep.
func (p *process) Doctor(ctx context.Context) []api.DoctorCheck {
	x := &examination{}
	x.ok("version", program.Version())
	x.surroundings(p.settings)
	x.storeOf(ctx, p.store, false)
	p.journalOf(x)
	p.logOf(ctx, x)
	p.sinksOf(ctx, x)
	p.witnessesOf(ctx, x)
	p.grantsOf(ctx, x)
	p.reviewsOf(ctx, x)
	p.targetsOf(ctx, x)
	p.backupsOf(ctx, x)
	p.twoPersonsOf(ctx, x)
	p.servicesOf(ctx, x)
	p.hostsOf(ctx, x)
	x.tokenOf(ctx, p.token, p.store, p.identity.vault)
	x.wrappingOf(p.settings, p.identity.vault)
	p.gatewaysOf(ctx, x)
	return x.checks
}

// surroundings are what the host gives: folders, the seal key, room, a certificate.
func (x *examination) surroundings(s settings) {
	if info, err := os.Stat(s.sealKey); err != nil {
		x.fail("seal key", cause(err), "without it no secret of the store opens after the next start", "bring it back from where you keep it")
	} else if info.Mode().Perm()&0o077 != 0 {
		x.fail("seal key", s.sealKey+" has mode "+info.Mode().Perm().String(), "others can read what opens every secret of the store", "chmod 600 "+s.sealKey+", then stintd rotate-key seal")
	} else {
		x.ok("seal key", s.sealKey)
	}
	var fsys syscall.Statfs_t
	if err := syscall.Statfs(s.data, &fsys); err != nil {
		x.fail("disk", s.data+": "+err.Error(), "what cannot be written cannot be granted", "check --data")
	} else if free := int64(fsys.Bavail) * int64(fsys.Bsize); free < diskFail {
		x.fail("disk", megabytes(free)+" are free at "+s.data, "when it is full nothing is granted, and the log is not continued", "make room")
	} else if free < diskWarn {
		x.warn("disk", megabytes(free)+" are free at "+s.data, "when it is full nothing is granted, and the log is not continued", "make room")
	} else {
		x.ok("disk", megabytes(free)+" are free at "+s.data)
	}
	if s.tls != nil && len(s.tls.Certificates) > 0 && s.tls.Certificates[0].Leaf != nil {
		switch end := s.tls.Certificates[0].Leaf.NotAfter; {
		case time.Until(end) < certFail:
			x.fail("certificate", "it is good until "+end.UTC().Format(time.RFC3339), "after that no client connects", "renew it and restart stintd")
		case time.Until(end) < certWarn:
			x.warn("certificate", "it is good until "+end.UTC().Format(time.RFC3339), "after that no client connects", "renew it and restart stintd")
		default:
			x.ok("certificate", "it is good until "+end.UTC().Format(time.RFC3339))
		}
	}
}

func megabytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

func (x *examination) storeOf(ctx context.Context, st *store.Store, deep bool) {
	began := time.Now()
	if err := st.Ready(ctx); err != nil {
		x.broken("store", err, "nothing can be granted; what is granted ends by the targets' own expiry, and when the store is back")
		return
	}
	took := time.Since(began)
	h, err := st.Health(ctx, deep)
	if err != nil {
		x.broken("store", err, "nothing can be granted")
		return
	}
	switch {
	case h.Damage != "":
		x.fail("store", h.Damage, "the file is damaged", "stop stintd, keep the file as it is, and restore a backup: docs/tasks/upgrade-backup-restore.md")
	case h.Unsafe != "":
		x.fail("store", h.Unsafe, "a grant that was made may be forgotten, and with it its end", "turn it on and restart the database")
	case took > time.Second:
		x.warn("store", fmt.Sprintf("a commit took %d ms", took.Milliseconds()), "every grant waits for several", "look at the load of the database and its disk")
	default:
		x.ok("store", fmt.Sprintf("%s, schema %d, %s; a commit takes %d ms", st.Kind(), h.Schema, h.Settings, took.Milliseconds()))
	}
	switch off := time.Since(h.Now).Abs(); {
	case off > clockFail:
		x.fail("clock", fmt.Sprintf("this host and the store differ by %s", off.Round(time.Millisecond)), "the store's time decides when access ends, and clients' proofs are judged by this host's", "let both take their time from one source (NTP)")
	case off > clockWarn+took:
		x.warn("clock", fmt.Sprintf("this host and the store differ by %s", off.Round(time.Millisecond)), "the store's time decides when access ends", "let both take their time from one source (NTP)")
	default:
		x.ok("clock", fmt.Sprintf("this host and the store differ by %s", off.Round(time.Millisecond)))
	}
	if h.Untaken > 0 {
		x.fail("work", fmt.Sprintf("%d things are due for more than a minute and nobody does them", h.Untaken), "access may be there that should be gone", "look at the targets below and at the server's log; a restart takes the work up again")
	} else {
		x.ok("work", "nothing has waited for a minute")
	}
}

func (p *process) logOf(ctx context.Context, x *examination) {
	n, oldest, err := p.store.Unsequenced(ctx)
	if err != nil {
		x.broken("audit log", err, "what happens is not proven")
		return
	}
	var age time.Duration
	if n > 0 {
		age = time.Since(oldest)
	}
	saw := fmt.Sprintf("%d records wait for their number, the oldest for %s", n, age.Round(time.Millisecond))
	switch {
	case age > logFail:
		x.fail("audit log", saw, "the log is not continued; while it does not add up nothing is granted", "find \"the audit log is not continued\" in the server's log; stint audit verify names the damage")
	case age > logWarn:
		x.warn("audit log", saw, "readers and witnesses are behind", "look at the load of the store")
	default:
		x.ok("audit log", saw)
	}
}

func (p *process) sinksOf(ctx context.Context, x *examination) {
	head, err := p.store.Head(ctx)
	if err != nil {
		return // the store says so itself
	}
	for i, s := range p.sinks {
		name, behind := "audit file "+p.settings.auditTo[i], head.Size-1-s.After()
		if behind > sinkWarn {
			x.fail(name, fmt.Sprintf("it is %d records behind", behind), "whoever watches it does not see what happens", "see that it can be written, and that its disk has room")
		} else {
			x.ok(name, fmt.Sprintf("it is %d records behind", max(behind, 0)))
		}
	}
}

func (p *process) witnessesOf(ctx context.Context, x *examination) {
	if len(p.witnesses.clients) == 0 {
		x.warn("witness", "none is configured", "if the store is taken back to an earlier state, only clients that verified since notice it", "run stint-witness on another host: docs/tasks/witness.md")
		return
	}
	head, err := p.store.Head(ctx)
	if err != nil {
		return
	}
	for i, c := range p.witnesses.clients {
		s, name := p.witnesses.of(i), "witness "+c.URL.String()
		var d *differs
		switch {
		case errors.As(s.err, &d):
			x.fail(name, d.Error(), "this log is not the one that was witnessed: the data was taken back, or there are two of it",
				"if it was restored on purpose: stint admin restore status, and let the witness's operator accept the new log (docs/tasks/witness.md)")
		case s.err != nil:
			x.broken(name, s.err, "the log's end is not witnessed")
		case s.at.IsZero():
			x.warn(name, "it was not asked yet", "the log's end is not witnessed", "wait a minute")
		case time.Since(s.at) > witnessLate && s.size < head.Size:
			x.warn(name, fmt.Sprintf("it signed %d of %d records, %s ago", s.size, head.Size, time.Since(s.at).Round(time.Second)), "the log's end is not witnessed", "see the server's log")
		case local(c.URL.Hostname()):
			x.warn(name, fmt.Sprintf("it signed %d of %d records, and is on this host", s.size, head.Size), "on the same host it is a copy: whoever can change the store can change it too", "run it on a host that Stint's administrators do not control")
		default:
			x.ok(name, fmt.Sprintf("it signed %d of %d records", s.size, head.Size))
		}
	}
}

func (p *process) grantsOf(ctx context.Context, x *examination) {
	q, r, err := p.broker.QuarantineState(ctx)
	switch {
	case err != nil:
		x.broken("quarantine", err, "nothing is granted while it is not known")
	case q.Kind != "":
		saw := q.Why
		if q.Kind == broker.Restored && !r.Clean() {
			saw += "; not every target was found clean yet"
		}
		x.fail("quarantine", saw, "nothing is granted; everything that ends access goes on", "stint admin restore status says what stands in the way")
	default:
		x.ok("quarantine", "none")
	}
	if stopped, why, err := p.broker.Stopped(ctx); err == nil && stopped {
		x.warn("stop switch", "new grants are stopped: "+why, "whoever asks is refused", "stint admin resume --why …")
	}
	if _, err := p.broker.Documents(ctx); err != nil {
		x.broken("documents", err, "nothing can be granted")
	} else {
		x.ok("documents", "they compile")
	}
	self := broker.Caller{Principal: access.Principal{ID: access.System.Principal, Auditor: true}}
	vs, err := p.broker.Grants(ctx, self, access.GrantQuery{States: []access.GrantState{access.Ending}, Limit: 1000})
	if err != nil {
		return
	}
	late, oldest := 0, ""
	for _, v := range vs {
		if v.Grant.Overdue(v.Now) {
			late++
			oldest = string(v.Request.ID) + " at " + string(v.Request.Targets[0].Resource)
		}
	}
	if late > 0 {
		x.fail("overdue removals", fmt.Sprintf("%d, the oldest is %s", late, oldest), "access that should be gone may still be there", "stint audit search --type removal.trouble says what the target answers; docs/tasks/approve-revoke-stop.md has the statements to do it by hand")
	} else {
		x.ok("overdue removals", "none")
	}
}

func (p *process) targetsOf(ctx context.Context, x *examination) {
	places, err := p.broker.Examine(ctx, placeWithin)
	if err != nil {
		x.broken("targets", err, "nothing is known of them")
		return
	}
	for _, at := range places {
		if at.Problem != "" {
			x.fail("target "+string(at.Place), at.Problem, "nothing can be granted there, and, worse, nothing removed", "stint resource check NAME tries every step and says how to mend the one that fails")
		} else {
			x.ok("target "+string(at.Place), "it is reached, and ours")
		}
	}
}

func (p *process) backupsOf(ctx context.Context, x *examination) {
	var last time.Time
	err := p.store.View(ctx, func(tx *store.Tx) error {
		v, err := tx.Setting(broker.LastBackupSetting)
		if err == nil && v != nil {
			last, err = time.Parse(access.Stamp, string(v))
		}
		return err
	})
	switch {
	case err != nil:
		x.broken("backup", err, "")
	case last.IsZero():
		x.warn("backup", "stint admin backup was never used", "without a backup a broken disk is the end of the log", "stint admin backup --out FILE each night; ignore this if the database is backed up by its own means")
	case time.Since(last) > backupWarn:
		x.warn("backup", "the last one is of "+last.Format(time.RFC3339), "what happened since would be lost", "stint admin backup --out FILE each night")
	default:
		x.ok("backup", "the last one is of "+last.Format(time.RFC3339))
	}
}

// doctor is stintd doctor: what can be seen without a server.
func doctor(ctx context.Context, f flags, env func(string) (string, bool), asJSON bool, out io.Writer) error {
	s, err := load(f, env)
	if err != nil {
		return err // it says what, why and how already
	}
	x := &examination{}
	x.ok("version", program.Version())
	x.ok("settings", "they are accepted")
	if _, err := os.Stat(s.data); errors.Is(err, fs.ErrNotExist) {
		x.warn("data", s.data+" is not there", "stintd serve would found a new installation", "check --data, if there should be one")
	} else {
		x.surroundings(s)
		x.journalAt(s.journal)
		x.installation(ctx, s)
	}
	return x.report(out, asJSON)
}

func (x *examination) installation(ctx context.Context, s settings) {
	if s.database == "" {
		if _, err := os.Stat(s.file()); err != nil {
			x.warn("store", cause(err), "stintd serve would found a new installation", "check --data, if there should be one; stint admin restore brings a backup back")
			return
		}
		if _, err := os.Stat(s.file() + ".restoring"); err == nil {
			x.warn("restore", "a restore was interrupted", "the store is as it was before it", "run stintd restore again")
		}
	}
	st, err := store.Open(ctx, store.Config{Path: s.file(), URL: s.database, Inspect: true})
	if err != nil {
		x.broken("store", whileInUse("doctor", err), "stintd does not start with it")
		return
	}
	defer func() { _ = st.Close() }() // nothing was written that counts
	x.storeOf(ctx, st, true)
	if id, err := openExisting(ctx, st, s); err != nil {
		x.broken("installation", err, "stintd does not start with it")
	} else {
		x.ok("installation", "the seal key opens it")
		t := newToken(s, slog.New(slog.DiscardHandler))
		_ = t.Open(ctx) // that it is away is found below
		x.tokenOf(ctx, t, st, id.vault)
		x.wrappingOf(s, id.vault)
		t.Close()
	}
	for _, path := range s.auditTo {
		if f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			x.fail("audit file "+path, cause(err), "whoever watches it would not see what happens", "see that stintd's user may write it")
		} else if err == nil {
			_ = f.Close() // nothing was written
			x.ok("audit file "+path, "it can be written")
		} else if _, err := os.Stat(filepath.Dir(path)); err != nil {
			x.fail("audit file "+path, cause(err), "whoever watches it would not see what happens", "make the folder")
		}
	}
}

// errIll makes the exit code; every reason was printed.
var errIll = access.Fail(access.Internal, "ill", "a check failed").Try("mend what is marked FAIL, from the top")

func (x *examination) report(out io.Writer, asJSON bool) error {
	d := api.Doctor{OK: true, Checks: x.checks}
	for _, c := range x.checks {
		d.OK = d.OK && c.Result != api.CheckFail
	}
	var err error
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err = e.Encode(d)
	} else {
		for _, c := range x.checks {
			text := fmt.Sprintf("%-4s  %s: %s\n", strings.ToUpper(c.Result), c.Name, c.Saw)
			if c.Why != "" {
				text += "      why: " + c.Why + "\n"
			}
			if c.Fix != "" {
				text += "      do:  " + c.Fix + "\n"
			}
			if _, err = io.WriteString(out, text); err != nil {
				break
			}
		}
	}
	if err == nil && !d.OK {
		err = errIll
	}
	return err
}
