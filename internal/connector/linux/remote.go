package linux

import (
	"context"
	"crypto/ed25519"
	"errors"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/envelope"
)

// Parcel is a call on its way.
type Parcel struct {
	ID   string
	Host string
	Call envelope.Sealed
	// Due is when it is of no use any more: it is not handed over after that.
	Due time.Time
	// Ends says that it takes access away, and goes before others.
	Ends bool
}

// Courier carries calls to the agents of hosts. It need not be trusted with more
// than that they arrive.
type Courier interface {
	// Carry brings a call to the agent of its host, and back that agent's answer with
	// the key that the agent is enrolled with. It gives up when ctx ends. Of a call
	// that no agent has seen, the error is envelope.ErrNotSent.
	Carry(ctx context.Context, p Parcel) (answer envelope.Sealed, agent ed25519.PublicKey, err error)
}

// Config is what a Remote is made of.
type Config struct {
	Courier      Courier
	Signer       envelope.Signer // the orders key
	Installation string
	Epoch        int64
	// Distrust, if set, is told of answers that an honest agent does not give.
	Distrust func(host string, err error)
	// Recordings is the public key to which hosts seal what they record; nil: they run
	// nothing that has to be recorded.
	Recordings []byte
	// Now is the clock that calls are dated with; nil is time.Now.
	Now func() time.Time
}

// Times of calls. What makes access has to be begun and done within connector.Late
// of being sent: after that the broker believes a read-back that does not find it.
const (
	usualWithin = 20 * time.Second
	// afterwards is how much longer an answer is waited for than it is begun.
	afterwards = time.Second
	doubts     = 3 // claims that an agent may ask about in one call
	atOnce     = 4 // parts of one batch that are under way
)

// Remote is the connector of the control plane: it hands every call, signed, to the
// agent of the host, and takes an answer that does not come for what it is, unknown.
type Remote struct {
	Config
	recipient    *envelope.Recipient
	typ          string
	schema       func() access.Schema
	capabilities func() connector.Capabilities
	made         func(access.Person, access.Tag) string // the name of a made account; nil for connectors with names of their own
}

// New makes the connector.
func New(c Config) (*Remote, error) {
	r, err := envelope.NewRecipient()
	if err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Distrust == nil {
		c.Distrust = func(string, error) {}
	}
	return &Remote{Config: c, recipient: r, typ: Type, schema: Schema, capabilities: Capabilities, made: AccountName}, nil
}

// NewFor makes the connector for agents that run another one than linux's: the suite
// of connectors passes through this wire whatever is behind it.
func NewFor(c Config, like connector.Connector) (*Remote, error) {
	r, err := New(c)
	if err == nil {
		r.typ, r.schema, r.capabilities, r.made = like.Type(), like.Schema, like.Capabilities, nil
	}
	return r, err
}

// Type is linux.
func (r *Remote) Type() string { return r.typ }

// Schema says what documents may contain.
func (r *Remote) Schema() access.Schema { return r.schema() }

// Capabilities are those of the agent.
func (r *Remote) Capabilities() connector.Capabilities { return r.capabilities() }

// Forget has nothing to forget: agents dial, and hold what connections there are.
func (r *Remote) Forget(access.Connection) {}

// Close has nothing to close.
func (r *Remote) Close() {}

// call makes one call and judges the answer. Where the agent met a claim that it
// cannot judge and that is ours, the call is made again with our word for it.
func (r *Remote) call(ctx context.Context, t connector.Target, c envelope.Call) (envelope.Answer, error) {
	for range doubts {
		a, err := r.once(ctx, t, c)
		if err != nil || a.Doubt == nil {
			return a, err
		}
		found := a.Doubt.Claimed()
		if t.Genuine == nil || slices.Contains(c.Genuine, *a.Doubt) || !t.Genuine(found) {
			return a, nil // it was taken for what it is
		}
		c.Genuine = append(c.Genuine, *a.Doubt)
	}
	return envelope.Answer{}, access.Fail(access.Unavailable, "claim-unsteady", "the claim on the host changes from call to call")
}

