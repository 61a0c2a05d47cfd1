package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
		var looked atomic.Int64
		for _, c := range at {
			wg.Go(func() {
				found, err := b.sweep(ctx, c, b.sweepBudget())
				looked.Add(int64(found.Looked))
				if err != nil && ctx.Err() == nil {
					b.Log.Warn("sweep failed", "place", c.Place(), "error", err)
				}
			})
		}
		wg.Wait()
		if looked.Load() > bigSweep {
			debug.FreeOSMemory() // a long list has come and gone
		}
	})
}

// bigSweep is how many things a round of sweeps looks at before it gives memory
// back to the system, which costs a collection.
const bigSweep = 20_000

// places are the connections to sweep: of every resource, and of everything that
// is being removed. A place that is reached with two logins is swept with both:
// what one of them granted carries no mark that the other could know it by.
func (b *Broker) places(ctx context.Context) (at []access.Connection, err error) {
	err = b.Store.View(ctx, func(tx Tx) error {
		at = nil
		type login struct {
			place      access.Place
			credential string
		}
		known := map[login]bool{}
		add := func(c access.Connection) {
			l := login{c.Place(), c.Credential}
			if _, ok := b.Connectors[c.Type]; ok && !known[l] {
				known[l] = true
				at = append(at, c)
			}
		}
		for _, r := range b.documentsOrNone(tx).Resources() {
			add(r.Connection)
		}
		es, err := tx.Removals(1000)
		for _, e := range es {
			add(e.Target.Connection)
		}
		return err
	})
	return at, err
}

// Findings are what one sweep of a place found.
type Findings struct {
	Place    access.Place
	Standing []string // privilege that nobody granted through Stint; never touched
	Foreign  []string // what looks like ours and is not; never touched
	Unsure   []string // what no record explains, and a copy of us may have made; left until that is known
	Unwanted []string // ours, without a live grant
	Looked   int      // at so many things of ours
	Ordered  int      // how many removals were ordered: of all that is unwanted, or none
}

// Sweep sweeps a resource's place now and says what it found; for administrators
// and the resource's owners. With remove > 0, for administrators, it may order
// that many removals: the answer of a person whom a sweep asked.
func (b *Broker) Sweep(ctx context.Context, c Caller, name access.ResourceName, remove int, why string) (Findings, error) {
	set, err := b.Documents(ctx)
	if err != nil {
		return Findings{}, err
	}
	r, ok := set.Resource(name)
	switch {
	case !ok:
		return Findings{}, noResource(set, name)
	case !c.Principal.Admin && (remove > 0 || !c.owns(set, name)):
		return Findings{}, access.Fail(access.Denied, "not-yours", "sweeping "+string(name)+" is for its owners, removing more than a sweep may for administrators")
	case remove < 0 || remove > 0 && strings.TrimSpace(why) == "":
		return Findings{}, access.Fail(access.Invalid, "no-reason", "removing more than a sweep may by itself needs a number and a reason").Try("say it with --why")
	}
	if remove > 0 {
		if err := b.update(ctx, func(tx Tx, fx *effects) error {
			fx.event(b.alarmEvent(SweepAllowed, tx.Now(), c.Actor, "resource", string(name), "remove", strconv.Itoa(remove), "why", why))
			return nil
		}); err != nil {
			return Findings{}, err
		}
	}
	return b.sweep(ctx, r.Connection, max(remove, b.sweepBudget()))
}

// sweepLog keeps when the last sweep was, and what was reported already, so that
// each finding is in the log once per process and not once a minute.
type sweepLog struct {
	mu       sync.Mutex
	at       time.Time
	reported map[string]string
}

// anew reports whether this was not the last thing reported about key.
func (l *sweepLog) anew(key, said string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reported[key] != said
}

// done notes that a sweep was.
func (l *sweepLog) done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = time.Now()
}

// forget lets what was reported about key be reported again.
func (l *sweepLog) forget(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.reported, key)
}

// note notes what is in the log now.
func (l *sweepLog) note(reported map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reported == nil || len(l.reported) > 10_000 {
		l.reported = map[string]string{}
	}
	maps.Copy(l.reported, reported)
}

