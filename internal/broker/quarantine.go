package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
)

// Quarantine is why an installation grants nothing: its data may not be what it
// was. It is a setting of the store, so that it outlives a restart and holds on
// every replica. Everything that ends access goes on.
type Quarantine struct {
	Kind  QuarantineKind `json:"kind"`
	Why   string         `json:"why"`
	Since time.Time      `json:"since"`
	// BackupAt is the time of the backup; zero when the data only looks old.
	BackupAt time.Time `json:"backup_at,omitzero"`
	// Kept is how many records the log had in the restored data. Lost is how many
	// the newest witnessed log had, and LostRoot its root; 0 while nobody said.
	Kept     int64  `json:"kept"`
	Lost     int64  `json:"lost,omitempty"`
	LostRoot string `json:"lost_root,omitempty"`
	// Compared says that every witness was asked after the restore.
	Compared bool `json:"compared,omitempty"`
	// Settled says that every grant which was live in the backup was ended.
	Settled bool `json:"settled,omitempty"`
	// First is the administrator who accepted before everything was found clean,
	// and waits for a second one.
	First access.Person `json:"first,omitempty"`
}

// QuarantineKind says what is in doubt.
type QuarantineKind string

// The kinds. Data that was restored and said to be has a new epoch: it owns its
// targets, and may clean them up. Data that only looks old may be a copy of an
// installation that still runs, and must not touch what that one made.
const (
	Restored   QuarantineKind = "restored"
	LooksOld   QuarantineKind = "looks-old"
	Unreadable QuarantineKind = "unreadable"
)

// QuarantineSetting is where the store keeps it; absent means none. LogGap is the
// one that was accepted last, by which the part of the log is known that witnesses
// have and this installation has not.
const (
	QuarantineSetting   = access.QuarantineSetting
	LogGapSetting       = "log-gap"
	installationSetting = "installation/version"
	// LastBackupSetting is when a backup was last handed out, as access.Stamp.
	LastBackupSetting = "backup/last"
)

// SettingsTx is what a quarantine needs of a transaction; the command that
// restores data has no broker.
type SettingsTx interface {
	Now() time.Time
	Setting(name string) ([]byte, error)
	SaveSetting(name string, value []byte) error
	Append(evs ...access.Event) error
}

func readQuarantine(tx SettingsTx, name string) (q Quarantine, err error) {
	v, err := tx.Setting(name)
	if err != nil || v == nil {
		return q, err
	}
	var read Quarantine
	if err := json.Unmarshal(v, &read); err != nil || read.Kind == "" {
		return Quarantine{Kind: Unreadable, Why: "what the store says about it cannot be read"}, nil // in doubt, nothing new
	}
	return read, nil
}

func saveQuarantine(tx SettingsTx, name string, q Quarantine) error {
	v, err := json.Marshal(q)
	if err != nil {
		return err
	}
	return tx.SaveSetting(name, v)
}

// InstallationEvent reports a change of the installation as a whole: its
// versions are dense, as those of every entity. epoch is that of the data as it
// was before the change.
func InstallationEvent(tx SettingsTx, t access.EventType, epoch int64, actor access.Actor, kv ...string) error {
	version := epoch - 1 // each epoch before the present one began with such an event
	v, err := tx.Setting(installationSetting)
	if err == nil && v != nil {
		version, err = strconv.ParseInt(string(v), 10, 64)
	}
	if err != nil {
		return err
	}
	version++
	if err := tx.SaveSetting(installationSetting, []byte(strconv.FormatInt(version, 10))); err != nil {
		return err
	}
	facts := map[string]string{}
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			facts[kv[i]] = strings.ToValidUTF8(kv[i+1], "\uFFFD")
		}
	}
	return tx.Append(access.Event{Type: t, At: tx.Now(), Entity: Installation, Version: version, Actor: actor, Facts: facts})
}

// BeginRestored puts data that came from a backup into a new epoch and into
// quarantine, and says so in the log: one record that names where the log was cut.
// before is the epoch in the data, next the new one.
func BeginRestored(tx SettingsTx, before, next int64, q Quarantine, root string) error {
	q.Kind, q.Since = Restored, tx.Now()
	if err := saveQuarantine(tx, QuarantineSetting, q); err != nil {
		return err
	}
	taken := ""
	if !q.BackupAt.IsZero() {
		taken = q.BackupAt.UTC().Format(access.Stamp)
	}
	return InstallationEvent(tx, InstallationRestored, before, access.System, "epoch", strconv.FormatInt(next, 10),
		"backup_at", taken, "kept", strconv.FormatInt(q.Kept, 10), "root", root)
}

