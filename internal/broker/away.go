package broker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/ahead"
	"stint/internal/connector"
)

// While the store takes no changes, nothing new is granted, and what ends is
// ended all the same: from what is known ahead (package ahead), on the target itself,
// with a journal in the place of the store (journal.go). Everything done here
// only takes away, and taking away twice does what once does: so it does no harm
// if the store was there all the time.

// Times of an outage.
const (
	// awayAfter is how late an end may be before it is found out whether the
	// store takes changes at all.
	awayAfter = 300 * time.Millisecond
	// answersWithin is how long the store may take for a change that says so.
	answersWithin = 2 * time.Second
	// watchEvery is how often the store is thought of while there is reason to, and
	// watchSeldom how often at least: what gives a reason wakes the loop.
	watchEvery  = 250 * time.Millisecond
	watchSeldom = 5 * time.Second
	// trustAgain is how long no change may have failed before the store is
	// believed to be back: a full disk takes one row and refuses the next.
	trustAgain = 2 * time.Second
	// lookWithin bounds a look at what is due. A server that holds the
	// connection and answers nothing must not hold the loop for longer.
	lookWithin = 10 * time.Second
)

// pulse is the store, with an ear for changes that fail.
type pulse struct {
	Store
	failed atomic.Int64  // when a change last failed, host's time in ns; 0: never
	worked atomic.Int64  // when something last went through
	wrote  atomic.Int64  // when a change last did
	away   atomic.Int64  // since when the store takes no changes; 0: it does
	news   chan struct{} // a change failed, or there is more to end: watchStore looks
	// overslept: the last call that asked how the store is outlasted its time.
	overslept atomic.Bool
}

func newPulse(s Store) *pulse { return &pulse{Store: s, news: make(chan struct{}, 1)} }

// wake has watchStore look now.
func (p *pulse) wake() {
	select {
	case p.news <- struct{}{}:
	default: // it is about to
	}
}

func (p *pulse) Update(ctx context.Context, fn func(Tx) error) error {
	err := p.Store.Update(ctx, fn)
	p.heard(err)
	if err == nil {
		p.wrote.Store(time.Now().UnixNano())
	}
	if ctx.Err() == nil && storeFailed(err) {
		p.failed.Store(time.Now().UnixNano())
		p.wake()
	}
	return err
}

func (p *pulse) View(ctx context.Context, fn func(Tx) error) error {
	err := p.Store.View(ctx, fn)
	p.heard(err)
	return err
}

func (p *pulse) heard(err error) {
	if err == nil {
		p.worked.Store(time.Now().UnixNano())
		p.overslept.Store(false)
	}
}

// isSlow reports whether a call that began then and got no answer says nothing
// about the store, because others like it went through: there is much to do, no more.
// Of a change only other changes say so: a database whose standby is gone tells all
// that it knows, and commits nothing.
func isSlow(within context.Context, begun time.Time, others *atomic.Int64) bool {
	return within.Err() != nil && others.Load() > begun.UnixNano()
}

// slept reports whether a call that failed says nothing about the store, because
// it took so much longer than it may that the process itself must have stood
// still: a suspended machine would else believe, when it wakes, what it knew ahead
// before, and end what others have begun or extended since. It is asked again
// then, and the second such call counts: there are stores that outlast their time.
func (p *pulse) slept(begun time.Time) bool {
	if time.Since(begun) < answersWithin+time.Second {
		p.overslept.Store(false)
		return false
	}
	return !p.overslept.Swap(true)
}

func (p *pulse) isAway() bool { return p.away.Load() != 0 }

// storeFailed tells an error of the store from one that only looks like it:
// Unavailable is also what the broker says of itself, and no code of that begins
// like the store's.
func storeFailed(err error) bool {
	var e *access.Error
	return errors.As(err, &e) && e.Kind == access.Unavailable && e.Code != "store-contended" &&
		(strings.HasPrefix(e.Code, "store") || e.Code == "commit-unknown")
}

