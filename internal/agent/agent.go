package agent

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/connector"
	"stint/internal/envelope"
)

// Line reaches the control plane.
type Line interface {
	// PollHost brings answers, and fetches calls, for which it waits a while.
	PollHost(ctx context.Context, p api.HostPoll) (api.HostCalls, error)
}

// Config is what an Agent is made of. All fields without another word are required.
type Config struct {
	Connector connector.Connector
	Line      Line
	Signer    envelope.Signer // the agent's own key
	Ledger    *Ledger
	Clock     Clock
	Log       *slog.Logger
	Pins      Pins
	// SavePins keeps pins that have changed, durably.
	SavePins func(Pins) error
	// Username is the connector's login on the host, where it has one.
	Username string
	Version  string
	// Rosters has the host decide for itself what is made on it; nil: it does not.
	Rosters Rosters
	// Wait is how long a poll may be held; 0 is longestPoll.
	Wait time.Duration
}

// Pins are what the agent trusts: nothing that it is told later changes them but a
// roll, signed by the orders key that it trusts.
type Pins struct {
	Host         string            `json:"host"`
	Installation string            `json:"installation"`
	Orders       ed25519.PublicKey `json:"orders"`
	// Before is the key that was in use before, good until then: replicas do not all
	// take up a new key in the same moment.
	Before      ed25519.PublicKey `json:"before,omitempty"`
	BeforeUntil time.Time         `json:"before_until,omitzero"`
}

// overlap is how long a key is good after the roll to the next one.
const overlap = 10 * time.Minute

// trusted are the keys that are good now.
func (p Pins) trusted(now time.Time) []ed25519.PublicKey {
	if len(p.Before) > 0 && now.Before(p.BeforeUntil) {
		return []ed25519.PublicKey{p.Orders, p.Before}
	}
	return []ed25519.PublicKey{p.Orders}
}

// Bounds of what is under way at a time. What ends access has room of its own.
const (
	workers     = 8
	roomToEnd   = 64
	roomForRest = 64
)

// Agent carries out calls, and ends what it made. Run runs it, once.
type Agent struct {
	Config
	tags tagLocks
	// admitting is held while an order is judged and its intent written.
	admitting sync.Mutex
	ends      *lane
	rest      *lane
	answers   *outbox
	wake      chan struct{} // the clock looks again
	met       atomic.Int64  // when the control plane answered last, in Unix nanoseconds
	heard     atomic.Int64  // when it last said what ends when, since the process began; 0: not yet
	away      atomic.Bool   // the last poll had no answer
	made      chan struct{} // something was made: when it ends is known soon

	mu   sync.Mutex
	pins Pins
}

// New makes an agent.
func New(c Config) (*Agent, error) {
	switch {
	case c.Connector == nil || c.Line == nil || c.Signer == nil || c.Ledger == nil || c.Clock.Wall == nil || c.Clock.Boot == nil || c.Log == nil || c.SavePins == nil:
		return nil, errors.New("agent: the configuration is incomplete")
	case c.Pins.Host == "" || c.Pins.Installation == "" || len(c.Pins.Orders) != ed25519.PublicKeySize:
		return nil, access.Fail(access.Invalid, "not-enrolled", "this host is not enrolled").Try("stint-agent enroll --help says how that is done")
	}
	if c.Wait <= 0 {
		c.Wait = longestPoll
	}
	a := &Agent{Config: c, pins: c.Pins, ends: newLane(roomToEnd), rest: newLane(roomForRest), answers: newOutbox(), wake: make(chan struct{}, 1), made: make(chan struct{}, 1)}
	a.tags.held = map[access.Tag]*sync.Mutex{}
	return a, nil
}