// suspended refuses what must not happen in quarantine. What is known from the
// last look spares a read; before the first look the store is asked.
func (b *Broker) suspended(tx Tx) error {
	known := b.quarantine.Load()
	if known == nil {
		q, err := readQuarantine(tx, QuarantineSetting)
		if err != nil {
			return err
		}
		known = &q
	}
	if known.Kind == "" {
		return nil
	}
	return access.Fail(access.Unavailable, "quarantined", "nothing new is granted: the installation is in quarantine").Because(known.Why).
		Try("an administrator looks with stint admin restore status; ending and revoking work")
}

// lookAtQuarantine reads what the store says, also what another replica wrote.
func (b *Broker) lookAtQuarantine(ctx context.Context) (q Quarantine, err error) {
	err = b.Store.View(ctx, func(tx Tx) (err error) { q, err = readQuarantine(tx, QuarantineSetting); return err })
	if err == nil {
		b.quarantine.Store(&q)
	}
	return q, err
}

// sweepBudget is how many removals a sweep may order by itself: none while the
// data looks old, because what it does not know may be another's of our name.
func (b *Broker) sweepBudget() int {
	if q := b.quarantine.Load(); q == nil || q.Kind != "" && q.Kind != Restored {
		return 0 // also before the first look
	}
	return SweepBudget
}

// beginQuarantined is done before anything else of Run: in restored data every
// grant that was live ends, and every request that was open is refused. They may
// have ended since the backup was made, and nothing here can tell. It insists: a
// broker that has not done so must not make what the rows ask for.
func (b *Broker) beginQuarantined(ctx context.Context) error {
	for ctx.Err() == nil {
		q, err := b.lookAtQuarantine(ctx)
		if err == nil && q.Kind == Restored && !q.Settled {
			err = b.settleRestored(ctx, q)
		}
		if err == nil {
			return nil
		}
		b.storeTrouble(ctx, "ending what a restored backup has as live", err)
	}
	return nil
}

func (b *Broker) settleRestored(ctx context.Context, q Quarantine) error {
	why := "the data was restored from a backup"
	if !q.BackupAt.IsZero() {
		why += " of " + q.BackupAt.UTC().Format(time.RFC3339)
	}
	for done := false; !done; {
		err := b.update(ctx, func(tx Tx, fx *effects) error {
			done = false
			gs, err := tx.Grants(access.GrantQuery{States: live, Limit: dueBatch})
			if err != nil {
				return err
			}
			if _, err := b.endGrants(tx, fx, gs, access.ByPolicy, why, access.System); err != nil {
				return err
			}
			rs, err := tx.Requests(access.RequestQuery{States: []access.RequestState{access.RequestPending}, Limit: dueBatch})
			if err != nil {
				return err
			}
			for _, r := range rs {
				r, ev, err := r.Reject(why+"; ask again", access.System, tx.Now())
				if err != nil {
					return err
				}
				fx.request(r)
				fx.event(ev)
			}
			if done = len(gs) == 0 && len(rs) == 0; !done {
				return nil
			}
			now, err := readQuarantine(tx, QuarantineSetting)
			if err != nil || now.Kind != Restored {
				return err
			}
			now.Settled = true
			return saveQuarantine(tx, QuarantineSetting, now)
		})
		if err != nil {
			return err
		}
	}
	b.Log.Warn("the data was restored: what was live in it is ended, and nothing is granted until targets were compared", "why", q.Why)
	return nil
}

// How often a quarantine is looked at, and its targets are compared.
const (
	quarantineEvery = time.Second
	reconcileEvery  = 2 * time.Second
)

// watchQuarantine compares every target of restored data with the rows, and ends
// the quarantine by itself when nothing is in doubt any more.
func (b *Broker) watchQuarantine(ctx context.Context) {
	var compared time.Time
	none := func(g *glance) bool {
		known := b.quarantine.Load()
		return g.quarantine.Kind == "" && known != nil && known.Kind == ""
	}
	b.glances.unless(ctx, quarantineEvery, none, func() {
		q, err := b.lookAtQuarantine(ctx)
		if err != nil || q.Kind != Restored || time.Since(compared) < reconcileEvery {
			return // a store that is away is complained about elsewhere
		}
		compared = time.Now()
		r := b.reconcile(ctx)
		b.reconciled.Store(&r)
		if !r.Clean() || q.Lost > 0 || !q.Compared || ctx.Err() != nil {
			return
		}
		if err := b.lift(ctx, access.System, "every target was compared, and the log is the one that the witnesses know", nil); err != nil {
			b.storeTrouble(ctx, "ending the quarantine", err)
		}
	})
}