// watchStore reads ahead, finds out whether the store takes changes when there is
// reason to doubt it, and brings the journal into the log when it does again.
func (b *Broker) watchStore(ctx context.Context) {
	var probed time.Time
	var remembered string // the journal that was read
	var merging sync.WaitGroup
	defer merging.Wait()
	var probes probes
	defer probes.calls.Wait()
	var busy atomic.Bool // beside this loop: a store that hangs while it merges is found out all the same
	t := time.NewTimer(watchEvery)
	defer t.Stop()
	for ctx.Err() == nil {
		remembered = b.remember(remembered)
		if b.ahead.Wants() {
			b.lookAhead(ctx)
		}
		recent := time.Since(time.Unix(0, b.pulse.failed.Load())) < trustAgain
		if recent || b.pulse.isAway() || time.Since(probed) >= time.Second && b.ahead.Late(awayAfter) {
			b.probe(ctx, &probes)
			probed = time.Now()
		}
		waiting := b.unmerged()
		if waiting && !b.pulse.isAway() && !busy.Swap(true) {
			merging.Go(func() {
				defer busy.Store(false)
				within, done := context.WithTimeout(ctx, lookWithin)
				defer done()
				if err := b.mergeJournal(within); err != nil && ctx.Err() == nil {
					b.Log.Error("the journal is not merged; tried again", "error", err)
				}
			})
		}
		wait := watchEvery
		if !recent && !waiting && !b.pulse.isAway() {
			wait = min(max(b.ahead.Quiet(awayAfter), watchEvery), watchSeldom)
		}
		t.Reset(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-b.pulse.news:
			// Not at once: what was just told may be over in a moment, and a busy store
			// tells much.
			t.Reset(watchEvery)
			select {
			case <-ctx.Done():
			case <-t.C:
			}
		}
	}
}

// unmerged reports whether the journal holds what the log may not.
func (b *Broker) unmerged() bool {
	if b.Journal == nil {
		return false
	}
	n, _ := b.Journal.Waiting()
	return n > 0
}

// readAhead reads what ends next.
func (b *Broker) readAhead(ctx context.Context) error {
	next := b.ahead.Reading()
	defer next.Close()
	err := b.Store.View(ctx, func(tx Tx) error { return next.Read(tx) })
	if err == nil {
		next.Keep()
	}
	return err
}

// lookAhead reads ahead, if the store answers.
func (b *Broker) lookAhead(ctx context.Context) {
	within, done := context.WithTimeout(ctx, answersWithin)
	defer done()
	begun := time.Now()
	if err := b.readAhead(within); storeFailed(err) && !isSlow(within, begun, &b.pulse.worked) && !b.pulse.slept(begun) {
		b.goneAway(ctx, err)
	}
}

// probes are the changes of no meaning that are out: one at most, however long the
// store takes to find out what became of it. They take turns with what ends access.
type probes struct {
	calls sync.WaitGroup
	out   chan error // gets the answer of the one that is out; nil: none is
}

func (p *probes) send(change func() error) {
	out := make(chan error, 1)
	p.out = out
	p.calls.Go(func() { out <- change() })
}

// answer waits for the one that is out, if there is any.
func (p *probes) answer(within context.Context) (ok bool, err error) {
	if p.out == nil {
		return true, nil
	}
	select {
	case err = <-p.out:
	case <-within.Done():
		select {
		case err = <-p.out: // just now
		default:
			return false, errNoAnswer
		}
	}
	p.out = nil
	return true, err
}