// sweep compares one place with the store.
func (b *Broker) sweep(ctx context.Context, at access.Connection, budget int) (Findings, error) {
	place := at.Place()
	ctx = withWork(ctx, string(place)+" "+at.Credential)
	found := Findings{Place: place}
	call, cancel := context.WithTimeout(ctx, sweepEvery/2)
	defer cancel()
	conn, t, err := b.target(call, at)
	if err != nil {
		return found, err
	}
	if !conn.Capabilities().Sweepable {
		return found, nil
	}
	if err := b.claimAnew(call, conn, t); err != nil {
		if errors.Is(err, access.Conflict) {
			b.report(ctx, ClaimRefused, place, err.Error())
		}
		return found, err // somebody else's target: nothing there is ours to judge
	}
	b.sweeps.forget(reportKey(ClaimRefused, place))
	j := judgement{at: at, standing: b.beat(call, conn, t)}
	leave, ok := b.lanes.making.enter(call, place)
	if !ok {
		return found, call.Err()
	}
	if err := b.Store.View(ctx, func(tx Tx) error { j.since = tx.Now(); return nil }); err != nil {
		leave(true)
		return found, err
	}
	var some, suspects []connector.Artefact
	for a, err := range conn.Inventory(call, t) {
		if err != nil {
			leave(answered(err))
			return found, err // an incomplete list proves nothing
		}
		if a.Ours {
			some = append(some, a)
			found.Looked++
		} else if a.Standing {
			found.Standing = append(found.Standing, strings.TrimSpace(a.Account+" "+a.Right)+": "+a.Detail)
		}
		if len(some) == suspectBatch {
			if suspects, err = b.suspect(ctx, j, some, suspects); err != nil {
				leave(true)
				return found, err
			}
			some = some[:0]
		}
	}
	leave(true)
	if suspects, err = b.suspect(ctx, j, some, suspects); err != nil {
		return found, err
	}
	reported, err := b.judge(ctx, j, suspects, budget, &found)
	if err == nil {
		b.sweeps.note(reported)
		b.sweeps.done()
	}
	return found, err
}

// judgement is what the judging of one inventory rests on.
type judgement struct {
	at    access.Connection
	since time.Time // what vanished after this moment may still be in the inventory
	standing
}

// suspectBatch is how many artefacts are looked up in one snapshot.
const suspectBatch = 1000

// suspect adds those of what was found that seem not to be wanted. Nearly all of
// it is: with a hundred thousand live accounts, a transaction that writes must
// not look each of them up. judge looks at the suspects again.
func (b *Broker) suspect(ctx context.Context, j judgement, some, suspects []connector.Artefact) ([]connector.Artefact, error) {
	n := len(suspects)
	err := b.Store.View(ctx, func(tx Tx) (err error) {
		suspects = suspects[:n] // the transaction may run again
		if tx, err = b.explained(tx, j.at.Place(), some); err != nil {
			return err
		}
		for _, a := range some {
			v, err := b.unwanted(tx, j, a)
			if err != nil {
				return err
			}
			if v.kind != wanted {
				suspects = append(suspects, a)
			}
		}
		return nil
	})
	return suspects, err
}

// explained is a snapshot that has read at once what explains the artefacts, those that
// have our tag. What it does not have it reads one by one.
func (b *Broker) explained(tx Tx, place access.Place, some []connector.Artefact) (Tx, error) {
	var ids []access.EntitlementID
	for _, a := range some {
		if a.Tag == "" {
			continue
		}
		if id, _, ok := b.knownTag(place, a.Tag); ok {
			ids = append(ids, access.EntitlementID(id))
		}
	}
	es, err := tx.EntitlementsOf(ids...)
	x := explained{tx, make(map[access.EntitlementID]access.Entitlement, len(es))}
	for _, e := range es {
		x.of[e.ID] = e
	}
	return x, err
}

type explained struct {
	Tx
	of map[access.EntitlementID]access.Entitlement
}

func (x explained) Entitlement(id access.EntitlementID) (access.Entitlement, error) {
	if e, ok := x.of[id]; ok {
		return e, nil
	}
	return x.Tx.Entitlement(id)
}