// Reconciliation is what comparing every target with the rows has found.
type Reconciliation struct {
	At      time.Time
	Places  []PlaceState
	Live    int    // entitlements that are not gone; a thousand are counted at most
	Problem string // why nothing could be compared
}

// PlaceState is one target of a Reconciliation.
type PlaceState struct {
	Place     access.Place
	Unwanted  int // of ours, to remove
	Ordered   int // of these, removed now
	Foreign   int // not ours; never touched
	Standing  int
	Problem   string // why it could not be compared
	Connector string
}

// Clean reports that every target was read and has nothing of ours.
func (r Reconciliation) Clean() bool {
	return r.Problem == "" && r.Live == 0 && !r.At.IsZero() && !slices.ContainsFunc(r.Places, func(p PlaceState) bool { return p.Problem != "" || p.Unwanted > 0 })
}

// Examine reaches every target and makes sure that it is ours, and compares
// nothing; for a doctor, at most within each.
func (b *Broker) Examine(ctx context.Context, each time.Duration) ([]PlaceState, error) {
	at, err := b.places(ctx)
	if err != nil {
		return nil, err
	}
	states := make([]PlaceState, len(at))
	done, sem := make(chan struct{}), make(chan struct{}, 16)
	for i, c := range at {
		go func() {
			sem <- struct{}{}
			defer func() { <-sem; done <- struct{}{} }()
			call, cancel := context.WithTimeout(ctx, each)
			defer cancel()
			states[i] = PlaceState{Place: c.Place(), Connector: c.Type}
			conn, t, err := b.target(call, c)
			if err == nil {
				err = conn.Claim(call, t, t.Claim)
			}
			if err != nil {
				states[i].Problem = public(err)
			}
		}()
	}
	for range at {
		<-done
	}
	return states, nil
}

func (b *Broker) reconcile(ctx context.Context) Reconciliation {
	r := Reconciliation{At: time.Now().UTC()}
	at, err := b.places(ctx)
	if err == nil {
		err = b.Store.View(ctx, func(tx Tx) error {
			es, err := tx.Entitlements(access.EntitlementQuery{Limit: 1000,
				States: []access.EntitlementState{access.Intended, access.Present, access.Refreshing, access.Removing}})
			r.Live = len(es)
			return err
		})
	}
	if err != nil {
		r.Problem = public(err)
		return r
	}
	states := make([]PlaceState, len(at))
	sem := make(chan struct{}, 8)
	done := make(chan struct{})
	for i, c := range at {
		go func() {
			sem <- struct{}{}
			defer func() { <-sem; done <- struct{}{} }()
			found, err := b.sweep(ctx, c, b.sweepBudget())
			s := PlaceState{Place: c.Place(), Unwanted: len(found.Unwanted) + len(found.Unsure), Ordered: found.Ordered, Foreign: len(found.Foreign), Standing: len(found.Standing), Connector: c.Type}
			if err != nil {
				s.Problem = public(err)
			} else if len(found.Unsure) > 0 {
				s.Problem = found.Unsure[0]
			}
			states[i] = s
		}()
	}
	for range at {
		<-done
	}
	r.Places = states
	return r
}

// QuarantineState is what is known about a quarantine here; Kind is empty when
// there is none.
func (b *Broker) QuarantineState(ctx context.Context) (Quarantine, Reconciliation, error) {
	q, err := b.lookAtQuarantine(ctx)
	var r Reconciliation
	if found := b.reconciled.Load(); found != nil {
		r = *found
	}
	return q, r, err
}

// LogGap is what was lost of the log by restores that were accepted: records
// kept to lost. Zero when nothing was.
func (b *Broker) LogGap(ctx context.Context) (q Quarantine, err error) {
	err = b.Store.View(ctx, func(tx Tx) (err error) { q, err = readQuarantine(tx, LogGapSetting); return err })
	return q, err
}

