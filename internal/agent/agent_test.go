package agent

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/connector"
	"stint/internal/envelope"
)

type key struct{ ed25519.PrivateKey }

func (k key) Sign(m []byte) []byte      { return ed25519.Sign(k.PrivateKey, m) }
func (k key) Public() ed25519.PublicKey { return k.PrivateKey.Public().(ed25519.PublicKey) }

func keyOf(n byte) key {
	return key{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))}
}

// clock is one that tests turn.
type clock struct {
	mu   sync.Mutex
	wall time.Duration // ahead of the true time
	life string
	base time.Time     // of this life
	slow time.Duration // that telling the time takes
}

func (c *clock) set(change func()) { c.mu.Lock(); defer c.mu.Unlock(); change() }

func newClock() *clock { return &clock{life: "first", base: time.Now()} }

func (c *clock) clock() Clock {
	wall := func() (slow, ahead time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); return c.slow, c.wall }
	return Clock{Wall: func() time.Time {
		slow, ahead := wall()
		time.Sleep(slow)
		return time.Now().Add(ahead)
	},
		Boot: func() (string, time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); return c.life, time.Since(c.base) }}
}

func (c *clock) turn(by time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.wall += by }

// sleep is a host that sleeps: the clock that nobody sets goes on.
func (c *clock) sleep(by time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.base = c.base.Add(-by) }

func (c *clock) reboot() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.life, c.base = c.life+" again", time.Now()
}

// host is a target of accounts by tag.
type host struct {
	mu      sync.Mutex
	there   map[access.Tag]connector.Order
	makes   int
	ends    int
	deaf    int           // so many ends fail
	fail    error         // of the next provision
	during  func()        // runs within a provision
	late    time.Duration // that a provision takes
	changed chan struct{}
	// strict has it take away only what is as the order says, and understand no state
	// before of "x".
	strict  bool
	stuck   bool // nothing goes, by whatever name
	removed []access.Mechanism
	ended   []connector.Order // as they were told to end
}

func (h *host) set(change func()) { h.mu.Lock(); defer h.mu.Unlock(); change() }

func newHost() *host {
	return &host{there: map[access.Tag]connector.Order{}, changed: make(chan struct{}, 1024)}
}

func (h *host) Type() string                         { return "host" }
func (h *host) Schema() access.Schema                { return access.Schema{} }
func (h *host) Forget(access.Connection)             {}
func (h *host) Capabilities() connector.Capabilities { return connector.Capabilities{} }
func (h *host) Check(context.Context, connector.Target) connector.Report {
	panic("a check that breaks")
}
func (h *host) Claim(_ context.Context, t connector.Target, c connector.Claim) error {
	if c.Installation == "theirs" && !t.Genuine(connector.Claim{Installation: "found"}) {
		return access.Fail(access.Conflict, "claimed", "it is another's")
	}
	return nil
}
func (h *host) Observe(context.Context, connector.Target, connector.Order) (connector.Before, error) {
	return connector.Before{}, nil
}

func (h *host) Provision(ctx context.Context, _ connector.Target, o connector.Order) (connector.Receipt, error) {
	h.mu.Lock()
	during, late := h.during, h.late
	h.mu.Unlock()
	if during != nil {
		during()
	}
	pause(ctx, late)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.makes++
	if err := h.fail; err != nil {
		h.fail = nil
		return connector.Receipt{}, err
	}
	if h.strict && o.Before == "x" {
		return connector.Receipt{}, access.Fail(access.Invalid, "bad-before", "it cannot be read")
	}
	h.there[o.Tag] = o
	return connector.Receipt{Account: cmp.Or(o.Account, "a"), Creation: "7", Credential: access.NewSecret([]byte("secret"))}, nil
}

func (h *host) end(os []connector.Order, remove bool) []connector.Result {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ends++
	h.ended = append(h.ended, os...)
	rs := make([]connector.Result, len(os))
	for i, o := range os {
		if rs[i].Outcome = connector.Done; h.deaf > 0 && remove {
			rs[i] = connector.Result{Err: errors.New("deaf")}
		} else if h.strict && o.Before == "x" {
			rs[i] = connector.Result{Outcome: connector.NotDone, Err: access.Fail(access.Invalid, "bad-before", "it cannot be read")}
		} else if remove && !h.stuck && (!h.strict || h.there[o.Tag].Mechanism == o.Mechanism) {
			delete(h.there, o.Tag)
		}
		if remove {
			h.removed = append(h.removed, o.Mechanism)
		}
	}
	if remove && h.deaf > 0 {
		h.deaf--
	}
	h.changed <- struct{}{}
	return rs
}

