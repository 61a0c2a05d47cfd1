package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// sweepEvery is how often each place is compared with what should be there.
const sweepEvery = time.Minute

// SweepBudget is how many removals one sweep of a place may order by itself.
// One that finds more has probably misunderstood something, a restored database
// or a cloned installation, and asks a person instead.
const SweepBudget = 20

// watchTargets sweeps every known place, soon after the start and then each
// minute. What carries our tag and has no live grant is removed in the ordinary
// way; what is not ours is reported and never touched.
func (b *Broker) watchTargets(ctx context.Context) {
	every(ctx, sweepEvery, func() {
		at, err := b.places(ctx)
		if err != nil {
			b.storeTrouble(ctx, "looking for places to sweep", err)
			return
		}
		var wg sync.WaitGroup
		for _, c := range at {
			wg.Go(func() {
				if err := b.sweep(ctx, c); err != nil && ctx.Err() == nil {
					b.Log.Warn("sweep failed", "place", c.Place(), "error", err)
				}
			})
		}
		wg.Wait()
	})
}

// places are the connections to sweep: of every resource, and of everything
// that is live or being removed.
func (b *Broker) places(ctx context.Context) (map[access.Place]access.Connection, error) {
	at := map[access.Place]access.Connection{}
	err := b.Store.View(ctx, func(tx Tx) error {
		clear(at)
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		for _, r := range set.Resources() {
			if _, ok := b.Connectors[r.Connection.Type]; ok {
				at[r.Connection.Place()] = r.Connection
			}
		}
		es, err := tx.Entitlements(access.EntitlementQuery{States: []access.EntitlementState{access.Removing}, Limit: 1000})
		for _, e := range es {
			at[e.Target.Connection.Place()] = e.Target.Connection
		}
		return err
	})
	return at, err
}

// Standing is privilege found on a target that nobody granted through Stint.
type Standing struct {
	Place  access.Place
	Detail string
}

// sweepLog keeps what the last sweeps found, for people to look at.
type sweepLog struct {
	mu       sync.Mutex
	standing map[access.Place][]Standing
	stopped  map[access.Place]string
	at       time.Time
}

// Standing lists the standing privilege that the last sweeps found.
func (b *Broker) Standing() []Standing {
	b.sweeps.mu.Lock()
	defer b.sweeps.mu.Unlock()
	var all []Standing
	for _, p := range slices.Sorted(maps.Keys(b.sweeps.standing)) {
		all = append(all, b.sweeps.standing[p]...)
	}
	return all
}

// sweep compares one place with the store.
func (b *Broker) sweep(ctx context.Context, at access.Connection) error {
	place := at.Place()
	call, cancel := context.WithTimeout(ctx, sweepEvery/2)
	defer cancel()
	conn, t, err := b.target(call, at)
	if err != nil {
		return err
	}
	if !conn.Capabilities().Sweepable {
		return nil
	}
	if err := b.claim(call, conn, t); err != nil {
		return err // somebody else's target: nothing there is ours to judge
	}
	leave, ok := b.lanes.making.enter(call, place)
	if !ok {
		return call.Err()
	}
	var since time.Time // what vanished after this moment may still be in the inventory
	if err := b.Store.View(ctx, func(tx Tx) error { since = tx.Now(); return nil }); err != nil {
		leave(true)
		return err
	}
	var ours []connector.Artefact
	var standing []Standing
	for a, err := range conn.Inventory(call, t) {
		if err != nil {
			leave(answered(err))
			return err // an incomplete list proves nothing
		}
		if a.Ours {
			ours = append(ours, a)
		} else if a.Standing {
			standing = append(standing, Standing{Place: place, Detail: a.Detail})
		}
	}
	leave(true)
	b.sweeps.mu.Lock()
	if b.sweeps.standing == nil {
		b.sweeps.standing, b.sweeps.stopped = map[access.Place][]Standing{}, map[access.Place]string{}
	}
	b.sweeps.standing[place], b.sweeps.at = standing, time.Now()
	b.sweeps.mu.Unlock()
	return b.judge(ctx, at, ours, since)
}

