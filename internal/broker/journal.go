package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
)

// Journal keeps what the broker did while the store took no changes. Package
// journal has one on a file made beforehand.
type Journal interface {
	// ID names the journal among all that ever were.
	ID() string
	// Write adds records. An error says that they may not survive this process;
	// they are kept all the same while there is memory for them.
	Write(bodies ...[]byte) error
	// Entries are the oldest records that were not forgotten, and the number of
	// the first; the others follow it by one each. A number is never used again.
	Entries(limit int) (first uint64, bodies [][]byte)
	// Forget drops the records up to a number.
	Forget(through uint64) error
	// Waiting is how many records were not forgotten, and why they are in memory
	// only, if they are.
	Waiting() (records int, failed error)
}

// What an entry of the journal reports. Stored: only append.
const (
	didRemoving = "removing" // is about to be removed; with Said: was tried, and nobody knows how it went
	didRemoved  = "removed"  // was read back as gone
	didSpoil    = "spoiling" // a shared credential is about to be made useless; with Said as above
	didSpoilt   = "spoilt"   // it is, and its sessions have ended
	didTrouble  = "trouble"  // does not succeed; it is tried on
	didRevoke   = "revoked"  // a person took access away
)

// entry is one record of the journal. No secrets. Stored: only append.
type entry struct {
	At time.Time `json:"at"` // the store's time, as reckoned
	// Life is the process that wrote it. A journal whose disk failed gives the numbers
	// of what was in memory only again after a restart: each life counts for itself.
	Life        string               `json:"life,omitempty"`
	Did         string               `json:"did"`
	Entitlement access.EntitlementID `json:"entitlement,omitempty"`
	Resource    access.ResourceName  `json:"resource,omitempty"`
	Mechanism   access.Mechanism     `json:"mechanism,omitempty"`
	Account     string               `json:"account,omitempty"`
	Rights      []string             `json:"rights,omitempty"`
	Grants      []access.GrantID     `json:"grants,omitempty"`
	Said        string               `json:"said,omitempty"`

	Principal access.PrincipalID `json:"principal,omitempty"` // who revoked
	Person    access.Person      `json:"person,omitempty"`
	Device    access.DeviceID    `json:"device,omitempty"`
	Address   string             `json:"address,omitempty"`
	What      string             `json:"what,omitempty"`
	Why       string             `json:"why,omitempty"`
}

// jot writes entries to the journal, if there is one. The error is for those who
// promise something; ending access goes on without.
func (b *Broker) jot(es ...entry) error {
	if b.Journal == nil {
		return errors.New("there is no journal")
	}
	if len(es) == 0 {
		return nil
	}
	bodies := make([][]byte, 0, len(es))
	for _, e := range es {
		e.Life = b.firstLife
		body, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		bodies = append(bodies, body)
	}
	err := b.Journal.Write(bodies...)
	if err != nil {
		b.Log.Error("what is done without the store is in memory only, until the store is back", "records", len(es), "error", err)
	}
	return err
}

// mergeBatch is how many entries one transaction takes over.
const mergeBatch = 200