func (h *host) Revoke(_ context.Context, _ connector.Target, os []connector.Order) []connector.Result {
	return h.end(os, false)
}
func (h *host) TerminateSessions(_ context.Context, _ connector.Target, os []connector.Order) []connector.Result {
	return h.end(os, false)
}
func (h *host) Remove(_ context.Context, _ connector.Target, os []connector.Order) []connector.Result {
	return h.end(os, true)
}

func (h *host) Verify(_ context.Context, _ connector.Target, os []connector.Order) []connector.Observation {
	h.mu.Lock()
	defer h.mu.Unlock()
	vs := make([]connector.Observation, len(os))
	for i, o := range os {
		if vs[i].Presence = connector.Absent; h.there[o.Tag].Tag != "" {
			vs[i].Presence = connector.Present
		}
		if h.strict && o.Before == "x" {
			vs[i] = connector.Observation{Sessions: -1, Err: access.Fail(access.Invalid, "bad-before", "it cannot be read")}
		}
	}
	return vs
}

func (h *host) Inventory(context.Context, connector.Target) iter.Seq2[connector.Artefact, error] {
	return func(yield func(connector.Artefact, error) bool) {
		for i := range maxFound + 2 {
			if !yield(connector.Artefact{Account: fmt.Sprint(i)}, nil) {
				return
			}
		}
	}
}

func (h *host) has(tag access.Tag) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.there[tag]
	return ok
}

// line is the control plane, as far as the agent sees it.
type plane struct {
	t       *testing.T
	calls   chan api.HostCalls
	answers chan envelope.Sealed
	mu      sync.Mutex
	down    bool
	deaf    int // so many deliveries are lost
	sent    map[string]envelope.Sealed
	call    map[string]envelope.Call
}

func newPlane(t *testing.T) *plane {
	return &plane{t: t, calls: make(chan api.HostCalls, 64), answers: make(chan envelope.Sealed, 256), sent: map[string]envelope.Sealed{}, call: map[string]envelope.Call{}}
}

var errDown = errors.New("the control plane is down")

func (p *plane) PollHost(ctx context.Context, in api.HostPoll) (api.HostCalls, error) {
	p.mu.Lock()
	down := p.down
	if len(in.Answers) > 0 && p.deaf > 0 {
		p.deaf--
		down = true
	}
	p.mu.Unlock()
	if down {
		return api.HostCalls{}, errDown
	}
	for _, a := range in.Answers {
		p.answers <- envelope.Sealed(a)
	}
	if in.Room == 0 && in.RoomToEnd == 0 {
		return api.HostCalls{}, nil
	}
	select {
	case c := <-p.calls:
		return c, nil
	case <-ctx.Done():
		return api.HostCalls{}, ctx.Err()
	case <-time.After(20 * time.Millisecond):
		return api.HostCalls{}, nil
	}
}

func (p *plane) set(change func()) { p.mu.Lock(); defer p.mu.Unlock(); change() }

// rig is an agent with everything around it.
type rig struct {
	*testing.T
	*plane
	host   *host
	clock  *clock
	path   string
	ledger *Ledger
	agent  *Agent
	pins   Pins
	stop   func()
	roster Rosters
	as     connector.Connector // in the place of host; nil: host
}

var orders, own = keyOf(1), keyOf(2)

func newRig(t *testing.T) *rig {
	r := &rig{T: t, plane: newPlane(t), host: newHost(), clock: newClock(), path: filepath.Join(t.TempDir(), "ledger"),
		pins: Pins{Host: "web1:22", Installation: "inst", Orders: orders.Public()}}
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

// start runs an agent on what is on the disk.
func (r *rig) start() {
	r.Helper()
	var err error
	if r.ledger, err = OpenLedger(r.path, r.clock.clock()); err != nil {
		r.Fatal(err)
	}
	var target connector.Connector = r.host
	if r.as != nil {
		target = r.as
	}
	r.agent, err = New(Config{Connector: target, Line: r.plane, Signer: own, Ledger: r.ledger, Clock: r.clock.clock(), Log: slog.New(slog.DiscardHandler), Pins: r.pins, Rosters: r.roster,
		SavePins: func(p Pins) error { r.pins = p; return nil }})
	if err != nil {
		r.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.agent.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err := errors.Join(err, r.ledger.Close()); err != nil {
				r.Error(err)
			}
		case <-time.After(time.Minute):
			panic("the agent does not stop")
		}
	})
}

