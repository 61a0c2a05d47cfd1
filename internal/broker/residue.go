package broker

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// What an access left behind is found by comparing two fingerprints of its
// target, one that was complete before it began and one that began after it ended
// (connector.Examiner). All of that is beside the way of grants and ends: an
// answer comes some seconds after the end, as an event of its own. RFD 15.

const (
	// residueEvery is how often is looked whether a target is to be examined.
	residueEvery = time.Second
	// residueAfter is how long after an end its target is examined, so that those
	// of a burst are examined together.
	residueAfter = 2 * time.Second
	// fingerprintEvery is how old a fingerprint gets before the next is taken. An
	// older one makes a comparison longer: it holds more doings of others.
	fingerprintEvery = 5 * time.Minute
	// examineWithin bounds one reading of a target.
	examineWithin = 30 * time.Second
	// residueGivesUp is the failed attempt after which an answer is not known;
	// they are 30 seconds to 5 minutes apart, so half an hour in all.
	residueGivesUp = 10
	// dueAtOnce bounds the answers that one round looks for.
	dueAtOnce = 2000
	// tracesKept bounds what is told of one grant.
	tracesKept = 100
)

// examinations are those under way in this process: one at most for each place,
// and a few in all.
type examinations struct {
	mu    sync.Mutex
	busy  map[access.Place]bool
	poked bool // look at all places now
	wg    sync.WaitGroup
}

const examinationsAtOnce = 16

// begin reserves a place; the caller must end it.
func (x *examinations) begin(p access.Place) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.busy[p] || len(x.busy) >= examinationsAtOnce {
		return false
	}
	if x.busy == nil {
		x.busy = map[access.Place]bool{}
	}
	x.busy[p] = true
	return true
}

func (x *examinations) end(p access.Place) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.busy, p)
}

// poke lets the places that have no fingerprint yet get one now.
func (x *examinations) poke() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.poked = true
}

func (x *examinations) wasPoked() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	was := x.poked
	x.poked = false
	return was
}

// lookForResidue notes that what an ended grant left behind is to be found out.
// Nobody ever had the access of one that was never active.
func (b *Broker) lookForResidue(fx *effects, g access.Grant) {
	if g.State != access.Ended || g.ActiveAt.IsZero() {
		return
	}
	known := map[access.Place]bool{}
	for _, t := range g.Targets {
		place := t.Connection.Place()
		if _, ok := b.Connectors[t.Connection.Type].(connector.Examiner); ok && !known[place] {
			known[place] = true
			fx.left = append(fx.left, access.Residue{Grant: g.ID, Place: place, State: access.ResiduePending, DueAt: g.EndedAt.Add(residueAfter)})
		}
	}
}

// watchResidue examines targets: those with answers due, and the others now and then.
func (b *Broker) watchResidue(ctx context.Context) {
	if !b.examines() {
		return
	}
	round := 0
	every(ctx, residueEvery, func() {
		due := map[access.Place][]access.Residue{}
		var err error
		if g := b.glances.good(); g == nil || g.residues {
			err = b.Store.View(ctx, func(tx Tx) error {
				clear(due)
				rs, err := tx.DueResidues(dueAtOnce)
				for _, r := range rs {
					due[r.Place] = append(due[r.Place], r)
				}
				return err
			})
		}
		if err != nil {
			b.storeTrouble(ctx, "looking for residues due", err)
			return
		}
		for _, place := range slices.Sorted(maps.Keys(due)) {
			b.startExamination(ctx, place, access.Connection{}, due[place])
		}
		if round++; !b.examine.wasPoked() && round%60 != 1 {
			return
		}
		at, err := b.places(ctx)
		if err != nil {
			b.storeTrouble(ctx, "looking for places to examine", err)
			return
		}
		for _, c := range at {
			b.startExamination(ctx, c.Place(), c, nil)
		}
	})
	b.examine.wg.Wait()
}

// examines reports whether any kind of target can be examined.
func (b *Broker) examines() bool {
	for _, c := range b.Connectors {
		if _, ok := c.(connector.Examiner); ok {
			return true
		}
	}
	return false
}