// probe makes a change of no meaning and learns from it how the store is. It does not
// wait for the change for longer than that takes. Where an older one is still out, it
// waits for that first: what it says by now is of no use, but that it says nothing is.
func (b *Broker) probe(ctx context.Context, p *probes) {
	begun := time.Now()
	within, done := context.WithTimeout(ctx, answersWithin)
	defer done()
	home, err := p.answer(within)
	if home {
		call, done := context.WithTimeout(ctx, answersWithin)
		defer done()
		begun, within = time.Now(), call
		p.send(func() error {
			return b.pulse.Store.Update(call, func(tx Tx) error {
				return tx.SaveSetting("probe", []byte(tx.Now().UTC().Format(access.Stamp)))
			})
		})
		_, err = p.answer(within)
	}
	switch {
	case ctx.Err() != nil || storeFailed(err) && (isSlow(within, begun, &b.pulse.wrote) || b.pulse.slept(begun)):
	case storeFailed(err):
		b.goneAway(ctx, err)
	case err == nil && time.Since(time.Unix(0, b.pulse.failed.Load())) >= trustAgain:
		if since := b.pulse.away.Swap(0); since != 0 {
			b.Log.Info("the store takes changes again", "after", time.Since(time.Unix(0, since)).Round(time.Millisecond).String())
			b.alarm.set(time.Unix(0, 1)) // what is due is looked for at once
		}
	case err == nil && b.ahead.Late(awayAfter):
		b.goneAway(ctx, errors.New("changes failed a moment ago"))
	}
}

var errNoAnswer = access.Fail(access.Unavailable, "store-silent", "the store did not answer in time")

func (b *Broker) goneAway(ctx context.Context, cause error) {
	if ctx.Err() == nil && b.pulse.away.CompareAndSwap(0, time.Now().UnixNano()) {
		b.Log.Error("the store takes no changes; nothing new is granted, and access ends without it", "error", cause)
		b.pulse.wake()
	}
	b.wakeAway()
}

func (b *Broker) wakeAway() {
	select {
	case b.awake <- struct{}{}:
	default:
	}
}

// remember reads from the journal which grants were revoked before a restart and
// may not be in the store yet, unless it is the one that was read already. A disk may
// give it later than at the start.
func (b *Broker) remember(known string) (journal string) {
	if b.Journal == nil {
		return known
	}
	journal = b.Journal.ID()
	if journal == known {
		return known
	}
	n, _ := b.Journal.Waiting()
	_, bodies := b.Journal.Entries(n)
	for _, body := range bodies {
		if e, ok := decodeEntry(body); ok && e.Did == didRevoke {
			b.ahead.EndNow(e.Grants)
		}
	}
	return journal
}

// watchAway ends what ends while the store is away.
func (b *Broker) watchAway(ctx context.Context) {
	var calls sync.WaitGroup
	defer calls.Wait()
	for ctx.Err() == nil {
		wait := watchSeldom // goneAway wakes it
		if b.pulse.isAway() {
			t := b.ahead.Take()
			for _, part := range inParts(t.Removals) {
				calls.Go(func() { b.endAway(ctx, part, t.From, false) })
			}
			for _, part := range inParts(t.Spoilings) {
				calls.Go(func() { b.endAway(ctx, part, t.From, true) })
			}
			wait = t.Next
		}
		wait = max(wait, 5*time.Millisecond)
		rested, t := time.Now(), time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-b.awake:
		}
		t.Stop()
		if time.Since(rested) > wait+time.Second && b.pulse.isAway() {
			b.lookAhead(ctx) // the machine stood still: what is known ahead is as old, and others went on
		}
	}
}

// inParts makes batches of one connection.
func inParts(es []access.Entitlement) (parts [][]access.Entitlement) {
	for _, part := range byConnection(es) {
		for len(part) > removeBatch {
			parts, part = append(parts, part[:removeBatch]), part[removeBatch:]
		}
		parts = append(parts, part)
	}
	return parts
}