// make is a call that is as it should be.
func (r *rig) make(m envelope.Method, tag access.Tag, change ...func(*envelope.Call)) envelope.Call {
	now := time.Now()
	c := envelope.Call{ID: envelope.NewID(), Installation: "inst", Epoch: 2, Host: "web1:22", IssuedAt: now, NotAfter: now.Add(20 * time.Second), Method: m,
		Claim: envelope.Claim{Installation: "inst", Epoch: 2}, Signs: true, SealTo: recipient.Public(),
		Orders: []envelope.Order{{Tag: string(tag), Mechanism: "account", ExpiresAt: now.Add(time.Hour).UTC().Round(0)}}}
	if m == envelope.Check || m == envelope.Inventory || m == envelope.TakeClaim {
		c.Orders = nil
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

var recipient = func() *envelope.Recipient {
	r, err := envelope.NewRecipient()
	if err != nil {
		panic(err)
	}
	return r
}()

func (r *rig) seal(c envelope.Call, by key) envelope.Sealed {
	r.Helper()
	text, err := c.Seal(by)
	if err != nil {
		r.Fatal(err)
	}
	r.sent[c.ID], r.call[c.ID] = text, c
	return text
}

func (r *rig) send(texts ...envelope.Sealed) {
	var out api.HostCalls
	for _, t := range texts {
		out.Calls = append(out.Calls, api.HostCall{Call: string(t), LeftMillis: 20_000})
	}
	r.calls <- out
}

// next is the next answer, opened.
func (r *rig) next() envelope.Answer {
	r.Helper()
	select {
	case text := <-r.answers:
		id, err := envelope.AnswerID(text)
		if err != nil {
			r.Fatal(err)
		}
		a, err := envelope.OpenAnswer(text, own.Public(), r.call[id], r.sent[id])
		if err != nil {
			r.Fatal(err)
		}
		return a
	case <-time.After(60 * time.Second):
		r.Fatal("no answer")
	}
	panic("unreachable")
}

func (r *rig) ask(m envelope.Method, tag access.Tag, change ...func(*envelope.Call)) envelope.Answer {
	r.Helper()
	r.send(r.seal(r.make(m, tag, change...), orders))
	return r.next()
}

// quiet checks that nothing is answered, by a call behind that is.
func (r *rig) quiet() {
	r.Helper()
	c := r.make(envelope.Verify, "canary")
	r.send(r.seal(c, orders))
	if a := r.next(); a.ID != c.ID {
		r.Errorf("an answer came: %+v", a)
	}
}

func (r *rig) code(a envelope.Answer, want string) {
	r.Helper()
	if a.Failure == nil || a.Failure.Code != want {
		r.Errorf("answered %+v, want %s", a, want)
	}
	if a.Receipt != nil {
		r.Errorf("a receipt with a refusal")
	}
}

func (r *rig) goneWithin(tag access.Tag, d time.Duration) {
	r.Helper()
	over := time.After(d)
	for r.host.has(tag) {
		select {
		case <-r.host.changed:
		case <-over:
			r.Fatalf("%s is still there after %s", tag, d)
		}
	}
}

func TestLife(t *testing.T) {
	r := newRig(t)
	r.host.during = func() { // what is about to be made is on the disk before
		if text, err := os.ReadFile(r.path); err != nil || !strings.Contains(string(text), `"state":"intended"`) || !strings.Contains(string(text), "tag1") {
			r.Errorf("made without an intent: %s %v", text, err)
		}
	}
	a := r.ask(envelope.Provision, "tag1")
	if a.Failure != nil || a.Receipt.Account != "a" || bytes.Contains(a.Receipt.Sealed, []byte("secret")) {
		t.Fatalf("%+v", a)
	}
	if s, err := recipient.Open(a.ID, a.Receipt.Sealed); err != nil || string(s.Reveal()) != "secret" {
		t.Errorf("the credential: %v", err)
	}
	if held := r.ledger.Held(); len(held) != 1 || held[0].Tag != "tag1" || held[0].Account != "a" {
		t.Errorf("held %+v", held)
	}
	if text, _ := os.ReadFile(r.path); bytes.Contains(text, []byte("secret")) {
		t.Error("the ledger has a credential")
	}
	if a := r.ask(envelope.Remove, "tag1"); len(a.Results) != 1 || a.Results[0].Outcome != uint8(connector.Done) {
		t.Errorf("%+v", a)
	}
	if held := r.ledger.Held(); len(held) != 0 || r.host.has("tag1") {
		t.Errorf("held %+v", held)
	}
	r.host.during = nil
	r.code(r.ask(envelope.Provision, "tag1"), "removed-before")
	r.stop()
	r.start() // a restart does not make it forget
	r.code(r.ask(envelope.Provision, "tag1"), "removed-before")
	if r.host.makes != 1 {
		t.Errorf("made %d times", r.host.makes)
	}
}

// What is not for this agent, and for now, makes nothing.
func TestHostileCalls(t *testing.T) {
	r := newRig(t)
	// Nobody is told anything of what was not signed.
	forged := r.seal(r.make(envelope.Provision, "tag1"), keyOf(9))
	byAgent := r.seal(r.make(envelope.Provision, "tag1"), own)
	good := string(r.seal(r.make(envelope.Provision, "tag1"), orders))
	parts := strings.Split(good, ".")
	r.send(forged, byAgent, "", "garbage", envelope.Sealed(parts[0]+"."+parts[1]+"x."+parts[2]), envelope.Sealed(strings.Replace(good, "stint-call-1", "stint-answer-1", 1)))
	r.quiet()
	for name, x := range map[string]struct {
		change func(*envelope.Call)
		code   string
	}{
		"another host":         {func(c *envelope.Call) { c.Host = "web2:22" }, "other-host"},
		"another installation": {func(c *envelope.Call) { c.Installation = "other" }, "other-installation"},
		"of long ago": {func(c *envelope.Call) {
			c.IssuedAt, c.NotAfter = c.IssuedAt.Add(-time.Hour), c.NotAfter.Add(-time.Hour)
		}, envelope.TooLate},
		"of the future":       {func(c *envelope.Call) { c.IssuedAt, c.NotAfter = c.IssuedAt.Add(time.Hour), c.NotAfter.Add(time.Hour) }, "not-yet"},
		"an end that is over": {func(c *envelope.Call) { c.Orders[0].ExpiresAt = c.IssuedAt.Add(-time.Second).UTC().Round(0) }, "over"},
	} {
		c := r.make(envelope.Provision, "tag1", x.change)
		text := r.seal(c, orders)
		r.send(text)
		select {
		case got := <-r.answers: // it names its own host, whatever the call said
			c.Host = "web1:22"
			a, err := envelope.OpenAnswer(got, own.Public(), c, text)
			if err != nil {
				t.Fatal(err)
			}
			r.code(a, x.code)
			if !a.Failure.Connector || a.Failure.Outcome != uint8(connector.NotDone) {
				t.Errorf("%s: %+v", name, a.Failure)
			}
		case <-time.After(60 * time.Second):
			t.Fatal("no answer to", name)
		}
	}
	if r.host.makes != 0 || len(r.ledger.Held()) != 0 {
		t.Errorf("made %d, held %+v", r.host.makes, r.ledger.Held())
	}
	// A call that is handed over when its time is up is not begun.
	c := r.make(envelope.Provision, "tag1")
	r.calls <- api.HostCalls{Calls: []api.HostCall{{Call: string(r.seal(c, orders)), LeftMillis: -5}}}
	r.code(r.next(), envelope.TooLate)
	if r.host.makes != 0 {
		t.Error("made too late")
	}
}

// TestStrangeCalls: a signed call that says what this version does not know is answered with
// a refusal, and not carried out; of one for somebody else, or by another key, nothing is said.
func TestStrangeCalls(t *testing.T) {
	r := newRig(t)
	// later is a call as a later version would write it.
	later := func(c envelope.Call, by key, old, now string) envelope.Sealed {
		parts := strings.Split(string(r.seal(c, by)), ".")
		content, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil || !strings.Contains(string(content), old) {
			t.Fatalf("%v: there is no %s in %s", err, old, content)
		}
		signed := parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(content), old, now, 1)))
		text := envelope.Sealed(signed + "." + base64.RawURLEncoding.EncodeToString(by.Sign([]byte(signed))))
		r.sent[c.ID] = text
		return text
	}
	for name, x := range map[string]struct {
		method   envelope.Method
		old, now string
	}{
		"a method":            {envelope.Salts, `"method":"salts"`, `"method":"salts-and-more"`},
		"a field":             {envelope.Observe, `"signs":true`, `"signs":true,"later":{"more":[1]}`},
		"a field of an order": {envelope.Provision, `"mechanism":"account"`, `"mechanism":"account","later":true`},
		"an ending":           {envelope.Remove, `"signs":true`, `"signs":true,"later":1`},
		"a version":           {envelope.Verify, `"v":1`, `"v":2`},
	} {
		c := r.make(x.method, "tag1")
		text := later(c, orders, x.old, x.now)
		for range 2 { // asked for again it is answered again
			r.send(text)
			a := r.next()
			r.code(a, envelope.NotUnderstood)
			var ours *access.Error
			if err := a.Failure.Err(); !errors.As(err, &ours) || ours.Kind != access.Unavailable || !strings.Contains(a.Failure.Next, "update stint-agent") {
				t.Errorf("%s: %+v", name, a.Failure)
			}
			if x.method == envelope.Provision && (!a.Failure.Connector || a.Failure.Outcome != uint8(connector.NotDone)) {
				t.Errorf("%s: it is not said that nothing was done: %+v", name, a.Failure)
			}
		}
	}
	id := envelope.NewID()
	for name, text := range map[string]envelope.Sealed{
		"by another key":           later(r.make(envelope.Salts, "tag1"), keyOf(9), `"salts"`, `"later"`),
		"by the agent":             later(r.make(envelope.Salts, "tag1"), own, `"salts"`, `"later"`),
		"for another host":         later(r.make(envelope.Salts, "tag1", func(c *envelope.Call) { c.Host = "web2:22" }), orders, `"salts"`, `"later"`),
		"by another installation":  later(r.make(envelope.Salts, "tag1", func(c *envelope.Call) { c.Installation = "other" }), orders, `"salts"`, `"later"`),
		"without an id":            later(r.make(envelope.Salts, "tag1", func(c *envelope.Call) { c.ID = id }), orders, id, "x"),
		"with a host that is none": later(r.make(envelope.Salts, "tag1"), orders, `"host":"web1:22"`, `"host":["web1:22"]`),
		"in another form":          later(r.make(envelope.Salts, "tag1"), orders, `"method":"salts"`, ` "method":"later"`),
	} {
		r.send(text)
		t.Log(name)
		r.quiet()
	}
	if r.host.makes != 0 || len(r.ledger.Held()) != 0 {
		t.Errorf("made %d, held %+v", r.host.makes, r.ledger.Held())
	}
}