// judge orders the removal of what is ours and not wanted.
func (b *Broker) judge(ctx context.Context, at access.Connection, ours []connector.Artefact, since time.Time) error {
	var stopped string
	err := b.update(ctx, func(tx Tx, fx *effects) error {
		stopped = ""
		n := 0
		for _, a := range ours {
			e, ev, remove, err := b.unwanted(tx, at, a, since)
			if err != nil {
				return err
			}
			if ev.Type == ForeignFound {
				if b.firstTime(at.Place(), a) {
					fx.event(ev)
				}
				continue
			}
			if !remove {
				continue
			}
			n++
			fx.entitlement(e)
			fx.event(ev, b.alarmEvent(SweepFound, tx.Now(), access.System, "entitlement", string(e.ID), "account", a.Account, "right", a.Right, "place", string(at.Place())))
		}
		if n > SweepBudget {
			stopped = fmt.Sprintf("the sweep of %s found %d things to remove and may remove %d by itself", at.Place(), n, SweepBudget)
			*fx = effects{}
			if b.sweepStopsAnew(at.Place(), stopped) {
				fx.event(b.alarmEvent(SweepStopped, tx.Now(), access.System, "place", string(at.Place()), "said", stopped))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if stopped != "" {
		b.Log.Error("sweep stopped: a person must look", "said", stopped)
	}
	return nil
}

// unwanted decides about one artefact that has our mark: whether a live
// entitlement stands behind it, and if not, the entitlement whose removal to order.
func (b *Broker) unwanted(tx Tx, at access.Connection, a connector.Artefact, since time.Time) (access.Entitlement, access.Event, bool, error) {
	now, place := tx.Now(), at.Place()
	blank := access.Entitlement{
		Target: access.Target{Connection: at, Account: a.Account}, Mechanism: a.Mechanism, Account: a.Account, Tag: a.Tag,
		Creation: a.Creation, Claimed: b.Epoch, ExpiresAt: now, Key: sweptKey(a),
	}
	if a.Right != "" {
		blank.Rights = []string{a.Right}
	}
	if a.Tag == "" { // a membership: ours when our login granted it, and known by its key
		_, err := tx.LiveEntitlement(place, blank.Key)
		if err == nil {
			return access.Entitlement{}, access.Event{}, false, nil
		}
		if !missing(err) {
			return access.Entitlement{}, access.Event{}, false, err
		}
		id := access.NewEntitlementID(now.UnixMilli(), b.entropy())
		blank.Tag = access.Tag(b.Tagger.Tag(b.Installation, string(place), b.Epoch, string(id)))
		e, ev := access.Adopt(blank, id, now)
		return e, ev, true, nil
	}
	id, ok := b.knownTag(place, a.Tag)
	if !ok {
		return access.Entitlement{}, b.alarmEvent(ForeignFound, now, access.System, "place", string(place), "account", a.Account, "said", "it looks like ours and its tag is not"), false, nil
	}
	e, err := tx.Entitlement(access.EntitlementID(id))
	switch {
	case missing(err):
		e, ev := access.Adopt(blank, access.EntitlementID(id), now)
		return e, ev, true, nil
	case err != nil:
		return access.Entitlement{}, access.Event{}, false, err
	case e.State != access.Gone || e.GoneAt.After(since):
		return access.Entitlement{}, access.Event{}, false, nil
	case e.Creation != "" && a.Creation != "" && e.Creation != a.Creation:
		// Something made under our name after ours was gone: a late call of ours,
		// or a forgery by somebody who saw the name. Only its login is taken.
		return access.Entitlement{}, b.alarmEvent(ForeignFound, now, access.System, "place", string(place), "account", a.Account, "said", "it has our tag and is not what we made"), false, nil
	}
	if a.Creation != "" {
		e.Creation = a.Creation
	}
	e, ev, ok := e.Again(now)
	return e, ev, ok, nil
}

// knownTag checks a tag's MAC under this and all earlier epochs.
func (b *Broker) knownTag(place access.Place, tag access.Tag) (string, bool) {
	for epoch := b.Epoch; epoch >= 1; epoch-- {
		if id, ok := b.Tagger.Check(b.Installation, string(place), epoch, string(tag)); ok {
			return id, true
		}
	}
	return "", false
}

func sweptKey(a connector.Artefact) string {
	switch a.Mechanism {
	case access.Member:
		return "group:" + a.Account + ":" + a.Right
	case access.Enable:
		return "enable:" + a.Account
	}
	return string(a.Mechanism) + ":found:" + a.Account
}

// firstTime reports whether this artefact was not reported as foreign before,
// so that each is in the log once per process and not once a minute.
func (b *Broker) firstTime(place access.Place, a connector.Artefact) bool {
	return b.sweepStopsAnew(place+access.Place("\x00"+a.Account+"\x00"+a.Creation), "foreign")
}

func (b *Broker) sweepStopsAnew(key access.Place, said string) bool {
	b.sweeps.mu.Lock()
	defer b.sweeps.mu.Unlock()
	anew := b.sweeps.stopped[key] != said
	b.sweeps.stopped[key] = said
	return anew
}
