package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// A copy of this installation, made with its store and keys, passes for it in
// every respect: a clone, a staging copy of the database that was left pointed at
// the real targets, a restored backup. To such a copy, an account that was made
// since is a leftover without a record. So each sweep leaves a beat on the target
// (connector.Beat): who reads one that is not in their store knows that somebody
// else works there in their name, makes nothing new there, and says so on the
// target; who reads that, or has not been alone there for a while, removes
// nothing of which they have no record. RFD 16.

const (
	// beatAge is how long a beat is in the store before it is on a target: a store
	// that loses its last commits in a failover does not lose it.
	beatAge = 30 * time.Second
	// beatsKept is how many beats are known again, of a target that went back to
	// an earlier one of itself: about two hours.
	beatsKept = 120
	// aloneFor is how long a process must have been alone on a target before it
	// believes that what it has no record of is nobody else's. A copy that starts
	// with our newest beat is found out by its second one, and says so within
	// another: three sweeps.
	aloneFor = 3 * sweepEvery
)

// beats is the store's memory of the beats of one target.
type beats struct {
	Known []string  `json:"known"` // oldest first; the last may not be on the target yet
	Next  string    `json:"next"`  // not on the target, as far as this store knows
	At    time.Time `json:"at"`    // when Next was made
}

func (p beats) knows(beat string) bool {
	return beat == "" || beat == p.Next || slices.Contains(p.Known, beat)
}

// company is what this process knows of others in its name, by place.
type company struct {
	mu    sync.Mutex
	alone map[access.Place]time.Time // since when, by the store's clock
	lost  map[access.Place]string    // why nothing new is made there
}

// standing is what a sweep may think of what it has no record of.
type standing struct {
	alone bool
	why   string // why not; public
}

func (c *company) met(place access.Place, why string, lost bool) standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.alone, place)
	if lost {
		if c.lost == nil {
			c.lost = map[access.Place]string{}
		}
		c.lost[place] = why
	}
	return standing{why: why}
}

func (c *company) none(place access.Place, now time.Time) standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.lost, place)
	since, ok := c.alone[place]
	if !ok {
		if c.alone == nil {
			c.alone = map[access.Place]time.Time{}
		}
		c.alone[place], since = now, now
	}
	if now.Sub(since) < aloneFor {
		return standing{why: "it is removed after " + since.Add(aloneFor).UTC().Format("15:04:05Z") + " if no copy of this Stint shows up by then"}
	}
	return standing{alone: true}
}

// certain refuses to make anything where a copy of ours works.
func (c *company) certain(place access.Place) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if why, lost := c.lost[place]; lost {
		return access.Fail(access.Conflict, "target-contested", "a copy of this Stint works on this target").Because(why).
			Try("stop the copy; if this one is a restored backup, run stintd restored; if there is no other, let an administrator of the target run: DROP ROLE stint_claim_proof")
	}
	return nil
}

const (
	foundOthersBeat = "it carries a beat that this Stint did not write: a copy of it, or a later life than the one this store was restored from"
	foundRival      = "another Stint with the name, epoch and keys of this one found its beat there, and works on the target too"
)

// beat looks for the beat of another, and leaves our own. What goes wrong on the
// way costs no more than the certainty to be alone.
func (b *Broker) beat(ctx context.Context, conn connector.Connector, t connector.Target) standing {
	place := t.Connection.Place()
	beacon, ok := conn.(connector.Beacon)
	if !ok {
		return standing{alone: true}
	}
	trouble := func(err error) standing {
		b.Log.Warn("no beat was left", "place", place, "error", err)
		return standing{why: "the beat of this Stint could not be read or left"}
	}
	was, err := beacon.ReadBeat(ctx, t) // before the store, which knows every beat of ours by then
	if err != nil {
		return trouble(err)
	}
	of := was.Of
	if of == "" {
		sum := sha256.Sum256([]byte(place))
		of = hex.EncodeToString(sum[:8])
	}
	p, now, err := b.beats(ctx, of)
	if err != nil {
		return trouble(err)
	}
	if !p.knows(was.Last) {
		if was.Rival == "" {
			mark := was
			mark.Rival = b.newBeat()
			if _, err := beacon.SwapBeat(ctx, t, was, mark); err != nil {
				b.Log.Warn("the copy could not be told of us", "place", place, "error", err)
			}
		}
		b.report(ctx, ClaimContested, place, foundOthersBeat)
		return b.company.met(place, foundOthersBeat, true)
	}
	if now.Sub(p.At) >= beatAge {
		done, err := beacon.SwapBeat(ctx, t, was, connector.Beat{Of: of, Last: p.Next})
		if err == nil && done {
			err = b.beaten(ctx, of, p.Next)
		}
		if err != nil {
			return trouble(err)
		}
	}
	if was.Rival != "" {
		b.report(ctx, ClaimContested, place, foundRival)
		return b.company.met(place, foundRival, false)
	}
	b.sweeps.forget(reportKey(ClaimContested, place))
	alone := b.company.none(place, now)
	if q := b.quarantine.Load(); q != nil && q.Kind == Restored {
		alone.alone = true // somebody said that this one goes on, and its epoch is proven
	}
	return alone
}

func beatsName(of string) string { return "beats:" + of }

func readBeats(tx Tx, of string) (p beats, err error) {
	body, err := tx.Setting(beatsName(of))
	if err == nil && body != nil {
		err = json.Unmarshal(body, &p)
	}
	return p, err
}

func (p beats) save(tx Tx, of string) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return tx.SaveSetting(beatsName(of), body)
}

// beats reads what the store knows of a target's beats, and makes the next one
// where there is none.
func (b *Broker) beats(ctx context.Context, of string) (p beats, now time.Time, err error) {
	err = b.Store.View(ctx, func(tx Tx) (err error) {
		now = tx.Now()
		p, err = readBeats(tx, of)
		return err
	})
	if err != nil || p.Next != "" {
		return p, now, err
	}
	err = b.Store.Update(ctx, func(tx Tx) (err error) {
		now = tx.Now()
		if p, err = readBeats(tx, of); err != nil || p.Next != "" {
			return err
		}
		p.Next, p.At = b.newBeat(), now
		return p.save(tx, of)
	})
	return p, now, err
}

// beaten records that a beat is on its target, or may be, and makes the next.
func (b *Broker) beaten(ctx context.Context, of, beat string) error {
	return b.Store.Update(ctx, func(tx Tx) error {
		p, err := readBeats(tx, of)
		if err != nil || p.Next != beat { // another replica has recorded it
			return err
		}
		p.Known = append(p.Known, beat)
		p.Known = p.Known[max(0, len(p.Known)-beatsKept):]
		p.Next, p.At = b.newBeat(), tx.Now()
		return p.save(tx, of)
	})
}

func (b *Broker) newBeat() string {
	e := b.entropy()
	return hex.EncodeToString(e[:])
}

func reportKey(t access.EventType, place access.Place) string {
	return string(t) + "\x00" + string(place)
}

// report puts an alarm about a place into the log, once for each thing said.
func (b *Broker) report(ctx context.Context, t access.EventType, place access.Place, said string) {
	key := reportKey(t, place)
	if !b.sweeps.anew(key, said) {
		return
	}
	b.Log.Error("a person must look", "event", string(t), "place", place, "said", said)
	err := b.update(ctx, func(tx Tx, fx *effects) error {
		fx.event(b.alarmEvent(t, tx.Now(), access.System, "place", string(place), "said", said))
		return nil
	})
	if err != nil {
		b.storeTrouble(ctx, "recording an alarm", err)
		return
	}
	b.sweeps.note(map[string]string{key: said})
}