// startExamination examines a place beside everything else. Without residues it
// does so only if the last fingerprint is old.
func (b *Broker) startExamination(ctx context.Context, place access.Place, at access.Connection, rs []access.Residue) {
	if !b.examine.begin(place) {
		return // the next round finds it
	}
	b.examine.wg.Go(func() {
		defer b.examine.end(place)
		ctx, cancel := context.WithTimeout(ctx, examineWithin)
		defer cancel()
		mine, err := b.reserve(ctx, place, len(rs) == 0)
		if err != nil || !mine {
			if err != nil && ctx.Err() == nil {
				b.storeTrouble(ctx, "reserving an examination", err)
			}
			return
		}
		if err := b.examinePlace(ctx, place, at, rs); err != nil && ctx.Err() == nil {
			b.Log.Warn("a target was not examined for residue", "place", place, "error", err)
		}
		ctx, done := outlive(ctx, examineWithin)
		defer done()
		if err := b.Store.Update(ctx, func(tx Tx) error { return tx.SaveSetting(reservation(place), nil) }); err != nil {
			b.storeTrouble(ctx, "giving back an examination", err)
		}
	})
}

func reservation(place access.Place) string { return "examined:" + string(place) }

// reserve makes sure that one replica examines a place at a time. A reservation
// lapses with the time that an examination has.
func (b *Broker) reserve(ctx context.Context, place access.Place, ifOld bool) (mine bool, err error) {
	young := false
	if err := b.Store.View(ctx, func(tx Tx) error {
		taken, err := tx.FingerprintTimes(place)
		young = ifOld && len(taken) > 0 && tx.Now().Sub(taken[len(taken)-1]) < fingerprintEvery
		return err
	}); err != nil || young {
		return false, err
	}
	err = b.Store.Update(ctx, func(tx Tx) error {
		mine = false
		body, err := tx.Setting(reservation(place))
		if err != nil {
			return err
		}
		if until, err := strconv.ParseInt(string(body), 10, 64); err == nil && tx.Now().UnixMilli() < until {
			return nil
		}
		mine = true
		return tx.SaveSetting(reservation(place), strconv.AppendInt(nil, tx.Now().Add(examineWithin).UnixMilli(), 10))
	})
	return mine, err
}

// suspected is a grant with what it had at a place.
type suspected struct {
	residue access.Residue
	grant   access.Grant
	es      []access.Entitlement
	before  access.Fingerprint // zero where there is none that is old enough
}

// examinePlace takes a fingerprint, keeps it, and answers for the residues.
func (b *Broker) examinePlace(ctx context.Context, place access.Place, at access.Connection, rs []access.Residue) error {
	suspects, err := b.suspected(ctx, place, rs)
	if err != nil {
		return err
	}
	for _, s := range suspects {
		if len(s.es) > 0 {
			at = s.es[len(s.es)-1].Target.Connection // orders keep the connection that they were made with
		}
	}
	if at.Type == "" {
		return b.answer(ctx, suspects, func(access.Residue) access.Residue { return access.Residue{State: access.ResidueNone} })
	}
	after, err := b.fingerprint(ctx, at)
	if err != nil {
		b.postpone(ctx, suspects, err)
		return err
	}
	return b.compare(ctx, at, suspects, after)
}

// suspected reads what belongs to residues.
func (b *Broker) suspected(ctx context.Context, place access.Place, rs []access.Residue) (suspects []suspected, err error) {
	if len(rs) == 0 {
		return nil, nil
	}
	ids := make([]access.GrantID, len(rs))
	for i, r := range rs {
		ids[i] = r.Grant
	}
	err = b.Store.View(ctx, func(tx Tx) error {
		grants, err := tx.GrantsOf(ids...)
		if err != nil {
			return err
		}
		of, err := heldBy(tx, ids)
		if err != nil {
			return err
		}
		taken, err := tx.FingerprintTimes(place)
		if err != nil {
			return err
		}
		byID := map[access.GrantID]access.Grant{}
		for _, g := range grants {
			byID[g.ID] = g
		}
		suspects = make([]suspected, 0, len(rs))
		befores := map[time.Time]access.Fingerprint{}
		for _, r := range rs {
			s := suspected{residue: r, grant: byID[r.Grant]}
			began := s.grant.CreatedAt // what is shared with others may be older
			for _, e := range of[r.Grant] {
				if e.Target.Connection.Place() == place {
					s.es = append(s.es, e)
				}
				if e.CreatedAt.Before(began) {
					began = e.CreatedAt
				}
			}
			if n, exact := slices.BinarySearchFunc(taken, began, time.Time.Compare); n > 0 || exact {
				if !exact {
					n--
				}
				f, ok := befores[taken[n]]
				if !ok {
					if f, err = tx.FingerprintAt(place, taken[n]); err != nil {
						return err
					}
					befores[taken[n]] = f
				}
				s.before = f
			}
			suspects = append(suspects, s)
		}
		return nil
	})
	return suspects, err
}