// Witnessed takes in what comparing the log with its witnesses has found. lost is
// the size of the newest log that a witness knows and this one does not continue,
// root its root; 0 when all witnesses that answered know nothing else. asked says
// that all of them answered.
//
// In restored data that is how much was lost. In any other the data is not what
// it was: it looks old, and the quarantine begins.
func (b *Broker) Witnessed(ctx context.Context, size, lost int64, root, who string, asked bool) error {
	if known := b.quarantine.Load(); lost == 0 && known != nil && (known.Kind != Restored || known.Compared) {
		return nil
	}
	err := b.update(ctx, func(tx Tx, fx *effects) error {
		q, err := readQuarantine(tx, QuarantineSetting)
		if err != nil {
			return err
		}
		switch {
		case q.Kind == Restored && lost > q.Lost:
			q.Lost, q.LostRoot = lost, root
			said := "records " + strconv.FormatInt(q.Kept, 10) + " to " + strconv.FormatInt(lost-1, 10) + " are missing"
			if lost <= q.Kept {
				said = "the log of size " + strconv.FormatInt(lost, 10) + " that was witnessed is not the beginning of this one"
			}
			b.Log.Error("the restored log lacks what a witness has seen", "said", said, "witness", who)
			fx.event(b.alarmEvent(LogGapFound, tx.Now(), access.System, "said", said, "kept", strconv.FormatInt(q.Kept, 10),
				"witnessed", strconv.FormatInt(lost, 10), "witnessed_root", root, "witness", who))
			return saveQuarantine(tx, QuarantineSetting, q)
		case q.Kind == Restored && lost == 0 && asked && !q.Compared:
			q.Compared = true
			return saveQuarantine(tx, QuarantineSetting, q)
		case q.Kind != "" || lost == 0:
			return nil
		}
		gap, err := readQuarantine(tx, LogGapSetting)
		if err != nil {
			return err
		}
		if gap.Lost > 0 && lost <= gap.Lost {
			return nil // known, and accepted; the witness's own operator has to accept it too
		}
		q = Quarantine{Kind: LooksOld, Since: tx.Now(), Kept: size, Lost: lost, LostRoot: root, Compared: asked,
			Why: fmt.Sprintf("the witness %s has seen a log of %d records that this one, of %d, does not continue", who, lost, size)}
		b.Log.Error("nothing is granted: the data is older than it was, or not the one it was", "why", q.Why)
		if err := InstallationEvent(tx, QuarantineBegan, b.Epoch, access.System, "kind", string(q.Kind), "why", q.Why,
			"size", strconv.FormatInt(size, 10), "witnessed", strconv.FormatInt(lost, 10), "witnessed_root", root, "witness", who); err != nil {
			return err
		}
		return saveQuarantine(tx, QuarantineSetting, q)
	})
	if err == nil {
		_, err = b.lookAtQuarantine(ctx)
	}
	return err
}

// BackupHandedOut puts on record that an administrator takes a backup away.
func (b *Broker) BackupHandedOut(ctx context.Context, c Caller, records, bytes int64, sum string) error {
	if err := c.admin(); err != nil {
		return err
	}
	return b.update(ctx, func(tx Tx, fx *effects) error {
		if err := tx.SaveSetting(LastBackupSetting, []byte(tx.Now().Format(access.Stamp))); err != nil {
			return err
		}
		fx.event(b.alarmEvent(BackupTaken, tx.Now(), c.Actor, "records", strconv.FormatInt(records, 10), "bytes", strconv.FormatInt(bytes, 10), "sha256", sum))
		return nil
	})
}

// AcceptQuarantine ends a quarantine by the word of an administrator, who takes it
// on themselves that the documents are the present ones, that who was disabled is
// disabled, and that what the log lacks is kept elsewhere. As long as not every
// target was found clean, it needs force, and two of them where there are two.
func (b *Broker) AcceptQuarantine(ctx context.Context, c Caller, why string, force bool) (over bool, err error) {
	if err := c.admin(); err != nil {
		return false, err
	}
	if strings.TrimSpace(why) == "" {
		return false, access.Fail(access.Invalid, "no-reason", "ending a quarantine needs a reason").Try("say it with --why")
	}
	q, r, err := b.QuarantineState(ctx)
	switch {
	case err != nil:
		return false, err
	case q.Kind == "":
		return false, access.Fail(access.Conflict, "not-quarantined", "there is no quarantine")
	}
	clean := q.Kind == Restored && q.Settled && r.Clean()
	if !clean && !force {
		return false, access.Fail(access.Conflict, "not-reconciled", "not everything is found clean yet").Because(r.unclean(q)).
			Try("wait, mend what it names, or accept it as it is with --force; where there are two administrators it takes two")
	}
	if !clean {
		second, err := b.firstOfTwo(ctx, c, q, why)
		if err != nil || !second {
			return false, err
		}
	}
	return true, b.lift(ctx, c.Actor, why, r.forced(clean))
}