// judge orders the removal of what is ours and not wanted, all of it or, if that
// is more than the budget, nothing.
func (b *Broker) judge(ctx context.Context, j judgement, ours []connector.Artefact, budget int, found *Findings) (reported map[string]string, err error) {
	if len(ours) == 0 {
		return nil, nil // as nearly always: else each place would cost a transaction that writes, each minute
	}
	place := j.at.Place()
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		found.Foreign, found.Unsure, found.Unwanted, found.Ordered = nil, nil, nil, 0
		reported = map[string]string{}
		var alarms effects
		ordered := map[string]access.EntitlementID{} // by key, of which two are never live
		report := func(key, said string, ev access.Event) {
			if b.sweeps.anew(key, said) {
				alarms.event(ev)
				reported[key] = said
			}
		}
		for _, a := range ours {
			v, err := b.unwanted(tx, j, a)
			if err != nil {
				return err
			}
			name := strings.TrimSpace(a.Account + " " + a.Right)
			switch v.kind {
			case foreign:
				found.Foreign = append(found.Foreign, name+": "+v.said)
				ev := b.alarmEvent(ForeignFound, tx.Now(), access.System, "place", string(place), "account", a.Account, "right", a.Right, "said", v.said)
				report(string(place)+"\x00"+name+"\x00"+a.Creation, v.said, ev)
			case unsure:
				found.Unsure = append(found.Unsure, name+": "+v.said)
			case leftover:
				key := v.entitlement.Key
				if first, ok := ordered[key]; ok && first != v.entitlement.ID && key != "" {
					found.Unsure = append(found.Unsure, name+": it is removed after another one of the same account")
					continue
				}
				ordered[key] = v.entitlement.ID
				found.Unwanted = append(found.Unwanted, name)
				fx.entitlement(v.entitlement)
				fx.event(v.event, b.alarmEvent(SweepFound, tx.Now(), access.System, "entitlement", string(v.entitlement.ID), "account", a.Account, "right", a.Right, "place", string(place)))
			}
		}
		n := len(found.Unwanted)
		found.Ordered = n
		if n > budget {
			found.Ordered = 0
			*fx = effects{}
			said := fmt.Sprintf("the sweep of %s found %d things to remove and may remove %d by itself", place, n, budget)
			b.Log.Error("sweep stopped: a person must look", "said", said)
			report(string(place), said, b.alarmEvent(SweepStopped, tx.Now(), access.System, "place", string(place), "said", said))
		}
		fx.event(alarms.events...)
		return nil
	})
	return reported, err
}

// finding is what one artefact with our mark turned out to be.
type finding struct {
	kind        findingKind
	said        string             // why it is not touched; public
	entitlement access.Entitlement // whose removal to order
	event       access.Event
}

type findingKind uint8

const (
	wanted   findingKind = iota // a live entitlement stands behind it
	leftover                    // ours, and of no use any more
	foreign                     // not what we made, whatever it looks like
	unsure                      // ours or a copy's: it is left until that is known
)