// heldBy lists the entitlements of grants.
func heldBy(tx Tx, ids []access.GrantID) (map[access.GrantID][]access.Entitlement, error) {
	hs, err := tx.HoldsBy(ids...)
	if err != nil {
		return nil, err
	}
	es, err := tx.EntitlementsOf(entitlementIDs(hs)...)
	if err != nil {
		return nil, err
	}
	byID := map[access.EntitlementID]access.Entitlement{}
	for _, e := range es {
		byID[e.ID] = e
	}
	of := map[access.GrantID][]access.Entitlement{}
	for _, h := range hs {
		of[h.Grant] = append(of[h.Grant], byID[h.Entitlement])
	}
	return of, nil
}

// fingerprint takes one and keeps it, if it is not like the last one.
func (b *Broker) fingerprint(ctx context.Context, at access.Connection) ([]byte, error) {
	conn, t, err := b.target(ctx, at)
	if err != nil {
		return nil, err
	}
	x, ok := conn.(connector.Examiner)
	if !ok {
		return nil, nil
	}
	body, err := x.Fingerprint(ctx, t)
	if err != nil {
		return nil, err
	}
	packed, err := pack(body)
	if err != nil {
		return nil, err
	}
	place := at.Place()
	return body, b.Store.Update(ctx, func(tx Tx) error {
		last, err := tx.FingerprintAt(place, tx.Now())
		if err != nil && !missing(err) || err == nil && bytes.Equal(last.Body, packed) && tx.Now().Sub(last.TakenAt) < fingerprintEvery {
			return err
		}
		return tx.SaveFingerprint(access.Fingerprint{Place: place, TakenAt: tx.Now(), Body: packed})
	})
}

// compare answers for grants, those with the same fingerprint before together.
func (b *Broker) compare(ctx context.Context, at access.Connection, suspects []suspected, after []byte) error {
	x, ok := b.Connectors[at.Type].(connector.Examiner)
	if !ok || len(suspects) == 0 {
		return nil
	}
	groups := map[time.Time][]suspected{}
	for _, s := range suspects {
		groups[s.before.TakenAt] = append(groups[s.before.TakenAt], s)
	}
	for taken, group := range groups {
		if taken.IsZero() {
			if err := b.answer(ctx, group, func(access.Residue) access.Residue {
				return access.Residue{State: access.ResidueUnknowable, Note: "the target had not been looked at before this access began"}
			}); err != nil {
				return err
			}
			continue
		}
		before, err := unpack(group[0].before.Body)
		if err != nil {
			return err
		}
		var orders []connector.Order
		var of []int // which of the group an order belongs to
		for i, s := range group {
			for _, e := range s.es {
				orders, of = append(orders, b.order(e)), append(of, i)
			}
		}
		found, err := x.Residue(before, after, orders)
		if err != nil {
			return err
		}
		said := map[access.GrantID]access.Residue{}
		for i, r := range found {
			id := group[of[i]].grant.ID
			said[id] = add(said[id], r)
		}
		if err := b.answer(ctx, group, func(r access.Residue) access.Residue {
			if a, ok := said[r.Grant]; ok {
				return a
			}
			return access.Residue{State: access.ResidueNone}
		}); err != nil {
			return err
		}
	}
	return nil
}

// add puts the answers for the orders of one grant together.
func add(a access.Residue, r connector.Residue) access.Residue {
	a.State = access.SumResidue([]access.Residue{a, {State: r.State}})
	if a.Note == "" {
		a.Note = r.Note
	}
	for _, t := range r.Traces {
		if !slices.Contains(a.Traces, t) {
			a.Traces = append(a.Traces, t)
		}
	}
	return a
}

// answerBatch is how many answers are one transaction.
const answerBatch = 200