// Run works until ctx ends. It returns when what it has begun is over and its answers
// were offered once more.
func (a *Agent) Run(ctx context.Context) error {
	if why := a.Ledger.Trouble(); why != "" {
		a.Log.Error("the ledger is not as it should be", "why", why)
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var wg, lines sync.WaitGroup
	for range workers {
		wg.Go(func() { a.serve(work, a.ends) })
		wg.Go(func() { a.serve(work, a.rest) })
	}
	wg.Go(func() { a.keepTime(ctx) })
	lines.Go(func() { a.listen(ctx) })
	lines.Go(func() { a.tell(ctx) })
	lines.Wait()
	a.ends.close()
	a.rest.close()
	wg.Wait()
	a.farewell(work)
	return nil
}

func (a *Agent) trusted() (Pins, []ed25519.PublicKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pins, a.pins.trusted(a.Clock.Wall())
}

// follow takes up a new orders key, if the one that is trusted says so.
func (a *Agent) follow(rolls []string) {
	if len(rolls) == 0 {
		return
	}
	a.mu.Lock()
	pins := a.pins
	a.mu.Unlock()
	sealed := make([]envelope.Sealed, len(rolls))
	for i, r := range rolls {
		sealed[i] = envelope.Sealed(r)
	}
	next, err := envelope.Follow(pins.Installation, pins.Orders, sealed)
	if err != nil || next.Equal(pins.Orders) {
		return
	}
	pins.Before, pins.BeforeUntil, pins.Orders = pins.Orders, a.Clock.Wall().Add(overlap).UTC(), next
	if err := a.SavePins(pins); err != nil {
		a.Log.Error("the new orders key of the control plane could not be kept; tried again", "error", err)
		return
	}
	a.Log.Info("the control plane has a new orders key, and the one before vouches for it", "key", Print(next))
	a.mu.Lock()
	a.pins = pins
	a.mu.Unlock()
}

// presentFor is how long the control plane is taken to be there after it last said what
// ends when. While it is, it ends things itself, and the agent only what is over by the
// order alone: an end that was put off a little would else come too early.
const presentFor = 30 * time.Second

// alone reports whether nobody but the agent is there to end things.
func (a *Agent) alone() bool {
	at := a.heard.Load()
	return a.away.Load() || at == 0 || time.Since(began) > time.Duration(at)+presentFor
}

var began = time.Now() // for the monotonic clock

// Heed takes in when things end, as OpenTrust read it. It is for what asks for it.
func (a *Agent) Heed(t envelope.Trust) error {
	var failed error
	for _, e := range t.Ends {
		// What is at work on a tag writes down what becomes of it, and is not written over. It rings when
		// it has made something, and the ends are asked for anew.
		if unlock, free := a.tags.try(access.Tag(e.Tag)); free {
			failed = errors.Join(failed, a.Ledger.fix(access.Tag(e.Tag), e.Told, e.End))
			unlock()
		}
	}
	if failed == nil {
		a.heard.Store(int64(time.Since(began)))
	}
	a.look()
	return failed
}

// Made is rung when something was made whose end is fixed soon after.
func (a *Agent) Made() <-chan struct{} { return a.made }

// mostTold is how much of what ended alone is told at once.
const mostTold = 64

// Untold is what was ended by the agent's own clock, and heard says that it is known there.
func (a *Agent) Untold() (ended []api.HostEnded, heard func() error) {
	es := a.Ledger.untold(mostTold)
	for _, e := range es {
		ended = append(ended, api.HostEnded{Tag: string(e.Tag), At: api.At(e.Alone)})
	}
	return ended, func() error { return a.Ledger.told(es) }
}

// OpenTrust reads what the host's sshd shall believe and show, if a key that is trusted
// here has signed it for this host, as the answer to the question with this nonce.
func (a *Agent) OpenTrust(t api.HostTrust, nonce string) (envelope.Trust, error) {
	pins, keys := a.trusted()
	out, err := envelope.OpenTrust(envelope.Sealed(t.Trust), nonce, t.Revoked, keys...)
	if err != nil {
		return envelope.Trust{}, err
	}
	return out, out.For(pins.Installation, pins.Host)
}

// Print is a public key as people compare it.
func Print(key ed25519.PublicKey) string { return base64.RawURLEncoding.EncodeToString(key) }

// parcel is a call that was judged and waits to be carried out.
type parcel struct {
	call  envelope.Call
	text  envelope.Sealed
	until time.Time // by the monotonic clock, when to have ended; zero: there is none
	// late says that it is not for now, by this host's clock: it ends what the ledger
	// has, and nothing else.
	late bool
}

// take judges the calls of one poll and puts them on their lanes. Those that are not
// for this agent get an answer that says why, if they were signed at all; of those
// that are not signed nothing is said to anybody but the log.
func (a *Agent) take(calls []api.HostCall) {
	began, now := time.Now(), a.Clock.Wall()
	pins, keys := a.trusted()
	var good []parcel
	var ids []string
	for _, x := range calls {
		text := envelope.Sealed(x.Call)
		c, err := envelope.OpenCall(text, keys...)
		if err != nil {
			a.Log.Warn("a call is refused", "error", err)
			a.strange(text, pins, keys)
			continue
		}
		p := parcel{call: c, text: text}
		err = c.For(pins.Installation, pins.Host, now)
		late := errors.Is(err, access.Expired) || err != nil && codeOf(err) == "not-yet"
		if late && c.Method.Ends() {
			// A clock that is wrong keeps nobody from ending; but what was captured once and
			// is played again later shall not end what others have made since.
			err, p.late = nil, true
		}
		if err != nil {
			a.Log.Warn("a call is refused", "id", c.ID, "method", string(c.Method), "error", err)
			a.answer(p, envelope.Answer{Failure: envelope.FailureOf(a.refusal(c, err))})
			continue
		}
		if !c.Method.Ends() {
			p.until = began.Add(max(0, min(time.Duration(x.LeftMillis)*time.Millisecond, c.NotAfter.Sub(c.IssuedAt))))
		}
		good, ids = append(good, p), append(ids, c.ID)
	}
	if len(good) == 0 {
		return
	}
	fresh, unsure := a.Ledger.fresh(ids, now.Add(envelope.MaxLife+2*envelope.MaxSkew))
	var rest []parcel
	for _, p := range good {
		i := slices.Index(fresh, p.call.ID)
		if i < 0 {
			a.answers.again(p.call.ID) // it was lost on the way, or somebody plays it again
			continue
		}
		fresh = slices.Delete(fresh, i, i+1)
		switch {
		case unsure != nil && p.call.Method.Makes():
			a.Log.Error("a call is not carried out", "id", p.call.ID, "error", unsure)
			a.answer(p, envelope.Answer{Failure: envelope.FailureOf(a.refusal(p.call, notKept(unsure)))})
		case p.call.Method.Ends():
			a.ends.put(p)
		default:
			rest = append(rest, p)
		}
	}
	for _, p := range rest { // behind those that end, should there be no room
		a.rest.put(p)
	}
}

// strange answers a call for this host that is signed and not understood: whoever waits for
// the answer is not left to think that nobody is there.
func (a *Agent) strange(text envelope.Sealed, pins Pins, keys []ed25519.PublicKey) {
	c, err := envelope.OpenStrange(text, keys...)
	if err != nil || c.Installation != pins.Installation || c.Host != pins.Host {
		return
	}
	// Of no kind by which an order counts as none: who knows more may have carried it out.
	no := access.Fail(access.Unavailable, envelope.NotUnderstood, "the agent of the host does not understand the call").
		Because("it says something that this version of stint-agent does not know").Try("update stint-agent on the host")
	a.answers.again(c.ID) // should it be there, and be lost on the way
	a.answer(parcel{call: c, text: text}, envelope.Answer{Failure: envelope.FailureOf(a.refusal(c, no))})
}

// notKept refuses to make what could be forgotten.
func notKept(err error) error {
	return access.Fail(access.Unavailable, "ledger", "the agent cannot write its ledger, and makes nothing that it could forget").
		Because(err.Error()).Try("make room on the disk of the host")
}

// refusal is the error of a call that was not begun.
func (a *Agent) refusal(c envelope.Call, err error) error {
	if c.Method != envelope.Provision {
		return err
	}
	var ours *access.Error
	errors.As(err, &ours)
	permanent := ours != nil && ours.Kind != access.Unavailable && ours.Kind != access.Expired
	e := &connector.Error{Outcome: connector.NotDone, Permanent: permanent, Message: "the agent refused it: " + err.Error(), Cause: err}
	if ours != nil {
		e.Next = ours.Next
	}
	return e
}

func codeOf(err error) string {
	var ours *access.Error
	if errors.As(err, &ours) {
		return ours.Code
	}
	return ""
}

// serve carries out what comes on a lane.
func (a *Agent) serve(ctx context.Context, l *lane) {
	for {
		p, ok := l.next()
		if !ok {
			return
		}
		a.answer(p, a.act(ctx, p))
		l.leave()
	}
}

func (a *Agent) answer(p parcel, x envelope.Answer) {
	pins, _ := a.trusted()
	x.ID, x.Host, x.At = p.call.ID, pins.Host, a.Clock.Wall()
	text, err := x.Seal(p.text, a.Signer)
	if err != nil { // too large: say that
		text, err = envelope.Answer{ID: x.ID, Host: x.Host, At: x.At, Failure: envelope.FailureOf(err)}.Seal(p.text, a.Signer)
	}
	if err != nil {
		a.Log.Error("an answer cannot be written", "id", x.ID, "error", fmt.Sprint(err))
		return
	}
	a.answers.put(x.ID, text, time.Now().Add(envelope.MaxLife))
}