// unwanted decides about one artefact that has our mark: whether a live
// entitlement stands behind it, and if not, the entitlement whose removal to order.
func (b *Broker) unwanted(tx Tx, j judgement, a connector.Artefact) (finding, error) {
	now, place := tx.Now(), j.at.Place()
	blank := access.Entitlement{
		Target: access.Target{Connection: j.at, Account: a.Account}, Mechanism: a.Mechanism, Account: a.Account, Tag: a.Tag,
		Creation: a.Creation, Claimed: b.Epoch, ExpiresAt: now, Key: sweptKey(a),
	}
	if a.Right != "" {
		blank.Rights = []string{a.Right}
	}
	adopt := func(id access.EntitlementID) (finding, error) {
		if !j.alone {
			return finding{kind: unsure, said: "no record explains it; " + j.why}, nil
		}
		e, ev := access.Adopt(blank, id, now)
		return finding{kind: leftover, entitlement: e, event: ev}, nil
	}
	if a.Tag == "" { // a membership: ours when our login granted it, and known by its key
		known, err := b.heldSince(tx, place, blank.Key, j.since)
		if known || err != nil {
			return finding{}, err
		}
		id := access.NewEntitlementID(now.UnixMilli(), b.entropy())
		blank.Tag = access.Tag(b.Tagger.Tag(b.Installation, string(place), b.Epoch, string(id)))
		return adopt(id)
	}
	id, epoch, ok := b.knownTag(place, a.Tag)
	if !ok {
		return finding{kind: foreign, said: "it looks like ours and its tag is not"}, nil
	}
	// Its record is of this very thing, and stands beside that of a live grant which
	// asks for the same account.
	blank.Key += ":" + string(a.Tag)
	e, err := tx.Entitlement(access.EntitlementID(id))
	switch {
	case missing(err) && epoch < b.Epoch:
		// A copy that made it in an earlier epoch has lost the target to our claim.
		e, ev := access.Adopt(blank, access.EntitlementID(id), now)
		return finding{kind: leftover, entitlement: e, event: ev}, nil
	case missing(err):
		return adopt(access.EntitlementID(id))
	case err != nil:
		return finding{}, err
	case e.State == access.Gone && e.GoneAt.After(j.since):
		return finding{}, nil
	case e.State == access.Gone && e.Key != "":
		// Two of one key are never live. While the other one is, the target refuses it
		// what this one holds; it fails and makes way.
		if next, err := tx.LiveEntitlement(place, e.Key); err == nil {
			return finding{kind: unsure, said: "it is removed when " + string(next.ID) + " is out of the way"}, nil
		} else if !missing(err) {
			return finding{}, err
		}
	}
	switch {
	case e.State == access.Gone && a.Account == e.Account && another(e, a):
		// Something made under our name after ours was gone: a late call of ours, or a
		// forgery by somebody who saw the name. The order keeps the identity of what
		// we made, so that only the login of this one is taken, and a person is told
		// of the rest.
		e, ev, ok := e.Again(now)
		if !ok {
			return finding{}, nil
		}
		return finding{kind: leftover, entitlement: e, event: ev}, nil
	case another(e, a):
		return finding{kind: foreign, said: "it has our tag and is not what we made"}, nil
	case e.State != access.Gone:
		return finding{}, nil
	}
	if a.Creation != "" {
		e.Creation = a.Creation
	}
	e, ev, ok := e.Again(now)
	if !ok {
		return finding{}, nil
	}
	return finding{kind: leftover, entitlement: e, event: ev}, nil
}

// another reports whether an artefact with an entitlement's tag is not the one
// that the entitlement is about. The identity of the object decides; where it is
// not known, the name of the account does.
func another(e access.Entitlement, a connector.Artefact) bool {
	if e.Creation != "" && a.Creation != "" {
		return e.Creation != a.Creation
	}
	return e.Account != "" && a.Account != "" && e.Account != a.Account
}

// heldSince reports whether an entitlement of that key is live, or was when the
// inventory began: what ended meanwhile may be in it.
func (b *Broker) heldSince(tx Tx, place access.Place, key string, since time.Time) (bool, error) {
	_, err := tx.LiveEntitlement(place, key)
	if err == nil || !missing(err) {
		return err == nil, err
	}
	e, err := tx.LeftGroup(place, key)
	if missing(err) {
		return false, nil
	}
	return err == nil && e.GoneAt.After(since), err
}

// knownTag checks a tag's MAC under this and all earlier epochs.
func (b *Broker) knownTag(place access.Place, tag access.Tag) (id string, epoch int64, ok bool) {
	for epoch = b.Epoch; epoch >= 1; epoch-- {
		if id, ok := b.Tagger.Check(b.Installation, string(place), epoch, string(tag)); ok {
			return id, epoch, true
		}
	}
	return "", 0, false
}

func sweptKey(a connector.Artefact) string {
	switch a.Mechanism {
	case access.Member:
		return "group:" + a.Account + ":" + a.Right
	case access.Enable:
		return "enable:" + a.Account
	case access.Checkout:
		return access.CheckoutKey(a.Account)
	}
	return string(a.Mechanism) + ":found:" + a.Account
}