func TestReplay(t *testing.T) {
	r := newRig(t)
	text := r.seal(r.make(envelope.Provision, "tag1"), orders)
	r.send(text, text)
	first := r.next()
	if first.Failure != nil {
		t.Fatalf("%+v", first)
	}
	r.send(text) // the answer may have been lost: it is given again, and nothing done
	if again := r.next(); again.ID != first.ID || again.Receipt == nil {
		t.Errorf("%+v", again)
	}
	r.stop()
	r.start()
	r.send(text) // the answer is gone by now
	r.quiet()
	if r.host.makes != 1 {
		t.Errorf("made %d times", r.host.makes)
	}
}

// TestAskedForOnItsWay: an answer that is asked for anew while it is being delivered is
// delivered once more.
func TestAskedForOnItsWay(t *testing.T) {
	o := newOutbox()
	o.put("call", "answer", time.Now().Add(time.Hour))
	ids, _ := o.some(answersAtOnce)
	o.again("call")
	o.delivered(ids)
	if !o.waiting() {
		t.Fatal("it is taken for delivered to who asked last")
	}
	ids, _ = o.some(answersAtOnce)
	if o.delivered(ids); len(ids) != 1 || o.waiting() {
		t.Errorf("delivered %q, and more waits: %v", ids, o.waiting())
	}
}

