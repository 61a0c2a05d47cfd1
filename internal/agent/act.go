package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/envelope"
)

// Bounds of answers that can be long.
const (
	maxFound  = 20_000
	endWithin = 30 * time.Second
)

// act carries out one call.
func (a *Agent) act(ctx context.Context, p parcel) (x envelope.Answer) {
	defer func() {
		if r := recover(); r != nil {
			a.Log.Error("a call broke", "id", p.call.ID, "method", string(p.call.Method), "panic", fmt.Sprint(r))
			x = envelope.Answer{Failure: &envelope.Failure{Connector: p.call.Method == envelope.Provision, Message: "the agent failed in the middle of it"}}
		}
	}()
	c := p.call
	until := p.until
	if until.IsZero() {
		until = time.Now().Add(endWithin)
	}
	if !time.Now().Before(until) {
		return envelope.Answer{Failure: envelope.FailureOf(a.refusal(c, envelope.ErrTooLate))}
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	if c.Method.Makes() {
		newest, err := a.Ledger.epochSeen(c.Epoch)
		if err == nil && !newest {
			err = access.Fail(access.Conflict, "earlier-epoch", "the call is of an earlier life of the installation")
		} else if err != nil {
			err = notKept(err)
		}
		if err != nil {
			return envelope.Answer{Failure: envelope.FailureOf(a.refusal(c, err))}
		}
	}
	j := judge{call: c, ledger: a.Ledger}
	x = a.do(ctx, p, a.target(c, &j))
	x.Doubt = j.met()
	return x
}

// judge tells claims of the installation that a call is by: those that it says itself,
// or made here. Any other it notes, and does not take for one.
type judge struct {
	call   envelope.Call
	ledger *Ledger
	mu     sync.Mutex
	one    *envelope.Claim
}

func (j *judge) genuine(found connector.Claim) bool {
	c := envelope.ClaimOf(found)
	ours := c.Installation == j.call.Claim.Installation && j.ledger.claimed(c)
	if c == j.call.Claim || ours || slices.Contains(j.call.Genuine, c) {
		return true
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.one = &c
	return false
}

func (j *judge) met() *envelope.Claim {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.one
}

// target is the host as the connector has it.
func (a *Agent) target(c envelope.Call, j *judge) connector.Target {
	t := a.place(c.Options, c.Claim)
	if c.Signs {
		t.Genuine = j.genuine
	}
	return t
}

func (a *Agent) place(options map[string]string, claim envelope.Claim) connector.Target {
	pins, _ := a.trusted()
	return connector.Target{Connection: access.Connection{Type: a.Connector.Type(), Address: pins.Host, Options: options}, Username: a.Username, Claim: claim.Claimed()}
}

func (a *Agent) do(ctx context.Context, p parcel, t connector.Target) (x envelope.Answer) {
	c := p.call
	fail := func(err error) { x.Failure = envelope.FailureOf(err) }
	os := make([]connector.Order, len(c.Orders))
	for i, o := range c.Orders {
		os[i] = o.Ordered()
	}
	switch c.Method {
	case envelope.Check:
		x.Steps = envelope.StepsOf(a.Connector.Check(ctx, t))
	case envelope.TakeClaim:
		if c.Take.Proof != "" && !a.Ledger.claimed(*c.Take) {
			if err := a.Ledger.put(line{Claim: c.Take}); err != nil {
				fail(notKept(err))
				break
			}
		}
		fail(a.Connector.Claim(ctx, t, c.Take.Claimed()))
	case envelope.Observe:
		if _, judged := a.Ceiling(); judged && os[0].Mechanism == access.Checkout {
			fail(neverLent())
			break
		}
		b, err := a.Connector.Observe(ctx, t, os[0])
		x.Before = &envelope.Before{Existing: b.Existing, State: b.State}
		fail(err)
	case envelope.Provision:
		r, err := a.provision(ctx, c, t, os[0])
		if err == nil {
			x.Receipt = &envelope.Receipt{Account: r.Account, Creation: r.Creation, Turned: r.Turned}
			x.Receipt.Sealed, err = envelope.SealCredential(c.SealTo, c.ID, r.Credential)
			r.Credential.Wipe()
		}
		fail(err)
	case envelope.Revoke, envelope.Terminate, envelope.Remove:
		x.Results = envelope.ResultsOf(a.end(ctx, p, t, os))
	case envelope.Verify:
		x.Observations = envelope.ObservationsOf(a.verify(ctx, t, os))
	case envelope.Inventory:
		for f, err := range a.Connector.Inventory(ctx, t) {
			if err == nil && len(x.Artefacts) == maxFound {
				err = fmt.Errorf("there is more than %d of it", maxFound)
			}
			if err != nil {
				fail(err)
				break
			}
			x.Artefacts = append(x.Artefacts, envelope.ArtefactOf(f))
		}
	default:
		a.optional(ctx, c, t, os, &x)
	}
	return x
}

// optional is what not every connector does.
func (a *Agent) optional(ctx context.Context, c envelope.Call, t connector.Target, os []connector.Order, x *envelope.Answer) {
	beacon, beats := a.Connector.(connector.Beacon)
	examiner, examines := a.Connector.(connector.Examiner)
	surveyor, surveys := a.Connector.(connector.Surveyor)
	salter, salts := a.Connector.(connector.Salter)
	err := error(access.Fail(access.Invalid, "not-served", "this agent does not know "+string(c.Method)).Try("update stint-agent on the host"))
	switch {
	case c.Method == envelope.ReadBeat && beats:
		var b connector.Beat
		b, err = beacon.ReadBeat(ctx, t)
		wire := envelope.BeatOf(b)
		x.Beat = &wire
	case c.Method == envelope.SwapBeat && beats:
		x.Swapped, err = beacon.SwapBeat(ctx, t, c.Old.Beaten(), c.Next.Beaten())
	case c.Method == envelope.Fingerprint && examines:
		x.Fingerprint, err = examiner.Fingerprint(ctx, t)
	case c.Method == envelope.Survey && surveys:
		var found []connector.Stand
		found, x.Cut, err = surveyor.Survey(ctx, t, c.Lent, c.Most)
		x.Stands = envelope.StandsOf(found)
	case c.Method == envelope.Salts && salts:
		if _, judged := a.Ceiling(); judged {
			x.Salts, err = make([]string, len(os)), nil
			break
		}
		x.Salts, err = salter.Salts(ctx, t, os)
	}
	x.Failure = envelope.FailureOf(err)
}

// provision writes down what is about to be made, has it made, and writes that down.
func (a *Agent) provision(ctx context.Context, c envelope.Call, t connector.Target, o connector.Order) (connector.Receipt, error) {
	defer a.tags.lock(o.Tag)()
	known, there := a.Ledger.get(o.Tag)
	none := func(code, message, next string) (connector.Receipt, error) {
		err := access.Fail(access.Conflict, code, message)
		return connector.Receipt{}, &connector.Error{Outcome: connector.NotDone, Permanent: true, Message: message, Next: next, Cause: err}
	}
	a.Ledger.settle()
	now := a.Clock.Wall()
	end := a.Clock.deadline(o.ExpiresAt, now)
	switch {
	case there && !known.live():
		return none("removed-before", "this was taken away already, and is not made again", "ask for access anew")
	case there && !known.renews(c.Orders[0]):
		a.Log.Error("ALARM: an order to make something is refused: under its tag there is something else", "id", c.ID, "tag", string(o.Tag), "mechanism", string(o.Mechanism), "account", o.Account)
		return none("other-order", "under its tag there is something else, and that does not become this", "ask for access anew")
	case o.Tag == "" || o.ExpiresAt.IsZero():
		if _, judged := a.Ceiling(); judged {
			return none("no-tag", "the order has no tag or no end", "")
		}
		// The connector says what is wrong with it. There is nothing that could be kept.
		return a.Connector.Provision(ctx, t, o)
	case a.Clock.left(end, a.Ledger.floor()) <= 0:
		return none("over", "by this host's clock its end has passed", "set the host's clock, if that is wrong")
	case !there && !a.Ledger.room():
		return none("ledger-full", fmt.Sprintf("the agent keeps %d privileges and takes no more", maxEntries), "end some of them")
	}
	next := entry{Tag: o.Tag, State: intended, Order: c.Orders[0].Bare(), Connection: maps.Clone(c.Options), Claim: c.Claim, End: end, Recordings: c.Recordings}
	if there {
		o = known.renewal(o)
		next.State, next.Order = known.State, known.Order
		next.Order.ExpiresAt, next.Order.Options = o.ExpiresAt, o.Options
		if !end.At.After(known.End.At) {
			next.End = known.End
		}
	}
	before, err := a.intend(c, o, &next, known, there)
	if err != nil {
		return connector.Receipt{}, err
	}
	a.look()
	if err := ctx.Err(); err != nil { // writing took its time
		return connector.Receipt{}, a.undone(before, there, a.refusal(c, envelope.ErrTooLate))
	}
	r, err := a.Connector.Provision(ctx, t, o)
	if err != nil {
		return connector.Receipt{}, a.undone(before, there, err)
	}
	next.State, next.Order.Account, next.Order.Creation = made, r.Account, r.Creation
	if err := a.Ledger.put(line{Entry: &next}); err != nil {
		// Memory knows, and the disk that it was about to be made: it ends all the same.
		a.Log.Error("what was made is not in the ledger; its intent is", "tag", string(o.Tag), "error", err)
	}
	a.look()
	select {
	case a.made <- struct{}{}:
	default:
	}
	return r, nil
}

// intend has an order judged and writes down what is about to be made. What is there
// already stays in the ledger as it is until it was renewed. Judging and writing are one
// step: two orders at once are not shown the same approval.
func (a *Agent) intend(c envelope.Call, o connector.Order, next *entry, known entry, there bool) (before entry, err error) {
	a.admitting.Lock()
	defer a.admitting.Unlock()
	shown, err := a.admit(c, o, next, known, there)
	if err != nil {
		return before, a.refusal(c, err)
	}
	before = *next
	if there {
		before = known
		before.Begun, before.Until = next.Begun, next.Until
	}
	if err := a.Ledger.put(append(shown, line{Entry: &before})...); err != nil {
		if !there {
			a.forget(before)
		}
		return before, a.refusal(c, notKept(err))
	}
	return before, nil
}

// undone forgets an intent of which it is certain that nothing came.
func (a *Agent) undone(e entry, there bool, err error) error {
	var ce *connector.Error
	if !there && errors.As(err, &ce) && ce.Outcome == connector.NotDone {
		a.forget(e)
	}
	return err
}

func (a *Agent) forget(e entry) {
	if err := a.Ledger.drop(e); err != nil {
		a.Log.Warn("an intent is not taken out of the ledger; it ends at its end", "tag", string(e.Tag), "error", err)
	}
}

// end takes away, as the control plane orders. What is then gone from the ledger is
// what the connector has removed.
//
// An end may bring the next password of a vaulted account, which makes access as much as
// it ends some. It is taken of calls for now, and not where the host judges by itself:
// whoever made up such an end would have an account with a password that he knows. An
// account that was lent is then left without one, and one that was not stays as it is.
func (a *Agent) end(ctx context.Context, p parcel, t connector.Target, os []connector.Order) []connector.Result {
	_, judged := a.Ceiling()
	out := make([]connector.Result, len(os))
	var at []int
	var ours []connector.Order
	for i, o := range os {
		e, ok := a.Ledger.get(o.Tag)
		known := ok && e.live()
		switch {
		case judged:
			o.Secret, o.Next = access.Secret{}, access.Secret{}
		case p.late:
			o.Next = access.Secret{}
		}
		if known || !p.late {
			at, ours = append(at, i), append(ours, o)
			continue
		}
		out[i] = connector.Result{Outcome: connector.NotDone, Err: access.Fail(access.Expired, "not-in-ledger", "by this host's clock the call is not for now, and the agent has made nothing that it could end").
			Try("set the host's clock, if that is wrong")}
	}
	if len(ours) > 0 {
		for n, r := range a.endThese(ctx, p.call.Method, t, ours) {
			out[at[n]] = r
		}
	}
	return out
}

// neverLent refuses what makes access on a host that judges by itself.
func neverLent() error {
	return access.Fail(access.Denied, "host-never", "this host lends no passwords").
		Because("it has a roster, and the control plane knows the passwords of its vault, so that no approval could bind them").
		Try("use another mechanism there, or take the roster off the host")
}

// verify reads back. A host that judges by itself compares no passwords for whoever gives
// it orders: who could ask would try what he likes, as often as he likes. Of a vaulted
// account it says instead whether any password opens it, since it is none that was lent if
// none does.
func (a *Agent) verify(ctx context.Context, t connector.Target, os []connector.Order) []connector.Observation {
	_, judged := a.Ceiling()
	if !judged {
		return a.Connector.Verify(ctx, t, os)
	}
	bare := slices.Clone(os)
	for i := range bare {
		bare[i].Secret, bare[i].Next = access.Secret{}, access.Secret{}
	}
	seen := a.Connector.Verify(ctx, t, bare)
	for i, o := range os {
		if o.Secret.Empty() && o.Next.Empty() || seen[i].Presence != connector.Absent {
			continue
		}
		shut := false
		if salter, ok := a.Connector.(connector.Salter); ok {
			is, err := salter.Shut(ctx, t, bare[i:i+1])
			if err != nil {
				seen[i] = connector.Observation{Sessions: -1, Err: err}
				continue
			}
			shut = is[0]
		}
		if seen[i].Turned = false; shut {
			seen[i].Err = access.Fail(access.Conflict, connector.ErrShut.Code, "the host has a roster now, and "+o.Account+" has no password").
				Try("take the account out of the vault: stint admin vault rm NAME")
			continue
		}
		seen[i].Presence = connector.NotKnown
		seen[i].Err = access.Fail(access.Conflict, connector.ErrNever.Code, "the host has a roster now: it neither sets the password of "+o.Account+" nor says which it is").
			Try("take the account out of the vault: stint admin vault rm NAME; where it is lent, first on the host: usermod --password '!' " + o.Account)
	}
	return seen
}

// tagLocks lets one at a time do something about a tag.
type tagLocks struct {
	mu   sync.Mutex
	held map[access.Tag]*sync.Mutex
	uses map[access.Tag]int
}

// try takes a tag that nobody has or waits for.
func (l *tagLocks) try(tag access.Tag) (unlock func(), free bool) {
	l.mu.Lock()
	busy := l.uses[tag] > 0
	l.mu.Unlock()
	if busy {
		return nil, false
	}
	return l.lock(tag), true
}

// lock takes the tags, in the one order in which everybody does.
func (l *tagLocks) lock(tags ...access.Tag) (unlock func()) {
	tags = slices.Compact(slices.Sorted(slices.Values(tags)))
	locks := make([]*sync.Mutex, len(tags))
	l.mu.Lock()
	if l.uses == nil {
		l.uses = map[access.Tag]int{}
	}
	for i, tag := range tags {
		if l.held[tag] == nil {
			l.held[tag] = &sync.Mutex{}
		}
		locks[i] = l.held[tag]
		l.uses[tag]++
	}
	l.mu.Unlock()
	for _, m := range locks {
		m.Lock()
	}
	return func() {
		for _, m := range locks {
			m.Unlock()
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, tag := range tags {
			if l.uses[tag]--; l.uses[tag] == 0 {
				delete(l.uses, tag)
				delete(l.held, tag)
			}
		}
	}
}