func (r *Remote) once(ctx context.Context, t connector.Target, c envelope.Call) (envelope.Answer, error) {
	if err := ctx.Err(); err != nil {
		return envelope.Answer{}, err
	}
	now := r.Now()
	due := now.Add(usualWithin)
	if at, ok := ctx.Deadline(); ok {
		due = now.Add(min(time.Until(at), envelope.MaxLife))
	}
	if c.Method == envelope.Provision || c.Method == envelope.TakeClaim || c.Method == envelope.SwapBeat {
		due = earlier(due, now.Add(connector.Late))
	}
	c.ID, c.Installation, c.Epoch, c.Host = envelope.NewID(), r.Installation, r.Epoch, t.Connection.Address
	c.IssuedAt, c.NotAfter = now, due
	c.Options, c.Claim, c.Signs = t.Connection.Options, envelope.ClaimOf(t.Claim), t.Genuine != nil
	sealed, err := c.Seal(r.Signer)
	if err != nil {
		return envelope.Answer{}, err
	}
	within, cancel := context.WithTimeout(ctx, due.Sub(now)+afterwards)
	defer cancel()
	text, key, err := r.Courier.Carry(within, Parcel{ID: c.ID, Host: c.Host, Call: sealed, Due: due, Ends: c.Method.Ends()})
	if err != nil {
		return envelope.Answer{}, err
	}
	a, err := envelope.OpenAnswer(text, key, c, sealed)
	if err != nil {
		r.Distrust(c.Host, err)
		return envelope.Answer{}, err
	}
	if a.Failure != nil && a.Failure.Code == envelope.TooLate {
		return a, envelope.ErrTooLate // it was not begun
	}
	return a, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Check proves the host by a canary.
func (r *Remote) Check(ctx context.Context, t connector.Target) connector.Report {
	a, err := r.call(ctx, t, envelope.Call{Method: envelope.Check})
	if err == nil {
		err = a.Failure.Err()
	}
	if err != nil {
		return connector.Report{Steps: []connector.Step{{Name: "the agent of " + t.Connection.Address + " answers", Detail: unanswered(t, err).Error(),
			Fix: "enrol the host with stint admin host enroll, and look at it there: stint-agent status"}}}
	}
	return envelope.ReportOf(a.Steps)
}

// Claim marks the host as ours.
func (r *Remote) Claim(ctx context.Context, t connector.Target, c connector.Claim) error {
	take := envelope.ClaimOf(c)
	a, err := r.call(ctx, t, envelope.Call{Method: envelope.TakeClaim, Take: &take})
	if err != nil {
		return unanswered(t, err)
	}
	return a.Failure.Err()
}

// Observe reads the state before.
func (r *Remote) Observe(ctx context.Context, t connector.Target, o connector.Order) (connector.Before, error) {
	order, err := envelope.OrderOf(o)
	if err != nil {
		return connector.Before{}, err
	}
	a, err := r.call(ctx, t, envelope.Call{Method: envelope.Observe, Orders: []envelope.Order{order}})
	switch {
	case err != nil:
		return connector.Before{}, unanswered(t, err)
	case a.Failure != nil:
		return connector.Before{}, tooOld(t, o, a.Failure.Err())
	}
	return connector.Before{Existing: a.Before.Existing, State: a.Before.State}, nil
}

// Provision makes the privilege.
func (r *Remote) Provision(ctx context.Context, t connector.Target, o connector.Order) (connector.Receipt, error) {
	order, err := envelope.OrderOf(o)
	if err != nil {
		return connector.Receipt{}, &connector.Error{Outcome: connector.NotDone, Permanent: true, Message: err.Error(), Cause: err}
	}
	if o.Mechanism == access.Checkout && o.Renew != connector.Extend {
		words, fail := r.told(ctx, t, []connector.Order{o})
		if fail[0] != nil {
			said := unanswered(t, fail[0])
			return connector.Receipt{}, &connector.Error{Outcome: connector.NotDone, Message: said.Message, Next: said.Next, Cause: fail[0]}
		}
		order.Secret, order.Next = words[0].Secret, words[0].Next
	}
	a, err := r.call(ctx, t, envelope.Call{Method: envelope.Provision, Orders: []envelope.Order{order}, SealTo: r.recipient.Public(), Recordings: r.Recordings})
	if err != nil {
		outcome := connector.Unknown
		if errors.Is(err, envelope.ErrNotSent) || errors.Is(err, envelope.ErrTooLate) {
			outcome = connector.NotDone
		}
		said := unanswered(t, err)
		return connector.Receipt{}, &connector.Error{Outcome: outcome, Message: said.Message, Next: said.Next, Cause: err}
	}
	if err := a.Failure.Err(); err != nil {
		var ce *connector.Error
		if errors.As(err, &ce) {
			var ours *access.Error
			if errors.As(ce.Cause, &ours) && ours.Code == connector.ErrStale.Code {
				ce.Cause = connector.ErrStale
			}
			return connector.Receipt{}, ce
		}
		return connector.Receipt{}, &connector.Error{Message: "the agent of the host failed", Cause: err}
	}
	if err := r.checkAccount(o, a.Receipt.Account); err != nil {
		r.Distrust(t.Connection.Address, err)
		return connector.Receipt{}, &connector.Error{Message: err.Message, Next: err.Next, Cause: err}
	}
	if o.Mechanism == access.Checkout { // the host was not given what it lends
		return Lent(t, o, connector.Receipt{Account: a.Receipt.Account, Creation: a.Receipt.Creation, Turned: a.Receipt.Turned})
	}
	secret, err := r.recipient.Open(a.ID, a.Receipt.Sealed)
	if err != nil {
		r.Distrust(t.Connection.Address, err)
		return connector.Receipt{}, &connector.Error{Message: "the credential that the agent sent does not open", Cause: err}
	}
	return connector.Receipt{Account: a.Receipt.Account, Creation: a.Receipt.Creation, Credential: secret}, nil
}

// checkAccount holds the account of a receipt against the order. Programs on people's
// machines are told it, by an agent that need not be honest any more: it is the account
// that was ordered, or no account.
func (r *Remote) checkAccount(o connector.Order, said string) *access.Error {
	if r.made == nil {
		return nil
	}
	want := o.Account
	if want == "" && o.Mechanism == access.Account && ValidTag(o.Tag) {
		want = r.made(o.Person, o.Tag)
	}
	if ValidName(said) && said == want {
		return nil
	}
	return access.Fail(access.Denied, "other-account", "the agent says that it lent another account than was ordered").
		Because("it says " + strconv.Quote(said[:min(len(said), 64)])).
		Try("look at the host, and take the agent away if it is not to be trusted: stint admin host revoke")
}

// Revoke makes the credentials useless.
func (r *Remote) Revoke(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return r.end(ctx, t, envelope.Revoke, os)
}

// TerminateSessions ends the sessions.
func (r *Remote) TerminateSessions(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return r.end(ctx, t, envelope.Terminate, os)
}

// Remove takes away what is left.
func (r *Remote) Remove(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return r.end(ctx, t, envelope.Remove, os)
}

func (r *Remote) end(ctx context.Context, t connector.Target, m envelope.Method, os []connector.Order) []connector.Result {
	out := make([]connector.Result, len(os))
	var words []Words
	var fail []error
	if m != envelope.Terminate { // which sets nothing
		words, fail = r.told(ctx, t, os)
	}
	r.batch(t, os, words, fail, func(i int, err error) { out[i] = connector.Result{Outcome: connector.NotDone, Err: err} }, func(at []int, part []envelope.Order) {
		a, err := r.call(ctx, t, envelope.Call{Method: m, Orders: part})
		if err == nil {
			err = a.Failure.Err()
		}
		for n, i := range at {
			if err != nil {
				out[i] = connector.Result{Err: unanswered(t, err)}
			} else {
				out[i] = a.Results[n].Resulted()
			}
		}
	})
	return out
}

// Verify reads back.
func (r *Remote) Verify(ctx context.Context, t connector.Target, os []connector.Order) []connector.Observation {
	out := make([]connector.Observation, len(os))
	words, fail := r.told(ctx, t, os)
	r.batch(t, os, words, fail, func(i int, err error) { out[i] = connector.Observation{Sessions: -1, Err: err} }, func(at []int, part []envelope.Order) {
		a, err := r.call(ctx, t, envelope.Call{Method: envelope.Verify, Orders: part})
		if err == nil {
			err = a.Failure.Err()
		}
		for n, i := range at {
			if err != nil {
				out[i] = connector.Observation{Sessions: -1, Err: unanswered(t, err)}
			} else {
				out[i] = a.Observations[n].Observed()
				if words != nil {
					words[i].judge(&out[i])
				}
			}
		}
	})
	return out
}

// partBytes is how much of the wire one part of a batch may take, by what its orders
// weigh as they are; on the wire it is twice as much at most.
const partBytes = envelope.MaxCall / 4

// batch cuts orders into parts that the wire takes, several of which are under way
// at a time. What cannot be written for the wire is bad, each by itself. words are what
// the host is told of passwords, and fail why it cannot be told; both may be nil.
func (r *Remote) batch(t connector.Target, os []connector.Order, words []Words, fail []error, bad func(i int, err error), do func(at []int, part []envelope.Order)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	var at []int
	var part []envelope.Order
	weight := 0
	flush := func() {
		if len(at) == 0 {
			return
		}
		was, orders := at, part
		at, part, weight = nil, nil, 0
		slots <- struct{}{}
		wg.Go(func() { do(was, orders); <-slots })
	}
	for i, o := range os {
		order, err := envelope.OrderOf(o)
		if err != nil {
			bad(i, err)
			continue
		}
		if fail != nil && fail[i] != nil {
			bad(i, unanswered(t, fail[i]))
			continue
		}
		if words != nil {
			order.Secret, order.Next = words[i].Secret, words[i].Next
		}
		w := order.Weight()
		if w > partBytes {
			bad(i, access.Fail(access.Invalid, "bad-order", "the order is too large for the wire"))
			continue
		}
		if len(at) == envelope.MaxOrders || weight+w > partBytes {
			flush()
		}
		at, part, weight = append(at, i), append(part, order), weight+w
	}
	flush()
	wg.Wait()
}

// Inventory lists what carries our mark.
func (r *Remote) Inventory(ctx context.Context, t connector.Target) iter.Seq2[connector.Artefact, error] {
	return func(yield func(connector.Artefact, error) bool) {
		a, err := r.call(ctx, t, envelope.Call{Method: envelope.Inventory})
		if err != nil {
			yield(connector.Artefact{}, unanswered(t, err))
			return
		}
		for _, x := range a.Artefacts {
			if !yield(x.Found(), nil) {
				return
			}
		}
		if err := a.Failure.Err(); err != nil {
			yield(connector.Artefact{}, err)
		}
	}
}

// tooOld says of what only the agent does not know that the agent is to be updated: what
// orders name here, the control plane knows.
func tooOld(t connector.Target, o connector.Order, err error) error {
	var said *access.Error
	if !errors.As(err, &said) || said.Code != "bad-mechanism" || !slices.Contains(Capabilities().Mechanisms, o.Mechanism) {
		return err
	}
	return access.Fail(said.Kind, "agent-too-old", "the agent of "+t.Connection.Address+" does not know the mechanism "+string(o.Mechanism)).
		Because("its version is older than this Stint's").Try("update stint-agent on the host, then try again").Wrap(err)
}

// unanswered is the public error of a call that has no answer to rely on. It is never
// one of the kinds by which a connector says that an order is none.
func unanswered(t connector.Target, err error) *access.Error {
	e := access.Fail(access.Unavailable, "agent-silent", "the agent of "+t.Connection.Address+" did not answer").Try(envelope.ErrNotSent.Next)
	var ours *access.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return e.Wrap(context.DeadlineExceeded)
	case errors.Is(err, context.Canceled):
		return e.Wrap(context.Canceled)
	case errors.Is(err, envelope.ErrNotSent):
		return e.Because("it does not ask for orders")
	case errors.As(err, &ours):
		e.Code, e.Message, e.Why = "agent-refused", "the agent of "+t.Connection.Address+" gave no answer that counts", strings.TrimSuffix(ours.Message+": "+ours.Why, ": ")
		if ours.Next != "" {
			e.Next = ours.Next
		}
	default:
		return e.Because(err.Error())
	}
	return e
}