func TestEarlierEpoch(t *testing.T) {
	r := newRig(t)
	epoch := func(n int64) func(*envelope.Call) { return func(c *envelope.Call) { c.Epoch = n } }
	if a := r.ask(envelope.Provision, "tag1", epoch(3)); a.Failure != nil {
		t.Fatalf("%+v", a)
	}
	r.code(r.ask(envelope.Provision, "tag2", epoch(2)), "earlier-epoch")
	r.code(r.ask(envelope.TakeClaim, "", epoch(2), func(c *envelope.Call) { c.Take = &c.Claim }), "earlier-epoch")
	r.stop()
	r.start()
	r.code(r.ask(envelope.Provision, "tag2", epoch(2)), "earlier-epoch")
	// What was made before may be taken away by whoever made it.
	if a := r.ask(envelope.Remove, "tag1", epoch(2)); a.Failure != nil || r.host.has("tag1") {
		t.Errorf("%+v", a)
	}
}

// A clock that is wrong, a full disk and a call of yesterday keep nobody from ending.
func TestEndsInSpite(t *testing.T) {
	r := newRig(t)
	r.ask(envelope.Provision, "tag1")
	a := r.ask(envelope.Remove, "tag1", func(c *envelope.Call) {
		c.IssuedAt, c.NotAfter = c.IssuedAt.Add(-24*time.Hour), c.NotAfter.Add(-24*time.Hour)
	})
	if a.Failure != nil || r.host.has("tag1") {
		t.Errorf("a late end: %+v", a)
	}
	r.ask(envelope.Provision, "tag2")
	r.clock.turn(-30 * time.Minute)
	if a := r.ask(envelope.Remove, "tag2"); a.Failure != nil || r.host.has("tag2") {
		t.Errorf("an end with a clock that is behind: %+v", a)
	}
	// What was captured and is played again, when the tag is not the agent's any more, ends
	// nothing that others have made under it.
	for tag, has := range map[access.Tag]bool{"tag2": true, "never": true} {
		r.host.mu.Lock()
		r.host.there[tag] = connector.Order{Tag: tag}
		r.host.mu.Unlock()
		if a := r.ask(envelope.Remove, tag); a.Failure != nil || len(a.Results) != 1 || a.Results[0].Resulted().Outcome != connector.NotDone || r.host.has(tag) != has {
			t.Errorf("%s, out of its time: %+v", tag, a)
		}
	}
	r.clock.turn(30 * time.Minute)
	if a := r.ask(envelope.Remove, "never"); a.Failure != nil || r.host.has("never") {
		t.Errorf("in its time, with nothing in the ledger: %+v", a)
	}
}