// mergeJournal takes the entries over into the log, each once: the number of the
// last one of each life is saved in the same transaction.
func (b *Broker) mergeJournal(ctx context.Context) error {
	for {
		first, bodies := b.Journal.Entries(mergeBatch)
		if len(bodies) == 0 {
			return nil
		}
		last := first + uint64(len(bodies)) - 1
		// It ends access, and until then other replicas go by what was ended here already.
		err := b.update(ending(ctx, len(bodies)), func(tx Tx, fx *effects) error {
			for from := 0; from < len(bodies); { // the entries of one life follow each other
				name, to := b.mergedBy(bodies[from]), from+1
				for to < len(bodies) && b.mergedBy(bodies[to]) == name {
					to++
				}
				done, err := readMerged(tx, name)
				if err != nil {
					return err
				}
				n := first + uint64(from)
				for _, body := range bodies[from:to] {
					if n > done {
						if err := b.mergeEntry(tx, fx, n, body); err != nil {
							return err
						}
					}
					n++
				}
				if err := tx.SaveSetting(name, strconv.AppendUint(nil, max(n-1, done), 10)); err != nil {
					return err
				}
				from = to
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("merge the journal: %w", err)
		}
		b.Log.Info("what was done without the store is in the log now", "records", len(bodies), "last", last)
		if err := b.Journal.Forget(last); err != nil {
			b.Log.Warn("the journal does not forget what is in the log already; it will not be merged twice", "error", err)
		}
	}
}

// mergedBy names the setting that says how many of an entry's kin were merged.
func (b *Broker) mergedBy(body []byte) string {
	name := "journal/" + b.Journal.ID()
	if e, ok := decodeEntry(body); ok && e.Life != "" {
		name += "/" + e.Life
	}
	return name
}

func readMerged(tx Tx, name string) (uint64, error) {
	v, err := tx.Setting(name)
	if err != nil || v == nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(v), 10, 64)
	if err != nil {
		return 0, access.Fail(access.Internal, "bad-setting", "the setting "+name+" is not a number").Wrap(err)
	}
	return n, nil
}

// mergeEntry appends one entry to the log and does what follows from it.
func (b *Broker) mergeEntry(tx Tx, fx *effects, n uint64, body []byte) error {
	now, journal := tx.Now(), b.Journal.ID()+"/"+strconv.FormatUint(n, 10)
	var e entry
	if err := json.Unmarshal(body, &e); err != nil {
		fx.event(b.alarmEvent(JournalTrouble, now, access.System, "journal", journal, "said", "the entry cannot be read"))
		return nil
	}
	var grants []string
	for _, g := range e.Grants {
		grants = append(grants, string(g))
	}
	facts := []string{"journal", journal, "done_at", e.At.UTC().Format(access.Stamp), "entitlement", string(e.Entitlement), "resource", string(e.Resource),
		"mechanism", string(e.Mechanism), "account", e.Account, "rights", strings.Join(e.Rights, ","), "grants", strings.Join(grants, ","),
		"said", e.Said, "what", e.What, "why", e.Why}
	switch e.Did {
	case didRevoke:
		from, _ := netip.ParseAddr(e.Address)
		actor := access.Actor{Principal: e.Principal, Person: e.Person, Device: e.Device, Address: from}
		fx.event(b.alarmEvent(AccessRevoked, now, actor, facts...))
		gs, err := tx.GrantsOf(e.Grants...)
		if err != nil {
			return err
		}
		_, err = b.endGrants(tx, fx, gs, access.ByPerson, e.Why, actor)
		return err
	case didRemoving: // with or without a word of how it went: it may be gone, or useless
		fx.event(b.alarmEvent(JournalRemoving, now, access.System, append(facts, "what", e.Did)...))
		return b.endTakenAway(tx, fx, e)
	case didRemoved:
		fx.event(b.alarmEvent(JournalRemoved, now, access.System, facts...))
		return b.endTakenAway(tx, fx, e)
	case didSpoil: // with or without a word of how it went: who stays may hold a credential that is useless
		fx.event(b.alarmEvent(JournalRemoving, now, access.System, append(facts, "what", e.Did)...))
		return b.renew(tx, fx, e.Entitlement, "made useless without the store")
	case didSpoilt:
		fx.event(b.alarmEvent(JournalSpoilt, now, access.System, facts...))
		return b.renew(tx, fx, e.Entitlement, "made useless without the store")
	case didTrouble:
		fx.event(b.alarmEvent(JournalTrouble, now, access.System, facts...))
	default:
		fx.event(b.alarmEvent(JournalTrouble, now, access.System, append(facts, "said", "a later version wrote it; it is "+e.Did)...))
	}
	return nil
}

// endTakenAway ends grants that live on in the store while their access was taken
// away, or was about to be and may have been: another replica had extended them, and
// we did not know. Who shares it since, and we did not know that either, is given it
// anew. Where we knew of nobody who held it any more, its removal had been ordered, and
// nobody could share it since: who holds it all the same does so because the store lost
// that order, and is given nothing.
func (b *Broker) endTakenAway(tx Tx, fx *effects, taken entry) error {
	id := taken.Entitlement
	e, known, err := b.newest(tx, fx, id)
	if err != nil || !known || e.State == access.Removing || e.State == access.Gone {
		return err
	}
	hs, err := tx.HoldsOf(id)
	if err != nil {
		return err
	}
	var ids []access.GrantID
	for _, h := range hs {
		if h.ReleasedAt.IsZero() {
			ids = append(ids, h.Grant)
		}
	}
	gs, err := tx.GrantsOf(ids...)
	if err != nil {
		return err
	}
	var over, early []access.Grant
	for _, g := range gs {
		switch due := g.DueAt(); {
		case !g.Live() || g.State == access.Scheduled:
		case !due.After(tx.Now()):
			over = append(over, g)
		case len(taken.Grants) == 0 || slices.Contains(taken.Grants, g.ID):
			early = append(early, g)
		}
	}
	if err := b.timesUp(tx, fx, over); err != nil {
		return err
	}
	if _, err = b.endGrants(tx, fx, early, access.ByPolicy, "its access was taken away while the store was out of reach", access.System); err != nil {
		return err
	}
	return b.renew(tx, fx, id, "taken away without the store")
}

// renew gives those who still hold what was taken away, or made useless, a new one.
func (b *Broker) renew(tx Tx, fx *effects, id access.EntitlementID, why string) error {
	e, known, err := b.newest(tx, fx, id)
	if err != nil || !known {
		return err
	}
	if e, ev, ok := e.Renewed(why, tx.Now()); ok {
		fx.entitlement(e)
		fx.event(ev)
	}
	return nil
}

// newest reads an entitlement as this transaction leaves it.
func (b *Broker) newest(tx Tx, fx *effects, id access.EntitlementID) (e access.Entitlement, known bool, err error) {
	if e, ok := fx.ents.get(id); ok {
		return e, true, nil
	}
	e, err = tx.Entitlement(id)
	if missing(err) {
		return e, false, nil
	}
	return e, err == nil, err
}