// firstOfTwo reports whether this is the second administrator to accept, or the
// only one there is; the first is remembered.
func (b *Broker) firstOfTwo(ctx context.Context, c Caller, q Quarantine, why string) (second bool, err error) {
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		second = false
		ps, err := tx.Principals(access.User)
		if err != nil {
			return err
		}
		other := func(p access.Principal) bool {
			return p.Admin && !p.Disabled && !p.Lock.Is() && p.Person != c.Principal.Person
		}
		now, err := readQuarantine(tx, QuarantineSetting)
		if err != nil {
			return err
		}
		// The first one's word counts only while they are an administrator.
		said := func(p access.Principal) bool { return other(p) && p.Person == now.First }
		if second = !slices.ContainsFunc(ps, other) || now.First != "" && slices.ContainsFunc(ps, said); second {
			return nil
		}
		now.First = c.Principal.Person
		fx.event(b.alarmEvent(QuarantineAccepted, tx.Now(), c.Actor, "why", why, "kind", string(q.Kind)))
		return saveQuarantine(tx, QuarantineSetting, now)
	})
	return second, err
}

// lift ends the quarantine and keeps what is known of the log's gap.
func (b *Broker) lift(ctx context.Context, actor access.Actor, why string, facts []string) error {
	err := b.update(ctx, func(tx Tx, fx *effects) error {
		q, err := readQuarantine(tx, QuarantineSetting)
		if err != nil || q.Kind == "" {
			return err
		}
		if err := tx.SaveSetting(QuarantineSetting, nil); err != nil {
			return err
		}
		if err := saveQuarantine(tx, LogGapSetting, q); err != nil {
			return err
		}
		return InstallationEvent(tx, QuarantineLifted, b.Epoch, actor, append([]string{"kind", string(q.Kind), "why", why,
			"kept", strconv.FormatInt(q.Kept, 10), "witnessed", strconv.FormatInt(q.Lost, 10), "witnessed_root", q.LostRoot}, facts...)...)
	})
	if err == nil {
		_, err = b.lookAtQuarantine(ctx)
	}
	return err
}

// unclean says what stands in the way.
func (r Reconciliation) unclean(q Quarantine) string {
	switch {
	case q.Kind != Restored:
		return q.Why
	case r.Problem != "":
		return r.Problem
	case r.At.IsZero():
		return "the targets were not compared yet"
	}
	for _, p := range r.Places {
		if p.Problem != "" {
			return string(p.Place) + ": " + p.Problem
		}
		if p.Unwanted > p.Ordered {
			return fmt.Sprintf("%s: %d things to remove, more than a sweep may by itself; see stint resource sweep", p.Place, p.Unwanted)
		}
	}
	return fmt.Sprintf("%d removals are not confirmed yet", max(r.Live, 1))
}

// forced names, for the log, what was not clean when a person accepted it.
func (r Reconciliation) forced(clean bool) []string {
	if clean {
		return nil
	}
	var places []string
	for _, p := range r.Places {
		if p.Problem != "" || p.Unwanted > 0 {
			places = append(places, string(p.Place))
		}
	}
	return []string{"forced", "yes", "not_clean", strings.Join(places, " ")}
}

// LastBackup is when a backup was last handed out, for administrators and auditors; zero
// where none ever was.
func (b *Broker) LastBackup(ctx context.Context, c Caller) (at time.Time, err error) {
	if !c.Principal.Admin && !c.Principal.Auditor {
		return at, access.Fail(access.Denied, "not-yours", "backups are for administrators and auditors")
	}
	err = b.Store.View(ctx, func(tx Tx) error {
		at = time.Time{}
		v, err := tx.Setting(LastBackupSetting)
		if err == nil && v != nil {
			at, err = time.Parse(access.Stamp, string(v))
		}
		return err
	})
	return at, err
}