// answer records what was found, once for each grant and place.
func (b *Broker) answer(ctx context.Context, suspects []suspected, of func(access.Residue) access.Residue) error {
	for len(suspects) > 0 {
		part := suspects[:min(len(suspects), answerBatch)]
		suspects = suspects[len(part):]
		if err := b.update(ctx, func(tx Tx, fx *effects) error {
			open, err := unanswered(tx, part)
			if err != nil {
				return err
			}
			for _, s := range open {
				r := of(s.residue)
				r.Grant, r.Place, r.At, r.Attempts = s.residue.Grant, s.residue.Place, tx.Now(), s.residue.Attempts
				n := len(r.Traces)
				if n > tracesKept {
					r.Traces = r.Traces[:tracesKept]
				}
				fx.left = append(fx.left, r)
				fx.event(b.residueEvent(tx.Now(), s.grant, r, n))
				fx.changed = append(fx.changed, s.grant.Request)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// unanswered are those of suspects of one place that nobody has answered: another replica
// may have since they were read.
func unanswered(tx Tx, suspects []suspected) ([]suspected, error) {
	ids := make([]access.GrantID, len(suspects))
	for i, s := range suspects {
		ids[i] = s.grant.ID
	}
	now, err := tx.ResiduesOf(ids...)
	if err != nil {
		return nil, err
	}
	pending := map[access.GrantID]bool{}
	for _, r := range now {
		if r.State == access.ResiduePending && r.Place == suspects[0].residue.Place {
			pending[r.Grant] = true
		}
	}
	var open []suspected
	for _, s := range suspects {
		if pending[s.grant.ID] {
			open = append(open, s)
		}
	}
	return open, nil
}

// residueEvent reports an answer. What is found is in it as far as a record may be
// long; all of it is in the grant.
func (b *Broker) residueEvent(now time.Time, g access.Grant, r access.Residue, n int) access.Event {
	var what []string
	size := 0
	for _, t := range r.Traces {
		line := t.What
		if t.Database != "" {
			line += " (database " + t.Database + ")"
		}
		if size += len(line); size > 2000 {
			what = append(what, "…")
			break
		}
		what = append(what, line)
	}
	count := ""
	if n > 0 {
		count = strconv.Itoa(n)
		b.Log.Warn("an access left something behind", "grant", g.ID, "place", r.Place, "residue", r.State, "found", n)
	}
	return b.alarmEvent(GrantResidue, now, access.System, "grant", string(g.ID), "request", string(g.Request), "person", string(g.Person), "place", string(r.Place),
		"residue", string(r.State), "found", count, "said", strings.Join(what, "; "), "note", r.Note)
}

// postpone puts off what could not be found out, and gives it up in the end.
func (b *Broker) postpone(ctx context.Context, suspects []suspected, cause error) {
	if len(suspects) == 0 {
		return
	}
	ctx, done := outlive(ctx, examineWithin)
	defer done()
	said := public(cause)
	if e := (*connector.Error)(nil); errors.As(cause, &e) {
		said = e.Message
	}
	var over, later []suspected
	for _, s := range suspects {
		if s.residue.Attempts++; s.residue.Attempts >= residueGivesUp {
			over = append(over, s)
		} else {
			later = append(later, s)
		}
	}
	err := b.answer(ctx, over, func(access.Residue) access.Residue {
		return access.Residue{State: access.ResidueUnknowable, Note: "the target could not be looked at after this access ended: " + said}
	})
	if err == nil && len(later) > 0 {
		err = b.update(ctx, func(tx Tx, fx *effects) error {
			open, err := unanswered(tx, later)
			if err != nil {
				return err
			}
			for _, s := range open {
				r := s.residue
				r.DueAt = tx.Now().Add(min(30*time.Second<<min(r.Attempts-1, 4), 5*time.Minute))
				fx.left = append(fx.left, r)
			}
			return nil
		})
	}
	if err != nil {
		b.storeTrouble(ctx, "recording residues", err)
	}
}

// pack and unpack keep a fingerprint small.
func pack(body []byte) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out) // no time and no name: equal in, equal out
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// maxFingerprint bounds what is unpacked, in bytes.
const maxFingerprint = 256 << 20

func unpack(packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxFingerprint))
}