func TestDiskFull(t *testing.T) {
	r := newRig(t)
	r.ask(envelope.Provision, "tag1")
	r.stop()
	dir := filepath.Dir(r.path)
	var err error
	if r.ledger, err = OpenLedger(r.path, r.clock.clock()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.ledger.Close(), os.Rename(dir, dir+".away"), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir + ".away") })
	l := newLedger(r.path, r.clock.clock())
	text, err := os.ReadFile(filepath.Join(dir+".away", "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	l.read(text)
	if l.lock, err = os.Open(dir + ".away"); err != nil {
		t.Fatal(err)
	}
	go l.write() // every write of it fails
	r.ledger = l
	a, err := New(Config{Connector: r.host, Line: r.plane, Signer: own, Ledger: l, Clock: r.clock.clock(), Log: slog.New(slog.DiscardHandler), Pins: r.pins, SavePins: func(Pins) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	defer func() { cancel(); <-done; _ = l.Close() }()
	r.code(r.ask(envelope.Provision, "tag2"), "ledger")
	if got := r.ask(envelope.Remove, "tag1"); got.Failure != nil || r.host.has("tag1") || r.host.has("tag2") {
		t.Errorf("%+v", got)
	}
	if l.Trouble() == "" {
		t.Error("nothing is said of the ledger")
	}
}

// The control plane is gone, and what it lent ends on time.
func TestOwnClock(t *testing.T) {
	r := newRig(t)
	short := func(c *envelope.Call) { c.Orders[0].ExpiresAt = time.Now().Add(400 * time.Millisecond).UTC().Round(0) }
	r.host.deaf = 1 // the first attempt fails
	if a := r.ask(envelope.Provision, "tag1", short); a.Failure != nil {
		t.Fatalf("%+v", a)
	}
	r.plane.set(func() { r.plane.down = true })
	if !r.host.has("tag1") {
		t.Fatal("it ended before its end")
	}
	r.goneWithin("tag1", 60*time.Second)
	r.plane.set(func() { r.plane.down = false })
	r.code(r.ask(envelope.Provision, "tag1"), "removed-before")
}

// Each clock alone is enough, in life and over a reboot.
func TestClocks(t *testing.T) {
	for name, pass := range map[string]func(*rig){
		"the wall clock":              func(r *rig) { r.clock.turn(time.Hour) },
		"the other, the wall is back": func(r *rig) { r.clock.turn(-10 * time.Hour); r.clock.sleep(time.Hour) },
		"while it was down":           func(r *rig) { r.stop(); r.clock.turn(time.Hour); r.start() },
		"while the host was down":     func(r *rig) { r.stop(); r.clock.turn(time.Hour); r.clock.reboot(); r.start() },
		"a host without a clock": func(r *rig) {
			r.stop()
			r.clock.turn(-50 * 365 * 24 * time.Hour)
			r.clock.reboot()
			r.start()
			r.clock.sleep(time.Hour)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.ask(envelope.Provision, "tag1")
			pass(r)
			r.goneWithin("tag1", 60*time.Second)
		})
	}
	t.Run("none", func(t *testing.T) {
		r := newRig(t)
		r.ask(envelope.Provision, "tag1")
		for _, pass := range []func(){func() { r.clock.turn(-time.Hour) }, func() { r.clock.turn(time.Hour + 50*time.Minute) }, func() { r.clock.turn(-50 * time.Minute); r.stop(); r.clock.reboot(); r.start() }} {
			pass()
			r.quiet()
			pause(t.Context(), lookEvery+100*time.Millisecond) // it has looked
			if !r.host.has("tag1") {
				t.Fatal("it ended before its end")
			}
		}
	})
	t.Run("once far ahead", func(t *testing.T) { // a wrong clock ends what is there, and no more than that
		r := newRig(t)
		r.ask(envelope.Provision, "tag1")
		r.clock.turn(10 * 365 * 24 * time.Hour)
		r.goneWithin("tag1", 60*time.Second)
		r.clock.turn(-10 * 365 * 24 * time.Hour)
		if a := r.ask(envelope.Provision, "tag2"); a.Failure != nil {
			t.Fatalf("%+v", a)
		}
		r.quiet()
		pause(t.Context(), lookEvery+100*time.Millisecond)
		if !r.host.has("tag2") {
			t.Error("it ended before its end")
		}
	})
}

// Killed between the intent and the word that it was made: it ends all the same.
func TestKilledWhileMaking(t *testing.T) {
	r := newRig(t)
	var copied []byte
	r.host.during = func() { copied, _ = os.ReadFile(r.path) }
	r.ask(envelope.Provision, "tag1", func(c *envelope.Call) { c.Orders[0].ExpiresAt = time.Now().Add(3 * time.Second).UTC().Round(0) })
	r.stop()
	if err := os.WriteFile(r.path, append(copied, `deadbeef {"entry":{"tag":"half`...), 0o600); err != nil {
		t.Fatal(err)
	}
	if !r.host.has("tag1") {
		t.Fatal("it ended before it was killed")
	}
	r.start()
	r.goneWithin("tag1", 60*time.Second)
	if why := r.ledger.Trouble(); why != "" {
		t.Errorf("half a line at the end is damage: %s", why)
	}
}

func TestProvisionThatFails(t *testing.T) {
	r := newRig(t)
	r.host.fail = &connector.Error{Outcome: connector.NotDone, Message: "no such account"}
	if a := r.ask(envelope.Provision, "tag1"); a.Failure == nil || a.Failure.Message != "no such account" {
		t.Errorf("%+v", a)
	}
	if held := r.ledger.Held(); len(held) != 0 {
		t.Errorf("held what was not made: %+v", held)
	}
	if a := r.ask(envelope.Provision, "tag1"); a.Failure != nil {
		t.Errorf("and it cannot be made any more: %+v", a)
	}
	r.host.fail = errors.New("who knows")
	if a := r.ask(envelope.Provision, "tag2"); a.Failure == nil || a.Failure.Connector && a.Failure.Outcome != 0 {
		t.Errorf("%+v", a)
	}
	if held := r.ledger.Held(); len(held) != 2 {
		t.Errorf("what may have been made is not held: %+v", held)
	}
	// An extension that fails raises nothing.
	end := r.ledger.Held()[0].Until
	r.host.fail = errors.New("who knows")
	r.ask(envelope.Provision, "tag1", func(c *envelope.Call) {
		c.Orders[0].Renew, c.Orders[0].ExpiresAt = uint8(connector.Extend), end.Add(time.Hour)
	})
	if got, _ := r.ledger.get("tag1"); got.End.At.After(end) {
		t.Errorf("a failed extension counts: %v", got.End.At)
	}
	r.ask(envelope.Provision, "tag1", func(c *envelope.Call) {
		c.Orders[0].Renew, c.Orders[0].ExpiresAt = uint8(connector.Extend), end.Add(time.Hour)
	})
	if got, _ := r.ledger.get("tag1"); !got.End.At.Equal(end.Add(time.Hour)) || got.Order.Creation != "7" {
		t.Errorf("an extension does not count: %+v", got)
	}
}

// Answers wait for the control plane, and a connector that breaks is an answer.
func TestAnswers(t *testing.T) {
	r := newRig(t)
	r.plane.set(func() { r.plane.deaf = 2 })
	if a := r.ask(envelope.Check, ""); a.Failure == nil {
		t.Errorf("%+v", a)
	}
	if a := r.ask(envelope.Inventory, ""); len(a.Artefacts) != maxFound || a.Failure == nil {
		t.Errorf("%d found, %+v", len(a.Artefacts), a.Failure)
	}
	if a := r.ask(envelope.Fingerprint, ""); a.Failure == nil || a.Failure.Code != "not-served" {
		t.Errorf("%+v", a)
	}
	// A claim that the agent cannot judge is asked about.
	theirs := func(c *envelope.Call) { c.Take = &envelope.Claim{Installation: "theirs", Epoch: 1} }
	a := r.ask(envelope.TakeClaim, "", theirs)
	r.code(a, "claimed")
	if a.Doubt == nil || a.Doubt.Installation != "found" {
		t.Fatalf("%+v", a)
	}
	if a := r.ask(envelope.TakeClaim, "", theirs, func(c *envelope.Call) { c.Genuine = []envelope.Claim{*a.Doubt} }); a.Failure != nil || a.Doubt != nil {
		t.Errorf("%+v", a)
	}
}

func TestOutboxIsBounded(t *testing.T) {
	o := newOutbox()
	text := envelope.Sealed(strings.Repeat("x", 1<<20))
	for i := range 40 {
		o.put(fmt.Sprint(i), text, time.Now().Add(time.Minute))
	}
	if o.bytes > keptAnswers || len(o.text) != len(o.order) || len(o.text) == 0 {
		t.Errorf("%d bytes, %d answers", o.bytes, len(o.text))
	}
	if ids, _ := o.some(1); len(ids) != 1 || ids[0] != o.order[0] {
		t.Errorf("delivers %v", ids)
	}
	o.put("39", text, time.Now())
	o.put("late", "x", time.Now().Add(-time.Second))
	if _, ok := o.text["late"]; ok {
		t.Error("what nobody waits for is kept")
	}
}

func TestRotation(t *testing.T) {
	r := newRig(t)
	next := keyOf(7)
	roll, err := envelope.SealRoll("inst", next.Public(), orders)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := envelope.SealRoll("inst", keyOf(8).Public(), keyOf(8))
	if err != nil {
		t.Fatal(err)
	}
	// The roll comes with the first calls by the new key.
	r.calls <- api.HostCalls{Rolls: []string{string(stranger), string(roll)}, Calls: []api.HostCall{{Call: string(r.seal(r.make(envelope.Provision, "tag1"), next)), LeftMillis: 20_000}}}
	if a := r.next(); a.Failure != nil {
		t.Fatalf("%+v", a)
	}
	if !r.pins.Orders.Equal(next.Public()) {
		t.Error("the new key is not kept")
	}
	if a := r.ask(envelope.Verify, "tag1"); a.Failure != nil { // another replica still signs with the old one
		t.Errorf("%+v", a)
	}
	r.clock.turn(overlap + time.Second)
	r.send(r.seal(r.make(envelope.Verify, "tag1"), orders), r.seal(r.make(envelope.Verify, "tag1"), keyOf(8)))
	c := r.make(envelope.Verify, "tag1", func(c *envelope.Call) { c.IssuedAt, c.NotAfter = c.IssuedAt.Add(overlap), c.NotAfter.Add(overlap) })
	r.send(r.seal(c, next))
	if a := r.next(); a.ID != c.ID {
		t.Error("the old key is good for ever")
	}
}

// Who looks whether an agent runs keeps none from starting, at whatever moment.
func TestStartedWhileLookedAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	ctx, stop := context.WithCancel(t.Context())
	var lookers sync.WaitGroup
	t.Cleanup(func() { stop(); lookers.Wait() })
	for range 4 {
		lookers.Go(func() {
			for ctx.Err() == nil {
				if _, err := Running(path); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	for range 50 {
		l, err := OpenLedger(path, newClock().clock())
		if err != nil {
			t.Fatal(err)
		}
		if runs, err := Running(path); !runs || err != nil {
			t.Fatalf("%t, %v of an agent that runs", runs, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLedger(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ledger")
	c := newClock()
	l, err := OpenLedger(path, c.clock())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLedger(path, c.clock()); !errors.Is(err, ErrRunning) {
		t.Errorf("two agents on one ledger: %v", err)
	}
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			e := entry{Tag: access.Tag(fmt.Sprint("t", i)), State: made, End: c.clock().deadline(time.Now().Add(time.Hour), time.Now())}
			if err := l.put(line{Entry: &e}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if fresh, err := l.fresh([]string{"a", "b", "a"}, time.Now().Add(time.Minute)); err != nil || len(fresh) != 2 {
		t.Errorf("%v %v", fresh, err)
	}
	if err := l.bury("t1", "t2", "nobody"); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Damage in the middle costs what is damaged, and is told.
	lines := bytes.SplitAfter(text, []byte("\n"))
	lines[50][20] ^= 1
	if err := os.WriteFile(path, bytes.Join(lines, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err = OpenLedger(path, c.clock()); err != nil {
		t.Fatal(err)
	}
	if n := len(l.Held()); n < 197 || n > 198 || !strings.Contains(l.Trouble(), "line 51") {
		t.Errorf("%d held, %q", n, l.Trouble())
	}
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Error(err)
	}
	if fresh, err := l.fresh([]string{"a", "c"}, time.Now().Add(time.Minute)); err != nil || len(fresh) != 1 || fresh[0] != "c" {
		t.Errorf("%v %v", fresh, err)
	}
	// The file does not grow with what is over.
	for range compactAfter/100 + 2 {
		var xs []line
		for range 100 {
			xs = append(xs, line{})
		}
		if err := l.put(xs...); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.put(line{}); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	n := l.lines
	l.mu.Unlock()
	if n > compactAfter {
		t.Errorf("%d lines", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func FuzzLedger(f *testing.F) {
	e := entry{Tag: "t", State: made, End: deadline{At: time.Unix(1e9, 0).UTC(), Life: "x", Up: 5}}
	for _, x := range []line{{Entry: &e}, {Seen: []string{"a"}, Until: time.Unix(2e9, 0).UTC()}, {Epoch: 4}} {
		text, err := encodeLine(x)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text[9:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if bytes.ContainsRune(body, '\n') {
			return
		}
		l := newLedger("", newClock().clock())
		l.read(append(append([]byte(checksum(body)+" "), body...), '\n'))
		for _, h := range l.Held() {
			if h.Tag == "" {
				t.Error("an entry without a tag")
			}
		}
		if len(l.damage) == 0 {
			x, _ := parseLine(append([]byte(checksum(body)+" "), body...))
			if _, err := encodeLine(x); err != nil {
				t.Error(err)
			}
		}
	})
}