// endAway takes a batch of one connection away, with a word to the journal before
// and after. What the journal does not take is done all the same.
func (b *Broker) endAway(ctx context.Context, es []access.Entitlement, from map[access.EntitlementID][]access.GrantID, spoil bool) {
	ctx, done := outlive(ctx, removeWithin)
	defer done()
	before, after, take := didRemoving, didRemoved, b.takeAway
	if spoil {
		before, after, take = didSpoil, didSpoilt, b.spoil
	}
	outage := b.pulse.away.Load()
	var intents []entry
	for _, e := range es {
		if b.ahead.Attempts(e.ID) == 0 { // one word is enough for all attempts
			intents = append(intents, b.entryOf(before, e, from[e.ID]))
		}
	}
	_ = b.jot(intents...) // it has said so
	rs := take(ctx, es, func() {})
	over := outage == 0 || b.pulse.away.Load() != outage // the store was back, be it for a moment
	var outcomes []entry
	gone := 0
	became := make([]ahead.Outcome, len(rs))
	for i, r := range rs {
		became[i] = ahead.Outcome{Entitlement: r.entitlement, Done: r.gone}
		x := b.entryOf(after, r.entitlement, from[r.entitlement.ID])
		switch {
		case r.gone:
			gone++
		case over:
			// What was said before may be in the log and put right there, and nobody may try
			// on. What was tried may have had its effect since.
			x.Did, x.Said = before, r.said
		case b.ahead.Attempts(r.entitlement.ID)+1 == troubleAfter:
			x.Did, x.Said = didTrouble, r.said
		default:
			continue
		}
		outcomes = append(outcomes, x)
	}
	_ = b.jot(outcomes...)
	b.ahead.Done(became, spoil)
	b.Log.Warn("access ended without the store", "did", after, "resource", es[0].Target.Resource, "gone", gone, "of", len(es))
	b.wakeAway()
}

// entryOf is a word about an entitlement that is taken from some who hold it.
func (b *Broker) entryOf(did string, e access.Entitlement, from []access.GrantID) entry {
	return entry{At: b.ahead.Now(), Did: did, Entitlement: e.ID, Resource: e.Target.Resource, Mechanism: e.Mechanism, Account: e.Account, Rights: e.Rights, Grants: from}
}

// spoil makes the credential of shared accounts useless and ends their sessions,
// and leaves the accounts: others hold them on.
func (b *Broker) spoil(ctx context.Context, es []access.Entitlement, _ func()) []removal {
	rs := make([]removal, len(es))
	for i, e := range es {
		rs[i].entitlement = e
	}
	at := es[0].Target.Connection
	conn, t, err := b.endingTarget(ctx, at)
	if err != nil {
		for i := range rs {
			rs[i].said = public(err)
		}
		return rs
	}
	leave, ok := b.lanes.removing.enter(ctx, at.Place())
	if !ok {
		return rs
	}
	orders := make([]connector.Order, len(es))
	for i, e := range es {
		orders[i] = b.order(e)
	}
	revoked, ended := conn.Revoke(ctx, t, orders), conn.TerminateSessions(ctx, t, orders)
	silent := false
	for i := range rs {
		rs[i].gone = revoked[i].Outcome == connector.Done && ended[i].Outcome == connector.Done
		if err := errors.Join(revoked[i].Err, ended[i].Err); err != nil {
			rs[i].said = err.Error()
			silent = silent || errors.Is(err, context.DeadlineExceeded)
		}
	}
	leave(!silent)
	return rs
}

// Outage is how the broker stands without its store.
type Outage struct {
	Since     time.Time // when it was noticed; zero: the store takes changes
	Ahead     int       // entitlements that could be ended without it
	Truncated bool      // there are more
	Waiting   int       // records of the journal that are not in the log yet
	Journal   error     // why those would not survive this process; nil: they would
}

// Outage tells how the broker stands without its store.
func (b *Broker) Outage() Outage {
	var o Outage
	if since := b.pulse.away.Load(); since != 0 {
		o.Since = time.Unix(0, since).UTC()
	}
	o.Ahead, o.Truncated = b.ahead.Known()
	if b.Journal != nil {
		o.Waiting, o.Journal = b.Journal.Waiting()
	}
	return o
}
